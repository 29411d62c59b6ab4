//! What becomes of a Secret when its bundle goes, with the real garbage collector.

use std::thread::sleep;

use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::bed::{Operator, QUIET, SOON, bundle, content, delete, get, team, until};

#[test]
#[ignore = "needs the cluster"]
fn a_deleted_bundle_leaves_its_secret_or_takes_it_along_as_asked() {
    let team = team("deletion", &json!({"password": "hunter22"}));
    let _operator = Operator::install(&team, &[]);
    bundle(&team, "kept", &json!({}), &json!({}));
    bundle(&team, "taken", &json!({}), &json!({"onDelete": "Delete"}));
    for name in ["kept", "taken"] {
        until(&team, name, "Synced");
        delete(&team, "secretbundles", name);
    }
    eventually("the garbage collector to take the Secret", SOON, || {
        get(&team, "secrets", "taken").is_null().then_some(())
    });
    sleep(QUIET);
    assert_eq!(content(&team, "kept"), json!({"password": "hunter22"}));
    assert_eq!(get(&team, "secrets", "taken"), Value::Null);
}
