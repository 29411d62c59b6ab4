//! Applying a pipeline to a secret.

use envlatch_secret::{Secret, Value};

use super::{Command, Operand, Pipeline, TemplateError};

/// A value, or a key that the secret does not have: whether that is an error is the function's to say.
pub(super) enum Datum {
    Present(Value),
    /// The key as written
    Absent(String),
}

pub(super) fn render(pipeline: &Pipeline, secret: &Value) -> Result<Secret, TemplateError> {
    evaluate(pipeline, secret)?
        .present()
        .map(|value| value.to_text())
}

fn evaluate(pipeline: &Pipeline, secret: &Value) -> Result<Datum, TemplateError> {
    let mut piped = None;
    for command in &pipeline.0 {
        piped = Some(run(command, piped, secret)?);
    }
    piped.ok_or(TemplateError::Syntax("an empty part"))
}

fn run(command: &Command, piped: Option<Datum>, secret: &Value) -> Result<Datum, TemplateError> {
    let Some((Operand::Function(function), operands)) = command.0.split_first() else {
        return command.0.first().map_or_else(
            || Ok(Datum::Present(Value::Null)),
            |only| value(only, secret),
        );
    };
    let mut arguments = operands
        .iter()
        .map(|operand| value(operand, secret))
        .collect::<Result<Vec<_>, _>>()?;
    arguments.extend(piped);
    function.call(arguments).map(Datum::Present)
}

fn value(operand: &Operand, secret: &Value) -> Result<Datum, TemplateError> {
    match operand {
        Operand::Value(literal) => Ok(Datum::Present(literal.clone())),
        Operand::Field(names) => field(secret, names),
        Operand::Function(function) => function.call(Vec::new()).map(Datum::Present),
        Operand::Group(pipeline, names) => match evaluate(pipeline, secret)? {
            Datum::Present(value) => field(&value, names),
            absent => Ok(absent),
        },
    }
}

fn field(value: &Value, names: &[String]) -> Result<Datum, TemplateError> {
    let mut inside = value;
    for (depth, name) in names.iter().enumerate() {
        let key = || format!(".{}", names[..=depth].join("."));
        match inside {
            Value::Object(_) => match inside.get(name) {
                Some(member) => inside = member,
                None => return Ok(Datum::Absent(key())),
            },
            other => {
                return Err(TemplateError::NotAnObject {
                    key: key(),
                    kind: other.kind(),
                });
            }
        }
    }
    Ok(Datum::Present(inside.clone()))
}

// === impl Datum ===

impl Datum {
    pub(super) fn present(self) -> Result<Value, TemplateError> {
        match self {
            Self::Present(value) => Ok(value),
            Self::Absent(key) => Err(TemplateError::MissingKey { key }),
        }
    }
}
