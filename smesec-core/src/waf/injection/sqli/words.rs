//! The word table: keywords, functions, types, operators and phrases, each with its kind.
//!
//! `words.txt` holds one word a line, its kind's character first; the hash table over it is built when the
//! crate is compiled, so that it costs nothing at start-up.
#![expect(
    clippy::indexing_slicing,
    reason = "the table is built at compile time; look-ups mask to its size"
)]

use super::token::Kind;

/// The longest word of the table, checked when the table is built.
const LONGEST: usize = 29;
const COUNT: usize = 985;
/// Eight slots a word or so: a miss seldom has to compare.
const SLOTS: usize = 4096;

static LINES: &[u8] = include_bytes!("words.txt");
static TABLE: Table = build(LINES);

#[derive(Clone, Copy)]
struct Entry {
    at: u16,
    len: u8,
    kind: Kind,
}

struct Table {
    /// 0 where empty, else ten bits of entry number plus one and six bits of the hash.
    slots: [u16; SLOTS],
    entries: [Entry; COUNT],
    /// By a word's first byte, the lengths and second bytes that occur; letters of either case share a place.
    lengths: [u32; 32],
    seconds: [u32; 32],
    /// By a phrase's first byte, the first bytes of last words that occur.
    phrases: [u32; 32],
}

/// The place of a byte in a set of 32.
const fn bit(byte: u8) -> u32 {
    1 << (byte & 31)
}

/// A word of up to 29 bytes, upper-cased and padded with zeros.
#[derive(Clone, Copy)]
struct Key {
    bytes: [u8; 32],
    len: usize,
}

impl Key {
    const fn hash(&self) -> u64 {
        let mut hash = self.len as u64;
        let mut at = 0;
        while at < self.len {
            let b = &self.bytes;
            let word = u64::from_le_bytes([
                b[at],
                b[at + 1],
                b[at + 2],
                b[at + 3],
                b[at + 4],
                b[at + 5],
                b[at + 6],
                b[at + 7],
            ]);
            hash = (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            at += 8;
        }
        hash ^ (hash >> 32)
    }
}

/// The kind of a word, and its spelling in the table (which outlives the input).
pub(super) fn look_up(word: &[u8]) -> Option<(Kind, &'static [u8])> {
    let [first, second, ..] = *word else {
        return None;
    };
    let place = usize::from(first & 31);
    // Most words of a text are no SQL; these two tests tell without a hash.
    if word.len() > LONGEST
        || TABLE.lengths[place] & 1 << word.len() == 0
        || TABLE.seconds[place] & bit(second) == 0
    {
        return None;
    }
    find(&key([word]))
}

/// As [`look_up`], of the phrase `first second`.
pub(super) fn look_up_phrase(first: &[u8], second: &[u8]) -> Option<(Kind, &'static [u8])> {
    let (start, last) = (*first.first()?, *second.first()?);
    if TABLE.phrases[usize::from(start & 31)] & bit(last) == 0
        || first.len() + second.len() >= LONGEST
    {
        return None;
    }
    find(&key([first, b" ", second]))
}

/// The key of at most [`LONGEST`] bytes.
fn key<const N: usize>(parts: [&[u8]; N]) -> Key {
    let mut key = Key { bytes: [0; 32], len: 0 };
    for part in parts {
        let places = key.bytes.get_mut(key.len..).unwrap_or_default();
        for (place, byte) in places.iter_mut().zip(part) {
            *place = byte.to_ascii_uppercase();
        }
        key.len += part.len();
    }
    key
}

fn find(key: &Key) -> Option<(Kind, &'static [u8])> {
    let hash = key.hash();
    let wanted = key.bytes.get(..key.len)?;
    let mut slot = slot_of(hash);
    loop {
        let found = TABLE.slots[slot % SLOTS];
        if found == 0 {
            return None;
        }
        if found & TAG == tag_of(hash) {
            let entry = TABLE.entries.get(usize::from(found & !TAG) - 1)?;
            let start = usize::from(entry.at);
            let word = LINES.get(start..start + usize::from(entry.len))?;
            if word == wanted {
                return Some((entry.kind, word));
            }
        }
        slot += 1;
    }
}

const TAG: u16 = 0xfc00;

#[expect(clippy::cast_possible_truncation, reason = "masked to the number of slots")]
const fn slot_of(hash: u64) -> usize {
    (hash & (SLOTS as u64 - 1)) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "six bits of the hash are wanted")]
const fn tag_of(hash: u64) -> u16 {
    ((hash >> 40) as u16) & TAG
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "both checked: the file is short, its words are too"
)]
const fn build(lines: &[u8]) -> Table {
    assert!(lines.len() <= u16::MAX as usize);
    let mut table = Table {
        slots: [0; SLOTS],
        entries: [Entry { at: 0, len: 0, kind: Kind::Unknown }; COUNT],
        lengths: [0; 32],
        seconds: [0; 32],
        phrases: [0; 32],
    };
    let mut at = 0;
    let mut count: u16 = 0;
    while at < lines.len() {
        let known = Kind::of_symbol(lines[at]);
        assert!(known.is_some() && lines[at + 1] == b' ');
        at += 2;
        let start = at;
        let mut key = Key { bytes: [0; 32], len: 0 };
        while lines[at] != b'\n' {
            key.bytes[key.len] = lines[at];
            key.len += 1;
            at += 1;
        }
        at += 1;
        assert!(key.len >= 2 && key.len <= LONGEST);
        if let Some(kind) = known {
            table.entries[count as usize] = Entry { at: start as u16, len: key.len as u8, kind };
            count += 1;
        }
        let place = (key.bytes[0] & 31) as usize;
        table.lengths[place] |= 1 << key.len;
        table.seconds[place] |= bit(key.bytes[1]);
        let mut last = key.len - 1;
        while last > 0 && key.bytes[last] != b' ' {
            last -= 1;
        }
        if last > 0 {
            table.phrases[place] |= bit(key.bytes[last + 1]);
        }
        let hash = key.hash();
        let mut slot = slot_of(hash);
        while table.slots[slot % SLOTS] != 0 {
            slot += 1;
        }
        table.slots[slot % SLOTS] = tag_of(hash) | count;
    }
    assert!(count as usize == COUNT && COUNT < 1 << 10);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_any_case_and_nothing_near_it() {
        let text = core::str::from_utf8(LINES).unwrap();
        let words: std::collections::HashSet<&str> =
            text.lines().map(|line| line.split_at(2).1).collect();
        assert_eq!(words.len(), COUNT);
        for line in text.lines() {
            let (symbol, word) = (line.as_bytes()[0], line.split_at(2).1);
            for spelling in [word.to_owned(), word.to_lowercase()] {
                let (kind, canonical) = look_up(spelling.as_bytes()).unwrap();
                assert_eq!((kind.symbol(), canonical), (symbol, word.as_bytes()));
            }
            for near in [format!("{word}Q"), word.split_at(1).1.to_owned(), format!("{word}\0")] {
                assert_eq!(
                    look_up(near.as_bytes()).is_some(),
                    words.contains(near.as_str()),
                    "{near:?}"
                );
            }
            if let Some((first, second)) = word.rsplit_once(' ') {
                assert_eq!(
                    look_up_phrase(first.as_bytes(), second.as_bytes()).unwrap().1,
                    word.as_bytes()
                );
            }
        }
        assert!(look_up(b"").is_none());
        assert!(look_up(&[b'A'; 40]).is_none());
    }
}
