//! `envlatch-operator`: see the library.

use std::process::ExitCode;

use anyhow::Error;
use clap::Parser;
use envlatch_operator::settings::Settings;

/// Keeps Kubernetes Secrets in step with a Vault-compatible server
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match envlatch_operator::run(&options.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("envlatch-operator: {:#}", Error::new(error));
            ExitCode::FAILURE
        }
    }
}
