//! The node plugin in a real cluster whose parts die, hang and come back. One case at a time: each breaks what all share.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../cluster/bed.rs"]
mod bed;
mod kills;
mod outage;
mod restarts;
