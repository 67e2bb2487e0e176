//! Sets of byte values, and the one fast scan that says which bytes an input holds.
#![expect(
    clippy::indexing_slicing,
    reason = "tables of 256 entries indexed by a byte, and four words indexed by its top two bits"
)]

/// A set of byte values: 256 bits.
///
/// ```
/// use smesec_core::decode::byteset::ByteSet;
///
/// const ESCAPES: ByteSet = ByteSet::of_bytes(b"%+");
/// assert!(ByteSet::scan(b"a%20b").intersects(ESCAPES));
/// assert!(!ByteSet::scan(b"plain").intersects(ESCAPES));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ByteSet([u64; 4]);

/// From this length on a table of marks is cheaper than setting bits one by one.
const MARKING_PAYS: usize = 56;

impl ByteSet {
    /// No byte.
    pub const EMPTY: Self = Self([0; 4]);
    /// Every byte.
    pub const FULL: Self = Self([u64::MAX; 4]);

    /// The set of the bytes in `bytes`.
    pub const fn of_bytes(bytes: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            set = set.with(byte);
            rest = tail;
        }
        set
    }

    /// The set of the bytes that occur in `input`.
    pub fn scan(input: &[u8]) -> Self {
        if input.len() < MARKING_PAYS {
            let mut words = [0_u64; 4];
            for &byte in input {
                words[usize::from(byte >> 6)] |= 1 << (byte & 63);
            }
            return Self(words);
        }
        let mut marks = [0_u8; 256];
        for &byte in input {
            marks[usize::from(byte)] = 1;
        }
        // Eight marks of one bit each are gathered into one byte by a multiplication.
        let mut words = [0_u64; 4];
        for (word, group) in words.iter_mut().zip(marks.as_chunks::<64>().0) {
            for eight in group.as_chunks::<8>().0.iter().rev() {
                let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                *word = (*word << 8) | gathered;
            }
        }
        Self(words)
    }

    /// The set with `byte` added.
    pub const fn with(mut self, byte: u8) -> Self {
        self.0[(byte >> 6) as usize] |= 1 << (byte & 63);
        self
    }

    /// The set with all bytes from `lo` to `hi` added, both included; nothing if `lo > hi`.
    pub const fn with_range(self, lo: u8, hi: u8) -> Self {
        let mut set = self;
        let mut byte = lo;
        while byte <= hi {
            set = set.with(byte);
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        set
    }

    /// The set as bits: bit `b % 64` of word `b / 64` stands for byte `b`.
    pub const fn words(self) -> [u64; 4] {
        self.0
    }

    /// Whether `byte` is in the set.
    pub const fn contains(self, byte: u8) -> bool {
        (self.0[(byte >> 6) as usize] >> (byte & 63)) & 1 == 1
    }

    /// Whether the two sets share a byte.
    pub const fn intersects(self, other: Self) -> bool {
        let (x, y) = (self.0, other.0);
        (x[0] & y[0]) | (x[1] & y[1]) | (x[2] & y[2]) | (x[3] & y[3]) != 0
    }

    /// The bytes of either set.
    pub const fn union(self, other: Self) -> Self {
        let (x, y) = (self.0, other.0);
        Self([x[0] | y[0], x[1] | y[1], x[2] | y[2], x[3] | y[3]])
    }

    /// The bytes that are not in the set.
    pub const fn complement(self) -> Self {
        let [a, b, c, d] = self.0;
        Self([!a, !b, !c, !d])
    }

    /// Whether every byte of this set is in `of`.
    pub const fn is_subset(self, of: Self) -> bool {
        let (x, y) = (self.0, of.0);
        (x[0] & !y[0]) | (x[1] & !y[1]) | (x[2] & !y[2]) | (x[3] & !y[3]) == 0
    }

    /// Whether the set holds no byte.
    pub const fn is_empty(self) -> bool {
        let [a, b, c, d] = self.0;
        a | b | c | d == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_scans_find_exactly_the_bytes_that_occur() {
        for len in [0, 1, 5, MARKING_PAYS - 1, MARKING_PAYS, 1000] {
            for step in [0_usize, 1, 7, 37, 255] {
                let input: Vec<u8> = (0..len).map(|i| (i * step + len).to_le_bytes()[0]).collect();
                let set = ByteSet::scan(&input);
                assert_eq!(set, ByteSet::of_bytes(&input), "length {len}, step {step}");
                for byte in 0..=u8::MAX {
                    assert_eq!(set.contains(byte), input.contains(&byte), "byte {byte:#x}");
                }
            }
        }
    }

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!(ByteSet::EMPTY.with_range(0, 255), ByteSet::FULL);
        assert_eq!(ByteSet::EMPTY.with_range(2, 1), ByteSet::EMPTY);
        let upper = ByteSet::EMPTY.with_range(b'A', b'Z');
        assert!(upper.contains(b'A') && upper.contains(b'Z'));
        assert!(!upper.contains(b'@') && !upper.contains(b'['));
    }

    #[test]
    fn relations_between_sets() {
        let (ab, bc) = (ByteSet::of_bytes(b"a\xf0"), ByteSet::of_bytes(b"\xf0c"));
        assert!(ab.intersects(bc) && !ab.is_subset(bc));
        assert!(ab.is_subset(ab.union(bc)) && bc.is_subset(ab.union(bc)));
        assert!(ByteSet::EMPTY.is_subset(ab) && !ByteSet::EMPTY.intersects(ab));
        assert!(ByteSet::EMPTY.is_empty() && !ab.is_empty());
    }
}
