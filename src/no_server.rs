//! What stands in for the server in a build that reads files only: a clear refusal, and no code behind it.

use crate::environment::Environment;
#[cfg(feature = "stay")]
use crate::holdings::{Holdings, Renewal, Token};
use crate::problem::{Exit, Problem, Problems};
use crate::request::{Answers, Family, Request};
use crate::settings::Settings;

/// Never exists.
pub(crate) enum Server {}

// === impl Server ===

impl Server {
    pub(crate) fn new(_: &Settings, _: &Environment, _: &[Family]) -> Result<Self, Problems> {
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

    #[cfg(feature = "stay")]
    pub(crate) fn borrow(&self, _: &[Token]) {
        match *self {}
    }

    #[cfg(feature = "stay")]
    pub(crate) fn stand_back(&self) {
        match *self {}
    }

    #[cfg(feature = "stay")]
    pub(crate) fn holdings(&self) -> Holdings {
        match *self {}
    }

    #[cfg(feature = "stay")]
    pub(crate) fn renew(&self, _: &Holdings) -> Renewal {
        match *self {}
    }

    #[cfg(feature = "stay")]
    pub(crate) fn give_back(&self, _: &Holdings) {
        match *self {}
    }
}
