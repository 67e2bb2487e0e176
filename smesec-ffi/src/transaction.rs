//! The steps of one HTTP transaction.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Status, TextFn, check_size, guard, hand_out, shared, take_back, tell, unique,
};
use crate::event::Finding;
use crate::http::{Connection, Outcome, RequestHead, ResponseHead, Verdict, phase};
use crate::sink::{Kept, Sink};
use crate::waf::Waf;
use smesec_core::error::PhaseError;
use smesec_core::filter::{self, Filter as _, Ordered, WorkResult};
use smesec_core::verdict::{Body, Step};
use std::ffi::c_void;

/// One HTTP transaction. Steps in their order: request head, request body up to its last piece (an
/// empty last piece where there is none), response head, response body, finish. Each answers with the
/// verdict so far; a decisive verdict stays, and the response's steps are then allowed at once.
#[derive(Debug)]
pub struct Transaction {
    inner: Ordered,
    defer: bool,
}

impl Transaction {
    pub(crate) const fn new(inner: Ordered) -> Self {
        Self { inner, defer: false }
    }

    fn running(&self, call: &str) -> Result<&dyn filter::Transaction, Fault> {
        self.inner.transaction().ok_or_else(|| Fault::phase(call, "after `finish`"))
    }
}

/// Long work of a transaction: a scan, a look-up. Made by one thread, run by any, freed by any.
#[derive(Debug)]
pub struct Work {
    state: WorkState,
}

#[derive(Debug)]
enum WorkState {
    Waits(filter::Work),
    Done(WorkResult),
    Spent,
}

/// Begins a transaction under the rules now in force.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_begin(
    waf: *const Waf,
    connection: *const Connection,
    out: *mut *mut Transaction,
) -> Status {
    // SAFETY: see `shared`, `Connection::read` and `hand_out`.
    guard(|| unsafe {
        let waf = shared(waf, "the WAF")?;
        let connection = Connection::read(connection)?;
        hand_out(out, || Ok(Transaction::new(Ordered::new(waf.inner.begin(&connection, None)))))
    })
}

/// With true a step may answer SMESEC_ACTION_PENDING, and the host runs the work where it likes. Unless
/// set, long work is done inside the step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_defer(
    transaction: *mut Transaction,
    defer: bool,
) -> Status {
    guard(|| {
        // SAFETY: see `unique`.
        unsafe { unique(transaction, "the transaction") }?.defer = defer;
        Ok(())
    })
}

/// One step: a step out of order changes nothing.
unsafe fn step(
    transaction: *mut Transaction,
    out: *mut Verdict,
    run: impl FnOnce(&mut Ordered) -> Result<Result<Step, PhaseError>, Fault>,
) -> Status {
    guard(|| {
        // SAFETY: see `unique`.
        let (transaction, out) =
            unsafe { (unique(transaction, "the transaction")?, unique(out, "the verdict")?) };
        check_size(out.size, size_of::<Verdict>(), "smesec_verdict")?;
        let step = run(&mut transaction.inner)??;
        out.answer(if transaction.defer {
            step
        } else {
            Step::Done(transaction.inner.work_in_place(step))
        });
        Ok(())
    })
}

/// The request's head.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_request_head(
    transaction: *mut Transaction,
    head: *const RequestHead,
    out: *mut Verdict,
) -> Status {
    // SAFETY: see `step` and `RequestHead::read`.
    unsafe {
        step(transaction, out, |inner| RequestHead::read(head, |head| Ok(inner.request_head(head))))
    }
}

/// A piece of the request's body; `last` with the last one, which may be empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_request_body(
    transaction: *mut Transaction,
    chunk: Bytes,
    last: bool,
    out: *mut Verdict,
) -> Status {
    // SAFETY: see `step` and `Bytes`.
    unsafe { step(transaction, out, |inner| Ok(inner.request_body(chunk.get()?, last))) }
}

/// The response's head.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_response_head(
    transaction: *mut Transaction,
    head: *const ResponseHead,
    out: *mut Verdict,
) -> Status {
    // SAFETY: see `step` and `ResponseHead::read`.
    unsafe {
        step(transaction, out, |inner| {
            ResponseHead::read(head, |head| Ok(inner.response_head(head)))
        })
    }
}

/// A piece of the response's body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_response_body(
    transaction: *mut Transaction,
    chunk: Bytes,
    last: bool,
    out: *mut Verdict,
) -> Status {
    // SAFETY: see `step` and `Bytes`.
    unsafe { step(transaction, out, |inner| Ok(inner.response_body(chunk.get()?, last))) }
}

/// After SMESEC_ACTION_PENDING: the work, to be handed to smesec_work_run() and then to
/// smesec_transaction_resume(). NULL with SMESEC_STATUS_OK where none waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_take_work(
    transaction: *mut Transaction,
    out: *mut *mut Work,
) -> Status {
    // SAFETY: see `unique` and `hand_out`.
    guard(|| unsafe {
        let place = unique(out, "the place for the work")?;
        *place = std::ptr::null_mut();
        match unique(transaction, "the transaction")?.inner.take_work() {
            Some(work) => hand_out(out, || Ok(Work { state: WorkState::Waits(work) })),
            None => Ok(()),
        }
    })
}

/// Runs the work, on any thread, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_work_run(work: *mut Work) -> Status {
    guard(|| {
        // SAFETY: see `unique`.
        let work = unsafe { unique(work, "the work") }?;
        match std::mem::replace(&mut work.state, WorkState::Spent) {
            WorkState::Waits(job) => {
                work.state = WorkState::Done(job.run());
                Ok(())
            }
            other => {
                work.state = other;
                Err(Fault::phase("work_run", "twice"))
            }
        }
    })
}

/// Hands back work that was run; the answer is a verdict, or SMESEC_ACTION_PENDING where more waits. The
/// work is spent, and still has to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_resume(
    transaction: *mut Transaction,
    work: *mut Work,
    out: *mut Verdict,
) -> Status {
    // SAFETY: see `step` and `unique`.
    unsafe {
        step(transaction, out, |inner| {
            let work = unique(work, "the work")?;
            match std::mem::replace(&mut work.state, WorkState::Spent) {
                WorkState::Done(result) => Ok(inner.resume(result)),
                other => {
                    work.state = other;
                    Err(Fault::phase("resume", "with work that was not run"))
                }
            }
        })
    }
}

/// Frees work, run or not. A transaction whose work was never handed back can only be finished.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_work_free(work: *mut Work) {
    // SAFETY: see `take_back`.
    unsafe { take_back(work) }
}

/// How many bytes of a body (`phase` 2 or 4) the host has to hold back until the verdict on its last
/// piece: 0 where pieces may go on at once. `wanted` says whether the body has to be handed over at
/// all; a body that is not wanted still ends with an empty last piece.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_wants(
    transaction: *const Transaction,
    phase_number: u32,
    wanted: *mut bool,
    hold: *mut u64,
) -> Status {
    guard(|| {
        let phase = phase(phase_number)?;
        // SAFETY: see `shared` and `unique`.
        unsafe {
            let transaction = shared(transaction, "the transaction")?;
            let (wanted, hold) = (unique(wanted, "`wanted`")?, unique(hold, "`hold`")?);
            (*wanted, *hold) = match transaction.running("wants")?.wants(phase) {
                Body::Skip => (false, 0),
                Body::Hold { at_most } => (true, at_most),
                _ => (true, 0),
            };
        }
        Ok(())
    })
}

/// Where a redirect leads, empty where there is none; valid until the transaction's next step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_location(transaction: *const Transaction) -> Bytes {
    // SAFETY: see `shared`.
    let transaction = unsafe { shared(transaction, "the transaction") }.ok();
    let inner = transaction.and_then(|transaction| transaction.inner.transaction());
    Bytes::of(inner.and_then(|inner| inner.location()).unwrap_or_default().as_bytes())
}

/// How many findings there are so far, 0 for NULL and after `finish`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_finding_count(
    transaction: *const Transaction,
) -> usize {
    // SAFETY: see `shared`.
    let transaction = unsafe { shared(transaction, "the transaction") }.ok();
    transaction.and_then(|t| t.inner.transaction()).map_or(0, |inner| inner.findings().len())
}

/// Fills `out` with finding `n` from 0; its texts live until the transaction's next step. Set `size`
/// before the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_finding(
    transaction: *const Transaction,
    n: usize,
    out: *mut Finding,
) -> Status {
    // SAFETY: see `shared` and `Finding::show`.
    guard(|| unsafe {
        let transaction = shared(transaction, "the transaction")?;
        Finding::show(transaction.running("finding")?.findings(), n, out)
    })
}

/// Tells the findings so far as one JSON array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_findings_json(
    transaction: *const Transaction,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    // SAFETY: see `shared` and `tell`.
    guard(|| unsafe {
        let findings = shared(transaction, "the transaction")?.running("findings")?.findings();
        tell(tell_to, user, &serde_json::to_string(findings).unwrap_or_default())
    })
}

/// The log phase: tells at most one event of each filter as JSON (form v1). `tell_to` may be NULL where
/// nobody wants it, `outcome` may not. The transaction still has to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_finish(
    transaction: *mut Transaction,
    outcome: *const Outcome,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    // SAFETY: see `unique`, `Outcome::read` and `tell`.
    guard(|| unsafe {
        let transaction = unique(transaction, "the transaction")?;
        // Kept until the filter has returned, so that no C code runs inside it.
        let kept = Kept::default();
        transaction.inner.finish(Outcome::read(outcome)?, &kept)?;
        if tell_to.is_some() {
            for event in kept.take() {
                tell(tell_to, user, &event.to_json())?;
            }
        }
        Ok(())
    })
}

/// As smesec_transaction_finish(), into a sink.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_finish_into(
    transaction: *mut Transaction,
    outcome: *const Outcome,
    sink: *const Sink,
) -> Status {
    // SAFETY: see `unique`, `shared` and `Outcome::read`.
    guard(|| unsafe {
        let transaction = unique(transaction, "the transaction")?;
        let sink = shared(sink, "the sink")?;
        let kept = Kept::default();
        transaction.inner.finish(Outcome::read(outcome)?, &kept)?;
        for event in kept.take() {
            sink.accept(event);
        }
        Ok(())
    })
}

/// Frees a transaction, finished or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_free(transaction: *mut Transaction) {
    // SAFETY: see `take_back`.
    unsafe { take_back(transaction) }
}
