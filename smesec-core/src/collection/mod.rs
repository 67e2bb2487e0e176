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
use std::sync::Arc;

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
    /// Adds to a variable and tells what it is then; `None` when a limit stood against it.
    ///
    /// As given here another transaction's addition may be in the sum; a store that many share does both at once,
    /// so that of two who count to a hundred one alone is the hundredth.
    fn add(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        delta: i64,
        now: Timestamp,
    ) -> Option<i64> {
        if !self.apply(collection, key, name, Change::Add(delta), now) {
            return None;
        }
        let record = self.load(collection, key, now);
        let found = record.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        // What cannot be read back counts from here.
        Some(found.map_or(delta, |(_, value)| record::number(value)))
    }
    /// The store for a child process after a fork; `None`, the default, for one that is shared as it is. A store
    /// with a lock that another thread of the parent may have held answers with a fresh one: nobody would let go
    /// of that lock in the child.
    fn in_child(&self) -> Option<Arc<dyn CollectionStore>> {
        None
    }
}
