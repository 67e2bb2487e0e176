//! Testing as a service: test files run against an application, and an audit of its doors.
//!
//! The engine acts through [`crate::runner::Session`]s that the host hands in; it opens no socket
//! itself. The room `client` has sessions over the network.

pub mod audit;
pub mod builtin;
mod secret;

pub use secret::Secrets;
