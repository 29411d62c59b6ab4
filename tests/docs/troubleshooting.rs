//! `docs/troubleshooting.md` against the sources of the node plugin: each reason with its code, and the texts of messages.

use std::collections::BTreeSet;
use std::fs;

use crate::{as_said, code_spans, files, rows, text};

/// Where the plugin's reasons are.
const REASONS: [&str; 2] = ["bundle/src", "csi/src"];
/// Where its messages are.
const MESSAGES: [&str; 5] = [
    "bundle/src",
    "csi/src",
    "vault/src",
    "reference/src",
    "secret/src",
];

/// Reason, code if the source says it beside the reason.
type Reason = (String, Option<String>);

fn sources(folders: &[&str]) -> Vec<String> {
    let paths = folders.iter().flat_map(|folder| files(folder, ".rs"));
    // Tests, and what the operator alone uses.
    let others = ["tests.rs", "secret_object.rs"];
    let paths = paths.filter(|path| !others.iter().any(|other| path.ends_with(other)));
    paths
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// `Code::X, "Reason"` and `code: …, reason: "Reason"`, however they are broken into lines.
fn reasons() -> BTreeSet<Reason> {
    let mut found = BTreeSet::new();
    for source in sources(&REASONS) {
        let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
        for after in source.split("Code::").skip(1) {
            let Some((code, rest)) = after.split_once(", ") else {
                continue;
            };
            let rest = rest.strip_prefix("reason: ").unwrap_or(rest);
            if let Some(reason) = word(rest).filter(|_| code.chars().all(char::is_alphabetic)) {
                found.insert((reason, Some(code.to_owned())));
            }
        }
        let alone = source.split("reason: ").skip(1).filter_map(word);
        found.extend(alone.map(|reason| (reason, None)));
    }
    found
}

/// The word in quotes that `text` begins with.
fn word(text: &str) -> Option<String> {
    let (word, _) = text.strip_prefix('"')?.split_once('"')?;
    let is_reason = word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphabetic);
    is_reason.then(|| word.to_owned())
}

/// Rows of the tables by reason: reason, codes, message.
fn listed(page: &str) -> Vec<(String, String, String)> {
    let of_reasons = rows(page).into_iter().filter(|row| row.len() == 4);
    of_reasons
        .filter_map(|row| {
            let reason = code_spans(&row[0]).next()?.to_owned();
            Some((reason, row[1].clone(), row[2].clone()))
        })
        .collect()
}

#[test]
fn every_reason_of_the_node_plugin_has_its_row_with_its_code() {
    let page = text("docs/troubleshooting.md");
    let (reasons, listed) = (reasons(), listed(&page));
    assert!(reasons.len() > 30, "{reasons:?}");
    for (reason, code) in &reasons {
        let mut rows = listed.iter().filter(|(listed, ..)| listed == reason);
        let code = code.as_deref().unwrap_or_default();
        assert!(
            rows.any(|(_, codes, _)| codes.contains(code)),
            "docs/troubleshooting.md has no row for {reason} {code}"
        );
    }
    for (reason, codes, _) in &listed {
        let known: BTreeSet<Option<&str>> = reasons
            .iter()
            .filter(|(known, _)| known == reason)
            .map(|(_, code)| code.as_deref())
            .collect();
        assert!(!known.is_empty(), "no reason of the plugin: {reason}");
        // Where the code depends on what the kernel said, the source has none beside the reason.
        let exact = known.iter().any(Option::is_some);
        assert!(
            !exact || codes.split(", ").all(|code| known.contains(&Some(code))),
            "{reason} has other codes than {codes}: {known:?}"
        );
    }
}

#[test]
fn every_message_is_one_of_the_node_plugin() {
    let page = text("docs/troubleshooting.md");
    let sources: String = sources(&MESSAGES)
        .iter()
        .map(|text| as_said(text))
        .collect();
    let listed = listed(&page);
    let parts = listed
        .iter()
        .flat_map(|(_, _, message)| code_spans(message))
        .flat_map(|message| message.split('…'))
        .map(str::trim)
        .filter(|part| part.len() > 3);
    let missing: Vec<&str> = parts.filter(|part| !sources.contains(part)).collect();
    assert!(missing.is_empty(), "no message of the plugin: {missing:#?}");
}
