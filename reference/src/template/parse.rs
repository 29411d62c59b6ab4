//! Tokens as a pipeline.

use std::iter::Peekable;
use std::vec::IntoIter;

use envlatch_secret::Value;

use super::functions::FUNCTIONS;
use super::lex::{Fault, Placed, Token, tokens};
use super::{Call, Command, Operand, Pipeline, SyntaxError, withheld};
use crate::near::nearest;

/// How deeply parentheses may nest, so that no text exhausts the stack.
const MAX_NESTING: usize = 32;

pub(super) fn pipeline(action: &str) -> Result<Pipeline, Fault> {
    let mut parser = Parser {
        tokens: tokens(action)?.into_iter().peekable(),
        end: action.len(),
    };
    let pipeline = parser.pipeline(0)?;
    match parser.tokens.next() {
        None => Ok(pipeline),
        Some((start, _)) => Err(malformed(start, "a `)` without its `(`")),
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Placed>>,
    /// Where the action ends
    end: usize,
}

fn malformed(start: usize, text: &'static str) -> Fault {
    (start, SyntaxError::Malformed(text))
}

// === impl Parser ===

impl Parser {
    fn pipeline(&mut self, nesting: usize) -> Result<Pipeline, Fault> {
        let first = self.command(nesting)?;
        let mut further = Vec::new();
        while self.take(&Token::Pipe) {
            self.skip_blanks();
            let start = self.position();
            match self.command(nesting)? {
                Command::Call(call) => further.push(call),
                Command::Operand(_) => {
                    return Err(malformed(
                        start,
                        "a value after `|`; write a function there",
                    ));
                }
            }
        }
        Ok(Pipeline { first, further })
    }

    fn command(&mut self, nesting: usize) -> Result<Command, Fault> {
        self.skip_blanks();
        let start = self.position();
        let mut operands = self.operands(nesting)?.into_iter();
        match (operands.next(), operands.len()) {
            (Some(Operand::Function(function)), _) => {
                let call = Call {
                    function,
                    operands: operands.collect(),
                };
                // The text is shown when the template fails, so it may come from the manifest only, never from a secret.
                if function.shows_its_text()
                    && !matches!(call.operands.first(), Some(Operand::Literal(_)))
                {
                    return Err(malformed(
                        start,
                        "a failure without its text; write it out as \"…\"",
                    ));
                }
                Ok(Command::Call(call))
            }
            (Some(only), 0) => Ok(Command::Operand(only)),
            (Some(_), _) => Err(malformed(
                start,
                "values side by side; write a function before them",
            )),
            (None, _) => Err(malformed(
                start,
                "nothing where a value belongs; write .key or a function",
            )),
        }
    }

    fn operands(&mut self, nesting: usize) -> Result<Vec<Operand>, Fault> {
        let mut operands = Vec::new();
        let mut separated = true;
        while let Some((start, token)) = self
            .tokens
            .next_if(|(_, token)| !matches!(token, Token::Pipe | Token::Close))
        {
            let operand = match token {
                Token::Blank => {
                    separated = true;
                    continue;
                }
                _ if !separated => {
                    return Err(malformed(start, "two values without a blank between them"));
                }
                Token::Field(name) => Operand::Field(self.chain(start, name)?),
                Token::Literal(value) => Operand::Literal(value),
                Token::Word(word) => named(start, &word)?,
                _parenthesis => self.group(start, nesting + 1)?,
            };
            separated = false;
            operands.push(operand);
        }
        Ok(operands)
    }

    /// The rest of `.a.b`, whose first name was read.
    fn chain(&mut self, start: usize, first: String) -> Result<Vec<String>, Fault> {
        let mut names = vec![first];
        while let Some((_, Token::Field(name))) = self
            .tokens
            .next_if(|(_, token)| matches!(token, Token::Field(_)))
        {
            names.push(name);
        }
        if names == [""] {
            names.clear();
        }
        if names.iter().any(String::is_empty) {
            return Err(malformed(
                start,
                "a dot without a key; write index . \"key\" for an unusual one",
            ));
        }
        Ok(names)
    }

    /// `( … )`, whose `(` was read, and the keys after it.
    fn group(&mut self, start: usize, nesting: usize) -> Result<Operand, Fault> {
        if nesting > MAX_NESTING {
            return Err(malformed(start, "parentheses nested too deeply"));
        }
        let inner = self.pipeline(nesting)?;
        if !self.take(&Token::Close) {
            return Err(malformed(start, "a `(` without its `)`"));
        }
        let names = match self
            .tokens
            .next_if(|(_, token)| matches!(token, Token::Field(_)))
        {
            Some((start, Token::Field(name))) => self.chain(start, name)?,
            _ => Vec::new(),
        };
        Ok(Operand::Group(Box::new(inner), names))
    }

    fn take(&mut self, expected: &Token) -> bool {
        self.tokens
            .next_if(|(_, token)| token == expected)
            .is_some()
    }

    fn skip_blanks(&mut self) {
        while self.take(&Token::Blank) {}
    }

    fn position(&mut self) -> usize {
        self.tokens.peek().map_or(self.end, |(start, _)| *start)
    }
}

fn named(start: usize, word: &str) -> Result<Operand, Fault> {
    match word {
        "true" => return Ok(Operand::Literal(Value::Bool(true))),
        "false" => return Ok(Operand::Literal(Value::Bool(false))),
        "nil" => return Ok(Operand::Literal(Value::Null)),
        _ => {}
    }
    if let Some(function) = FUNCTIONS.iter().find(|function| function.name == word) {
        return Ok(Operand::Function(function));
    }
    Err((
        start,
        match withheld::find(word) {
            Some((name, reason)) => SyntaxError::Withheld { name, reason },
            None => SyntaxError::UnknownFunction {
                similar: nearest(word, FUNCTIONS.iter().map(|function| function.name)),
            },
        },
    ))
}
