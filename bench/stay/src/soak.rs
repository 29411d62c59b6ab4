//! Rotations for a long time: whether anything grows.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use envlatch_bench_report::Report;

use crate::rotate::Rotation;

/// Rotations after which memory does not grow any more, if it ever stops.
const WARM_UP: usize = 1000;

/// Rotations between two looks at the memory.
const STEP: usize = 500;

/// Rotates for `time` and compares the end with the beginning.
pub(crate) fn measure(launcher: &Path, time: Duration, report: &mut Report) -> Result<()> {
    let mut rotation = Rotation::start(launcher)?;
    for _ in 0..WARM_UP {
        rotation.turn()?;
    }
    let (descriptors, processes) = counts(&rotation)?;
    let end = Instant::now() + time;
    let mut points = vec![(0.0, rotation.launcher.resident_kib()? as f64)];
    let mut number = 0;
    while Instant::now() < end || points.len() < 3 {
        for _ in 0..STEP {
            rotation.turn()?;
        }
        number += STEP;
        points.push((
            number as f64 / 1000.0,
            rotation.launcher.resident_kib()? as f64,
        ));
        if points.len() % 20 == 0 {
            eprintln!(
                "bench soak: {number} rotations, {} s left",
                end.saturating_duration_since(Instant::now()).as_secs()
            );
        }
    }
    let (descriptors_after, processes_after) = counts(&rotation)?;
    report.section("after many rotations");
    report.figure("soak_rotations", "rotations", number as f64, 0);
    report.figure(
        "soak_rss_slope_kib",
        "KiB more per 1000 rotations",
        slope(&points),
        2,
    );
    report.figure(
        "soak_rss_kib",
        "KiB resident at the end",
        points[points.len() - 1].1,
        0,
    );
    report.figure(
        "soak_descriptors_more",
        "descriptors more than before",
        descriptors_after as f64 - descriptors as f64,
        0,
    );
    report.figure(
        "soak_processes_more",
        "processes more than before",
        processes_after as f64 - processes as f64,
        0,
    );
    Ok(())
}

/// Descriptors and children, once the last worker has been taken.
fn counts(rotation: &Rotation) -> Result<(usize, usize)> {
    std::thread::sleep(Duration::from_millis(200));
    Ok((
        rotation.launcher.descriptors()?,
        rotation.launcher.children()?.len(),
    ))
}

/// The slope of the line with the least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| {
        (x + point.0 / count, y + point.1 / count)
    });
    let above: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    above / below
}
