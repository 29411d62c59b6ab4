//! The server: who we are to it, what is asked in which order, and what becomes of the token afterwards.
//!
//! A runtime, TLS and DNS exist only from here on, so a start that needs no server pays for none of them.

#[cfg(feature = "stay")]
mod upkeep;

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use envlatch_vault::{Class, Client, Error, Lease, Reply, Session, Severity, from_environment};
use futures_util::stream::{self, StreamExt as _};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Runtime;

use crate::environment::Environment;
use crate::logging;
use crate::problem::{Exit, Problem, Problems};
use crate::request::{Answer, Answers, Family, Refusal, Request, What};
use crate::settings::{Settings, Transit};

/// Requests under way at once.
const CONCURRENCY: usize = 8;

/// How long revoking a token may hold up a start, or its end.
const REVOKE_WITHIN: Duration = Duration::from_millis(500);

/// The same once a signal asked to end: what is left of 100 ms.
const REVOKE_ON_SIGNAL: Duration = Duration::from_millis(80);

/// How often minting is tried anew under a new login when it stays unknown whether a request was carried out.
const MINT_ATTEMPTS: usize = 3;

/// A connection to each server that is spoken of.
pub(crate) struct Server {
    runtime: Runtime,
    identities: Vec<(Family, Session)>,
    termination: Receiver,
    transit: Option<Transit>,
    revoke_token: Option<bool>,
    deadline: Instant,
    /// The token must outlive the start, because the program has it
    login_handed_on: bool,
    /// What was issued and expires
    issued: Vec<Issued>,
}

/// Something that a request brought and that expires.
struct Issued {
    #[cfg_attr(
        not(feature = "stay"),
        allow(dead_code, reason = "only a launcher that stays renews")
    )]
    family: Family,
    path: String,
    lease: Option<Lease>,
    /// When a certificate expires, in seconds since 1970
    #[cfg_attr(
        not(feature = "stay"),
        allow(dead_code, reason = "only a launcher that stays replaces")
    )]
    expiration: Option<u64>,
}

// === impl Server ===

impl Server {
    /// Configures, without asking the server anything.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub(crate) fn new(
        settings: &Settings,
        environment: &Environment,
        families: &[Family],
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut identities = Vec::new();
        for wanted in families {
            let session = problems.collect(session(settings, environment, *wanted));
            identities.extend(session.map(|session| (*wanted, session)));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(cannot_start)?;
        let termination = watch_termination(&runtime).map_err(cannot_start)?;
        problems.or_ok(Self {
            runtime,
            identities,
            termination,
            transit: settings.peers.transit.clone(),
            revoke_token: settings.peers.revoke_token,
            deadline: Instant::now() + settings.timeout,
            login_handed_on: false,
            issued: Vec::new(),
        })
    }

    /// Sends what only reads, at most [`CONCURRENCY`] at a time.
    pub(crate) fn read(&mut self, requests: &[Request]) -> Answers {
        let reads: Vec<_> = requests
            .iter()
            .filter(|request| !request.mints())
            .cloned()
            .collect();
        self.login_handed_on |= reads.iter().any(|request| request.what == What::Login);
        self.ask(&reads).0
    }

    /// Sends what creates something on the server. Comes after everything else has succeeded.
    ///
    /// When it stays unknown whether a request was carried out, the token is revoked, which takes along whatever was
    /// created, and everything is created anew under a new login.
    pub(crate) fn mint(&mut self, requests: &[Request]) -> Answers {
        let minting: Vec<_> = requests
            .iter()
            .filter(|request| request.mints())
            .cloned()
            .collect();
        for _attempt in 1..MINT_ATTEMPTS {
            let (answers, ambiguous) = self.ask(&minting);
            if !ambiguous || self.token_is_handed_on(requests) || !self.revoke(REVOKE_WITHIN) {
                return answers;
            }
            self.issued.clear();
            logging::warn(format_args!(
                "it is unknown whether a request was carried out; its token is revoked, and it is sent anew after a new login"
            ));
        }
        self.ask(&minting).0
    }

    /// The token that was handed on must not be replaced.
    fn token_is_handed_on(&self, requests: &[Request]) -> bool {
        requests.iter().any(|request| request.what == What::Login)
    }

    /// The program is about to start: what it does not need is revoked.
    pub(crate) fn started(&self) {
        let wanted = match self.revoke_token {
            Some(wanted) => wanted,
            None => self
                .identities
                .iter()
                .any(|(_, session)| session.owns_token()),
        };
        let mut leases = self
            .issued
            .iter()
            .filter_map(|issued| Some((&issued.path, issued.lease.as_ref()?)))
            .peekable();
        if leases.peek().is_none() && wanted && !self.login_handed_on {
            self.revoke(REVOKE_WITHIN);
        }
        for (path, lease) in leases {
            logging::warn(format_args!(
                "{path}: what it issued ends in {} s, and a plain start renews nothing; add --on-change restart, or let \
                 something restart the program before",
                lease.duration.as_secs()
            ));
        }
        self.stop_watching();
    }

    /// Nothing starts: our tokens are revoked, and with them whatever was created under them.
    pub(crate) fn failed(&self) {
        self.revoke(REVOKE_WITHIN);
    }

    /// Whether every token that is ours is revoked now.
    fn revoke(&self, within: Duration) -> bool {
        let revocations = self
            .identities
            .iter()
            .filter(|(_, session)| self.may_revoke(session));
        let all = async {
            futures_util::future::join_all(revocations.map(|(_, session)| session.revoke(within)))
                .await
        };
        let revoked = self.runtime.block_on(all);
        !revoked.is_empty() && revoked.into_iter().all(|revoked| revoked)
    }

    /// A token that was given to us is its giver's to revoke, unless a manifest asks for it.
    fn may_revoke(&self, session: &Session) -> bool {
        session.owns_token() || self.revoke_token == Some(true)
    }

    /// The answers, and whether one failed so that it may have been carried out.
    fn ask(&mut self, requests: &[Request]) -> (Answers, bool) {
        let all = stream::iter(requests)
            .map(|request| self.answer(request))
            .buffered(CONCURRENCY)
            .collect::<Vec<_>>();
        let outcome = self.runtime.block_on(async {
            tokio::select! {
                answers = all => Ok(answers),
                signal = terminated(&self.termination) => Err(signal),
            }
        });
        let outcomes = outcome.unwrap_or_else(|signal| self.end(signal));
        let ambiguous = outcomes
            .iter()
            .any(|outcome| outcome.as_ref().is_err_and(Error::ambiguous));
        let mut answers = Vec::with_capacity(requests.len());
        for (request, outcome) in requests.iter().zip(outcomes) {
            let answer = outcome.map(|(answer, issued)| {
                self.issued.extend(issued);
                answer
            });
            answers.push((
                request.clone(),
                answer.map_err(|error| Refusal::from(&error)),
            ));
        }
        (Answers(answers), ambiguous)
    }

    /// One answer, and what it brought that expires.
    async fn answer(&self, request: &Request) -> Result<(Answer, Option<Issued>), Error> {
        let session = self.session(request.family);
        match &request.what {
            What::Read { path, version } => {
                let reply = session.read(path, *version, self.deadline).await?;
                Ok(keys(request.family, path, reply))
            }
            What::Write { path, arguments } => {
                let reply = session.write(path, arguments, self.deadline).await?;
                Ok(keys(request.family, path, reply))
            }
            What::Login => session
                .token(self.deadline)
                .await
                .map(|token| (Answer::Text(token), None)),
            What::Decrypt(ciphertext) => {
                let transit = self
                    .transit
                    .as_ref()
                    .expect("the plan refuses ciphertexts without a key");
                let page = std::slice::from_ref(ciphertext);
                let texts = session
                    .decrypt(
                        &transit.mount,
                        &transit.key,
                        page,
                        transit.batch_size,
                        self.deadline,
                    )
                    .await?;
                Ok((
                    Answer::Text(texts.into_iter().next().unwrap_or_default()),
                    None,
                ))
            }
        }
    }

    fn session(&self, wanted: Family) -> &Session {
        let found = self.identities.iter().find(|(family, _)| *family == wanted);
        &found
            .expect("a session was made for each family of the plan")
            .1
    }

    /// From here on a signal ends the process at once again; one that came in between is not lost.
    fn stop_watching(&self) {
        envlatch_sys::signals::stop_notifying();
        let mut number = [0];
        if let Ok(1) = self.termination.try_read(&mut number) {
            self.end(number[0]);
        }
    }

    /// Ends this process the way the signal asks, after a short attempt to revoke.
    fn end(&self, signal: u8) -> ! {
        self.revoke(REVOKE_ON_SIGNAL);
        std::process::exit(128 + i32::from(signal))
    }
}

/// A reply as an answer, and what of it expires.
fn keys(family: Family, path: &str, reply: Reply) -> (Answer, Option<Issued>) {
    let expires = reply.lease.is_some() || reply.expiration.is_some();
    let issued = Issued {
        family,
        path: path.to_owned(),
        lease: reply.lease,
        expiration: reply.expiration,
    };
    let answer = Answer::Keys {
        data: reply.data,
        version: reply.version,
    };
    (answer, expires.then_some(issued))
}

fn session(
    settings: &Settings,
    environment: &Environment,
    wanted: Family,
) -> Result<Session, Problems> {
    let lookup = |name: &str| setting(settings, environment, wanted, name);
    let named = |errors: Vec<envlatch_vault::SettingError>| {
        errors
            .into_iter()
            .fold(Problems::default(), |mut problems, error| {
                problems.add(
                    Exit::Config,
                    format!("{}: {}", settings.server.given_as(&error.name), error.text),
                );
                problems
            })
    };
    let mut configuration = from_environment(&lookup).map_err(named)?;
    configuration
        .settings
        .redirect_hosts
        .clone_from(&settings.server.redirect_hosts);
    configuration.settings.report = report;
    let client = Client::new(configuration.settings).map_err(named)?;
    Ok(Session::new(client, configuration.auth))
}

fn report(severity: Severity, message: std::fmt::Arguments<'_>) {
    match severity {
        Severity::Warning => logging::warn(message),
        Severity::Debug => logging::debug(message),
    }
}

/// A setting of the server by its variable's name: options first, then the variables of the family that is meant.
fn setting(
    settings: &Settings,
    environment: &Environment,
    wanted: Family,
    name: &str,
) -> Option<OsString> {
    let Some(suffix) = name
        .strip_prefix("VAULT_")
        .or_else(|| name.strip_prefix("BAO_"))
    else {
        return environment.get(name).map(OsStr::to_owned);
    };
    if let Some(given) = settings.server.get(suffix) {
        return given;
    }
    let both = name.starts_with("BAO_") && environment.get(&format!("VAULT_{suffix}")).is_some();
    if both && wanted == Family::Vault {
        return None;
    }
    environment.get(name).map(OsStr::to_owned)
}

fn cannot_start(error: std::io::Error) -> Problems {
    Problem::new(
        Exit::Bug,
        format!("cannot prepare for the network: {error}"),
    )
    .into()
}

/// From now on a signal that asks to end is a byte in a pipe, so that the token can be revoked first.
fn watch_termination(runtime: &Runtime) -> std::io::Result<Receiver> {
    let (reader, writer) = std::io::pipe()?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let _context = runtime.enter();
    let watched = Receiver::from_owned_fd(reader.into())?;
    envlatch_sys::signals::notify_on_termination(writer.into());
    Ok(watched)
}

/// Waits for a signal's number.
async fn terminated(pipe: &Receiver) -> u8 {
    loop {
        let mut number = [0];
        match pipe
            .readable()
            .await
            .and_then(|()| pipe.try_read(&mut number))
        {
            Ok(1) => return number[0],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // The write end is never closed; should the pipe fail all the same, no signal is waited for any more.
            _ => return std::future::pending().await,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_watching();
    }
}

// === impl Refusal ===

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let class = error.class();
        let exit = match class {
            Class::Denied => Exit::Denied,
            Class::NotFound => Exit::Missing,
            Class::Malformed | Class::Rejected => Exit::Data,
            Class::Setting => Exit::Config,
            _ => Exit::Unavailable,
        };
        Self {
            exit,
            text: error.to_string(),
            absent: class == Class::NotFound,
        }
    }
}
