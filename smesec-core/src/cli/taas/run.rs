//! `smesec taas run`.

use super::reports::Reports;
use super::way::Way;
use super::{place, refusal, shown};
use crate::cli::text;
use crate::client::Network;
use crate::runner::{Report, Target, TestResult, TestVerdict};
use crate::taas::{Secrets, Suite, report};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

/// What the environment calls a secret: `SMESEC_SECRET_LOGIN_PASSWORD`.
const PREFIX: &str = "SMESEC_SECRET_";

struct Options {
    files: Vec<String>,
    global: Vec<String>,
    env: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    select: Option<String>,
    strict_layout: bool,
    public: bool,
    dry_run: bool,
    json: bool,
    jobs: usize,
    reports: Reports,
    way: Way,
}

/// The environment for tests, and the secrets in it.
pub(in crate::cli) fn environment() -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let mut env = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    let texts = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    for (name, value) in texts {
        match name.strip_prefix(PREFIX) {
            Some(secret) => secrets.insert(secret.to_owned(), value),
            None => env.insert(name, value),
        };
    }
    (env, secrets)
}

fn options(args: impl Iterator<Item = OsString>) -> Result<Options, String> {
    use lexopt::prelude::{Long, Short, Value};
    let (env, secrets) = environment();
    let mut options = Options {
        files: Vec::new(),
        global: Vec::new(),
        env,
        secrets,
        select: None,
        strict_layout: false,
        public: false,
        dry_run: false,
        json: false,
        jobs: 1,
        reports: Reports::new(),
        way: Way::default(),
    };
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let name = match arg {
            Value(file) => {
                options.files.push(text(file)?);
                continue;
            }
            Long(name) => name.to_owned(),
            Short('m') => "m".to_owned(),
            Short(_) => return Err(format!("{}; see `smesec --help`", arg.unexpected())),
        };
        if options.reports.take(&name, &mut parser)? || options.way.take(&name, &mut parser)? {
            continue;
        }
        let mut value = |name: &str| -> Result<String, String> {
            text(parser.value().map_err(|e| format!("`{name}`: {e}"))?)
        };
        match name.as_str() {
            "global-cfg" => options.global.push(value("--global-cfg")?),
            "env" => {
                let (name, set) = pair(&value("--env")?, "--env")?;
                options.env.insert(name, set);
            }
            "secrets" => {
                let file = value("--secrets")?;
                let lines = std::fs::read_to_string(&file)
                    .map_err(|e| format!("`{file}`: {e}; check that it may be read"))?;
                for line in lines.lines().map(str::trim) {
                    if !line.is_empty() && !line.starts_with('#') {
                        let (name, secret) = pair(line, &file)?;
                        let name = name.strip_prefix(PREFIX).unwrap_or(&name).to_owned();
                        options.secrets.insert(name, secret);
                    }
                }
            }
            "m" => options.select = Some(value("-m")?),
            "strict-layout" => options.strict_layout = true,
            "allow-public" => options.public = true,
            "dry-run" => options.dry_run = true,
            "json" => options.json = true,
            "jobs" => {
                let jobs = value("--jobs")?;
                let number = jobs.parse().ok().filter(|jobs| (1..=64).contains(jobs));
                options.jobs = number
                    .ok_or_else(|| format!("`--jobs {jobs}`: write a number from 1 to 64"))?;
            }
            _ => return Err(format!("unknown option `--{name}`; see `smesec --help`")),
        }
    }
    if options.files.is_empty() {
        return Err("which tests? Write `smesec taas run FILE…`".to_owned());
    }
    Ok(options)
}

fn pair(text: &str, from: &str) -> Result<(String, String), String> {
    // The value may be a secret: an error shows none of it.
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("`{from}`: write NAME=VALUE, one a line"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(in crate::cli) fn run(
    args: impl Iterator<Item = OsString>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<u8, String> {
    let options = options(args)?;
    let suite = load(&options);
    let told = |e: std::io::Error| e.to_string();
    let secrets = suite.secrets();
    for degraded in suite.report().degraded.iter().filter(|_| !options.json) {
        let warning = format!("smesec: warning: {degraded}");
        writeln!(stderr, "{}", shown(&secrets.masked(&warning))).map_err(told)?;
    }
    let mut whole_file = false;
    for refused in &suite.report().refused {
        whole_file |= refused.rule.is_none();
        let line = format!("smesec: {refused}");
        writeln!(stderr, "{}", shown(&secrets.masked(&line))).map_err(told)?;
    }
    // A file that cannot be read shall not pass for one without tests: nothing is sent.
    if whole_file {
        return Ok(2);
    }
    let builder = Network::builder().allow_hosts(suite.hosts(), options.public);
    let target = options.way.over(builder).build();
    if options.dry_run {
        for test in suite.tests() {
            let part = |text: &str| shown(&secrets.masked(text));
            writeln!(stdout, "{}:{}: {}", test.file(), test.line(), part(test.name()))
                .map_err(told)?;
            for one in test.outline() {
                let (method, to, stage) = (part(&one.method), part(&one.to), part(&one.stage));
                writeln!(stdout, "    {method} {to}  ({stage})").map_err(told)?;
            }
        }
        for host in suite.hosts() {
            let line = refusal(&target, &host, options.public, "--allow-public");
            let line = line
                .unwrap_or_else(|| shown(&format!("would connect to {}", place(&host.0, host.1))));
            writeln!(stdout, "{line}").map_err(told)?;
        }
        return Ok(0);
    }
    let mut report = Report::default();
    let mut counts = Counts::default();
    let mut failed = None;
    let all = each(&suite, &target, options.jobs, &mut |result, secrets| {
        counts.add(&result.verdict);
        let line =
            if options.json { report::json_line(result, secrets) } else { lines(result, secrets) };
        if let Err(e) = writeln!(stdout, "{line}") {
            failed = failed.take().or(Some(e.to_string()));
        }
        if options.reports.wanted() {
            report.results.push(result.clone());
        }
    });
    if let Some(why) = failed {
        return Err(why);
    }
    if !options.json {
        writeln!(stdout, "{counts}").map_err(told)?;
    }
    let person = (!options.json).then_some(stdout);
    options.reports.write(&options.files.join(" "), &report, &all, person)?;
    Ok(counts.code())
}

fn load(options: &Options) -> Suite {
    let secrets = options.secrets.clone();
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "seed");
    let mut builder = Suite::builder()
        .env(options.env.clone())
        .secret(move |name| secrets.get(name).cloned())
        .seed(seed)
        .strict_layout(options.strict_layout);
    for file in &options.global {
        builder = builder.global(file.as_str());
    }
    for file in &options.files {
        builder = builder.file(file.as_str());
    }
    if let Some(expression) = &options.select {
        builder = builder.select(expression.as_str());
    }
    builder.build()
}

/// Runs all tests on some threads, each in a session of its own, and shows the results in the order of the
/// files as soon as all before are there. Returns the secrets that the run has met.
fn each(
    suite: &Suite,
    target: &dyn Target,
    jobs: usize,
    show: &mut dyn FnMut(&TestResult, &Secrets),
) -> Secrets {
    let next = AtomicUsize::new(0);
    let mut all = suite.secrets().clone();
    if jobs == 1 {
        for test in suite.tests() {
            let result = test.run(target, &mut all);
            show(&result, &all);
        }
        return all;
    }
    let (send, receive) = mpsc::channel::<(usize, TestResult, Vec<Arc<str>>)>();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                let mut secrets = suite.secrets().clone();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(test) = suite.tests().get(at) else { return };
                    let known = secrets.len();
                    let result = test.run(target, &mut secrets);
                    // What is new alone, or a run of many tests would copy all of them for each.
                    if send.send((at, result, secrets.since(known).to_vec())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let (mut waiting, mut shown) = (BTreeMap::new(), 0);
        for (at, result, secrets) in receive {
            for secret in &secrets {
                all.add(secret.as_ref());
            }
            waiting.insert(at, result);
            while let Some(result) = waiting.remove(&shown) {
                show(&result, &all);
                shown += 1;
            }
        }
    });
    all
}

#[derive(Default)]
struct Counts {
    passed: usize,
    expected: usize,
    failed: usize,
    refused: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, verdict: &TestVerdict) {
        match verdict {
            TestVerdict::Passed => self.passed += 1,
            TestVerdict::ExpectedFailure(_) => self.expected += 1,
            TestVerdict::Failed(_) => self.failed += 1,
            TestVerdict::Refused(_) => self.refused += 1,
            TestVerdict::Skipped(_) => self.skipped += 1,
        }
    }

    /// 1 failed, 2 refused, 3 something was not run, or nothing was.
    fn code(&self) -> u8 {
        match self {
            Self { failed: 1.., .. } => 1,
            Self { refused: 1.., .. } => 2,
            Self { skipped: 1.., .. } | Self { passed: 0, expected: 0, .. } => 3,
            _ => 0,
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, expected, failed, refused, skipped } = self;
        write!(
            f,
            "{passed} passed, {expected} failed as they say, {failed} failed, {refused} refused, {skipped} skipped"
        )
    }
}

fn word(verdict: &TestVerdict) -> &'static str {
    match verdict {
        TestVerdict::Passed => "passed",
        TestVerdict::ExpectedFailure(_) => "xfailed",
        TestVerdict::Failed(_) => "failed",
        TestVerdict::Refused(_) => "refused",
        TestVerdict::Skipped(_) => "skipped",
    }
}

fn why(verdict: &TestVerdict) -> Option<&str> {
    match verdict {
        TestVerdict::Failed(finding) | TestVerdict::ExpectedFailure(finding) => {
            Some(&finding.message)
        }
        TestVerdict::Skipped(why) | TestVerdict::Refused(why) => Some(why),
        TestVerdict::Passed => None,
    }
}

/// A test for a reader: its verdict, and the stages of one that failed.
fn lines(result: &TestResult, secrets: &Secrets) -> String {
    let part = |text: &str| shown(&secrets.masked(text));
    let mut out = format!("{:>7}  {}", word(&result.verdict), part(&result.name));
    let shows_why = !matches!(result.verdict, TestVerdict::ExpectedFailure(_));
    if let Some(why) = why(&result.verdict).filter(|_| shows_why) {
        out.push_str("\n           ");
        out.push_str(&part(why));
    }
    if matches!(result.verdict, TestVerdict::Failed(_)) {
        for step in &result.steps {
            let who = step.acting_as.as_deref().unwrap_or("somebody");
            let mark = if step.failures.is_empty() { "ok" } else { "FAILED" };
            out.push_str("\n           ");
            out.push_str(&[mark, ": ", &part(&step.name), " (as ", &part(who), ")"].concat());
            for failure in step.failures.iter().skip(1) {
                out.push_str("\n             ");
                out.push_str(&part(failure));
            }
        }
    }
    out
}
