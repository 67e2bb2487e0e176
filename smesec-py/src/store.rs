//! Where collections live: in this process, or in memory that processes share.

use crate::errors::{raised, wrong};
use pyo3::types::PyBytes;
use pyo3::{Borrowed, IntoPyObjectExt, prelude::*};
use smesec_core::collection::{self, Change, CollectionStore, Variable};
use smesec_core::time::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Collections in this process's memory: `capacity` records (addresses, sessions), each living
/// `timeout` seconds after its last change. The defaults are 65,536 records and one hour.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct MemoryStore {
    inner: Arc<collection::MemoryStore>,
}

#[pymethods]
impl MemoryStore {
    #[new]
    #[pyo3(signature = (capacity=65_536, *, timeout=3_600))]
    fn new(capacity: usize, timeout: i64) -> Self {
        Self { inner: Arc::new(collection::MemoryStore::new(capacity, timeout)) }
    }
}

/// Collections in memory that processes share, so that four workers count one visitor once.
///
/// `SharedStore(bytes)` is shared with the processes forked from this one later; `SharedStore(bytes, path=...)`
/// by every process that opens the same file with the same size (a file in `/dev/shm` stays in memory). A
/// record of an address with a counter takes 128 bytes and lives `timeout` seconds (one hour) after its
/// last change. Raises `ConfigError` for less than 64 KiB, `InputError` where the system refuses.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct SharedStore {
    inner: Arc<collection::SharedStore>,
}

#[pymethods]
impl SharedStore {
    #[new]
    #[pyo3(signature = (bytes=1 << 24, *, path=None, timeout=3_600))]
    fn new(py: Python<'_>, bytes: usize, path: Option<PathBuf>, timeout: i64) -> PyResult<Self> {
        let store = py.detach(|| match path {
            Some(path) => collection::SharedStore::file(path, bytes),
            None => collection::SharedStore::anonymous(bytes),
        });
        let store = store.map_err(|error| raised(py, &error))?;
        Ok(Self { inner: Arc::new(store.timeout_seconds(timeout)) })
    }
}

/// A store that was handed in.
pub(crate) struct Kept(pub(crate) Arc<dyn CollectionStore>);

impl<'py> FromPyObject<'_, 'py> for Kept {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(store) = object.cast::<MemoryStore>() {
            return Ok(Self(store.get().inner.clone()));
        }
        if let Ok(store) = object.cast::<SharedStore>() {
            return Ok(Self(store.get().inner.clone()));
        }
        if object.getattr_opt("load")?.is_some() && object.getattr_opt("apply")?.is_some() {
            return Ok(Self(Arc::new(Own(object.to_owned().unbind()))));
        }
        let kind = object.get_type().name()?;
        let why = format!(
            "a store is a MemoryStore, a SharedStore, or has `load` and `apply`; not {kind}"
        );
        Err(wrong(object.py(), why))
    }
}

/// A store written in Python. What it raises is reported; a record that could not be loaded is empty, a change
/// that failed is counted in the event as refused.
struct Own(Py<PyAny>);

impl CollectionStore for Own {
    fn load(&self, collection: &str, key: &[u8], now: Timestamp) -> Vec<Variable> {
        let loaded = Python::try_attach(|py| {
            let arguments = (collection, PyBytes::new(py, key), now.unix_nanos());
            let called = self.0.bind(py).call_method1("load", arguments);
            called.and_then(|answer| answer.extract::<BTreeMap<Vec<u8>, Vec<u8>>>()).unwrap_or_else(
                |error| {
                    error.write_unraisable(py, Some(self.0.bind(py)));
                    BTreeMap::new()
                },
            )
        });
        loaded.unwrap_or_default().into_iter().collect()
    }

    fn apply(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        change: Change,
        now: Timestamp,
    ) -> bool {
        let applied = Python::try_attach(|py| {
            let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
            let called = match change {
                Change::Set(value) => ("set", bytes(&value)).into_bound_py_any(py),
                Change::Add(delta) => ("add", delta).into_bound_py_any(py),
                Change::ExpireAt(at) => ("expire", at.unix_nanos()).into_bound_py_any(py),
                _ => ("unset", py.None()).into_bound_py_any(py),
            };
            let arguments =
                |change| (collection, bytes(key), bytes(name), change, now.unix_nanos());
            let called = called
                .and_then(|change| self.0.bind(py).call_method1("apply", arguments(change)))
                .and_then(|answer| answer.extract::<bool>());
            called.unwrap_or_else(|error| {
                error.write_unraisable(py, Some(self.0.bind(py)));
                false
            })
        });
        applied.unwrap_or(false)
    }
}
