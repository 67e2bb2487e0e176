//! An event loop as host: long work goes to its pool, and the loop goes on meanwhile.
//!
//! The library knows no event loop. A step that answers `Pending` has a `Work` waiting, which is `Send` and
//! `'static`: this host runs it with `spawn_blocking` and hands the result back with `resume`. The filter
//! is the host's own and looks the client up in a slow list.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use smesec_core::event::Finding;
use smesec_core::filter::{Filter, Outcome, Transaction, Work, WorkResult};
use smesec_core::http::{Connection, Header, RequestHead, ResponseHead};
use smesec_core::intake::Intake;
use smesec_core::sink::{Discard, Sink};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Action, Body, Phase, Step, Verdict};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A list that takes a while to answer, as one across a network does.
fn is_listed(address: IpAddr) -> bool {
    std::thread::sleep(Duration::from_millis(60));
    address == IpAddr::from([203, 0, 113, 9])
}

/// Asks the list about each client.
struct Reputation;

struct Asked {
    address: IpAddr,
    work: Option<Work>,
    verdict: Verdict,
}

impl Filter for Reputation {
    fn begin(&self, connection: &Connection, _: Option<Box<dyn Intake>>) -> Box<dyn Transaction> {
        Box::new(Asked { address: connection.client.ip(), work: None, verdict: Verdict::PASS })
    }
}

impl Transaction for Asked {
    fn wants(&self, _: Phase) -> Body {
        Body::Skip
    }
    fn request_head(&mut self, _: &RequestHead<'_>) -> Step {
        let address = self.address;
        self.work = Some(Work::new(move || WorkResult::Own(Box::new(is_listed(address)))));
        Step::Pending
    }
    fn request_body(&mut self, _: &[u8], _: bool) -> Step {
        Step::Done(self.verdict)
    }
    fn response_head(&mut self, _: &ResponseHead<'_>) -> Step {
        Step::Done(self.verdict)
    }
    fn response_body(&mut self, _: &[u8], _: bool) -> Step {
        Step::Done(self.verdict)
    }
    fn take_work(&mut self) -> Option<Work> {
        self.work.take()
    }
    fn resume(&mut self, done: WorkResult) -> Step {
        // Only this filter's own answer is understood; anything else cannot be one that let it pass.
        let listed = match done {
            WorkResult::Own(answer) => answer.downcast().map_or(true, |listed| *listed),
            _ => true,
        };
        if listed {
            self.verdict = Verdict::new(Action::Deny { status: 403 }, 0);
        }
        Step::Done(self.verdict)
    }
    fn findings(&self) -> &[Finding] {
        &[]
    }
    fn finish(self: Box<Self>, _: Outcome, _: &dyn Sink) {}
}

/// Waits for the verdict without holding the loop up.
async fn settle(transaction: &mut dyn Transaction, mut step: Step) -> Verdict {
    loop {
        if let Some(verdict) = step.verdict() {
            return verdict;
        }
        let Some(work) = transaction.take_work() else { return Verdict::PASS };
        step = match tokio::task::spawn_blocking(|| work.run()).await {
            Ok(done) => transaction.resume(done),
            // The pool is gone: nothing was looked up, so nothing passes.
            Err(_) => Step::Done(Verdict::new(Action::Deny { status: 503 }, 0)),
        };
    }
}

async fn serve(filter: Arc<dyn Filter>, client: [u8; 4]) -> u16 {
    let now = Timestamp::from_system_clock();
    let connection =
        Connection { client: (client, 40_000).into(), server: ([192, 0, 2, 2], 80).into(), now };
    let mut transaction = filter.begin(&connection, None);
    let headers = [Header::new("Host", "shop.example")];
    let step = transaction.request_head(&RequestHead {
        method: b"GET",
        target: b"/",
        version: b"HTTP/1.1",
        headers: &headers,
        now,
    });
    let verdict = settle(transaction.as_mut(), step).await;
    let status = if let Action::Deny { status } = verdict.action() { status } else { 200 };
    transaction.finish(Outcome { status, now, ..Outcome::default() }, &Discard);
    status
}

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let filter: Arc<dyn Filter> = Arc::new(Reputation);
        // Something else that the loop has to do: it goes on while the look-ups wait.
        let ticks = Arc::new(AtomicU32::new(0));
        let beat = tokio::spawn({
            let ticks = Arc::clone(&ticks);
            async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    ticks.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let clients = [[192, 0, 2, 1], [203, 0, 113, 9], [192, 0, 2, 3]];
        let asked: Vec<_> = clients
            .iter()
            .map(|client| (client, tokio::spawn(serve(Arc::clone(&filter), *client))))
            .collect();
        for (client, answer) in asked {
            println!("{client:?} -> {}", answer.await.unwrap_or(500));
        }
        beat.abort();
        println!(
            "meanwhile: {}",
            if ticks.load(Ordering::Relaxed) > 3 {
                "the loop went on"
            } else {
                "the loop stood still"
            }
        );
    });
    Ok(())
}
