//! From answers to files: which key, how encoded, under which name.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE, Specification};
use envlatch_api::Encoding;
use envlatch_reference::Selected;
use envlatch_vault::{Secret, Value};

use crate::Problem;
use crate::plan::{Entry, Plan, Take};
use crate::problem::Code;
use crate::server::Answer;

/// One file of a volume, or one key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path in the volume, not yet checked
    pub name: String,
    /// Its permission bits; without them, what fits the pod
    pub mode: Option<u32>,
    /// What is in it
    pub bytes: Secret,
    /// The version that the server gave it (KV v2)
    pub version: Option<u64>,
}

/// The files of `plan`; `answer` gives what was answered for an entry, or nothing when it is absent and may be.
pub(crate) fn files<'a>(
    plan: &Plan,
    answer: impl Fn(&Entry) -> Option<&'a Answer>,
) -> Result<Vec<File>, Problem> {
    let mut files = Vec::new();
    for entry in &plan.entries {
        if let Some(answer) = answer(entry) {
            take(entry, plan, answer, &mut files)?;
        }
    }
    let members = files
        .iter()
        .map(|file| (file.name.clone(), Value::String(file.bytes.clone())));
    let object = Value::Object(members.collect());
    for text in &plan.templates {
        let bytes = text.template.render(&object).map_err(|error| {
            Problem::new(
                Code::InvalidArgument,
                "TemplateFailed",
                format!("template {}: {error}", text.name),
            )
        })?;
        files.push(File {
            name: text.name.clone(),
            mode: text.mode.or(plan.default_mode),
            bytes,
            version: None,
        });
    }
    Ok(files)
}

fn take(entry: &Entry, plan: &Plan, answer: &Answer, files: &mut Vec<File>) -> Result<(), Problem> {
    let mode = entry.mode.or(plan.default_mode);
    let version = answer.reply.version;
    let file = |name: String, bytes| File {
        name,
        mode,
        bytes,
        version,
    };
    match &entry.take {
        Take::Whole => files.push(file(entry.name.clone(), answer.whole.to_json())),
        Take::Key(selector) => match selector.select(&answer.reply.data) {
            Ok(Selected::Found(bytes)) => files.push(file(
                entry.name.clone(),
                decoded(entry.encoding, &entry.name, &entry.ask.path, &bytes)?,
            )),
            Ok(Selected::Absent { .. }) if entry.optional => {}
            Ok(Selected::Absent { key, similar }) => {
                return Err(missing(entry, &key, similar, &answer.reply.data));
            }
            Err(error) => {
                return Err(Problem::new(
                    Code::InvalidArgument,
                    "KeyNotFound",
                    format!("{}: {error}", entry.name),
                ));
            }
        },
        Take::AllKeys { prefix } => {
            let Value::Object(members) = &answer.reply.data else {
                let text = format!(
                    "{} at {} has no keys to make files of",
                    entry.name, entry.ask.path
                );
                return Err(Problem::new(Code::InvalidArgument, "KeyNotFound", text));
            };
            for (key, value) in members {
                let name = format!("{prefix}{key}");
                let bytes = decoded(entry.encoding, &name, &entry.ask.path, &value.to_text())?;
                files.push(file(name, bytes));
            }
        }
    }
    Ok(())
}

fn missing(entry: &Entry, key: &str, similar: Option<String>, data: &Value) -> Problem {
    let hint = match (similar, data) {
        (Some(similar), _) => format!("did you mean {similar:?}?"),
        (None, Value::Object(members)) => {
            let mut keys: Vec<&str> = members
                .iter()
                .map(|(key, _)| key.as_str())
                .take(10)
                .collect();
            keys.sort_unstable();
            format!("it has {}", keys.join(", "))
        }
        _ => "it has no keys".to_owned(),
    };
    let text = format!(
        "{}: the secret at {} has no key {key:?}; {hint}",
        entry.name, entry.ask.path
    );
    Problem::new(Code::NotFound, "KeyNotFound", text)
}

/// The bytes that are delivered of what `place` has for the file `name`. An error names the file and no byte.
pub(crate) fn decoded(
    encoding: Encoding,
    name: &str,
    place: &str,
    bytes: &Secret,
) -> Result<Secret, Problem> {
    let (decoded, encoding) = match encoding {
        Encoding::Utf8 => return Ok(bytes.clone()),
        Encoding::Base64 => (decode_base64(bytes), "base64"),
        Encoding::Hex => (
            HEXLOWER_PERMISSIVE.decode(bytes.expose()).ok(),
            "hexadecimal",
        ),
    };
    decoded.map(Secret::new).ok_or_else(|| {
        let text =
            format!("{name}: the value at {place} is not {encoding}; correct it or the encoding");
        Problem::new(Code::InvalidArgument, "NotDecodable", text)
    })
}

/// Line breaks do not count: values that were wrapped at 64 or 76 letters are common.
fn decode_base64(bytes: &Secret) -> Option<Vec<u8>> {
    let mut specification: Specification = BASE64.specification();
    specification.ignore.push_str("\r\n");
    specification.encoding().ok()?.decode(bytes.expose()).ok()
}
