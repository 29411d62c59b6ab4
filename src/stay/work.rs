//! What workers do. Each function runs in a child of its own, which ends with it or becomes the program.

use super::Staying;
use super::report::Report;
use super::worker::Channel;
use crate::holdings::{Holdings, Token};
use crate::logging;
use crate::prepared::prepare;
use crate::problem::Problems;
use crate::start::{Job, Resolution, Server, resolve};

/// Resolves everything, and becomes the program when the launcher says so. The first start is an ordinary one: what stops
/// it is printed by whoever called. Later ones are told to the launcher, which keeps the program that runs.
///
/// # Errors
/// Why there is no program.
pub(super) fn start(
    staying: &Staying<'_>,
    tokens: &[Token],
    is_first: bool,
    channel: Channel,
) -> Problems {
    if !is_first {
        logging::hush();
    }
    let job = Job {
        program: staying.words.argv.first(),
        tokens,
        ..staying.job()
    };
    let resolved = resolve(&job).and_then(|resolution| {
        let prepared = resolution.or_revoke(prepare(&resolution, &staying.words.argv))?;
        Ok((resolution, prepared))
    });
    let (resolution, prepared) = match resolved {
        Ok(resolved) => resolved,
        Err(problems) if is_first => return problems,
        Err(problems) => channel.tell(&Report::failed(problems.message())),
    };
    if !channel.ask(&report(staying, &resolution)) {
        if let Some(server) = &resolution.server {
            server.failed();
        }
        std::process::exit(0);
    }
    if let Some(server) = &resolution.server {
        server.stand_back();
    }
    prepared.exec()
}

/// Resolves what is the same each time, and tells its hash.
pub(super) fn look(staying: &Staying<'_>, tokens: &[Token], channel: Channel) -> ! {
    logging::hush();
    let job = Job {
        tokens,
        steady: true,
        ..staying.job()
    };
    let report = match resolve(&job) {
        Ok(resolution) => report(staying, &resolution),
        Err(problems) => Report::failed(problems.message()),
    };
    channel.tell(&report)
}

/// Renews what is due.
pub(super) fn keep(staying: &Staying<'_>, tokens: &[Token], due: &Holdings, channel: Channel) -> ! {
    logging::hush();
    let report = match server(staying, tokens) {
        Ok(server) => {
            let renewal = server.renew(due);
            Report {
                digest: None,
                holdings: renewal.renewed,
                gone_leases: renewal.gone_leases,
                denied_leases: renewal.denied_leases,
                failure: renewal.failure,
            }
        }
        Err(problems) => Report::failed(problems.message()),
    };
    channel.tell(&report)
}

/// Gives back what a program that has ended was issued. A server that does not answer now is left to forget by itself.
pub(super) fn give_back(staying: &Staying<'_>, holdings: &Holdings) -> ! {
    logging::hush();
    if let Ok(server) = server(staying, &holdings.tokens) {
        server.give_back(holdings);
    }
    std::process::exit(0)
}

fn server(staying: &Staying<'_>, tokens: &[Token]) -> Result<Server, Problems> {
    let families: Vec<_> = tokens.iter().map(|token| token.family).collect();
    let server = Server::new(staying.settings, staying.environment, &families)?;
    server.borrow(tokens);
    Ok(server)
}

fn report(staying: &Staying<'_>, resolution: &Resolution) -> Report {
    let server = resolution.server.as_ref();
    Report {
        digest: Some(staying.key.digest(&resolution.steady)),
        holdings: server.map(Server::holdings).unwrap_or_default(),
        ..Report::default()
    }
}
