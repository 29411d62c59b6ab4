//! What has to be resolved: the variables with references in them, and the requests that they and the bulk paths need.

use envlatch_reference::{BulkPath, Parsed, Reference, Schemes, Segment, Target, parse};

use crate::environment::Environment;
use crate::name::shown;
use crate::problem::{Exit, Problems};
use crate::removed::{self, Role};
use crate::request::{Family, Request};
use crate::settings::Settings;

/// Everything a start needs beyond files.
pub(crate) struct Plan {
    /// Variables whose value holds references, inherited ones first
    pub(crate) variables: Vec<Variable>,
    /// Paths of which all keys are taken, in the order of their precedence
    pub(crate) bulks: Vec<Bulk>,
    /// Each request once
    pub(crate) requests: Vec<Request>,
}

/// A variable with references in its value.
#[derive(Clone)]
pub(crate) struct Variable {
    pub(crate) name: Vec<u8>,
    pub(crate) parsed: Parsed,
    /// The name as it stands in messages, with the place when it is not inherited
    pub(crate) place: String,
    /// Whether `--env` or `--env-file` set it
    pub(crate) explicit: bool,
}

/// A path of which all keys are taken.
#[derive(Clone)]
pub(crate) struct Bulk {
    pub(crate) path: BulkPath,
    /// From a peer's variable, whose documentation gives it the last word
    pub(crate) last_word: bool,
}

// === impl Plan ===

impl Plan {
    /// Finds every reference. Nothing is read or asked for yet.
    ///
    /// # Errors
    /// Every value that begins like a reference and is none.
    pub(crate) fn new(settings: &Settings, environment: &Environment) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let schemes = Schemes {
            file: settings.file_root.is_some(),
        };
        let mut variables: Vec<Variable> = environment
            .iter()
            .filter(|(name, _)| may_refer(name))
            .filter_map(|(name, value)| problems.collect(inherited(name, value, schemes)).flatten())
            .collect();
        variables.extend(settings.explicit.iter().map(|explicit| Variable {
            name: explicit.name.clone(),
            parsed: explicit.parsed.clone(),
            place: format!("{} ({})", shown(&explicit.name), explicit.place),
            explicit: true,
        }));
        for variable in &variables {
            variable.check(settings, &mut problems);
        }
        let bulk = |last_word| {
            move |path: &BulkPath| Bulk {
                path: path.clone(),
                last_word,
            }
        };
        let bulks = settings
            .from
            .iter()
            .map(bulk(false))
            .chain(settings.peers.from.iter().map(bulk(true)))
            .collect();
        let mut plan = Self {
            variables,
            bulks,
            requests: Vec::new(),
        };
        plan.requests = plan.distinct_requests(environment);
        problems.or_ok(plan)
    }

    /// The families of servers that are asked.
    pub(crate) fn families(&self) -> Vec<Family> {
        let is_asked = |family: &Family| {
            self.requests
                .iter()
                .any(|request| request.family == *family)
        };
        [Family::Vault, Family::Bao]
            .into_iter()
            .filter(is_asked)
            .collect()
    }

    /// The part of it that gives the same each time unless somebody changed a value.
    #[cfg(feature = "stay")]
    pub(crate) fn steady(&self, environment: &Environment) -> Self {
        let is_steady = |variable: &&Variable| {
            let mut requests = variable.references().filter_map(Request::of);
            requests.all(|request| request.is_steady())
        };
        let is_steady_bulk = |bulk: &&Bulk| Request::from(&bulk.path).is_steady();
        let mut plan = Self {
            variables: self.variables.iter().filter(is_steady).cloned().collect(),
            bulks: self.bulks.iter().filter(is_steady_bulk).cloned().collect(),
            requests: Vec::new(),
        };
        plan.requests = plan.distinct_requests(environment);
        plan
    }

    fn distinct_requests(&self, environment: &Environment) -> Vec<Request> {
        let mut requests = Vec::new();
        let references = self
            .variables
            .iter()
            .flat_map(|variable| variable.references());
        for mut request in references
            .filter_map(Request::of)
            .chain(self.bulks.iter().map(|bulk| (&bulk.path).into()))
        {
            request.family = family(request.family, environment);
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
        requests
    }
}

/// Two families are two servers only when both are spoken of.
pub(crate) fn family(family: Family, environment: &Environment) -> Family {
    let bao = environment
        .iter()
        .any(|(name, _)| name.starts_with(b"BAO_"));
    if bao { family } else { Family::Vault }
}

/// Settings of the launcher are read as they are; only a token may be asked for by reference.
fn may_refer(name: &[u8]) -> bool {
    is_token(name)
        || !(name.starts_with(b"ENVLATCH_")
            || removed::role(name).is_some_and(|role| role != Role::Credential))
}

fn is_token(name: &[u8]) -> bool {
    name == b"VAULT_TOKEN" || name == b"BAO_TOKEN"
}

fn inherited(name: &[u8], value: &[u8], schemes: Schemes) -> Result<Option<Variable>, Problems> {
    if removed::role(name).is_some() && !value.ends_with(b":login") {
        return Ok(None);
    }
    match parse(value, schemes) {
        Ok(Parsed::Untouched) => Ok(None),
        Ok(parsed) => Ok(Some(Variable {
            name: name.to_vec(),
            parsed,
            place: shown(name),
            explicit: false,
        })),
        Err(error) => {
            let text = format!("{}: {error}", shown(name));
            Err(crate::problem::Problem::new(Exit::Data, text).into())
        }
    }
}

// === impl Variable ===

impl Variable {
    /// The references in its value.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        let segments = match &self.parsed {
            Parsed::Inline(segments) => segments.as_slice(),
            _ => &[],
        };
        let whole = match &self.parsed {
            Parsed::Whole(reference) => Some(reference),
            _ => None,
        };
        let inline = segments.iter().filter_map(|segment| match segment {
            Segment::Reference(reference) => Some(reference),
            Segment::Text(_) => None,
        });
        whole.into_iter().chain(inline)
    }

    fn check(&self, settings: &Settings, problems: &mut Problems) {
        for reference in self.references() {
            match reference.target {
                Target::Login if !is_token(&self.name) => {
                    let text = "asks for the login's own token, which only VAULT_TOKEN and BAO_TOKEN may hold";
                    problems.add(Exit::Data, format!("{}: {text}", self.place));
                }
                Target::Transit(_) if settings.peers.transit.is_none() => {
                    let text =
                        "holds a transit ciphertext, but no key is set; set VAULT_TRANSIT_KEY_ID";
                    problems.add(Exit::Data, format!("{}: {text}", self.place));
                }
                _ => {}
            }
        }
    }
}
