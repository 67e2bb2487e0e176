//! Scanners: examine one object as a whole.

use crate::event::Finding;
use crate::limits::Budget;
use std::io::Read;

/// What is scanned.
#[non_exhaustive]
pub enum Object<'a> {
    /// Bytes in memory, with the name a report uses for them.
    Bytes {
        /// The name, such as a file name of an upload.
        name: &'a str,
        /// The content.
        data: &'a [u8],
    },
    /// A file by path.
    File(&'a std::path::Path),
    /// A stream, read once.
    Reader {
        /// The name a report uses.
        name: &'a str,
        /// The content.
        reader: &'a mut dyn Read,
    },
    /// A process by id.
    Process(u32),
}

impl std::fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes { name, data } => write!(f, "Bytes({name}, {} bytes)", data.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Reader { name, .. } => write!(f, "Reader({name})"),
            Self::Process(id) => write!(f, "Process({id})"),
        }
    }
}

/// What a scan came to. What was not inspected whole is never called clean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// All of it was inspected and nothing was found.
    Clean,
    /// Something was found.
    Detected,
    /// Nothing was found in what could be inspected, but that was not all.
    Incomplete,
}

/// A member that was skipped, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "scanners of hosts fill it in place")]
pub struct Skipped {
    /// The member within the object, empty for the object itself.
    pub member: String,
    /// Why it was not inspected.
    pub why: String,
}

/// The answer of a scanner.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct ScanReport {
    /// What was found.
    pub findings: Vec<Finding>,
    /// What was not inspected.
    pub skipped: Vec<Skipped>,
}

impl ScanReport {
    /// A report from its parts.
    pub const fn new(findings: Vec<Finding>, skipped: Vec<Skipped>) -> Self {
        Self { findings, skipped }
    }

    /// The outcome that follows from the parts.
    ///
    /// ```
    /// use smesec_core::scanner::{Outcome, ScanReport, Skipped};
    /// let skipped = vec![Skipped { member: "a.zip".into(), why: "encrypted".into() }];
    /// assert_eq!(ScanReport::new(vec![], skipped).outcome(), Outcome::Incomplete);
    /// ```
    pub const fn outcome(&self) -> Outcome {
        if !self.findings.is_empty() {
            Outcome::Detected
        } else if self.skipped.is_empty() {
            Outcome::Clean
        } else {
            Outcome::Incomplete
        }
    }
}

/// Examines objects.
pub trait Scanner: Send {
    /// Scans one object within a budget.
    fn scan(&mut self, object: &mut Object<'_>, budget: &mut Budget) -> ScanReport;
}
