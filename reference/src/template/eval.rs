//! Applying a pipeline to a secret.

use std::borrow::Cow;

use envlatch_secret::{Secret, Value};

use super::functions::{Arguments, Body, Function, Work, text_of};
use super::output::Output;
use super::{Call, Command, Operand, Pipeline, TemplateError};
use crate::near::nearest_key;

/// What an operand gives: a value, or a key that the secret does not have. Whether that is an error is the function's to
/// say.
pub(super) enum Datum<'a> {
    Present(Cow<'a, Value>),
    Absent(Missing<'a>),
}

/// A key that is not there.
pub(super) struct Missing<'a> {
    /// As written; empty when a function looked for it, which does not know how its operands were written
    pub(super) key: String,
    /// Its last part, and the map that does not have it, to find a similar one when this becomes an error
    pub(super) looked_for: Option<(String, &'a Value)>,
}

/// One application of a template.
pub(super) struct Evaluation<'a> {
    secret: &'a Value,
    work: Work,
}

// === impl Evaluation ===

impl<'a> Evaluation<'a> {
    pub(super) fn new(secret: &'a Value) -> Self {
        Self {
            secret,
            work: Work::default(),
        }
    }

    /// The text of an action; bytes that are no text may pass, as long as no function needs text.
    pub(super) fn text(&self, pipeline: &'a Pipeline) -> Result<Secret, TemplateError> {
        match self.pipeline(pipeline)?.present()? {
            Cow::Owned(Value::String(text)) => Ok(text),
            Cow::Borrowed(Value::String(text)) => Ok(text.clone()),
            value if *value == Value::Null => Err(TemplateError::Null {
                what: pipeline.label(),
            }),
            value => text_of(&value, &self.work)
                .map(Secret::from)
                .map_err(|fault| fault.of("toJson")),
        }
    }

    fn pipeline(&self, pipeline: &'a Pipeline) -> Result<Datum<'a>, TemplateError> {
        let first = match &pipeline.first {
            Command::Operand(operand) => self.operand(operand),
            Command::Call(call) => self.call(call, None),
        };
        pipeline
            .further
            .iter()
            .try_fold(first?, |piped, call| self.call(call, Some(piped)))
    }

    fn operand(&self, operand: &'a Operand) -> Result<Datum<'a>, TemplateError> {
        match operand {
            Operand::Literal(literal) => Ok(Datum::Present(Cow::Borrowed(literal))),
            Operand::Field(names) => self.follow(self.secret, names).map(Datum::borrowed),
            Operand::Function(function) => self.apply(function, &[], None),
            Operand::Group(pipeline, names) => match self.pipeline(pipeline)? {
                Datum::Present(Cow::Borrowed(value)) => {
                    self.follow(value, names).map(Datum::borrowed)
                }
                Datum::Present(Cow::Owned(value)) => self.follow(&value, names).map(Datum::owned),
                absent => Ok(absent),
            },
        }
    }

    fn call(&self, call: &'a Call, piped: Option<Datum<'a>>) -> Result<Datum<'a>, TemplateError> {
        self.apply(call.function, &call.operands, piped)
    }

    fn apply(
        &self,
        function: &'static Function,
        operands: &'a [Operand],
        piped: Option<Datum<'a>>,
    ) -> Result<Datum<'a>, TemplateError> {
        function.check_count(operands.len() + usize::from(piped.is_some()))?;
        let arguments = |piped| {
            let operands = operands.iter().map(|operand| self.operand(operand));
            operands
                .chain(Option::map(piped, Ok))
                .collect::<Result<Vec<_>, _>>()
        };
        let result = match function.body {
            Body::Choice(stops) => return self.choice(stops, operands, piped),
            Body::Lenient(body) => {
                let arguments = arguments(piped)?;
                self.work
                    .charge_lookups(&arguments)
                    .and_then(|()| body(arguments))
            }
            Body::Value(body) => {
                let arguments = Arguments::new(arguments(piped)?, &self.work)?;
                body(&arguments).and_then(|value| self.work.made(value))
            }
            Body::Text(body) => {
                let arguments = Arguments::new(arguments(piped)?, &self.work)?;
                let mut output = Output::default();
                body(&arguments, &mut output)
                    .and_then(|()| self.work.made(Value::String(output.into())))
            }
        };
        match result.map_err(|fault| fault.of(function.name))? {
            Datum::Absent(missing) if missing.key.is_empty() => Ok(Datum::Absent(Missing {
                key: members(operands),
                ..missing
            })),
            result => Ok(result),
        }
    }

    /// `and`, `or`: the first value at which `stops` holds, else the last. What follows is not evaluated, so that it may
    /// rely on what precedes it.
    fn choice(
        &self,
        stops: fn(&Value) -> bool,
        operands: &'a [Operand],
        piped: Option<Datum<'a>>,
    ) -> Result<Datum<'a>, TemplateError> {
        let mut last = Datum::Present(Cow::Owned(Value::Null));
        for datum in operands
            .iter()
            .map(|operand| self.operand(operand))
            .chain(piped.map(Ok))
        {
            last = datum?;
            if stops(last.or_null()) {
                break;
            }
        }
        Ok(last)
    }

    /// What `.a.b` is in `value`, or the key that is absent. What is inside null is absent.
    fn follow<'v>(
        &self,
        value: &'v Value,
        names: &[String],
    ) -> Result<Result<&'v Value, Missing<'v>>, TemplateError> {
        let mut inside = value;
        for (depth, name) in names.iter().enumerate() {
            let key = || format!(".{}", names[..=depth].join("."));
            if !matches!(inside, Value::Object(_) | Value::Null) {
                return Err(TemplateError::NoMap {
                    key: key(),
                    kind: inside.kind(),
                });
            }
            self.work
                .charge_lookup(inside)
                .map_err(|_only_too_much| TemplateError::TooMuch)?;
            match inside.get(name) {
                Some(member) => inside = member,
                None => {
                    return Ok(Err(Missing {
                        key: key(),
                        looked_for: Some((name.clone(), inside)),
                    }));
                }
            }
        }
        Ok(Ok(inside))
    }
}

/// How operands that name a member read as a key: `index . "a" 0` as `.a.0`. What is computed may come from the secret.
fn members(operands: &[Operand]) -> String {
    operands
        .iter()
        .map(|operand| match operand {
            Operand::Field(names) => names.iter().map(|name| format!(".{name}")).collect(),
            Operand::Literal(literal) => {
                format!(".{}", literal.to_text().expose_str().unwrap_or("…"))
            }
            Operand::Function(_) | Operand::Group(..) => ".…".to_owned(),
        })
        .collect()
}

// === impl Datum ===

impl<'a> Datum<'a> {
    /// What was found in a value that outlives the evaluation.
    pub(super) fn borrowed(found: Result<&'a Value, Missing<'a>>) -> Self {
        found.map_or_else(Self::Absent, |value| Self::Present(Cow::Borrowed(value)))
    }

    /// What was found in a value that ends now.
    pub(super) fn owned(found: Result<&Value, Missing<'_>>) -> Self {
        match found {
            Ok(value) => Self::Present(Cow::Owned(value.clone())),
            Err(Missing { key, .. }) => Self::Absent(Missing {
                key,
                looked_for: None,
            }),
        }
    }

    pub(super) fn present(self) -> Result<Cow<'a, Value>, TemplateError> {
        match self {
            Self::Present(value) => Ok(value),
            Self::Absent(Missing { key, looked_for }) => {
                let similar = looked_for.and_then(|(name, map)| nearest_key(&name, map));
                Err(TemplateError::MissingKey { key, similar })
            }
        }
    }

    /// An absent key counts as null where a function chooses.
    pub(super) fn or_null(&self) -> &Value {
        match self {
            Self::Present(value) => value,
            Self::Absent(_) => &Value::Null,
        }
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// What it ends in, for messages.
    fn label(&self) -> String {
        match (self.further.last(), &self.first) {
            (Some(call), _) | (None, Command::Call(call)) => call.function.name.to_owned(),
            (None, Command::Operand(operand)) => members(std::slice::from_ref(operand)),
        }
    }
}
