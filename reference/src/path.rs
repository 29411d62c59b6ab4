//! Paths on the server, as the API spells them after `/v1/`.

use thiserror::Error;

/// Why a path is refused. What a server would normalise away or read as something else is refused here, so that a
/// reference reads what it says (CVE-2026-3605 was a `..` in a request path).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// Nothing before `#`.
    #[error("a reference with an empty path; write MOUNT/PATH before `#`")]
    Empty,
    /// `a//b` or `a/`.
    #[error("a path with an empty part; write single slashes and none at the end")]
    EmptyPart,
    /// `.` or `..`, also percent-encoded.
    #[error("a path with `.` or `..`; write the path it leads to")]
    Dots,
    /// `?`.
    #[error(
        "a path with `?`; a version goes after the key (PATH#KEY#3), arguments of a write after it as JSON"
    )]
    Query,
    /// Control characters.
    #[error("a path with a control character")]
    Character,
}

/// Checks `path` and drops one slash at its start, which peers tolerate.
pub(crate) fn parse(path: &str) -> Result<String, PathError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.chars().any(char::is_control) {
        return Err(PathError::Character);
    }
    if path.contains('?') {
        return Err(PathError::Query);
    }
    for part in path.split('/') {
        match part.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "" => return Err(PathError::EmptyPart),
            "." | ".." => return Err(PathError::Dots),
            encoded if encoded.contains("%2f") => return Err(PathError::Dots),
            _ => {}
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_would_read_differently_is_refused() {
        for (path, expected) in [
            ("secret/data/app", Ok("secret/data/app")),
            ("/secret/data/app", Ok("secret/data/app")),
            ("secret/data/with blank", Ok("secret/data/with blank")),
            ("", Err(PathError::Empty)),
            ("/", Err(PathError::Empty)),
            ("a//b", Err(PathError::EmptyPart)),
            ("a/", Err(PathError::EmptyPart)),
            ("a/../b", Err(PathError::Dots)),
            ("a/%2E%2e/b", Err(PathError::Dots)),
            ("a/..%2fb", Err(PathError::Dots)),
            ("a?list=true", Err(PathError::Query)),
            ("a\nb", Err(PathError::Character)),
        ] {
            assert_eq!(parse(path), expected.map(str::to_owned), "{path}");
        }
    }
}
