mod faults;
mod properties;

use super::*;
use crate::{Absence, Target};

const INHERITED: Schemes = Schemes { file: false };

fn text(parsed: &Parsed) -> String {
    let shown = |text: &Secret| String::from_utf8_lossy(text.expose()).into_owned();
    match parsed {
        Parsed::Untouched => "untouched".to_owned(),
        Parsed::Text(text) => format!("text {}", shown(text)),
        Parsed::Whole(reference) => format!("whole {}", reference_text(reference)),
        Parsed::Inline(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Text(text) => shown(text),
                Segment::Reference(reference) => format!("<{}>", reference_text(reference)),
            })
            .collect(),
    }
}

fn reference_text(reference: &Reference) -> String {
    let what = match &reference.target {
        Target::Transit(ciphertext) => format!("transit {}", ciphertext.expose_str().unwrap()),
        Target::Write { arguments, .. } => {
            format!("{reference} {}", arguments.to_json().expose_str().unwrap())
        }
        _ => reference.to_string(),
    };
    match reference.absence() {
        Absence::Required => what,
        Absence::Optional => format!("{what} optional"),
        Absence::Default(text) => format!("{what} default {}", text.expose_str().unwrap()),
    }
}

fn table(cases: &[(&str, &str)]) {
    for (value, expected) in cases {
        let parsed =
            parse(value.as_bytes(), INHERITED).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(text(&parsed), *expected, "{value}");
    }
}

#[test]
fn whole_values_as_peers_write_them() {
    table(&[
        (
            "vault:secret/data/app#password",
            "whole vault:secret/data/app#password",
        ),
        (
            "bao:secret/data/app#password#3",
            "whole bao:secret/data/app#password#3",
        ),
        (
            "secrets-store:demo/data/app#password",
            "whole secrets-store:demo/data/app#password",
        ),
        (
            "vault:/secret/data/app#password",
            "whole vault:secret/data/app#password",
        ),
        (
            "vault:p/a#with.dot and blank",
            "whole vault:p/a#with.dot and blank",
        ),
        ("vault:p/a#/db/0/host#2", "whole vault:p/a#/db/0/host#2"),
        ("vault:p/a#k#0", "whole vault:p/a#k"),
        ("vault:login", "whole vault:login"),
        ("bao:login", "whole bao:login"),
        ("secrets-store:login", "whole secrets-store:login"),
        ("vault:login#k", "whole vault:login#k"),
        (
            "vault:v1:8SDd3WHDOjf7mq69CyCqYg==",
            "whole transit vault:v1:8SDd3WHDOjf7mq69CyCqYg==",
        ),
        ("vault:v100:aGVsbG8=", "whole transit vault:v100:aGVsbG8="),
        ("bao:v1:aGVsbG8=", "whole transit vault:v1:aGVsbG8="),
        ("vault:v1#k", "whole vault:v1#k"),
        ("vault:p/a#${.u}:${.p}@h", "whole vault:p/a#${…}"),
        (
            "vault:p/a#x${.u | replace \"#\" \"-\"}y#3",
            "whole vault:p/a#${…}#3",
        ),
        ("vault:p/a#${.u}\n${.p}\n", "whole vault:p/a#${…}"),
    ]);
}

#[test]
fn writes_as_peers_write_them() {
    table(&[
        (
            ">>vault:pki/root/generate/internal#certificate",
            "whole >>vault:pki/root/generate/internal#certificate {}",
        ),
        (
            ">>vault:pki/issue/web#certificate#{\"common_name\":\"a#b\"}",
            "whole >>vault:pki/issue/web#certificate {\"common_name\":\"a#b\"}",
        ),
        (
            ">>vault:transit/decrypt/k#${.plaintext | b64dec}#{\"ciphertext\":\"c\"}",
            "whole >>vault:transit/decrypt/k#${…} {\"ciphertext\":\"c\"}",
        ),
        (
            ">>bao:p/a#k#{\n  \"x\": 1\n}\n",
            "whole >>bao:p/a#k {\"x\":1}",
        ),
        (">>vault:p/a#k?#{}", "whole >>vault:p/a#k {} optional"),
        (
            ">>vault:p/a#k:-text#{}",
            "whole >>vault:p/a#k {} default text",
        ),
        (
            "${>>vault:p/a#k#{\"x\":\"y\"}}",
            "<>>vault:p/a#k {\"x\":\"y\"}>",
        ),
        (
            "${>>vault:p/a#k#{\"x\":{\"y\":\"}\"}}}",
            "<>>vault:p/a#k {\"x\":{\"y\":\"}\"}}>",
        ),
        (
            "${>>vault:p/a#k#{\"x\":\"\\\"}\"}}!",
            "<>>vault:p/a#k {\"x\":\"\\\"}\"}>!",
        ),
        (">>vault:v1:abc#k", "whole >>vault:v1:abc#k {}"),
    ]);
}

#[test]
fn inline_references_end_where_their_braces_balance() {
    table(&[
        (
            "u://${vault:p/a#u}:${vault:p/a#p}@h",
            "u://<vault:p/a#u>:<vault:p/a#p>@h",
        ),
        (
            "x${vault:p/a#${.password | urlquery}}@h",
            "x<vault:p/a#${…}>@h",
        ),
        ("${vault:p/a#${.u}:${.p}}", "<vault:p/a#${…}>"),
        ("${vault:p/a#${.u | default \"}\"}}}", "<vault:p/a#${…}>}"),
        ("{\"p\":${vault:p/a#k}}", "{\"p\":<vault:p/a#k>}"),
        (
            "{\"a\":{\"p\":\"${vault:p/a#k}\"}}",
            "{\"a\":{\"p\":\"<vault:p/a#k>\"}}",
        ),
        ("${vault:p/a#it's \"k}", "<vault:p/a#it's \"k>"),
        (
            "${vault:v1:aGVsbG8=}${bao:login}",
            "<transit vault:v1:aGVsbG8=><bao:login>",
        ),
        (
            "${HOME}/${vault:p/a#k}$${env:X}",
            "${HOME}/<vault:p/a#k>$${env:X}",
        ),
        ("a\n${vault:p/a#k}\nb", "a\n<vault:p/a#k>\nb"),
        ("$ ${bao:p/a#k}$", "$ <bao:p/a#k>$"),
    ]);
}

#[test]
fn absent_keys_have_a_say() {
    table(&[
        ("vault:p/a#k?", "whole vault:p/a#k optional"),
        ("vault:p/a#k#3?", "whole vault:p/a#k#3 optional"),
        ("vault:p/a#k?#3", "whole vault:p/a#k#3 optional"),
        ("vault:p/a#k??", "whole vault:p/a#k? optional"),
        ("vault:p/a#/x/y?", "whole vault:p/a#/x/y optional"),
        ("vault:p/a#k:-text", "whole vault:p/a#k default text"),
        ("vault:p/a#k:-", "whole vault:p/a#k default "),
        ("vault:p/a#k:-a#b?", "whole vault:p/a#k default a#b?"),
        (
            "vault:p/a#k:-redis://h:6379#0",
            "whole vault:p/a#k default redis://h:6379#0",
        ),
        ("vault:p/a#k:-${x}", "whole vault:p/a#k default ${x}"),
        ("vault:p/a#k:-a\nb\n", "whole vault:p/a#k default a\nb\n"),
        ("vault:p/a#k#3:-x:-y", "whole vault:p/a#k#3 default x:-y"),
        ("vault:p/a#k#3:-a#b", "whole vault:p/a#k#3 default a#b"),
        ("vault:p/a#k?#3:-x", "whole vault:p/a#k#3 default x"),
        ("vault:p/a#k?:-x", "whole vault:p/a#k? default x"),
        ("vault:p/a#${.k}?", "whole vault:p/a#${…}"),
        ("vault:p/a#${.k}:-x", "whole vault:p/a#${…}"),
        ("vault:p/a#${.k}#3?", "whole vault:p/a#${…}#3 optional"),
        ("${vault:p/a#k:-none}!", "<vault:p/a#k default none>!"),
        (
            "${vault:p/a#k:-{\"a\":\"}\"}}!",
            "<vault:p/a#k default {\"a\":\"}\"}>!",
        ),
        ("${vault:p/a#k:-\"}\"}", "<vault:p/a#k default \">\"}"),
    ]);
}

#[test]
fn files_are_references_only_where_asked() {
    for (value, expected) in [
        ("file:/run/secrets/a", "whole file:/run/secrets/a"),
        (
            "file:rel/path with blank?",
            "whole file:rel/path with blank?",
        ),
        ("file:a#/db/0/host", "whole file:a#/db/0/host"),
        ("file:a#/db/0/host?", "whole file:a#/db/0/host optional"),
        ("file:a#/db:-x#y", "whole file:a#/db default x#y"),
        ("file:a#?", "whole file:a optional"),
        ("file:a#:-x", "whole file:a default x"),
        ("x${file:/a}y", "x<file:/a>y"),
        ("$${file:/a}${file:/b}", "${file:/a}<file:/b>"),
        ("vault:p/a#k", "whole vault:p/a#k"),
    ] {
        assert_eq!(
            text(&parse_explicit(value.as_bytes()).unwrap()),
            expected,
            "{value}"
        );
        assert!(
            value.contains("vault") || parse(value.as_bytes(), INHERITED) == Ok(Parsed::Untouched),
            "{value}"
        );
    }
}

#[test]
fn ordinary_values_pass_untouched() {
    for value in [
        "",
        " ",
        "$",
        "${",
        "$$",
        "$${",
        "${}",
        "}",
        "#",
        ">>",
        "vault",
        "vaulty:x#y",
        "Vault:p#k",
        " vault:p#k",
        "xvault:p#k",
        ">vault:p#k",
        ">>>vault:p#k",
        ">>file:/a",
        "https://vault:8200",
        "redis://:p@vault:6379#0",
        "hashicorp/vault:1.20",
        "file:./dev.db",
        "file:/config/",
        "classpath:/a,file:/b",
        "optional:file:./x",
        "jdbc:postgresql://h/db?a=b#c",
        "${HOME}/x",
        "${VAR:-default}",
        "$${env:X}",
        "$${date:MM-dd-yyyy}",
        "${env:X}",
        "${sys:a:-b}",
        "${ vault:p#k}",
        "${>vault:p#k}",
        "${vault}",
        "${VAULT:p#k}",
        "${file:/a}",
        "$${file:/a}",
        "$(vault:p#k)",
        "{\"a\":\"${}\"}",
        "{{vault:p#k}}",
        "a\nb\r\n\t",
        "p#a#b#c",
        "${vault.url}",
        "@Microsoft.KeyVault(SecretUri=x)",
        "arn:aws:secretsmanager:eu:1:secret:x",
        "op://vault/item/field",
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
    table(&[
        ("$${vault:p#k}", "text ${vault:p#k}"),
        ("$${vault:", "text ${vault:"),
        ("$${>>bao:p#k} $${env:X}", "text ${>>bao:p#k} $${env:X}"),
        ("$${>vault:p#k}$${vault:x}", "text $${>vault:p#k}${vault:x}"),
        ("$${vault:x}${vault:p/a#k}", "${vault:x}<vault:p/a#k>"),
        ("$$${vault:p/a#k}", "text $${vault:p/a#k}"),
        ("$${vault:p#${bao:p/a#k}}", "${vault:p#<bao:p/a#k>}"),
    ]);
    assert_eq!(
        parse(b"\xff$${vault:p#k}", INHERITED),
        Ok(Parsed::Text(Secret::new(b"\xff${vault:p#k}".to_vec())))
    );
}

#[test]
fn bytes_around_a_reference_stay_bytes() {
    let Ok(Parsed::Inline(segments)) = parse(b"\xff${vault:p/a#k}\xfe", INHERITED) else {
        panic!()
    };
    assert_eq!(segments[0], Segment::Text(Secret::new(vec![0xff])));
    assert_eq!(segments[2], Segment::Text(Secret::new(vec![0xfe])));
}
