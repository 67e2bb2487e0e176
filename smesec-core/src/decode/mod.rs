//! Bounded decoders: pure functions and state machines from bytes to bytes or to events.
//!
//! Nothing here knows of rules, and nothing here can fail beyond its own result: bad input is
//! an outcome, not an error of the program.

pub mod body;
pub mod byteset;
pub mod digest;
pub mod transform;
#[cfg(feature = "yaml")]
pub mod yaml;
