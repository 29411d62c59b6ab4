//! The client crate against scripted servers: what it sends, what it makes of the answers, and what it never shows.

#![allow(
    clippy::unwrap_used,
    reason = "a case that cannot go on fails where it is"
)]

mod bed;
mod environment;
mod failures;
mod identity;
mod redirects;
mod repetition;
mod tls;
mod upkeep;
