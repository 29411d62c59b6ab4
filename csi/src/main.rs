//! The CSI node plugin: flags, and what volumes are made of.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use envlatch_csi::Context;
use envlatch_csi::bundles::{BundleSettings, BundleSource};
use envlatch_csi::settings::Settings;

/// Mounts secrets from a Vault-compatible server as files in pods: a CSI node plugin
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(flatten)]
    node: Settings,
    #[command(flatten)]
    bundles: BundleSettings,
}

fn main() -> ExitCode {
    let Flags { node, bundles } = Flags::parse();
    let timeout = node.publish_timeout;
    let build = |context: Context<'_>| BundleSource::new(context, &bundles, timeout);
    let outcome = envlatch_csi::run(node, build);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source: Option<&dyn Error> = error.source();
            let causes = std::iter::successors(source, |&cause| cause.source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            tracing::error!("{error}{causes}");
            ExitCode::FAILURE
        }
    }
}
