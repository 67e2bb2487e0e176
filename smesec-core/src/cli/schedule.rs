//! `[[schedule]]` of `smesec serve`: tests and audits at set times, by a thread of their own.

use crate::client::Network;
use crate::event::{Event, EventId, Source};
use crate::gateway::{Schedule, ScheduledWork};
use crate::runner::{Observer, Report, TestResult, TestRunner};
use crate::sink::Sink;
use crate::taas::audit::Audit;
use crate::taas::report::{About, events};
use crate::taas::{Runner, Secrets, Suite};
use crate::time::Timestamp;
use crate::verdict::Severity;
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The first run waits so long, so that what starts beside the gateway is up.
const SETTLE: Duration = Duration::from_secs(10);

/// The thread ends when this is dropped and a run under way has ended; the process need not wait for it.
pub(super) struct Schedules(Sender<Vec<Schedule>>);

impl Schedules {
    /// Begins; what fails, and what cannot be run, goes to `sink`.
    pub(super) fn start(schedules: &[Schedule], sink: impl Sink + 'static) -> Result<Self, String> {
        let (send, receive) = channel();
        std::thread::Builder::new()
            .name("smesec-schedule".to_owned())
            .spawn(move || keep(&receive, &sink))
            .map_err(|e| format!("no thread for `[[schedule]]`: {e}"))?;
        let begun = Self(send);
        begun.replace(schedules);
        Ok(begun)
    }

    /// Others from now on, after a reload.
    pub(super) fn replace(&self, schedules: &[Schedule]) {
        // The thread lives as long as its inbox.
        let _ = self.0.send(schedules.to_vec());
    }
}

struct Due {
    schedule: Schedule,
    at: Instant,
}

fn keep(inbox: &Receiver<Vec<Schedule>>, sink: &dyn Sink) {
    let mut due: Vec<Due> = Vec::new();
    loop {
        let next = due.iter().map(|due| due.at).min();
        let asked = match next {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match asked {
            Ok(schedules) => {
                let first = |schedule: &Schedule| {
                    // What runs already keeps its time: a host that reloads often still gets its runs.
                    let known = due.iter().find(|due| due.schedule == *schedule);
                    known.map_or_else(|| Instant::now() + SETTLE.min(schedule.every), |due| due.at)
                };
                let next = schedules.into_iter().map(|s| Due { at: first(&s), schedule: s });
                due = next.collect();
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                for due in due.iter_mut().filter(|due| due.at <= now) {
                    due.at = now + due.schedule.every;
                    if let Err(why) = run(&due.schedule, sink) {
                        sink.accept(not_run(&why));
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What a schedule names, loaded.
enum Loaded {
    Tests(Suite),
    Audit(Box<Audit>),
}

/// What the schedule's author should know now and not at its first run.
pub(super) fn check(schedule: &Schedule) -> Result<(), String> {
    load(schedule).map(drop)
}

fn load(schedule: &Schedule) -> Result<Loaded, String> {
    match &schedule.work {
        ScheduledWork::Tests(files) => {
            let (env, secrets) = super::taas::environment();
            let mut builder = Suite::builder()
                .env(env)
                .secret(move |name| secrets.get(name).cloned())
                .seed(fresh());
            for file in files {
                builder = builder.file(file.to_string_lossy().into_owned());
            }
            let suite = builder.build();
            match suite.report().refused.iter().find(|refused| refused.rule.is_none()) {
                Some(refused) => Err(suite.secrets().masked(&refused.to_string()).into_owned()),
                None => Ok(Loaded::Tests(suite)),
            }
        }
        ScheduledWork::Audit(file) => {
            let name = file.to_string_lossy();
            let text = std::fs::read_to_string(file)
                .map_err(|e| format!("`{name}`: {e}; check that it is there and may be read"))?;
            let audit = Audit::load(&text, &name).map_err(|e| e.to_string())?;
            Ok(Loaded::Audit(Box::new(audit)))
        }
    }
}

fn run(schedule: &Schedule, sink: &dyn Sink) -> Result<(), String> {
    let (began, clock) = (Timestamp::from_system_clock(), Instant::now());
    let (report, secrets) = match load(schedule)? {
        Loaded::Tests(suite) => {
            let runner = Runner::new(&suite);
            let network =
                Network::builder().allow_hosts(suite.hosts(), schedule.allow_public).build();
            let report = runner.run(&network, &mut Unwatched);
            (report, runner.secrets())
        }
        Loaded::Audit(audit) => {
            let (most, rate, _) = audit.limits();
            let public = schedule.allow_public || audit.allows_public_hosts();
            let bounded = Network::builder().at_most(most).per_second(rate);
            let report =
                audit.run(&bounded.allow_hosts(audit.hosts(), public).build(), &mut Unwatched);
            // The audit has masked what it keeps.
            (report, Secrets::default())
        }
    };
    tell(schedule, &report, &secrets, began, clock.elapsed(), sink);
    Ok(())
}

fn tell(
    schedule: &Schedule,
    report: &Report,
    secrets: &Secrets,
    began: Timestamp,
    elapsed: Duration,
    sink: &dyn Sink,
) {
    let name = match &schedule.work {
        ScheduledWork::Tests(files) => {
            let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
            names.join(" ")
        }
        ScheduledWork::Audit(file) => file.to_string_lossy().into_owned(),
    };
    let mut about = About::new(&name, secrets);
    about.began = began;
    about.elapsed = Some(elapsed);
    events(report, &about, fresh(), sink);
}

/// Nobody sat down to watch; a schedule that does not run shall not look like one whose tests pass.
fn not_run(why: &str) -> Event {
    let now = Timestamp::from_system_clock();
    let mut event = Event::new(EventId::new(fresh(), 1), Source::Taas, now);
    event.severity_id = Severity::Medium.ocsf_id();
    event.message = format!("a scheduled run could not begin: {why}");
    event
}

struct Unwatched;

impl Observer for Unwatched {
    fn finished(&mut self, _: &TestResult) {}
}

fn fresh() -> u64 {
    RandomState::new().hash_one("schedule")
}
