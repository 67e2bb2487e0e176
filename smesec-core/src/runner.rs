//! Test runners: act against a target and compare.

use crate::event::Finding;
use crate::time::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// One request that a test sends: one exchange on the wire. Redirects and cookies are the test's
/// business, since a test may be about them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "runners build it in place")]
pub struct Request {
    /// The method, such as `POST`.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The headers in their order; `Host` and the framing are the session's to add where they lack.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// How the connection is made.
    pub connection: ConnectionOptions,
}

/// What a test asks of the connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "runners build it in place")]
pub struct ConnectionOptions {
    /// How long making the connection may take; the exchange's deadline where `None`.
    pub connect_deadline: Option<Duration>,
    /// Whom to believe over TLS.
    pub trust: Trust,
    /// The client's certificate and key, PEM files; the key may stand in the first.
    pub client_certificate: Option<(PathBuf, Option<PathBuf>)>,
}

/// Whom to believe over TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Trust {
    /// The system's authorities.
    #[default]
    System,
    /// The authorities of this PEM file.
    File(PathBuf),
    /// Anybody: the test says `verify: false`.
    Anybody,
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "targets build it in place")]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The text beside the status; empty over HTTP/2.
    pub reason: String,
    /// The headers in their raw order, repeated ones repeated.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, as the transfer coding gives it; content codings are the test's to undo.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of a name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice())
    }
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
    /// The answer is larger than the session takes.
    #[error("the answer is larger than {0} bytes; raise the limit or ask for less")]
    TooLarge(u64),
    /// The request leads outside the allowed hosts.
    #[error("`{0}` is not among the allowed hosts; name it in the file to allow it")]
    NotAllowed(String),
    /// The host is allowed, but lies at an address of the public network.
    #[error("`{host}` is at the public address {address}; allow it as a public host to send there")]
    Public {
        /// The host as the URL names it.
        host: String,
        /// The address it was found at.
        address: std::net::IpAddr,
    },
    /// The run has sent as many requests as it may.
    #[error("the run may send {0} requests, and has; raise the cap to send more")]
    Spent(u64),
    /// The request is none that could be sent.
    #[error("the request cannot be sent: {0}")]
    Request(String),
    /// A dry run: the request was noted and not sent.
    #[error("dry run: nothing was sent")]
    NotSent,
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
    /// How long the last exchange took on the wire, connecting included and waiting for the run's
    /// rate left out; `None` where the session does not measure.
    fn on_the_wire(&self) -> Option<Duration> {
        None
    }
}

/// How one test ended.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum TestVerdict {
    /// Every assertion held.
    Passed,
    /// An assertion did not hold.
    Failed(Finding),
    /// The test failed, as it says it must.
    ExpectedFailure(Finding),
    /// It was not run, because it or the command line says so: why.
    Skipped(String),
    /// The test could not be run: why.
    Refused(String),
}

/// One exchange of a test: what was sent and what came back.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "runners of hosts build it in place")]
pub struct Exchange {
    /// What was sent.
    pub request: Request,
    /// What came back.
    pub response: Result<Response, ExchangeError>,
    /// How long it took.
    pub elapsed: Duration,
}

/// One step of a test.
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "runners of hosts build it in place")]
pub struct TestStep {
    /// The step's name.
    pub name: String,
    /// As whom it acted, where that is known: a user, or `nobody`.
    pub acting_as: Option<String>,
    /// What went over the wire, in order, retries and redirects included.
    pub exchanges: Vec<Exchange>,
    /// What did not hold; empty for a step that passed.
    pub failures: Vec<String>,
}

/// One test's result.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "runners of hosts build it in place")]
pub struct TestResult {
    /// The test's name.
    pub name: String,
    /// The file and the line it stands on, where it came from a file.
    pub place: Option<(String, u32)>,
    /// How it ended.
    pub verdict: TestVerdict,
    /// How long it took.
    pub elapsed: Duration,
    /// Its steps as far as they ran.
    pub steps: Vec<TestStep>,
    /// What a person should look at although it decides nothing: `file:line:column`, found, fix.
    pub warnings: Vec<String>,
    /// How to mend what failed, where the test knows.
    pub advice: Option<String>,
}

impl TestResult {
    /// A result without steps; the fields are public.
    pub fn new(name: impl Into<String>, verdict: TestVerdict) -> Self {
        Self {
            name: name.into(),
            place: None,
            verdict,
            elapsed: Duration::ZERO,
            steps: Vec::new(),
            warnings: Vec::new(),
            advice: None,
        }
    }
}

/// Watches a run as it goes.
pub trait Observer {
    /// A test ended.
    fn finished(&mut self, result: &TestResult);
}

/// One cell of an authorisation matrix: what a role may do on a route, and what came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "runners of hosts build it in place")]
pub struct Cell {
    /// The role, or `nobody`.
    pub role: String,
    /// The method, such as `GET`.
    pub method: String,
    /// The route as the target's description names it, such as `/meters/{id}`.
    pub route: String,
    /// What the description expects, such as `allow` or `deny`.
    pub expected: String,
    /// What came, such as a status; empty where it was not tried.
    pub seen: String,
    /// Whether what came is a finding.
    pub finding: bool,
}

/// All results of a run.
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "runners of hosts build it in place")]
pub struct Report {
    /// The results in their order.
    pub results: Vec<TestResult>,
    /// The authorisation matrix, where the run tried one.
    pub matrix: Vec<Cell>,
}

impl Report {
    /// Whether no test failed or was refused, and one at least passed: a run that showed nothing
    /// did not pass.
    pub fn all_passed(&self) -> bool {
        let verdicts = || self.results.iter().map(|result| &result.verdict);
        verdicts().any(|v| matches!(v, TestVerdict::Passed | TestVerdict::ExpectedFailure(_)))
            && !verdicts().any(|v| matches!(v, TestVerdict::Failed(_) | TestVerdict::Refused(_)))
    }
}

/// Runs tests against a target.
pub trait TestRunner {
    /// Runs all, telling `observer` of each as it ends.
    fn run(&self, target: &dyn Target, observer: &mut dyn Observer) -> Report;
}
