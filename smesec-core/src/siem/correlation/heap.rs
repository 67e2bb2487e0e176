//! What comes due, earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A heap whose entries stay when what they stand for has gone, since finding them would cost a look at
/// all. It is swept each time it has doubled since the last sweep: a constant number of looks an entry,
/// and never much more than twice what was live at once.
#[derive(Debug)]
pub(crate) struct LazyHeap<T> {
    heap: BinaryHeap<Reverse<T>>,
    /// At how many entries it is swept next.
    sweep: usize,
}

/// Fewer entries are not worth a sweep: 24 KB.
const LEAST: usize = 1_024;

impl<T: Ord> LazyHeap<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), sweep: LEAST }
    }

    /// `is_live` tells whether an entry still stands for something.
    pub(crate) fn push(&mut self, entry: T, is_live: impl Fn(&T) -> bool) {
        if self.heap.len() >= self.sweep {
            self.heap.retain(|Reverse(entry)| is_live(entry));
            self.sweep = LEAST + 2 * self.heap.len();
        }
        self.heap.push(Reverse(entry));
    }

    pub(crate) fn peek(&self) -> Option<&T> {
        self.heap.peek().map(|Reverse(entry)| entry)
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Bytes held, without the allocator's own.
    pub(crate) fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_is_swept_and_the_rest_comes_in_order() {
        let mut heap = LazyHeap::new();
        for n in 0..100_000_u32 {
            // The last hundred are live at any time, and every thousandth for ever.
            heap.push(n.reverse_bits(), |entry| {
                let pushed = entry.reverse_bits();
                pushed.is_multiple_of(1_000) || pushed + 100 >= n
            });
            assert!(heap.len() <= LEAST + 2 * 200, "{}", heap.len());
        }
        let mut told: Vec<u32> = std::iter::from_fn(|| heap.pop()).collect();
        assert!(told.is_sorted());
        told.retain(|entry| entry.reverse_bits().is_multiple_of(1_000));
        assert_eq!(told.len(), 100);
    }
}
