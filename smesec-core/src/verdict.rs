//! What an engine tells its host: a verdict, a step, a phase, a severity.

/// What the host is to do. Small and `Copy`; where a redirect leads is asked of the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// Nothing stands against it.
    #[default]
    Pass,
    /// Let it pass, and keep the event.
    Log,
    /// Answer with this HTTP status instead.
    Deny {
        /// The status, 403 unless a rule says otherwise.
        status: u16,
    },
    /// Answer with a redirect; [`crate::filter::Transaction::location`] tells where to.
    Redirect {
        /// The status, 302 unless a rule says otherwise.
        status: u16,
    },
    /// Hand the client over to the decoy.
    Decoy,
    /// Close the connection without an answer.
    Drop,
    /// Refuse the connection actively (TCP reset, ICMP unreachable).
    Reject,
}

impl Action {
    /// Whether the transaction ends here.
    pub const fn is_decisive(self) -> bool {
        !matches!(self, Self::Pass | Self::Log)
    }

    /// One word: `pass`, `log`, `deny`, `redirect`, `decoy`, `drop`, `reject`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Log => "log",
            Self::Deny { .. } => "deny",
            Self::Redirect { .. } => "redirect",
            Self::Decoy => "decoy",
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

/// An action with the score that led to it.
///
/// ```
/// use smesec_core::verdict::{Action, Verdict};
/// let v = Verdict::new(Action::Deny { status: 403 }, 15);
/// assert!(v.is_decisive() && v.score() == 15);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use = "an ignored verdict is a hole"]
pub struct Verdict {
    action: Action,
    score: i32,
}

impl Verdict {
    /// Nothing stands against it.
    pub const PASS: Self = Self { action: Action::Pass, score: 0 };

    /// A filter broke its own contract: what it did not inspect does not pass. Status 500, for the fault is not
    /// the client's.
    pub const BROKEN: Self = Self { action: Action::Deny { status: 500 }, score: 0 };

    /// An action and its score (the anomaly score of a rule set; 0 where none is kept).
    pub const fn new(action: Action, score: i32) -> Self {
        Self { action, score }
    }

    /// What the host is to do.
    pub const fn action(self) -> Action {
        self.action
    }

    /// The anomaly score, 0 where no rule scored.
    pub const fn score(self) -> i32 {
        self.score
    }

    /// Whether the transaction ends here.
    pub const fn is_decisive(self) -> bool {
        self.action.is_decisive()
    }
}

/// What one step of a transaction answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an ignored step is a hole"]
pub enum Step {
    /// The verdict up to here.
    Done(Verdict),
    /// Long work waits in [`crate::filter::Transaction::take_work`]; hold the last piece of the
    /// body back until [`crate::filter::Transaction::resume`] has answered `Done`.
    Pending,
}

impl Step {
    /// The verdict, or `None` while work is pending.
    pub const fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Done(verdict) => Some(verdict),
            Self::Pending => None,
        }
    }
}

/// The phases of an HTTP transaction, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the phases of HTTP are complete")]
pub enum Phase {
    /// Request line and headers.
    RequestHead,
    /// Request body.
    RequestBody,
    /// Status line and headers of the response.
    ResponseHead,
    /// Response body.
    ResponseBody,
    /// After the last byte: logging.
    Log,
}

/// What a transaction wants of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Body {
    /// Not needed: do not hand it over, do not buffer it.
    Skip,
    /// Hand over each piece; bytes may go on at once.
    Watch,
    /// Hand over each piece and let nothing pass before the verdict on the last one.
    Hold {
        /// Bytes that are held at most; beyond them the transaction's policy has decided.
        at_most: u64,
    },
}

/// How grave a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::exhaustive_enums, reason = "the OCSF scale is complete for our use")]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Info,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// OCSF's `severity_id`: 1 informational to 5 critical.
    pub const fn ocsf_id(self) -> u8 {
        match self {
            Self::Info => 1,
            Self::Low => 2,
            Self::Medium => 3,
            Self::High => 4,
            Self::Critical => 5,
        }
    }
}
