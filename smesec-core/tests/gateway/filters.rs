//! Filters of the host's own within the gateway: long work, watched bodies, verdicts in the middle.

use crate::stage::{Answer, HEAD, PATIENCE, Stage, echo, page, server, site, upstream};
use smesec_core::event::Finding;
use smesec_core::filter::{Filter, Outcome, Transaction, Work, WorkResult};
use smesec_core::http::{Connection, RequestHead, ResponseHead};
use smesec_core::intake::Intake;
use smesec_core::sink::Sink;
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Action, Body, Phase, Severity, Step, Verdict};
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const PASS: Step = Step::Done(Verdict::PASS);

fn deny(status: u16) -> Step {
    Step::Done(Verdict::new(Action::Deny { status }, 0))
}

/// What the tests' filter does depends on the target.
struct Odd(Arc<Notes>);

/// What the filter met, for the tests to look at.
#[derive(Default)]
struct Notes {
    outcomes: Mutex<Vec<Outcome>>,
    /// When the request's and the response's head came, and the version that the latter spoke.
    heads: Mutex<Vec<(Timestamp, Timestamp, String)>>,
    gate: Gate,
}

/// Where bodies for `/slow` wait.
#[derive(Default)]
struct Gate {
    /// Bodies at the gate, and whether it stands open.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        let _open = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.1).unwrap();
    }

    fn wait_for(&self, bodies: usize) {
        let state = self.state.lock().unwrap();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| state.0 < bodies);
        assert!(!waited.unwrap().1.timed_out(), "the bodies did not come");
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

struct Watching {
    target: String,
    seen: Vec<u8>,
    began: Timestamp,
    notes: Arc<Notes>,
}

impl Filter for Odd {
    fn begin(&self, _: &Connection, _: Option<Box<dyn Intake>>) -> Box<dyn Transaction> {
        Box::new(Watching {
            target: String::new(),
            seen: Vec::new(),
            began: Timestamp::default(),
            notes: Arc::clone(&self.0),
        })
    }
}

impl Transaction for Watching {
    fn wants(&self, phase: Phase) -> Body {
        match (phase, self.target.as_str()) {
            (Phase::RequestBody, "/watch" | "/slow") | (Phase::ResponseBody, "/answer") => {
                Body::Watch
            }
            _ => Body::Skip,
        }
    }

    fn request_head(&mut self, head: &RequestHead<'_>) -> Step {
        self.began = head.now;
        self.target = String::from_utf8_lossy(head.target).into_owned();
        match self.target.as_str() {
            "/drop" => Step::Done(Verdict::new(Action::Drop, 0)),
            "/away" => Step::Done(Verdict::new(Action::Redirect { status: 303 }, 0)),
            "/work" | "/panic" | "/nothing" => Step::Pending,
            "/crash" => panic!("a step that panics, on purpose"),
            _ => PASS,
        }
    }

    fn request_body(&mut self, chunk: &[u8], last: bool) -> Step {
        if last && self.target == "/slow" {
            self.notes.gate.pass();
            return PASS;
        }
        self.seen.extend_from_slice(chunk);
        let has = |word: &[u8; 4]| self.seen.windows(4).any(|seen| seen == word);
        if has(b"evil") {
            deny(451)
        } else if has(b"jams") {
            Step::Pending
        } else {
            PASS
        }
    }

    fn response_head(&mut self, head: &ResponseHead<'_>) -> Step {
        let version = String::from_utf8_lossy(head.version).into_owned();
        self.notes.heads.lock().unwrap().push((self.began, head.now, version));
        PASS
    }

    fn response_body(&mut self, chunk: &[u8], _: bool) -> Step {
        self.seen.extend_from_slice(chunk);
        if self.seen.windows(4).any(|word| word == b"leak") { deny(500) } else { PASS }
    }

    fn take_work(&mut self) -> Option<Work> {
        let panics = self.target == "/panic";
        (!["/nothing", "/watch"].contains(&self.target.as_str())).then(|| {
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
        self.notes.outcomes.lock().unwrap().push(outcome);
    }
}

fn stage(upstream: std::net::SocketAddr) -> (Stage, Arc<Notes>) {
    let notes = Arc::default();
    let filter: Arc<dyn Filter> = Arc::new(Odd(Arc::clone(&notes)));
    let config = format!("{}[waf]\nmode = \"off\"\n", site(upstream));
    (Stage::with_filters(&config, vec![filter]), notes)
}

#[test]
fn work_is_done_elsewhere_and_decides() {
    let (stage, notes) = stage(echo());
    assert_eq!(stage.get("/work").status, 418);
    assert_eq!(stage.get("/panic").status, 500, "a filter that breaks lets nothing pass");
    assert_eq!(stage.get("/nothing").status, 500);
    assert_eq!(stage.get("/drop").status, 0, "no answer at all");
    let away = stage.get("/away");
    assert_eq!((away.status, away.header("location")), (303, Some("/elsewhere")));
    assert_eq!(stage.get("/other").status, 200);
    assert!(stage.end());
    let statuses: Vec<u16> =
        notes.outcomes.lock().unwrap().iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [418, 500, 500, 0, 303, 200], "each transaction is finished once");
}

#[test]
fn a_watched_upload_is_stopped_in_the_middle() {
    let (stage, notes) = stage(echo());
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
    std::thread::sleep(Duration::from_millis(50));
    write!(stream, "il and more").unwrap();
    assert_eq!(Answer::read(&mut stream).status, 451);
    assert!(stage.end());
    assert_eq!(notes.outcomes.lock().unwrap().len(), 2);
}

#[test]
fn a_watched_answer_that_is_stopped_never_looks_whole() {
    let at = upstream(|_, _| page(200, "Content-Type: text/plain\r\n", b"all the leaks"));
    let (stage, notes) = stage(at);
    let answer = stage.get("/answer");
    assert!(!answer.whole && !answer.text().contains("leak"), "{answer:?}");
    assert!(stage.end());
    assert!(notes.outcomes.lock().unwrap()[0].aborted);
}

#[test]
fn a_filter_that_breaks_in_a_watched_upload_is_answered_with_500() {
    let (stage, _) = stage(echo());
    let answer =
        stage.send(format!("POST /watch HTTP/1.1\r\n{HEAD}Content-Length: 12\r\n\r\nthe lid jams"));
    assert_eq!(answer.status, 500, "{answer:?}");
    let event = stage.event(|event| event.message.contains("filter"));
    assert_eq!(event.severity_id, Severity::High.ocsf_id());
    assert_eq!(event.extra["incident"], answer.incident());
}

#[test]
fn a_step_that_panics_gives_its_place_back() {
    let (stage, _) = stage(echo());
    assert_eq!(stage.get("/crash").status, 0);
    stage.counted("smesec_connections_open", 0);
    assert!(stage.end());
}

#[test]
fn heads_of_answers_are_told_as_they_came() {
    let at = server(|mut stream| {
        let _ = crate::stage::read_head(&mut std::io::BufReader::new(stream.try_clone().unwrap()));
        std::thread::sleep(Duration::from_millis(30));
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let (stage, notes) = stage(at);
    assert_eq!(stage.get("/").text(), "ok");
    let heads = notes.heads.lock().unwrap();
    let (request, response, version) = &heads[0];
    let between = response.unix_nanos() - request.unix_nanos();
    assert!(between >= 30_000_000, "{between} ns after the request's head");
    assert_eq!(version, "HTTP/1.0");
}

/// Uploads to `/slow` whose last pieces the filter looks at, more than there are threads.
fn slow_uploads(stage: &Stage, notes: &Notes) -> Vec<TcpStream> {
    let body = "x".repeat(100_000);
    // Of a connection that stays the server sees when the client leaves.
    let head = HEAD.replace("Connection: close\r\n", "");
    let uploads = (0..3)
        .map(|_| {
            let mut stream = stage.connect();
            let length = body.len();
            write!(stream, "POST /slow HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}")
                .unwrap();
            stream
        })
        .collect();
    notes.gate.wait_for(3);
    uploads
}

/// Requests beside the uploads are answered while the filter still looks at those.
fn others_are_served(stage: &Stage, notes: &Notes) {
    // What would hold the threads up has time to.
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..4 {
        let mut stream = stage.connect();
        stream.set_read_timeout(Some(PATIENCE / 4)).unwrap();
        write!(stream, "GET /other HTTP/1.1\r\n{HEAD}\r\n").unwrap();
        assert_eq!(Answer::read(&mut stream).status, 200);
    }
    assert!(!notes.gate.state.lock().unwrap().1);
}

#[test]
fn an_early_answer_waits_for_the_filter_without_a_thread() {
    let notes_of_upstream: Arc<Mutex<Option<Arc<Notes>>>> = Arc::default();
    let at = {
        let notes = Arc::clone(&notes_of_upstream);
        server(move |mut stream| {
            let mut reading = std::io::BufReader::new(stream.try_clone().unwrap());
            while let Some(head) = crate::stage::read_head(&mut reading) {
                if head.starts_with("POST") {
                    let notes = notes.lock().unwrap().clone().unwrap();
                    notes.gate.wait_for(3);
                }
                let _ = stream.write_all(&page(200, "Content-Type: text/plain\r\n", b"early"));
            }
        })
    };
    let (stage, notes) = stage(at);
    *notes_of_upstream.lock().unwrap() = Some(Arc::clone(&notes));
    let uploads = slow_uploads(&stage, &notes);
    others_are_served(&stage, &notes);
    notes.gate.open();
    for mut upload in uploads {
        assert_eq!(Answer::read(&mut upload).text(), "early");
    }
}

#[test]
fn a_client_that_leaves_a_long_inspection_holds_no_thread() {
    let (stage, notes) = stage(echo());
    drop(slow_uploads(&stage, &notes));
    others_are_served(&stage, &notes);
    notes.gate.open();
    let deadline = Instant::now() + PATIENCE;
    let aborted = || notes.outcomes.lock().unwrap().iter().filter(|o| o.aborted).count();
    while aborted() < 3 {
        assert!(Instant::now() < deadline, "a transaction was not finished");
        std::thread::sleep(Duration::from_millis(5));
    }
    stage.counted("smesec_aborted_total", 3);
    assert!(stage.end());
    assert_eq!(notes.outcomes.lock().unwrap().len(), 7, "each is finished once");
}
