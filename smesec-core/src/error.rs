//! What can go wrong on the control plane (loading, configuring, calling out of order).
//!
//! The data plane does not fail: a transaction that meets bad input, a limit or a broken body
//! answers with a [`crate::verdict::Verdict`] by policy and says why in a finding.

use std::fmt;
use std::io::ErrorKind;

/// Any error of the library.
///
/// Each kind carries one stable number, [`Error::code`], which is also the C status and Python's
/// `exc.code`. Text: lower case, place first, user input in back quotes, what to do last.
///
/// ```
/// use smesec_core::error::{Error, RuleError};
/// let e = Error::from(RuleError::new("shop.conf", 3, 9, "unknown operator `@rxx`; did you mean `@rx`"));
/// assert_eq!(e.to_string(), "shop.conf:3:9: unknown operator `@rxx`; did you mean `@rx`");
/// assert_eq!(e.code(), 10);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rule could not be read or compiled.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A setting is wrong or missing.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A call came in the wrong phase of a transaction.
    #[error(transparent)]
    Phase(#[from] PhaseError),
    /// A limit was reached where no policy could decide.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl Error {
    /// The stable number of this kind of error: 10 rule, 11 configuration, 12 phase, 13 limit,
    /// 14 input and output.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Rule(_) => 10,
            Self::Config(_) => 11,
            Self::Phase(_) => 12,
            Self::Limit(_) => 13,
            Self::Io(_) => 14,
        }
    }
}

/// A rule that cannot be read or compiled, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {why}")]
pub struct RuleError {
    file: String,
    line: u32,
    column: u32,
    why: String,
}

impl RuleError {
    /// An error at `file:line:column` (both counted from 1).
    pub fn new(file: impl Into<String>, line: u32, column: u32, why: impl Into<String>) -> Self {
        Self { file: file.into(), line, column, why: why.into() }
    }

    /// The file, or the origin the host gave for text in memory.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1.
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// The column, from 1.
    pub const fn column(&self) -> u32 {
        self.column
    }

    /// What was found and what to do.
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// A setting that is wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: Option<(String, u32)>,
    column: Option<u32>,
    why: String,
}

impl ConfigError {
    /// An error without a place in a file.
    pub fn new(why: impl Into<String>) -> Self {
        Self { place: None, column: None, why: why.into() }
    }

    /// An error at `file:line`, the line counted from 1.
    pub fn at(file: impl Into<String>, line: u32, why: impl Into<String>) -> Self {
        Self { place: Some((file.into(), line)), column: None, why: why.into() }
    }

    /// The same with the column, counted from 1; it is told only where there is a line.
    #[must_use]
    pub const fn at_column(mut self, column: u32) -> Self {
        self.column = Some(column);
        self
    }

    /// The file and the line, where the setting came from a file.
    pub fn place(&self) -> Option<(&str, u32)> {
        self.place.as_ref().map(|(file, line)| (file.as_str(), *line))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.column) {
            (Some((file, line)), Some(column)) => write!(f, "{file}:{line}:{column}: ")?,
            (Some((file, line)), None) => write!(f, "{file}:{line}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for ConfigError {}

/// A call in the wrong phase, such as a body before its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{call}` is not allowed in phase `{phase}`; call the steps in the order of the transaction"
)]
pub struct PhaseError {
    call: &'static str,
    phase: &'static str,
}

impl PhaseError {
    /// The call that came and the phase it came in.
    pub const fn new(call: &'static str, phase: &'static str) -> Self {
        Self { call, phase }
    }
}

/// A limit that was reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{limit}` of {allowed} reached; raise it or send less")]
pub struct LimitError {
    limit: &'static str,
    allowed: u64,
}

impl LimitError {
    /// The limit's name and its value.
    pub const fn new(limit: &'static str, allowed: u64) -> Self {
        Self { limit, allowed }
    }

    /// The limit's name, as in the settings.
    pub const fn limit(&self) -> &'static str {
        self.limit
    }
}

/// The operating system refused a file or a socket.
///
/// The text has the system's answer in it, since callers from C and Python see nothing else. So
/// [`std::error::Error::source`] is empty, here as for all errors of this module: who prints an error
/// with its sources would say the same twice. The answer itself is [`IoError::answer`].
#[derive(Debug, thiserror::Error)]
#[error("`{what}`: {answer}; {}", advice(.answer.kind()))]
pub struct IoError {
    what: String,
    answer: std::io::Error,
}

const fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "check that it exists",
        ErrorKind::PermissionDenied => "check who may use it",
        ErrorKind::AddrInUse => "end what listens there, or choose another address",
        ErrorKind::AddrNotAvailable => "choose an address of this machine",
        ErrorKind::StorageFull => "make room",
        ErrorKind::WouldBlock => "try again",
        _ => "check what it is and who may use it",
    }
}

impl IoError {
    /// What was touched, and the system's answer.
    pub fn new(what: impl Into<String>, answer: std::io::Error) -> Self {
        Self { what: what.into(), answer }
    }

    /// The path or address.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The system's answer.
    pub const fn answer(&self) -> &std::io::Error {
        &self.answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do_and_says_it_once() {
        for (kind, advice) in [
            (ErrorKind::NotFound, "check that it exists"),
            (ErrorKind::AddrInUse, "another address"),
            (ErrorKind::PermissionDenied, "who may use it"),
        ] {
            let error = Error::from(IoError::new("127.0.0.1:80", kind.into()));
            let text = error.to_string();
            assert!(text.starts_with("`127.0.0.1:80`: ") && text.ends_with(advice), "{text}");
            assert!(std::error::Error::source(&error).is_none(), "it is in the text already");
        }
    }
}
