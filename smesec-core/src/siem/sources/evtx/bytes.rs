//! Numbers and names at offsets that may lie anywhere.

/// A chunk, or what is there of it.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'l>(pub(super) &'l [u8]);

impl<'l> Bytes<'l> {
    pub(super) fn slice(self, at: usize, size: usize) -> Option<&'l [u8]> {
        self.0.get(at..at.checked_add(size)?)
    }

    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    pub(super) fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(super) fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// A number of 32 bits as an offset.
    pub(super) fn offset(self, at: usize) -> Option<usize> {
        self.u32(at).and_then(|offset| usize::try_from(offset).ok())
    }

    /// A name: the next one's offset, a hash, a count of UTF-16 units, the units, NUL. Gives the units
    /// and the size of the whole.
    pub(super) fn name(self, at: usize) -> Option<(&'l [u8], usize)> {
        let count = usize::from(self.u16(at.checked_add(6)?)?);
        Some((self.slice(at + 8, count * 2)?, 8 + count * 2 + 2))
    }
}
