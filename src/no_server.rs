//! What stands in for the server in a build that reads files only: a clear refusal, and no code behind it.

use crate::environment::Environment;
use crate::problem::{Exit, Problem, Problems};
use crate::request::{Answers, Request};
use crate::settings::Settings;

/// Never exists.
pub(crate) enum Server {}

// === impl Server ===

impl Server {
    pub(crate) fn new(_: &Settings, _: &Environment, _: &[Request]) -> Result<Self, Problems> {
        let text = "a value refers to a server, but this envlatch was built to read files only; use the full build";
        Err(Problem::new(Exit::Config, text).into())
    }

    pub(crate) fn read(&mut self, _: &[Request]) -> Answers {
        match *self {}
    }

    pub(crate) fn mint(&mut self, _: &[Request]) -> Answers {
        match *self {}
    }

    pub(crate) fn started(&self) {
        match *self {}
    }

    pub(crate) fn failed(&self) {
        match *self {}
    }
}
