//! The client over real sockets.
#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is the verdict")]

mod exchanges;
mod http2;
mod mqtt;
mod safety;
mod stage;
mod tls;
