//! From a SecretBundle. Its schema has been checked by the API server; what is checked again here is what a rule cannot see, or
//! what an object may still hold that was written before a rule existed.

use envlatch_api::{Entry as Declared, Method, SecretBundleSpec};
use envlatch_reference::{Selector, Template};
use envlatch_vault::{Value, duration};

use super::{Ask, Entry, Plan, Take, Text, mode, path};
use crate::Problem;
use crate::store::{Claim, StoreChoice};

/// The plan of a SecretBundle.
///
/// # Errors
/// What is wrong with it, by field.
pub fn from_bundle(spec: &SecretBundleSpec) -> Result<Plan, Problem> {
    let refresh = duration(&spec.refresh)
        .ok_or_else(|| Problem::invalid("spec.refresh is no duration; write it as 5m"))?;
    let entries = spec.entries.iter().map(entry);
    let templates = spec.templates.iter().map(|declared| {
        let field = format!("template {}", declared.name);
        let template = Template::parse(&declared.text)
            .map_err(|error| Problem::invalid(format!("{field}: {error}")))?;
        let own_mode = declared.mode.as_deref().map(|text| mode(&field, text));
        Ok(Text {
            name: declared.name.clone(),
            template,
            mode: own_mode.transpose()?,
        })
    });
    let default_mode = spec.default_mode.as_deref();
    Ok(Plan {
        claim: Claim {
            store: match &spec.store {
                Some(name) => StoreChoice::Name(name.clone()),
                None => StoreChoice::Default,
            },
            role: spec.role.clone(),
            server_namespace: spec.server_namespace.clone(),
            ..Claim::default()
        },
        refresh: Some(refresh),
        default_mode: default_mode
            .map(|text| mode("spec.defaultMode", text))
            .transpose()?,
        entries: entries.collect::<Result<_, _>>()?,
        templates: templates.collect::<Result<_, Problem>>()?,
    })
}

fn entry(declared: &Declared) -> Result<Entry, Problem> {
    let field = format!("entry {}", declared.name);
    let take = match (&declared.key, declared.all_keys, declared.whole_response) {
        (Some(key), None, None) => Take::Key(Selector::of_key(key)),
        (None, Some(true), None) => Take::AllKeys {
            prefix: declared.prefix.clone().unwrap_or_default(),
        },
        (None, None, Some(true)) => Take::Whole,
        _ => {
            let text = format!("{field} must have exactly one of key, allKeys and wholeResponse");
            return Err(Problem::invalid(text));
        }
    };
    let (path, mut query) = path::parse(&format!("{field}: path"), &declared.path)?;
    let given = declared.arguments.iter();
    let arguments = match declared.method {
        Method::Read => {
            query.extend(given.map(|argument| (argument.name.clone(), argument.value.clone())));
            query.extend(
                declared
                    .version
                    .map(|version| ("version".to_owned(), version.to_string())),
            );
            None
        }
        Method::Write => Some(Value::Object(
            given
                .map(|argument| {
                    (
                        argument.name.clone(),
                        Value::String(argument.value.as_str().into()),
                    )
                })
                .collect(),
        )),
    };
    let own_mode = declared.mode.as_deref().map(|text| mode(&field, text));
    Ok(Entry {
        name: declared.name.clone(),
        ask: Ask {
            path,
            query,
            arguments,
        },
        take,
        encoding: declared.encoding,
        mode: own_mode.transpose()?,
        optional: declared.optional,
    })
}
