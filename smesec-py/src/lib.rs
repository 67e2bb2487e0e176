//! The Python face of smesec: the module `smesec._native`.
//!
//! Nothing is decided here: each class wraps one type of [`smesec_core`] and turns its answers into
//! Python's. `python/smesec/_native.pyi` is the signature that users see.

mod arrow;
mod errors;
mod event;
mod filter;
mod http;
mod intake;
mod json;
mod rules;
mod scanner;
mod siem;
mod sink;
mod store;
mod taas;
mod transaction;
mod verdict;
mod waf;

use pyo3::prelude::*;
use std::ffi::OsString;

/// The compiled part of the package `smesec`.
#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use super::errors::{ConfigError, InputError, LimitError, PhaseError, RuleError, SmesecError};
    #[pymodule_export]
    use super::event::_after_fork;
    #[pymodule_export]
    use super::filter::{Chain, Filter};
    #[pymodule_export]
    use super::http::{Connection, Outcome, RequestHead, ResponseHead};
    #[pymodule_export]
    use super::rules::RuleSet;
    #[pymodule_export]
    use super::run_command;
    #[pymodule_export]
    use super::scanner::{ScanObject, ScanReport};
    #[pymodule_export]
    use super::sink::{DetectorSink, Queue, Tee};
    #[pymodule_export]
    use super::store::{MemoryStore, SharedStore};
    #[pymodule_export]
    use super::taas::taas_audit;
    #[pymodule_export]
    use super::transaction::{Transaction, Work};
    #[pymodule_export]
    use super::verdict::Verdict;
    #[pymodule_export]
    use super::waf::{Exclusion, Waf};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        // Their names there are those of `smesec.siem` and `smesec.taas`; here they would meet the firewall's.
        let py = module.py();
        module.add("SiemRuleSet", py.get_type::<super::siem::SiemRuleSet>())?;
        module.add("SiemEngine", py.get_type::<super::siem::SiemEngine>())?;
        module.add("TaasSuite", py.get_type::<super::taas::TaasSuite>())?;
        module.add("TaasReport", py.get_type::<super::taas::TaasReport>())
    }
}

/// Runs the command `smesec` with these arguments over the process's own streams.
#[pyfunction]
fn run_command(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut input = std::io::stdin().lock();
        let code = smesec_core::cli::run(args, &mut input, &mut out, &mut std::io::stderr());
        // What an error left behind; all else `run` has written out.
        let _ = std::io::Write::flush(&mut out);
        code
    })
}
