//! One operation per volume at a time, and none that dies with a cancelled call.
//!
//! Kubelet gives a call two minutes and then calls again. Work that a call began goes on without it; the next call with
//! the same arguments joins it. An unpublish interrupts it: the pod is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
use tonic::Status;

use crate::record::Arguments;

type Outcome = Shared<BoxFuture<'static, Result<(), Status>>>;

/// What runs for which volume.
#[derive(Default)]
pub(crate) struct Tasks {
    running: Mutex<HashMap<String, Running>>,
    locks: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
}

struct Running {
    arguments: Arguments,
    interrupt: Arc<Notify>,
    outcome: Outcome,
}

// === impl Tasks ===

impl Tasks {
    /// Joins the publish of `volume_id` that runs, or starts `work`, which gets what tells it to give up.
    ///
    /// # Errors
    /// One runs with other arguments, or it failed.
    pub(crate) async fn publish<F>(
        self: &Arc<Self>,
        volume_id: &str,
        arguments: &Arguments,
        work: impl FnOnce(Arc<Notify>) -> F,
    ) -> Result<(), Status>
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.join_or_start(volume_id, arguments, work)?.await
    }

    fn join_or_start<F>(
        self: &Arc<Self>,
        volume_id: &str,
        arguments: &Arguments,
        work: impl FnOnce(Arc<Notify>) -> F,
    ) -> Result<Outcome, Status>
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        // Held until the new task is entered, so that it cannot end before.
        let mut running = guard(&self.running);
        match running.get(volume_id) {
            Some(running) if running.arguments == *arguments => return Ok(running.outcome.clone()),
            Some(_) => {
                return Err(Status::aborted(
                    "OperationPending: the volume is being published with other arguments",
                ));
            }
            None => {}
        }
        let interrupt = Arc::new(Notify::new());
        let ended = Ended(self.clone(), volume_id.to_owned());
        let work = work(interrupt.clone());
        let task = tokio::spawn(async move {
            let _ended = ended;
            work.await
        });
        let outcome = async move {
            task.await.unwrap_or_else(|_panicked| {
                Err(Status::internal(
                    "Bug: the publish ended unexpectedly; see the plugin's log",
                ))
            })
        };
        let outcome = outcome.boxed().shared();
        let entry = Running {
            arguments: arguments.clone(),
            interrupt,
            outcome: outcome.clone(),
        };
        running.insert(volume_id.to_owned(), entry);
        Ok(outcome)
    }

    /// Tells the publish of `volume_id`, if one runs, to give up waiting for files.
    pub(crate) fn interrupt(&self, volume_id: &str) {
        if let Some(running) = guard(&self.running).get(volume_id) {
            running.interrupt.notify_one();
        }
    }

    /// Waits until nothing else is done with the volume.
    pub(crate) async fn lock(&self, volume_id: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = guard(&self.locks);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(volume_id).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(AsyncMutex::new(()));
                    locks.insert(volume_id.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

/// Takes the task out of the table when it ends, however it ends.
struct Ended(Arc<Tasks>, String);

impl Drop for Ended {
    fn drop(&mut self) {
        guard(&self.0.running).remove(&self.1);
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
