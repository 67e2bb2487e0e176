//! Secrets that a run knows, and their masking.

use std::borrow::Cow;

/// Shorter values are words of everyday text; starring them out would make reports unreadable.
const SHORTEST: usize = 4;

/// Literal values that may not leave: passwords, tokens, keys.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Longest first, so that a secret within another is not what is replaced.
    values: Vec<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

impl Secrets {
    /// Remembers a value; those of fewer than 4 bytes are passed over.
    pub fn add(&mut self, value: impl Into<String>) {
        let value = value.into();
        if value.len() < SHORTEST || self.values.contains(&value) {
            return;
        }
        let at = self.values.partition_point(|known| known.len() >= value.len());
        self.values.insert(at, value);
    }

    /// A text without them.
    pub fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(text);
        for value in &self.values {
            if out.contains(value.as_str()) {
                out = Cow::Owned(out.replace(value.as_str(), "[masked]"));
            }
        }
        out
    }
}
