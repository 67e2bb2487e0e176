//! The structs of an HTTP transaction, and the way between them and the library's own.
#![expect(unsafe_code, reason = "structs from C; pointers are checked in `border`")]

use crate::border::{Bytes, Fault, check_size, shared};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{self, Step};
use smesec_core::{filter, http};
use std::net::{IpAddr, SocketAddr};

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

pub(crate) fn phase(number: u32) -> Result<verdict::Phase, Fault> {
    match number {
        1 => Ok(verdict::Phase::RequestHead),
        2 => Ok(verdict::Phase::RequestBody),
        3 => Ok(verdict::Phase::ResponseHead),
        4 => Ok(verdict::Phase::ResponseBody),
        n => Err(Fault::config(format!("phase `{n}` is unknown; see the header"))),
    }
}

pub(crate) const fn phase_number(phase: verdict::Phase) -> u32 {
    match phase {
        verdict::Phase::RequestHead => 1,
        verdict::Phase::RequestBody => 2,
        verdict::Phase::ResponseHead => 3,
        verdict::Phase::ResponseBody => 4,
        verdict::Phase::Log => 5,
    }
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
    /// No verdict yet: long work waits in smesec_transaction_take_work(). Only after
    /// smesec_transaction_defer(). Hold the last piece of the body back until
    /// smesec_transaction_resume() has answered otherwise.
    Pending = 7,
}

/// The answer of a step. Set `size` before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Verdict {
    /// sizeof(smesec_verdict).
    pub size: usize,
    /// A smesec_action; 2 to 6 end the transaction.
    pub action: u32,
    /// The HTTP status of Deny and Redirect, else 0.
    pub status: u16,
    /// The anomaly score, 0 where no rule scored.
    pub score: i32,
}

impl Verdict {
    pub(crate) const fn empty() -> Self {
        Self { size: size_of::<Self>(), action: 0, status: 0, score: 0 }
    }

    pub(crate) fn answer(&mut self, step: Step) {
        let Step::Done(verdict) = step else {
            *self = Self { action: Action::Pending as u32, status: 0, score: 0, ..*self };
            return;
        };
        let (action, status) = match verdict.action() {
            verdict::Action::Pass => (Action::Pass, 0),
            verdict::Action::Log => (Action::Log, 0),
            verdict::Action::Deny { status } => (Action::Deny, status),
            verdict::Action::Redirect { status } => (Action::Redirect, status),
            verdict::Action::Decoy => (Action::Decoy, 0),
            verdict::Action::Reject => (Action::Reject, 0),
            _ => (Action::Drop, 0),
        };
        *self = Self { action: action as u32, status, score: verdict.score(), ..*self };
    }

    /// What a callback wrote; `None` for an action that nobody knows.
    pub(crate) fn read(self) -> Option<Step> {
        let or = |otherwise| if self.status == 0 { otherwise } else { self.status };
        let action = match self.action {
            0 => verdict::Action::Pass,
            1 => verdict::Action::Log,
            2 => verdict::Action::Deny { status: or(403) },
            3 => verdict::Action::Redirect { status: or(302) },
            4 => verdict::Action::Decoy,
            5 => verdict::Action::Drop,
            6 => verdict::Action::Reject,
            7 => return Some(Step::Pending),
            _ => return None,
        };
        Some(Step::Done(verdict::Verdict::new(action, self.score)))
    }
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

impl Connection {
    pub(crate) unsafe fn read(place: *const Self) -> Result<http::Connection, Fault> {
        // SAFETY: see `shared` and `address`.
        unsafe {
            let connection = shared(place, "the connection")?;
            check_size(connection.size, size_of::<Self>(), "smesec_connection")?;
            Ok(http::Connection {
                client: address(connection.client_address, connection.client_port)?,
                server: address(connection.server_address, connection.server_port)?,
                now: time(connection.unix_nanos),
            })
        }
    }

    /// Shows a connection to a callback.
    pub(crate) fn show<T>(connection: &http::Connection, to: impl FnOnce(&Self) -> T) -> T {
        let client = connection.client.ip().to_string();
        let server = connection.server.ip().to_string();
        to(&Self {
            size: size_of::<Self>(),
            client_address: Bytes::of(client.as_bytes()),
            server_address: Bytes::of(server.as_bytes()),
            client_port: connection.client.port(),
            server_port: connection.server.port(),
            unix_nanos: connection.now.unix_nanos(),
        })
    }
}

unsafe fn address(text: Bytes, port: u16) -> Result<SocketAddr, Fault> {
    // SAFETY: see `Bytes`.
    let text = unsafe { text.text("the address") }?;
    let address: IpAddr =
        text.parse().map_err(|_| Fault::config(format!("`{text}` is not an address")))?;
    Ok(SocketAddr::new(address, port))
}

pub(crate) fn time(unix_nanos: i64) -> Timestamp {
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

fn views(headers: &[http::Header<'_>]) -> Vec<Header> {
    let view = |h: &http::Header<'_>| Header { name: Bytes::of(h.name), value: Bytes::of(h.value) };
    headers.iter().map(view).collect()
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

impl RequestHead {
    /// Reads the struct and hands it on.
    pub(crate) unsafe fn read<T>(
        place: *const Self,
        to: impl FnOnce(&http::RequestHead<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // SAFETY: see `shared`, `Bytes` and `headers`.
        unsafe {
            let head = shared(place, "the head")?;
            check_size(head.size, size_of::<Self>(), "smesec_request_head")?;
            to(&http::RequestHead {
                method: head.method.get()?,
                target: head.target.get()?,
                version: head.version.get()?,
                headers: &headers(head.headers, head.header_count)?,
                now: time(head.unix_nanos),
            })
        }
    }

    /// Shows a head to a callback.
    pub(crate) fn show<T>(head: &http::RequestHead<'_>, to: impl FnOnce(&Self) -> T) -> T {
        let headers = views(head.headers);
        to(&Self {
            size: size_of::<Self>(),
            method: Bytes::of(head.method),
            target: Bytes::of(head.target),
            version: Bytes::of(head.version),
            headers: headers.as_ptr(),
            header_count: headers.len(),
            unix_nanos: head.now.unix_nanos(),
        })
    }
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

impl ResponseHead {
    /// Reads the struct and hands it on.
    pub(crate) unsafe fn read<T>(
        place: *const Self,
        to: impl FnOnce(&http::ResponseHead<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // SAFETY: see `shared`, `Bytes` and `headers`.
        unsafe {
            let head = shared(place, "the head")?;
            check_size(head.size, size_of::<Self>(), "smesec_response_head")?;
            to(&http::ResponseHead {
                status: head.status,
                version: head.version.get()?,
                headers: &headers(head.headers, head.header_count)?,
                now: time(head.unix_nanos),
            })
        }
    }

    /// Shows a head to a callback.
    pub(crate) fn show<T>(head: &http::ResponseHead<'_>, to: impl FnOnce(&Self) -> T) -> T {
        let headers = views(head.headers);
        to(&Self {
            size: size_of::<Self>(),
            version: Bytes::of(head.version),
            headers: headers.as_ptr(),
            header_count: headers.len(),
            unix_nanos: head.now.unix_nanos(),
            status: head.status,
        })
    }
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

impl Outcome {
    pub(crate) unsafe fn read(place: *const Self) -> Result<filter::Outcome, Fault> {
        // SAFETY: see `shared`.
        let outcome = unsafe { shared(place, "the outcome") }?;
        check_size(outcome.size, size_of::<Self>(), "smesec_outcome")?;
        Ok(filter::Outcome {
            status: outcome.status,
            bytes: outcome.bytes,
            aborted: outcome.aborted,
            now: time(outcome.unix_nanos),
        })
    }

    pub(crate) const fn of(outcome: &filter::Outcome) -> Self {
        Self {
            size: size_of::<Self>(),
            bytes: outcome.bytes,
            unix_nanos: outcome.now.unix_nanos(),
            status: outcome.status,
            aborted: outcome.aborted,
        }
    }
}
