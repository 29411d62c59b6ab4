//! A real PostgreSQL server, that of Debian's package `postgresql`, for credentials that a Vault makes and ends.
//!
//! It listens on a free port of 127.0.0.1, keeps everything in a temporary directory, and ends with the value that stands
//! for it. PostgreSQL refuses to run as root: there it runs as the package's user `postgres`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{User, geteuid};
use tempfile::TempDir;

use crate::eventually;
use crate::lasting::{self, LOOPBACK, free_port, spawn};
use crate::turn::turn;

/// How long the server may take to start. It takes one second on an idle machine, and many start at once.
const READY: Duration = Duration::from_secs(120);

const SUPERUSER: &str = "postgres";

/// A PostgreSQL server with an empty database.
pub struct Postgres {
    folder: TempDir,
    child: Child,
    port: u16,
    password: String,
}

// === impl Postgres ===

impl Postgres {
    /// Starts a server.
    ///
    /// # Panics
    /// When the package is missing, or the server does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("envlatch-postgres-").expect("cannot make a directory");
        if let Some(user) = other_user() {
            chown(
                folder.path(),
                Some(user.uid.as_raw()),
                Some(user.gid.as_raw()),
            )
            .expect("root may chown");
        }
        let password = crate::canary();
        let secret = folder.path().join("password");
        fs::write(&secret, &password).expect("cannot write a file");
        let _turn = turn();
        initialise(folder.path(), &secret);
        let port = free_port(LOOPBACK);
        let log = fs::File::create(folder.path().join("log")).expect("cannot write a file");
        let mut command = server_command("postgres");
        command
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", ""])
            .args([
                "-c",
                "fsync=off",
                "-c",
                "shared_buffers=16MB",
                "-c",
                "max_connections=20",
            ])
            .stdout(log.try_clone().expect("a descriptor is free"))
            .stderr(log);
        let mut server = Self {
            child: spawn(command),
            folder,
            port,
            password,
        };
        eventually("PostgreSQL answers", READY, || {
            let ended = server.child.try_wait().expect("the child is ours");
            assert!(
                ended.is_none(),
                "PostgreSQL does not start: {}",
                server.log()
            );
            server.accepts(SUPERUSER, &server.password).then_some(())
        });
        server
    }

    /// The connection for the engine `postgresql-database-plugin` of a Vault, with its placeholders for name and password.
    #[must_use]
    pub fn connection_url(&self) -> String {
        format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// The name of who may do everything.
    #[must_use]
    pub fn superuser(&self) -> &'static str {
        SUPERUSER
    }

    /// The password of the superuser.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The answer to a query as the superuser, one row per line.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        let output = self.try_query(SUPERUSER, &self.password, sql);
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("the answer is text")
            .trim()
            .to_owned()
    }

    /// The names of all roles that a Vault made.
    #[must_use]
    pub fn issued(&self) -> Vec<String> {
        let rows =
            self.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%' ORDER BY rolname");
        rows.lines().map(str::to_owned).collect()
    }

    /// Whether somebody gets in.
    #[must_use]
    pub fn accepts(&self, user: &str, password: &str) -> bool {
        self.try_query(user, password, "SELECT 1").status.success()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn try_query(&self, user: &str, password: &str, sql: &str) -> Output {
        Command::new(binary("psql"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                user,
                "-d",
                "postgres",
            ])
            .args([
                "--no-psqlrc",
                "--tuples-only",
                "--no-align",
                "--command",
                sql,
            ])
            .env_clear()
            .env("PGPASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .expect("psql can be started")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate shutdown: its processes end with it. Fails when it has ended already, which is what is wanted.
        let _ = kill(lasting::pid(&self.child), Signal::SIGQUIT);
        let _ = self.child.wait();
    }
}

fn initialise(folder: &Path, password: &Path) {
    let output = server_command("initdb")
        .arg("-D")
        .arg(folder.join("data"))
        .args([
            "--username",
            SUPERUSER,
            "--auth",
            "scram-sha-256",
            "--no-sync",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
        ])
        .arg("--pwfile")
        .arg(password)
        .output()
        .expect("setpriv (package util-linux) can be started");
    assert!(
        output.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A program of the server, as a user that it accepts, and killed with this process at the latest.
fn server_command(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = other_user() {
        command.args([
            "--reuid",
            &user.uid.to_string(),
            "--regid",
            &user.gid.to_string(),
            "--clear-groups",
        ]);
    }
    command
        .args(["--pdeathsig", "KILL"])
        .arg(binary(name))
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    command
}

/// Who runs the server, when it must be somebody else.
fn other_user() -> Option<User> {
    let user = || {
        User::from_name(SUPERUSER)
            .ok()
            .flatten()
            .expect("the package postgresql makes its user")
    };
    geteuid().is_root().then(user)
}

/// A program of the newest installed version.
fn binary(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is missing: apt-get install postgresql");
    let versions = versions.flatten().map(|version| version.path());
    let newest = versions.max_by_key(|version| {
        let number = version
            .file_name()
            .and_then(|name| name.to_str()?.parse::<u32>().ok());
        number.unwrap_or_default()
    });
    let path = newest
        .map(|version| version.join("bin").join(name))
        .unwrap_or_default();
    assert!(
        path.is_file(),
        "no {name} at {}: apt-get install postgresql",
        path.display()
    );
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL: scripts/test servers"]
    fn a_server_answers_and_has_issued_nothing() {
        let server = Postgres::start();
        assert_eq!(server.query("SELECT 1 + 1"), "2");
        assert!(server.issued().is_empty());
        assert!(
            server
                .connection_url()
                .contains("{{username}}:{{password}}@127.0.0.1:")
        );
    }
}
