use proptest::prelude::*;

use super::*;

const SECRET: &str = r#"{"user":"bob","password":"a b&c","port":5432,"on":true,"off":false,"nothing":null,"void":"",
    "hosts":["h0","h1"],"map":{"k":{"deep":"d"}},"with-dash":"w","b64":"aGVsbG8=","json":"{\"x\":[1,2]}","zero":-0.00e1}"#;

fn render(text: &str) -> Result<String, TemplateError> {
    let secret = Value::parse(SECRET.as_bytes()).unwrap();
    Template::parse(text)?
        .render(&secret)
        .map(|output| output.expose_str().unwrap().to_owned())
}

#[test]
fn templates_as_peers_write_them() {
    for (text, expected) in [
        ("${.user}", "bob"),
        ("${ .user }:${.port}", "bob:5432"),
        ("u=${.user}&p=${.password | urlquery}", "u=bob&p=a+b%26c"),
        ("${.map.k.deep}", "d"),
        ("${index . \"with-dash\"}", "w"),
        ("${index .hosts 1}", "h1"),
        ("${index .map \"k\" \"deep\"}", "d"),
        ("${.map}", r#"{"k":{"deep":"d"}}"#),
        ("${.hosts}", r#"["h0","h1"]"#),
        ("${.nothing}", ""),
        ("${.on}", "true"),
        ("${.b64 | b64dec}", "hello"),
        ("${.user | b64enc}", "Ym9i"),
        ("${.user | b32enc | b32dec}", "bob"),
        ("${.absent | default \"x\"}", "x"),
        ("${.void | default \"x\"}", "x"),
        ("${.zero | default \"x\"}", "x"),
        ("${default \"x\" .user}", "bob"),
        ("${coalesce .absent .void .user}", "bob"),
        (
            "${ternary \"y\" \"n\" .on}${ternary \"y\" \"n\" .off}${.absent | ternary \"y\" \"n\"}",
            "ynn",
        ),
        ("${empty .absent}${empty .user}", "truefalse"),
        ("${required \"text\" .user}", "bob"),
        ("${.user | upper | quote}", "\"BOB\""),
        ("${.user | squote}", "'bob'"),
        (
            "${printf \"%s-%d-%v-%q-100%%\" .user .port .on .user}",
            "bob-5432-true-\"bob\"-100%",
        ),
        ("${print .user \":\" .port}", "bob:5432"),
        ("${println .user .port}", "bob 5432\n"),
        ("${cat .user .port}", "bob 5432"),
        ("${(fromJson .json).x}", "[1,2]"),
        ("${index (.json | fromJson).x 1}", "2"),
        ("${.map | toJson}", r#"{"k":{"deep":"d"}}"#),
        ("${.hosts | toPrettyJson}", "[\n  \"h0\",\n  \"h1\"\n]"),
        ("${.hosts | join \",\"}", "h0,h1"),
        ("${\"a,b\" | splitList \",\" | last}", "b"),
        ("${(split \",\" \"a,b\")._1}", "b"),
        (
            "${trim \"  x \"}|${trimAll \"/\" \"/x/\"}|${trimPrefix \"a\" \"ab\"}|${trimSuffix \"b\" \"ab\"}",
            "x|x|b|a",
        ),
        (
            "${title \"a bc\"} ${untitle \"A Bc\"} ${swapcase \"aB\"} ${nospace \" a b\"} ${initials \"Ab Cd\"}",
            "A Bc a bc Ab ab AC",
        ),
        (
            "${repeat 3 \"ab\"} ${substr 1 3 \"abcd\"} ${trunc 2 \"abc\"} ${trunc -2 \"abc\"} ${abbrev 5 \"abcdefg\"}",
            "ababab bc ab bc ab...",
        ),
        ("${replace \"b\" \"x\" .user}", "xox"),
        (
            "${contains \"ob\" .user} ${hasPrefix \"b\" .user} ${hasSuffix \"x\" .user}",
            "true true false",
        ),
        ("${indent 2 \"a\\nb\"}|${nindent 1 \"a\"}", "  a\n  b|\n a"),
        (
            "${eq .user \"x\" \"bob\"} ${ne .port 5432} ${lt .port 6000} ${ge .port 5432}",
            "true false true true",
        ),
        (
            "${and .user .void}|${or .void .user}|${not .void}",
            "|bob|true",
        ),
        (
            "${len .user} ${len .hosts} ${first .hosts} ${hasKey . \"user\"} ${get . \"absent\"}",
            "3 2 h0 true ",
        ),
        ("${`raw \"text\"`}", "raw \"text\""),
        ("${\"}\"}", "}"),
        ("no action", "no action"),
    ] {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn faults_name_the_function_or_key() {
    for (text, expected) in [
        (
            "${.absent}",
            "the secret has no key `.absent`; write `${.absent | default \"…\"}` if it may be absent",
        ),
        ("${.absent | upper}", "the secret has no key `.absent`"),
        (
            "${.user.name}",
            "`.user.name` looks inside a string, which has no keys",
        ),
        ("${.with-dash}", "a number that cannot be read"),
        ("${.user | b64dec}", "b64dec: needs base64 with its padding"),
        ("${.user | fromJson}", "fromJson: needs JSON"),
        (
            "${env \"HOME\"}",
            "`env` is not offered: a template may not read the environment",
        ),
        ("${file \"/etc/passwd\"}", "`file` is not offered"),
        ("${getHostByName \"x\"}", "`getHostByName` is not offered"),
        (
            "${if .on}x${end}",
            "`if` is not offered: there are no control structures",
        ),
        (
            "${.user | uper}",
            "there is no function `uper`; did you mean `upper`?",
        ),
        ("${$x}", "variables are not offered"),
        ("${.user", "`${` is never closed"),
        ("${}", "a part without a value"),
        ("${.a .b}", "two values side by side"),
        (
            "${.user | .port}",
            "what stands after `|` must be a function",
        ),
        ("${(.user}", "a `(` without its `)`"),
        ("${.user)}", "a `)` without its `(`"),
        ("${upper}", "upper: has too few or too many arguments"),
        ("${required \"set it\" .void}", "set it"),
        ("${fail \"why\"}", "why"),
        ("${fail .password}", "need their text written"),
        ("${.password | fail}", "need their text written"),
        ("${required .password .void}", "need their text written"),
        (
            "${repeat 99999999 \"abc\"}",
            "makes more than 1048576 bytes",
        ),
        (
            "${indent 99999999999 \"abc\"}",
            "makes more than 1048576 bytes",
        ),
        (
            "${repeat 9999 (repeat 9999 \"a\" )}",
            "makes more than 1048576 bytes",
        ),
        (
            "${lt .user .port}",
            "lt: cannot compare values of two types",
        ),
        ("${printf \"%x\" .port}", "printf: knows the verbs"),
        ("${lt .port 1.5}", "write a whole number"),
        ("${lt .zero 1}", "lt: needs a whole number"),
    ] {
        let error = render(text).unwrap_err().to_string();
        assert!(
            error.starts_with("template: ") && error.contains(expected),
            "{text}: {error}"
        );
    }
}

#[test]
fn deep_parentheses_end_in_an_error() {
    let text = format!("${{{}.user{}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(
        render(&text),
        Err(TemplateError::Syntax("parentheses nested too deeply"))
    );
}

#[test]
fn no_fault_shows_a_value() {
    let secret =
        Value::parse(br#"{"a":"canary","l":["canary"],"m":{"canary-key":"canary"}}"#).unwrap();
    for function in functions::FUNCTIONS
        .iter()
        .filter(|function| !function.shows_its_text())
    {
        for operands in [
            "", ".a", ".l", ".m", ".a .a", ".a .l", ".l .a", ".m .a", ".a .a .a", ".a .l .m",
        ] {
            let template = Template::parse(&format!("${{{} {operands}}}", function.name)).unwrap();
            if let Err(error) = template.render(&secret) {
                assert!(
                    !format!("{error} {error:?}").contains("canary"),
                    "{} {operands}: {error}",
                    function.name
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn any_soup_of_tokens_renders_or_fails(tokens in prop::collection::vec(prop::sample::select(vec![
        "${", "}", ".user", ".", ".map.k", ".absent", " ", "|", "(", ")", "\"x\"", "`", "3", "-1", "default", "index", "printf",
        "repeat", "substr", "trunc", "join", "toJson", "fromJson", "nil", "true", "é", "%", "\\",
    ]), 0..24)) {
        let _never_panics = render(&tokens.concat());
    }

    #[test]
    fn text_functions_survive_any_text(content in ".*", number in -9i64..9) {
        let secret = Value::Object(vec![("t".into(), Value::String(content.as_str().into()))]);
        for call in ["substr {n} 4", "trunc {n}", "abbrev {n}", "indent {n}", "repeat {n}", "splitList \"a\"", "title", "initials"] {
            let text = format!("${{.t | {}}}", call.replace("{n}", &number.to_string()));
            let _never_panics = Template::parse(&text).unwrap().render(&secret);
        }
        let query = Template::parse("${.t | b64enc | b64dec}").unwrap().render(&secret).unwrap();
        prop_assert_eq!(query.expose_str(), Some(content.as_str()));
    }
}
