//! Filters: what admits transactions; chains of them; filters written in C.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Opaque, Status, check_size, guard, hand_out, shared, slice, take_back,
};
use crate::event::Findings;
use crate::http::{Connection, Outcome, RequestHead, ResponseHead, Verdict, phase_number};
use crate::scanner::Scanner;
use crate::waf::Waf;
use smesec_core::event::{Event, EventId, Finding, RuleInfo, Source};
use smesec_core::filter::{self, Chain, Ordered, Transaction, Work, WorkResult};
use smesec_core::intake::{Intake, ScannerIntake};
use smesec_core::verdict::{self, Action, Body, Phase, Severity, Step};
use smesec_core::{Sink, http};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Admits HTTP transactions; for any number of threads at once.
pub struct Filter {
    pub(crate) inner: Arc<dyn filter::Filter>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filter")
    }
}

/// A filter written in C. `begin` may be called by several threads at once; what it returns is a
/// transaction's state, and its functions are called by one thread at a time. A step writes its verdict;
/// PASS stands there before. Functions that are NULL answer with the verdict so far.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct FilterVtable {
    /// sizeof(smesec_filter_vtable).
    pub size: usize,
    /// The upper half of the id of each event.
    pub id_seed: u64,
    /// A transaction begins; returns its state, which may be NULL.
    pub begin: Option<
        unsafe extern "C" fn(user: *mut c_void, connection: *const Connection) -> *mut c_void,
    >,
    /// Whether the body of `phase` (2 or 4) is wanted; `hold` gets the bytes to hold back, 0 for none.
    /// NULL for filters that need no body.
    pub wants: Option<unsafe extern "C" fn(state: *mut c_void, phase: u32, hold: *mut u64) -> bool>,
    /// The request's head.
    pub request_head: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            head: *const RequestHead,
            findings: *mut Findings,
            verdict: *mut Verdict,
        ),
    >,
    /// A piece of the request's body.
    pub request_body: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            chunk: Bytes,
            last: bool,
            findings: *mut Findings,
            verdict: *mut Verdict,
        ),
    >,
    /// The response's head.
    pub response_head: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            head: *const ResponseHead,
            findings: *mut Findings,
            verdict: *mut Verdict,
        ),
    >,
    /// A piece of the response's body.
    pub response_body: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            chunk: Bytes,
            last: bool,
            findings: *mut Findings,
            verdict: *mut Verdict,
        ),
    >,
    /// After a step answered SMESEC_ACTION_PENDING: the long work, on a thread of the host's pool.
    pub work: Option<
        unsafe extern "C" fn(state: *mut c_void, findings: *mut Findings, verdict: *mut Verdict),
    >,
    /// Where a redirect leads; asked for after a step answered with one.
    pub location: Option<unsafe extern "C" fn(state: *mut c_void) -> Bytes>,
    /// The transaction was logged. One event with all findings has been made of them already.
    pub finish: Option<unsafe extern "C" fn(state: *mut c_void, outcome: *const Outcome)>,
    /// Called once for each state, finished or not; may be NULL.
    pub free_state: Option<unsafe extern "C" fn(state: *mut c_void)>,
    /// Called once, when nothing uses the filter any more; may be NULL.
    pub free: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

struct CFilter {
    vtable: FilterVtable,
    user: Opaque,
    counter: Arc<AtomicU64>,
}

impl filter::Filter for CFilter {
    fn begin(
        &self,
        connection: &http::Connection,
        _: Option<Box<dyn Intake>>,
    ) -> Box<dyn Transaction> {
        let vtable = self.vtable;
        let state = vtable.begin.map_or(std::ptr::null_mut(), |begin| {
            // SAFETY: the host vouches for its function, on any thread.
            Connection::show(connection, |shown| unsafe { begin(self.user.pointer(), shown) })
        });
        Box::new(CTransaction {
            vtable,
            state: Arc::new(Mutex::new(Opaque::new(state, vtable.free_state))),
            connection: *connection,
            id: EventId::new(vtable.id_seed, self.counter.fetch_add(1, Ordering::Relaxed)),
            findings: Vec::new(),
            verdict: verdict::Verdict::PASS,
            location: None,
            work: false,
        })
    }
}

/// A transaction of a filter written in C.
struct CTransaction {
    vtable: FilterVtable,
    /// Shared with the work: it may outlive a transaction that was given up.
    state: Arc<Mutex<Opaque>>,
    connection: http::Connection,
    id: EventId,
    findings: Vec<Finding>,
    verdict: verdict::Verdict,
    location: Option<String>,
    work: bool,
}

/// What a callback came to.
struct Answer {
    verdict: Verdict,
    found: Vec<Finding>,
}

fn ask(
    state: &Mutex<Opaque>,
    call: impl FnOnce(*mut c_void, *mut Findings, *mut Verdict),
) -> Answer {
    let (mut findings, mut verdict) = (Findings::default(), Verdict::empty());
    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
    call(state.pointer(), &raw mut findings, &raw mut verdict);
    Answer { verdict, found: findings.found }
}

impl CTransaction {
    fn step(&mut self, call: impl FnOnce(*mut c_void, *mut Findings, *mut Verdict)) -> Step {
        let answer = ask(&self.state, call);
        self.take(answer)
    }

    fn take(&mut self, answer: Answer) -> Step {
        self.findings.extend(answer.found);
        match answer.verdict.read() {
            Some(Step::Pending) if self.vtable.work.is_some() => {
                self.work = true;
                return Step::Pending;
            }
            Some(Step::Done(verdict)) => {
                if verdict.action() != Action::Pass && !self.verdict.is_decisive() {
                    self.verdict = verdict;
                }
            }
            // Closed: what the filter meant nobody knows.
            _ => {
                let rule = RuleInfo { id: "smesec-callback".into(), ..RuleInfo::default() };
                let text = format!("a filter answered with action {}", answer.verdict.action);
                self.findings.push(Finding::new(Arc::new(rule), Severity::High, text));
                self.verdict = verdict::Verdict::new(Action::Deny { status: 500 }, 0);
            }
        }
        if let (Action::Redirect { .. }, None, Some(location)) =
            (self.verdict.action(), &self.location, self.vtable.location)
        {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the host vouches for its function and for the text until the next call.
            self.location = unsafe { location(state.pointer()).lossy() }.ok();
        }
        Step::Done(self.verdict)
    }
}

impl Transaction for CTransaction {
    fn wants(&self, phase: Phase) -> Body {
        let Some(wants) = self.vtable.wants else { return Body::Skip };
        let mut hold = 0;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the host vouches for its function.
        let wanted = unsafe { wants(state.pointer(), phase_number(phase), &raw mut hold) };
        match (wanted, hold) {
            (false, _) => Body::Skip,
            (true, 0) => Body::Watch,
            (true, at_most) => Body::Hold { at_most },
        }
    }

    fn request_head(&mut self, head: &http::RequestHead<'_>) -> Step {
        let Some(call) = self.vtable.request_head else { return Step::Done(self.verdict) };
        // SAFETY: the host vouches for its function; what it is shown lives during the call.
        self.step(|state, findings, verdict| unsafe {
            RequestHead::show(head, |head| call(state, head, findings, verdict));
        })
    }

    fn request_body(&mut self, chunk: &[u8], last: bool) -> Step {
        let Some(call) = self.vtable.request_body else { return Step::Done(self.verdict) };
        // SAFETY: as above.
        self.step(|state, findings, verdict| unsafe {
            call(state, Bytes::of(chunk), last, findings, verdict);
        })
    }

    fn response_head(&mut self, head: &http::ResponseHead<'_>) -> Step {
        let Some(call) = self.vtable.response_head else { return Step::Done(self.verdict) };
        // SAFETY: as above.
        self.step(|state, findings, verdict| unsafe {
            ResponseHead::show(head, |head| call(state, head, findings, verdict));
        })
    }

    fn response_body(&mut self, chunk: &[u8], last: bool) -> Step {
        let Some(call) = self.vtable.response_body else { return Step::Done(self.verdict) };
        // SAFETY: as above.
        self.step(|state, findings, verdict| unsafe {
            call(state, Bytes::of(chunk), last, findings, verdict);
        })
    }

    fn take_work(&mut self) -> Option<Work> {
        let work = self.vtable.work.filter(|_| std::mem::take(&mut self.work))?;
        let state = Arc::clone(&self.state);
        Some(Work::new(move || {
            // SAFETY: the host vouches for its function; the lock lets one thread in at a time.
            let answer = ask(&state, |state, findings, verdict| unsafe {
                work(state, findings, verdict);
            });
            WorkResult::Own(Box::new(answer))
        }))
    }

    fn resume(&mut self, done: WorkResult) -> Step {
        match done {
            WorkResult::Own(own) => match own.downcast::<Answer>() {
                Ok(answer) => self.take(*answer),
                Err(_) => Step::Done(self.verdict),
            },
            _ => Step::Done(self.verdict),
        }
    }

    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn finish(mut self: Box<Self>, outcome: filter::Outcome, sink: &dyn Sink) {
        if let Some(finish) = self.vtable.finish {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let shown = Outcome::of(&outcome);
            // SAFETY: the host vouches for its function.
            unsafe { finish(state.pointer(), &raw const shown) };
        }
        if self.findings.is_empty() && self.verdict.action() == Action::Pass {
            return;
        }
        let mut event = Event::new(self.id, Source::Host, outcome.now);
        event.class_uid = smesec_core::event::HTTP_ACTIVITY;
        event.src_endpoint = Some(self.connection.client);
        event.dst_endpoint = Some(self.connection.server);
        event.action = self.verdict.action();
        let gravest = self.findings.iter().map(|finding| finding.severity).max();
        event.severity_id = gravest.unwrap_or_default().ocsf_id();
        event.message = self.findings.first().map_or_else(String::new, |f| f.message.clone());
        event.findings = std::mem::take(&mut self.findings);
        sink.accept(event);
    }
}

/// Puts a scanner behind a filter: the objects (uploads) inside the bodies of each transaction go to it.
struct Scanning {
    inner: Arc<dyn filter::Filter>,
    scanner: Scanner,
    spool_bytes: usize,
}

impl filter::Filter for Scanning {
    fn begin(
        &self,
        connection: &http::Connection,
        _: Option<Box<dyn Intake>>,
    ) -> Box<dyn Transaction> {
        let scanner = Arc::new(Mutex::new(self.scanner.clone()));
        let intake = ScannerIntake::with_limits(scanner, self.spool_bytes, u64::MAX);
        self.inner.begin(connection, Some(Box::new(intake)))
    }
}

/// A filter written in C. The table is copied; `user` is handed to its functions. After a failure `user`
/// is still the host's to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_filter_new(
    vtable: *const FilterVtable,
    user: *mut c_void,
    out: *mut *mut Filter,
) -> Status {
    // SAFETY: see `shared` and `hand_out`.
    guard(|| unsafe {
        let vtable = *shared(vtable, "the table")?;
        check_size(vtable.size, size_of::<FilterVtable>(), "smesec_filter_vtable")?;
        hand_out(out, || {
            let user = Opaque::new(user, vtable.free);
            let counter = Arc::new(AtomicU64::new(0));
            Ok(Filter { inner: Arc::new(CFilter { vtable, user, counter }) })
        })
    })
}

/// A WAF as a filter. Reloads of the WAF reach it; the WAF may be freed before it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_filter_waf(waf: *const Waf, out: *mut *mut Filter) -> Status {
    // SAFETY: see `shared` and `hand_out`.
    guard(|| unsafe {
        let waf = shared(waf, "the WAF")?;
        hand_out(out, || Ok(Filter { inner: Arc::new(waf.inner.clone()) }))
    })
}

/// Several filters as one, in order: the first decisive verdict wins, the findings of all are kept. Put the
/// WAF last: uploads of smesec_filter_scanning() come from the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_filter_chain(
    filters: *const *const Filter,
    count: usize,
    out: *mut *mut Filter,
) -> Status {
    // SAFETY: see `slice`, `shared` and `hand_out`.
    guard(|| unsafe {
        let filters = slice(filters, count, "the filters")?.iter();
        let filters = filters.map(|f| Ok(Arc::clone(&shared(*f, "a filter of the chain")?.inner)));
        let chain = Chain::new(filters.collect::<Result<_, Fault>>()?);
        hand_out(out, || Ok(Filter { inner: Arc::new(chain) }))
    })
}

/// The same filter with its uploads going to a scanner; `spool_bytes` is kept in memory for each transaction at
/// most, 0 for the default of 32 MiB. An upload that was not scanned whole is a finding, and the
/// filter's policy on limits decides.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_filter_scanning(
    filter: *const Filter,
    scanner: *const Scanner,
    spool_bytes: usize,
    out: *mut *mut Filter,
) -> Status {
    // SAFETY: see `shared` and `hand_out`.
    guard(|| unsafe {
        let inner = Arc::clone(&shared(filter, "the filter")?.inner);
        let scanner = shared(scanner, "the scanner")?.clone();
        let spool_bytes = match spool_bytes {
            0 => ScannerIntake::<Scanner>::DEFAULT_SPOOL_BYTES,
            given => given,
        };
        hand_out(out, || Ok(Filter { inner: Arc::new(Scanning { inner, scanner, spool_bytes }) }))
    })
}

/// Begins a transaction.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_filter_begin(
    filter: *const Filter,
    connection: *const Connection,
    out: *mut *mut crate::transaction::Transaction,
) -> Status {
    // SAFETY: see `shared`, `Connection::read` and `hand_out`.
    guard(|| unsafe {
        let filter = shared(filter, "the filter")?;
        let connection = Connection::read(connection)?;
        hand_out(out, || {
            let inner = Ordered::new(filter.inner.begin(&connection, None));
            Ok(crate::transaction::Transaction::new(inner))
        })
    })
}

/// Frees a filter; transactions and what was built over it keep what they need.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_filter_free(filter: *mut Filter) {
    // SAFETY: see `take_back`.
    unsafe { take_back(filter) }
}
