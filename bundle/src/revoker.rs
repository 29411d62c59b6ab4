//! The end of tokens: a bounded queue, because nobody waits for it and a server may be down for long.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use envlatch_vault::Session;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::sleep;

use crate::server::Counters;

/// How many tokens may wait. What does not fit lives until it expires.
const QUEUE: usize = 1024;
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How many are under way at once.
const AT_ONCE: usize = 8;
/// How often it is tried.
const ATTEMPTS: u32 = 5;
/// How long to wait between attempts.
const PAUSE: Duration = Duration::from_secs(20);
/// How long a credential that was replaced goes on working, so that programs have read the new one by then.
pub(crate) const OVERLAP: Duration = Duration::from_secs(300);

/// Takes sessions whose token is to be revoked, and with it every lease that it was issued.
#[derive(Clone)]
pub(crate) struct Revoker(Sender<Arc<Session>>);

// === impl Revoker ===

impl Revoker {
    /// Starts the work; it ends when every clone of the revoker is gone and the queue is empty.
    pub(crate) fn start(counters: Arc<Counters>) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        tokio::spawn(work(queue, counters));
        Self(sender)
    }

    pub(crate) fn revoke(&self, session: Arc<Session>) {
        // A full queue means that the server has been away for long; the tokens end by themselves.
        drop(self.0.try_send(session));
    }

    pub(crate) fn revoke_later(&self, session: Arc<Session>) {
        let revoker = self.clone();
        tokio::spawn(async move {
            sleep(OVERLAP).await;
            revoker.revoke(session);
        });
    }
}

async fn work(queue: Receiver<Arc<Session>>, counters: Arc<Counters>) {
    let sessions = stream::unfold(queue, |mut queue| async {
        Some((queue.recv().await?, queue))
    });
    let end = |session| async { end(session, &counters).await };
    sessions.for_each_concurrent(AT_ONCE, end).await;
}

async fn end(session: Arc<Session>, counters: &Counters) {
    for _ in 0..ATTEMPTS {
        let Some(held) = session.held() else { return };
        if session.revoke(ATTEMPT).await {
            counters.revocations.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // A session forgets the token whose revocation it tried.
        session.adopt(held.secret);
        sleep(PAUSE).await;
    }
}
