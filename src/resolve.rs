//! References to values: answers and files put in the places where references stood.

use std::path::{Path, PathBuf};

use envlatch_reference::{Absence, Parsed, Reference, Segment, Selected, Selector, Target};
use envlatch_secret::{Secret, Value};

use crate::beneath::open_directory;
use crate::bulk;
use crate::environment::Environment;
use crate::file::{ReadError, read_beneath, read_path};
use crate::merge::{Candidate, Source};
use crate::plan::{self, Bulk, Variable};
use crate::problem::{Exit, Problem, Problems};
use crate::request::{Answer, Answers, Request};
use crate::settings::Settings;
use crate::trim::trim_newlines;

/// What values are made of.
pub(crate) struct Resolver<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) environment: &'a Environment,
    pub(crate) answers: &'a Answers,
}

/// One reference resolved.
struct Part {
    /// `None` when it is absent and may be
    value: Option<Secret>,
    version: Option<u64>,
    default_used: bool,
}

// === impl Resolver ===

impl Resolver<'_> {
    /// The value of a variable.
    ///
    /// # Errors
    /// The parts of its references that are missing or cannot be used. Requests that failed are reported where they were
    /// made, once for all variables.
    pub(crate) fn variable(&self, variable: &Variable) -> Result<Candidate, Problems> {
        let mut problems = Problems::default();
        let mut source = Source::new(spelled(variable));
        let mut value = Some(Vec::new());
        let text;
        let segments = match &variable.parsed {
            Parsed::Inline(segments) => segments.as_slice(),
            Parsed::Whole(reference) => {
                text = [Segment::Reference(reference.clone())];
                &text
            }
            Parsed::Text(plain) => {
                text = [Segment::Text(plain.clone())];
                &text
            }
            Parsed::Untouched => &[],
        };
        for segment in segments {
            let bytes = match segment {
                Segment::Text(text) => Some(text.clone()),
                Segment::Reference(reference) => match self.part(reference, variable) {
                    Ok(part) => {
                        source.version = source.version.or(part.version);
                        source.default_used |= part.default_used;
                        part.value
                    }
                    Err(problem) => {
                        problems.extend(
                            problem
                                .map(|problem| about(variable, problem))
                                .unwrap_or_default(),
                        );
                        continue;
                    }
                },
            };
            value = value.zip(bytes).map(|(mut value, bytes)| {
                value.extend_from_slice(bytes.expose());
                value
            });
        }
        problems.or_ok(Candidate {
            name: variable.name.clone(),
            value: value.map(Secret::new),
            source,
        })
    }

    /// One reference. `Err(None)` is a failed request, which is reported elsewhere.
    fn part(&self, reference: &Reference, variable: &Variable) -> Result<Part, Option<Problem>> {
        match &reference.target {
            Target::File { path, selector } => self
                .file(reference, path, selector.as_ref(), variable.explicit)
                .map_err(Some),
            Target::Read { path, selector, .. } | Target::Write { path, selector, .. } => {
                self.keys(reference, path, selector)
            }
            Target::Login | Target::Transit(_) => match self.answer(reference) {
                Some(Ok(Answer::Text(text))) => Ok(Part::of(text.clone())),
                _ => Err(None),
            },
        }
    }

    fn answer(&self, reference: &Reference) -> Option<&Result<Answer, crate::request::Refusal>> {
        let mut request = Request::of(reference)?;
        request.family = plan::family(request.family, self.environment);
        self.answers.to(&request)
    }

    fn keys(
        &self,
        reference: &Reference,
        path: &str,
        selector: &Selector,
    ) -> Result<Part, Option<Problem>> {
        match self.answer(reference) {
            Some(Ok(Answer::Keys { data, version })) => {
                let place = format!("{path} has no key");
                let mut part = self
                    .select(reference, selector, data, &place)
                    .map_err(Some)?;
                part.version = *version;
                Ok(part)
            }
            Some(Err(refusal)) if refusal.absent => {
                let absent = || Problem::new(refusal.exit, &refusal.text);
                self.absent(reference, absent)
                    .map_err(|_reported_with_the_request| None)
            }
            _ => Err(None),
        }
    }

    fn select(
        &self,
        reference: &Reference,
        selector: &Selector,
        data: &Value,
        place: &str,
    ) -> Result<Part, Problem> {
        match selector.select(data) {
            Ok(Selected::Found(value)) => Ok(Part::of(value)),
            Ok(Selected::Absent { key, similar }) => self.absent(reference, || {
                let hint = match similar {
                    Some(similar) => format!("; did you mean `{similar}`?"),
                    None if key != selector.name() => {
                        format!("; write `{key} | default \"…\"` if it may be absent")
                    }
                    None => format!("; write {key}? if it may be absent"),
                };
                Problem::new(Exit::Missing, format!("{place} `{key}`{hint}"))
            }),
            Err(error) => Err(Problem::new(Exit::Data, error.to_string())),
        }
    }

    fn absent(
        &self,
        reference: &Reference,
        problem: impl FnOnce() -> Problem,
    ) -> Result<Part, Problem> {
        match reference.absence() {
            Absence::Default(text) => Ok(Part {
                default_used: true,
                ..Part::of(text.clone())
            }),
            Absence::Optional => Ok(Part::absent()),
            Absence::Required if self.settings.ignore_missing => Ok(Part::absent()),
            Absence::Required => Err(problem()),
        }
    }

    fn file(
        &self,
        reference: &Reference,
        path: &str,
        selector: Option<&Selector>,
        explicit: bool,
    ) -> Result<Part, Problem> {
        let content = match self.read(path, explicit) {
            Ok(content) => content,
            Err(error) => {
                let problem = || Problem::new(error.exit(), format!("file {path}: {error}"));
                return match error {
                    ReadError::Absent => self.absent(reference, problem),
                    _ => Err(problem()),
                };
            }
        };
        match selector {
            Some(selector) => {
                let not_json = |error| Problem::new(Exit::Data, format!("file {path}: {error}"));
                let document = Value::parse(content.expose()).map_err(not_json)?;
                self.select(
                    reference,
                    selector,
                    &document,
                    &format!("file {path} has nothing at"),
                )
            }
            None if explicit && !self.settings.keep_newline => Ok(Part::of(trim_newlines(content))),
            None => Ok(Part::of(content)),
        }
    }

    /// A file named on the command line may be anywhere. One named by an inherited value stays beneath the root that was
    /// set for such values; the root `/` sets no bounds, and there links with absolute targets are common.
    fn read(&self, path: &str, explicit: bool) -> Result<Secret, ReadError> {
        let limit = self.settings.max_file_size;
        match self.settings.file_root.as_deref().filter(|_| !explicit) {
            None => read_path(Path::new(path), limit),
            Some(root) if root == Path::new("/") => read_path(&root.join(path), limit),
            Some(root) => {
                let relative = PathBuf::from(path.trim_start_matches('/'));
                read_beneath(
                    std::os::fd::AsFd::as_fd(&open_directory(root)?),
                    &relative,
                    limit,
                )
            }
        }
    }

    /// The variables of a path of which all keys are taken. An absent path gives none; whether it may be absent is
    /// decided where the request is reported.
    pub(crate) fn bulk(&self, bulk: &Bulk) -> Result<Vec<Candidate>, Problems> {
        let mut source = Source::new(format!("vault:{}", bulk.path.path));
        let mut problems = Problems::default();
        let mut entries = Vec::new();
        match self.answers.to(&(&bulk.path).into()) {
            Some(Ok(Answer::Keys {
                data: Value::Object(members),
                version,
            })) => {
                source.version = *version;
                let taken = |key: &str| self.settings.selection.takes(key.as_bytes());
                for (key, value) in members.iter().filter(|(key, _)| taken(key)) {
                    match value {
                        Value::Null | Value::Array(_) | Value::Object(_) => {
                            problems.add(Exit::Data, not_scalar(&source, key, value));
                        }
                        scalar => entries.push((key.clone().into_bytes(), scalar.to_text())),
                    }
                }
            }
            Some(Ok(_)) => {
                problems.add(
                    Exit::Data,
                    format!("{}: the reply holds no keys", source.text),
                );
            }
            Some(Err(_)) | None => {}
        }
        let candidates = problems.collect(bulk::candidates(entries, &source, self.settings));
        problems.or_ok(candidates.unwrap_or_default())
    }
}

fn not_scalar(source: &Source, key: &str, value: &Value) -> String {
    format!(
        "{}: `{}` is {} {}, which is no value for a variable; leave it out with --except, or take it as JSON with --env \
         NAME={}#{}",
        source.text,
        crate::name::shown(key.as_bytes()),
        if matches!(value, Value::Null) {
            "a"
        } else {
            "an"
        },
        value.kind(),
        source.text,
        crate::name::shown(key.as_bytes()),
    )
}

fn about(variable: &Variable, problem: Problem) -> Problems {
    Problem::new(
        problem.exit,
        format!("{}: {}", variable.place, problem.text),
    )
    .into()
}

/// The references of a value as a person wrote them, without what may be secret.
fn spelled(variable: &Variable) -> String {
    let spelled: Vec<String> = variable.references().map(Reference::to_string).collect();
    if spelled.is_empty() {
        "inherited".to_owned()
    } else {
        spelled.join(" + ")
    }
}

// === impl Part ===

impl Part {
    fn of(value: Secret) -> Self {
        Self {
            value: Some(value),
            version: None,
            default_used: false,
        }
    }

    fn absent() -> Self {
        Self {
            value: None,
            version: None,
            default_used: false,
        }
    }
}
