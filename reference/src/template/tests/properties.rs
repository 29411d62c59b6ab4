//! What holds for every template: no panic, no value in an error.

use proptest::prelude::*;

use super::*;

#[test]
fn no_error_and_no_debug_text_shows_a_value() {
    let secret =
        Value::parse(br#"{"a":"canary","l":["canary"],"m":{"k":"canary"},"n":20202020}"#).unwrap();
    let hidden = |text: &str| {
        assert!(
            !text.contains("canary") && !text.contains("20202020"),
            "{text}"
        )
    };
    for function in FUNCTIONS
        .iter()
        .filter(|function| !function.shows_its_text())
    {
        for operands in [
            "",
            ".a",
            ".l",
            ".m",
            ".n",
            ".a .a",
            ".a .l",
            ".l .a",
            ".l .n",
            ".m .a",
            ".n .a",
            ".m .n",
            ".a .n",
            ".a .a .a",
            ".a .l .m",
            ".n .n .a",
            ".m .a .n",
            ".a .a .m",
            ".l (b64dec \"/w==\")",
            ".a (b64dec \"/w==\")",
        ] {
            let template = Template::parse(&format!("${{{} {operands}}}", function.name)).unwrap();
            if let Err(error) = template.render(&secret) {
                hidden(&format!("{error} {error:?}"));
            }
        }
    }
    let template = Template::parse("canary${.a | default \"canary\"}${20202020}").unwrap();
    hidden(&format!("{template:?}"));
    for text in [
        "${canary}",
        "${.a canary}",
        "${\"canary\\q\"}",
        "${'canary'}",
        "${20202020x}",
        "canary${",
        "${`canary`",
        "${.canary-x}",
    ] {
        let error = Template::parse(text).unwrap_err();
        hidden(&format!("{error} {error:?}"));
    }
}

fn soup() -> impl Strategy<Value = String> {
    let tokens = vec![
        "${",
        "}",
        ".user",
        ".",
        ".map.k",
        ".absent",
        ".hosts",
        ".nothing",
        " ",
        " ",
        " ",
        "|",
        " | ",
        "(",
        ")",
        "\"x\"",
        "\"",
        "`",
        "3",
        "-1",
        "1e9",
        "default",
        "index",
        "printf",
        "\"%5.2s\"",
        "repeat",
        "substr",
        "slice",
        "trunc",
        "join",
        "splitList",
        "dict",
        "list",
        "dig",
        "and",
        "toJson",
        "fromJson",
        "b64dec",
        "nil",
        "true",
        "é",
        "%",
        "\\",
        "- ",
        " -",
        "\n",
        "$",
    ];
    prop::collection::vec(prop::sample::select(tokens), 0..24).prop_map(|tokens| tokens.concat())
}

/// A well-formed action, so that evaluation is reached and not only the parser.
fn call() -> impl Strategy<Value = String> {
    let operand = prop::sample::select(vec![
        ".",
        ".user",
        ".port",
        ".on",
        ".nothing",
        ".absent",
        ".hosts",
        ".map",
        ".map.k",
        ".lines",
        "\"k\"",
        "\"\"",
        "\"%s%d\"",
        "0",
        "1",
        "-3",
        "2.5",
        "nil",
        "true",
        "(b64dec \"/w==\")",
        "(list 1 \"a\")",
        "(dict \"k\" 1)",
    ]);
    let names: Vec<_> = FUNCTIONS
        .iter()
        .map(|function| function.name)
        .filter(|name| !["fail", "required"].contains(name))
        .collect();
    let call = (
        prop::sample::select(names),
        prop::collection::vec(operand, 0..4),
    )
        .prop_map(|(name, operands)| format!("{name} {}", operands.join(" ")));
    prop::collection::vec(call, 1..4).prop_map(|calls| format!("${{{}}}", calls.join(" | ")))
}

proptest! {
    #[test]
    fn any_soup_of_tokens_renders_or_fails(text in soup()) {
        let secret = Value::parse(SECRET.as_bytes()).unwrap();
        let _never_panics = Template::parse(&text).map(|template| template.render(&secret));
    }

    #[test]
    fn any_call_renders_or_fails(text in call()) {
        let _never_panics = render(&text);
    }

    #[test]
    fn text_functions_survive_any_text(content in ".*", number in -9i64..9) {
        let secret = Value::Object(vec![("t".into(), Value::String(content.as_str().into()))]);
        for call in ["substr {n} 4", "trunc {n}", "abbrev {n}", "indent {n}", "repeat {n}", "splitList \"a\"", "title", "initials",
                     "snakecase", "camelcase", "swapcase", "quote", "trimAll \"ab\"", "printf \"%{n}.1q\"", "slice 1", "html"] {
            let text = format!("${{.t | {}}}", call.replace("{n}", &number.to_string()));
            let _never_panics = Template::parse(&text).unwrap().render(&secret);
        }
        for inverse in ["b64enc | b64dec", "b32enc | b32dec", "toJson | fromJson", "splitList \"a\" | join \"a\"", "toString", "print"] {
            let output = Template::parse(&format!("${{.t | {inverse}}}")).unwrap().render(&secret).unwrap();
            prop_assert_eq!(output.expose_str(), Some(content.as_str()), "{}", inverse);
        }
    }

    #[test]
    fn text_without_an_action_is_itself(text in "[^$]*") {
        let output = Template::parse(&text).unwrap().render(&Value::Null).unwrap();
        prop_assert_eq!(output.expose_str(), Some(text.as_str()));
    }
}
