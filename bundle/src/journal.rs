//! What is remembered of a volume beyond the life of this process. The node half keeps the bytes on a tmpfs that only root can
//! read; they hold tokens and issued credentials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, HEXLOWER};
use envlatch_api::VaultStore;
use envlatch_vault::{Reply, Secret, Value};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::class::Class;
use crate::plan::Ask;
use crate::private::Private;
use crate::render::File;
use crate::server::Answer;

/// How many bytes may be journalled.
const MAX_SIZE: usize = 64 * 1024;

/// A volume as it was filled last.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// Its class, for when the API server is away
    pub(crate) class: Class,
    /// The store that the class resolved to
    pub(crate) store: Box<VaultStore>,
    /// When the server was asked last, in seconds since 1970
    pub(crate) checked: u64,
    /// The key of the digests
    key: String,
    /// What the files were
    pub(crate) digest: String,
    /// Files and their versions
    pub(crate) versions: Vec<(String, String)>,
    shared: Option<String>,
    pub(crate) private: Option<PrivateState>,
}

/// A login of the volume alone.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PrivateState {
    token: String,
    /// In seconds since 1970
    ends: Option<u64>,
    kept: Vec<KeptState>,
}

#[derive(Clone, Serialize, Deserialize)]
struct KeptState {
    path: String,
    query: Vec<(String, String)>,
    arguments: Option<String>,
    response: String,
    /// In seconds since 1970, unless it was renewed since
    ends: u64,
}

// === impl State ===

impl State {
    /// A volume that was filled just now.
    pub(crate) fn new(
        class: Class,
        store: VaultStore,
        files: &[File],
        previous: Option<&Self>,
        shared: Option<Secret>,
        private: Option<&Private>,
    ) -> Self {
        let key = previous.map_or_else(fresh_key, |previous| previous.key.clone());
        Self {
            digest: digest(&key, files),
            versions: files
                .iter()
                .map(|file| (file.name.clone(), version(&key, file)))
                .collect(),
            class,
            store: Box::new(store),
            checked: now(),
            key,
            shared: shared.and_then(|token| text(&token)),
            private: private.and_then(PrivateState::of),
        }
    }

    /// Whether `files` are those that were written.
    pub(crate) fn is_of(&self, files: &[File]) -> bool {
        digest(&self.key, files) == self.digest
    }

    /// The bytes to journal. Credentials that do not fit are left out: they are issued anew after a restart.
    pub(crate) fn to_bytes(&self) -> Secret {
        let bytes = |state: &Self| Secret::new(serde_json::to_vec(state).unwrap_or_default());
        let whole = bytes(self);
        if whole.len() <= MAX_SIZE {
            return whole;
        }
        let private = self.private.as_ref().map(|private| PrivateState {
            kept: Vec::new(),
            ..private.clone()
        });
        bytes(&Self {
            private,
            ..self.clone()
        })
    }

    /// What an earlier process journalled; `None` when that is not to be read.
    pub(crate) fn of_bytes(bytes: &Secret) -> Option<Self> {
        serde_json::from_slice(bytes.expose()).ok()
    }

    /// How long ago the server was asked; nothing when the clock went back.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_secs(now().saturating_sub(self.checked))
    }

    pub(crate) fn private_token(&self) -> Option<Secret> {
        self.private.as_ref().map(PrivateState::token)
    }

    pub(crate) fn shared_token(&self) -> Option<Secret> {
        self.shared.as_deref().map(Secret::from)
    }
}

// === impl PrivateState ===

impl PrivateState {
    fn of(private: &Private) -> Option<Self> {
        let kept = private.all_kept().into_iter().filter_map(|kept| {
            Some(KeptState {
                path: kept.ask.path,
                query: kept.ask.query,
                arguments: kept
                    .ask
                    .arguments
                    .as_ref()
                    .map(Value::to_json)
                    .and_then(|json| text(&json)),
                response: text(&kept.answer.whole.to_json())?,
                ends: now() + left(kept.term.ends).as_secs(),
            })
        });
        Some(Self {
            token: text(&private.session.held()?.secret)?,
            ends: private
                .token_ends()
                .map(|ends| now() + left(ends).as_secs()),
            kept: kept.collect(),
        })
    }

    pub(crate) fn token(&self) -> Secret {
        self.token.as_str().into()
    }

    /// How long the token lives from now on.
    pub(crate) fn lives(&self) -> Option<Duration> {
        self.ends.map(until)
    }

    /// What was issued, and how long it lives from now on. What cannot be read any more is issued anew.
    pub(crate) fn kept(&self) -> Vec<(Ask, Answer, Duration)> {
        let kept = self.kept.iter().filter_map(|kept| {
            let whole = Value::parse(kept.response.as_bytes()).ok()?;
            let reply = Reply::of_response(&kept.path, whole.clone())?;
            let arguments = kept
                .arguments
                .as_ref()
                .map(|json| Value::parse(json.as_bytes()));
            let ask = Ask {
                path: kept.path.clone(),
                query: kept.query.clone(),
                arguments: arguments.transpose().ok()?,
            };
            Some((ask, Answer { whole, reply }, until(kept.ends)))
        });
        kept.collect()
    }
}

/// Without a key, a short secret could be guessed from its digest, which others can see.
fn fresh_key() -> String {
    let mut key = [0; 32];
    let filled = SystemRandom::new().fill(&mut key);
    filled.expect("the kernel's random numbers cannot fail once it has started");
    BASE64.encode(&key)
}

/// A keyed digest of names, modes and contents in their order.
fn digest(key: &str, files: &[File]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    for file in files {
        for part in [
            file.name.as_bytes(),
            &file.mode.unwrap_or(u32::MAX).to_be_bytes(),
            file.bytes.expose(),
        ] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
    }
    HEXLOWER.encode(context.sign().as_ref())
}

/// What others may see of a file's content: it changes when the content does.
fn version(key: &str, file: &File) -> String {
    match file.version {
        Some(version) => version.to_string(),
        None => digest(key, std::slice::from_ref(file)),
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// How long it is until so many seconds after 1970.
pub(crate) fn until(ends: u64) -> Duration {
    Duration::from_secs(ends.saturating_sub(now()))
}

pub(crate) fn text(secret: &Secret) -> Option<String> {
    secret.expose_str().map(str::to_owned)
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
