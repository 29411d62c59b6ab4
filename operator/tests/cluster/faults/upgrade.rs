//! An upgrade from a release whose definitions knew less.

use std::fs;

use envlatch_test_support::{TempDir, chart};
use serde_json::{Value, json};

use crate::bed::{Operator, bundle, cluster, delete, get, team, until, until_content};

/// The definition of SecretBundle as an earlier release could have had it: without `sync.keys` and without the column of the reason.
fn earlier() -> Value {
    let text = fs::read_to_string(chart().join("files/crds.yaml")).unwrap();
    let documents = text
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let is_bundle = |crd: &Value| crd["metadata"]["name"] == "secretbundles.envlatch.io";
    let mut crd = documents.into_iter().find(is_bundle).unwrap();
    let version = &mut crd["spec"]["versions"][0];
    let sync =
        &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["sync"];
    assert!(
        sync["properties"]
            .as_object_mut()
            .unwrap()
            .remove("keys")
            .is_some()
    );
    let columns = version["additionalPrinterColumns"].as_array_mut().unwrap();
    let before = columns.len();
    columns.retain(|column| column["name"] != "Reason");
    assert_eq!(columns.len(), before - 1);
    crd
}

#[test]
#[ignore = "needs the cluster"]
fn objects_of_an_earlier_definition_go_on_and_learn_what_is_new() {
    let team = team("upgrade", &json!({"password": "hunter22"}));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("crd.json");
    fs::write(&file, earlier().to_string()).unwrap();
    cluster().apply_file(&file, "helm");
    bundle(&team, "app", &json!({}), &json!({}));
    let before = get(&team, "secretbundles", "app");
    let operator = Operator::install(&team, &["operator.crds=true"]);
    until(&team, "app", "Synced");
    let after = get(&team, "secretbundles", "app");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    let specs = |bundle: &Value| {
        (
            bundle["spec"]["entries"].clone(),
            bundle["spec"]["role"].clone(),
        )
    };
    assert_eq!(specs(&after), specs(&before));
    // What the earlier definition did not know is taken and has its effect.
    bundle(
        &team,
        "app",
        &json!({}),
        &json!({"keys": [{"name": "password", "key": "renamed"}]}),
    );
    until_content(&team, "app", &json!({"renamed": "hunter22"}));
    // A later upgrade of the same release changes nothing.
    let namespaces = [
        &format!("operator.namespaces[0].name={}", team.name()),
        "operator.namespaces[0].serviceAccounts={default}",
        "operator.crds=true",
    ];
    operator.upgrade(&namespaces);
    delete(&team, "secrets", "app");
    until_content(&team, "app", &json!({"renamed": "hunter22"}));
}
