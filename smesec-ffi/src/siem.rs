//! The engine over logs: bytes of any number of sources in, detections and alarms out.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Opaque, Status, TextFn, check_size, guard, hand_out, shared, take_back, tell,
    tell_bytes, unique,
};
use crate::http::time;
use crate::siem_rules::SiemRules;
use crate::sink::Sink;
use smesec_core::detector::Detector;
use smesec_core::error::Error;
use smesec_core::siem;
use smesec_core::siem::correlation::Settings;
use smesec_core::siem::record::Record;
use smesec_core::siem::sources::{BadLine, Format, Reader, ReaderOptions, Statistics};
use smesec_core::time::Timestamp;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// Origins that an engine reads at a time unless told otherwise: a reader that waits for the end of its event
/// may hold 1 MiB, so that a thousand of them stay within 1 GiB at the very worst.
const ORIGINS: usize = 1_000;

/// Settings of an engine over logs; all zero but `size` are the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct SiemOptions {
    /// sizeof(smesec_siem_options).
    pub size: usize,
    /// How late a record may come after newer ones of its origin, in nanoseconds; alarms come as much later.
    /// 0 for 30 s.
    pub lateness_nanos: i64,
    /// How long an origin may be silent before the others no longer wait for it, in nanoseconds; 0 for 60 s.
    pub idle_nanos: i64,
    /// Groups kept for each correlation; 0 for 100,000.
    pub groups: usize,
    /// Hits that wait for their time, of all correlations together; 0 for 1,000,000.
    pub pending: usize,
    /// The longest event in bytes; longer ones are passed over and told. 0 for 1 MiB.
    pub event_bytes: usize,
    /// Origins that are read at a time; 0 for 1,000.
    pub origins: usize,
    /// Is told each event that could not be read, as `origin:line: why`; may be NULL. It is called inside
    /// smesec_siem_engine_feed(), _close() and _finish().
    pub bad_line: TextFn,
    /// What `bad_line` gets; it has to stay until the engine is freed.
    pub bad_line_user: *mut c_void,
    /// The zone of time stamps that name none, in seconds east of Greenwich.
    pub zone_seconds: i32,
    /// The records are stored ones in no order: all that is correlated waits for smesec_siem_engine_finish().
    pub stored: bool,
    /// HOME_NET: networks divided by commas, such as `10.0.0.0/8, 192.168.0.0/16`. None.
    pub home_net: Bytes,
    /// An inventory in YAML: what hosts and networks are worth, 0 to 5. None.
    pub assets: Bytes,
    /// Policies in YAML: what is done with an event before it is correlated. None.
    pub policies: Bytes,
    /// Directives, in OSSIM's XML or in YAML. None. Single ones that cannot run stand in smesec_siem_engine_report().
    pub directives: Bytes,
}

/// What an engine has met so far.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct SiemStatistics {
    /// sizeof(smesec_siem_statistics).
    pub size: usize,
    /// Bytes handed in.
    pub bytes: u64,
    /// Records made of them.
    pub records: u64,
    /// Events that could not be read.
    pub bad: u64,
    /// Events with bytes that are no UTF-8, which were replaced.
    pub replaced: u64,
    /// Records that no rule's log source fits.
    pub unplaced: u64,
    /// Hits that came too late to be correlated.
    pub late: u64,
    /// Hits that were lost or judged before their time because a limit was reached.
    pub limited: u64,
    /// Alarms opened, among them those that only other correlations are told of.
    pub alarms: u64,
    /// Origins that are being read now.
    pub origins: usize,
}

/// Reads logs, detects and correlates. One thread at a time: a call that finds another one running on the same
/// engine, its own sink's among them, is refused with SMESEC_STATUS_WRONG_PHASE.
#[derive(Debug)]
pub struct SiemEngine {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: siem::Engine,
    readers: HashMap<String, (Format, Reader)>,
    reading: ReaderOptions,
    origins: usize,
    /// Of the readers that are closed.
    closed: Counts,
    bad_line: TextFn,
    bad_line_user: Opaque,
}

#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    bytes: u64,
    records: u64,
    bad: u64,
    replaced: u64,
}

impl Counts {
    fn add(&mut self, read: Statistics) {
        self.bytes += read.bytes;
        self.records += read.records;
        self.bad += read.bad;
        self.replaced += read.replaced;
    }
}

impl SiemEngine {
    fn enter(&self, call: &str) -> Result<MutexGuard<'_, Inner>, Fault> {
        match self.inner.try_lock() {
            Ok(inner) => Ok(inner),
            // What a defect left half done is bounded to this engine, as everywhere on the face.
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(Fault::phase(call, "while another call on this engine runs"))
            }
        }
    }
}

impl Inner {
    fn feed(
        &mut self,
        origin: &str,
        format: Format,
        bytes: &[u8],
        now: Timestamp,
        sink: &Sink,
    ) -> Result<(), Fault> {
        if !self.readers.contains_key(origin) {
            if self.readers.len() >= self.origins {
                let most = self.origins;
                return Err(Fault::limit(format!(
                    "`{origin}` would be origin number {}; close some, or raise `origins`",
                    most.saturating_add(1)
                )));
            }
            let reader = Reader::new(format, origin, self.reading.clone());
            self.readers.insert(origin.to_owned(), (format, reader));
        }
        let Some((known, reader)) = self.readers.get_mut(origin) else { return Ok(()) };
        if *known != format {
            return Err(Fault::config(format!(
                "`{origin}` is being read as `{known}`, not as `{format}`; close it first"
            )));
        }
        reader.tell(now);
        let mut each = each(&mut self.engine, sink, self.bad_line, self.bad_line_user.pointer());
        reader.feed(bytes, &mut each);
        Ok(())
    }

    fn close(&mut self, origin: &str, sink: &Sink) -> bool {
        let Some((_, mut reader)) = self.readers.remove(origin) else { return false };
        reader.finish(&mut each(
            &mut self.engine,
            sink,
            self.bad_line,
            self.bad_line_user.pointer(),
        ));
        self.closed.add(reader.statistics());
        true
    }

    fn finish(&mut self, sink: &Sink) {
        // In the order of their names, so that a run can be repeated.
        let mut origins: Vec<String> = self.readers.keys().cloned().collect();
        origins.sort_unstable();
        for origin in origins {
            self.close(&origin, sink);
        }
        for alarm in self.engine.finish() {
            sink.accept(alarm.to_event());
        }
    }
}

/// What a reader shows: records go through the engine, broken ones to the host.
fn each<'e>(
    engine: &'e mut siem::Engine,
    sink: &'e Sink,
    bad_line: TextFn,
    user: *mut c_void,
) -> impl FnMut(Result<Record<'_>, BadLine>) + 'e {
    move |line| match line {
        Ok(record) => {
            let _ = engine.observe(&record, sink.as_core());
        }
        Err(bad) if bad_line.is_some() => {
            // SAFETY: the host vouches for its function and for what it gets.
            let _ = unsafe { tell(bad_line, user, &bad.to_string()) };
        }
        Err(_) => {}
    }
}

/// An engine over rules; `options` may be NULL for the defaults. The rules may be freed before it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_new(
    rules: *const SiemRules,
    options: *const SiemOptions,
    out: *mut *mut SiemEngine,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `hand_out`; options are null or a struct, as the header asks.
        unsafe {
            let rules = shared(rules, "the rules")?;
            let options = options.as_ref();
            if let Some(options) = options {
                check_size(options.size, size_of::<SiemOptions>(), "smesec_siem_options")?;
            }
            hand_out(out, || engine(rules, options))
        }
    })
}

fn engine(rules: &SiemRules, options: Option<&SiemOptions>) -> Result<SiemEngine, Fault> {
    let mut settings = Settings::default();
    let mut reading = ReaderOptions::default();
    let mut origins = ORIGINS;
    let mut site = siem::Site::default();
    let (mut bad_line, mut user) = (None, std::ptr::null_mut());
    if let Some(options) = options {
        if options.stored {
            settings = Settings::stored();
        }
        if options.lateness_nanos < 0 || options.idle_nanos < 0 {
            let text = "`lateness_nanos` and `idle_nanos` are durations; write 0 for the default";
            return Err(Fault::config(text.to_owned()));
        }
        if options.stored && options.lateness_nanos != 0 {
            let text =
                "`stored` waits for the end, whatever `lateness_nanos` says; set one of them";
            return Err(Fault::config(text.to_owned()));
        }
        let set = |place: &mut i64, value: i64| *place = if value == 0 { *place } else { value };
        set(&mut settings.lateness, options.lateness_nanos);
        set(&mut settings.idle, options.idle_nanos);
        let set =
            |place: &mut usize, value: usize| *place = if value == 0 { *place } else { value };
        set(&mut settings.groups, options.groups);
        set(&mut settings.pending, options.pending);
        set(&mut reading.event_bytes, options.event_bytes);
        set(&mut origins, options.origins);
        reading.zone = options.zone_seconds;
        (bad_line, user) = (options.bad_line, options.bad_line_user);
        // SAFETY: the host vouches for the texts during the call.
        let (home, assets, policies, directives) = unsafe {
            (
                options.home_net.text("`home_net`")?,
                options.assets.text("`assets`")?,
                options.policies.text("`policies`")?,
                options.directives.get()?,
            )
        };
        site.home(home).map_err(Error::from)?;
        site.assets(assets, "assets").map_err(Error::from)?;
        site.policies(policies, "policies");
        site.directives(directives, "directives").map_err(Error::from)?;
    }
    Ok(SiemEngine {
        inner: Mutex::new(Inner {
            engine: site.engine(Arc::clone(&rules.inner), settings)?,
            readers: HashMap::new(),
            reading,
            origins,
            closed: Counts::default(),
            bad_line,
            bad_line_user: Opaque::new(user, None),
        }),
    })
}

/// Hands in the next bytes of one origin (a file, a connection, a device: alarms wait for the slowest of them),
/// cut anywhere. What they complete is judged, and detections and alarms go to `sink` as events before this
/// returns. `format` is a name such as `syslog`, `json`, `access`, `auditd`, `evtx`, or empty to find it out; it
/// stays the same for an origin. `unix_nanos` is when the bytes arrived, in nanoseconds since 1970 UTC; 0 lets
/// the library ask the system's clock. SMESEC_STATUS_LIMIT when there are too many origins.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_feed(
    engine: *const SiemEngine,
    origin: Bytes,
    format: Bytes,
    bytes: Bytes,
    unix_nanos: i64,
    sink: *const Sink,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `Bytes`.
        let (engine, sink, origin, format, bytes) = unsafe {
            (
                shared(engine, "the engine")?,
                shared(sink, "the sink")?,
                origin.text("the origin")?,
                format.text("the format")?,
                bytes.get()?,
            )
        };
        let named = if format.is_empty() { Some(Format::Auto) } else { Format::named(format) };
        // Formats of the user's own need their patterns, which this face does not take.
        let named = named.filter(|format| *format != Format::Pattern).ok_or_else(|| {
            let known = Format::ALL.iter().filter(|(_, format)| *format != Format::Pattern);
            let names: Vec<&str> = known.map(|(name, _)| *name).collect();
            Fault::config(format!("format `{format}` is unknown; write {}", names.join(", ")))
        })?;
        engine.enter("feed")?.feed(origin, named, bytes, time(unix_nanos), sink)
    })
}

/// Tells that no more bytes of an origin come: its last event is judged and its reader freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_close(
    engine: *const SiemEngine,
    origin: Bytes,
    sink: *const Sink,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `Bytes`.
        let (engine, sink, origin) = unsafe {
            (shared(engine, "the engine")?, shared(sink, "the sink")?, origin.text("the origin")?)
        };
        if engine.enter("close")?.close(origin, sink) {
            return Ok(());
        }
        Err(Fault::config(format!("`{origin}` is not being read; feed it first")))
    })
}

/// Tells the time, in nanoseconds since 1970 UTC, 0 for the system's clock: windows close, absences are noticed,
/// and silent origins no longer hold others back. Call it every second or so where records may stay away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_advance(
    engine: *const SiemEngine,
    unix_nanos: i64,
    sink: *const Sink,
) -> Status {
    guard(|| {
        // SAFETY: see `shared`.
        let (engine, sink) = unsafe { (shared(engine, "the engine")?, shared(sink, "the sink")?) };
        engine.enter("advance")?.engine.advance(time(unix_nanos), sink.as_core());
        Ok(())
    })
}

/// Closes all origins and judges all that waits, as if nothing later would come. The engine may be fed again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_finish(
    engine: *const SiemEngine,
    sink: *const Sink,
) -> Status {
    guard(|| {
        // SAFETY: see `shared`.
        let (engine, sink) = unsafe { (shared(engine, "the engine")?, shared(sink, "the sink")?) };
        engine.enter("finish")?.finish(sink);
        Ok(())
    })
}

/// Fills `out` with what the engine has met so far. Set `size` before the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_statistics(
    engine: *const SiemEngine,
    out: *mut SiemStatistics,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `unique`.
        let (engine, out) =
            unsafe { (shared(engine, "the engine")?, unique(out, "the statistics")?) };
        check_size(out.size, size_of::<SiemStatistics>(), "smesec_siem_statistics")?;
        let inner = engine.enter("statistics")?;
        let mut counts = inner.closed;
        for (_, reader) in inner.readers.values() {
            counts.add(reader.statistics());
        }
        let correlated = inner.engine.correlator().statistics();
        *out = SiemStatistics {
            size: out.size,
            bytes: counts.bytes,
            records: counts.records,
            bad: counts.bad,
            replaced: counts.replaced,
            unplaced: inner.engine.matcher().unplaced(),
            late: correlated.late_dropped,
            limited: correlated
                .hits_evicted
                .saturating_add(correlated.samples_dropped)
                .saturating_add(correlated.forced),
            alarms: correlated.alarms,
            origins: inner.readers.len(),
        };
        Ok(())
    })
}

/// Tells what of the options' directives cannot run, as smesec_siem_rules_report() tells it of rules.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_report(
    engine: *const SiemEngine,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell`; the host's function runs when the engine is free again.
        unsafe {
            let engine = shared(engine, "the engine")?;
            let json = serde_json::to_string(engine.enter("report")?.engine.report());
            tell(tell_to, user, &json.unwrap_or_default())
        }
    })
}

/// Tells all that correlations and directives hold, as bytes with a version and a checksum: an engine over the same rules
/// goes on from it with smesec_siem_engine_restore(). Pieces of events whose end has not come are not in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_snapshot(
    engine: *const SiemEngine,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell_bytes`; the host's function runs when the engine is free again.
        unsafe {
            let engine = shared(engine, "the engine")?;
            let snapshot = engine.enter("snapshot")?.engine.snapshot();
            tell_bytes(tell_to, user, &snapshot)
        }
    })
}

/// Takes a snapshot up, beside what the engine holds already. `skipped`, which may be NULL, gets how many groups were left
/// out because their rule is gone or has changed. SMESEC_STATUS_CONFIG for bytes that are no snapshot, are damaged or of
/// another version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_restore(
    engine: *const SiemEngine,
    snapshot: Bytes,
    skipped: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `Bytes`; `skipped` is null or a place to write to.
        unsafe {
            let engine = shared(engine, "the engine")?;
            let restored = engine.enter("restore")?.engine.restore(snapshot.get()?)?;
            if let Some(skipped) = skipped.as_mut() {
                *skipped = restored.skipped;
            }
        }
        Ok(())
    })
}

/// Frees an engine; what waited in it is not judged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_engine_free(engine: *mut SiemEngine) {
    // SAFETY: see `take_back`.
    unsafe { take_back(engine) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::border::smesec_last_error;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Panics at its first event, as a defect would; counts the later ones.
    #[derive(Debug, Default)]
    struct Broken(AtomicUsize);

    impl smesec_core::Sink for Broken {
        fn accept(&self, _: smesec_core::event::Event) {
            assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 0, "provoked");
        }
    }

    const RULE: &str = "title: t\nlogsource: {product: linux, service: sshd}\n\
        detection: {keywords: ['Failed password'], condition: keywords}\n";
    const LINE: &str =
        "Mar  1 10:00:00 web sshd[7]: Failed password for anna from 192.0.2.7 port 5 ssh2\n";

    #[test]
    fn a_panic_inside_stays_inside_and_the_engine_stays_usable() {
        let mut builder = siem::RuleSet::builder();
        builder.text("r.yml", RULE);
        let Ok(rules) = builder.build() else { panic!("the rule is sound") };
        let rules = SiemRules { inner: Arc::new(rules) };
        let Ok(made) = engine(&rules, None) else { panic!("the defaults are sound") };
        let broken = Arc::new(Broken::default());
        let sink = Sink::over(Arc::clone(&broken) as _);
        let text = |text: &str| Bytes::of(text.as_bytes());
        let feed = || {
            // SAFETY: all of it outlives the call.
            unsafe {
                smesec_siem_engine_feed(
                    &raw const made,
                    text("a"),
                    text("syslog"),
                    text(LINE),
                    1,
                    &raw const sink,
                )
            }
        };
        assert_eq!(feed(), Status::Panic);
        // SAFETY: the text belongs to this thread until its next call.
        let why = unsafe { smesec_last_error().get() };
        assert!(why.is_ok_and(|why| why.starts_with(b"a defect")));
        assert_eq!(feed(), Status::Ok);
        assert_eq!(broken.0.load(Ordering::Relaxed), 2);
    }
}
