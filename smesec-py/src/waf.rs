//! The firewall.

use crate::errors::wrong;
use crate::rules::RuleSet;
use crate::transaction::{Bytes, Headers, Transaction, Verdict, emit};
use pyo3::prelude::*;
use smesec_core::filter::{Filter, Outcome};
use smesec_core::limits::OnLimit;
use smesec_core::policy::OnBlock;
use smesec_core::sink::Queue;
use smesec_core::time::Timestamp;
use smesec_core::verdict::Action;
use smesec_core::{Connection, RequestHead, waf};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The web application firewall over a rule set; one serves all threads.
///
/// `mode`: "rules" (as `SecRuleEngine` says), "block", "detect" or "off". `on_block`: "deny", "decoy" or
/// "log". `on_limit`: "closed" or "open". `sink` is called with each event as a dict, on the thread
/// that finished the transaction; what it raises is reported through `sys.unraisablehook` and
/// changes no verdict. `id_seed` is the upper half of every event id.
#[pyclass(frozen, module = "smesec")]
pub(crate) struct Waf {
    inner: waf::Waf,
    sink: Option<Py<PyAny>>,
}

#[pymethods]
impl Waf {
    #[new]
    #[pyo3(signature = (ruleset, *, mode="rules", on_block="deny", on_limit="closed", sink=None, id_seed=0))]
    fn new(
        py: Python<'_>,
        ruleset: &RuleSet,
        mode: &str,
        on_block: &str,
        on_limit: &str,
        sink: Option<Py<PyAny>>,
        id_seed: u64,
    ) -> PyResult<Self> {
        let unknown = |what: &str, value: &str, known: &str| {
            wrong(py, format!("{what} `{value}` is unknown; write {known}"))
        };
        let mode = match mode {
            "rules" => waf::Mode::Rules,
            "block" => waf::Mode::Block,
            "detect" => waf::Mode::Detect,
            "off" => waf::Mode::Off,
            other => return Err(unknown("mode", other, "rules, block, detect or off")),
        };
        let on_block = match on_block {
            "deny" => OnBlock::Deny,
            "decoy" => OnBlock::Decoy,
            "log" => OnBlock::Log,
            other => return Err(unknown("on_block", other, "deny, decoy or log")),
        };
        let on_limit = match on_limit {
            "closed" => OnLimit::Closed,
            "open" => OnLimit::Open,
            other => return Err(unknown("on_limit", other, "closed or open")),
        };
        let builder = waf::Waf::builder(Arc::clone(&ruleset.inner));
        let inner =
            builder.mode(mode).on_block(on_block).on_limit(on_limit).id_seed(id_seed).build();
        Ok(Self { inner, sink })
    }

    /// Checks one whole request and finishes its transaction; other threads run meanwhile.
    ///
    /// `target` is path and query as sent; `headers` are pairs of str or bytes in their order.
    #[pyo3(signature = (method, target, headers=None, body=None, *, version="HTTP/1.1",
        client=("127.0.0.1".to_owned(), 0), server=("127.0.0.1".to_owned(), 80)))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments in Python, each with a default"
    )]
    fn check(
        &self,
        py: Python<'_>,
        method: Bytes,
        target: Bytes,
        headers: Option<Headers>,
        body: Option<Bytes>,
        version: &str,
        client: (String, u16),
        server: (String, u16),
    ) -> PyResult<Verdict> {
        let connection = connection(py, &client, &server)?;
        let headers = headers.unwrap_or_default();
        // One transaction makes one event; room for those of a chain of filters.
        let queue = Queue::new(16);
        let verdict = py.detach(|| {
            let views = headers.views();
            let mut transaction = self.inner.begin(&connection, None);
            let mut verdict = transaction.request_head(&RequestHead {
                method: method.as_slice(),
                target: target.as_slice(),
                version: version.as_bytes(),
                headers: &views,
                now: connection.now,
            });
            if !verdict.verdict().unwrap_or_default().is_decisive() {
                let body = body.as_ref().map_or(&b""[..], Bytes::as_slice);
                verdict = transaction.request_body(body, true);
            }
            let told = Verdict::of(verdict.verdict().unwrap_or_default(), transaction.as_ref());
            let status = match told.action {
                Action::Deny { status } | Action::Redirect { status } => status,
                _ => 0,
            };
            let outcome =
                Outcome { status, now: Timestamp::from_system_clock(), ..Outcome::default() };
            transaction.finish(outcome, &queue);
            told
        });
        emit(py, self.sink.as_ref(), &queue)?;
        Ok(verdict)
    }

    /// Begins a transaction that goes step by step.
    #[pyo3(signature = (*, client=("127.0.0.1".to_owned(), 0), server=("127.0.0.1".to_owned(), 80)))]
    fn begin(
        &self,
        py: Python<'_>,
        client: (String, u16),
        server: (String, u16),
    ) -> PyResult<Transaction> {
        let connection = connection(py, &client, &server)?;
        let sink = self.sink.as_ref().map(|sink| sink.clone_ref(py));
        Ok(Transaction::new(self.inner.begin(&connection, None), sink))
    }

    /// Puts other rules in force; what runs finishes on its own. Returns the generation's number.
    fn reload(&self, ruleset: &RuleSet) -> u64 {
        self.inner.reload(Arc::clone(&ruleset.inner))
    }

    /// The rules in force.
    #[getter]
    fn rules(&self) -> RuleSet {
        RuleSet { inner: self.inner.rules() }
    }

    fn __repr__(&self) -> String {
        format!("<smesec.Waf: {} rules>", self.inner.rules().len())
    }
}

fn connection(
    py: Python<'_>,
    client: &(String, u16),
    server: &(String, u16),
) -> PyResult<Connection> {
    let end = |(address, port): &(String, u16)| {
        let address: IpAddr =
            address.parse().map_err(|_| wrong(py, format!("`{address}` is not an IP address")))?;
        Ok::<_, PyErr>(SocketAddr::new(address, *port))
    };
    Ok(Connection {
        client: end(client)?,
        server: end(server)?,
        now: Timestamp::from_system_clock(),
    })
}
