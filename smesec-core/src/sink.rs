//! Where events go, and how sinks compose.

use crate::detector::Detector;
use crate::event::Event;
use crate::time::Timestamp;
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

/// Puts a detector of events (a correlator) behind a sink: `accept` only enqueues, the host calls
/// [`DetectorSink::drain`] where and when it likes.
///
/// Events that the detector itself raises go to the sink handed to `drain`, their `generation`
/// one higher; events of a generation above [`DetectorSink::MAX_GENERATION`] are dropped and counted,
/// so two correlators that feed each other come to rest.
#[derive(Debug)]
pub struct DetectorSink<D> {
    queue: Queue,
    detector: Mutex<D>,
    looped: AtomicU64,
}

impl<D: Detector<Event>> DetectorSink<D> {
    /// Alarms on alarms on alarms are the deepest that real rule sets use (three levels of
    /// correlation); more is a loop.
    pub const MAX_GENERATION: u8 = 3;

    /// A detector behind a queue of `capacity` events.
    pub const fn new(detector: D, capacity: usize) -> Self {
        Self {
            queue: Queue::new(capacity),
            detector: Mutex::new(detector),
            looped: AtomicU64::new(0),
        }
    }

    /// Lets the detector see what waits, then tells it the time.
    pub fn drain(&self, now: Timestamp, sink: &dyn Sink) {
        let raised = NextGeneration { sink };
        let mut detector = self.detector.lock().unwrap_or_else(PoisonError::into_inner);
        for event in self.queue.drain() {
            let seen = SameGeneration { generation: event.generation, next: &raised };
            // The event has happened; there is nobody left to obey a verdict on it.
            let _verdict = detector.observe(&event, &seen);
        }
        detector.advance(now, &raised);
    }

    /// Events dropped: queue full, and loops cut.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped().saturating_add(self.looped.load(Ordering::Relaxed))
    }
}

impl<D: Detector<Event>> Sink for DetectorSink<D> {
    fn accept(&self, event: Event) {
        if event.generation > Self::MAX_GENERATION {
            self.looped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.queue.accept(event);
        }
    }
}

struct NextGeneration<'a> {
    sink: &'a dyn Sink,
}

impl Sink for NextGeneration<'_> {
    fn accept(&self, mut event: Event) {
        event.generation = event.generation.saturating_add(1);
        self.sink.accept(event);
    }
}

/// What an event raises is at least of that event's generation.
struct SameGeneration<'a> {
    generation: u8,
    next: &'a NextGeneration<'a>,
}

impl Sink for SameGeneration<'_> {
    fn accept(&self, mut event: Event) {
        event.generation = event.generation.max(self.generation);
        self.next.accept(event);
    }
}
