//! The filter's transaction within one exchange. Both directions hold it, since a response may begin
//! while the request's body still comes.

use crate::filter::{Filter, Outcome, Transaction};
use crate::http::{Connection, RequestHead, ResponseHead};
use crate::sink::Sink;
use crate::verdict::{Action, Body, Phase, Step, Verdict};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From this size on a body is looked at in the pool for blocking work: 64 KiB of JSON take some
/// milliseconds, during which the event loop serves others.
const POOLED: u64 = 64 << 10;

/// A filter that breaks its contract (pending without work, a job that panics) stops the exchange.
const BROKEN: Verdict = Verdict::new(Action::Deny { status: 500 }, 0);

struct Inner {
    transaction: Option<Box<dyn Transaction>>,
    spent: Duration,
    /// The first decisive verdict.
    verdict: Verdict,
}

/// `None`: no filter looks at this exchange.
#[derive(Clone)]
pub(super) struct Inspector(Option<Arc<Mutex<Inner>>>);

impl Inspector {
    pub(super) fn begin(filter: Option<&dyn Filter>, connection: &Connection) -> Self {
        Self(filter.map(|filter| {
            let began = Instant::now();
            let transaction = Some(filter.begin(connection, None));
            Arc::new(Mutex::new(Inner {
                transaction,
                spent: began.elapsed(),
                verdict: Verdict::PASS,
            }))
        }))
    }

    /// Calls the transaction; `none` without one, or after its end.
    fn call<T>(&self, none: T, call: impl FnOnce(&mut dyn Transaction) -> T) -> T {
        let Some(inner) = &self.0 else { return none };
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let Some(transaction) = inner.transaction.as_deref_mut() else { return none };
        let answer = call(transaction);
        inner.spent += began.elapsed();
        answer
    }

    fn step(&self, call: impl FnOnce(&mut dyn Transaction) -> Step) -> Step {
        let step = self.call(Step::Done(Verdict::PASS), call);
        if let (Step::Done(verdict), Some(inner)) = (step, &self.0)
            && verdict.is_decisive()
        {
            inner.lock().unwrap_or_else(PoisonError::into_inner).verdict = verdict;
        }
        step
    }

    /// The decisive verdict, where one was given.
    pub(super) fn verdict(&self) -> Verdict {
        self.0.as_ref().map_or(Verdict::PASS, |inner| {
            inner.lock().unwrap_or_else(PoisonError::into_inner).verdict
        })
    }

    async fn settle(&self, mut step: Step) -> Verdict {
        loop {
            match step {
                Step::Done(verdict) => return verdict,
                Step::Pending => {
                    let Some(work) = self.call(None, |transaction| transaction.take_work()) else {
                        return BROKEN;
                    };
                    let Ok(done) = tokio::task::spawn_blocking(move || work.run()).await else {
                        return BROKEN;
                    };
                    step = self.step(|transaction| transaction.resume(done));
                }
            }
        }
    }

    pub(super) fn wants(&self, phase: Phase) -> Body {
        self.call(Body::Skip, |transaction| transaction.wants(phase))
    }

    pub(super) async fn request_head(&self, head: &RequestHead<'_>) -> Verdict {
        let step = self.step(|transaction| transaction.request_head(head));
        self.settle(step).await
    }

    pub(super) async fn response_head(&self, head: &ResponseHead<'_>) -> Verdict {
        let step = self.step(|transaction| transaction.response_head(head));
        self.settle(step).await
    }

    /// A piece of a body of `phase`; `so_far` counts its bytes up to and with this piece.
    pub(super) async fn body(
        &self,
        phase: Phase,
        chunk: Bytes,
        last: bool,
        so_far: u64,
    ) -> Verdict {
        let call = move |transaction: &mut dyn Transaction| match phase {
            Phase::RequestBody => transaction.request_body(&chunk, last),
            _ => transaction.response_body(&chunk, last),
        };
        let step = if last && so_far >= POOLED && self.0.is_some() {
            let this = self.clone();
            match tokio::task::spawn_blocking(move || this.step(call)).await {
                Ok(step) => step,
                Err(_) => return BROKEN,
            }
        } else {
            self.step(call)
        };
        self.settle(step).await
    }

    pub(super) fn location(&self) -> Option<String> {
        self.call(None, |transaction| transaction.location().map(str::to_owned))
    }

    /// Ends the transaction; its event goes to `sink`. The time that the filters took.
    pub(super) fn finish(&self, outcome: Outcome, sink: &dyn Sink) -> Duration {
        let Some(inner) = &self.0 else { return Duration::ZERO };
        let began = Instant::now();
        let (transaction, spent) = {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            (inner.transaction.take(), inner.spent)
        };
        let Some(transaction) = transaction else { return spent };
        transaction.finish(outcome, sink);
        spent + began.elapsed()
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}
