//! The launcher.
mod beneath;
mod cli;
mod dir;
pub mod environment;
mod file;
mod name;
mod options;
pub mod problem;
mod refused;
