//! A server that accepts connections and answers nothing: when the pod's owner is told, and when the pod runs after the thaw.

use std::thread::sleep;
use std::time::{Duration, Instant};

use envlatch_bench_report::Report;
use envlatch_test_support::eventually;
use envlatch_test_support::plugin::{self, shell};
use serde_json::json;

use crate::parts::Settings;
use crate::pods::{DEADLINE, cluster, volume};

pub(crate) fn measure(settings: &Settings, report: &mut Report) {
    report.section("a frozen server");
    let (mut first, mut recovery) = (0.0_f64, 0.0_f64);
    for frozen in &settings.outages {
        let (told, ran) = one(*frozen);
        let seconds = frozen.as_secs();
        report.figure(
            &format!("outage{seconds}_first_event_s"),
            &format!("{seconds} s: seconds to the first event"),
            told,
            2,
        );
        report.figure(
            &format!("outage{seconds}_recovery_s"),
            "seconds from the thaw until it runs",
            ran,
            2,
        );
        first = first.max(told);
        recovery = recovery.max(ran);
    }
    report.figure("outage_first_event_s", "the latest first event", first, 2);
    report.figure("outage_recovery_s", "the slowest recovery", recovery, 2);
}

/// Seconds to the first event, and from the thaw until the pod runs.
fn one(frozen: Duration) -> (f64, f64) {
    let cluster = cluster();
    let namespace = cluster.namespace("outage");
    let vault = cluster.new_vault();
    namespace.put(&vault, "db", &json!({"password": "not-a-real-password"}));
    cluster.store(namespace.name(), &vault, &json!({}));
    let more = json!({"store": namespace.name()});
    plugin::bundle(&namespace, "app", &[("password", "db#password")], &more);
    vault.freeze();
    let begin = Instant::now();
    let pod = shell(&namespace, "app", volume(), "sleep 3600");
    eventually("an event of the plugin", DEADLINE, || {
        let told = |event: &String| event.starts_with("Vault");
        namespace.events().into_iter().find(told)
    });
    let told = begin.elapsed();
    sleep(frozen.saturating_sub(told));
    vault.thaw();
    let thawed = Instant::now();
    pod.runs();
    (told.as_secs_f64(), thawed.elapsed().as_secs_f64())
}
