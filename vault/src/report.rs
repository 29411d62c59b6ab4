//! What a client has to say while it works: that it waits, what it asked. The program decides where that goes.
//!
//! A function in the settings, not `tracing` or `log`: those are process-wide, and the launcher compiles them out together
//! with everything that the crates below would say through them (260 KB, and a page fault at every start for each 4 KiB of
//! call sites that the loader must relocate).

use std::fmt;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody should look
    Warning,
    /// For finding a fault
    Debug,
}

/// Takes messages. They hold addresses, paths, statuses and causes; never a header, a body or a token.
pub type Report = fn(Severity, fmt::Arguments<'_>);

/// The report of a program that wants none.
pub(crate) fn silent(_: Severity, _: fmt::Arguments<'_>) {}
