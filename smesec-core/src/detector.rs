//! Detectors: watch a stream of items and report what they recognise; and detectors of events behind a sink.

use crate::event::Event;
use crate::sink::{Queue, Sink};
use crate::time::Timestamp;
use crate::verdict::Verdict;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Watches a stream: packets, log records, events.
///
/// Time is told, never read: a detector that counts windows or time-outs learns of time through
/// the items and through [`Detector::advance`].
///
/// ```
/// use smesec_core::detector::Detector;
/// use smesec_core::event::{Event, EventId, Source};
/// use smesec_core::sink::{Queue, Sink};
/// use smesec_core::time::Timestamp;
/// use smesec_core::verdict::Verdict;
///
/// /// Counts lines that say `denied`.
/// struct Denials { seen: u64 }
/// impl Detector<str> for Denials {
///     fn observe(&mut self, line: &str, sink: &dyn Sink) -> Verdict {
///         if line.contains("denied") {
///             self.seen += 1;
///             sink.accept(Event::new(EventId::new(0, self.seen), Source::Host, Timestamp::default()));
///         }
///         Verdict::PASS
///     }
///     fn advance(&mut self, _now: Timestamp, _sink: &dyn Sink) {}
/// }
/// let queue = Queue::new(10);
/// let mut detector = Denials { seen: 0 };
/// let _ = detector.observe("access denied", &queue);
/// assert_eq!(queue.drain().len(), 1);
/// ```
pub trait Detector<Item: ?Sized>: Send {
    /// Looks at one item. Events go to `sink`; the verdict is for hosts that can still act.
    fn observe(&mut self, item: &Item, sink: &dyn Sink) -> Verdict;

    /// Tells the time, so that windows close and absences are noticed without further items.
    fn advance(&mut self, now: Timestamp, sink: &dyn Sink);
}

/// Puts a detector of events (a correlator) behind a sink: `accept` only enqueues, the host calls
/// [`DetectorSink::drain`] where and when it likes.
///
/// Events that the detector itself raises go to the sink handed to `drain`, their `generation`
/// one higher; events of a generation above [`DetectorSink::MAX_GENERATION`] are dropped and counted,
/// so two correlators that feed each other come to rest.
///
/// ```
/// use smesec_core::detector::{Detector, DetectorSink};
/// use smesec_core::event::{Event, EventId, Source};
/// use smesec_core::sink::{Queue, Sink};
/// use smesec_core::time::Timestamp;
/// use smesec_core::verdict::Verdict;
///
/// struct Count(u64);
/// impl Detector<Event> for Count {
///     fn observe(&mut self, _event: &Event, _sink: &dyn Sink) -> Verdict {
///         self.0 += 1;
///         Verdict::PASS
///     }
///     fn advance(&mut self, _now: Timestamp, _sink: &dyn Sink) {}
/// }
/// let (behind, alarms) = (DetectorSink::new(Count(0), 100), Queue::new(10));
/// behind.accept(Event::new(EventId::new(1, 1), Source::Host, Timestamp::default()));
/// assert_eq!(behind.with(|count| count.0), 0, "it waits");
/// behind.drain(Timestamp::default(), &alarms);
/// assert_eq!(behind.with(|count| count.0), 1);
/// assert_eq!(behind.into_inner().0, 1);
/// ```
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

    /// Looks at the detector, to count or to take a snapshot, or changes it, to restore one. What waits
    /// it has not seen yet: [`drain`](Self::drain) first. Waits while another thread drains, so it is
    /// not for the detector itself.
    pub fn with<T>(&self, look: impl FnOnce(&mut D) -> T) -> T {
        look(&mut self.detector.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The detector again. What still waits is dropped with the queue: [`drain`](Self::drain) first.
    pub fn into_inner(self) -> D {
        self.detector.into_inner().unwrap_or_else(PoisonError::into_inner)
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
