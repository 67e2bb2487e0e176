//! Detectors: watch a stream of items and report what they recognise.

use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::Verdict;

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
