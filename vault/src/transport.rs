//! One request to one server over HTTP, and what came back.
//!
//! vaultrs' own transport is not used: it reads a body of any size, drops `Retry-After` and the server's reasons, panics on a
//! token that cannot be a header, and takes settings from the process's environment. A `reqwest` client with everything set
//! explicitly does the work; there is one per server, because the socket or the name in its certificate belongs to it.

mod body;
mod node;
mod redirect;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::address::{Address, RedirectHost};
use crate::call::Call;
use crate::error::{Class, Failure};
use crate::resolver::Resolver;
use crate::settings::{SettingError, Settings, UNPRINTABLE};
use node::{Factory, Node};

/// A complete reply with its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Every server that requests may go to.
pub(crate) struct Transport {
    nodes: Vec<Arc<Node>>,
    /// Servers that were redirected to and are on no list of addresses
    others: Mutex<Vec<Arc<Node>>>,
    factory: Factory,
    namespace: Option<HeaderValue>,
    follow_redirects: bool,
    redirect_hosts: Vec<RedirectHost>,
}

// === impl Transport ===

impl Transport {
    pub(crate) fn new(
        settings: &Settings,
        resolver: Arc<Resolver>,
    ) -> Result<Self, Vec<SettingError>> {
        let mut problems = Vec::new();
        if settings.addresses.is_empty() {
            problems.push(SettingError::new(
                "VAULT_ADDR",
                "no address given; set it to https://HOST:PORT",
            ));
        }
        let namespace = settings.namespace.as_deref().map(HeaderValue::from_str);
        let namespace = namespace.transpose().unwrap_or_else(|_header| {
            problems.push(SettingError::new("VAULT_NAMESPACE", UNPRINTABLE));
            None
        });
        let redirect_hosts = redirect_hosts(&settings.redirect_hosts, &mut problems);
        let factory = match Factory::new(settings, resolver) {
            Ok(factory) if problems.is_empty() => factory,
            Ok(_) => return Err(problems),
            Err(found) => {
                problems.extend(found);
                return Err(problems);
            }
        };
        let nodes = settings
            .addresses
            .iter()
            .map(|address| factory.node(address.clone()));
        Ok(Self {
            nodes: nodes
                .collect::<Result<_, _>>()
                .map_err(|problem| vec![problem])?,
            others: Mutex::new(Vec::new()),
            namespace,
            factory,
            follow_redirects: settings.follow_redirects,
            redirect_hosts,
        })
    }

    /// How many servers there are; at least one.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn address(&self, index: usize) -> &Address {
        self.nodes[index].address()
    }

    /// Sends `call` to the server `index` and on to where it is redirected.
    pub(crate) async fn exchange(&self, index: usize, call: &Call) -> Result<Answer, Failure> {
        let headers = self.headers(call)?;
        let mut node = Arc::clone(&self.nodes[index]);
        let mut url = node.url(call);
        let mut hops = 0;
        loop {
            let response = node.send(&url, call, &headers).await?;
            let Some(location) = redirect::location(&url, call, &response)? else {
                return node::answer(response).await;
            };
            hops += 1;
            (node, url) = self.redirected(&node, location, hops)?;
        }
    }

    fn headers(&self, call: &Call) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // Demanded by agents as a protection against forged requests.
        headers.insert(
            HeaderName::from_static("x-vault-request"),
            HeaderValue::from_static("true"),
        );
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(namespace) = &self.namespace {
            headers.insert(
                HeaderName::from_static("x-vault-namespace"),
                namespace.clone(),
            );
        }
        if let Some(token) = &call.token {
            let mut value = HeaderValue::from_bytes(token.expose()).map_err(|_header| {
                Failure::new(Class::Setting, format!("the token is {UNPRINTABLE}"))
            })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-vault-token"), value);
        }
        Ok(headers)
    }
}

fn redirect_hosts(texts: &[String], problems: &mut Vec<SettingError>) -> Vec<RedirectHost> {
    let parsed = texts.iter().map(|text| text.parse());
    let hosts = parsed.filter_map(|host| {
        host.map_err(|error| problems.push(SettingError::new("redirect hosts", error)))
            .ok()
    });
    hosts.collect()
}
