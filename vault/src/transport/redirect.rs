//! Whether a redirect is followed: only to a server that is listed, and never to a less safe connection, since the token goes
//! along.

use std::sync::{Arc, PoisonError};

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode, Url};

use super::{Node, Transport};
use crate::address::Address;
use crate::call::{Call, Method};
use crate::error::{Class, Failure, Next};

/// A standby answers with one; a second may come from a load balancer.
const MAX_HOPS: u32 = 3;

/// Where `response` leads, if it is a redirect; `url` is where it came from.
pub(super) fn location(
    url: &Url,
    call: &Call,
    response: &Response,
) -> Result<Option<Url>, Failure> {
    let status = response.status();
    match status {
        StatusCode::TEMPORARY_REDIRECT => {}
        // These turn a write into a read, or are meant to be remembered.
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::PERMANENT_REDIRECT
            if call.method == Method::Get => {}
        _ if status.is_redirection() => {
            return Err(refused(format!(
                "a redirect (status {}) that this request may not follow",
                status.as_u16()
            )));
        }
        _ => return Ok(None),
    }
    let location = response.headers().get(LOCATION);
    let location = location
        .and_then(|location| url.join(location.to_str().ok()?).ok())
        .filter(|location| matches!(location.scheme(), "http" | "https") && location.has_host());
    match location {
        Some(location) => Ok(Some(location)),
        // So answers a standby that does not know the active server.
        None => Err(Failure {
            next: Next::Repeat,
            ..Failure::new(Class::Standby, "a redirect without a usable location")
        }),
    }
}

fn refused(cause: String) -> Failure {
    Failure {
        next: Next::OtherServer,
        ..Failure::new(Class::Redirected, cause)
    }
}

impl Transport {
    /// The server and URL to go on with. A server that redirects has not carried out the request.
    pub(super) fn redirected(
        &self,
        from: &Arc<Node>,
        mut location: Url,
        hops: u32,
    ) -> Result<(Arc<Node>, Url), Failure> {
        // A relative location leads back to the name that stands in for the host.
        if from
            .server_name()
            .is_some_and(|name| location.host_str() == Some(name))
            && let Some(host) = from.address().base().host_str()
        {
            let _unchanged = location.set_host(Some(host));
        }
        let to = location.origin().ascii_serialization();
        let way = format!("a redirect from {} to {to}", from.address());
        if !self.follow_redirects {
            return Err(
                refused(format!("{way}, and redirects are disabled")).with_remedy(
                    "unset VAULT_DISABLE_REDIRECTS, or put that address into VAULT_ADDR",
                ),
            );
        }
        if hops > MAX_HOPS {
            return Err(refused(format!("{way}, after {MAX_HOPS} others"))
                .with_remedy("check for servers that redirect to each other"));
        }
        if from.address().is_tls() && location.scheme() != "https" {
            return Err(refused(format!("{way}, which is not encrypted"))
                .with_remedy("correct the server's api_addr"));
        }
        if from.address().socket().is_some() && from.address().base().origin() == location.origin()
        {
            return Ok((Arc::clone(from), location));
        }
        let node = self.node_at(&location).ok_or_else(|| {
            refused(format!(
                "{way}, which is no listed address, so the token is not sent there"
            ))
        })?;
        let location = node.named(location);
        Ok((node, location))
    }

    /// The server at `location`, if the token may be sent there.
    fn node_at(&self, location: &Url) -> Option<Arc<Node>> {
        if let Some(node) = self
            .nodes
            .iter()
            .find(|node| node.address().same_origin(location))
        {
            return Some(Arc::clone(node));
        }
        let covered = self.redirect_hosts.iter().any(|host| host.covers(location));
        if !covered || (location.scheme() == "https" && !self.factory.has_tls()) {
            return None;
        }
        // The list is complete after each change, so a panic elsewhere cannot have broken it.
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = others
            .iter()
            .find(|node| node.address().same_origin(location))
        {
            return Some(Arc::clone(node));
        }
        let node = self.factory.node(Address::of_origin(location).ok()?).ok()?;
        others.push(Arc::clone(&node));
        Some(node)
    }
}
