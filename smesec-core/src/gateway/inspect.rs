//! The filter's transaction within one exchange. Both directions hold it, since a response may begin
//! while the request's body still comes.

use crate::filter::{Filter, Outcome, Transaction};
use crate::http::{Connection, RequestHead, ResponseHead};
use crate::sink::Sink;
use crate::verdict::{Body, Phase, Step, Verdict};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// From this size on a body is looked at in the pool for blocking work: 64 KiB of JSON take some
/// milliseconds, during which the event loop serves others.
const POOLED: u64 = 64 << 10;

#[derive(Default)]
struct Inner {
    transaction: Option<Box<dyn Transaction>>,
    spent: Duration,
    /// The last decisive verdict.
    verdict: Verdict,
    /// How the filter broke its contract.
    broken: Option<&'static str>,
}

impl Inner {
    /// Calls the transaction; `none` without one, or after its end.
    fn call<T>(&mut self, none: T, call: impl FnOnce(&mut dyn Transaction) -> T) -> T {
        let began = Instant::now();
        let Some(transaction) = self.transaction.as_deref_mut() else { return none };
        let answer = call(transaction);
        self.spent += began.elapsed();
        answer
    }

    fn step(&mut self, call: impl FnOnce(&mut dyn Transaction) -> Step) -> Step {
        let step = self.call(Step::Done(Verdict::PASS), call);
        if let Step::Done(verdict) = step
            && verdict.is_decisive()
        {
            self.verdict = verdict;
        }
        step
    }

    fn broke(&mut self, how: &'static str) -> Verdict {
        self.verdict = Verdict::BROKEN;
        self.broken = Some(how);
        Verdict::BROKEN
    }

    fn end(&mut self) -> Ended {
        Ended { transaction: self.transaction.take(), spent: self.spent, broken: self.broken }
    }
}

/// A lock that is free is taken at once, which takes half the time of waiting for one.
async fn locked(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    match inner.try_lock() {
        Ok(free) => free,
        Err(_) => inner.lock().await,
    }
}

/// `None`: no filter looks at this exchange. The lock is one that a task waits for: in the pool the other
/// direction's body may be under inspection for milliseconds.
#[derive(Clone)]
pub(super) struct Inspector(Option<Arc<Mutex<Inner>>>);

/// The pool looks at a body of this exchange.
pub(super) struct Busy;

impl Inspector {
    pub(super) fn begin(filter: Option<&dyn Filter>, connection: &Connection) -> Self {
        Self(filter.map(|filter| {
            let began = Instant::now();
            let transaction = Some(filter.begin(connection, None));
            let spent = began.elapsed();
            Arc::new(Mutex::new(Inner { transaction, spent, ..Inner::default() }))
        }))
    }

    async fn step(&self, call: impl FnOnce(&mut dyn Transaction) -> Step) -> Step {
        match &self.0 {
            Some(inner) => locked(inner).await.step(call),
            None => Step::Done(Verdict::PASS),
        }
    }

    /// The decisive verdict, where one was given.
    pub(super) async fn verdict(&self) -> Verdict {
        match &self.0 {
            Some(inner) => locked(inner).await.verdict,
            None => Verdict::PASS,
        }
    }

    async fn broke(&self, how: &'static str) -> Verdict {
        match &self.0 {
            Some(inner) => locked(inner).await.broke(how),
            None => Verdict::BROKEN,
        }
    }

    async fn settle(&self, mut step: Step) -> Verdict {
        loop {
            match step {
                Step::Done(verdict) => return verdict,
                Step::Pending => {
                    let Some(inner) = &self.0 else { return Verdict::PASS };
                    let work =
                        locked(inner).await.call(None, |transaction| transaction.take_work());
                    let Some(work) = work else {
                        return self.broke("it waits for work that it does not give").await;
                    };
                    let Ok(done) = tokio::task::spawn_blocking(move || work.run()).await else {
                        return self.broke("its work panicked").await;
                    };
                    step = self.step(|transaction| transaction.resume(done)).await;
                }
            }
        }
    }

    pub(super) async fn wants(&self, phase: Phase) -> Body {
        match &self.0 {
            Some(inner) => {
                locked(inner).await.call(Body::Skip, |transaction| transaction.wants(phase))
            }
            None => Body::Skip,
        }
    }

    pub(super) async fn request_head(&self, head: &RequestHead<'_>) -> Verdict {
        let step = self.step(|transaction| transaction.request_head(head)).await;
        self.settle(step).await
    }

    pub(super) async fn response_head(&self, head: &ResponseHead<'_>) -> Verdict {
        let step = self.step(|transaction| transaction.response_head(head)).await;
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
        let Some(inner) = &self.0 else { return Verdict::PASS };
        let call = move |transaction: &mut dyn Transaction| match phase {
            Phase::RequestBody => transaction.request_body(&chunk, last),
            _ => transaction.response_body(&chunk, last),
        };
        let step = if last && so_far >= POOLED {
            let mut inner = Arc::clone(inner).lock_owned().await;
            match tokio::task::spawn_blocking(move || inner.step(call)).await {
                Ok(step) => step,
                Err(_) => return self.broke("it panicked over a body").await,
            }
        } else {
            locked(inner).await.step(call)
        };
        self.settle(step).await
    }

    pub(super) async fn location(&self) -> Option<String> {
        let inner = self.0.as_ref()?;
        locked(inner).await.call(None, |transaction| transaction.location().map(str::to_owned))
    }

    /// Takes the transaction out, to be finished.
    pub(super) fn end(&self) -> Result<Ended, Busy> {
        match &self.0 {
            Some(inner) => inner.try_lock().map(|mut inner| inner.end()).map_err(|_| Busy),
            None => Ok(Ended::default()),
        }
    }

    /// As [`Inspector::end`], once the pool is done with it.
    pub(super) async fn end_later(&self) -> Ended {
        match &self.0 {
            Some(inner) => locked(inner).await.end(),
            None => Ended::default(),
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

/// What is left of the inspection when the exchange has ended.
#[derive(Default)]
pub(super) struct Ended {
    transaction: Option<Box<dyn Transaction>>,
    spent: Duration,
    /// How the filter broke its contract, where it did.
    pub(super) broken: Option<&'static str>,
}

impl Ended {
    /// Ends the transaction; its event goes to `sink`. The time that the filters took.
    pub(super) fn finish(self, outcome: Outcome, sink: &dyn Sink) -> Duration {
        let Some(transaction) = self.transaction else { return self.spent };
        let began = Instant::now();
        transaction.finish(outcome, sink);
        self.spent + began.elapsed()
    }
}
