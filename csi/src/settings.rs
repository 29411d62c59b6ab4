//! The plugin's settings, from flags or the environment, and checked while they are parsed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use envlatch_service::log::LogSettings;

/// Flags; each can also be given as the environment variable that its help names.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Name of the CSI driver; repeat it to serve several names, our own and one that we stand in for
    #[arg(
        long = "driver-name",
        env = "ENVLATCH_DRIVER_NAME",
        default_value = "csi.envlatch.io",
        value_delimiter = '\n',
        value_parser = driver_name
    )]
    pub driver_names: Vec<String>,

    /// Name of this node in Kubernetes
    #[arg(long, env = "ENVLATCH_NODE_NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub node_name: String,

    /// Kubelet's root directory, at the same path in this container as on the node
    #[arg(long, env = "ENVLATCH_KUBELET_DIR", default_value = "/var/lib/kubelet", value_parser = absolute)]
    pub kubelet_dir: PathBuf,

    /// Memory for the volumes of this node; a volume counts with twice its files and 64KiB
    #[arg(long, env = "ENVLATCH_NODE_BUDGET", default_value = "256MiB", value_parser = size)]
    pub node_budget: u64,

    /// Memory for the volumes of one namespace on this node
    #[arg(long, env = "ENVLATCH_NAMESPACE_BUDGET", default_value = "64MiB", value_parser = size)]
    pub namespace_budget: u64,

    /// Largest volume, as the sum of its files
    #[arg(long, env = "ENVLATCH_VOLUME_SIZE", default_value = "4MiB", value_parser = size)]
    pub volume_size: u64,

    /// Most files in a volume
    #[arg(long, env = "ENVLATCH_VOLUME_FILES", default_value_t = 1024)]
    pub volume_files: usize,

    /// Memory for what is remembered about volumes when the plugin restarts
    #[arg(long, env = "ENVLATCH_STATE_SIZE", default_value = "16MiB", value_parser = size)]
    pub state_size: u64,

    /// How long a pod's first mount waits for its secrets before kubelet has to ask again; kubelet gives it 2 minutes
    #[arg(long, env = "ENVLATCH_PUBLISH_TIMEOUT", default_value = "100s", value_parser = humantime::parse_duration)]
    pub publish_timeout: Duration,

    /// How long calls that run may take after SIGTERM
    #[arg(long, env = "ENVLATCH_DRAIN_TIMEOUT", default_value = "20s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,

    /// Where /healthz, /readyz and /metrics are served over HTTP
    #[arg(
        long,
        env = "ENVLATCH_METRICS_ADDRESS",
        default_value = "127.0.0.1:9896"
    )]
    pub metrics_address: SocketAddr,

    /// Messages
    #[command(flatten)]
    pub log: LogSettings,
}

/// The CSI specification's form of a driver name. It becomes part of paths.
fn driver_name(text: &str) -> Result<String, &'static str> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    if bytes.len() > 63
        || !bytes.iter().copied().all(known)
        || !ends(bytes.first())
        || !ends(bytes.last())
    {
        return Err(
            "a driver name has at most 63 letters, digits, \"-\" and \".\", such as csi.envlatch.io",
        );
    }
    Ok(text.to_owned())
}

fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let clean = text.starts_with('/')
        && text.len() > 1
        && text[1..]
            .split('/')
            .all(|part| !["", ".", ".."].contains(&part));
    if clean {
        Ok(PathBuf::from(text))
    } else {
        Err(
            "an absolute path without \"..\" and without a slash at the end, such as /var/lib/kubelet",
        )
    }
}

fn size(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, 1_u64 << shift)))
        .unwrap_or((text, 1));
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| *bytes > 0)
        .ok_or("a size in bytes, or with KiB, MiB or GiB, such as 64MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        for wrong in ["", "0", "-1", "1MB", "MiB", "1.5MiB", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_and_directories_cannot_lead_elsewhere() {
        assert!(driver_name("secrets-store.csi.k8s.io").is_ok());
        for wrong in ["", ".", "..", "a/b", "-a", "a.", &"a".repeat(64)] {
            assert!(driver_name(wrong).is_err(), "{wrong}");
        }
        assert!(absolute("/var/lib/kubelet").is_ok());
        for wrong in ["", "/", "kubelet", "/a/", "/a/../b", "//a", "/a/./b"] {
            assert!(absolute(wrong).is_err(), "{wrong}");
        }
    }
}
