//! Test files run against an application over the network, and the audit of its doors.
//!
//! | file | what |
//! | --- | --- |
//! | `tests` | test files: loaded, run |
//! | `extension` | functions behind `$ext`, written in C |
//! | `audit` | the doors of an API, tried |
//! | `report` | what either found: told, counted, written out |

mod audit;
mod extension;
mod report;
mod tests;

pub use audit::*;
pub use extension::*;
pub use report::*;
pub use tests::*;
