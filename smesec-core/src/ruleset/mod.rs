//! What every rule language shares: the report of a load, and the handle that reload swaps.

mod reload;
mod report;

pub use reload::Reloadable;
pub use report::{Degraded, LoadReport, Refused};
