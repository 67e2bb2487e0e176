//! Names of fields compared: some twenty a record, most of them short, so that the call of a general
//! comparison would cost more than the comparison.

/// Whether two texts are the same, eight bytes at a time without a call.
#[inline]
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // The last eight may overlap the first: up to sixteen bytes are two comparisons.
    if let (Some(first), Some(last)) = (one.first_chunk::<8>(), one.last_chunk::<8>()) {
        return other.first_chunk() == Some(first)
            && other.last_chunk() == Some(last)
            && (one.len() <= 16 || between(one, other));
    }
    if let (Some(first), Some(last)) = (one.first_chunk::<4>(), one.last_chunk::<4>()) {
        return other.first_chunk() == Some(first) && other.last_chunk() == Some(last);
    }
    one.iter().zip(other).all(|(one, other)| one == other)
}

fn between(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    one.iter().zip(other).all(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn any_byte_that_differs_is_seen() {
        for length in 0..40_usize {
            let text: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
            assert!(same(&text, &text.clone()));
            for at in 0..length {
                let mut other = text.clone();
                if let Some(byte) = other.get_mut(at) {
                    *byte ^= 1;
                }
                assert!(!same(&text, &other), "{length} {at}");
            }
            let longer = [text.as_slice(), b"x"].concat();
            assert!(!same(&text, &longer) && !same(&longer, &text));
        }
    }
}
