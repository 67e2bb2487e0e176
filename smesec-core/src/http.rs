//! Borrowed views of HTTP: bytes as they came, in the order in which they came.

use crate::time::Timestamp;
use std::net::SocketAddr;

/// One header: the name and the value as sent, without the colon and the white space round it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a pair stays a pair; hosts build it in place")]
pub struct Header<'a> {
    /// The name in the sender's own case.
    pub name: &'a [u8],
    /// The value; obsolete line folding is the host's to undo.
    pub value: &'a [u8],
}

impl<'a> Header<'a> {
    /// A header from anything that is bytes.
    pub fn new(
        name: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> Self {
        Self { name: name.as_ref(), value: value.as_ref() }
    }
}

/// Who talks to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "hosts build it in place")]
pub struct Connection {
    /// The client, as the host believes it (after trusted proxies).
    pub client: SocketAddr,
    /// The server's own end.
    pub server: SocketAddr,
    /// When the transaction began.
    pub now: Timestamp,
}

/// A request's first line and headers.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "hosts build it in place")]
pub struct RequestHead<'a> {
    /// The method as sent, such as `GET`.
    pub method: &'a [u8],
    /// The request target as sent: path and query, nothing decoded.
    pub target: &'a [u8],
    /// The version as sent: `HTTP/1.1`, `HTTP/2.0`.
    pub version: &'a [u8],
    /// The headers in their order.
    pub headers: &'a [Header<'a>],
    /// When the head was complete.
    pub now: Timestamp,
}

/// A response's status and headers.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "hosts build it in place")]
pub struct ResponseHead<'a> {
    /// The status code.
    pub status: u16,
    /// The version as sent: `HTTP/1.1`.
    pub version: &'a [u8],
    /// The headers in their order.
    pub headers: &'a [Header<'a>],
    /// When the head was complete.
    pub now: Timestamp,
}
