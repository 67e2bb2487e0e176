//! Policies over findings: what a block becomes, and exceptions with an expiry.

use crate::time::Timestamp;
use crate::verdict::Action;

/// What a rule's block becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnBlock {
    /// What the rule says.
    #[default]
    Deny,
    /// The client goes to the decoy.
    Decoy,
    /// The event is kept and the transaction passes.
    Log,
}

impl OnBlock {
    /// Applies the policy to an action.
    ///
    /// ```
    /// use smesec_core::policy::OnBlock;
    /// use smesec_core::verdict::Action;
    /// assert_eq!(OnBlock::Decoy.apply(Action::Deny { status: 403 }), Action::Decoy);
    /// assert_eq!(OnBlock::Decoy.apply(Action::Log), Action::Log);
    /// ```
    pub const fn apply(self, action: Action) -> Action {
        match (self, action) {
            (Self::Decoy, Action::Deny { .. }) => Action::Decoy,
            (Self::Log, decisive) if decisive.is_decisive() => Action::Log,
            (_, other) => other,
        }
    }
}

/// Takes some rules away from some requests, for a while.
///
/// An exception with neither rules nor tag matches every rule; one with an empty path prefix
/// matches every path.
///
/// ```
/// use smesec_core::policy::Exception;
/// use smesec_core::time::Timestamp;
/// let exception = Exception { rules: vec![(942_000, 942_999)], target: Some("ARGS:comment".into()),
///     path_prefix: "/forum/".into(), expires: Some(Timestamp::from_unix_seconds(100)), ..Default::default() };
/// assert!(exception.covers_path(b"/forum/post", Timestamp::from_unix_seconds(99)));
/// assert!(!exception.covers_path(b"/forum/post", Timestamp::from_unix_seconds(100)));
/// assert!(!exception.covers_path(b"/login", Timestamp::from_unix_seconds(99)));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "hosts build it in place")]
pub struct Exception {
    /// Inclusive ranges of rule ids.
    pub rules: Vec<(u64, u64)>,
    /// A tag that the rules carry, as a whole: `language-java` does not mean `language-javascript`.
    pub tag: Option<String>,
    /// Only this target is taken away, such as `ARGS:comment`; `None` takes the whole rule away.
    pub target: Option<String>,
    /// Only for paths that begin with this.
    pub path_prefix: String,
    /// From when on it no longer holds.
    pub expires: Option<Timestamp>,
    /// Why it was made; kept for the person who meets it later.
    pub reason: String,
}

impl Exception {
    /// Whether it holds for this path at this time.
    pub fn covers_path(&self, path: &[u8], now: Timestamp) -> bool {
        self.expires.is_none_or(|at| now < at) && path.starts_with(self.path_prefix.as_bytes())
    }
}
