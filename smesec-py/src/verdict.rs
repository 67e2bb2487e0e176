//! Verdicts.

use crate::errors::wrong;
use crate::event;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use smesec_core::filter;
use smesec_core::verdict::{self, Action, Step};

/// What the host is to do; also what a step of a filter written in Python answers with.
///
/// `Verdict("deny", 403, findings=[...])`: `action` is one word ("pass", "log", "deny", "redirect",
/// "decoy", "drop", "reject"); `status` is for "deny" (403 unless given) and "redirect" (302), which
/// needs a `location`; `findings` are dicts as `smesec.finding` makes them.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    pending: bool,
    pub(crate) score: i32,
    pub(crate) location: Option<String>,
    pub(crate) findings: Vec<smesec_core::Finding>,
}

impl Verdict {
    pub(crate) fn of(verdict: verdict::Verdict, transaction: &dyn filter::Transaction) -> Self {
        Self {
            action: verdict.action(),
            pending: false,
            score: verdict.score(),
            location: transaction.location().map(str::to_owned),
            findings: transaction.findings().to_vec(),
        }
    }

    pub(crate) fn of_step(step: Step, transaction: &dyn filter::Transaction) -> Self {
        let verdict = step.verdict().unwrap_or_default();
        Self { pending: step == Step::Pending, ..Self::of(verdict, transaction) }
    }
}

/// An action's word, and its status.
type Word = (&'static str, Option<u16>);

#[pymethods]
impl Verdict {
    #[new]
    #[pyo3(signature = (action="pass", status=None, *, score=0, location=None, findings=None))]
    fn new(
        py: Python<'_>,
        action: &str,
        status: Option<u16>,
        score: i32,
        location: Option<String>,
        findings: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let action = event::action(action, status).map_err(|why| wrong(py, why))?;
        let most = 100..=599;
        match action {
            Action::Deny { status } | Action::Redirect { status } if !most.contains(&status) => {
                return Err(wrong(py, format!("status `{status}` is not from 100 to 599")));
            }
            Action::Redirect { .. } if location.is_none() => {
                return Err(wrong(py, "a redirect needs a `location`".to_owned()));
            }
            _ => {}
        }
        let findings = findings.map(event::findings).transpose()?.unwrap_or_default();
        Ok(Self { action, pending: false, score, location, findings })
    }

    /// One word: "pass", "log", "deny", "redirect", "decoy", "drop" or "reject"; "pending" while long
    /// work waits (only after `begin(defer=True)`).
    #[getter]
    fn action(&self) -> &'static str {
        if self.pending { "pending" } else { self.action.word() }
    }

    /// Whether the transaction ends here.
    #[getter]
    fn blocked(&self) -> bool {
        self.action.is_decisive()
    }

    /// Whether long work waits in `Transaction.take_work`; the verdict comes from `resume`.
    #[getter]
    const fn pending(&self) -> bool {
        self.pending
    }

    /// The HTTP status of "deny" and "redirect", else None.
    #[getter]
    fn status(&self) -> Option<u16> {
        match self.action {
            Action::Deny { status } | Action::Redirect { status } => Some(status),
            _ => None,
        }
    }

    /// The anomaly score, 0 where no rule scored.
    #[getter]
    const fn score(&self) -> i32 {
        self.score
    }

    /// Where a redirect leads, else None.
    #[getter]
    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// What was found so far: a list of dicts as in the event's JSON form.
    #[getter]
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        event::loads(py, &serde_json::to_string(&self.findings).unwrap_or_default())
    }

    /// The ids of the rules that matched, in order, as text.
    #[getter]
    fn rule_ids(&self) -> Vec<&str> {
        self.findings.iter().map(|finding| finding.rule.id.as_str()).collect()
    }

    /// What `Verdict` is called with to make the same one, for copies and pickles.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<(Word, Bound<'py, PyDict>)> {
        if self.pending {
            let why =
                "a pending verdict belongs to its transaction; copy the one that `resume` gives";
            return Err(pyo3::exceptions::PyTypeError::new_err(why));
        }
        let named = PyDict::new(py);
        named.set_item("score", self.score)?;
        named.set_item("location", self.location.as_deref())?;
        named.set_item("findings", self.findings(py)?)?;
        Ok(((self.action.word(), self.status()), named))
    }

    fn __repr__(&self) -> String {
        let status = self.status().map_or(String::new(), |status| format!(" {status}"));
        format!(
            "<smesec.Verdict: {}{status}, score {}, {} findings>",
            self.action(),
            self.score,
            self.findings.len()
        )
    }
}
