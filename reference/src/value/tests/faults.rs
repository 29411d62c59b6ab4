//! What is refused, where, in which words, and never with a part of the value.

use super::*;
use crate::{PathError, SyntaxError};

#[test]
fn faults_have_a_column() {
    use ParseErrorKind::{
        Character, EmptyKey, EmptyVersion, NoFile, NoKey, NoObject, NoReference, Path, Pointer,
        Template, Unclosed, Version,
    };
    for (value, column, kind) in [
        ("vault:", 7, NoKey("vault:")),
        ("vault:p/a", 7, NoKey("vault:")),
        ("bao:p/a", 5, NoKey("bao:")),
        (">>secrets-store:p/a", 17, NoKey("secrets-store:")),
        ("${vault:p/a}", 9, NoKey("vault:")),
        ("vault:v0:", 7, NoKey("vault:")),
        ("vault:v0", 7, NoKey("vault:")),
        ("vault:v:abc", 7, NoKey("vault:")),
        ("vault:v1x:abc", 7, NoKey("vault:")),
        ("vault:#k", 7, Path(PathError::Empty)),
        ("vault: p/a#k", 7, Path(PathError::Blank)),
        ("vault:p/../a#k", 7, Path(PathError::Dots)),
        ("vault:p/%2e%2E/a#k", 7, Path(PathError::Encoded)),
        ("vault:p//a#k", 7, Path(PathError::EmptyPart)),
        ("vault:p/a?version=1#k", 7, Path(PathError::Query)),
        ("vault:p\n/a#k", 7, Path(PathError::Character)),
        ("x ${vault:p/\n#k}", 11, Path(PathError::Character)),
        ("vault:p/a#", 11, EmptyKey),
        ("vault:p/a#?", 11, EmptyKey),
        ("vault:p/a#:-x", 11, EmptyKey),
        ("vault:p/a##1", 11, EmptyKey),
        ("vault:p/a#k#", 13, EmptyVersion),
        ("vault:p/a#k#?", 13, EmptyVersion),
        ("vault:p/a#k#x", 13, Version),
        ("vault:p/a#k#-1", 13, Version),
        ("vault:p/a#k#1#2", 13, Version),
        ("vault:p#a#b#c", 11, Version),
        ("vault:p/a#k#4294967296", 13, Version),
        ("vault:p/a#${.k}#x", 17, Version),
        ("vault:p/a#k\n", 12, Character),
        ("vault:p/a#k\n:-x", 12, Character),
        ("x${vault:p/a#k", 2, Unclosed),
        ("${vault:p/a#k} ${vault:p/a#{}", 16, Unclosed),
        ("${vault:p/a#${.k}", 1, Unclosed),
        ("vault:p/a#${.k", 11, Template(SyntaxError::Unclosed)),
        ("vault:p/a#${.k}${.l#2", 16, Template(SyntaxError::Unclosed)),
        (
            "vault:p/a#${.k | uper}",
            18,
            Template(SyntaxError::UnknownFunction {
                similar: Some("upper"),
            }),
        ),
        (
            ">>vault:p/a#k#",
            15,
            ParseErrorKind::Arguments(envlatch_secret::ParseError::Syntax { line: 1, column: 0 }),
        ),
        (
            ">>vault:p/a#k#{\"x\"",
            15,
            ParseErrorKind::Arguments(envlatch_secret::ParseError::Syntax { line: 1, column: 4 }),
        ),
        (">>vault:p/a#k#[1]", 15, NoObject),
        (">>vault:p/a#k#1", 15, NoObject),
        (">>vault:p/a", 9, NoKey("vault:")),
        (">>vault:p/a#", 13, EmptyKey),
        ("file:", 6, NoFile),
        ("file:#/a", 6, NoFile),
        ("file:a#", 8, EmptyKey),
        ("file:a#b", 8, Pointer),
        ("file:a#b?", 8, Pointer),
        ("file:a\n", 7, Character),
        ("vault:p/a#/x~2", 11, Pointer),
        ("plain", 1, NoReference),
        ("$${vault:p#k}", 1, NoReference),
        ("", 1, NoReference),
    ] {
        assert_eq!(
            parse_explicit(value.as_bytes()),
            Err(ParseError { column, kind }),
            "{value}"
        );
    }
    assert_eq!(
        parse(b"vault:\xff#k", INHERITED),
        Err(ParseError {
            column: 7,
            kind: Character
        })
    );
    assert_eq!(
        parse(b"\xfe${vault:p\xff#k}", INHERITED),
        Err(ParseError {
            column: 11,
            kind: Character
        })
    );
}

#[test]
fn an_error_names_the_remedy() {
    for (value, expected) in [
        (
            "vault:hunter2",
            "column 7: a reference without a key; write vault:PATH#KEY",
        ),
        (
            "vault:p/a#k#",
            "column 13: an empty version; leave out the `#` before it for the latest one",
        ),
        (
            "x${vault:p/a#k",
            "column 2: `${` is never closed; add `}`, or write `$${` if it is meant as text",
        ),
        (
            ">>vault:p/a#k#[]",
            "column 15: the arguments after the second `#` are no JSON object; write one such as {\"ttl\":\"1h\"}",
        ),
        (
            "vault:p/a#${now}",
            "column 13: template: `now` is not offered: a template may not look at the clock",
        ),
    ] {
        assert_eq!(
            parse(value.as_bytes(), INHERITED).unwrap_err().to_string(),
            expected,
            "{value}"
        );
    }
}

#[test]
fn what_may_hold_a_secret_is_never_shown() {
    for value in [
        ">>vault:p/a#k#{\"password\":\"canary\"}",
        "vault:p/a#k:-canary",
        "vault:p/a#k#3:-canary",
        "vault:p/a#${.k | default \"canary\"}",
        "canary ${vault:p/a#k} canary",
        "canary $${vault:p/a#k}",
        "vault:v1:canary",
        "file:/a#:-canary",
    ] {
        let parsed = parse_explicit(value.as_bytes())
            .or_else(|_| parse(value.as_bytes(), INHERITED))
            .unwrap();
        assert!(
            !format!("{parsed:?} {parsed:#?}").contains("canary"),
            "{parsed:?}"
        );
        if let Parsed::Whole(reference) = parsed {
            assert!(!reference.to_string().contains("canary"), "{reference}");
        }
    }
}
