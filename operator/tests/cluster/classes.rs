//! `secretObjects` of a SecretProviderClass with the rights that the chart gives for them.

use serde_json::{Value, json};

use crate::bed::{Operator, cluster, delete, get, team, until_content};

#[test]
#[ignore = "needs the cluster"]
fn the_secret_objects_of_a_class_become_secrets_without_a_pod() {
    let team = team("classes", &json!({"user": "app", "password": "hunter22"}));
    cluster().foreign_crds();
    let _operator = Operator::install(&team, &["operator.secretObjects=true"]);
    let path = format!("secret/data/{}/db", team.name());
    team.apply(json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {
            "name": "app",
            "annotations": {"envlatch.io/sync-service-account": "default"},
        },
        "spec": {
            "provider": "vault",
            "parameters": {
                "vaultAddress": cluster().vault().address(),
                "roleName": team.name(),
                "objects": format!("- {{objectName: password, secretPath: {path}, secretKey: password}}"),
            },
            "secretObjects": [{
                "secretName": "copied",
                "type": "Opaque",
                "data": [{"objectName": "password", "key": "pw"}],
            }],
        },
    }));
    until_content(&team, "copied", &json!({"pw": "hunter22"}));
    delete(&team, "secrets", "copied");
    until_content(&team, "copied", &json!({"pw": "hunter22"}));
    let owners = &get(&team, "secrets", "copied")["metadata"]["ownerReferences"];
    assert_eq!(*owners, Value::Null, "it does not go with a pod");
}
