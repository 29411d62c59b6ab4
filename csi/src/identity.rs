//! The CSI Identity service, and the Registration service by which kubelet finds it.

use std::collections::BTreeMap;
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
    /// How many driver names there are
    names: usize,
    /// The names that kubelet does not want, each with kubelet's own words
    refused: watch::Sender<BTreeMap<String, String>>,
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
    pub(crate) fn new(mounter: Mounter, names: usize) -> Self {
        Self {
            mounter,
            draining: Arc::default(),
            names,
            refused: watch::Sender::default(),
        }
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Kubelet's word on the registration of a name: its reason when it refuses it.
    fn judged(&self, driver: &str, refusal: Option<String>) {
        self.refused.send_modify(|refused| match refusal {
            Some(reason) => drop(refused.insert(driver.to_owned(), reason)),
            None => drop(refused.remove(driver)),
        });
    }

    /// Waits until kubelet has refused every name. It may look at them again only when the sockets are made anew, which a restart does
    /// (kubernetes, pkg/kubelet/pluginmanager/operationexecutor/operation_generator.go). While one name is served, it goes on: another
    /// driver may have the others still, and kubelet asks again for those.
    pub(crate) async fn refused(&self) {
        let all = |refused: &BTreeMap<_, _>| refused.len() == self.names;
        // An error is impossible: the sender is here.
        let _ = self.refused.subscribe().wait_for(all).await;
    }

    /// How the plugin ends.
    ///
    /// # Errors
    /// Kubelet has refused every name.
    pub(crate) fn conclusion(&self) -> Result<(), StartError> {
        if self.refused.borrow().len() < self.names {
            return Ok(());
        }
        self.accepted()
    }

    /// Whether kubelet wants the plugin.
    ///
    /// # Errors
    /// A name that it has refused.
    fn accepted(&self) -> Result<(), StartError> {
        match self.refused.borrow().first_key_value() {
            Some((driver, reason)) => Err(StartError::Refused {
                driver: driver.clone(),
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether it works and kubelet wants it under each of its names.
    ///
    /// # Errors
    /// Why this plugin is not ready.
    pub(crate) async fn check(&self) -> Result<(), String> {
        self.accepted().map_err(|refused| refused.to_string())?;
        self.works().await
    }

    /// Tries it: the mounter makes a file system and throws it away.
    async fn works(&self) -> Result<(), String> {
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
        let ready = self.readiness.works().await;
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
        let driver = &self.driver;
        if status.plugin_registered {
            tracing::info!(driver, "registered with kubelet");
            self.readiness.judged(driver, None);
        } else {
            let reason = status.error;
            tracing::error!(driver, "kubelet refuses to register the plugin: {reason}");
            self.readiness.judged(driver, Some(reason));
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
