//! Limits: each has a default, the reason for that number, and an event when it is hit.

/// What to do when something could not be inspected whole (a limit, an unparsable body, a failed
/// scan).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnLimit {
    /// Stop the transaction: nothing uninspected passes. The default, since a limit that lets
    /// traffic through is a bypass with a manual.
    #[default]
    Closed,
    /// Let it pass and say so in a finding.
    Open,
}

/// A budget of abstract steps and bytes that long work draws from.
///
/// One step is about one look of one rule at 256 bytes of a value, some tens of nanoseconds.
///
/// ```
/// use smesec_core::limits::Budget;
/// let mut budget = Budget::new(100, 1_000);
/// assert!(budget.spend_steps(60));
/// assert!(!budget.spend_steps(60), "only 40 were left");
/// assert!(budget.is_exhausted());
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    steps: u64,
    bytes: u64,
    exhausted: bool,
}

impl Budget {
    /// A budget of `steps` and `bytes`.
    pub const fn new(steps: u64, bytes: u64) -> Self {
        Self { steps, bytes, exhausted: false }
    }

    /// Draws steps; false (and exhausted from then on) when too few are left.
    pub const fn spend_steps(&mut self, steps: u64) -> bool {
        if let Some(left) = self.steps.checked_sub(steps) {
            self.steps = left;
            !self.exhausted
        } else {
            self.exhausted = true;
            false
        }
    }

    /// Draws bytes; false (and exhausted from then on) when too few are left.
    pub const fn spend_bytes(&mut self, bytes: u64) -> bool {
        if let Some(left) = self.bytes.checked_sub(bytes) {
            self.bytes = left;
            !self.exhausted
        } else {
            self.exhausted = true;
            false
        }
    }

    /// Whether a draw has failed.
    pub const fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Steps left.
    pub const fn steps_left(&self) -> u64 {
        self.steps
    }

    /// Bytes left.
    pub const fn bytes_left(&self) -> u64 {
        self.bytes
    }
}
