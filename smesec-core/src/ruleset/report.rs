use std::fmt;

/// A rule that was not loaded.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[allow(clippy::exhaustive_structs, reason = "rule languages build it in place")]
pub struct Refused {
    /// The file, or the origin the host gave.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// The rule's id, where it was read.
    pub rule: Option<String>,
    /// What was found and what to do.
    pub why: String,
}

/// A rule or directive that was loaded, but does less than it says.
pub type Degraded = Refused;

/// What came of loading rules: a feed of 30,000 rules with three bad ones loads, and names them.
///
/// ```
/// use smesec_core::ruleset::{LoadReport, Refused};
/// let mut report = LoadReport::default();
/// report.loaded = 2;
/// report.refused.push(Refused {
///     file: "a.conf".into(), line: 4, column: 1, rule: Some("7".into()), why: "no phase".into(),
/// });
/// assert_eq!(report.to_string(), "2 rules loaded, 1 refused, 0 degraded\na.conf:4:1: rule `7`: no phase\n");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct LoadReport {
    /// How many rules are in force.
    pub loaded: usize,
    /// What is not in force, and why.
    pub refused: Vec<Refused>,
    /// What is in force, but does less than it says.
    pub degraded: Vec<Degraded>,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (refused, degraded) = (self.refused.len(), self.degraded.len());
        writeln!(f, "{} rules loaded, {refused} refused, {degraded} degraded", self.loaded)?;
        for line in &self.refused {
            writeln!(f, "{line}")?;
        }
        for line in &self.degraded {
            writeln!(f, "{line} (degraded)")?;
        }
        Ok(())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if let Some(rule) = &self.rule {
            write!(f, "rule `{rule}`: ")?;
        }
        f.write_str(&self.why)
    }
}
