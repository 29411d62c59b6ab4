//! What is measured in more than one part.

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::process::Operator;

/// How long anything may take, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(900);
/// How often it is looked: for each look the operator counts its bundles.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is told how far a long measurement is.
const TELL: Duration = Duration::from_secs(10);
/// How often something is altered and deleted.
const ROUNDS: usize = 21;

const BUNDLES: &str = "/apis/envlatch.io/v1alpha1/secretbundles";

/// Seconds since `began` when every bundle is ready. The operator's own count of statuses tells when it is worth to look.
pub(crate) fn until_ready(operator: &Operator, bed: &Bed, began: Instant) -> Result<f64> {
    reach(operator, bed.shape.bundles, "statuses", began, |operator| {
        operator.metric("envlatch_operator_status_writes_total", "")
    })?;
    loop {
        let seconds = began.elapsed().as_secs_f64();
        let looked = Instant::now();
        let bundles = bed.list(BUNDLES);
        if bundles.iter().filter(|bundle| is_ready(bundle)).count() >= bed.shape.bundles {
            return Ok(seconds);
        }
        if began.elapsed() > DEADLINE {
            bail!("not all bundles became ready");
        }
        // A long list costs the API server as much as a hundred bundles do.
        sleep(Duration::from_millis(50).max(looked.elapsed()));
    }
}

/// Seconds since `began` when so many turns of bundles ended well.
pub(crate) fn until_turns(operator: &Operator, count: usize, began: Instant) -> Result<f64> {
    reach(operator, count, "turns", began, turns)
}

/// How many turns of bundles ended well so far.
pub(crate) fn turns(operator: &Operator) -> Option<f64> {
    let name = "envlatch_operator_turn_duration_seconds_count";
    operator.metric(name, "reason=\"Synced\"")
}

/// Seconds since `began` when there are so many of `what`.
fn reach(
    operator: &Operator,
    goal: usize,
    what: &str,
    began: Instant,
    count: impl Fn(&Operator) -> Option<f64>,
) -> Result<f64> {
    let told = Cell::new(Instant::now());
    until(operator, began, |operator| {
        let count = count(operator).unwrap_or_default();
        if told.get().elapsed() >= TELL {
            eprintln!("bench operator: {count} of {goal} {what}");
            told.set(Instant::now());
        }
        count >= goal as f64
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
        sleep(LOOK);
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
