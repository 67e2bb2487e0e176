//! Our own rule pack, embedded.

/// The files in the order in which they are loaded.
pub(super) const FILES: &[(&str, &str)] = &[];
