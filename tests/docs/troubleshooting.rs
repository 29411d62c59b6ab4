//! `docs/troubleshooting.md` against the sources of the node plugin: each reason with its code, and the texts of messages. Also the list of all
//! reasons in `docs/bundles.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

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

/// What the operator alone uses.
const OF_THE_OPERATOR: [&str; 1] = ["secret_object.rs"];

/// But for tests, and files of these names.
fn sources(folders: &[&str], without: &[&str]) -> Vec<String> {
    let paths = folders.iter().flat_map(|folder| files(folder, ".rs"));
    let is_wanted = |path: &PathBuf| {
        let mut others = without.iter().chain(&["tests.rs"]);
        !others.any(|other| path.ends_with(other))
    };
    let paths = paths.filter(is_wanted);
    paths
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// `Code::X, "Reason"`, `code: …, reason: "Reason"` and `Status::x("Reason: …")`, however they are broken into lines.
fn reasons(sources: &[String]) -> BTreeSet<Reason> {
    let mut found = BTreeSet::new();
    for source in sources {
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
        found.extend(source.split("Status::").skip(1).filter_map(status));
    }
    found
}

/// The reason and the code of `x("Reason: …")`, also with a `format!` around the text.
fn status(call: &str) -> Option<Reason> {
    let (code, text) = call.split_once('(')?;
    let text = text.trim_start();
    let text = text.strip_prefix("format!(").unwrap_or(text).trim_start();
    let (reason, _) = text.strip_prefix('"')?.split_once(": ")?;
    let words = is_reason(reason).then(|| code.split('_'))?;
    let code = words.flat_map(|word| [word[..1].to_ascii_uppercase(), word[1..].to_owned()]);
    Some((reason.to_owned(), Some(code.collect())))
}

/// The word in quotes that `text` begins with.
fn word(text: &str) -> Option<String> {
    let (word, _) = text.strip_prefix('"')?.split_once('"')?;
    is_reason(word).then(|| word.to_owned())
}

fn is_reason(word: &str) -> bool {
    word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphabetic)
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
    let reasons = reasons(&sources(&REASONS, &OF_THE_OPERATOR));
    let listed = listed(&page);
    assert!(reasons.len() > 40, "{reasons:?}");
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
fn every_reason_is_in_the_list_of_all() {
    let page = text("docs/bundles.md");
    let (_, section) = page.split_once("\n## Reasons\n").unwrap();
    let rows = rows(section);
    let listed: BTreeSet<&str> = rows.iter().flat_map(|row| code_spans(&row[0])).collect();
    let missing: Vec<String> = reasons(&sources(&REASONS, &[]))
        .into_iter()
        .map(|(reason, _)| reason)
        .filter(|reason| !listed.contains(reason.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in docs/bundles.md: {missing:?}");
}

#[test]
fn every_message_is_one_of_the_node_plugin() {
    let page = text("docs/troubleshooting.md");
    let sources: String = sources(&MESSAGES, &OF_THE_OPERATOR)
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
