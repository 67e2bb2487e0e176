use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A compiled rule set that can be replaced while it is in use.
///
/// Readers take the current generation without a lock; what runs finishes on its own.
///
/// ```
/// use smesec_core::ruleset::Reloadable;
/// use std::sync::Arc;
/// let rules = Reloadable::new(Arc::new("first"));
/// let running = rules.current();
/// assert_eq!(rules.replace(Arc::new("second")), 2);
/// assert_eq!((*running, *rules.current()), ("first", "second"));
/// ```
#[derive(Debug)]
pub struct Reloadable<T> {
    current: ArcSwap<T>,
    generation: AtomicU64,
}

impl<T> Reloadable<T> {
    /// A handle whose first generation is `rules`.
    pub fn new(rules: Arc<T>) -> Self {
        Self { current: ArcSwap::new(rules), generation: AtomicU64::new(1) }
    }

    /// The current generation.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Replaces it; returns the new generation's number, counted from 1.
    pub fn replace(&self, rules: Arc<T>) -> u64 {
        self.current.store(rules);
        self.generation.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The number of the current generation.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}
