//! File mode: a volume as CSI mounts it, against a C program that does the least and the shell line people write.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Result, ensure};
use envlatch_bench_report::Report;
use envlatch_test_support::CsiVolume;

use crate::environment;
use crate::measure::{Side, interleave};
use crate::report::{heading, side};

/// How many files a volume has, and how much rarer than asked its rounds are: the shell needs a third of a second for 200.
const CASES: [(usize, usize); 3] = [(1, 1), (20, 1), (200, 5)];

/// The variables' common beginning.
const PREFIX: &str = "SECRET_";

/// The line that this product replaces. `"$0"` is the directory.
const LINE: &str = r#"for f in $(ls "$0"); do export $f="$(cat "$0/$f")"; done; exec "$1""#;

/// Measures every case.
pub(crate) fn measure(launcher: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    for (count, rarer) in CASES {
        let names: Vec<_> = (0..count)
            .map(|index| format!("{PREFIX}{index:02}"))
            .collect();
        let values: Vec<_> = (0..count)
            .map(|index| format!("value-{index:026}\n").into_bytes())
            .collect();
        let files: Vec<_> = names
            .iter()
            .zip(&values)
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let volume = CsiVolume::new(&files);
        case(
            launcher,
            volume.path(),
            count,
            (rounds / rarer).max(1),
            report,
        )?;
    }
    Ok(())
}

fn case(
    launcher: &Path,
    volume: &Path,
    count: usize,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    let sides = sides(launcher, volume);
    for side in &sides {
        let variables = side.variables(PREFIX)?;
        ensure!(
            variables.len() == count,
            "{}: {} variables of {count}",
            side.name,
            variables.len()
        );
        ensure!(
            variables == sides[0].variables(PREFIX)?,
            "{} differs from {}",
            side.name,
            sides[0].name
        );
    }
    eprintln!("bench launcher: {count} files, {rounds} rounds");
    let runs = interleave(&sides, rounds)?;
    let [launcher, floor, shell] = &runs[..] else {
        unreachable!("as many as sides")
    };
    let name = format!("file{count}");
    heading(report, &format!("{name}: start with {count} files"));
    let peak = sides[0].peak_kib()?;
    side(report, &name, None, &sides[0], launcher, Some(peak));
    side(
        report,
        &name,
        Some("c"),
        &sides[1],
        floor,
        Some(sides[1].peak_kib()?),
    );
    side(report, &name, Some("shell"), &sides[2], shell, None);
    report.figure(
        &format!("{name}_vs_c"),
        "times the C program",
        launcher.wall_ms() / floor.wall_ms(),
        2,
    );
    report.figure(
        &format!("{name}_vs_shell"),
        "times faster than the shell",
        shell.wall_ms() / launcher.wall_ms(),
        1,
    );
    report.judge(&format!("{name}_rss_kib"), "KiB of the launcher", peak, 0);
    Ok(())
}

fn sides(launcher: &Path, volume: &Path) -> [Side; 3] {
    let side = |name, program: &Path, arguments: &[&str]| Side {
        name,
        program: program.to_owned(),
        arguments: arguments
            .iter()
            .map(|argument| {
                if *argument == "DIR" {
                    volume.into()
                } else {
                    OsString::from(argument)
                }
            })
            .collect(),
        environment: environment(),
        starts_command: true,
    };
    [
        side("launcher", launcher, &["run", "--dir", "DIR", "--"]),
        side("C program", Path::new(env!("BENCH_FLOOR")), &["DIR"]),
        side("shell line", Path::new("/bin/sh"), &["-c", LINE, "DIR"]),
    ]
}
