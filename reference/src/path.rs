//! Paths on the server, as the API spells them after `/v1/`.

use thiserror::Error;

/// Why a path is refused: a server or a proxy would read it as another one, so that a reference would not read what it says
/// (`..` in a request path was CVE-2026-3605).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// Nothing there.
    #[error("an empty path; write MOUNT/PATH")]
    Empty,
    /// `a//b` or `a/`.
    #[error("a path with an empty part; write single slashes, and none at the end")]
    EmptyPart,
    /// `.` or `..`.
    #[error("a path with `.` or `..` as a part; write the path it leads to")]
    Dots,
    /// `%2e`, `%2f`, `%00` and the like.
    #[error("a path with a percent-encoded character; write the character itself")]
    Encoded,
    /// `?`.
    #[error(
        "a path with `?`; write a version after the key (PATH#KEY#3), and arguments of a write after it as JSON"
    )]
    Query,
    /// A blank at an end.
    #[error("a path that begins or ends with a blank; write it without")]
    Blank,
    /// Control characters.
    #[error("a path with a control character, such as a line break; write it in one line")]
    Character,
}

/// Checks `path` and drops one slash at its start, which peers tolerate.
pub(crate) fn parse(path: &str) -> Result<String, PathError> {
    if path.chars().any(char::is_control) {
        return Err(PathError::Character);
    }
    if path.trim() != path {
        return Err(PathError::Blank);
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.contains('?') {
        return Err(PathError::Query);
    }
    if path
        .as_bytes()
        .windows(3)
        .any(|part| part[0] == b'%' && part[1..].iter().all(u8::is_ascii_hexdigit))
    {
        return Err(PathError::Encoded);
    }
    for part in path.split('/') {
        match part {
            "" => return Err(PathError::EmptyPart),
            "." | ".." => return Err(PathError::Dots),
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
            ("secret/data/100%", Ok("secret/data/100%")),
            ("secret/data/a..b/.c", Ok("secret/data/a..b/.c")),
            ("secret/data/é", Ok("secret/data/é")),
            ("", Err(PathError::Empty)),
            ("/", Err(PathError::Empty)),
            ("//a", Err(PathError::EmptyPart)),
            ("a//b", Err(PathError::EmptyPart)),
            ("a/", Err(PathError::EmptyPart)),
            ("a/../b", Err(PathError::Dots)),
            ("../b", Err(PathError::Dots)),
            ("a/.", Err(PathError::Dots)),
            ("a/%2E%2e/b", Err(PathError::Encoded)),
            ("a/..%2fb", Err(PathError::Encoded)),
            ("a%00", Err(PathError::Encoded)),
            ("a?list=true", Err(PathError::Query)),
            (" a/b", Err(PathError::Blank)),
            ("a/b ", Err(PathError::Blank)),
            ("a\nb", Err(PathError::Character)),
            ("a\0b", Err(PathError::Character)),
            ("a\u{85}b", Err(PathError::Character)),
        ] {
            assert_eq!(parse(path), expected.map(str::to_owned), "{path}");
        }
    }
}
