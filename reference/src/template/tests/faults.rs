//! What is refused, and in which words.

use super::*;

#[test]
fn what_cannot_be_read_has_a_column_and_a_remedy() {
    for (text, column, expected) in [
        ("a${.user", 2, "`${` is never closed; add `}`"),
        ("${\"}", 1, "`${` is never closed"),
        ("${}", 3, "nothing where a value belongs"),
        ("${.a |}", 7, "nothing where a value belongs"),
        ("${| .a}", 3, "nothing where a value belongs"),
        ("${.a .b}", 3, "values side by side"),
        ("${.a\"b\"}", 5, "two values without a blank between them"),
        ("${.user | .port}", 11, "a value after `|`"),
        ("${(.user}", 3, "a `(` without its `)`"),
        ("${.user)}", 8, "a `)` without its `(`"),
        ("${.with-dash}", 8, "write index . \"with-dash\""),
        ("${.a..b}", 3, "a dot without a key"),
        ("${.a.}", 3, "a dot without a key"),
        ("${$x}", 3, "a variable, which is not offered; write .key"),
        ("${.a := 1}", 6, "a character that means nothing here"),
        ("${'a'}", 3, "a character that means nothing here"),
        ("${007}", 3, "a number that cannot be read"),
        ("${1x}", 3, "a number that cannot be read"),
        ("${-}", 3, "a number that cannot be read"),
        ("${print \"\\q\"}", 9, "an escape that Go does not know"),
        ("${print \"\\ud800\"}", 9, "an escape that Go does not know"),
        ("${print \"a\nb\"}", 9, "with a line break in it"),
        (
            "x ${.user | uper}",
            13,
            "no such function; did you mean `upper`?",
        ),
        ("${frobnicate .user}", 3, "no such function"),
        ("${- frobnicate -}", 5, "no such function"),
        (
            "${env \"HOME\"}",
            3,
            "`env` is not offered: a template may not read the environment",
        ),
        (
            "${file \"/etc/passwd\"}",
            3,
            "`file` is not offered: a template may not read files",
        ),
        (
            "${getHostByName \"x\"}",
            3,
            "`getHostByName` is not offered: a template may not use the network",
        ),
        ("${now}", 3, "`now` is not offered"),
        (
            "${genPrivateKey \"rsa\"}",
            3,
            "`genPrivateKey` is not offered",
        ),
        (
            "${if .on}x${end}",
            3,
            "`if` is not offered: there are no control structures",
        ),
        ("${fail .password}", 3, "a failure without its text"),
        ("${.password | fail}", 15, "a failure without its text"),
        (
            "${required (print .password) .void}",
            3,
            "a failure without its text",
        ),
        ("${print fail}", 3, "fail is given too few operands"),
    ] {
        let error = match Template::parse(text) {
            Err(error) => error,
            Ok(template) => {
                let error = template
                    .render(&Value::parse(SECRET.as_bytes()).unwrap())
                    .unwrap_err();
                assert!(error.to_string().contains(expected), "{text}: {error}");
                continue;
            }
        };
        assert!(
            error.column == column && error.to_string().contains(expected),
            "{text}: {error}"
        );
    }
}

#[test]
fn what_cannot_be_rendered_names_the_key_or_function() {
    for (text, expected) in [
        (
            "${.absent}",
            "the secret has no key `.absent`; add `| default \"…\"` if it may be absent",
        ),
        ("${.absent | upper}", "the secret has no key `.absent`"),
        (
            "${.usr}",
            "the secret has no key `.usr`, did you mean `user`?; add",
        ),
        ("${.map.q.deep}", "the secret has no key `.map.q`"),
        (
            "${index . \"with_dash\"}",
            "the secret has no key `.with_dash`, did you mean `with-dash`?",
        ),
        ("${index .hosts 2}", "the secret has no key `.hosts.2`"),
        (
            "${index .map (print .user)}",
            "the secret has no key `.map.…`",
        ),
        (
            "${.nothing}",
            "`.nothing` is null, which has no text; add `| default \"…\"`",
        ),
        ("${.map.absent | coalesce .void}", "`coalesce` is null"),
        (
            "${.nothing | upper}",
            "upper needs text, not null; put `| default \"…\"` before it",
        ),
        (
            "${.user.name}",
            "`.user.name` looks inside a value of type string",
        ),
        (
            "${.hosts.h0}",
            "`.hosts.h0` looks inside a value of type array",
        ),
        (
            "${index .user 0}",
            "index needs a map or a list to look into",
        ),
        (
            "${index .hosts \"0\"}",
            "index needs a number as the place in a list",
        ),
        ("${index .map 0}", "index needs text as the key of a map"),
        (
            "${slice .user 2 9}",
            "slice is given a place beyond the end",
        ),
        (
            "${slice .user 2 1}",
            "slice is given a place beyond the end",
        ),
        ("${first .user}", "first needs a list"),
        ("${dict \"a\"}", "dict needs a value for each key"),
        ("${.user | b64dec}", "b64dec needs base64 with its padding"),
        (
            "${filterPEM \"CERTIFICATE\" .user}",
            "filterPEM needs PEM with a block of that kind",
        ),
        (
            "${filterCertChain \"leaf\" .user}",
            "filterCertChain needs certificates as PEM",
        ),
        (
            "${filterCertChain \"first\" .user}",
            "filterCertChain needs \"leaf\", \"intermediate\" or \"root\" first",
        ),
        (
            "${dockerconfigjson \"a\" .user .password \"b\"}",
            "dockerconfigjson needs registry, user and password",
        ),
        (
            "${dockerconfigjson \"a\" \"u:v\" .password}",
            "dockerconfigjson needs a user without a colon in it",
        ),
        ("${.user | b32dec}", "b32dec needs base32 with its padding"),
        (
            "${\"aGVsbG8\" | b64dec}",
            "b64dec needs base64 with its padding",
        ),
        (
            "${\"aGVsbG9=\" | b64dec}",
            "b64dec needs base64 with its padding",
        ),
        (
            "${\"_-==\" | b64dec}",
            "b64dec needs base64 with its padding",
        ),
        (
            "${\"mjxwe===\" | b32dec}",
            "b32dec needs base32 with its padding",
        ),
        ("${.user | fromJson}", "fromJson needs JSON"),
        (
            "${\"/w==\" | b64dec | upper}",
            "upper needs text, not bytes that are no UTF-8",
        ),
        (
            "${list (b64dec \"/w==\") | toJson}",
            "toJson needs text, not bytes",
        ),
        ("${list (b64dec \"/w==\")}", "toJson needs text, not bytes"),
        ("${.user | int}", "int needs a whole number"),
        ("${repeat -1 \"a\"}", "repeat needs a number from 0"),
        ("${upper}", "upper is given too few operands"),
        ("${upper .user .user}", "upper is given too many operands"),
        (
            "${.user | ternary \"a\" \"b\"}",
            "ternary needs true or false",
        ),
        ("${required \"set it\" .void}", "template: set it"),
        ("${.absent | required \"set it\"}", "template: set it"),
        ("${fail \"why\"}", "template: why"),
        ("${lt .user .port}", "lt cannot compare values of two types"),
        ("${eq .map .map}", "eq cannot compare maps and lists"),
        ("${printf \"%x\" .port}", "printf knows the verbs"),
        ("${printf \"%\" .port}", "printf knows the verbs"),
        (
            "${printf \"%d\" .user}",
            "printf needs a whole number for %d",
        ),
        (
            "${printf \"%t\" .user}",
            "printf has a value of another type",
        ),
        ("${printf \"%s\"}", "printf has fewer values than verbs"),
        ("${printf \"\" .user}", "printf has more values than verbs"),
    ] {
        let error = render(text).unwrap_err().to_string();
        assert!(
            error.starts_with("template: ") && error.contains(expected),
            "{text}: {error}"
        );
    }
}
