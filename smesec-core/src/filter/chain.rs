//! Several filters as one.

use super::{Filter, Outcome, Transaction, Work, WorkResult};
use crate::event::Finding;
use crate::http::{Connection, RequestHead, ResponseHead};
use crate::intake::Intake;
use crate::sink::Sink;
use crate::verdict::{Action, Body, Phase, Step, Verdict};
use std::collections::VecDeque;
use std::sync::Arc;

/// Several filters as one: the first decisive verdict wins, and before one comes the strongest of all; the
/// findings of all are kept, in the order in which they came, and each tells its own event.
///
/// Bodies are held as long as the strictest of them asks.
#[derive(Clone, Default)]
pub struct Chain {
    filters: Vec<Arc<dyn Filter>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("filters", &self.filters.len()).finish()
    }
}

impl Chain {
    /// A chain in this order; the intake goes to the last filter (put the WAF last).
    pub fn new(filters: Vec<Arc<dyn Filter>>) -> Self {
        Self { filters }
    }
}

impl Filter for Chain {
    fn begin(
        &self,
        connection: &Connection,
        mut intake: Option<Box<dyn Intake>>,
    ) -> Box<dyn Transaction> {
        let last = self.filters.len().saturating_sub(1);
        let links = self
            .filters
            .iter()
            .enumerate()
            .map(|(n, filter)| {
                let intake = if n == last { intake.take() } else { None };
                Link { transaction: filter.begin(connection, intake), findings_taken: 0 }
            })
            .collect();
        Box::new(Linked {
            links,
            findings: Vec::new(),
            strongest: Verdict::PASS,
            decided: None,
            pending: VecDeque::new(),
        })
    }
}

struct Link {
    transaction: Box<dyn Transaction>,
    /// How many of its findings stand in those of the chain.
    findings_taken: usize,
}

struct Linked {
    links: Vec<Link>,
    findings: Vec<Finding>,
    /// Of this step's verdicts.
    strongest: Verdict,
    /// The link whose verdict was decisive, and the verdict.
    decided: Option<(usize, Verdict)>,
    /// The links that have work waiting, in order.
    pending: VecDeque<usize>,
}

impl Linked {
    fn step(&mut self, mut call: impl FnMut(&mut dyn Transaction) -> Step) -> Step {
        if let Some((_, verdict)) = self.decided {
            return Step::Done(verdict);
        }
        self.strongest = Verdict::PASS;
        for n in 0..self.links.len() {
            let Some(link) = self.links.get_mut(n) else { break };
            match call(link.transaction.as_mut()) {
                Step::Pending => self.pending.push_back(n),
                Step::Done(verdict) => self.answered(n, verdict),
            }
            if self.decided.is_some() {
                break;
            }
        }
        self.answer()
    }

    fn answered(&mut self, n: usize, verdict: Verdict) {
        if let Some(link) = self.links.get_mut(n) {
            let new = link.transaction.findings().get(link.findings_taken..).unwrap_or_default();
            link.findings_taken += new.len();
            self.findings.extend_from_slice(new);
        }
        if verdict.is_decisive() {
            self.decided = Some((n, verdict));
            self.pending.clear();
        }
        let rank = |verdict: Verdict| (verdict.action() != Action::Pass, verdict.score());
        if rank(verdict) > rank(self.strongest) {
            self.strongest = verdict;
        }
    }

    fn answer(&self) -> Step {
        match self.decided {
            Some((_, verdict)) => Step::Done(verdict),
            None if self.pending.is_empty() => Step::Done(self.strongest),
            None => Step::Pending,
        }
    }
}

impl Transaction for Linked {
    fn wants(&self, phase: Phase) -> Body {
        let mut wanted = Body::Skip;
        for link in &self.links {
            wanted = match (wanted, link.transaction.wants(phase)) {
                (Body::Hold { at_most: a }, Body::Hold { at_most: b }) => {
                    Body::Hold { at_most: a.max(b) }
                }
                (hold @ Body::Hold { .. }, _) | (_, hold @ Body::Hold { .. }) => hold,
                (Body::Watch, _) | (_, Body::Watch) => Body::Watch,
                _ => Body::Skip,
            };
        }
        wanted
    }

    fn request_head(&mut self, head: &RequestHead<'_>) -> Step {
        self.step(|link| link.request_head(head))
    }

    fn request_body(&mut self, chunk: &[u8], last: bool) -> Step {
        self.step(|link| link.request_body(chunk, last))
    }

    fn response_head(&mut self, head: &ResponseHead<'_>) -> Step {
        self.step(|link| link.response_head(head))
    }

    fn response_body(&mut self, chunk: &[u8], last: bool) -> Step {
        self.step(|link| link.response_body(chunk, last))
    }

    fn take_work(&mut self) -> Option<Work> {
        let link = self.links.get_mut(*self.pending.front()?)?;
        link.transaction.take_work()
    }

    fn resume(&mut self, done: WorkResult) -> Step {
        let Some(&n) = self.pending.front() else { return self.answer() };
        let Some(link) = self.links.get_mut(n) else { return Step::Done(Verdict::BROKEN) };
        match link.transaction.resume(done) {
            Step::Pending => Step::Pending,
            Step::Done(verdict) => {
                self.pending.pop_front();
                self.answered(n, verdict);
                self.answer()
            }
        }
    }

    fn location(&self) -> Option<&str> {
        let (n, _) = self.decided?;
        self.links.get(n)?.transaction.location()
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn finish(self: Box<Self>, outcome: Outcome, sink: &dyn Sink) {
        for link in self.links {
            link.transaction.finish(outcome, sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RuleInfo;
    use crate::filter::WorkResult;
    use crate::time::Timestamp;
    use crate::verdict::Severity;

    /// Answers every step alike; with `asks`, the verdict comes from work.
    #[derive(Clone)]
    struct Says {
        verdict: Verdict,
        asks: bool,
        findings: Vec<Finding>,
    }

    fn says(action: Action, score: i32) -> Says {
        Says { verdict: Verdict::new(action, score), asks: false, findings: Vec::new() }
    }

    impl Filter for Says {
        fn begin(&self, _: &Connection, _: Option<Box<dyn Intake>>) -> Box<dyn Transaction> {
            Box::new(self.clone())
        }
    }

    impl Transaction for Says {
        fn wants(&self, _: Phase) -> Body {
            Body::Watch
        }
        fn request_head(&mut self, _: &RequestHead<'_>) -> Step {
            if self.asks { Step::Pending } else { Step::Done(self.verdict) }
        }
        fn request_body(&mut self, chunk: &[u8], _: bool) -> Step {
            let rule = Arc::new(RuleInfo::default());
            let text = String::from_utf8_lossy(chunk);
            self.findings.push(Finding::new(rule, Severity::Low, text));
            Step::Done(self.verdict)
        }
        fn response_head(&mut self, _: &ResponseHead<'_>) -> Step {
            Step::Done(self.verdict)
        }
        fn response_body(&mut self, _: &[u8], _: bool) -> Step {
            Step::Done(self.verdict)
        }
        fn take_work(&mut self) -> Option<Work> {
            std::mem::take(&mut self.asks).then(|| Work::new(|| WorkResult::Own(Box::new(()))))
        }
        fn resume(&mut self, _: WorkResult) -> Step {
            Step::Done(self.verdict)
        }
        fn findings(&self) -> &[Finding] {
            &self.findings
        }
        fn finish(self: Box<Self>, _: Outcome, _: &dyn Sink) {}
    }

    const HEAD: RequestHead<'static> = RequestHead {
        method: b"GET",
        target: b"/",
        version: b"HTTP/1.1",
        headers: &[],
        now: Timestamp::from_unix_nanos(0),
    };

    fn begin(links: &[Says]) -> Box<dyn Transaction> {
        let filters = links.iter().map(|link| Arc::new(link.clone()) as Arc<dyn Filter>).collect();
        let connection = Connection {
            client: "192.0.2.1:4711".parse().unwrap(),
            server: "192.0.2.2:80".parse().unwrap(),
            now: Timestamp::from_unix_nanos(0),
        };
        Chain::new(filters).begin(&connection, None)
    }

    #[test]
    fn the_strongest_verdict_is_told_wherever_it_stands() {
        let (pass, scored) = (says(Action::Pass, 0), says(Action::Pass, 2));
        let (log, deny) = (says(Action::Log, 3), says(Action::Deny { status: 403 }, 5));
        for (links, expected) in [
            (vec![pass.clone(), scored.clone()], &scored),
            (vec![log.clone(), says(Action::Log, 1), scored.clone()], &log),
            (vec![pass, deny.clone(), log.clone()], &deny),
        ] {
            let step = begin(&links).request_head(&HEAD);
            assert_eq!(step, Step::Done(expected.verdict));
        }
        let asks = |says: Says| Says { asks: true, ..says };
        for (first, second, expected) in [
            (log.clone(), says(Action::Pass, 0), &log),
            (says(Action::Pass, 0), deny.clone(), &deny),
        ] {
            let mut chain = begin(&[first, asks(second)]);
            assert_eq!(chain.request_head(&HEAD), Step::Pending);
            let done = chain.take_work().unwrap().run();
            assert_eq!(chain.resume(done), Step::Done(expected.verdict));
            assert!(chain.take_work().is_none());
        }
    }

    #[test]
    fn findings_come_once_and_in_order() {
        let mut chain = begin(&[says(Action::Log, 0), says(Action::Log, 0)]);
        for chunk in [b"a", b"b"] {
            let _log = chain.request_body(chunk, false);
        }
        let told: Vec<&str> = chain.findings().iter().map(|f| f.message.as_str()).collect();
        assert_eq!(told, ["a", "a", "b", "b"]);
    }
}
