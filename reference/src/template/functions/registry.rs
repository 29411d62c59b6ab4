//! Credentials of image registries in the form in which Kubernetes and container tools read them.

use base64ct::{Base64, Encoding as _};
use envlatch_secret::{Secret, Value};
use zeroize::Zeroizing;

use super::{Arguments, Fault, json};
use crate::template::output::Output;

/// `dockerconfigjson REGISTRY USER PASSWORD …`: what `kubectl create secret docker-registry` writes, for any number of registries.
pub(super) fn dockerconfigjson(
    arguments: &Arguments<'_>,
    output: &mut Output,
) -> Result<(), Fault> {
    let count = arguments.iter().count();
    if !count.is_multiple_of(3) {
        return Err(Fault::Cause(
            "needs registry, user and password, and the same again for each further registry",
        ));
    }
    let mut auths = Vec::new();
    for first in (0..count).step_by(3) {
        let [registry, user, password] = [
            arguments.text(first)?,
            arguments.text(first + 1)?,
            arguments.text(first + 2)?,
        ];
        if user.contains(':') {
            return Err(Fault::Cause("needs a user without a colon in it"));
        }
        let joined = Zeroizing::new(format!("{}:{}", &*user, &*password));
        let text = |text: &str| Value::String(text.into());
        let auth = Secret::from(Base64::encode_string(joined.as_bytes()));
        let members = [
            ("username", text(&user)),
            ("password", text(&password)),
            ("auth", Value::String(auth)),
        ];
        auths.push((
            registry.to_owned(),
            object(members.map(|(name, value)| (name.to_owned(), value))),
        ));
    }
    let config = object([("auths".to_owned(), Value::Object(auths))]);
    output.push(json::compact(&config, arguments.work)?.as_bytes())
}

fn object<const N: usize>(members: [(String, Value); N]) -> Value {
    Value::Object(members.into())
}
