//! What the parsers' tests share: a small generator of numbers, ways to cut, and mutations.

/// Marsaglia's xorshift64: enough for tests, and the same run after run.
pub(crate) struct Xorshift(u64);

impl Xorshift {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// A copy of `input` with up to four bytes changed, inserted, doubled or cut.
    pub(crate) fn mutate(&mut self, input: &[u8], alphabet: &[u8]) -> Vec<u8> {
        let mut out = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len());
            match self.below(5) {
                0 if !out.is_empty() => out[at] = alphabet[self.below(alphabet.len())],
                1 => out.insert(at, alphabet[self.below(alphabet.len())]),
                2 if !out.is_empty() => drop(out.remove(at)),
                3 => {
                    let end = at + self.below(out.len() - at);
                    let piece = out[at..end].to_vec();
                    let to = self.below(out.len() + 1);
                    out.splice(to..to, piece);
                }
                _ => out.truncate(out.len() - self.below(out.len() / 4)),
            }
        }
        out
    }

    /// Cuts `input` at random places; some chunks are empty.
    pub(crate) fn chunks<'a>(&mut self, mut input: &'a [u8]) -> Vec<&'a [u8]> {
        let mut out = Vec::new();
        while !input.is_empty() {
            let (head, tail) = input.split_at(self.below(input.len().min(9) + 1));
            out.push(head);
            input = tail;
        }
        out
    }
}

/// Every way to give `input` that a re-chunking test tries: whole, byte by byte, cut in two at
/// every place, and four times at random.
pub(crate) fn chunkings(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut ways = vec![vec![input], input.chunks(1).collect()];
    ways.extend((0..=input.len()).map(|cut| vec![&input[..cut], &input[cut..]]));
    let mut random = Xorshift::new(0x9e37_79b9_7f4a_7c15);
    ways.extend((0..4).map(|_| random.chunks(input)));
    ways
}
