//! How much one node asks of one store: so many requests in a second and at the same time, and first mounts before refreshes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envlatch_api::RequestLimit;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

/// The longest pause that a server may ask for: it is asked again then, whatever it said.
const LONGEST: Duration = Duration::from_secs(60);
/// How much earlier first mounts ask after a pause.
const LEAD: Duration = Duration::from_secs(1);

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A pod that cannot start without it
    FirstMount,
    /// Nobody right now
    Refresh,
}

/// A token bucket and the requests under way.
pub(crate) struct Limit {
    per_second: f64,
    burst: f64,
    bucket: Mutex<Bucket>,
    all: Semaphore,
    /// Refreshes get half of the places, so that a first mount finds one
    refreshes: Semaphore,
}

struct Bucket {
    level: f64,
    filled: Instant,
    /// Nothing is asked until then, because the server asked for that
    paused: Instant,
}

/// A place among the requests under way.
pub(crate) struct Place<'a> {
    _all: SemaphorePermit<'a>,
    _refreshes: Option<SemaphorePermit<'a>>,
}

// === impl Limit ===

impl Limit {
    pub(crate) fn new(limit: &RequestLimit) -> Self {
        let concurrent = usize::try_from(limit.concurrent)
            .unwrap_or(usize::MAX)
            .clamp(1, 1024);
        let now = Instant::now();
        Self {
            per_second: limit.per_second.max(1).into(),
            burst: limit.burst.max(1).into(),
            bucket: Mutex::new(Bucket {
                level: limit.burst.max(1).into(),
                filled: now,
                paused: now - LEAD,
            }),
            all: Semaphore::new(concurrent),
            refreshes: Semaphore::new(concurrent.div_ceil(2)),
        }
    }

    /// Waits until a request may be made.
    pub(crate) async fn enter(&self, urgency: Urgency) -> Place<'_> {
        const NEVER_CLOSED: &str = "the semaphores are never closed";
        let refreshes = match urgency {
            Urgency::FirstMount => None,
            Urgency::Refresh => Some(self.refreshes.acquire().await.expect(NEVER_CLOSED)),
        };
        while let Some(then) = self.take(urgency) {
            sleep_until(then).await;
        }
        Place {
            _all: self.all.acquire().await.expect(NEVER_CLOSED),
            _refreshes: refreshes,
        }
    }

    /// The server is left alone for so long; first mounts are the first to ask again.
    pub(crate) fn pause(&self, pause: Duration) {
        let mut bucket = self.bucket();
        bucket.paused = bucket.paused.max(Instant::now() + pause.min(LONGEST));
    }

    /// How long the server is left alone still.
    pub(crate) fn paused(&self) -> Duration {
        let paused = self.bucket().paused;
        paused.saturating_duration_since(Instant::now())
    }

    /// Takes one request out of the bucket, or says when to try again. Refreshes leave a quarter of it to first mounts.
    fn take(&self, urgency: Urgency) -> Option<Instant> {
        let now = Instant::now();
        let mut bucket = self.bucket();
        let gained = now.duration_since(bucket.filled).as_secs_f64() * self.per_second;
        bucket.level = (bucket.level + gained).min(self.burst);
        bucket.filled = now;
        let (needed, opens) = match urgency {
            Urgency::FirstMount => (1.0, bucket.paused),
            Urgency::Refresh => (
                (1.0 + self.burst / 4.0).min(self.burst),
                bucket.paused + LEAD,
            ),
        };
        if opens > now {
            return Some(opens);
        }
        if bucket.level < needed {
            return Some(now + Duration::from_secs_f64((needed - bucket.level) / self.per_second));
        }
        bucket.level -= 1.0;
        None
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // Numbers are replaced one by one, so a panic elsewhere cannot have broken them.
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32, burst: u32, concurrent: u32) -> Limit {
        Limit::new(&RequestLimit {
            per_second,
            burst,
            concurrent,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_average_is_kept_after_the_burst() {
        let limit = limit(10, 5, 100);
        let start = Instant::now();
        for _ in 0..25 {
            drop(limit.enter(Urgency::FirstMount).await);
        }
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(1990) && took < Duration::from_millis(2200),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn refreshes_leave_room_for_first_mounts() {
        let limit = limit(1, 8, 100);
        for _ in 0..6 {
            assert_eq!(limit.take(Urgency::Refresh), None);
        }
        assert!(limit.take(Urgency::Refresh).is_some());
        assert_eq!(limit.take(Urgency::FirstMount), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_mount_finds_a_place_while_refreshes_are_under_way() {
        let limit = limit(1000, 1000, 2);
        let _under_way = limit.enter(Urgency::Refresh).await;
        let second =
            tokio::time::timeout(Duration::from_secs(5), limit.enter(Urgency::Refresh)).await;
        assert!(second.is_err());
        limit.enter(Urgency::FirstMount).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_less_is_left_alone_and_first_mounts_come_first() {
        let limit = limit(1000, 1000, 2);
        limit.pause(Duration::from_secs(7));
        limit.pause(Duration::from_secs(2));
        let start = Instant::now();
        limit.enter(Urgency::FirstMount).await;
        assert_eq!(start.elapsed().as_secs(), 7);
        limit.enter(Urgency::Refresh).await;
        assert_eq!(start.elapsed().as_secs(), 8);
        limit.pause(Duration::MAX);
        limit.enter(Urgency::FirstMount).await;
        assert_eq!(start.elapsed().as_secs(), 68);
    }
}
