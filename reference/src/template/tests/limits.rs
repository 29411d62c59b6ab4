//! What a hostile template or secret cannot do.

use super::*;

#[test]
fn no_template_exhausts_memory_time_or_stack() {
    let parentheses =
        |levels: usize| format!("${{{}.user{}}}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(render(&parentheses(32)).as_deref(), Ok("bob"));
    for levels in [33, 100_000] {
        assert!(
            Template::parse(&parentheses(levels))
                .unwrap_err()
                .to_string()
                .contains("nested too deeply")
        );
    }
    for (text, expected) in [
        (
            "${repeat 99999999999 \"abc\"}".to_owned(),
            TemplateError::TooLong,
        ),
        (
            "${indent 99999999999 \"abc\"}".to_owned(),
            TemplateError::TooLong,
        ),
        (
            "${printf \"%99999999999s\" .user}".to_owned(),
            TemplateError::TooLong,
        ),
        (
            "${printf \"%99999999999999999999999s\" .user}".to_owned(),
            TemplateError::TooLong,
        ),
        (
            "${repeat 9999 (repeat 9999 \"a\")}".to_owned(),
            TemplateError::TooLong,
        ),
        (
            "${replace \"\" (repeat 9999 \"a\") (repeat 9999 \"a\")}".to_owned(),
            TemplateError::TooLong,
        ),
        (
            "${splitList \"\" (repeat 1000000 \"a\")}".to_owned(),
            TemplateError::TooLong,
        ),
        ("${repeat 600000 \"a\"}".repeat(2), TemplateError::TooLong),
        (
            format!("${{.user{}}}", " | list".repeat(1000)),
            TemplateError::Function {
                function: "list",
                cause: "nests too deeply",
            },
        ),
        (
            format!("${{.user{}}}", " | dict \"a\"".repeat(1000)),
            TemplateError::Function {
                function: "dict",
                cause: "nests too deeply",
            },
        ),
        (
            "${len (repeat 1000000 \"a\")}".repeat(1000),
            TemplateError::TooMuch,
        ),
        (
            format!(
                "${{empty (list{})}}",
                " (repeat 1000000 \"a\")".repeat(1000)
            ),
            TemplateError::TooMuch,
        ),
        (
            "${trimAll (repeat 257 \"a\") .user}".to_owned(),
            TemplateError::Function {
                function: "trimAll",
                cause: "needs at most 256 bytes of characters to cut",
            },
        ),
    ] {
        assert_eq!(render(&text), Err(expected), "{:.60}", text);
    }
    let big = Value::Object(vec![(
        "big".to_owned(),
        Value::String("a".repeat(4 << 20).as_str().into()),
    )]);
    for text in [
        "${contains \"x\" .big}".repeat(100),
        format!("${{list{}}}", " .".repeat(1000)),
        format!("${{print{}}}", " .".repeat(1000)),
    ] {
        let error = Template::parse(&text).unwrap().render(&big).unwrap_err();
        assert!(
            matches!(error, TemplateError::TooMuch | TemplateError::TooLong),
            "{error}"
        );
    }
    let many = (0..100_000).map(|key| (format!("key-with-a-name-{key:06}"), Value::Null));
    let many = Value::Object(many.collect());
    for text in [
        "${.x | default 1}",
        "${index . `key-with-a-name-10000` | default 1}",
    ] {
        let text = text.repeat(10_000);
        assert_eq!(
            Template::parse(&text).unwrap().render(&many),
            Err(TemplateError::TooMuch)
        );
    }
}
