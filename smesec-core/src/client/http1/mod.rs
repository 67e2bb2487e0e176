//! HTTP/1.1 in bytes: requests written as they are given, answers read from any pieces.
//!
//! Our own above `httparse`, because a test must see what was really sent: headers in their raw
//! order and case, repeated ones repeated, and malformed answers told with what was seen.

mod request;
mod response;

pub(super) use request::{Form, RequestHead};
pub use response::{Limits, ResponseParser};
