//! The C face of smesec.
//!
//! Nothing is decided here: each function checks its pointers, calls [`smesec_core`] behind a panic
//! boundary and turns the answer into C's types. `include/smesec.h` is made from these files and is
//! the manual; its head says who owns what and which thread may do what.
//!
//! | file | what |
//! | --- | --- |
//! | `border` | status, last error, panic boundary, bytes in and out |
//! | `rules` | rule sets and their builder |
//! | `store` | where persistent collections live |
//! | `waf` | the firewall, its exceptions |
//! | `http` | the structs of a transaction, both ways |
//! | `event` | findings and events |
//! | `scanner` | scanners, those written in C |
//! | `filter` | filters, chains, those written in C |
//! | `intake` | objects inside a stream, taken in by C |
//! | `transaction` | the steps of one HTTP transaction, its long work |
//! | `sink` | where events go; detectors behind sinks |
//! | `siem_rules` | rules over logs and their builder |
//! | `siem` | the engine over logs |
//! | `taas` | test files run against an application, and the audit of its doors: feature `tests`, on by default |

#![allow(
    clippy::missing_safety_doc,
    reason = "one contract holds for all functions; it stands once, at the top of the header"
)]
#![allow(
    clippy::doc_markdown,
    reason = "the comments are the header's, and C knows no back quotes"
)]

mod border;
mod event;
mod filter;
mod http;
mod intake;
mod rules;
mod scanner;
mod siem;
mod siem_rules;
mod sink;
mod store;
#[cfg(feature = "tests")]
mod taas;
mod transaction;
mod waf;

pub use border::{
    Bytes, Status, TextFn, smesec_abi_version, smesec_last_error, smesec_status_text,
    smesec_version,
};
pub use event::*;
pub use filter::*;
pub use http::*;
pub use intake::*;
pub use rules::*;
pub use scanner::*;
pub use siem::*;
pub use siem_rules::*;
pub use sink::*;
pub use store::*;
#[cfg(feature = "tests")]
pub use taas::*;
pub use transaction::*;
pub use waf::*;
