//! What the long-running programs share around their work: [messages](log) on stderr, and [probes and figures](monitoring)
//! over HTTP. An administrator finds both the same in each of them.

pub mod log;
pub mod monitoring;
