//! The documentation against the program: what it shows is run, what it lists is compared with the tables in the sources,
//! and every link leads somewhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod troubleshooting;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use envlatch_test_support::{Finished, Program, launcher_at};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn envlatch() -> Program {
    launcher_at(env!("CARGO_BIN_EXE_envlatch"))
}

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// Files below `folder` whose name ends with `ending`, in the order of their names.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every page for people.
fn pages() -> Vec<PathBuf> {
    let at_the_root = [
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
    ];
    let mut pages: Vec<PathBuf> = at_the_root.map(|page| Path::new(ROOT).join(page)).into();
    pages.extend(files("docs", ".md"));
    pages
}

/// The contents of fenced blocks, each with the word after its fence.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    fenced
        .map(|block| block.split_once('\n').unwrap())
        .collect()
}

/// Runs a line of a shell at the root of the repository; `envlatch` in it is the program of this build.
fn shell(line: &str) -> Finished {
    let line = format!("envlatch() {{ \"$0\" \"$@\"; }}\n{line}");
    Program::new("/bin/sh")
        .args([OsStr::new("-c"), line.as_ref(), envlatch().path().as_ref()])
        .env("PATH", "/bin:/usr/bin")
        .cwd(ROOT)
        .run()
}

/// Cells of the rows of all tables, without the header and the line below it.
fn rows(page: &str) -> Vec<Vec<String>> {
    let is_row = |line: &&str| line.starts_with("| ");
    let cells = |line: &str| {
        let line = line.replace("\\|", "\u{0}");
        let cells = line.trim_matches('|').split('|');
        cells
            .map(|cell| cell.trim().replace('\u{0}', "|"))
            .collect()
    };
    page.lines().filter(is_row).map(cells).collect()
}

/// What stands between backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What stands between quotes in the table that begins after `start` in a source.
fn table(source: &str, start: &str) -> Vec<String> {
    let source = text(source);
    let (_, table) = source.split_once(start).unwrap();
    let (table, _) = table.split_once("\n];").unwrap();
    let code = table.lines().map(|line| line.split("//").next().unwrap());
    let code = code.collect::<Vec<_>>().join("\n");
    code.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Options of `run` as the help lists them, without the dashes.
fn options() -> BTreeSet<String> {
    let help = envlatch().args(["run", "--help"]).run();
    let option = |line: &str| {
        let name = line.trim_start().strip_prefix("--")?;
        Some(name.split_whitespace().next()?.to_owned())
    };
    help.success()
        .stdout_text()
        .lines()
        .filter_map(option)
        .collect()
}

fn twin(option: &str) -> String {
    format!("ENVLATCH_{}", option.replace('-', "_").to_ascii_uppercase())
}

#[test]
fn the_first_command_of_the_readme_prints_what_it_says() {
    let readme = text("README.md");
    let (_, command) = blocks(&readme)[0];
    let command = command
        .trim()
        .strip_prefix("cargo run --quiet -- ")
        .unwrap();
    let (_, after) = readme.split_once("prints `").unwrap();
    let (expected, _) = after.split_once('`').unwrap();
    shell(&format!("envlatch {command}"))
        .success()
        .stdout_is(format!("{expected}\n"));
}

#[test]
fn examples_with_the_example_secrets_print_what_they_show() {
    let mut count = 0;
    for page in pages() {
        let page = fs::read_to_string(page).unwrap();
        for (_, block) in blocks(&page) {
            let Some((line, output)) = block
                .strip_prefix("$ ")
                .and_then(|block| block.split_once('\n'))
                .filter(|(line, _)| line.starts_with("envlatch") && line.contains("examples/"))
            else {
                continue;
            };
            shell(line).success().stdout_is(format!("{output}\n"));
            count += 1;
        }
    }
    assert!(count >= 5, "{count} examples found");
}

#[test]
fn every_option_has_a_row_with_its_variable() {
    let page = text("docs/launcher.md");
    let rows = rows(&page);
    for option in options() {
        let flag = format!("--{option}");
        let row = rows
            .iter()
            .find(|row| code_spans(&row[0]).any(|code| code.split(' ').next() == Some(&flag)));
        let row = row.unwrap_or_else(|| panic!("docs/launcher.md has no row for {flag}"));
        assert_eq!(row.len(), 5, "{row:?}");
        let variable = format!("`{}`", twin(&option));
        assert!(option == "env" || row[1] == variable, "{row:?}");
    }
}

/// A files-only build knows fewer.
#[cfg(feature = "vault")]
#[test]
fn every_setting_in_the_pages_exists() {
    let mut known: BTreeSet<String> = options().iter().map(|option| twin(option)).collect();
    known.remove("ENVLATCH_ENV");
    known.insert("ENVLATCH_FILE_ROOT".to_owned());
    // What Kubernetes makes for a Service, as an example.
    known.insert("ENVLATCH_PORT".to_owned());
    // Not the launcher's, but that of a script for contributors.
    known.insert("ENVLATCH_CLUSTER".to_owned());
    for page in pages() {
        let content = fs::read_to_string(&page).unwrap();
        let is_of_a_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        for word in content.split(|character| !is_of_a_name(character)) {
            let is_setting = word
                .strip_prefix("ENVLATCH_")
                .is_some_and(|name| !name.is_empty());
            assert!(
                !is_setting || known.contains(word),
                "{}: {word}",
                page.display()
            );
        }
    }
}

/// The names of the official clients, with the words of the client itself.
#[cfg(feature = "vault")]
#[test]
fn names_of_the_official_clients_have_their_rows() {
    use envlatch_vault::{Treatment, VARIABLES};
    let page = text("docs/launcher.md");
    for variable in VARIABLES {
        let treatment = match variable.treatment {
            Treatment::Honoured => "honoured",
            Treatment::Refused => "refused",
            Treatment::Ignored => "ignored",
        };
        let row = format!("| `{}` | {treatment} | {} |", variable.name, variable.help);
        assert!(page.contains(&row), "missing in docs/launcher.md: {row}");
    }
}

#[test]
fn exit_codes_are_those_of_the_program() {
    let source = text("src/problem.rs");
    let code = |line: &str| {
        line.trim()
            .strip_suffix(',')?
            .split_once(" = ")?
            .1
            .parse()
            .ok()
    };
    let (_, variants) = source.split_once("pub enum Exit {").unwrap();
    let variants = variants.lines().take_while(|line| *line != "}");
    let codes: BTreeSet<u8> = variants.filter_map(code).collect();
    let page = text("docs/launcher.md");
    let (_, section) = page.split_once("\n## Exit codes\n").unwrap();
    let listed: BTreeSet<u8> = rows(section)
        .iter()
        .filter_map(|row| row[0].parse().ok())
        .collect();
    assert!(!codes.is_empty());
    assert_eq!(listed, codes);
}

#[test]
fn refused_names_have_their_rows() {
    let page = text("docs/launcher.md");
    let quoted = table("src/refused.rs", "REFUSED: &[Entry]");
    assert!(!quoted.is_empty());
    for entry in quoted.chunks(3) {
        let [name, reason, source] = entry else {
            panic!("{entry:?}")
        };
        let row = format!("| `{name}` | {reason} | {source} |");
        assert!(page.contains(&row), "missing in docs/launcher.md: {row}");
    }
}

#[test]
fn removed_names_are_listed() {
    let page = text("docs/launcher.md");
    let (_, section) = page.split_once("\n## Removed names\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let listed: BTreeSet<&str> = code_spans(section).collect();
    for start in ["const SERVER:", "const OTHERS:"] {
        for name in table("src/removed.rs", start) {
            assert!(
                listed.contains(name.as_str()),
                "missing in docs/launcher.md: {name}"
            );
        }
    }
}

#[test]
fn functions_of_templates_are_listed() {
    let page = text("docs/launcher.md");
    let listed: BTreeSet<&str> = code_spans(&page).collect();
    let source = text("reference/src/template/functions.rs");
    let mut count = 0;
    for entry in source.split("function(\"").skip(1) {
        let (name, _) = entry.split_once('"').unwrap();
        assert!(listed.contains(name), "missing in docs/launcher.md: {name}");
        count += 1;
    }
    assert!(count > 50, "{count} functions found");
}

/// A message that was reworded has to be reworded in its row as well.
#[test]
fn every_message_in_the_index_is_one_of_the_program() {
    let sources: String = ["src", "reference/src", "secret/src", "sys/src", "vault/src"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .map(|path| as_said(&fs::read_to_string(path).unwrap()))
        .collect();
    let sources = in_terms_of_the_environment(&sources);
    let page = text("docs/messages.md");
    let (_, of_the_server) = page.split_once("\n## The server\n").unwrap();
    let messages = rows(&page).into_iter().map(|row| row[0].clone());
    let remedies = rows(of_the_server).into_iter().map(|row| row[2].clone());
    let mut missing = Vec::new();
    for cell in messages.chain(remedies) {
        for part in code_spans(&cell).flat_map(|message| message.split('…')) {
            let part = part.trim();
            if part.len() > 3 && !part.starts_with("--") && !sources.contains(part) {
                missing.push(part.to_owned());
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no message of the program: {missing:#?}"
    );
}

/// Remedies as the launcher gives them.
fn in_terms_of_the_environment(sources: &str) -> String {
    let terms = text("vault/src/terms.rs");
    let terms = terms
        .lines()
        .filter_map(|line| line.trim().strip_suffix("\",")?.split_once(": \""));
    terms.fold(sources.to_owned(), |sources, (name, term)| {
        sources.replace(&format!("{{{name}}}"), term)
    })
}

/// A source with its texts as they are printed: without line breaks inside, and unescaped.
fn as_said(source: &str) -> String {
    let mut lines = source.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let joined = lines.fold(first, |joined, line| joined + line.trim_start());
    joined
        .replace("\\\"", "\"")
        .replace("{{", "{")
        .replace("}}", "}")
}

#[test]
fn links_between_pages_resolve() {
    for page in pages() {
        let content = fs::read_to_string(&page).unwrap();
        for link in links(&content) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let target = fs::read_to_string(&target).unwrap();
                assert!(
                    anchors(&target).contains(anchor),
                    "{}: {link}",
                    page.display()
                );
            }
        }
    }
}

/// Targets of links, except those to other hosts.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"))
}

/// The anchors that headings get.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|character| character.is_alphanumeric() || " -_".contains(*character));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}
