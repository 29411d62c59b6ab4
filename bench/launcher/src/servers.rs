//! Server mode: paths of a real Vault, against a program that sends the same requests and reads the answers' bytes.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use envlatch_bench_report::Report;
use envlatch_test_support::Vault;
use serde_json::json;

use crate::environment;
use crate::measure::{Side, interleave};
use crate::report::{heading, side};

/// How many paths are read, and how much rarer than asked the rounds are.
const CASES: [(usize, usize); 3] = [(1, 1), (20, 1), (100, 3)];

/// As many requests as the launcher has under way at once.
const CONCURRENCY: &str = "8";

/// The variables' common beginning.
const PREFIX: &str = "V_";

/// What the token may do: what a program's own token would.
const POLICY: &str = r#"path "secret/data/bench/*" { capabilities = ["read"] }"#;

/// Measures every case over HTTP and HTTPS.
pub(crate) fn measure(launcher: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    for (start, suffix) in [(Vault::dev as fn() -> Vault, ""), (Vault::tls, "_tls")] {
        let vault = start();
        for index in 0..CASES.map(|(count, _)| count).into_iter().max().unwrap_or(0) {
            vault.put_kv2(
                &format!("bench/{index:02}"),
                &json!({ "value": value(index) }),
            );
        }
        vault.policy("bench", POLICY);
        let token = vault.token(&["bench"], "1h");
        for (count, rarer) in CASES {
            let name = format!("vault{count}{suffix}");
            let mut environment = environment();
            environment.push(("VAULT_ADDR".into(), vault.address().into()));
            environment.push(("VAULT_TOKEN".into(), token.clone()));
            if !suffix.is_empty() {
                let ca = vault.ca_file().into_os_string().into_string();
                environment.push((
                    "VAULT_CACERT".into(),
                    ca.ok().context("a temporary path is text")?,
                ));
            }
            environment.extend((0..count).map(|index| {
                (
                    format!("{PREFIX}{index:02}"),
                    format!("vault:secret/data/bench/{index:02}#value"),
                )
            }));
            let sides = sides(launcher, &environment)?;
            check(&sides, &vault, count)?;
            case(&sides, &name, (rounds / rarer).max(1), report)?;
        }
    }
    Ok(())
}

fn value(index: usize) -> String {
    format!("value-{index:026}")
}

/// Both sides must do the same work before it is worth comparing.
fn check(sides: &[Side; 3], vault: &Vault, count: usize) -> Result<()> {
    let mut expected: Vec<_> = (0..count)
        .map(|index| format!("{PREFIX}{index:02}={}", value(index)))
        .collect();
    expected.sort();
    let before = vault.audit().len();
    ensure!(
        sides[0].variables(PREFIX)? == expected,
        "the launcher did not resolve every reference"
    );
    let launcher = vault.audit().split_off(before);
    sides[1].variables(PREFIX)?;
    let floor = vault.audit().split_off(before + launcher.len());
    ensure!(
        floor.len() == count,
        "the floor sent {} requests of {count}",
        floor.len()
    );
    if launcher.len() != count {
        eprintln!(
            "bench launcher: {count} paths took the launcher {} requests",
            launcher.len()
        );
    }
    Ok(())
}

fn case(sides: &[Side; 3], name: &str, rounds: usize, report: &mut Report) -> Result<()> {
    eprintln!("bench launcher: {name}, {rounds} rounds");
    let runs = interleave(sides, rounds)?;
    let [launcher, floor, sequential] = &runs[..] else {
        unreachable!("as many as sides")
    };
    heading(
        report,
        &format!(
            "{name}: start with references to {}",
            name.trim_start_matches("vault")
                .replace("_tls", " over TLS")
        ),
    );
    let peak = sides[0].peak_kib()?;
    side(report, name, None, &sides[0], launcher, Some(peak));
    side(
        report,
        name,
        Some("floor"),
        &sides[1],
        floor,
        Some(sides[1].peak_kib()?),
    );
    side(
        report,
        name,
        Some("sequential"),
        &sides[2],
        sequential,
        None,
    );
    report.figure(
        &format!("{name}_vs_floor"),
        "times the floor",
        launcher.wall_ms() / floor.wall_ms(),
        2,
    );
    report.judge(
        &format!("{name}_cpu_ms"),
        "ms of processor time",
        launcher.cpu_ms(),
        3,
    );
    report.judge(&format!("{name}_rss_kib"), "KiB of the launcher", peak, 0);
    Ok(())
}

fn sides(launcher: &Path, environment: &[(String, String)]) -> Result<[Side; 3]> {
    let floor = std::env::current_exe()
        .context("cannot find this program")?
        .with_file_name("envlatch-bench-server-floor");
    let side = |name, program: &Path, arguments: &[&str], starts_command| Side {
        name,
        program: program.to_owned(),
        arguments: arguments.iter().map(Into::into).collect(),
        environment: environment.to_vec(),
        starts_command,
    };
    Ok([
        side("launcher", launcher, &["run", "--"], true),
        side("floor, 8 at a time", &floor, &[CONCURRENCY], false),
        side("floor, one at a time", &floor, &["1"], false),
    ])
}
