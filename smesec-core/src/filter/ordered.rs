//! A transaction held to the order of its phases.

use super::{Outcome, Transaction, Work, WorkResult};
use crate::error::PhaseError;
use crate::http::{RequestHead, ResponseHead};
use crate::sink::Sink;
use crate::verdict::{Phase, Step, Verdict};
use std::sync::Arc;

/// A transaction that answers a step out of order with an error: for faces whose callers no type
/// holds to the order of [`Phase`].
///
/// A body has to end, if need be with an empty last piece, before the response begins, so that no rule over a
/// whole body is skipped. After a decisive verdict the response's steps are allowed at once. While
/// a step is [`Step::Pending`] only [`Ordered::take_work`], [`Ordered::resume`] and [`Ordered::finish`] are.
pub struct Ordered {
    /// Empty after `finish`.
    inner: Option<Box<dyn Transaction>>,
    next: Phase,
    decided: bool,
    pending: bool,
    /// Marks the work that was given out, once there was some.
    origin: Option<Arc<()>>,
}

/// What work of one transaction came to. A host with a pool can mix two up, and one's harmless upload would
/// let the other's pass.
struct Marked {
    origin: Arc<()>,
    result: WorkResult,
}

impl std::fmt::Debug for Ordered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ordered")
            .field("next", &self.next)
            .field("decided", &self.decided)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl Ordered {
    /// A fresh transaction, held to its order.
    pub fn new(inner: Box<dyn Transaction>) -> Self {
        Self {
            inner: Some(inner),
            next: Phase::RequestHead,
            decided: false,
            pending: false,
            origin: None,
        }
    }

    /// One that has ended already: every step is an error.
    pub const fn ended() -> Self {
        Self { inner: None, next: Phase::Log, decided: true, pending: false, origin: None }
    }

    /// As [`Transaction::request_head`].
    ///
    /// # Errors
    /// When it comes twice, after `finish`, or while work is pending.
    pub fn request_head(&mut self, head: &RequestHead<'_>) -> Result<Step, PhaseError> {
        self.step("request_head", Phase::RequestHead, true, |inner| inner.request_head(head))
    }

    /// As [`Transaction::request_body`].
    ///
    /// # Errors
    /// When the head is missing, the last piece has come, or work is pending.
    pub fn request_body(&mut self, chunk: &[u8], last: bool) -> Result<Step, PhaseError> {
        self.step("request_body", Phase::RequestBody, last, |inner| inner.request_body(chunk, last))
    }

    /// As [`Transaction::response_head`].
    ///
    /// # Errors
    /// When the request's last piece is missing, it comes twice, or work is pending.
    pub fn response_head(&mut self, head: &ResponseHead<'_>) -> Result<Step, PhaseError> {
        self.step("response_head", Phase::ResponseHead, true, |inner| inner.response_head(head))
    }

    /// As [`Transaction::response_body`].
    ///
    /// # Errors
    /// When the head is missing, the last piece has come, or work is pending.
    pub fn response_body(&mut self, chunk: &[u8], last: bool) -> Result<Step, PhaseError> {
        self.step("response_body", Phase::ResponseBody, last, |inner| {
            inner.response_body(chunk, last)
        })
    }

    /// As [`Transaction::take_work`]; `None` where nothing is pending.
    pub fn take_work(&mut self) -> Option<Work> {
        let work = self.inner.as_mut().filter(|_| self.pending)?.take_work()?;
        let origin = Arc::clone(self.origin.get_or_insert_default());
        Some(Work::new(move || WorkResult::Own(Box::new(Marked { origin, result: work.run() }))))
    }

    /// As [`Transaction::resume`], with what work of [`Ordered::take_work`] came to.
    ///
    /// # Errors
    /// When nothing is pending, or the work is another transaction's: that one can only be finished then.
    pub fn resume(&mut self, done: WorkResult) -> Result<Step, PhaseError> {
        let inner = self.inner.as_mut().filter(|_| self.pending);
        let inner = inner.ok_or(PhaseError::new("resume", "without pending work"))?;
        let result = match (done, &self.origin) {
            (WorkResult::Own(own), Some(origin)) => match own.downcast::<Marked>() {
                Ok(marked) if Arc::ptr_eq(origin, &marked.origin) => Some(marked.result),
                _ => None,
            },
            _ => None,
        };
        let wrong = PhaseError::new("resume", "with another transaction's work");
        let step = inner.resume(result.ok_or(wrong)?);
        self.answered(step);
        Ok(step)
    }

    /// Does here what is pending, for hosts without a pool; answers with the verdict, which is
    /// [`Verdict::BROKEN`] where a filter waits for work that it does not give out.
    pub fn work_in_place(&mut self, mut step: Step) -> Verdict {
        loop {
            if let Step::Done(verdict) = step {
                return verdict;
            }
            step = match self.inner.as_mut().and_then(|inner| Some((inner.take_work()?, inner))) {
                Some((work, inner)) => inner.resume(work.run()),
                None => Step::Done(Verdict::BROKEN),
            };
            self.answered(step);
        }
    }

    /// The transaction, `None` after `finish`.
    pub fn transaction(&self) -> Option<&dyn Transaction> {
        self.inner.as_deref()
    }

    /// As [`Transaction::finish`]; allowed at any time, once.
    ///
    /// # Errors
    /// When it comes twice.
    pub fn finish(&mut self, outcome: Outcome, sink: &dyn Sink) -> Result<(), PhaseError> {
        let inner = self.inner.take().ok_or(PhaseError::new("finish", "finished"))?;
        inner.finish(outcome, sink);
        Ok(())
    }

    fn step(
        &mut self,
        call: &'static str,
        phase: Phase,
        last: bool,
        run: impl FnOnce(&mut dyn Transaction) -> Step,
    ) -> Result<Step, PhaseError> {
        let Some(inner) = self.inner.as_mut() else {
            return Err(PhaseError::new(call, "finished"));
        };
        if self.pending {
            return Err(PhaseError::new(call, "pending work"));
        }
        let jump = self.decided && self.next <= phase && phase >= Phase::ResponseHead;
        if self.next != phase && !jump {
            return Err(PhaseError::new(call, word(self.next)));
        }
        let step = run(inner.as_mut());
        if last {
            self.next = match phase {
                Phase::RequestHead => Phase::RequestBody,
                Phase::RequestBody => Phase::ResponseHead,
                Phase::ResponseHead => Phase::ResponseBody,
                Phase::ResponseBody | Phase::Log => Phase::Log,
            };
        }
        self.answered(step);
        Ok(step)
    }

    fn answered(&mut self, step: Step) {
        self.pending = step == Step::Pending;
        self.decided |= step.verdict().is_some_and(Verdict::is_decisive);
    }
}

const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::RequestHead => "request_head",
        Phase::RequestBody => "request_body",
        Phase::ResponseHead => "response_head",
        Phase::ResponseBody => "response_body",
        Phase::Log => "finish",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Finding;
    use crate::sink::Discard;
    use crate::time::Timestamp;
    use crate::verdict::{Action, Body};

    /// Asks for work at the request body's end, and refuses what the work says.
    struct Asks {
        work: Option<Work>,
    }

    impl Transaction for Asks {
        fn wants(&self, _: Phase) -> Body {
            Body::Watch
        }
        fn request_head(&mut self, _: &RequestHead<'_>) -> Step {
            Step::Done(Verdict::PASS)
        }
        fn request_body(&mut self, _: &[u8], last: bool) -> Step {
            if !last {
                return Step::Done(Verdict::PASS);
            }
            self.work = Some(Work::new(|| WorkResult::Own(Box::new(7_u16))));
            Step::Pending
        }
        fn response_head(&mut self, _: &ResponseHead<'_>) -> Step {
            Step::Done(Verdict::PASS)
        }
        fn response_body(&mut self, _: &[u8], _: bool) -> Step {
            Step::Done(Verdict::PASS)
        }
        fn take_work(&mut self) -> Option<Work> {
            self.work.take()
        }
        fn resume(&mut self, done: WorkResult) -> Step {
            assert!(matches!(done, WorkResult::Own(own) if own.downcast_ref() == Some(&7_u16)));
            Step::Done(Verdict::new(Action::Deny { status: 403 }, 0))
        }
        fn findings(&self) -> &[Finding] {
            &[]
        }
        fn finish(self: Box<Self>, _: Outcome, _: &dyn Sink) {}
    }

    const REQUEST: RequestHead<'static> = RequestHead {
        method: b"GET",
        target: b"/",
        version: b"HTTP/1.1",
        headers: &[],
        now: Timestamp::from_unix_nanos(0),
    };

    #[test]
    fn who_waits_for_no_work_does_not_pass() {
        let mut ordered = Ordered::new(Box::new(Asks { work: None }));
        let _pass = ordered.request_head(&REQUEST).unwrap();
        let step = ordered.request_body(b"", true).unwrap();
        let _lost = ordered.inner.as_mut().unwrap().take_work();
        assert_eq!(ordered.work_in_place(step), Verdict::BROKEN);
        assert!(ordered.response_body(b"", true).is_ok(), "nothing is pending any longer");
    }

    #[test]
    fn steps_out_of_order_are_errors_and_pending_work_blocks() {
        let response = ResponseHead {
            status: 200,
            version: b"HTTP/1.1",
            headers: &[],
            now: Timestamp::default(),
        };
        let mut ordered = Ordered::new(Box::new(Asks { work: None }));
        assert!(ordered.request_body(b"", true).is_err());
        assert!(ordered.request_head(&REQUEST).is_ok());
        assert!(ordered.request_head(&REQUEST).is_err());
        assert!(ordered.response_head(&response).is_err(), "the body has to end first");
        assert!(ordered.take_work().is_none());
        assert!(ordered.request_body(b"x", false).is_ok());
        assert_eq!(ordered.request_body(b"", true), Ok(Step::Pending));
        assert!(ordered.response_head(&response).is_err(), "work is pending");
        let done = ordered.take_work().unwrap().run();
        let verdict = ordered.resume(done).unwrap().verdict().unwrap();
        assert!(verdict.is_decisive());
        assert!(ordered.resume(WorkResult::Own(Box::new(7_u16))).is_err());
        assert!(ordered.response_body(b"", true).is_ok(), "decided, so the response may come");
        assert!(ordered.response_head(&response).is_err(), "but not backwards");
        assert!(ordered.finish(Outcome::default(), &Discard).is_ok());
        assert!(ordered.finish(Outcome::default(), &Discard).is_err());
        assert!(ordered.transaction().is_none());

        let [mut one, mut other] = [(); 2].map(|()| Ordered::new(Box::new(Asks { work: None })));
        for ordered in [&mut one, &mut other] {
            let _pass = ordered.request_head(&REQUEST).unwrap();
            assert_eq!(ordered.request_body(b"", true), Ok(Step::Pending));
        }
        let [done, others] =
            [&mut one, &mut other].map(|ordered| ordered.take_work().unwrap().run());
        assert!(one.resume(others).is_err(), "the other's work");
        assert!(one.resume(WorkResult::Own(Box::new(7_u16))).is_err(), "nobody's work");
        assert!(one.resume(done).unwrap().verdict().unwrap().is_decisive(), "its own, later");

        let mut in_place = Ordered::new(Box::new(Asks { work: None }));
        let _pass = in_place.request_head(&REQUEST).unwrap();
        let step = in_place.request_body(b"", true).unwrap();
        assert_eq!(in_place.work_in_place(step).action(), Action::Deny { status: 403 });
    }
}
