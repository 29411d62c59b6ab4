mod faults;
mod limits;
mod pem;
mod properties;

use super::functions::FUNCTIONS;
use super::*;

const SECRET: &str = r#"{"user":"bob","password":"a b&c","port":5432,"on":true,"off":false,"nothing":null,"void":"",
    "hosts":["h0","h1"],"none":[],"map":{"k":{"deep":"d"}},"with-dash":"w","b64":"aGVsbG8=","zero":0,"float":1.50,
    "json":"{\"x\":[1,2]}","lines":"a\nb","big":9007199254740993,"é":"accent","holes":["a",null,1]}"#;

fn render(text: &str) -> Result<String, TemplateError> {
    let secret = Value::parse(SECRET.as_bytes()).unwrap();
    let output = Template::parse(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .render(&secret)?;
    Ok(String::from_utf8_lossy(output.expose()).into_owned())
}

fn table(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(render(text).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn text_and_keys() {
    table(&[
        ("no action", "no action"),
        ("${.user}", "bob"),
        ("${ .user }:${.port}", "bob:5432"),
        ("$${.user}$", "$bob$"),
        ("${.map.k.deep}", "d"),
        ("${.é}", "accent"),
        ("${.float}", "1.50"),
        ("${.big}", "9007199254740993"),
        ("${.on}${.off}", "truefalse"),
        ("${.map}", r#"{"k":{"deep":"d"}}"#),
        ("${.hosts}", r#"["h0","h1"]"#),
        ("${(.map).k.deep}", "d"),
        ("${(index .map \"k\").deep}", "d"),
        ("${.\n| len}", "19"),
        ("a \n${- .user -}\t b", "abobb"),
        ("a ${- .user } b", "abob b"),
        ("a ${ -1 }", "a -1"),
        ("a ${-1}", "a -1"),
    ]);
}

#[test]
fn literals() {
    table(&[
        ("${`raw \"text\" \\n`}", "raw \"text\" \\n"),
        ("${\"}\"}${`}`}${\"\\\"}\"}", "}}\"}"),
        (r#"${"\a\b\f\n\r\t\v\\\""}"#, "\x07\x08\x0c\n\r\t\x0b\\\""),
        (r#"${"\x41\101\u00e9\U0001F600"}"#, "AAé😀"),
        ("${12}${-1.5}${+3}${1e3}", "12-1.531e3"),
        ("${true}${false}", "truefalse"),
    ]);
}

#[test]
fn choosing() {
    table(&[
        ("${.absent | default \"x\"}", "x"),
        ("${.nothing | default \"x\"}", "x"),
        ("${.void | default \"x\"}", "x"),
        ("${.off | default \"x\"}", "x"),
        ("${.none | default \"x\"}", "x"),
        ("${.zero | default \"x\"}", "0"),
        ("${default \"x\" .user}", "bob"),
        ("${default \"x\"}", "x"),
        ("${.map.absent.deeper | default \"x\"}", "x"),
        ("${.nothing.deeper | default \"x\"}", "x"),
        ("${index .map \"absent\" | default \"x\"}", "x"),
        ("${index .hosts 9 | default \"x\"}", "x"),
        ("${coalesce .absent .void .user}", "bob"),
        ("${coalesce .absent | default \"x\"}", "x"),
        ("${required \"text\" .user}", "bob"),
        ("${.zero | required \"text\"}", "0"),
        (
            "${ternary \"y\" \"n\" .on}${ternary \"y\" \"n\" .off}${.absent | ternary \"y\" \"n\"}",
            "ynn",
        ),
        ("${ternary .user .absent .on}", "bob"),
        (
            "${empty .absent}${empty .void}${empty .zero}${empty .user}",
            "truetruefalsefalse",
        ),
        (
            "${and .user .void}|${and .user .port}|${or .void .user}|${not .void}",
            "|5432|bob|true",
        ),
        (
            "${and .void .absent.x}|${or .user (fail \"never\")}",
            "|bob",
        ),
        ("${and (hasKey . \"absent\") (eq .absent \"x\")}", "false"),
        ("${.user | and .on}", "bob"),
    ]);
}

#[test]
fn comparing() {
    table(&[
        (
            "${eq .user \"x\" \"bob\"} ${eq .user \"x\"} ${ne .user \"x\"}",
            "true false true",
        ),
        (
            "${eq .port 5432.0} ${eq .port \"5432\"} ${eq \"5432.0\" .port}",
            "true true false",
        ),
        (
            "${eq .nothing nil} ${eq .user nil} ${eq .on true}",
            "true false true",
        ),
        ("${eq .big 9007199254740992}", "false"),
        (
            "${lt .port 6000} ${le 5 5} ${gt \"b\" \"a\"} ${ge 1 1e0}",
            "true true true true",
        ),
        ("${lt 10 9} ${lt \"10\" \"9\"}", "false true"),
        ("${ternary \"tls\" \"plain\" (eq .port 5432)}", "tls"),
    ]);
}

#[test]
fn maps_and_lists() {
    table(&[
        ("${index . \"with-dash\"}", "w"),
        ("${index .hosts 1}", "h1"),
        ("${index .map \"k\" \"deep\"}", "d"),
        ("${index .user}", "bob"),
        ("${index (.json | fromJson).x 1}", "2"),
        (
            "${get . \"user\"}|${get . \"absent\"}|${get .absent \"k\"}",
            "bob||",
        ),
        (
            "${dig \"map\" \"k\" \"deep\" \"x\" .} ${dig \"map\" \"q\" \"deep\" \"x\" .} ${. | dig \"user\" \"x\"}",
            "d x bob",
        ),
        (
            "${hasKey . \"user\"} ${hasKey . \"absent\"} ${hasKey .absent \"k\"}",
            "true false false",
        ),
        (
            "${dict \"user\" .user \"port\" .port | toJson}",
            r#"{"user":"bob","port":5432}"#,
        ),
        ("${dict \"a\" 1 \"a\" 2}${dict}", r#"{"a":2}{}"#),
        ("${list .user 1 nil}${list}", r#"["bob",1,null][]"#),
        (
            "${first .hosts}${last .hosts}${mustFirst .hosts}${mustLast .hosts}",
            "h0h1h0h1",
        ),
        ("${first .none | default \"x\"}", "x"),
        (
            "${slice .user 1} ${slice .user 1 2} ${slice .hosts 1} ${slice .user}",
            "ob o [\"h1\"] bob",
        ),
        (
            "${len .user} ${len .hosts} ${len .map} ${len .é}",
            "3 2 1 6",
        ),
        (
            "${.hosts | join \",\"} ${.holes | join \"-\"} ${.user | join \",\"}",
            "h0,h1 a-1 bob",
        ),
        (
            "${\"a,b\" | splitList \",\" | last} ${splitList \"\" \"aé\"}",
            "b [\"a\",\"é\"]",
        ),
        ("${(split \",\" \"a,b\")._1}", "b"),
        ("${toStrings .holes}", r#"["a","1"]"#),
    ]);
}

#[test]
fn putting_together() {
    table(&[
        (
            "${toString .port} ${toString .map}",
            "5432 {\"k\":{\"deep\":\"d\"}}",
        ),
        ("${print .user \":\" .port}${print}", "bob:5432"),
        ("${print .on .off .user .on}", "true falsebobtrue"),
        ("${println .user .port}", "bob 5432\n"),
        ("${cat .user .nothing .port}", "bob 5432"),
        (
            "${quote .user .nothing .port} ${squote .user}",
            "\"bob\" \"5432\" 'bob'",
        ),
        (
            "${\"a\\\"b\\\\c\\n\\x01\\u0085é\" | quote}",
            r#""a\"b\\c\n\x01\u0085é""#,
        ),
        (
            "${printf \"%s-%d-%v-%q-%t-100%%\" .user .port .on .user .off}",
            "bob-5432-true-\"bob\"-false-100%",
        ),
        (
            "${printf \"[%5s|%-5s|%.2s|%5.1s]\" .user .user .user .user}",
            "[  bob|bob  |bo|    b]",
        ),
        (
            "${printf \"%05d|%-5d|%5d|%03d\" 42 42 42 -4}",
            "00042|42   |   42|-04",
        ),
        (
            "${printf \"%d\" .big}${printf \"no verbs\"}",
            "9007199254740993no verbs",
        ),
        ("${.user | printf \"%s@%s\" \"x\"}", "x@bob"),
    ]);
}

#[test]
fn changing_text() {
    table(&[
        (
            "${trim \" \\n x \"}|${trimAll \"/-\" \"/-x-/\"}|${trimPrefix \"a\" \"aab\"}|${trimSuffix \"b\" \"abb\"}",
            "x|x|ab|ab",
        ),
        (
            "${upper \"aé\"} ${lower \"AÉ\"} ${swapcase \"aBé\"}",
            "Aé aÉ Abé",
        ),
        (
            "${title \"db-user x_y 1a éa\"} ${untitle \"A Bc\"}",
            "Db-User X_y 1a éa a bc",
        ),
        (
            "${nospace \" a \\tb\\n\"} ${initials \"First Try\"}",
            "ab FT",
        ),
        (
            "${snakecase \"FirstName\"} ${snakecase \"HTTPServer\"} ${snakecase \"GO_PATH x-y\"} ${snakecase \"NoHTTPS\"}",
            "first_name http_server go_path_x_y no_https",
        ),
        (
            "${kebabcase \"FirstName\"} ${kebabcase \"v2Engine\"}",
            "first-name v2-engine",
        ),
        (
            "${camelcase \"http_server\"} ${camelcase \"some words-x\"} ${camelcase \"GOLANG_IS_GREAT\"}",
            "HttpServer SomeWordsX GolangIsGreat",
        ),
        ("${repeat 3 \"ab\"}${repeat 0 \"ab\"}", "ababab"),
        (
            "${substr 1 3 \"abcd\"} ${substr -1 2 \"abcd\"} ${substr 1 -1 \"abcd\"} ${substr 2 99 \"abcd\"}",
            "bc ab bcd cd",
        ),
        (
            "${trunc 2 \"abc\"} ${trunc -2 \"abc\"} ${trunc 9 \"abc\"} ${trunc -9 \"abc\"} ${trunc 1 \"éa\"}",
            "ab bc abc abc é",
        ),
        (
            "${abbrev 5 \"abcdefg\"} ${abbrev 3 \"abcdefg\"} ${abbrev 7 \"abcdefg\"}",
            "ab... abcdefg abcdefg",
        ),
        (
            "${contains \"ob\" .user} ${hasPrefix \"b\" .user} ${hasSuffix \"x\" .user}",
            "true true false",
        ),
        (
            "${replace \"b\" \"x\" .user} ${replace \"\" \"-\" \"ab\"}",
            "xox -a-b-",
        ),
        ("${indent 2 \"a\\nb\"}|${nindent 1 \"a\"}", "  a\n  b|\n a"),
        (
            "${int \"42\"} ${int64 -7.9} ${atoi \"042\"} ${trunc \"2\" \"abc\"}",
            "42 -7 42 ab",
        ),
    ]);
}

#[test]
fn encodings_and_json() {
    table(&[
        (
            "${.b64 | b64dec} ${.user | b64enc} ${\"aGVs\\nbG8=\" | b64dec}",
            "hello Ym9i hello",
        ),
        ("${.user | b32enc} ${\"MJXWE===\" | b32dec}", "MJXWE=== bob"),
        ("${\"/w==\" | b64dec | b64enc}", "/w=="),
        (
            "${.password | urlquery} ${urlquery \"é/~\" 1}",
            "a+b%26c %C3%A9%2F~1",
        ),
        (
            "${html \"<a href='x'>&\\\"\"}",
            "&lt;a href=&#39;x&#39;&gt;&amp;&#34;",
        ),
        (
            "${.map | toJson} ${.user | toJson} ${toJson .nothing} ${toRawJson \"<\"}",
            r#"{"k":{"deep":"d"}} "bob" null "<""#,
        ),
        (
            "${mustToJson 1}${mustToRawJson 2}${mustToPrettyJson 3}${mustFromJson \"4\"}",
            "1234",
        ),
        (
            "${.map | toPrettyJson}",
            "{\n  \"k\": {\n    \"deep\": \"d\"\n  }\n}",
        ),
        (
            "${.hosts | toPrettyJson} ${.none | toPrettyJson}",
            "[\n  \"h0\",\n  \"h1\"\n] []",
        ),
        ("${(fromJson .json).x}", "[1,2]"),
        ("${fromJson \"1.50\"}", "1.50"),
    ]);
}

#[test]
fn registry_credentials() {
    table(&[
        (
            "${dockerconfigjson \"r.example.com\" .user .password}",
            r#"{"auths":{"r.example.com":{"username":"bob","password":"a b&c","auth":"Ym9iOmEgYiZj"}}}"#,
        ),
        (
            "${dockerconfigjson \"a\" \"u\" \"p\" \"b\" \"u\" \"\\\"\" | fromJson | dig \"auths\" \"b\" \"password\" \"\"}",
            "\"",
        ),
    ]);
}

#[test]
fn raw_bytes_pass_when_nothing_needs_text() {
    let template = Template::parse("${\"//4=\" | b64dec}").unwrap();
    assert_eq!(
        template.render(&Value::Null).unwrap().expose(),
        [0xff, 0xfe]
    );
}

#[test]
fn the_documentation_lists_every_function() {
    let documentation = include_str!("../template.rs");
    let listed = |name: &str| {
        documentation
            .lines()
            .filter(|line| line.starts_with("//! | `"))
            .any(|line| {
                let functions = line.split(" | ").nth(1).unwrap_or_default();
                functions.split([' ', '`']).any(|word| word == name)
            })
    };
    let missing: Vec<_> = FUNCTIONS
        .iter()
        .map(|function| function.name)
        .filter(|name| !listed(name))
        .collect();
    assert_eq!(
        missing,
        ["mustFirst", "mustLast"],
        "sprig's spellings of first and last"
    );
}

#[test]
fn every_function_is_offered_or_withheld_and_never_both() {
    for (index, function) in FUNCTIONS.iter().enumerate() {
        assert_eq!(withheld::find(function.name), None, "{}", function.name);
        assert!(
            FUNCTIONS[..index]
                .iter()
                .all(|other| other.name != function.name),
            "{}",
            function.name
        );
    }
}
