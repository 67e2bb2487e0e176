//! The audit: one short file describes an API, and the checks of [`checks`] try its doors.
//!
//! Every check first shows that what it relies on holds (the right token works, a wrong password is
//! refused), then tries, and tells a finding with the exchanges that prove it. What a target has
//! not is skipped with the reason, what could not be tried is refused with the reason: nothing
//! passes in silence.

mod check;
mod checks;
mod description;
mod draft;
mod evidence;
mod forge;
mod leak;
mod rank;
mod read;
mod request;
mod verify;
mod wire;
mod work;

pub use check::{Check, checks};
pub use draft::draft;
pub use read::SecretSource;
pub use wire::Planned;

use crate::error::{ConfigError, Error};
use crate::event::Finding;
use crate::runner::{Observer, Report, Session, Target, TestResult, TestRunner, TestVerdict};
use crate::taas::Secrets;
use crate::time::Timestamp;
use crate::verdict::Severity;
use description::Description;
use std::path::Path;
use std::time::Duration;
use wire::{Stop, Wire};
use work::{Judged, Proof, Work};

/// A description with every key, its default and its reason.
pub const EXAMPLE: &str = include_str!("example.yaml");

/// An audit of one target, ready to run.
///
/// ```
/// use smesec_core::taas::audit::Audit;
/// let text = "base: http://127.0.0.1:8080\nroutes:\n  - {path: /admin, alow: []}\n";
/// let why = Audit::load(text, "target.yaml").unwrap_err();
/// assert_eq!(why.to_string(), "target.yaml:3:20: a route has no key `alow`; did you mean `allow`");
///
/// let text = "base: http://127.0.0.1:8080\nroutes:\n  - {path: /health, allow: anybody}\n";
/// let audit = Audit::load(text, "target.yaml").unwrap();
/// assert_eq!(audit.hosts(), [("127.0.0.1".to_owned(), Some(8080))]);
/// // What would be sent, without sending it.
/// assert!(audit.plan().iter().all(|planned| planned.request.url.starts_with("http://127.0.0.1:8080/")));
/// ```
#[derive(Clone, Debug)]
pub struct Audit {
    description: Description,
    chosen: Vec<&'static Check>,
    destructive: bool,
}

impl Audit {
    /// Reads a description; `file` names it in errors. Secrets come from the environment and from
    /// files, which the description names; relative ones count from its folder.
    ///
    /// # Errors
    /// [`Error::Rule`] with `file:line:column` and what to write instead.
    pub fn load(text: &str, file: &str) -> Result<Self, Error> {
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        Self::load_with(text, file, &|source| match source {
            SecretSource::Environment(name) => std::env::var(name).ok(),
            SecretSource::File(path) => std::fs::read_to_string(folder.join(path)).ok(),
        })
    }

    /// As [`Audit::load`], with secrets from wherever the host keeps them.
    ///
    /// # Errors
    /// As [`Audit::load`].
    pub fn load_with(
        text: &str,
        file: &str,
        secret: &dyn Fn(SecretSource<'_>) -> Option<String>,
    ) -> Result<Self, Error> {
        let description = read::description(text, file, secret)?;
        Ok(Self { description, chosen: checks().iter().collect(), destructive: false })
    }

    /// Runs these checks only, in the order of [`checks`].
    ///
    /// # Errors
    /// [`Error::Config`] for a name that no check has.
    pub fn only<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Result<Self, Error> {
        let names: Vec<&str> = names.into_iter().collect();
        if let Some(unknown) =
            names.iter().find(|name| !checks().iter().any(|c| c.name() == **name))
        {
            let known: Vec<&str> = checks().iter().map(Check::name).collect();
            let why = format!("there is no check `{unknown}`; write some of {}", known.join(", "));
            return Err(ConfigError::new(why).into());
        }
        self.chosen.retain(|check| names.contains(&check.name()));
        Ok(self)
    }

    /// Whether checks and routes that change what the target holds are tried too. Off: nobody's
    /// account is locked and nobody's data written unless one asks for it.
    pub fn destructive(mut self, on: bool) -> Self {
        self.destructive = on;
        self
    }

    /// The hosts that the file names, and so the only ones that are sent to. Where it names no port
    /// they have those of HTTP: the base its scheme's, the others both.
    pub fn hosts(&self) -> Vec<(String, Option<u16>)> {
        let base = &self.description.base;
        let usual = if base.scheme == "https" { 443 } else { 80 };
        let mut hosts = vec![(base.host.clone(), base.port.or(Some(usual)))];
        for (host, port) in &self.description.hosts {
            let ports = port.map_or_else(|| vec![80, 443], |port| vec![port]);
            hosts.extend(ports.into_iter().map(|port| (host.clone(), Some(port))));
        }
        hosts
    }

    /// Whether the file allows hosts outside private networks (`public: true`).
    pub fn allows_public_hosts(&self) -> bool {
        self.description.public
    }

    /// How many requests a run may send, how many of them a second, and how long an answer may
    /// take.
    pub fn limits(&self) -> (u64, u32, Duration) {
        let limits = self.description.limits;
        (limits.requests, limits.per_second, limits.deadline)
    }

    /// What the file's author should know although the audit can run: `file:line:column`, found,
    /// fix.
    pub fn warnings(&self) -> &[String] {
        &self.description.warnings
    }

    /// The requests that a run would send to a sound target, secrets masked; nothing is sent.
    pub fn plan(&self) -> Vec<Planned> {
        let mut work = self.work(None);
        for check in &self.chosen {
            work.wire.check = check.name();
            if self.held_back(check).is_none() {
                // What it comes to hangs on answers that nobody gave.
                let _ = (check.run)(&mut work);
            }
        }
        let secrets = &work.secrets;
        let planned = work.wire.planned.into_iter();
        planned
            .map(|planned| Planned {
                request: evidence::request(&planned.request, secrets),
                purpose: secrets.masked(&planned.purpose).into_owned(),
                ..planned
            })
            .collect()
    }

    fn work(&self, session: Option<Box<dyn Session>>) -> Work<'_> {
        let mut secrets = Secrets::default();
        for secret in &self.description.secrets {
            secrets.add(secret.clone());
        }
        for user in &self.description.users {
            secrets.add(user.field("password"));
        }
        let description = &self.description;
        let wire = Wire::new(session, description.limits, &description.base, &description.hosts);
        Work::new(description, wire, secrets, self.destructive)
    }

    fn held_back(&self, check: &Check) -> Option<String> {
        (check.is_destructive() && !self.destructive)
            .then(|| "it changes what the target holds; `--destructive` runs it".to_owned())
    }

    /// Runs one check; one result for each finding, or one for the whole.
    fn judge(
        &self,
        check: &'static Check,
        later: &[&'static Check],
        work: &mut Work<'_>,
    ) -> Vec<TestResult> {
        let begun = work.wire.now();
        let later = later.iter().copied().filter(|later| self.held_back(later).is_none());
        work.wire.begin(check.name(), share(check, later));
        let outcome = match self.held_back(check) {
            Some(why) => Err(Stop::Skip(why)),
            None => (check.run)(work),
        };
        let cut = work.wire.cut();
        let elapsed = between(begun, work.wire.now());
        let masked = |text: &str| work.secrets.masked(text).into_owned();
        let whole = |verdict| TestResult { elapsed, ..TestResult::new(check.name(), verdict) };
        // Whatever ended a check after a wait that it was not granted may be that wait's doing.
        let told = |why: String| match &cut {
            Some(cut) if !why.contains(cut) => format!("{why}; {cut}"),
            _ => why,
        };
        let judged = match outcome {
            Ok(judged) => judged,
            Err(Stop::Skip(why)) => {
                return vec![whole(TestVerdict::Skipped(masked(&told(why))))];
            }
            Err(Stop::Refuse(why)) => {
                return vec![whole(TestVerdict::Refused(masked(&told(why))))];
            }
        };
        let Judged { proofs, mut undone, notes } = judged;
        // What was answered with "later" shows nothing: such a check has not passed.
        if let Some(cut) = cut
            && !undone.iter().any(|why| why.contains(&cut))
        {
            undone.push(cut);
        }
        undone.dedup();
        let mut results: Vec<TestResult> = Vec::new();
        let rule = check.rule();
        for proof in proofs {
            let Proof { part, evidence, severity, line, trail } = proof;
            let (part, evidence) = (masked(&part), masked(&evidence));
            let name = format!("{}: {part}", check.name());
            let severity = severity.unwrap_or(check.severity());
            let mut finding =
                Finding::new(rule.clone(), severity, format!("{}: {part}", check.title()));
            finding.part = part;
            finding.evidence = evidence;
            let mut result = TestResult::new(name, TestVerdict::Failed(finding));
            result.place = line.map(|line| (self.description.file.clone(), line));
            result.elapsed = elapsed;
            result.steps = trail.iter().map(|step| evidence::step(step, &work.secrets)).collect();
            if let (Some(last), TestVerdict::Failed(finding)) =
                (result.steps.last_mut(), &result.verdict)
            {
                last.failures.push(finding.evidence.clone());
            }
            result.advice = Some(check.advice().to_owned());
            results.push(result);
        }
        if !undone.is_empty() {
            results.push(whole(TestVerdict::Refused(masked(&undone.join("; ")))));
        } else if results.is_empty() {
            results.push(whole(TestVerdict::Passed));
        }
        if let Some(last) = results.last_mut() {
            last.warnings = notes.iter().map(|note| masked(note)).collect();
        }
        results
    }
}

impl TestRunner for Audit {
    fn run(&self, target: &dyn Target, observer: &mut dyn Observer) -> Report {
        let mut work = self.work(Some(target.session()));
        let mut report = Report::default();
        for (at, check) in self.chosen.iter().enumerate() {
            let later = self.chosen.get(at + 1..).unwrap_or_default();
            for result in self.judge(check, later, &mut work) {
                observer.finished(&result);
                report.results.push(result);
            }
        }
        report.matrix = work.cells;
        report
    }
}

/// How much of the patience with `Retry-After` a check may leave used up. A quarter of the whole is kept for
/// each severity above its own that a later check has, so that no mild check waits away what a graver
/// one needs.
fn share<'c>(check: &Check, later: impl Iterator<Item = &'c Check>) -> f64 {
    let gravest = later.map(Check::severity).max().unwrap_or(Severity::Info);
    let above = (gravest as u8).saturating_sub(check.severity() as u8);
    1.0 - 0.25 * f64::from(above)
}

fn between(begun: Timestamp, ended: Timestamp) -> Duration {
    let nanos = ended.unix_nanos().saturating_sub(begun.unix_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests;
