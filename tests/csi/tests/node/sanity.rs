//! csi-sanity, the conformance tests of CSI, against the real plugin.
//!
//! They expect a driver with a controller, and choose target paths that kubelet never would. So between them and the
//! plugin stands a proxy that names kubelet's paths instead, and a controller that makes volumes up: every spec for
//! nodes is exercised down to the mount.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;

use envlatch_csi::proto::csi::controller_server::{Controller, ControllerServer};
use envlatch_csi::proto::csi::identity_client::IdentityClient;
use envlatch_csi::proto::csi::identity_server::{Identity, IdentityServer};
use envlatch_csi::proto::csi::node_client::NodeClient;
use envlatch_csi::proto::csi::node_server::{Node as NodeTrait, NodeServer};
use envlatch_csi::proto::csi::{self, controller_service_capability, plugin_capability};
use envlatch_csi_tests::{Node, VolumeOf};
use envlatch_test_support::executable;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use crate::{DRIVER, block_on, start};

/// Specs for nodes that apply: all but staging, expanding and multi-writer ones.
const SPECS: usize = 17;

#[derive(Clone)]
struct Proxy {
    plugin: Channel,
    volume: VolumeOf,
}

impl Proxy {
    /// csi-sanity's target becomes kubelet's; other paths stay as wrong as they are.
    fn target(&self, path: String) -> String {
        if path.ends_with("/target") {
            self.volume.target.display().to_string()
        } else {
            path
        }
    }
}

/// What `async_trait` makes of a method; it does not look into macros.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// Calls that are handed on as they are.
macro_rules! forward {
    ($($client:ident $name:ident $request:ident $response:ident;)*) => {$(
        fn $name<'s, 'a>(&'s self, request: Request<csi::$request>) -> Answer<'a, csi::$response>
        where
            's: 'a,
            Self: 'a,
        {
            Box::pin(async move {
                let mut client = $client::new(self.plugin.clone());
                client.$name(request.into_inner()).await
            })
        }
    )*};
}

/// Calls that nobody makes.
macro_rules! refuse {
    ($($name:ident $request:ident $response:ident;)*) => {$(
        fn $name<'s, 'a>(&'s self, _request: Request<csi::$request>) -> Answer<'a, csi::$response>
        where
            's: 'a,
            Self: 'a,
        {
            Box::pin(async { Err(Status::unimplemented("no controller")) })
        }
    )*};
}

#[tonic::async_trait]
impl Identity for Proxy {
    forward! {
        IdentityClient get_plugin_info GetPluginInfoRequest GetPluginInfoResponse;
        IdentityClient probe ProbeRequest ProbeResponse;
    }

    async fn get_plugin_capabilities(
        &self,
        _request: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<csi::GetPluginCapabilitiesResponse>, Status> {
        let service = plugin_capability::Service {
            r#type: plugin_capability::service::Type::ControllerService.into(),
        };
        Ok(Response::new(csi::GetPluginCapabilitiesResponse {
            capabilities: vec![csi::PluginCapability {
                r#type: Some(plugin_capability::Type::Service(service)),
            }],
        }))
    }
}

#[tonic::async_trait]
impl NodeTrait for Proxy {
    forward! {
        NodeClient node_stage_volume NodeStageVolumeRequest NodeStageVolumeResponse;
        NodeClient node_unstage_volume NodeUnstageVolumeRequest NodeUnstageVolumeResponse;
        NodeClient node_expand_volume NodeExpandVolumeRequest NodeExpandVolumeResponse;
        NodeClient node_get_capabilities NodeGetCapabilitiesRequest NodeGetCapabilitiesResponse;
        NodeClient node_get_info NodeGetInfoRequest NodeGetInfoResponse;
    }

    async fn node_publish_volume(
        &self,
        request: Request<csi::NodePublishVolumeRequest>,
    ) -> Result<Response<csi::NodePublishVolumeResponse>, Status> {
        let mut message = request.into_inner();
        message.target_path = self.target(message.target_path);
        let mut node = NodeClient::new(self.plugin.clone());
        node.node_publish_volume(message).await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Result<Response<csi::NodeUnpublishVolumeResponse>, Status> {
        let mut message = request.into_inner();
        message.target_path = self.target(message.target_path);
        let mut node = NodeClient::new(self.plugin.clone());
        node.node_unpublish_volume(message).await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Result<Response<csi::NodeGetVolumeStatsResponse>, Status> {
        let mut message = request.into_inner();
        message.volume_path = self.target(message.volume_path);
        let mut node = NodeClient::new(self.plugin.clone());
        node.node_get_volume_stats(message).await
    }
}

#[tonic::async_trait]
impl Controller for Proxy {
    refuse! {
        controller_publish_volume ControllerPublishVolumeRequest ControllerPublishVolumeResponse;
        controller_unpublish_volume ControllerUnpublishVolumeRequest ControllerUnpublishVolumeResponse;
        validate_volume_capabilities ValidateVolumeCapabilitiesRequest ValidateVolumeCapabilitiesResponse;
        list_volumes ListVolumesRequest ListVolumesResponse;
        get_capacity GetCapacityRequest GetCapacityResponse;
        create_snapshot CreateSnapshotRequest CreateSnapshotResponse;
        delete_snapshot DeleteSnapshotRequest DeleteSnapshotResponse;
        list_snapshots ListSnapshotsRequest ListSnapshotsResponse;
        controller_expand_volume ControllerExpandVolumeRequest ControllerExpandVolumeResponse;
        controller_get_volume ControllerGetVolumeRequest ControllerGetVolumeResponse;
        controller_modify_volume ControllerModifyVolumeRequest ControllerModifyVolumeResponse;
    }

    async fn create_volume(
        &self,
        request: Request<csi::CreateVolumeRequest>,
    ) -> Result<Response<csi::CreateVolumeResponse>, Status> {
        let known = |char: &char| char.is_ascii_alphanumeric() || *char == '-';
        let name: String = request.into_inner().name.chars().filter(known).collect();
        let context: HashMap<_, _> = self.volume.publish_request().volume_context;
        Ok(Response::new(csi::CreateVolumeResponse {
            volume: Some(csi::Volume {
                volume_id: name,
                volume_context: context,
                ..Default::default()
            }),
        }))
    }

    async fn delete_volume(
        &self,
        _request: Request<csi::DeleteVolumeRequest>,
    ) -> Result<Response<csi::DeleteVolumeResponse>, Status> {
        Ok(Response::new(csi::DeleteVolumeResponse {}))
    }

    async fn controller_get_capabilities(
        &self,
        _request: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<csi::ControllerGetCapabilitiesResponse>, Status> {
        let rpc = controller_service_capability::Rpc {
            r#type: controller_service_capability::rpc::Type::CreateDeleteVolume.into(),
        };
        Ok(Response::new(csi::ControllerGetCapabilitiesResponse {
            capabilities: vec![csi::ControllerServiceCapability {
                r#type: Some(controller_service_capability::Type::Rpc(rpc)),
            }],
        }))
    }
}

#[test]
#[ignore = "needs root, and ENVLATCH_CSI_SANITY, the path of csi-sanity: scripts/tools csi-sanity"]
fn all_specs_for_nodes_pass() {
    let sanity = std::env::var_os("ENVLATCH_CSI_SANITY")
        .expect("ENVLATCH_CSI_SANITY is not set; scripts/tools csi-sanity prints what it must be");
    let node = Node::new();
    let _plugin = start(&node);
    let volume = node.volume("secrets");
    let proxy_socket = node.script().join("proxy.sock");
    let check = check_path(&node.script(), &volume.target);
    let output = block_on(async {
        let proxy = Proxy {
            plugin: node.connect(DRIVER).await.channel(),
            volume: volume.clone(),
        };
        let listener = UnixListenerStream::new(UnixListener::bind(&proxy_socket).unwrap());
        let server = Server::builder()
            .add_service(IdentityServer::new(proxy.clone()))
            .add_service(NodeServer::new(proxy.clone()))
            .add_service(ControllerServer::new(proxy))
            .serve_with_incoming(listener);
        let mut command = Command::new(sanity);
        command
            .arg(format!("--csi.endpoint={}", proxy_socket.display()))
            .arg(format!(
                "--csi.mountdir={}",
                node.script().join("mnt").display()
            ))
            .arg(format!("--csi.checkpathcmd={check}"))
            .args([
                "--ginkgo.skip=Controller",
                "--ginkgo.no-color",
                "--ginkgo.v",
            ]);
        let running = tokio::task::spawn_blocking(move || command.output().unwrap());
        tokio::select! {
            ended = server => panic!("the proxy ended: {ended:?}"),
            output = running => output.unwrap(),
        }
    });
    let report = String::from_utf8_lossy(&output.stdout);
    let summary = format!("{SPECS} Passed | 0 Failed");
    assert!(
        output.status.success() && report.contains(&summary),
        "{report}"
    );
    assert_eq!(
        envlatch_csi_tests::volume::mounts(&volume.target),
        Vec::<String>::new()
    );
}

/// What csi-sanity asks whether the target is there; it means its own path, and kubelet's counts.
fn check_path(directory: &Path, target: &Path) -> String {
    let path = directory.join("check");
    let script = format!(
        "#!/bin/sh\nif [ -d {} ]; then echo directory; else echo not_found; fi\n",
        target.display()
    );
    executable(&path, script.as_bytes());
    path.display().to_string()
}
