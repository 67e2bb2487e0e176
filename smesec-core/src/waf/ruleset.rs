//! The compiled rule set and its builder.

use super::compile::{self, program::Program};
use super::seclang::{self, Files, Loader, Syntax};
use crate::error::{ConfigError, Error, RuleError};
use crate::ruleset::LoadReport;

/// A compiled rule set: immutable, shared by all threads and hosts.
///
/// ```
/// use smesec_core::waf::RuleSet;
/// let mut builder = RuleSet::builder();
/// builder.text("shop.conf", br#"SecRule ARGS:q "@contains attack" "id:1,phase:1,deny""#);
/// let rules = builder.build()?;
/// assert_eq!(rules.len(), 1);
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RuleSet {
    pub(super) program: Program,
    report: LoadReport,
}

impl RuleSet {
    /// A builder without rules.
    pub fn builder() -> RuleSetBuilder {
        RuleSetBuilder {
            syntax: Syntax::default(),
            paranoia: None,
            strict: false,
            options: compile::Options::default(),
            loader: Box::new(Files),
        }
    }

    /// Rules in force (a chain counts once).
    pub fn len(&self) -> usize {
        self.report.loaded
    }

    /// Whether no rule is in force.
    pub fn is_empty(&self) -> bool {
        self.report.loaded == 0
    }

    /// What was loaded, refused and degraded.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// Bytes of the shared literal automaton.
    pub fn prefilter_bytes(&self) -> usize {
        self.program.prefilter.memory()
    }
}

/// Collects rules in the order in which they are to run.
pub struct RuleSetBuilder {
    syntax: Syntax,
    paranoia: Option<u8>,
    strict: bool,
    options: compile::Options,
    loader: Box<dyn Loader>,
}

impl std::fmt::Debug for RuleSetBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let directives = self.syntax.directives.len();
        f.debug_struct("RuleSetBuilder").field("directives", &directives).finish_non_exhaustive()
    }
}

impl RuleSetBuilder {
    /// Where rule files and the data files that they name are read from; the file system unless
    /// said otherwise. Call it before the rules are added.
    pub fn loader(&mut self, loader: Box<dyn Loader>) -> &mut Self {
        self.loader = loader;
        self
    }

    /// Adds a file, with what it includes.
    pub fn path(&mut self, path: &str) -> &mut Self {
        let syntax = seclang::parse_path(path, self.loader.as_ref());
        self.syntax.append(syntax);
        self
    }

    /// Adds a text; `origin` is the file name that errors show.
    pub fn text(&mut self, origin: &str, text: &[u8]) -> &mut Self {
        let syntax = seclang::parse_text(origin, text, self.loader.as_ref());
        self.syntax.append(syntax);
        self
    }

    /// Adds our own pack.
    pub fn builtin(&mut self) -> &mut Self {
        for (name, text) in super::builtin::FILES {
            self.text(name, text.as_bytes());
        }
        self
    }

    /// Sets the paranoia level of CRS and of our own pack, 1 to 4, before any rule runs.
    pub fn paranoia(&mut self, level: u8) -> &mut Self {
        self.paranoia = Some(level);
        self
    }

    /// With `false` every rule runs over every value, without the literals that rule most of them
    /// out. The verdicts are the same and the time is not: it is the oracle of the tests.
    pub fn prefilter(&mut self, on: bool) -> &mut Self {
        self.options.gates = on;
        self
    }

    /// Backtracks that one search of a pattern with look-around or back-references may take
    /// (feature `backtrack`). The default of 100,000 is some milliseconds of CPU, a hundred times
    /// what sound patterns need on a value of some kilobytes. A search that takes more has an
    /// unknown result: that is a finding, and the policy on limits decides.
    pub fn backtrack_limit(&mut self, limit: usize) -> &mut Self {
        self.options.backtrack_limit = limit;
        self
    }

    /// With `true` a refused rule is an error of [`RuleSetBuilder::build`].
    pub fn strict(&mut self, strict: bool) -> &mut Self {
        self.strict = strict;
        self
    }

    /// Compiles.
    ///
    /// # Errors
    /// A paranoia level outside 1 to 4; in strict mode the first refused rule; rules whose literals
    /// fit no automaton. Without strict mode refused rules stand in [`RuleSet::report`].
    pub fn build(mut self) -> Result<RuleSet, Error> {
        if let Some(level) = self.paranoia {
            if !(1..=4).contains(&level) {
                return Err(ConfigError::new(format!(
                    "paranoia level `{level}` is unknown; write 1 to 4"
                ))
                .into());
            }
            let text = format!(
                "SecAction \"id:4294967001,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level={level},\
                 setvar:tx.detection_paranoia_level={level},setvar:tx.smesec_paranoia={level}\""
            );
            let mut first = seclang::parse_text("paranoia", text.as_bytes(), self.loader.as_ref());
            first.append(std::mem::take(&mut self.syntax));
            self.syntax = first;
        }
        let (program, report) = compile::compile(self.syntax, self.loader.as_ref(), self.options)
            .map_err(|why| Error::from(ConfigError::new(why)))?;
        if self.strict
            && let Some(first) = report.refused.first()
        {
            return Err(RuleError::new(&first.file, first.line, first.column, &first.why).into());
        }
        Ok(RuleSet { program, report })
    }
}
