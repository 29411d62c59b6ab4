use envlatch_secret::Value;
use proptest::prelude::*;

use super::*;
use crate::{Absence, PathError, Target};

const INHERITED: Schemes = Schemes { file: false };

fn text(parsed: &Parsed) -> String {
    match parsed {
        Parsed::Untouched => "untouched".to_owned(),
        Parsed::Text(text) => format!("text {}", String::from_utf8_lossy(text)),
        Parsed::Whole(reference) => format!("whole {}", reference_text(reference)),
        Parsed::Inline(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Segment::Reference(reference) => format!("<{}>", reference_text(reference)),
            })
            .collect(),
    }
}

fn reference_text(reference: &Reference) -> String {
    match &reference.target {
        Target::Login => "login".to_owned(),
        Target::Transit(ciphertext) => format!("transit {}", ciphertext.expose_str().unwrap()),
        Target::Read {
            path,
            version,
            selector,
        } => {
            let version = version.map_or(String::new(), |version| format!(" v{version}"));
            format!(
                "{path} {}{version}{}",
                selector.name(),
                absence(selector.absence())
            )
        }
        Target::Write {
            path,
            arguments,
            selector,
        } => {
            let json = arguments.to_json();
            format!(
                "{path} {} {}{}",
                selector.name(),
                json.expose_str().unwrap(),
                absence(selector.absence())
            )
        }
        Target::File { path, selector } => {
            format!(
                "{path}{}",
                selector
                    .as_ref()
                    .map_or(String::new(), |selector| format!(" {}", selector.name()))
            )
        }
    }
}

fn absence(absence: &Absence) -> String {
    match absence {
        Absence::Required => String::new(),
        Absence::Optional => " optional".to_owned(),
        Absence::Default(text) => format!(" default {text}"),
    }
}

#[test]
fn values_as_peers_write_them() {
    for (value, expected) in [
        (
            "vault:secret/data/app#password",
            "whole secret/data/app password",
        ),
        (
            "bao:secret/data/app#password#3",
            "whole secret/data/app password v3",
        ),
        (
            "secrets-store:demo/data/app#password",
            "whole demo/data/app password",
        ),
        (
            "vault:/secret/data/app#password",
            "whole secret/data/app password",
        ),
        ("vault:login", "whole login"),
        (
            "vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w==",
            "whole transit vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w==",
        ),
        ("vault:v100:aGVsbG8=", "whole transit vault:v100:aGVsbG8="),
        ("bao:v1:aGVsbG8=", "whole transit vault:v1:aGVsbG8="),
        (
            "u://${vault:p/a#u}:${vault:p/a#p}@h",
            "u://<p/a u>:<p/a p>@h",
        ),
        (
            "x${vault:p/a#${.password | urlquery}}@h",
            "x<p/a ${.password | urlquery}>@h",
        ),
        ("${vault:p/a#${.u}:${.p}}", "<p/a ${.u}:${.p}>"),
        ("vault:p/a#${.u}:${.p}@h", "whole p/a ${.u}:${.p}@h"),
        ("{\"p\":${vault:p/a#k}}", "{\"p\":<p/a k>}"),
        (
            "{\"a\":{\"p\":\"${vault:p/a#k}\"}}",
            "{\"a\":{\"p\":\"<p/a k>\"}}",
        ),
        (
            ">>vault:pki/issue/web#certificate#{\"common_name\":\"a#b\"}",
            "whole pki/issue/web certificate {\"common_name\":\"a#b\"}",
        ),
        (
            ">>vault:pki/root/generate/internal#certificate",
            "whole pki/root/generate/internal certificate {}",
        ),
        (
            "${>>vault:p/a#k#{\"x\":{\"y\":\"}\"}}}",
            "<p/a k {\"x\":{\"y\":\"}\"}}>",
        ),
        (
            ">>vault:transit/decrypt/k#${.plaintext | b64dec}#{\"ciphertext\":\"c\"}",
            "whole transit/decrypt/k ${.plaintext | b64dec} {\"ciphertext\":\"c\"}",
        ),
    ] {
        assert_eq!(
            text(&parse(value.as_bytes(), INHERITED).unwrap()),
            expected,
            "{value}"
        );
    }
}

#[test]
fn absent_keys_have_a_say() {
    for (value, expected) in [
        ("vault:p/a#k?", "whole p/a k optional"),
        ("vault:p/a#k#3?", "whole p/a k v3 optional"),
        ("vault:p/a#k?#3", "whole p/a k v3 optional"),
        ("vault:p/a#k:-text", "whole p/a k default text"),
        ("vault:p/a#k:-", "whole p/a k default "),
        ("vault:p/a#k:-a#b?", "whole p/a k default a#b?"),
        ("vault:p/a#k:-${x}", "whole p/a k default ${x}"),
        ("vault:p/a#k#3:-x:-y", "whole p/a k v3 default x:-y"),
        ("${vault:p/a#k:-none}!", "<p/a k default none>!"),
    ] {
        assert_eq!(
            text(&parse(value.as_bytes(), INHERITED).unwrap()),
            expected,
            "{value}"
        );
    }
}

#[test]
fn ordinary_values_pass_untouched() {
    for value in [
        "",
        "vaulty:x#y",
        "https://vault:8200",
        "redis://:p@vault:6379#0",
        "file:./dev.db",
        "file:/config/",
        "classpath:/a,file:/b",
        "jdbc:postgresql://h/db",
        "${HOME}/x",
        "$${env:X}",
        "$${date:MM-dd-yyyy}",
        "${env:X}",
        "${ vault:p#k}",
        "${>vault:p#k}",
        "{\"a\":\"${}\"}",
        "$",
        "${",
        "$$",
        "Vault:p#k",
        " vault:p#k",
    ] {
        assert_eq!(
            parse(value.as_bytes(), INHERITED),
            Ok(Parsed::Untouched),
            "{value}"
        );
    }
    assert_eq!(parse(b"\xff${HOME}\x00", INHERITED), Ok(Parsed::Untouched));
}

#[test]
fn escapes_give_the_text_of_a_reference() {
    for (value, expected) in [
        ("$${vault:p#k}", "text ${vault:p#k}"),
        ("$${>>bao:p#k} $${env:X}", "text ${>>bao:p#k} $${env:X}"),
        ("$${vault:x}${vault:p/a#k}", "${vault:x}<p/a k>"),
        ("$$${vault:p/a#k}", "text $${vault:p/a#k}"),
    ] {
        assert_eq!(
            text(&parse(value.as_bytes(), INHERITED).unwrap()),
            expected,
            "{value}"
        );
    }
}

#[test]
fn bytes_around_a_reference_stay_bytes() {
    let Ok(Parsed::Inline(segments)) = parse(b"\xff${vault:p/a#k}\xfe", INHERITED) else {
        panic!()
    };
    assert_eq!(segments[0], Segment::Text(vec![0xff]));
    assert_eq!(segments[2], Segment::Text(vec![0xfe]));
}

#[test]
fn files_are_references_only_where_asked() {
    for (value, expected) in [
        ("file:/run/secrets/a", "whole /run/secrets/a"),
        ("file:a#/db/0/host", "whole a /db/0/host"),
        ("x${file:/a}y", "x</a>y"),
    ] {
        assert_eq!(
            text(&parse_explicit(value.as_bytes()).unwrap()),
            expected,
            "{value}"
        );
    }
}

#[test]
fn faults_have_a_column_and_no_content() {
    use ParseErrorKind::{
        Character, EmptyKey, EmptyVersion, NoKey, NoObject, NoReference, Path, Pointer, Unclosed,
        Version,
    };
    for (value, column, kind) in [
        ("vault:hunter2", 7, NoKey("vault:")),
        ("bao:hunter2", 5, NoKey("bao:")),
        ("vault:#hunter2", 7, Path(PathError::Empty)),
        ("vault:p/a#", 11, EmptyKey),
        ("vault:p/a#?", 11, EmptyKey),
        ("vault:p/a#k#", 13, EmptyVersion),
        ("vault:p/a#k#hunter2", 13, Version),
        ("vault:p/a#k#1#2", 13, Version),
        ("vault:p/../hunter2#k", 7, Path(PathError::Dots)),
        ("vault:v0:", 7, NoKey("vault:")),
        ("vault:p/a#k\n", 12, Character),
        ("x${vault:p/a#hunter2", 2, Unclosed),
        (">>vault:p/a#k#[1]", 15, NoObject),
        ("file:", 6, Path(PathError::Empty)),
        ("file:a#b", 8, Pointer),
        ("vault:p/a#/x~2", 11, Pointer),
        ("hunter2", 1, NoReference),
    ] {
        let error = parse_explicit(value.as_bytes()).unwrap_err();
        assert_eq!(error, ParseError { column, kind }, "{value}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    assert!(
        parse(b">>vault:p/a#k#{\"x\"", INHERITED)
            .unwrap_err()
            .to_string()
            .contains("not valid JSON")
    );
    assert_eq!(
        parse(b"vault:\xff#k", INHERITED).unwrap_err().kind,
        Character
    );
}

#[test]
fn arguments_may_hold_secrets_and_are_never_shown() {
    let parsed = parse(b">>vault:p/a#k#{\"password\":\"hunter2\"}", INHERITED).unwrap();
    assert!(!format!("{parsed:?}").contains("hunter2"));
    let Parsed::Whole(Reference {
        target: Target::Write { arguments, .. },
        ..
    }) = parsed
    else {
        panic!()
    };
    assert_eq!(
        arguments.get("password"),
        Some(&Value::String("hunter2".into()))
    );
}

proptest! {
    #[test]
    fn any_bytes_parse_or_fail(value in prop::collection::vec(any::<u8>(), 0..80)) {
        let _never_panics = parse(&value, Schemes { file: true });
    }

    #[test]
    fn any_soup_of_tokens_parses_or_fails(tokens in prop::collection::vec(prop::sample::select(vec![
        "vault:", "bao:", "file:", "${", "$${", "}", "{", "#", "?", ":-", ">>", "\"", "`", "a/b", "k", "3", ".x", "|", "é", "(", ")", "\\",
    ]), 0..24)) {
        let _never_panics = parse(tokens.concat().as_bytes(), Schemes { file: true });
    }

    #[test]
    fn text_without_a_scheme_is_untouched(value in "[^:]*") {
        prop_assert_eq!(parse(value.as_bytes(), Schemes { file: true }), Ok(Parsed::Untouched));
    }

    #[test]
    fn an_escaped_reference_is_its_own_text(path in "[a-z]{1,8}", key in "[a-z]{1,8}") {
        let reference = format!("${{vault:{path}#{key}}}");
        let escaped = format!("${reference}");
        prop_assert_eq!(parse(escaped.as_bytes(), INHERITED), Ok(Parsed::Text(reference.into_bytes())));
    }

    #[test]
    fn text_around_references_is_kept(before in "[^$]*", after in "[^$]*") {
        prop_assume!(!before.contains(':'));
        let value = format!("{before}${{vault:p/a#k}}{after}");
        let parsed = parse(value.as_bytes(), INHERITED).unwrap();
        prop_assert_eq!(text(&parsed), format!("{before}<p/a k>{after}"));
    }
}
