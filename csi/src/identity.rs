//! The CSI Identity service, and the Registration service by which kubelet finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::mounter::Mounter;
use crate::proto::csi::identity_server::Identity;
use crate::proto::csi::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest,
    GetPluginInfoResponse, ProbeRequest, ProbeResponse,
};
use crate::proto::registration::registration_server::Registration;
use crate::proto::registration::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use crate::start::StartError;

/// Whether this plugin can do its work: kubelet has not refused it, it is not draining, and mounting works.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    mounter: Mounter,
    draining: Arc<AtomicBool>,
    refusal: watch::Sender<Option<Refusal>>,
}

/// Kubelet does not want the plugin.
#[derive(Clone, Debug)]
struct Refusal {
    driver: String,
    /// Kubelet's own words.
    reason: String,
}

/// Identity under one driver name.
pub(crate) struct IdentityService {
    pub(crate) driver: String,
    pub(crate) readiness: Readiness,
}

/// Registration of one driver name.
pub(crate) struct RegistrationService {
    pub(crate) driver: String,
    /// The socket of the driver, as kubelet sees it.
    pub(crate) endpoint: String,
    pub(crate) readiness: Readiness,
}

// === impl Readiness ===

impl Readiness {
    pub(crate) fn new(mounter: Mounter) -> Self {
        Self {
            mounter,
            draining: Arc::default(),
            refusal: watch::Sender::new(None),
        }
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Waits until kubelet refuses to register the plugin. Then it may look at it again only when the socket is made anew,
    /// which a restart does (kubernetes, pkg/kubelet/pluginmanager/operationexecutor/operation_generator.go).
    pub(crate) async fn refused(&self) {
        // An error is impossible: the sender is here.
        let _ = self.refusal.subscribe().wait_for(Option::is_some).await;
    }

    /// Whether the plugin may go on, as far as kubelet is concerned.
    ///
    /// # Errors
    /// Kubelet has refused it; it ends with this error.
    pub(crate) fn accepted(&self) -> Result<(), StartError> {
        match &*self.refusal.borrow() {
            Some(Refusal { driver, reason }) => Err(StartError::Refused {
                driver: driver.clone(),
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Tries it: the mounter makes a file system and throws it away.
    ///
    /// # Errors
    /// Why this plugin is not ready.
    pub(crate) async fn check(&self) -> Result<(), String> {
        self.accepted().map_err(|refused| refused.to_string())?;
        if self.draining.load(Ordering::SeqCst) {
            return Err("the plugin is ending".to_owned());
        }
        let mounter = self.mounter.clone();
        match tokio::task::spawn_blocking(move || mounter.probe()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(failure.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(
        &self,
        _request: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: self.driver.clone(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: Default::default(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _request: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        Ok(Response::new(GetPluginCapabilitiesResponse::default()))
    }

    async fn probe(
        &self,
        _request: Request<ProbeRequest>,
    ) -> Result<Response<ProbeResponse>, Status> {
        let ready = self.readiness.check().await;
        if let Err(reason) = &ready {
            tracing::warn!("not ready: {reason}");
        }
        Ok(Response::new(ProbeResponse {
            ready: Some(ready.is_ok()),
        }))
    }
}

#[tonic::async_trait]
impl Registration for RegistrationService {
    async fn get_info(
        &self,
        _request: Request<InfoRequest>,
    ) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: self.driver.clone(),
            endpoint: self.endpoint.clone(),
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        if status.plugin_registered {
            tracing::info!(driver = self.driver, "registered with kubelet");
        } else {
            self.readiness.refusal.send_replace(Some(Refusal {
                driver: self.driver.clone(),
                reason: status.error,
            }));
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
