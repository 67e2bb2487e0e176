//! Sinks: where events go; and detectors of events behind them.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{Fault, Opaque, Status, check_size, guard, hand_out, shared, slice, take_back};
use crate::event::Event;
use crate::http::time;
use smesec_core::detector::{Detector, DetectorSink};
use smesec_core::sink::{self, Queue, Tee};
use smesec_core::time::Timestamp;
use smesec_core::verdict::Verdict;
use smesec_core::{Sink as _, event};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

/// Receives events from any number of threads at once. Never blocks; counts what it drops.
pub struct Sink {
    inner: Arc<dyn sink::Sink>,
    drains: Drains,
}

enum Drains {
    Nothing,
    Queue(Arc<Queue>),
    Detector(Arc<DetectorSink<CDetector>>),
}

#[cfg(test)]
impl Sink {
    /// Over a sink of the library's own.
    pub(crate) fn over(inner: Arc<dyn sink::Sink>) -> Self {
        Self { inner, drains: Drains::Nothing }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

/// A sink written in C.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct SinkVtable {
    /// sizeof(smesec_sink_vtable).
    pub size: usize,
    /// Takes one event, on any thread; must not block, and must not call the sink again.
    pub accept: Option<unsafe extern "C" fn(user: *mut c_void, event: *const Event)>,
    /// Called once, when nothing uses the sink any more; may be NULL.
    pub free: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

struct CSink {
    accept: unsafe extern "C" fn(*mut c_void, *const Event),
    user: Opaque,
}

impl sink::Sink for CSink {
    fn accept(&self, event: event::Event) {
        let event = Event { inner: event };
        // SAFETY: the host vouches for its function, on any thread.
        unsafe { (self.accept)(self.user.pointer(), &raw const event) };
    }
}

/// A detector of events written in C: a correlator, a counter. Its functions are called by one thread at a
/// time, inside smesec_sink_drain().
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct DetectorVtable {
    /// sizeof(smesec_detector_vtable).
    pub size: usize,
    /// Looks at one event; what it recognises goes to `raised`, which is valid during the call.
    pub observe:
        Option<unsafe extern "C" fn(user: *mut c_void, event: *const Event, raised: *const Sink)>,
    /// Tells the time, so that windows close; may be NULL.
    pub advance:
        Option<unsafe extern "C" fn(user: *mut c_void, unix_nanos: i64, raised: *const Sink)>,
    /// Called once, when nothing uses the detector any more; may be NULL.
    pub free: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

#[derive(Debug)]
struct CDetector {
    vtable: DetectorVtable,
    user: Opaque,
}

impl CDetector {
    /// What the callback raises goes on after it has returned, so that it cannot be entered again.
    fn raising(&self, sink: &dyn smesec_core::Sink, call: impl FnOnce(*mut c_void, *const Sink)) {
        let kept = Arc::new(Kept::default());
        let inner: Arc<dyn sink::Sink> = Arc::clone(&kept) as _;
        let raised = Sink { inner, drains: Drains::Nothing };
        call(self.user.pointer(), &raw const raised);
        for event in kept.take() {
            sink.accept(event);
        }
    }
}

impl Detector<event::Event> for CDetector {
    fn observe(&mut self, event: &event::Event, sink: &dyn smesec_core::Sink) -> Verdict {
        if let Some(observe) = self.vtable.observe {
            let event = Event { inner: event.clone() };
            // SAFETY: the host vouches for its function.
            self.raising(sink, |user, raised| unsafe { observe(user, &raw const event, raised) });
        }
        Verdict::PASS
    }

    fn advance(&mut self, now: Timestamp, sink: &dyn smesec_core::Sink) {
        if let Some(advance) = self.vtable.advance {
            // SAFETY: the host vouches for its function.
            self.raising(sink, |user, raised| unsafe { advance(user, now.unix_nanos(), raised) });
        }
    }
}

/// Keeps what is emitted until the emitter has returned: as many as the host's own code raises.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Vec<event::Event>>);

impl Kept {
    pub(crate) fn take(&self) -> Vec<event::Event> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl sink::Sink for Kept {
    fn accept(&self, event: event::Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Sink {
    pub(crate) fn accept(&self, event: event::Event) {
        self.inner.accept(event);
    }

    pub(crate) fn as_core(&self) -> &dyn sink::Sink {
        &*self.inner
    }
}

/// A sink written in C. The table is copied; `user` is handed to its functions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_sink_new(
    vtable: *const SinkVtable,
    user: *mut c_void,
    out: *mut *mut Sink,
) -> Status {
    // SAFETY: see `shared` and `hand_out`.
    guard(|| unsafe {
        let vtable = shared(vtable, "the table")?;
        check_size(vtable.size, size_of::<SinkVtable>(), "smesec_sink_vtable")?;
        let accept = vtable.accept.ok_or_else(|| Fault::null("`accept`"))?;
        hand_out(out, || {
            let inner = Arc::new(CSink { accept, user: Opaque::new(user, vtable.free) });
            Ok(Sink { inner, drains: Drains::Nothing })
        })
    })
}

/// A queue of at most `capacity` events; smesec_sink_drain() empties it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_sink_queue(capacity: usize, out: *mut *mut Sink) -> Status {
    // SAFETY: see `hand_out`.
    guard(|| unsafe {
        hand_out(out, || {
            let queue = Arc::new(Queue::new(capacity));
            Ok(Sink { inner: Arc::clone(&queue) as _, drains: Drains::Queue(queue) })
        })
    })
}

/// Hands every event to each of `count` sinks, in order. They may be freed before the tee.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_sink_tee(
    sinks: *const *const Sink,
    count: usize,
    out: *mut *mut Sink,
) -> Status {
    // SAFETY: see `slice`, `shared` and `hand_out`.
    guard(|| unsafe {
        let sinks = slice(sinks, count, "the sinks")?.iter();
        let sinks = sinks.map(|sink| Ok(Arc::clone(&shared(*sink, "a sink of the tee")?.inner)));
        let tee = Tee::new(sinks.collect::<Result<_, Fault>>()?);
        hand_out(out, || Ok(Sink { inner: Arc::new(tee), drains: Drains::Nothing }))
    })
}

/// Puts a detector written in C behind a queue of `capacity` events; the host calls
/// smesec_sink_drain() where and when it likes. What it raises is one generation above what it saw, and
/// generations beyond 3 are dropped, so detectors that feed each other come to rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_sink_detector(
    vtable: *const DetectorVtable,
    user: *mut c_void,
    capacity: usize,
    out: *mut *mut Sink,
) -> Status {
    // SAFETY: see `shared` and `hand_out`.
    guard(|| unsafe {
        let vtable = *shared(vtable, "the table")?;
        check_size(vtable.size, size_of::<DetectorVtable>(), "smesec_detector_vtable")?;
        vtable.observe.ok_or_else(|| Fault::null("`observe`"))?;
        hand_out(out, || {
            let detector = CDetector { vtable, user: Opaque::new(user, vtable.free) };
            let behind = Arc::new(DetectorSink::new(detector, capacity));
            Ok(Sink { inner: Arc::clone(&behind) as _, drains: Drains::Detector(behind) })
        })
    })
}

/// Hands an event to a sink; the event stays the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_sink_accept(sink: *const Sink, event: *const Event) -> Status {
    guard(|| {
        // SAFETY: see `shared`.
        let (sink, event) = unsafe { (shared(sink, "the sink")?, shared(event, "the event")?) };
        sink.accept(event.inner.clone());
        Ok(())
    })
}

/// Empties a queue into `into`, or lets a detector see what waits and tells it the time
/// (nanoseconds since 1970 UTC, 0 for the system's clock); what it raises goes to `into`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_sink_drain(
    sink: *const Sink,
    unix_nanos: i64,
    into: *const Sink,
) -> Status {
    guard(|| {
        // SAFETY: see `shared`.
        let (sink, into) = unsafe { (shared(sink, "the sink")?, shared(into, "`into`")?) };
        match &sink.drains {
            Drains::Queue(queue) => {
                for event in queue.drain() {
                    into.accept(event);
                }
            }
            Drains::Detector(detector) => {
                // Kept until the detector is let go of: `into` may lead back to it.
                let kept = Kept::default();
                detector.drain(time(unix_nanos), &kept);
                for event in kept.take() {
                    into.accept(event);
                }
            }
            Drains::Nothing => {
                let text = "nothing waits in this sink; drain a queue or a detector";
                return Err(Fault::config(text.to_owned()));
            }
        }
        Ok(())
    })
}

/// Events that a queue or a detector's queue dropped so far; 0 for other sinks and NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_sink_dropped(sink: *const Sink) -> u64 {
    // SAFETY: see `shared`.
    unsafe { shared(sink, "the sink") }.map_or(0, |sink| match &sink.drains {
        Drains::Queue(queue) => queue.dropped(),
        Drains::Detector(detector) => detector.dropped(),
        Drains::Nothing => 0,
    })
}

/// Frees a sink; what was built over it keeps what it needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_sink_free(sink: *mut Sink) {
    // SAFETY: see `take_back`.
    unsafe { take_back(sink) }
}
