//! State between transactions: persistent collections, behind one trait so that a host can keep
//! them in one process or share them among many.

use crate::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

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

/// Collections in this process's memory, bounded.
///
/// Default bounds: 65,536 records (an address each of a busy day), 64 variables a record, 4 KiB a
/// value, and 3,600 s of life after the last change (ModSecurity's `SecCollectionTimeout`). When the
/// records are full, expired ones go first, then the one longest unchanged, so that a flood of new
/// addresses cannot stop counting.
///
/// ```
/// use smesec_core::collection::{Change, CollectionStore, MemoryStore};
/// use smesec_core::time::Timestamp;
/// let store = MemoryStore::default();
/// let now = Timestamp::from_unix_seconds(0);
/// store.apply("IP", b"192.0.2.1", b"hits", Change::Add(2), now);
/// store.apply("IP", b"192.0.2.1", b"hits", Change::Add(3), now);
/// assert_eq!(store.load("IP", b"192.0.2.1", now), vec![(b"hits".to_vec(), b"5".to_vec())]);
/// assert!(store.load("IP", b"192.0.2.1", now.plus_seconds(4_000)).is_empty());
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    records: Mutex<HashMap<(String, Vec<u8>), Record>>,
    capacity: usize,
    timeout_seconds: i64,
}

#[derive(Debug, Default)]
struct Record {
    variables: Vec<Slot>,
    changed: Timestamp,
}

#[derive(Debug)]
struct Slot {
    name: Vec<u8>,
    value: Vec<u8>,
    expires: Option<Timestamp>,
}

const VARIABLES_PER_RECORD: usize = 64;
const BYTES_PER_VALUE: usize = 4 << 10;

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(65_536, 3_600)
    }
}

impl MemoryStore {
    /// A store of `capacity` records that live `timeout_seconds` after their last change.
    pub fn new(capacity: usize, timeout_seconds: i64) -> Self {
        Self { records: Mutex::new(HashMap::new()), capacity: capacity.max(1), timeout_seconds }
    }

    fn make_room(&self, records: &mut HashMap<(String, Vec<u8>), Record>, now: Timestamp) {
        if records.len() < self.capacity {
            return;
        }
        records.retain(|_, record| now.seconds_since(record.changed) < self.timeout_seconds);
        if records.len() >= self.capacity {
            // One pass frees a sixteenth, so that a flood of new keys does not pay it every time.
            let mut ages: Vec<Timestamp> = records.values().map(|record| record.changed).collect();
            let nth = ages.len() / 16;
            let (_, cut, _) = ages.select_nth_unstable(nth);
            let cut = *cut;
            let mut left = nth.max(1);
            records.retain(|_, record| {
                let goes = left > 0 && record.changed <= cut;
                left -= usize::from(goes);
                !goes
            });
        }
    }
}

impl CollectionStore for MemoryStore {
    fn load(&self, collection: &str, key: &[u8], now: Timestamp) -> Vec<Variable> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = records.get(&(collection.to_owned(), key.to_vec())) else {
            return Vec::new();
        };
        if now.seconds_since(record.changed) >= self.timeout_seconds {
            return Vec::new();
        }
        let alive = record.variables.iter().filter(|slot| slot.is_alive(now));
        alive.map(|slot| (slot.name.clone(), slot.value.clone())).collect()
    }

    fn apply(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        change: Change,
        now: Timestamp,
    ) -> bool {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (collection.to_owned(), key.to_vec());
        if !records.contains_key(&place) {
            self.make_room(&mut records, now);
        }
        let record = records.entry(place).or_default();
        if now.seconds_since(record.changed) >= self.timeout_seconds {
            record.variables.clear();
        }
        record.changed = now;
        record.variables.retain(|slot| slot.is_alive(now));
        let found = record.variables.iter().position(|slot| slot.name.eq_ignore_ascii_case(name));
        let (value, expires) = match change {
            Change::Unset => {
                if let Some(n) = found {
                    record.variables.swap_remove(n);
                }
                return true;
            }
            Change::ExpireAt(at) => {
                if let Some(slot) = found.and_then(|n| record.variables.get_mut(n)) {
                    slot.expires = Some(at);
                }
                return true;
            }
            Change::Set(value) => (value, None),
            Change::Add(delta) => {
                let slot = found.and_then(|n| record.variables.get(n));
                let old = slot.map_or(0, |slot| number(&slot.value));
                let value = old.saturating_add(delta).to_string().into_bytes();
                (value, slot.and_then(|slot| slot.expires))
            }
        };
        if value.len() > BYTES_PER_VALUE {
            return false;
        }
        if let Some(slot) = found.and_then(|n| record.variables.get_mut(n)) {
            slot.value = value;
            slot.expires = expires;
        } else if record.variables.len() < VARIABLES_PER_RECORD {
            record.variables.push(Slot { name: name.to_vec(), value, expires });
        } else {
            return false;
        }
        true
    }
}

impl Slot {
    fn is_alive(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|at| now < at)
    }
}

/// The number that a value is, 0 where it is none.
fn number(value: &[u8]) -> i64 {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_evicts_the_longest_unchanged() {
        let store = MemoryStore::new(16, 1_000);
        let at = Timestamp::from_unix_seconds;
        for n in 0..16 {
            store.apply("IP", format!("old{n}").as_bytes(), b"n", Change::Add(1), at(n));
        }
        for n in 0..100 {
            store.apply("IP", b"hot", b"n", Change::Add(1), at(100 + n));
            store.apply("IP", format!("new{n}").as_bytes(), b"n", Change::Add(1), at(100 + n));
        }
        assert_eq!(store.load("IP", b"hot", at(200)), vec![(b"n".to_vec(), b"100".to_vec())]);
        assert!(store.records.lock().unwrap().len() <= 16);
    }

    #[test]
    fn variables_expire_on_their_own() {
        let store = MemoryStore::default();
        let at = Timestamp::from_unix_seconds;
        store.apply("IP", b"k", b"block", Change::Set(b"1".to_vec()), at(0));
        store.apply("IP", b"k", b"block", Change::ExpireAt(at(10)), at(0));
        assert_eq!(store.load("IP", b"k", at(9)).len(), 1);
        assert!(store.load("IP", b"k", at(10)).is_empty());
    }

    #[test]
    fn limits_refuse_and_say_so() {
        let store = MemoryStore::default();
        let now = Timestamp::default();
        assert!(!store.apply("IP", b"k", b"v", Change::Set(vec![0; 5_000]), now));
        for n in 0..64 {
            assert!(store.apply("IP", b"k", format!("v{n}").as_bytes(), Change::Add(1), now));
        }
        assert!(!store.apply("IP", b"k", b"one more", Change::Add(1), now));
    }
}
