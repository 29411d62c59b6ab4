//! What a person would look at when a test in a namespace has failed, without secrets.

use super::Cluster;

/// How many last lines of a part's log are shown.
const TAIL: usize = 15;

const REDACTED: &str = "[REDACTED]";

/// Pods as `kubectl describe` shows them, events, logs of all containers, and the end of kubelet's log.
pub(super) fn of(cluster: &Cluster, namespace: &str, secrets: &[String]) -> String {
    let show = |title: &str, words: &[&str]| {
        let output = cluster.kubectl(&[words, &["--namespace", namespace]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("--- {title} in {namespace}\n{text}{error}")
    };
    let mut parts = vec![
        show("pods", &["get", "pods", "--output", "wide"]),
        show("descriptions", &["describe", "pods"]),
        show("events", &["get", "events", "--sort-by", ".lastTimestamp"]),
    ];
    let names = cluster.kubectl(&["get", "pods", "--output", "name", "--namespace", namespace]);
    for name in String::from_utf8_lossy(&names.stdout).lines() {
        let words = ["logs", name, "--all-containers", "--prefix"];
        parts.push(show(&format!("log of {name}"), &words));
    }
    let log = cluster.log("kubelet");
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(namespace))
        .collect();
    let tail = &lines[lines.len().saturating_sub(TAIL)..];
    parts.push(format!(
        "--- kubelet about {namespace}\n{}",
        tail.join("\n")
    ));
    redact(&parts.join("\n"), secrets)
}

/// `text` without the `secrets` and without what looks like a token of a service account or of Vault.
fn redact(text: &str, secrets: &[String]) -> String {
    let hidden = secrets
        .iter()
        .filter(|secret| secret.len() >= 4)
        .fold(text.to_owned(), |text, secret| {
            text.replace(secret, REDACTED)
        });
    let mut told = String::new();
    for piece in hidden.split_inclusive(|c: char| c.is_whitespace() || "\"',=".contains(c)) {
        let word = piece.trim_end_matches(|c: char| c.is_whitespace() || "\"',=".contains(c));
        let token = word.starts_with("eyJ") || word.starts_with("hvs.");
        told.push_str(if token { REDACTED } else { word });
        told.push_str(&piece[word.len()..]);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn secrets_and_tokens_are_not_told() {
        let text = "password: hunter22, JWT=eyJhbGciOi.x.y \"hvs.CAESIabc\" role: app";
        let told = redact(text, &["hunter22".to_owned()]);
        let expected = "password: [REDACTED], JWT=[REDACTED] \"[REDACTED]\" role: app";
        assert_eq!(told, expected);
    }
}
