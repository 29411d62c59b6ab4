//! When two addresses mean one server.

use url::Url;

/// Whether scheme, host and port of two addresses are equal, after parsing: case, a default port and a slash at the end do not
/// count. What could hide another host (user information, a query, a fragment) never equals anything.
pub(super) fn same_origin(one: &str, other: &str) -> bool {
    match (clean(one), clean(other)) {
        (Some(one), Some(other)) => one.origin() == other.origin(),
        _ => false,
    }
}

/// The host of an address.
pub(super) fn host(address: &str) -> Option<String> {
    clean(address)?.host_str().map(str::to_owned)
}

fn clean(address: &str) -> Option<Url> {
    let url = Url::parse(address.trim()).ok()?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (plain && matches!(url.scheme(), "http" | "https")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let own = "https://vault.example:8200";
        for (address, expected) in [
            ("https://vault.example:8200", true),
            ("https://VAULT.example:8200/", true),
            ("https://vault.example:8200/v1", true),
            ("http://vault.example:8200", false),
            ("https://vault.example", false),
            ("https://vault.example:8201", false),
            ("https://vault.example.evil:8200", false),
            ("https://vault.example:8200@evil", false),
            ("https://user@vault.example:8200", false),
            ("https://vault.example:8200?x", false),
            ("https://vault.example:8200#x", false),
            ("file://vault.example:8200", false),
            ("", false),
        ] {
            assert_eq!(same_origin(own, address), expected, "{address}");
        }
        assert!(same_origin(
            "https://vault.example:443",
            "https://vault.example"
        ));
    }
}
