//! TX variables whose names the rule set does not spell out: some rules make one for each argument.

use super::store::Slice;

/// Variables by name. The names' bytes are in the arena of the transaction.
#[derive(Debug, Default)]
pub(super) struct Named {
    items: Vec<Item>,
    /// For each hash the place of an item, plus one; a power of two long, at most half full.
    table: Vec<u32>,
    /// Names come from visitors: who knew the hash could fill one place.
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    hash: u64,
    /// As it was spelt first.
    pub(super) name: Slice,
    /// In lower case.
    lower: Slice,
    /// `None` once it was removed.
    pub(super) value: Option<Slice>,
}

impl Named {
    pub(super) fn clear(&mut self) {
        if self.seed == 0 {
            use std::hash::{BuildHasher, Hasher};
            let random = std::collections::hash_map::RandomState::new();
            self.seed = random.build_hasher().finish() | 1;
        }
        if !self.items.is_empty() {
            self.items.clear();
            self.table.clear();
        }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The hash of a name in lower case.
    pub(super) fn hash(&self, lower: &[u8]) -> u64 {
        let mut all = self.seed ^ lower.len() as u64;
        let (words, rest) = lower.as_chunks::<8>();
        for word in words {
            all = mix(all ^ u64::from_le_bytes(*word), self.seed);
        }
        mix(all ^ rest.iter().fold(1, |rest, byte| rest << 8 | u64::from(*byte)), self.seed)
    }

    /// The value of a name; `same` compares with a name in lower case.
    pub(super) fn find(&self, hash: u64, same: impl Fn(Slice) -> bool) -> Option<Slice> {
        self.items.get(self.position(hash, same)?)?.value
    }

    fn position(&self, hash: u64, same: impl Fn(Slice) -> bool) -> Option<usize> {
        let mask = self.table.len().checked_sub(1)?;
        let mut at = usize::try_from(hash).unwrap_or(0) & mask;
        // The table is never full, so there is an empty place.
        while let Some(n) = self.table.get(at).copied().filter(|n| *n != 0) {
            let n = n as usize - 1;
            if self.items.get(n).is_some_and(|item| item.hash == hash && same(item.lower)) {
                return Some(n);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Sets or removes a variable that is there; false when it is not.
    pub(super) fn change(
        &mut self,
        hash: u64,
        same: impl Fn(Slice) -> bool,
        value: Option<Slice>,
    ) -> bool {
        let at = self.position(hash, same);
        let Some(item) = at.and_then(|at| self.items.get_mut(at)) else { return false };
        item.value = value;
        true
    }

    /// A variable that was never there.
    pub(super) fn add(&mut self, hash: u64, name: Slice, lower: Slice, value: Slice) {
        self.items.push(Item { hash, name, lower, value: Some(value) });
        if self.items.len() * 2 > self.table.len() {
            let places = (self.items.len() * 4).next_power_of_two().max(64);
            self.table.clear();
            self.table.resize(places, 0);
            for n in 0..self.items.len() {
                self.enter(n);
            }
        } else {
            self.enter(self.items.len() - 1);
        }
    }

    fn enter(&mut self, n: usize) {
        let (Some(item), Some(mask)) = (self.items.get(n), self.table.len().checked_sub(1)) else {
            return;
        };
        let mut at = usize::try_from(item.hash).unwrap_or(0) & mask;
        while self.table.get(at).is_some_and(|n| *n != 0) {
            at = (at + 1) & mask;
        }
        if let (Some(place), Ok(n)) = (self.table.get_mut(at), u32::try_from(n + 1)) {
            *place = n;
        }
    }
}

/// The halves of a product, folded.
fn mix(value: u64, seed: u64) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let product = u128::from(value ^ ODD) * u128::from(seed | 1);
    let [low, high] = [product & u128::from(u64::MAX), product >> 64];
    u64::try_from(low ^ high).unwrap_or(0)
}
