//! Where events go, and how sinks compose.

use crate::event::Event;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Receives events from any number of threads. Never blocks; counts what it drops.
///
/// This is the lossy edge of a live engine: what must not be lost goes through acknowledged
/// batches instead.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn accept(&self, event: Event);
}

/// Drops every event, silently and on purpose.
#[derive(Clone, Copy, Debug, Default)]
#[allow(
    clippy::exhaustive_structs,
    reason = "it will never hold anything; hosts write it as a value"
)]
pub struct Discard;

impl Sink for Discard {
    fn accept(&self, _event: Event) {}
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn accept(&self, event: Event) {
        (**self).accept(event);
    }
}

/// A bounded queue: the last resort of most hosts, and the joint between engines.
///
/// ```
/// use smesec_core::event::{Event, EventId, Source};
/// use smesec_core::sink::{Queue, Sink};
/// let queue = Queue::new(1);
/// for n in 0..3 {
///     queue.accept(Event::new(EventId::new(1, n), Source::Host, Default::default()));
/// }
/// assert_eq!(queue.drain().len(), 1);
/// assert_eq!(queue.dropped(), 2);
/// ```
#[derive(Debug)]
pub struct Queue {
    events: Mutex<VecDeque<Event>>,
    capacity: usize,
    dropped: AtomicU64,
}

impl Queue {
    /// A queue that holds `capacity` events; later ones are dropped and counted.
    pub const fn new(capacity: usize) -> Self {
        Self { events: Mutex::new(VecDeque::new()), capacity, dropped: AtomicU64::new(0) }
    }

    /// Takes all that wait.
    pub fn drain(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Events dropped so far because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Sink for Queue {
    fn accept(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() < self.capacity {
            events.push_back(event);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Hands every event to each of several sinks, in order.
#[derive(Default)]
pub struct Tee {
    sinks: Vec<Arc<dyn Sink>>,
}

impl std::fmt::Debug for Tee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tee").field("sinks", &self.sinks.len()).finish()
    }
}

impl Tee {
    /// A tee over these sinks.
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Self { sinks }
    }
}

impl Sink for Tee {
    fn accept(&self, event: Event) {
        if let Some((last, others)) = self.sinks.split_last() {
            for sink in others {
                sink.accept(event.clone());
            }
            last.accept(event);
        }
    }
}
