//! The operator's settings, from flags or the environment, and checked while they are parsed.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use envlatch_service::kubernetes::KubernetesSettings;
use envlatch_service::log::LogSettings;

/// Flags; each can also be given as the environment variable that its help names.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Namespaces whose bundles are synced, separated by commas
    #[arg(
        long,
        env = "ENVLATCH_NAMESPACES",
        value_delimiter = ',',
        value_parser = label,
        required_unless_present = "all_namespaces",
        conflicts_with = "all_namespaces"
    )]
    pub namespaces: Vec<String>,

    /// Sync the bundles of every namespace; needs the right to read every Secret and to mint every token
    #[arg(long, env = "ENVLATCH_ALL_NAMESPACES")]
    pub all_namespaces: bool,

    /// Sync the secretObjects of SecretProviderClasses whose annotation envlatch.io/sync-service-account names an account
    #[arg(long, env = "ENVLATCH_SECRET_OBJECTS")]
    pub secret_objects: bool,

    /// Remove the finalizers of all bundles, so that they can be deleted without the operator, and end
    #[arg(long, env = "ENVLATCH_REMOVE_FINALIZERS")]
    pub remove_finalizers: bool,

    /// Namespace of the operator itself, where its Leases and its key are
    #[arg(long, env = "ENVLATCH_OWN_NAMESPACE", value_parser = label)]
    pub own_namespace: String,

    /// Name of this replica, such as its pod's
    #[arg(long, env = "ENVLATCH_INSTANCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub instance: String,

    /// Bundles that are worked on at the same time
    #[arg(long, env = "ENVLATCH_WORKERS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub workers: u16,

    /// Into how many parts the bundles are divided, of which each replica takes its share; the same for every replica
    #[arg(long, env = "ENVLATCH_SHARDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,

    /// How long a replica that is gone keeps its part of the work
    #[arg(long, env = "ENVLATCH_LEASE_DURATION", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,

    /// How long a deleted bundle stays while its credentials cannot be revoked; what is left then is named in an event
    #[arg(long, env = "ENVLATCH_REVOKE_WITHIN", default_value = "5m", value_parser = humantime::parse_duration)]
    pub revoke_within: Duration,

    /// Where /healthz, /readyz and /metrics are served over HTTP
    #[arg(
        long,
        env = "ENVLATCH_METRICS_ADDRESS",
        default_value = "127.0.0.1:9897"
    )]
    pub metrics_address: SocketAddr,

    /// Where the API server is
    #[command(flatten)]
    pub kubernetes: KubernetesSettings,

    /// Messages
    #[command(flatten)]
    pub log: LogSettings,
}

/// The form of a namespace's name (RFC 1123 label).
fn label(text: &str) -> Result<String, &'static str> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let bytes = text.as_bytes();
    let is_name = (1..=63).contains(&bytes.len())
        && bytes.iter().copied().all(known)
        && !text.starts_with('-')
        && !text.ends_with('-');
    is_name
        .then(|| text.to_owned())
        .ok_or("the name of a namespace: lower-case letters, digits and \"-\"")
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let fits = (Duration::from_secs(3)..=Duration::from_secs(300)).contains(&duration);
    fits.then_some(duration)
        .ok_or_else(|| "from 3s to 300s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_durations() {
        assert_eq!(label("team-a").as_deref(), Ok("team-a"));
        for wrong in ["", "-a", "a-", "A", "a b", "a/b", "a.b", &"a".repeat(64)] {
            assert!(label(wrong).is_err(), "{wrong}");
        }
        assert!(lease_duration("15s").is_ok());
        for wrong in ["1s", "301s", "15", "-1s"] {
            assert!(lease_duration(wrong).is_err(), "{wrong}");
        }
    }
}
