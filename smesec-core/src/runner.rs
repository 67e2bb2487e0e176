//! Test runners: act against a target and compare.

use crate::event::Finding;
use crate::time::Timestamp;
use std::time::Duration;

/// One request that a test sends.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "runners build it in place")]
pub struct Request {
    /// The method, such as `POST`.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The headers in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "targets build it in place")]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers in their raw order, repeated ones repeated.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An exchange that failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The deadline passed.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection could not be made or broke.
    #[error("connection failed: {0}")]
    Connection(String),
    /// The answer was not HTTP.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The request leads outside the allowed hosts.
    #[error("`{0}` is not among the allowed hosts")]
    NotAllowed(String),
}

/// What a test acts against; gives one session (cookie jar, connections) for each test.
pub trait Target: Sync {
    /// A fresh session.
    fn session(&self) -> Box<dyn Session>;
}

/// One client's view of a target.
pub trait Session: Send {
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// When no whole answer came within `deadline`; see [`ExchangeError`].
    fn exchange(
        &mut self,
        request: &Request,
        deadline: Duration,
    ) -> Result<Response, ExchangeError>;
    /// Waits, as a test's delay asks.
    fn wait(&mut self, pause: Duration);
    /// The time, for deadlines and reports.
    fn now(&self) -> Timestamp;
}

/// How one test ended.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum TestVerdict {
    /// Every assertion held.
    Passed,
    /// An assertion did not hold.
    Failed(Finding),
    /// The test could not be run: why.
    Refused(String),
}

/// One test's result.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "runners of hosts build it in place")]
pub struct TestResult {
    /// The test's name.
    pub name: String,
    /// How it ended.
    pub verdict: TestVerdict,
    /// How long it took.
    pub elapsed: Duration,
}

/// Watches a run as it goes.
pub trait Observer {
    /// A test ended.
    fn finished(&mut self, result: &TestResult);
}

/// All results of a run.
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "runners of hosts build it in place")]
pub struct Report {
    /// The results in their order.
    pub results: Vec<TestResult>,
}

impl Report {
    /// Whether every test passed; false for an empty report, since nothing was shown.
    pub fn all_passed(&self) -> bool {
        !self.results.is_empty()
            && self.results.iter().all(|result| result.verdict == TestVerdict::Passed)
    }
}

/// Runs tests against a target.
pub trait TestRunner {
    /// Runs all, telling `observer` of each as it ends.
    fn run(&self, target: &dyn Target, observer: &mut dyn Observer) -> Report;
}
