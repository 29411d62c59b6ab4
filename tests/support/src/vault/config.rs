//! What a server is started with: its binary, its directory, its configuration.

use std::env::temp_dir;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lasting::free_port;
use crate::tls::Identity;
use crate::tool::tool;

/// Where a server keeps its data.
pub(super) enum Storage<'a> {
    Memory,
    /// On disk, together with other servers; `id` is its name among them
    Raft {
        id: &'a str,
    },
}

/// How a server is reached.
pub(super) enum Listener<'a> {
    Http,
    Https(&'a Identity),
}

/// A directory for a server. Its name tells which process it belongs to, because a server in a static is never dropped:
/// what earlier processes left behind is removed here.
pub(super) fn folder() -> TempDir {
    const PREFIX: &str = "envlatch-vault-";
    let entries = fs::read_dir(temp_dir()).expect("the temporary directory can be read");
    for entry in entries.flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test process may be faster.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    TempDir::with_prefix(prefix).expect("cannot make a temporary directory")
}

/// Writes a configuration file for a server on a free port. Returns the file and the server's address.
pub(super) fn configure(
    folder: &Path,
    host: &str,
    storage: &Storage<'_>,
    listener: &Listener<'_>,
) -> (PathBuf, String) {
    let (port, cluster_port) = (free_port(host), free_port(host));
    let mut tcp = json!({
        "address": format!("{host}:{port}"),
        "cluster_address": format!("{host}:{cluster_port}"),
    });
    let scheme = match listener {
        Listener::Http => {
            tcp["tls_disable"] = Value::Bool(true);
            "http"
        }
        Listener::Https(identity) => {
            tcp["tls_cert_file"] = write(folder, "server.pem", &identity.certificate_pem);
            tcp["tls_key_file"] = write(folder, "server.key", &identity.key_pem);
            "https"
        }
    };
    let address = format!("{scheme}://{host}:{port}");
    let config = json!({
        "storage": storage.config(folder),
        "listener": { "tcp": tcp },
        "api_addr": address,
        "cluster_addr": format!("https://{host}:{cluster_port}"),
        "disable_mlock": true,
        "log_level": "info",
    });
    write(folder, "vault.json", &config.to_string());
    (folder.join("vault.json"), address)
}

/// The server's binary.
pub(super) fn binary() -> PathBuf {
    tool("ENVLATCH_VAULT", "vault")
}

// === impl Storage ===

impl Storage<'_> {
    fn config(&self, folder: &Path) -> Value {
        match self {
            Self::Memory => json!({ "inmem": {} }),
            Self::Raft { id } => {
                let data = folder.join("raft");
                fs::create_dir_all(&data).expect("cannot make the storage's directory");
                // Intervals as short as they go: by default a cluster needs 20 seconds to form. Elections keep their default,
                // because a node that a busy machine holds up for a second is to stay the active one.
                json!({ "raft": {
                    "path": data,
                    "node_id": id,
                    "performance_multiplier": "5",
                    "autopilot_reconcile_interval": "200ms",
                    "autopilot_update_interval": "200ms",
                }})
            }
        }
    }
}

/// Writes a file and returns its path, as JSON.
fn write(folder: &Path, name: &str, content: &str) -> Value {
    let path = folder.join(name);
    fs::write(&path, content).expect("cannot write the server's files");
    json!(path)
}
