//! Where collections live: in this process, or in memory that processes share.

use crate::errors::{raised, wrong};
use pyo3::Borrowed;
use pyo3::prelude::*;
use smesec_core::collection::{self, CollectionStore};
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
        let kind = object.get_type().name()?;
        Err(wrong(object.py(), format!("a store is a MemoryStore or a SharedStore, not {kind}")))
    }
}
