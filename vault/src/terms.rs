//! How settings are called where people set them, for the remedies in errors.

/// The words for settings that a remedy names.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Where the addresses of the servers are
    pub addresses: &'static str,
    /// Where the hosts are that a redirect may lead to
    pub redirect_hosts: &'static str,
    /// Where the trusted authorities are
    pub ca: &'static str,
    /// Where the name is that a certificate must have
    pub server_name: &'static str,
    /// What to do when a server wants a client certificate, or another one: a whole remedy
    pub client_certificate: &'static str,
}

// === impl Terms ===

impl Terms {
    /// The variables of the official clients, which [`from_environment`](crate::from_environment) reads.
    pub const ENVIRONMENT: Self = Self {
        addresses: "VAULT_ADDR",
        redirect_hosts: "VAULT_ADDR or the redirect hosts",
        ca: "VAULT_CACERT or VAULT_CACERT_BYTES",
        server_name: "VAULT_TLS_SERVER_NAME",
        client_certificate: "set VAULT_CLIENT_CERT and VAULT_CLIENT_KEY to a certificate that it accepts",
    };
}
