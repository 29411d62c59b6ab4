//! Tokens as a pipeline.

use std::iter::Peekable;
use std::vec::IntoIter;

use envlatch_secret::Value;

use super::functions::{self, Function};
use super::lex::{Token, tokens};
use super::{Command, Operand, Pipeline, TemplateError};
use crate::nearest;

/// How deeply parentheses may nest, so that no text exhausts the stack.
const MAX_NESTING: usize = 32;

pub(super) fn pipeline(action: &str) -> Result<Pipeline, TemplateError> {
    let mut parser = Parser {
        tokens: tokens(action)?.into_iter().peekable(),
    };
    let pipeline = parser.pipeline(0)?;
    match parser.tokens.next() {
        None => Ok(pipeline),
        Some(_) => Err(TemplateError::Syntax("a `)` without its `(`")),
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
}

// === impl Parser ===

impl Parser {
    fn pipeline(&mut self, nesting: usize) -> Result<Pipeline, TemplateError> {
        let mut commands = vec![self.command(nesting)?];
        while self.tokens.next_if_eq(&Token::Pipe).is_some() {
            commands.push(self.command(nesting)?);
        }
        let follows = commands
            .iter()
            .skip(1)
            .all(|command| matches!(command.0.first(), Some(Operand::Function(_))));
        if follows {
            Ok(Pipeline(commands))
        } else {
            Err(TemplateError::Syntax(
                "what stands after `|` must be a function",
            ))
        }
    }

    fn command(&mut self, nesting: usize) -> Result<Command, TemplateError> {
        let mut operands = Vec::new();
        loop {
            while self.tokens.next_if_eq(&Token::Blank).is_some() {}
            match self.tokens.peek() {
                None | Some(Token::Pipe | Token::Close) => break,
                Some(_) => operands.push(self.operand(nesting)?),
            }
        }
        match operands.as_slice() {
            [] => Err(TemplateError::Syntax(
                "a part without a value; write .key or a function",
            )),
            // The text is shown when the template fails, so it may come from the manifest only, never from the secret.
            [Operand::Function(function), text @ ..]
                if function.shows_its_text() && !matches!(text, [Operand::Value(_), ..]) =>
            {
                Err(TemplateError::Syntax(
                    "fail and required need their text written as \"…\"",
                ))
            }
            [_] | [Operand::Function(_), ..] => Ok(Command(operands)),
            _ => Err(TemplateError::Syntax(
                "two values side by side; put a function before them",
            )),
        }
    }

    fn operand(&mut self, nesting: usize) -> Result<Operand, TemplateError> {
        match self.tokens.next() {
            Some(Token::Field(name)) => self.chain(name).map(Operand::Field),
            Some(Token::Text(text)) => Ok(Operand::Value(Value::String(text.into()))),
            Some(Token::Number(digits)) => Ok(Operand::Value(Value::Number(digits.into()))),
            Some(Token::Word(word)) => named(&word),
            Some(Token::Open) => self.group(nesting + 1),
            _ => Err(TemplateError::Syntax(
                "a part without a value; write .key or a function",
            )),
        }
    }

    /// The rest of `.a.b`, whose first name was read.
    fn chain(&mut self, first: String) -> Result<Vec<String>, TemplateError> {
        let mut names = vec![first];
        while let Some(Token::Field(name)) = self
            .tokens
            .next_if(|token| matches!(token, Token::Field(_)))
        {
            names.push(name);
        }
        if names == [""] {
            names.clear();
        }
        if names.iter().any(String::is_empty) {
            return Err(TemplateError::Syntax(
                "a `.` without a key; for unusual keys write index . \"key\"",
            ));
        }
        Ok(names)
    }

    fn group(&mut self, nesting: usize) -> Result<Operand, TemplateError> {
        if nesting > MAX_NESTING {
            return Err(TemplateError::Syntax("parentheses nested too deeply"));
        }
        let inner = self.pipeline(nesting)?;
        self.tokens
            .next_if_eq(&Token::Close)
            .ok_or(TemplateError::Syntax("a `(` without its `)`"))?;
        let names = match self
            .tokens
            .next_if(|token| matches!(token, Token::Field(_)))
        {
            Some(Token::Field(name)) => self.chain(name)?,
            _ => Vec::new(),
        };
        Ok(Operand::Group(inner, names))
    }
}

fn named(word: &str) -> Result<Operand, TemplateError> {
    match word {
        "true" => return Ok(Operand::Value(Value::Bool(true))),
        "false" => return Ok(Operand::Value(Value::Bool(false))),
        "nil" => return Ok(Operand::Value(Value::Null)),
        _ => {}
    }
    if let Some(function) = Function::named(word) {
        return Ok(Operand::Function(function));
    }
    if let Some(reason) = functions::withheld(word) {
        return Err(TemplateError::Withheld {
            name: word.to_owned(),
            reason,
        });
    }
    let similar = nearest(
        word,
        functions::FUNCTIONS.iter().map(|function| function.name),
    );
    Err(TemplateError::UnknownFunction {
        name: word.to_owned(),
        similar,
    })
}
