//! What a value announces, remembered by value.
//!
//! Programs, paths and command lines of services come again and again. What a value announces hangs
//! on its bytes and the rules alone, so it is kept: filled by what comes twice, bounded in values
//! and bytes.

use super::view::hash_with;

/// Places, in pairs. 16,384 values: the programs, paths and users of a company's machines.
const PLACES: usize = 1 << 14;
/// Longer values do not come again.
const LONGEST: usize = 512;
/// Places for hashes of what was seen once.
const ONCE: usize = 1 << 14;

#[derive(Debug)]
pub(super) struct Memo {
    places: Vec<Place>,
    once: Vec<u32>,
}

#[derive(Debug, Default)]
struct Place {
    index: u32,
    used: bool,
    value: Vec<u8>,
    finds: Vec<u32>,
}

impl Memo {
    pub(super) fn new() -> Self {
        let mut places = Vec::new();
        places.resize_with(PLACES, Place::default);
        Self { places, once: vec![0; ONCE] }
    }

    /// What a value announces to an index, if it is known; else where to keep it.
    pub(super) fn look(&self, index: u32, value: &[u8]) -> Result<&[u32], u64> {
        if value.len() > LONGEST {
            return Err(0);
        }
        let hash = hash_with(value, index);
        for at in pair(hash) {
            if let Some(place) = self.places.get(at)
                && place.index == index
                && !place.value.is_empty()
                && place.value == value
            {
                return Ok(&place.finds);
            }
        }
        Err(hash)
    }

    /// Keeps what a value announces, if it is not seen for the first time.
    pub(super) fn keep(&mut self, hash: u64, index: u32, value: &[u8], finds: &[u32]) {
        if value.is_empty() || value.len() > LONGEST || finds.len() > 256 {
            return;
        }
        let print = (hash >> 32) as u32 | 1;
        match self.once.get_mut(hash as usize % ONCE) {
            Some(seen) if *seen == print => {}
            Some(seen) => {
                *seen = print;
                return;
            }
            None => return,
        }
        let [first, second] = pair(hash);
        // Of the two places the one that was not taken last is written over.
        let turn = self.places.get(first).is_some_and(|place| place.used);
        if let Some(place) = self.places.get_mut(first) {
            place.used = !turn;
        }
        if let Some(place) = self.places.get_mut(if turn { second } else { first }) {
            place.index = index;
            place.value.clear();
            place.value.extend_from_slice(value);
            place.finds.clear();
            place.finds.extend_from_slice(finds);
        }
    }
}

const fn pair(hash: u64) -> [usize; 2] {
    let first = hash as usize % PLACES & !1;
    [first, first + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_is_known_by_its_index_and_its_bytes() {
        let mut memo = Memo::new();
        for time in 0..3 {
            match memo.look(7, b"cmd.exe") {
                Err(hash) => {
                    assert!(time < 2);
                    memo.keep(hash, 7, b"cmd.exe", &[1, 2]);
                }
                Ok(finds) => assert!(time == 2 && finds == [1, 2]),
            }
        }
        assert!(memo.look(8, b"cmd.exe").is_err());
        assert!(memo.look(7, b"cmd.exf").is_err());
        assert!(memo.look(7, &[b'a'; LONGEST + 1]).is_err());
    }
}
