//! Names that a bulk source (`--dir`, `--from`) may not set unless `--allow-name` names them.
//!
//! Whoever may write the secret would otherwise decide which code the program runs, or where its traffic goes. Names are
//! exact, and a family only where every member is dangerous; a name that merely looks technical (`GIT_TOKEN`,
//! `PYTHONUNBUFFERED`) is not refused. References in a variable's value and `--env` name their variable in the manifest,
//! so they are not bulk and not restricted.

/// One refused name: the name or family, what it would do, and where that is documented.
type Entry = (&'static str, &'static str, &'static str);

/// The table. The launcher's own settings (`ENVLATCH_*`) are refused as well.
pub(crate) const REFUSED: &[Entry] = &[
    // Loaders
    ("LD_*", "loads code into every program", "ld.so(8)"),
    (
        "GLIBC_TUNABLES",
        "changes the C library's hardening",
        "ld.so(8)",
    ),
    ("GCONV_PATH", "loads code for character sets", "iconv(1)"),
    // Shells
    ("PATH", "decides which programs run", "environ(7)"),
    (
        "IFS",
        "changes how scripts split words",
        "POSIX.1-2024 sh, 2.5.3",
    ),
    (
        "ENV",
        "runs a file in every shell",
        "POSIX.1-2024 sh, 2.5.3",
    ),
    ("BASH_ENV", "runs a file in every bash script", "bash(1)"),
    ("BASH_FUNC_*", "defines functions in bash", "bash(1)"),
    ("SHELLOPTS", "changes options of bash", "bash(1)"),
    ("BASHOPTS", "changes options of bash", "bash(1)"),
    ("PS4", "runs commands while bash traces", "bash(1)"),
    ("PROMPT_COMMAND", "runs commands at every prompt", "bash(1)"),
    // Runtimes
    ("NODE_OPTIONS", "loads code into Node.js", "node(1)"),
    ("NODE_PATH", "loads modules into Node.js", "node(1)"),
    (
        "NODE_EXTRA_CA_CERTS",
        "adds certificate authorities to Node.js",
        "node(1)",
    ),
    (
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "switches TLS verification off in Node.js",
        "node(1)",
    ),
    ("PYTHONPATH", "loads modules into Python", "python(1)"),
    ("PYTHONHOME", "loads modules into Python", "python(1)"),
    ("PYTHONSTARTUP", "runs a file in Python", "python(1)"),
    ("PYTHONINSPECT", "opens a prompt in Python", "python(1)"),
    ("PYTHONUSERBASE", "loads modules into Python", "python(1)"),
    ("PYTHONBREAKPOINT", "runs code in Python", "PEP 553"),
    ("PYTHONWARNINGS", "imports modules in Python", "python(1)"),
    ("PERL5LIB", "loads modules into Perl", "perlrun(1)"),
    ("PERLLIB", "loads modules into Perl", "perlrun(1)"),
    ("PERL5OPT", "runs code in Perl", "perlrun(1)"),
    ("PERL5DB", "runs code in Perl's debugger", "perlrun(1)"),
    ("RUBYOPT", "loads code into Ruby", "ruby(1)"),
    ("RUBYLIB", "loads code into Ruby", "ruby(1)"),
    ("GEM_PATH", "loads gems into Ruby", "gem(1)"),
    ("GEM_HOME", "loads gems into Ruby", "gem(1)"),
    (
        "BUNDLE_GEMFILE",
        "runs a file in Bundler",
        "bundle-config(1)",
    ),
    (
        "JAVA_TOOL_OPTIONS",
        "loads agents into Java",
        "JVM Tool Interface, 1.1",
    ),
    ("JDK_JAVA_OPTIONS", "loads agents into Java", "java(1)"),
    (
        "_JAVA_OPTIONS",
        "loads agents into Java",
        "HotSpot arguments.cpp",
    ),
    ("CLASSPATH", "loads classes into Java", "java(1)"),
    (
        "DOTNET_STARTUP_HOOKS",
        "loads code into .NET",
        ".NET host startup hook",
    ),
    (
        "DOTNET_ADDITIONAL_DEPS",
        "loads code into .NET",
        ".NET additional-deps",
    ),
    (
        "DOTNET_SHARED_STORE",
        "loads code into .NET",
        ".NET additional-deps",
    ),
    (
        "CORECLR_ENABLE_PROFILING",
        "loads code into .NET",
        ".NET profiling API",
    ),
    (
        "CORECLR_PROFILER",
        "loads code into .NET",
        ".NET profiling API",
    ),
    (
        "CORECLR_PROFILER_PATH*",
        "loads code into .NET",
        ".NET profiling API",
    ),
    (
        "COR_ENABLE_PROFILING",
        "loads code into .NET",
        ".NET profiling API",
    ),
    ("COR_PROFILER", "loads code into .NET", ".NET profiling API"),
    (
        "COR_PROFILER_PATH*",
        "loads code into .NET",
        ".NET profiling API",
    ),
    ("PHPRC", "loads settings and code into PHP", "php(1)"),
    (
        "PHP_INI_SCAN_DIR",
        "loads settings and code into PHP",
        "php(1)",
    ),
    ("OPENSSL_CONF", "loads code into OpenSSL", "config(5ssl)"),
    (
        "OPENSSL_ENGINES",
        "loads code into OpenSSL",
        "openssl-env(7)",
    ),
    (
        "OPENSSL_MODULES",
        "loads code into OpenSSL",
        "openssl-env(7)",
    ),
    // Git
    ("GIT_SSH", "runs a command in git", "git(1)"),
    ("GIT_SSH_COMMAND", "runs a command in git", "git(1)"),
    (
        "GIT_SSH_VARIANT",
        "changes a command that git runs",
        "git-config(1)",
    ),
    ("GIT_EXEC_PATH", "runs commands in git", "git(1)"),
    ("GIT_ASKPASS", "runs a command in git", "git(1)"),
    (
        "GIT_CONFIG*",
        "runs commands in git by its settings",
        "git-config(1)",
    ),
    ("GIT_EXTERNAL_DIFF", "runs a command in git", "git(1)"),
    (
        "GIT_PROXY_COMMAND",
        "runs a command in git",
        "git-config(1)",
    ),
    // Network and files
    ("*_PROXY", "sends traffic through another host", "curl(1)"),
    ("*_proxy", "sends traffic through another host", "curl(1)"),
    (
        "SSL_CERT_FILE",
        "replaces the certificate authorities",
        "openssl-env(7)",
    ),
    (
        "SSL_CERT_DIR",
        "replaces the certificate authorities",
        "openssl-env(7)",
    ),
    (
        "HOSTALIASES",
        "sends traffic to another host",
        "hostname(7)",
    ),
    (
        "RES_OPTIONS",
        "changes how names are resolved",
        "resolv.conf(5)",
    ),
    ("HOME", "decides which settings programs read", "environ(7)"),
    ("TMPDIR", "decides where programs put files", "environ(7)"),
    // The launcher itself
    ("ENVLATCH_*", "is a setting of envlatch", "envlatch"),
];

/// What `name` would do, if it is refused.
pub(crate) fn reason(name: &[u8]) -> Option<&'static str> {
    let refuses = |(pattern, ..): &&Entry| stands_for(pattern.as_bytes(), name);
    REFUSED.iter().find(refuses).map(|(_, reason, _)| *reason)
}

/// A family is written with `*` at one end. Asked for every pattern and name, so the first byte decides most of it.
fn stands_for(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [b'*', end @ ..] => name.ends_with(end),
        [first, ..] if name.first() != Some(first) => false,
        [start @ .., b'*'] => name.starts_with(start),
        exact => name == exact,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_runs_code_is_refused_and_what_looks_like_it_is_not() {
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "PATH",
            "BASH_FUNC_ls%%",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "JAVA_TOOL_OPTIONS",
            "GIT_CONFIG_COUNT",
            "HTTPS_PROXY",
            "http_proxy",
            "HOME",
            "ENVLATCH_ALLOW_NAME",
        ] {
            assert!(reason(name.as_bytes()).is_some(), "{name}");
        }
        for name in [
            "GIT_TOKEN",
            "PYTHONUNBUFFERED",
            "NODE_ENV",
            "PATHS",
            "ENVIRONMENT",
            "PROXY",
            "LDAP_URL",
            "JAVA_HOME",
        ] {
            assert_eq!(reason(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn each_entry_stands_once_with_reason_and_source() {
        let names: BTreeSet<_> = REFUSED.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), REFUSED.len());
        assert!(
            REFUSED
                .iter()
                .all(|(_, reason, source)| !reason.is_empty() && !source.is_empty())
        );
    }
}
