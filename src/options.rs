//! Every option of `run` and `check`: one table, from which the command line, the `ENVLATCH_*` twins, the help text and
//! the documentation are made.

/// One option.
pub(crate) struct Opt {
    /// The long flag without `--`
    pub(crate) name: &'static str,
    /// The word for its value in the help; `None` for a switch
    pub(crate) value: Option<&'static str>,
    /// May be given several times; the twin holds one per line
    pub(crate) list: bool,
    /// Whether there is an `ENVLATCH_*` twin
    pub(crate) twin: bool,
    /// What it does, its unit and its default
    pub(crate) help: &'static str,
}

/// Options under one heading of the help.
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    pub(crate) options: &'static [Opt],
}

const fn one(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt {
        name,
        value: Some(value),
        list: false,
        twin: true,
        help,
    }
}

const fn list(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt {
        name,
        value: Some(value),
        list: true,
        twin: true,
        help,
    }
}

const fn switch(name: &'static str, help: &'static str) -> Opt {
    Opt {
        name,
        value: None,
        list: false,
        twin: true,
        help,
    }
}

const SOURCES: Section = Section {
    heading: "Sources",
    options: &[
        list(
            "dir",
            "PATH",
            "Every file of a directory, as a CSI volume or Docker's /run/secrets holds them",
        ),
        #[cfg(feature = "vault")]
        list(
            "from",
            "PATH[#VERSION]",
            "All keys of a path on the server, such as secret/data/app",
        ),
        Opt {
            name: "env",
            value: Some("NAME=REF"),
            list: true,
            twin: false,
            help: "One variable from a reference: vault:PATH#KEY, file:PATH, or text with ${vault:PATH#KEY} inside",
        },
        list(
            "env-file",
            "FILE",
            "Lines of NAME=REF; blank lines and lines that start with # are skipped",
        ),
    ],
};

const NAMES: Section = Section {
    heading: "Names",
    options: &[
        one(
            "names",
            "keep|upper",
            "How files and keys become names; upper makes DB_PASSWORD of db-password [default: keep]",
        ),
        one(
            "prefix",
            "TEXT",
            "Put before each name made from a file or key",
        ),
        list(
            "only",
            "GLOB",
            "Take only these files and keys; * is any text, ? one character",
        ),
        list(
            "except",
            "GLOB",
            "Leave these files and keys out; they are not even opened",
        ),
        list(
            "allow-name",
            "NAME",
            "Let a file or key set this name although it is refused or unusual",
        ),
        one(
            "on-conflict",
            "overwrite|keep|error",
            "When two sources give one name [default: overwrite]",
        ),
    ],
};

#[cfg(feature = "vault")]
const SERVER: Section = Section {
    heading: "Server",
    options: &[
        one(
            "addr",
            "URL[,URL]",
            "Addresses, tried in turn; also VAULT_ADDR or BAO_ADDR",
        ),
        one(
            "namespace",
            "PATH",
            "Namespace on the server; also VAULT_NAMESPACE",
        ),
        one(
            "auth",
            "METHOD",
            "How to log in: kubernetes, jwt, approle, cert, userpass or token; also VAULT_AUTH_METHOD",
        ),
        one(
            "auth-mount",
            "PATH",
            "Where the auth method is mounted; also VAULT_PATH",
        ),
        one("role", "NAME", "Role to log in with; also VAULT_ROLE"),
        one(
            "jwt-file",
            "FILE",
            "File with the token to log in with; also VAULT_JWT_FILE",
        ),
        one(
            "token-file",
            "FILE",
            "File with a server token, instead of a login; also VAULT_TOKEN_FILE",
        ),
        one(
            "ca",
            "FILE",
            "Certificate authorities of the server, PEM; also VAULT_CACERT",
        ),
        list(
            "redirect-hosts",
            "HOST[:PORT]",
            "Hosts outside --addr that a redirect may lead to, token included",
        ),
        one(
            "timeout",
            "DURATION",
            "How long to keep trying in all, such as 30s or 2m [default: 60s]",
        ),
        switch(
            "ignore-missing",
            "A path, key or version that does not exist leaves its variable unset",
        ),
    ],
};

const CHILD: Section = Section {
    heading: "Program",
    options: &[
        list(
            "pass",
            "NAME|GLOB",
            "Hand this variable on although the launcher reads it as a setting or credential",
        ),
        one(
            "max-file-size",
            "SIZE",
            "Largest file that is read, such as 64KiB [default: 1MiB]",
        ),
        switch(
            "keep-newline",
            "Keep the newlines at the end of a file, which are cut as $(cat FILE) does",
        ),
        one(
            "termination-log",
            "PATH",
            "Where a failure is written as well, if the file exists [default: /dev/termination-log]",
        ),
        one(
            "log-level",
            "LEVEL",
            "error, warn, info, debug or trace, to stderr [default: warn]",
        ),
        one("log-format", "text|json", "[default: text]"),
    ],
};

#[cfg(feature = "stay")]
const STAYING: Section = Section {
    heading: "Staying",
    options: &[
        one(
            "on-change",
            "none|signal:SIGNAL|restart|exit",
            "Stay beside the program, and do this when its environment would be another now [default: none]",
        ),
        one(
            "splay",
            "DURATION",
            "Longest wait between a change and the action, the same for this pod each time [default: 30s]",
        ),
        one(
            "grace",
            "DURATION",
            "How long the program may take to end before it is killed [default: 10s]",
        ),
        one(
            "poll-interval",
            "DURATION",
            "How often values on the server are compared [default: 120s]",
        ),
    ],
};

pub(crate) const SECTIONS: &[Section] = &[
    SOURCES,
    NAMES,
    #[cfg(feature = "vault")]
    SERVER,
    CHILD,
    #[cfg(feature = "stay")]
    STAYING,
];

/// Settings that exist only as variables, with the leading `ENVLATCH_`.
pub(crate) const FILE_ROOT: &str = "ENVLATCH_FILE_ROOT";

/// Every option.
pub(crate) fn all() -> impl Iterator<Item = &'static Opt> {
    SECTIONS.iter().flat_map(|section| section.options)
}

/// Every `ENVLATCH_*` name that means something.
pub(crate) fn variables() -> impl Iterator<Item = String> {
    all()
        .filter(|option| option.twin)
        .map(Opt::variable)
        .chain([FILE_ROOT.to_owned()])
}

// === impl Opt ===

impl Opt {
    /// The name of its twin: `--max-file-size` is `ENVLATCH_MAX_FILE_SIZE`.
    pub(crate) fn variable(&self) -> String {
        format!(
            "ENVLATCH_{}",
            self.name.replace('-', "_").to_ascii_uppercase()
        )
    }
}
