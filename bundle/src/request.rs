//! One volume of one pod, as the node half hands it over.

use std::collections::BTreeMap;
use std::time::SystemTime;

use data_encoding::BASE64URL_NOPAD;
use envlatch_vault::Secret;
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::problem::Code;
use crate::store::Access;

/// A volume that is to be filled.
#[derive(Clone, Debug)]
pub struct VolumeRequest {
    /// Kubelet's name for it, the same for the life of the pod
    pub volume_id: String,
    /// The pod
    pub pod: Pod,
    /// What the tenant wrote into `volumeAttributes`, and nothing else
    pub attributes: BTreeMap<String, String>,
    /// The pod's tokens by audience
    pub tokens: BTreeMap<String, Token>,
    /// Whether the pod declared the volume `readOnly: true`
    pub read_only: bool,
    /// Where it is mounted on the node; only for the pod status of the Secrets Store CSI Driver
    pub target_path: String,
}

/// Who asks, in kubelet's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Name
    pub name: String,
    /// Namespace
    pub namespace: String,
    /// UID
    pub uid: String,
    /// Name of its service account
    pub service_account: String,
}

/// A token of a service account, bound to the pod.
#[derive(Clone, Debug)]
pub struct Token {
    /// The JWT
    pub jwt: Secret,
    /// When it ends
    pub expires_at: SystemTime,
}

/// The claims that kubelet's tokens have beside the usual ones.
#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Deserialize)]
struct Kubernetes {
    serviceaccount: ServiceAccount,
}

#[derive(Deserialize)]
struct ServiceAccount {
    uid: String,
}

// === impl VolumeRequest ===

impl VolumeRequest {
    /// The token to present to the store.
    ///
    /// # Errors
    /// Kubelet passed none for the audience, or it has expired.
    pub(crate) fn token(&self, access: &Access) -> Result<&Token, Problem> {
        let found = access
            .audiences
            .iter()
            .find_map(|audience| Some((audience, self.tokens.get(audience)?)));
        let Some((audience, token)) = found else {
            return Err(Problem::new(
                Code::FailedPrecondition,
                "AudienceMissing",
                format!(
                    "kubelet passed no token for the audience {} of VaultStore {}; add it to the chart's tokenAudiences",
                    access.audiences.join(" or "),
                    access.store
                ),
            ));
        };
        if token.expires_at <= SystemTime::now() {
            let text = format!(
                "the token for the audience {audience} has expired; check the clocks of the node and of the API server"
            );
            return Err(Problem::new(Code::FailedPrecondition, "TokenExpired", text));
        }
        Ok(token)
    }
}

// === impl Token ===

impl Token {
    /// The uid of the service account. The signature is not checked: the token comes from kubelet, and the server verifies it.
    pub(crate) fn service_account_uid(&self) -> Option<String> {
        let payload = self.jwt.expose_str()?.split('.').nth(1)?;
        let json = Secret::new(BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?);
        let claims: Claims = serde_json::from_slice(json.expose()).ok()?;
        Some(claims.kubernetes.serviceaccount.uid).filter(|uid| !uid.is_empty())
    }
}
