//! Requests until they succeed, fail for good, or time is up: failover, backoff, and what each status means.

mod outcome;
mod pace;

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::Value;
use crate::address::Address;
use crate::call::Call;
use crate::error::{Class, Error, Failure, Next};
use crate::report::{Report, Severity};
use crate::resolver::Resolver;
use crate::settings::{SettingError, Settings};
use crate::transport::Transport;
use pace::Pace;

/// How often an operation whose server fails with 500 is tried: a standby in an election answers so, but more often the
/// request itself cannot succeed.
const MAX_ERRORS: u32 = 5;

/// The servers, and the connections to them. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    transport: Transport,
    request_timeout: Duration,
    max_retries: Option<u32>,
    report: Report,
    /// The server that answered last
    preferred: AtomicUsize,
    /// What was warned about since the last success
    warned: Mutex<Option<String>>,
}

/// One operation under way.
struct Attempts<'a> {
    client: &'a Inner,
    call: &'a Call,
    deadline: Instant,
    pace: Pace,
    made: u32,
    errors: u32,
    /// What failed since the last pause
    round: Vec<(usize, Failure)>,
    /// What failed before it, since the pause before
    earlier: Vec<(usize, Failure)>,
}

// === impl Client ===

impl Client {
    /// Makes a client; reads the certificate files that `settings` name, and nothing else. No connection is made.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, Vec<SettingError>> {
        Self::with_resolver(&settings, Arc::new(Resolver::system()))
    }

    pub(crate) fn with_resolver(
        settings: &Settings,
        resolver: Arc<Resolver>,
    ) -> Result<Self, Vec<SettingError>> {
        let transport = Transport::new(settings, resolver)?;
        for address in &settings.addresses {
            if !address.is_tls() && !address.is_local() {
                let text = "secrets and tokens travel to this address unencrypted; use https";
                (settings.report)(Severity::Warning, format_args!("{address}: {text}"));
            }
        }
        if !settings.tls.verify && settings.addresses.iter().any(Address::is_tls) {
            let text = "VAULT_SKIP_VERIFY: the server's certificate is not verified, so anyone in between can read every secret";
            (settings.report)(Severity::Warning, format_args!("{text}"));
        }
        Ok(Self(Arc::new(Inner {
            transport,
            request_timeout: settings.request_timeout,
            max_retries: settings.max_retries,
            report: settings.report,
            preferred: AtomicUsize::new(0),
            warned: Mutex::new(None),
        })))
    }

    pub(crate) fn report(&self, severity: Severity, message: fmt::Arguments<'_>) {
        (self.0.report)(severity, message);
    }

    /// Sends `call` until it succeeds, fails for good, or `deadline` passes. The JSON object of the reply, or nothing when it
    /// has no body.
    pub(crate) async fn run(&self, call: &Call, deadline: Instant) -> Result<Option<Value>, Error> {
        call.check_path()
            .map_err(|failure| Error::before(call, failure))?;
        let attempts = Attempts {
            client: &self.0,
            call,
            deadline,
            pace: Pace::default(),
            made: 0,
            errors: 0,
            round: Vec::new(),
            earlier: Vec::new(),
        };
        attempts.run().await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = &self.0.transport;
        f.debug_list()
            .entries((0..transport.len()).map(|index| transport.address(index)))
            .finish()
    }
}

// === impl Inner ===

impl Inner {
    fn succeeded(&self, index: usize) {
        self.preferred.store(index, Ordering::Relaxed);
        self.warned().take();
    }

    fn warned(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // A text is replaced as a whole, so a panic elsewhere cannot have broken it.
        self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns once about a trouble; its repetitions are for debugging.
    fn will_repeat(&self, index: usize, failure: &Failure, pause: Duration) {
        let address = self.transport.address(index);
        let cause = &failure.cause;
        let mut warned = self.warned();
        let known = warned.as_ref() == Some(cause);
        let severity = if known {
            Severity::Debug
        } else {
            Severity::Warning
        };
        (self.report)(
            severity,
            format_args!(
                "{address}: {cause}; trying again in {} ms",
                pause.as_millis()
            ),
        );
        if !known {
            *warned = Some(cause.clone());
        }
    }
}

// === impl Attempts ===

impl Attempts<'_> {
    async fn run(mut self) -> Result<Option<Value>, Error> {
        let servers = self.client.transport.len();
        let mut index = self.client.preferred.load(Ordering::Relaxed);
        loop {
            let failure = match self.attempt(index, servers).await {
                Ok(body) => {
                    self.client.succeeded(index);
                    return Ok(body);
                }
                Err(failure) => failure,
            };
            self.made += 1;
            let next = self.judge(&failure);
            self.round.push((index, failure));
            if next == Next::GiveUp {
                return Err(self.error());
            }
            index = (index + 1) % servers;
            if self.round.len() < servers {
                continue;
            }
            if !self.wait().await {
                return Err(self.error());
            }
            self.earlier = mem::take(&mut self.round);
        }
    }

    /// One request to one server. With several servers left in this round, none may use up the time of the others. What is not
    /// repeated gets all of it: given up earlier, it would leave a credential that nobody uses.
    async fn attempt(&self, index: usize, servers: usize) -> Result<Option<Value>, Failure> {
        let left = u32::try_from(servers - self.round.len()).unwrap_or(u32::MAX);
        let budget = self.deadline.saturating_duration_since(Instant::now()) / left;
        if budget.is_zero() {
            return Err(Failure::unreachable("no time was left to ask", false));
        }
        let most = if self.call.operation.is_repeatable() {
            budget.min(self.client.request_timeout)
        } else {
            budget
        };
        match timeout(most, self.client.transport.exchange(index, self.call)).await {
            Ok(Ok(answer)) => outcome::of(&answer, self.call),
            Ok(Err(failure)) => Err(failure),
            Err(_elapsed) => Err(Failure::unreachable("no reply in time", true)),
        }
    }

    fn judge(&mut self, failure: &Failure) -> Next {
        if failure.executed && !self.call.operation.is_repeatable() {
            return Next::GiveUp;
        }
        if failure.status == Some(500) {
            self.errors += 1;
            if self.errors == MAX_ERRORS {
                return Next::GiveUp;
            }
        }
        // A certificate that is not trusted stays so, but another server may have a better one.
        let stays = |failure: &Failure| failure.next == Next::OtherServer;
        let last = self.round.len() + 1 == self.client.transport.len();
        match failure.next {
            Next::OtherServer if last && self.round.iter().all(|(_, earlier)| stays(earlier)) => {
                Next::GiveUp
            }
            next => next,
        }
    }

    /// Waits before the next round; `false` when there is none.
    async fn wait(&mut self) -> bool {
        if self
            .client
            .max_retries
            .is_some_and(|most| self.pace.rounds() >= most)
        {
            return false;
        }
        let demanded = self
            .round
            .iter()
            .filter_map(|(_, failure)| failure.retry_after)
            .min();
        let pause = self.pace.next().max(demanded.unwrap_or_default());
        let Some((index, failure)) = self.round.last() else {
            return false;
        };
        if Instant::now()
            .checked_add(pause)
            .is_none_or(|then| then >= self.deadline)
        {
            return false;
        }
        self.client.will_repeat(*index, failure, pause);
        sleep(pause).await;
        true
    }

    fn error(mut self) -> Error {
        let transport = &self.client.transport;
        let (index, failure) = self.decisive();
        let elsewhere = self
            .round
            .iter()
            .map(|(index, failure)| format!("{}: {}", transport.address(*index), failure.cause));
        let elsewhere = elsewhere.collect();
        Error::after(
            self.call,
            transport.address(index).to_string(),
            failure,
            self.made,
            elsewhere,
        )
    }

    /// Takes out the failure that the error is about: the last one. But a request that the end of the time cut off tells
    /// nothing about its server; what was answered before it does.
    fn decisive(&mut self) -> (usize, Failure) {
        let last = self
            .round
            .pop()
            .expect("only a failed attempt ends without a reply");
        let cut_off = last.1.class == Class::Unreachable && Instant::now() >= self.deadline;
        let matters = last.1.executed && !self.call.operation.is_repeatable();
        if !cut_off || matters {
            return last;
        }
        let answered = [&mut self.round, &mut self.earlier]
            .into_iter()
            .find_map(|round| {
                let at = round
                    .iter()
                    .rposition(|(_, failure)| failure.status.is_some())?;
                Some(round.remove(at))
            });
        match answered {
            Some(answered) => {
                self.round.push(last);
                answered
            }
            None => last,
        }
    }
}
