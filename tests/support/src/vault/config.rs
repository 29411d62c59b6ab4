//! What a server is started with: its binary, its directory, its configuration.

use std::env::{temp_dir, var_os};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lasting::free_port;
use crate::tls::Identity;

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
    storage: &Storage<'_>,
    listener: &Listener<'_>,
) -> (PathBuf, String) {
    let (port, cluster_port) = (free_port(), free_port());
    let mut tcp = json!({
        "address": format!("127.0.0.1:{port}"),
        "cluster_address": format!("127.0.0.1:{cluster_port}"),
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
    let address = format!("{scheme}://127.0.0.1:{port}");
    let config = json!({
        "storage": storage.config(folder),
        "listener": { "tcp": tcp },
        "api_addr": address,
        "cluster_addr": format!("https://127.0.0.1:{cluster_port}"),
        "disable_mlock": true,
        "log_level": "info",
    });
    write(folder, "vault.json", &config.to_string());
    (folder.join("vault.json"), address)
}

/// The server's binary.
///
/// # Panics
/// When there is none.
pub(super) fn binary() -> PathBuf {
    let variable = |name| var_os(name).map(PathBuf::from);
    let path = variable("ENVLATCH_VAULT").unwrap_or_else(|| {
        variable("ENVLATCH_CACHE")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("envlatch")))
            .or_else(|| Some(variable("HOME")?.join(".cache/envlatch")))
            .expect("HOME is set")
            .join("bin/vault")
    });
    assert!(
        path.is_file(),
        "no Vault at {}: run `scripts/test servers`, which builds it, or set ENVLATCH_VAULT",
        path.display()
    );
    path
}

// === impl Storage ===

impl Storage<'_> {
    fn config(&self, folder: &Path) -> Value {
        match self {
            Self::Memory => json!({ "inmem": {} }),
            Self::Raft { id } => {
                let data = folder.join("raft");
                fs::create_dir_all(&data).expect("cannot make the storage's directory");
                // All intervals as short as they go: by default a cluster needs 20 seconds to form.
                json!({ "raft": {
                    "path": data,
                    "node_id": id,
                    "performance_multiplier": "1",
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
