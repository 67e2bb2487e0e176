//! The gateway over real sockets.
#![cfg(feature = "gateway")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unnecessary_debug_formatting,
    reason = "a test: a panic is the verdict; paths are quoted as TOML wants them"
)]

mod clients;
mod control;
mod filters;
mod framing;
mod lifecycle;
mod named;
mod smuggling;
mod stage;
mod streaming;
mod tls;
mod upstreams;
mod verdicts;
