//! Filters of the host's own within the gateway: long work, watched bodies, verdicts in the middle.

use crate::stage::{Answer, HEAD, Stage, echo, page, site, upstream};
use smesec_core::event::Finding;
use smesec_core::filter::{Filter, Outcome, Transaction, Work, WorkResult};
use smesec_core::http::{Connection, RequestHead, ResponseHead};
use smesec_core::intake::Intake;
use smesec_core::sink::Sink;
use smesec_core::verdict::{Action, Body, Phase, Step, Verdict};
use std::io::Write;
use std::sync::{Arc, Mutex};

const PASS: Step = Step::Done(Verdict::PASS);

fn deny(status: u16) -> Step {
    Step::Done(Verdict::new(Action::Deny { status }, 0))
}

/// What the tests' filter does depends on the target.
struct Odd(Arc<Mutex<Vec<Outcome>>>);

struct Watching {
    target: String,
    seen: Vec<u8>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

impl Filter for Odd {
    fn begin(&self, _: &Connection, _: Option<Box<dyn Intake>>) -> Box<dyn Transaction> {
        Box::new(Watching {
            target: String::new(),
            seen: Vec::new(),
            outcomes: Arc::clone(&self.0),
        })
    }
}

impl Transaction for Watching {
    fn wants(&self, phase: Phase) -> Body {
        match (phase, self.target.as_str()) {
            (Phase::RequestBody, "/watch") | (Phase::ResponseBody, "/answer") => Body::Watch,
            _ => Body::Skip,
        }
    }

    fn request_head(&mut self, head: &RequestHead<'_>) -> Step {
        self.target = String::from_utf8_lossy(head.target).into_owned();
        match self.target.as_str() {
            "/drop" => Step::Done(Verdict::new(Action::Drop, 0)),
            "/away" => Step::Done(Verdict::new(Action::Redirect { status: 303 }, 0)),
            "/work" | "/panic" | "/nothing" => Step::Pending,
            _ => PASS,
        }
    }

    fn request_body(&mut self, chunk: &[u8], _: bool) -> Step {
        self.seen.extend_from_slice(chunk);
        if self.seen.windows(4).any(|word| word == b"evil") { deny(451) } else { PASS }
    }

    fn response_head(&mut self, _: &ResponseHead<'_>) -> Step {
        PASS
    }

    fn response_body(&mut self, chunk: &[u8], _: bool) -> Step {
        self.seen.extend_from_slice(chunk);
        if self.seen.windows(4).any(|word| word == b"leak") { deny(500) } else { PASS }
    }

    fn take_work(&mut self) -> Option<Work> {
        let panics = self.target == "/panic";
        (self.target != "/nothing").then(|| {
            Work::new(move || {
                assert!(!panics, "work that panics, on purpose");
                WorkResult::Own(Box::new(418u16))
            })
        })
    }

    fn resume(&mut self, done: WorkResult) -> Step {
        match done {
            WorkResult::Own(status) => deny(*status.downcast::<u16>().unwrap()),
            _ => PASS,
        }
    }

    fn location(&self) -> Option<&str> {
        Some("/elsewhere")
    }

    fn findings(&self) -> &[Finding] {
        &[]
    }

    fn finish(self: Box<Self>, outcome: Outcome, _: &dyn Sink) {
        self.outcomes.lock().unwrap().push(outcome);
    }
}

fn stage(upstream: std::net::SocketAddr) -> (Stage, Arc<Mutex<Vec<Outcome>>>) {
    let outcomes = Arc::default();
    let filter: Arc<dyn Filter> = Arc::new(Odd(Arc::clone(&outcomes)));
    let config = format!("{}[waf]\nmode = \"off\"\n", site(upstream));
    (Stage::with_filters(&config, vec![filter]), outcomes)
}

#[test]
fn work_is_done_elsewhere_and_decides() {
    let (stage, outcomes) = stage(echo());
    assert_eq!(stage.get("/work").status, 418);
    assert_eq!(stage.get("/panic").status, 500, "a filter that breaks lets nothing pass");
    assert_eq!(stage.get("/nothing").status, 500);
    assert_eq!(stage.get("/drop").status, 0, "no answer at all");
    let away = stage.get("/away");
    assert_eq!((away.status, away.header("location")), (303, Some("/elsewhere")));
    assert_eq!(stage.get("/other").status, 200);
    assert!(stage.end());
    let statuses: Vec<u16> =
        outcomes.lock().unwrap().iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [418, 500, 500, 0, 303, 200], "each transaction is finished once");
}

#[test]
fn a_watched_upload_is_stopped_in_the_middle() {
    let (stage, outcomes) = stage(echo());
    let good =
        stage.send(format!("POST /watch HTTP/1.1\r\n{HEAD}Content-Length: 9\r\n\r\nall right"));
    assert!(good.status == 200 && good.text().ends_with("all right"), "{good:?}");
    assert!(
        good.text().contains("content-length: 9\r\n"),
        "the size that was known stays known: {good:?}"
    );
    let mut stream = stage.connect();
    write!(stream, "POST /watch HTTP/1.1\r\n{HEAD}Content-Length: 100000\r\n\r\nsomething ev")
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    write!(stream, "il and more").unwrap();
    assert_eq!(Answer::read(&mut stream).status, 451);
    assert!(stage.end());
    assert_eq!(outcomes.lock().unwrap().len(), 2);
}

#[test]
fn a_watched_answer_that_is_stopped_never_looks_whole() {
    let at = upstream(|_, _| page(200, "Content-Type: text/plain\r\n", b"all the leaks"));
    let (stage, outcomes) = stage(at);
    let answer = stage.get("/answer");
    assert!(!answer.whole && !answer.text().contains("leak"), "{answer:?}");
    assert!(stage.end());
    assert!(outcomes.lock().unwrap()[0].aborted);
}
