//! The path of a secret as tenants write it, with or without `/v1/` and with a query.

use envlatch_reference::BulkPath;
use url::form_urlencoded;

use crate::Problem;

/// Takes apart `text`; `field` names it in an error.
///
/// # Errors
/// A path that a server would read differently (`..`, an encoded character, an empty part).
pub(super) fn parse(field: &str, text: &str) -> Result<(String, Vec<(String, String)>), Problem> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_prefix("v1/").unwrap_or(path);
    if path.contains('#') {
        return Err(Problem::invalid(format!(
            "{field} has a '#' in it; name the key and the version in fields of their own"
        )));
    }
    let path = BulkPath::parse(path)
        .map_err(|error| Problem::invalid(format!("{field} is {error}")))?
        .path;
    if !path.contains('/') {
        return Err(Problem::invalid(format!(
            "{field} names no secret below a mount; write it as MOUNT/PATH, for a KV v2 engine MOUNT/data/PATH"
        )));
    }
    let query = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    Ok((path, query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries() {
        for (text, expected) in [
            ("secret/data/app", Some(("secret/data/app", ""))),
            ("/secret/data/app", Some(("secret/data/app", ""))),
            ("/v1/secret/data/app", Some(("secret/data/app", ""))),
            (
                "v1/secret/data/app?version=2",
                Some(("secret/data/app", "version=2")),
            ),
            (
                "pki/cert/ca?a=1&b=x%20y",
                Some(("pki/cert/ca", "a=1,b=x y")),
            ),
            ("secret/data/../sys", None),
            ("secret/%2e%2e/sys", None),
            ("secret//app", None),
            ("secret/data/app#key", None),
            ("secret/da\nta", None),
            ("secret", None),
            ("", None),
            ("?version=1", None),
        ] {
            let parsed = parse("secretPath", text).map(|(path, query)| {
                let query: Vec<String> = query.iter().map(|(k, v)| format!("{k}={v}")).collect();
                (path, query.join(","))
            });
            let expected = expected.map(|(path, query)| (path.to_owned(), query.to_owned()));
            assert_eq!(parsed.clone().ok(), expected, "{text}: {parsed:?}");
            if let Err(problem) = parsed {
                assert!(problem.message.starts_with("secretPath "), "{problem}");
            }
        }
    }
}
