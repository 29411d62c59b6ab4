//! What the long-running programs share around their work: [messages](log) on stderr, [probes and figures](monitoring) over
//! HTTP, and the way to the [API server](kubernetes). An administrator finds them the same in each of them.

pub mod kubernetes;
pub mod log;
pub mod monitoring;
