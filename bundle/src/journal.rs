//! What is remembered of a volume beyond the life of this process. The node half keeps the bytes on a tmpfs that only root can
//! read; they hold tokens and issued credentials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, HEXLOWER};
use envlatch_api::VaultStore;
use envlatch_vault::{Reply, Secret, Value};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

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
    /// `None` when the token never ends
    pub(crate) term: Option<TermState>,
    kept: Vec<KeptState>,
}

/// How long something lives.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct TermState {
    /// In seconds since 1970
    pub(crate) ends: u64,
    /// What it was issued for, in seconds
    pub(crate) whole: u64,
    /// Whether it cannot be renewed any more
    pub(crate) last: bool,
}

/// A login with who it is to the server, for whoever remembers nothing else.
#[derive(Serialize, Deserialize)]
pub(crate) struct LoginState {
    pub(crate) identity: String,
    pub(crate) private: PrivateState,
}

#[derive(Clone, Serialize, Deserialize)]
struct KeptState {
    path: String,
    query: Vec<(String, String)>,
    arguments: Option<String>,
    response: String,
    term: TermState,
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
        let whole = bytes(self);
        if whole.len() <= MAX_SIZE {
            return whole;
        }
        bytes(&Self {
            private: self.private.as_ref().map(PrivateState::without_kept),
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

// === impl LoginState ===

impl LoginState {
    pub(crate) fn of(identity: &str, private: &Private) -> Option<Self> {
        Some(Self {
            identity: identity.to_owned(),
            private: PrivateState::of(private)?,
        })
    }

    /// The bytes to journal. With credentials that do not fit there is nothing to go on with, but the token can be revoked.
    pub(crate) fn to_bytes(&self) -> Secret {
        let whole = bytes(self);
        if whole.len() <= MAX_SIZE {
            return whole;
        }
        bytes(&Self {
            identity: self.identity.clone(),
            private: self.private.without_kept(),
        })
    }

    pub(crate) fn of_bytes(bytes: &Secret) -> Option<Self> {
        serde_json::from_slice(bytes.expose()).ok()
    }
}

// === impl PrivateState ===

impl PrivateState {
    fn without_kept(&self) -> Self {
        Self {
            kept: Vec::new(),
            ..self.clone()
        }
    }

    fn of(private: &Private) -> Option<Self> {
        let kept = private.all_kept().into_iter().filter_map(|kept| {
            Some(KeptState {
                term: kept.term.state(),
                path: kept.ask.path,
                query: kept.ask.query,
                arguments: kept
                    .ask
                    .arguments
                    .as_ref()
                    .map(Value::to_json)
                    .and_then(|json| text(&json)),
                response: text(&kept.answer.whole.to_json())?,
            })
        });
        Some(Self {
            token: text(&private.session.held()?.secret)?,
            term: private.token_term(),
            kept: kept.collect(),
        })
    }

    pub(crate) fn token(&self) -> Secret {
        self.token.as_str().into()
    }

    /// What was issued. What cannot be read any more is issued anew.
    pub(crate) fn kept(&self) -> Vec<(Ask, Answer, TermState)> {
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
            Some((ask, Answer { whole, reply }, kept.term))
        });
        kept.collect()
    }
}

fn bytes(state: &impl Serialize) -> Secret {
    Secret::new(serde_json::to_vec(state).unwrap_or_default())
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
