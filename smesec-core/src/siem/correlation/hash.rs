//! The hash behind groups, buckets and alarm ids: `SipHash-1-3` with 128 bits.
//!
//! The key is fixed, since the same group has to give the same bucket and the same alarm id in every
//! process. `SipHash` rather than something faster: group values come from attackers, and a hash
//! whose collisions can be computed would let one group hide in another.

/// `SipHash-1-3-128` of `bytes` under a key.
pub(crate) fn sip128(key: u64, bytes: &[u8]) -> u128 {
    let mut state = Sip {
        v0: key ^ 0x736f_6d65_7073_6575,
        v1: !key ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        v2: key ^ 0x6c79_6765_6e65_7261,
        v3: !key ^ 0x7465_6462_7974_6573,
    };
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        state.take(chunk.try_into().map_or(0, u64::from_le_bytes));
    }
    let mut last = (bytes.len() as u64) << 56;
    for (at, byte) in chunks.remainder().iter().enumerate() {
        last |= u64::from(*byte) << (8 * at);
    }
    state.take(last);
    state.v2 ^= 0xee;
    let low = state.finish();
    state.v1 ^= 0xdd;
    let high = state.finish();
    u128::from(high) << 64 | u128::from(low)
}

struct Sip {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl Sip {
    fn take(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    fn finish(&mut self) -> u64 {
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}

/// The low half, for values and table places.
pub(crate) fn low(hash: u128) -> u64 {
    u64::try_from(hash & u128::from(u64::MAX)).unwrap_or_default()
}

/// The high half.
pub(crate) fn high(hash: u128) -> u64 {
    u64::try_from(hash >> 64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_byte_and_the_length_count() {
        let mut seen = HashSet::new();
        for length in 0..40 {
            assert!(seen.insert(sip128(0, &vec![0; length])), "zeroes of {length} bytes");
            for at in 0..length {
                let mut bytes = vec![0; length];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = 1;
                }
                assert!(seen.insert(sip128(0, &bytes)), "byte {at} of {length}");
            }
        }
        assert_ne!(sip128(0, b"x"), sip128(1, b"x"));
        assert_ne!(low(sip128(0, b"x")), high(sip128(0, b"x")));
    }
}
