//! What is measured in more than one part.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::process::Operator;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(900);
/// How often something is altered and deleted.
const ROUNDS: usize = 21;

const BUNDLES: &str = "/apis/envlatch.io/v1alpha1/secretbundles";

/// Seconds since `began` when every bundle is ready. The operator's own count tells when it is worth to look.
pub(crate) fn until_ready(operator: &Operator, bed: &Bed, began: Instant) -> Result<f64> {
    until_turns(operator, bed.shape.bundles, began)?;
    loop {
        let seconds = began.elapsed().as_secs_f64();
        let bundles = bed.list(BUNDLES);
        if bundles.iter().filter(|bundle| is_ready(bundle)).count() >= bed.shape.bundles {
            return Ok(seconds);
        }
        if began.elapsed() > DEADLINE {
            bail!("not all bundles became ready");
        }
        sleep(Duration::from_millis(100));
    }
}

/// Seconds since `began` when so many turns of bundles ended well.
pub(crate) fn until_turns(operator: &Operator, count: usize, began: Instant) -> Result<f64> {
    until(operator, began, |operator| {
        let name = "envlatch_operator_turn_duration_seconds_count";
        let turns = operator.metric(name, "reason=\"Synced\"");
        turns.is_some_and(|turns| turns >= count as f64)
    })
}

/// Seconds since `began` when something holds for the operator.
pub(crate) fn until(
    operator: &Operator,
    began: Instant,
    holds: impl Fn(&Operator) -> bool,
) -> Result<f64> {
    loop {
        let seconds = began.elapsed().as_secs_f64();
        if holds(operator) {
            return Ok(seconds);
        }
        if !operator.runs()? {
            bail!("the operator ended");
        }
        if began.elapsed() > DEADLINE {
            bail!("what was waited for did not come");
        }
        sleep(Duration::from_millis(50));
    }
}

fn is_ready(bundle: &Value) -> bool {
    let conditions = bundle["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// The median of the milliseconds until something altered is as it was.
pub(crate) fn altered(bed: &Bed) -> Result<f64> {
    rounds(|n| {
        let path = bed.secret(n);
        let wanted = bed.kubernetes.api("GET", &path, &Value::Null)["data"].clone();
        bed.kubernetes
            .api("PATCH", &path, &json!({"data": {"key": "YmFk"}}));
        since(Instant::now(), || {
            bed.kubernetes.send("GET", &path, &Value::Null).1["data"] == wanted
        })
    })
}

/// The median of the milliseconds until something deleted is back.
pub(crate) fn deleted(bed: &Bed) -> Result<f64> {
    rounds(|n| {
        let path = bed.secret(n);
        bed.kubernetes.api("DELETE", &path, &Value::Null);
        since(Instant::now(), || exists(bed, &path))
    })
}

/// The 99th percentile of the seconds from the request that makes a bundle until its Secret is there, for `count` bundles, one each
/// `pause`. Their numbers follow `first`.
pub(crate) fn new_p99(bed: &Bed, first: usize, count: usize, pause: Duration) -> Result<f64> {
    let mut times = Vec::new();
    for n in first..first + count {
        let began = Instant::now();
        bed.bundle(n);
        let path = bed.secret(n);
        times.push(since(began, || exists(bed, &path))?);
        sleep(pause.saturating_sub(began.elapsed()));
    }
    Ok(percentile(times, 0.99))
}

/// The value at or below which the share `share` of `values` is.
fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values[rank.saturating_sub(1)]
}

fn exists(bed: &Bed, path: &str) -> bool {
    bed.kubernetes.send("GET", path, &Value::Null).0 == 200
}

fn rounds(mut round: impl FnMut(usize) -> Result<f64>) -> Result<f64> {
    let times = (0..ROUNDS)
        .map(|n| round(n * 7))
        .collect::<Result<Vec<f64>>>()?;
    Ok(percentile(times, 0.5) * 1000.0)
}

/// Seconds from `began` until something holds.
fn since(began: Instant, mut holds: impl FnMut() -> bool) -> Result<f64> {
    while !holds() {
        if began.elapsed() > DEADLINE {
            bail!("it never came");
        }
        sleep(Duration::from_millis(2));
    }
    Ok(began.elapsed().as_secs_f64())
}
