//! Collections in one process.

use super::record::Record;
use super::{Change, CollectionStore, Variable};
use crate::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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
        record.alive(now)
    }

    fn apply(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        change: Change,
        now: Timestamp,
    ) -> bool {
        self.change(collection, key, name, change, now).is_some()
    }

    fn add(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        delta: i64,
        now: Timestamp,
    ) -> Option<i64> {
        self.change(collection, key, name, Change::Add(delta), now)
    }

    fn in_child(&self) -> Option<Arc<dyn CollectionStore>> {
        Some(Arc::new(Self::new(self.capacity, self.timeout_seconds)))
    }
}

impl MemoryStore {
    /// Changes a variable and tells the number that it is then.
    fn change(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        change: Change,
        now: Timestamp,
    ) -> Option<i64> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (collection.to_owned(), key.to_vec());
        if !records.contains_key(&place) {
            self.make_room(&mut records, now);
        }
        let record = records.entry(place).or_default();
        if now.seconds_since(record.changed) >= self.timeout_seconds {
            record.variables.clear();
        }
        record.apply(name, change, now).then(|| record.number(name))
    }
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
