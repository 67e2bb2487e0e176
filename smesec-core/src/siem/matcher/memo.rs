//! What a value announces, remembered by value.
//!
//! Programs, paths and command lines of services come again and again. What a value announces hangs
//! on its bytes and the rules alone, so it is kept: filled by what comes twice, bounded in values
//! and bytes.

use super::view::hash_with;

/// Places, in pairs. 8,192 values: the programs, paths and users of a company's machines; a table of
/// twice as many leaves a core's nearer memory and is slower for all.
const PLACES: usize = 1 << 13;
/// Shorter values are looked through faster than they are remembered.
const SHORTEST: usize = 16;
/// Longer values do not come again.
const LONGEST: usize = 512;
/// Places for hashes of what was seen once.
const ONCE: usize = 1 << 12;

#[derive(Debug)]
pub(super) struct Memo {
    /// By place, a part of its value's hash: most that is not known costs one look here.
    tags: Vec<u32>,
    places: Vec<Place>,
    once: Vec<u32>,
    off: bool,
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
        Self { tags: vec![0; PLACES], places, once: vec![0; ONCE], off: false }
    }

    pub(super) fn remember(&mut self, remember: bool) {
        self.off = !remember;
    }

    /// What a value announces to an index, if it is known; else where to keep it.
    pub(super) fn look(&self, index: u32, value: &[u8]) -> Result<&[u32], u64> {
        if self.off || !(SHORTEST..=LONGEST).contains(&value.len()) {
            return Err(0);
        }
        let hash = hash_with(value, index);
        for at in pair(hash) {
            if self.tags.get(at) == Some(&tag(hash))
                && let Some(place) = self.places.get(at)
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
        if finds.len() > 256 {
            return;
        }
        let print = tag(hash);
        match self.once.get_mut(place_of(hash) % ONCE) {
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
        let taken = if turn { second } else { first };
        if let (Some(place), Some(known)) = (self.places.get_mut(taken), self.tags.get_mut(taken)) {
            *known = print;
            place.write(index, value, finds);
        }
    }
}

impl Place {
    fn write(&mut self, index: u32, value: &[u8], finds: &[u32]) {
        self.index = index;
        self.value.clear();
        self.value.extend_from_slice(value);
        self.finds.clear();
        self.finds.extend_from_slice(finds);
    }
}

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

#[expect(clippy::cast_possible_truncation, reason = "a place is any part of a hash")]
const fn place_of(hash: u64) -> usize {
    hash as usize
}

const fn pair(hash: u64) -> [usize; 2] {
    let first = (place_of(hash) % PLACES) & !1;
    [first, first + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_is_known_by_its_index_and_its_bytes() {
        let mut memo = Memo::new();
        for time in 0..3 {
            match memo.look(7, b"c:\\windows\\cmd.exe") {
                Err(hash) => {
                    assert!(time < 2);
                    memo.keep(hash, 7, b"c:\\windows\\cmd.exe", &[1, 2]);
                }
                Ok(finds) => assert!(time == 2 && finds == [1, 2]),
            }
        }
        assert!(memo.look(8, b"c:\\windows\\cmd.exe").is_err());
        assert!(memo.look(7, b"c:\\windows\\cmd.exf").is_err());
        assert_eq!(memo.look(7, &[b'a'; LONGEST + 1]), Err(0));
        assert_eq!(memo.look(7, b"cmd.exe"), Err(0));
        memo.remember(false);
        assert_eq!(memo.look(7, b"c:\\windows\\cmd.exe"), Err(0));
    }
}
