//! The CSI Node service. Calls are checked, handed on and counted here; what they do is in `volumes`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tonic::{Code, Request, Response, Status};

use crate::proto::csi::node_server::Node;
use crate::proto::csi::node_service_capability::{Rpc, Type, rpc};
use crate::proto::csi::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest,
    NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse,
    NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, NodePublishVolumeRequest,
    NodePublishVolumeResponse, NodeServiceCapability, NodeStageVolumeRequest,
    NodeStageVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse,
    NodeUnstageVolumeRequest, NodeUnstageVolumeResponse, VolumeUsage, volume_usage,
};
use crate::request;
use crate::source::Source;
use crate::target::Target;
use crate::volumes::Volumes;

/// The service under one driver name.
pub(crate) struct NodeService<S> {
    pub(crate) driver: String,
    pub(crate) node_name: String,
    pub(crate) kubelet: PathBuf,
    pub(crate) volumes: Arc<Volumes<S>>,
}

// === impl NodeService ===

impl<S: Source> NodeService<S> {
    async fn counted<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        let begin = Instant::now();
        let result = call.await;
        let code = result.as_ref().err().map_or(Code::Ok, Status::code);
        let metrics = &self.volumes.metrics;
        metrics.called(method, code, begin.elapsed());
        let (volumes, bytes) = self.volumes.budget.totals();
        metrics
            .volumes
            .set(i64::try_from(volumes).unwrap_or(i64::MAX));
        metrics
            .reserved
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        if let Err(status) = &result {
            tracing::warn!(method, ?code, "{}", status.message());
        }
        result.map(Response::new)
    }

    async fn publish(
        &self,
        message: NodePublishVolumeRequest,
    ) -> Result<NodePublishVolumeResponse, Status> {
        let wanted = request::publish(message, &self.driver, &self.kubelet)?;
        self.volumes.publish(wanted).await?;
        Ok(NodePublishVolumeResponse {})
    }

    async fn unpublish(
        &self,
        message: NodeUnpublishVolumeRequest,
    ) -> Result<NodeUnpublishVolumeResponse, Status> {
        let volume_id = request::volume_id(&message.volume_id)?;
        let target = request::target(&message.target_path, &self.kubelet)?;
        self.volumes.unpublish(&volume_id, &target).await?;
        Ok(NodeUnpublishVolumeResponse {})
    }

    async fn statistics(
        &self,
        message: NodeGetVolumeStatsRequest,
    ) -> Result<NodeGetVolumeStatsResponse, Status> {
        let volume_id = request::volume_id(&message.volume_id)?;
        if message.volume_path.is_empty() {
            return Err(Status::invalid_argument(
                "InvalidRequest: volume_path is missing",
            ));
        }
        let unknown = || Status::not_found("VolumeNotFound: no such volume is mounted there");
        let target = Target::parse(&message.volume_path, &self.kubelet)
            .map_err(|_another_place| unknown())?;
        let statistics = self
            .volumes
            .statistics(&volume_id, &target)
            .await?
            .ok_or_else(unknown)?;
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let usage = |unit: volume_usage::Unit, total: u64, free: u64, scale: u64| VolumeUsage {
            unit: unit.into(),
            total: number(total * scale),
            available: number(free * scale),
            used: number((total - free.min(total)) * scale),
        };
        let pages = statistics.f_frsize;
        Ok(NodeGetVolumeStatsResponse {
            usage: vec![
                usage(
                    volume_usage::Unit::Bytes,
                    statistics.f_blocks,
                    statistics.f_bfree,
                    pages,
                ),
                usage(
                    volume_usage::Unit::Inodes,
                    statistics.f_files,
                    statistics.f_ffree,
                    1,
                ),
            ],
            volume_condition: None,
        })
    }
}

#[tonic::async_trait]
impl<S: Source> Node for NodeService<S> {
    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        self.counted("NodePublishVolume", self.publish(request.into_inner()))
            .await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        self.counted("NodeUnpublishVolume", self.unpublish(request.into_inner()))
            .await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        self.counted("NodeGetVolumeStats", self.statistics(request.into_inner()))
            .await
    }

    async fn node_get_capabilities(
        &self,
        _request: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        let capabilities = [rpc::Type::VolumeMountGroup, rpc::Type::GetVolumeStats];
        let capability = |rpc: rpc::Type| NodeServiceCapability {
            r#type: Some(Type::Rpc(Rpc { r#type: rpc.into() })),
        };
        Ok(Response::new(NodeGetCapabilitiesResponse {
            capabilities: capabilities.map(capability).into(),
        }))
    }

    async fn node_get_info(
        &self,
        _request: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        Ok(Response::new(NodeGetInfoResponse {
            node_id: self.node_name.clone(),
            ..Default::default()
        }))
    }

    async fn node_stage_volume(
        &self,
        _request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        Err(Status::unimplemented("inline volumes are not staged"))
    }

    async fn node_unstage_volume(
        &self,
        _request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        Err(Status::unimplemented("inline volumes are not staged"))
    }

    async fn node_expand_volume(
        &self,
        _request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        Err(Status::unimplemented(
            "a volume has the size that its files need",
        ))
    }
}
