//! What holds for every value.

use envlatch_secret::Value;
use proptest::prelude::*;

use super::*;

#[test]
fn long_values_take_no_time() {
    for repeated in [
        "${",
        "$${vault:",
        "${vault:a#b}",
        "vault:a#",
        "${vault:a#${.x}",
        "{",
        "#",
        ":-",
        "vault:a#${",
        ">>",
    ] {
        let value = repeated.repeat(131_072 / repeated.len());
        let _ends = parse(value.as_bytes(), INHERITED);
        let _ends = parse(format!("vault:a#{value}").as_bytes(), INHERITED);
        let _ends = parse(format!("${{vault:a#{value}}}").as_bytes(), INHERITED);
    }
}

fn soup() -> impl Strategy<Value = String> {
    let tokens = vec![
        "vault:",
        "bao:",
        "file:",
        "login",
        "v1:",
        "${",
        "$${",
        "}",
        "{",
        "#",
        "?",
        ":-",
        ">>",
        "\"",
        "`",
        "a/b",
        "k",
        "3",
        ".x",
        "/x",
        "~",
        "|",
        "é",
        "(",
        ")",
        "\\",
        "{\"a\":1}",
        "\n",
        " ",
    ];
    prop::collection::vec(prop::sample::select(tokens), 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn any_bytes_parse_or_fail(value in prop::collection::vec(any::<u8>(), 0..80)) {
        let _never_panics = parse(&value, Schemes { file: true });
    }

    #[test]
    fn any_soup_of_tokens_parses_or_fails_within_the_value(value in soup()) {
        if let Err(error) = parse(value.as_bytes(), Schemes { file: true }) {
            prop_assert!((1..=value.len() + 1).contains(&error.column), "{}", error);
        }
    }

    #[test]
    fn no_error_shows_a_part_of_the_value(before in soup(), after in soup()) {
        for value in [format!("vault:{before}canary{after}"), format!("${{vault:{before}canary{after}")] {
            if let Err(error) = parse(value.as_bytes(), Schemes { file: true }) {
                prop_assert!(!format!("{error} {error:?}").contains("canary"), "{}", error);
            }
        }
    }

    #[test]
    fn text_without_a_scheme_is_untouched(value in "[^:]*") {
        prop_assert_eq!(parse(value.as_bytes(), Schemes { file: true }), Ok(Parsed::Untouched));
    }

    #[test]
    fn an_inactive_scheme_is_untouched(before in "[^:]*", path in "[^:]*") {
        let value = format!("{before}${{file:{path}}}");
        prop_assert_eq!(parse(value.as_bytes(), INHERITED), Ok(Parsed::Untouched));
    }

    #[test]
    fn an_escaped_reference_is_its_own_text(path in "[a-z]{1,8}", key in "[a-z]{1,8}") {
        let reference = format!("${{vault:{path}#{key}}}");
        let escaped = format!("${reference}");
        prop_assert_eq!(parse(escaped.as_bytes(), INHERITED), Ok(Parsed::Text(reference.as_str().into())));
    }

    #[test]
    fn text_around_references_is_kept(before in "[^$:]*", after in "[^$]*") {
        let value = format!("{before}${{vault:p/a#k}}{after}");
        let parsed = parse(value.as_bytes(), INHERITED).unwrap();
        prop_assert_eq!(text(&parsed), format!("{before}<vault:p/a#k>{after}"));
    }

    #[test]
    fn any_key_is_read_back(key in "[^#?:$/{}\\p{Cc}][^#?:$\\p{Cc}]{0,9}", version in 1u32..) {
        let whole = parse(format!("vault:p/a#{key}#{version}").as_bytes(), INHERITED).unwrap();
        prop_assert_eq!(text(&whole), format!("whole vault:p/a#{key}#{version}"));
    }

    #[test]
    fn any_json_arguments_are_read_back(content in ".*") {
        let arguments = Value::Object(vec![("x".to_owned(), Value::String(content.as_str().into()))]);
        let json = arguments.to_json();
        let json = json.expose_str().unwrap();
        for value in [format!(">>vault:p/a#k#{json}"), format!("${{>>vault:p/a#k#{json}}}")] {
            let parsed = parse(value.as_bytes(), INHERITED).unwrap();
            let reference = match &parsed {
                Parsed::Whole(reference) => reference,
                Parsed::Inline(segments) => match segments.as_slice() {
                    [Segment::Reference(reference)] => reference,
                    _ => panic!("{value}"),
                },
                _ => panic!("{value}"),
            };
            let Target::Write { arguments: read, .. } = &reference.target else { panic!("{value}") };
            prop_assert_eq!(read, &arguments);
        }
    }
}
