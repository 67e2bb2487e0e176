//! Sets of small numbers: rules, nodes and gates as bits.

/// A set of numbers below a fixed bound.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// An empty set for numbers below `bound`.
    pub(crate) fn new(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(64)])
    }

    pub(crate) fn set(&mut self, n: usize) {
        if let Some(word) = self.0.get_mut(n / 64) {
            *word |= 1 << (n % 64);
        }
    }

    pub(crate) fn contains(&self, n: usize) -> bool {
        self.0.get(n / 64).is_some_and(|word| word >> (n % 64) & 1 == 1)
    }
}

/// Whether bit `n` is set in a row of words.
#[inline]
pub(crate) fn bit(row: &[u64], n: usize) -> bool {
    row.get(n / 64).is_some_and(|word| word >> (n % 64) & 1 == 1)
}
