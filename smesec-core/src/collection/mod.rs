//! State between transactions: persistent collections, behind one trait so that a host can keep
//! them in one process or share them among many.

mod memory;
mod record;
#[cfg(all(unix, feature = "shared"))]
mod region;
#[cfg(all(unix, feature = "shared"))]
mod shared;

pub use memory::MemoryStore;
#[cfg(all(unix, feature = "shared"))]
pub use shared::SharedStore;

use crate::time::Timestamp;

/// A change to one variable of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Sets the value.
    Set(Vec<u8>),
    /// Adds to the number that the value is (0 where it is none), saturating.
    Add(i64),
    /// Removes the variable.
    Unset,
    /// Removes the variable at that time.
    ExpireAt(Timestamp),
}

/// A variable of a record: its name and value.
pub type Variable = (Vec<u8>, Vec<u8>);

/// Keeps records of named variables, each record under a collection (`IP`, `SESSION`) and a key (an
/// address, a session id).
///
/// `apply` is atomic for one record: two transactions that each add 1 leave 2.
pub trait CollectionStore: Send + Sync {
    /// The record's variables that have not expired; empty for a new record.
    fn load(&self, collection: &str, key: &[u8], now: Timestamp) -> Vec<Variable>;
    /// Changes one variable, creating the record if need be. False when a limit stood against it.
    fn apply(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        change: Change,
        now: Timestamp,
    ) -> bool;
}
