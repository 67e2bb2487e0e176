//! smesec: security engines that run inside the host's own process.
//!
//! Four words, one event: a [`filter::Filter`] stands in the path of an HTTP transaction, a
//! [`detector::Detector`] watches a stream, a [`scanner::Scanner`] examines one object, a
//! [`runner::TestRunner`] acts against a target. All report [`event::Event`]s made of
//! [`event::Finding`]s into a [`sink::Sink`].
//!
//! Engines start no thread, read no clock and open no file that the host did not name. The products that need a
//! runtime do: the gateway, the network client and the command, each behind its feature.

// The README's snippet is a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

// base
pub mod error;
pub mod limits;
pub mod time;

// vocabulary
pub mod collection;
pub mod detector;
pub mod event;
pub mod filter;
pub mod http;
pub mod intake;
pub mod policy;
pub mod runner;
pub mod scanner;
pub mod sink;
pub mod verdict;

// tools
pub mod decode;
pub mod mask;
pub mod ruleset;

// engines
#[cfg(feature = "siem")]
pub mod siem;
#[cfg(feature = "taas")]
pub mod taas;
#[cfg(feature = "waf")]
pub mod waf;

// products
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "gateway")]
pub mod gateway;

// entry
#[cfg(feature = "cli")]
pub mod cli;

pub use error::Error;
pub use event::{Event, Finding};
pub use filter::{Filter, Transaction};
pub use http::{Connection, Header, RequestHead, ResponseHead};
pub use sink::Sink;
pub use verdict::{Action, Phase, Step, Verdict};
