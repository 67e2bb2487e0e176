//! Requests a second, shared by all sessions of a run.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets a second's worth of requests through at once and spaces those beyond it.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When the next request would be due if all came evenly.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// 0 requests a second means no bound.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        Self { interval, due: Mutex::new(None) }
    }

    /// Takes the next place; how long to wait for it.
    pub(super) fn take(&self, now: Instant) -> Duration {
        if self.interval.is_zero() {
            return Duration::ZERO;
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let at = due.map_or(now, |due| due.max(now));
        *due = Some(at + self.interval);
        // One interval is the request's own; the rest of a second may be run ahead of.
        (at + self.interval).saturating_duration_since(now).saturating_sub(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_passes_at_once_then_evenly() {
        let pace = Pace::new(10);
        let now = Instant::now();
        let waits: Vec<_> = (0..13).map(|_| pace.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 300]);
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.take(later), Duration::ZERO);
        assert_eq!(Pace::new(0).take(now), Duration::ZERO);
    }
}
