//! `envlatch check`: what a start would set, and from where, without values.

use std::fmt::Write as _;

use envlatch_secret::Value;

use crate::cli::Words;
use crate::environment::Environment;
use crate::merge::Entry;
use crate::name::shown;
use crate::problem::Problems;
use crate::settings::Settings;
use crate::start;

/// Resolves everything and gives the table.
///
/// # Errors
/// Whatever would stop a start.
pub(crate) fn check(
    words: &Words,
    environment: &Environment,
    json: bool,
) -> Result<String, Problems> {
    let settings = Settings::new(words, environment)?;
    let resolution = start::resolve(&start::Job::new(&settings, environment, words.argv.first()))?;
    let checked = crate::limits::check(&resolution.merged, &words.argv);
    if let Some(server) = &resolution.server {
        server.failed();
    }
    checked?;
    let rows: Vec<_> = resolution
        .merged
        .0
        .iter()
        .filter(|(_, entry)| is_ours(entry))
        .collect();
    Ok(if json {
        as_json(&rows)
    } else {
        as_table(&rows)
    })
}

/// What is inherited and nothing else is not worth a row.
fn is_ours(entry: &Entry) -> bool {
    entry.source.text != "inherited" || !entry.losers.is_empty()
}

fn as_table(rows: &[(&Vec<u8>, &Entry)]) -> String {
    let mut cells = vec![["NAME", "SOURCE", "VERSION", "LENGTH", "NOTE"].map(str::to_owned)];
    cells.extend(rows.iter().map(|(name, entry)| {
        let version = entry
            .source
            .version
            .map_or("-".to_owned(), |version| version.to_string());
        [
            shown(name),
            entry.source.text.clone(),
            version,
            entry.value.len().to_string(),
            note(entry),
        ]
    }));
    let width = |column: usize| {
        cells
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [0, 1, 2, 3].map(width);
    let mut table = String::new();
    for [name, source, version, length, note] in &cells {
        let [a, b, c, d] = widths;
        let line = format!("{name:a$}  {source:b$}  {version:>c$}  {length:>d$}  {note}");
        let _infallible = writeln!(table, "{}", line.trim_end());
    }
    table
}

fn note(entry: &Entry) -> String {
    let default = entry.source.default_used.then(|| "default used".to_owned());
    let losers: Vec<&str> = entry
        .losers
        .iter()
        .map(|source| source.text.as_str())
        .collect();
    let losers = (!losers.is_empty()).then(|| format!("wins over {}", losers.join(", ")));
    default
        .into_iter()
        .chain(losers)
        .collect::<Vec<_>>()
        .join("; ")
}

fn as_json(rows: &[(&Vec<u8>, &Entry)]) -> String {
    let number = |number: u64| Value::Number(number.to_string().into());
    let text = |text: &str| Value::String(text.into());
    let row = |(name, entry): &(&Vec<u8>, &Entry)| {
        Value::Object(vec![
            ("name".into(), text(&shown(name))),
            ("source".into(), text(&entry.source.text)),
            (
                "version".into(),
                entry.source.version.map_or(Value::Null, number),
            ),
            ("length".into(), number(entry.value.len() as u64)),
            (
                "default_used".into(),
                Value::Bool(entry.source.default_used),
            ),
            (
                "wins_over".into(),
                Value::Array(
                    entry
                        .losers
                        .iter()
                        .map(|source| text(&source.text))
                        .collect(),
                ),
            ),
        ])
    };
    let document = Value::Object(vec![(
        "variables".into(),
        Value::Array(rows.iter().map(row).collect()),
    )]);
    // It is made as a secret, because values are what is usually written by this; here there is none in it.
    let json = document.to_json();
    format!("{}\n", String::from_utf8_lossy(json.expose()))
}
