//! The steps of one HTTP transaction.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Status, TextFn, check_size, guard, hand_out, shared, take_back, tell, unique,
};
use crate::waf::Waf;
use smesec_core::filter::{self, Filter};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{self, Body, Step};
use smesec_core::{Event, Sink, http};
use std::ffi::c_void;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// One HTTP transaction. Steps in their order: request head, request body up to its last piece (an
/// empty last piece where there is none), response head, response body, finish. Each answers with the
/// verdict so far; a decisive verdict stays, and the response's steps are then allowed at once.
pub struct Transaction {
    /// Empty after `finish`.
    inner: Option<Box<dyn filter::Transaction>>,
    next: verdict::Phase,
    decided: bool,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Where a transaction stands.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums, reason = "C knows no other kind")]
pub enum Phase {
    /// Request line and headers.
    RequestHead = 1,
    /// Request body.
    RequestBody = 2,
    /// Status line and headers of the response.
    ResponseHead = 3,
    /// Response body.
    ResponseBody = 4,
}

/// What the host is to do.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "C knows no other kind")]
pub enum Action {
    /// Nothing stands against it.
    Pass = 0,
    /// Let it pass; there are findings.
    Log = 1,
    /// Answer with `status`.
    Deny = 2,
    /// Answer with a redirect of `status` to smesec_transaction_location().
    Redirect = 3,
    /// Hand the client over to the decoy.
    Decoy = 4,
    /// Close the connection without an answer.
    Drop = 5,
    /// Refuse the connection actively.
    Reject = 6,
}

/// The answer of a step. Set `size` before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Verdict {
    /// sizeof(smesec_verdict).
    pub size: usize,
    /// A smesec_action; 2 and above end the transaction.
    pub action: u32,
    /// The HTTP status of Deny and Redirect, else 0.
    pub status: u16,
    /// The anomaly score, 0 where no rule scored.
    pub score: i32,
}

/// A name and a value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Header {
    /// The name as sent.
    pub name: Bytes,
    /// The value as sent.
    pub value: Bytes,
}

/// Who talks to whom.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Connection {
    /// sizeof(smesec_connection).
    pub size: usize,
    /// The client's address as text, IPv4 or IPv6.
    pub client_address: Bytes,
    /// The server's address as text.
    pub server_address: Bytes,
    /// The client's port.
    pub client_port: u16,
    /// The server's port.
    pub server_port: u16,
    /// Now, in nanoseconds since 1970 UTC; 0 lets the library ask the system's clock.
    pub unix_nanos: i64,
}

/// A request's first line and headers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct RequestHead {
    /// sizeof(smesec_request_head).
    pub size: usize,
    /// Such as `GET`.
    pub method: Bytes,
    /// Path and query as sent, nothing decoded.
    pub target: Bytes,
    /// Such as `HTTP/1.1`.
    pub version: Bytes,
    /// The headers in their order.
    pub headers: *const Header,
    /// How many.
    pub header_count: usize,
    /// Now, as in smesec_connection.
    pub unix_nanos: i64,
}

/// A response's status and headers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct ResponseHead {
    /// sizeof(smesec_response_head).
    pub size: usize,
    /// Such as `HTTP/1.1`.
    pub version: Bytes,
    /// The headers in their order.
    pub headers: *const Header,
    /// How many.
    pub header_count: usize,
    /// Now, as in smesec_connection.
    pub unix_nanos: i64,
    /// The status code.
    pub status: u16,
}

/// How the host ended a transaction.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Outcome {
    /// sizeof(smesec_outcome).
    pub size: usize,
    /// Bytes of the response's body that were sent.
    pub bytes: u64,
    /// Now, as in smesec_connection.
    pub unix_nanos: i64,
    /// The status that the client got, 0 where it got none.
    pub status: u16,
    /// Whether the exchange broke off.
    pub aborted: bool,
}

/// Begins a transaction under the rules now in force.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_begin(
    waf: *const Waf,
    connection: *const Connection,
    out: *mut *mut Transaction,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `hand_out`.
        unsafe {
            let waf = shared(waf, "the WAF")?;
            let connection = shared(connection, "the connection")?;
            check_size(connection.size, size_of::<Connection>(), "smesec_connection")?;
            let connection = http::Connection {
                client: address(connection.client_address, connection.client_port)?,
                server: address(connection.server_address, connection.server_port)?,
                now: time(connection.unix_nanos),
            };
            hand_out(out, || {
                let inner = Some(waf.inner.begin(&connection, None));
                Ok(Transaction { inner, next: verdict::Phase::RequestHead, decided: false })
            })
        }
    })
}

unsafe fn address(text: Bytes, port: u16) -> Result<SocketAddr, Fault> {
    // SAFETY: see `Bytes`.
    let text = unsafe { text.text("the address") }?;
    let address: IpAddr =
        text.parse().map_err(|_| Fault::config(format!("`{text}` is not an address")))?;
    Ok(SocketAddr::new(address, port))
}

fn time(unix_nanos: i64) -> Timestamp {
    if unix_nanos == 0 {
        Timestamp::from_system_clock()
    } else {
        Timestamp::from_unix_nanos(unix_nanos)
    }
}

unsafe fn headers<'a>(first: *const Header, count: usize) -> Result<Vec<http::Header<'a>>, Fault> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if first.is_null() {
        return Err(Fault::null("the headers"));
    }
    // SAFETY: not null; the caller vouches for `count` headers and their bytes during the call.
    unsafe {
        let views = std::slice::from_raw_parts(first, count).iter();
        views.map(|h| Ok(http::Header { name: h.name.get()?, value: h.value.get()? })).collect()
    }
}

/// One step: the phase is checked first, so that a step out of order changes nothing.
unsafe fn step(
    transaction: *mut Transaction,
    out: *mut Verdict,
    call: &str,
    phase: verdict::Phase,
    last: bool,
    run: impl FnOnce(&mut dyn filter::Transaction) -> Result<Step, Fault>,
) -> Status {
    guard(|| {
        // SAFETY: see `unique`.
        let (transaction, out) =
            unsafe { (unique(transaction, "the transaction")?, unique(out, "the verdict")?) };
        check_size(out.size, size_of::<Verdict>(), "smesec_verdict")?;
        let inner =
            transaction.inner.as_mut().ok_or_else(|| Fault::phase(call, "after `finish`"))?;
        let jump = transaction.decided
            && transaction.next <= phase
            && phase >= verdict::Phase::ResponseHead;
        if transaction.next != phase && !jump {
            return Err(Fault::phase(call, &format!("before or after `{:?}`", transaction.next)));
        }
        let mut step = run(inner.as_mut())?;
        // No pool is known here, so long work is done in place.
        while step == Step::Pending {
            let Some(work) = inner.take_work() else { break };
            step = inner.resume(work.run());
        }
        let verdict = step.verdict().unwrap_or_default();
        transaction.decided |= verdict.is_decisive();
        if last {
            transaction.next = match phase {
                verdict::Phase::RequestHead => verdict::Phase::RequestBody,
                verdict::Phase::RequestBody => verdict::Phase::ResponseHead,
                verdict::Phase::ResponseHead => verdict::Phase::ResponseBody,
                _ => verdict::Phase::Log,
            };
        }
        let (action, status) = match verdict.action() {
            verdict::Action::Pass => (Action::Pass, 0),
            verdict::Action::Log => (Action::Log, 0),
            verdict::Action::Deny { status } => (Action::Deny, status),
            verdict::Action::Redirect { status } => (Action::Redirect, status),
            verdict::Action::Decoy => (Action::Decoy, 0),
            verdict::Action::Reject => (Action::Reject, 0),
            _ => (Action::Drop, 0),
        };
        *out = Verdict { size: out.size, action: action as u32, status, score: verdict.score() };
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
    // SAFETY: see `step`, `shared` and `headers`.
    unsafe {
        step(transaction, out, "request_head", verdict::Phase::RequestHead, true, |inner| {
            let head = shared(head, "the head")?;
            check_size(head.size, size_of::<RequestHead>(), "smesec_request_head")?;
            Ok(inner.request_head(&http::RequestHead {
                method: head.method.get()?,
                target: head.target.get()?,
                version: head.version.get()?,
                headers: &headers(head.headers, head.header_count)?,
                now: time(head.unix_nanos),
            }))
        })
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
    unsafe {
        step(transaction, out, "request_body", verdict::Phase::RequestBody, last, |inner| {
            Ok(inner.request_body(chunk.get()?, last))
        })
    }
}

/// The response's head.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_response_head(
    transaction: *mut Transaction,
    head: *const ResponseHead,
    out: *mut Verdict,
) -> Status {
    // SAFETY: see `step`, `shared` and `headers`.
    unsafe {
        step(transaction, out, "response_head", verdict::Phase::ResponseHead, true, |inner| {
            let head = shared(head, "the head")?;
            check_size(head.size, size_of::<ResponseHead>(), "smesec_response_head")?;
            Ok(inner.response_head(&http::ResponseHead {
                status: head.status,
                version: head.version.get()?,
                headers: &headers(head.headers, head.header_count)?,
                now: time(head.unix_nanos),
            }))
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
    unsafe {
        step(transaction, out, "response_body", verdict::Phase::ResponseBody, last, |inner| {
            Ok(inner.response_body(chunk.get()?, last))
        })
    }
}

/// How many bytes of a body (`phase` 2 or 4) the host has to hold back until the verdict on its last
/// piece: 0 where pieces may go on at once. `wanted` says whether the body has to be handed over at
/// all; a body that is not wanted still ends with an empty last piece.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_wants(
    transaction: *const Transaction,
    phase: u32,
    wanted: *mut bool,
    hold: *mut u64,
) -> Status {
    guard(|| {
        let phase = match phase {
            1 => verdict::Phase::RequestHead,
            2 => verdict::Phase::RequestBody,
            3 => verdict::Phase::ResponseHead,
            4 => verdict::Phase::ResponseBody,
            n => return Err(Fault::config(format!("phase `{n}` is unknown; see the header"))),
        };
        // SAFETY: see `shared` and `unique`.
        unsafe {
            let transaction = shared(transaction, "the transaction")?;
            let (wanted, hold) = (unique(wanted, "`wanted`")?, unique(hold, "`hold`")?);
            let inner = transaction
                .inner
                .as_ref()
                .ok_or_else(|| Fault::phase("wants", "after `finish`"))?;
            (*wanted, *hold) = match inner.wants(phase) {
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
    let inner = transaction.and_then(|transaction| transaction.inner.as_ref());
    Bytes::of(inner.and_then(|inner| inner.location()).unwrap_or_default().as_bytes())
}

/// How many findings there are so far, 0 for NULL and after `finish`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_finding_count(
    transaction: *const Transaction,
) -> usize {
    // SAFETY: see `shared`.
    let transaction = unsafe { shared(transaction, "the transaction") }.ok();
    transaction.and_then(|t| t.inner.as_ref()).map_or(0, |inner| inner.findings().len())
}

/// Tells the findings so far as one JSON array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_findings_json(
    transaction: *const Transaction,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell`.
        unsafe {
            let transaction = shared(transaction, "the transaction")?;
            let inner = transaction
                .inner
                .as_ref()
                .ok_or_else(|| Fault::phase("findings", "after `finish`"))?;
            tell(tell_to, user, &serde_json::to_string(inner.findings()).unwrap_or_default())
        }
    })
}

/// The log phase: tells at most one event as JSON (form v1). `tell_to` may be NULL where nobody wants it,
/// `outcome` may not. The transaction still has to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_transaction_finish(
    transaction: *mut Transaction,
    outcome: *const Outcome,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared`, `unique` and `tell`.
        unsafe {
            let transaction = unique(transaction, "the transaction")?;
            let outcome = shared(outcome, "the outcome")?;
            check_size(outcome.size, size_of::<Outcome>(), "smesec_outcome")?;
            let inner = transaction.inner.take().ok_or_else(|| Fault::phase("finish", "twice"))?;
            let outcome = filter::Outcome {
                status: outcome.status,
                bytes: outcome.bytes,
                aborted: outcome.aborted,
                now: time(outcome.unix_nanos),
            };
            let kept = Kept(Mutex::new(Vec::new()));
            inner.finish(outcome, &kept);
            if tell_to.is_some() {
                for event in kept.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
                    tell(tell_to, user, &event.to_json())?;
                }
            }
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

/// Keeps what a filter emits until it has returned, so that no C code runs inside it.
struct Kept(Mutex<Vec<Event>>);

impl Sink for Kept {
    fn accept(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}
