//! The runner: a loaded suite against a target.
//!
//! `act` runs one test; `request` builds what it sends, `answer` judges what comes back, `helpers` has the
//! functions of the format, `jar` the cookies, `people` as whom each stage acts, `message` MQTT.

mod act;
mod answer;
mod compare;
mod digest;
pub(super) mod helpers;
mod jar;
mod jmes;
mod jwt;
mod kwalify;
mod message;
mod multipart;
mod people;
mod request;
mod signature;

pub(super) use jar::date;

use super::secret::Secrets;
use super::tavern::{Expected, Plan, Suite, Test};
use crate::event::{Finding, RuleInfo};
use crate::mask::MAX_EVIDENCE;
use crate::runner::{Observer, Report, Target, TestResult, TestRunner, TestVerdict};
use crate::verdict::Severity;
use act::{Act, Failure, between};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs the tests of a suite one after another, each in a session of its own.
///
/// Tests are independent and `Send`: a host that wants them at once hands them to its threads and calls
/// [`Test::run`] there.
#[derive(Debug)]
pub struct Runner<'s> {
    suite: &'s Suite,
    secrets: Mutex<Secrets>,
}

impl<'s> Runner<'s> {
    /// A runner of a suite.
    pub fn new(suite: &'s Suite) -> Self {
        Self { suite, secrets: Mutex::new(suite.secrets().clone()) }
    }

    /// The secrets that the run has met so far; reports mask with them.
    pub fn secrets(&self) -> Secrets {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TestRunner for Runner<'_> {
    fn run(&self, target: &dyn Target, observer: &mut dyn Observer) -> Report {
        let mut report = Report::default();
        let mut secrets = self.secrets();
        for test in self.suite.tests() {
            let result = test.run(target, &mut secrets);
            observer.finished(&result);
            report.results.push(result);
        }
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).extend(&secrets);
        report
    }
}

impl Test {
    /// Runs the test in a fresh session. Secrets that it is answered with are added to `secrets`; texts of
    /// the result are masked with them, exchanges are as they were.
    pub fn run(&self, target: &dyn Target, secrets: &mut Secrets) -> TestResult {
        let mut result = TestResult::new(self.name(), TestVerdict::Passed);
        result.place = Some((self.file().to_owned(), self.line()));
        result.warnings.clone_from(&self.warnings);
        result.verdict = match &self.plan {
            Plan::Skip(why) => TestVerdict::Skipped(secrets.masked(why).into_owned()),
            Plan::Refuse { why, form } => self.refused(why, *form, secrets),
            Plan::Run(script) => {
                let session = target.session();
                let start = session.now();
                let mut act = Act::new(script, self.file(), session, secrets);
                let outcome = act.run(target);
                result.elapsed = between(start, act.session.now());
                result.steps = std::mem::take(&mut act.steps);
                result.warnings.append(&mut act.warnings);
                self.judged(outcome, secrets)
            }
        };
        for warning in &mut result.warnings {
            *warning = secrets.masked(warning).into_owned();
        }
        for step in &mut result.steps {
            step.name = secrets.masked(&step.name).into_owned();
            for failure in &mut step.failures {
                *failure = secrets.masked(failure).into_owned();
            }
        }
        result
    }

    /// What a test comes to that cannot be run.
    fn refused(&self, why: &str, form: bool, secrets: &Secrets) -> TestVerdict {
        match &self.expected {
            Some(Expected::Refusal) if form => {
                TestVerdict::ExpectedFailure(self.finding(why, secrets))
            }
            Some(Expected::Failure(text)) if !form && says(why, text.as_deref()) => {
                TestVerdict::ExpectedFailure(self.finding(why, secrets))
            }
            Some(Expected::Anything) => TestVerdict::ExpectedFailure(self.finding(why, secrets)),
            _ => TestVerdict::Refused(secrets.masked(why).into_owned()),
        }
    }

    /// What a test comes to that ran.
    fn judged(&self, outcome: Result<(), Failure>, secrets: &Secrets) -> TestVerdict {
        match (outcome, &self.expected) {
            (Ok(()), None | Some(Expected::Anything)) => TestVerdict::Passed,
            (Ok(()), Some(_)) => {
                let why = "the test says that it must fail, and passed; take `_xfail` away if it is mended";
                TestVerdict::Failed(self.finding(why, secrets))
            }
            (Err(failure), expected) => {
                let finding = self.finding(&failure.why, secrets);
                let as_said = match expected {
                    None | Some(Expected::Refusal) => false,
                    Some(Expected::Failure(text)) => {
                        !failure.finally && says(&failure.why, text.as_deref())
                    }
                    Some(Expected::Finally) => failure.finally,
                    Some(Expected::Anything) => true,
                };
                if as_said {
                    TestVerdict::ExpectedFailure(finding)
                } else {
                    TestVerdict::Failed(finding)
                }
            }
        }
    }

    fn finding(&self, why: &str, secrets: &Secrets) -> Finding {
        let info =
            RuleInfo { id: "taas-test".to_owned(), name: self.name.clone(), ..RuleInfo::default() };
        let why = secrets.masked(why).into_owned();
        let mut finding = Finding::new(Arc::new(info), Severity::Medium, why.as_str());
        finding.part = format!("{}:{}", self.file, self.line);
        finding.evidence = why.chars().take(MAX_EVIDENCE).collect();
        finding
    }
}

/// Whether a failure says what the test said it would; runners word it differently, so case does not count.
fn says(why: &str, text: Option<&str>) -> bool {
    text.is_none_or(|text| why.to_lowercase().contains(&text.to_lowercase()))
}
