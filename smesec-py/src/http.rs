//! HTTP as Python hands it over and as it is shown to parts written in Python.

use crate::errors::wrong;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyMapping, PyString, PyTuple};
use smesec_core::http;
use smesec_core::time::Timestamp;
use std::net::{IpAddr, SocketAddr};

/// Bytes, or text of the wire: latin-1 where it fits (as WSGI hands it over), else UTF-8.
pub(crate) enum Bytes {
    /// Borrowed from a Python `bytes`, or copied from what may change.
    Backed(PyBackedBytes),
    Text(Vec<u8>),
}

impl Bytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Backed(bytes) => bytes,
            Self::Text(bytes) => bytes,
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            let text = text.to_cow()?;
            if text.is_ascii() {
                return Ok(Self::Text(text.as_bytes().to_vec()));
            }
            let latin: Option<Vec<u8>> =
                text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            return Ok(Self::Text(latin.unwrap_or_else(|| text.as_bytes().to_vec())));
        }
        if let Ok(bytes) = object.extract::<PyBackedBytes>() {
            return Ok(Self::Backed(bytes));
        }
        if !object.is_instance_of::<pyo3::types::PyMemoryView>() {
            let kind = object.get_type().name()?;
            let why = format!("str, bytes, bytearray or memoryview expected, not {kind}");
            return Err(pyo3::exceptions::PyTypeError::new_err(why));
        }
        let copy = object.py().get_type::<PyBytes>().call1((object,))?;
        Ok(Self::Backed(copy.extract()?))
    }
}

/// Headers in their order, from pairs or a mapping.
#[derive(Default)]
pub(crate) struct Headers(Vec<(Bytes, Bytes)>);

impl<'py> FromPyObject<'_, 'py> for Headers {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let listed = object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>();
        if !listed && let Ok(mapping) = object.cast::<PyMapping>() {
            let pairs = mapping.items()?;
            return Ok(Self(pairs.iter().map(|pair| pair.extract()).collect::<PyResult<_>>()?));
        }
        let pairs = object.try_iter()?.map(|pair| pair?.extract::<(Bytes, Bytes)>());
        Ok(Self(pairs.collect::<PyResult<_>>()?))
    }
}

impl Headers {
    pub(crate) fn views(&self) -> Vec<http::Header<'_>> {
        self.0
            .iter()
            .map(|(name, value)| http::Header { name: name.as_slice(), value: value.as_slice() })
            .collect()
    }
}

/// An address as text and a port.
pub(crate) type Endpoint = (String, u16);

/// The connection between two ends, beginning now.
pub(crate) fn connection(
    py: Python<'_>,
    client: Option<&Endpoint>,
    server: Option<&Endpoint>,
) -> PyResult<http::Connection> {
    let end = |given: Option<&Endpoint>, port: u16| {
        let Some((address, port)) = given else {
            return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
        };
        let address: IpAddr =
            address.parse().map_err(|_| wrong(py, format!("`{address}` is not an IP address")))?;
        Ok::<_, PyErr>(SocketAddr::new(address, *port))
    };
    Ok(http::Connection {
        client: end(client, 0)?,
        server: end(server, 80)?,
        now: Timestamp::from_system_clock(),
    })
}

/// Who talks to whom, as a filter written in Python sees it.
///
/// `client` and `server` are pairs of address and port; `now` is when the transaction began, in
/// nanoseconds since 1970 UTC.
#[pyclass(frozen, get_all, module = "smesec")]
#[derive(Debug)]
pub(crate) struct Connection {
    /// The client's address and port.
    client: Endpoint,
    /// The server's address and port.
    server: Endpoint,
    /// When the transaction began, in nanoseconds since 1970 UTC.
    now: i64,
}

impl Connection {
    pub(crate) fn of(connection: &http::Connection) -> Self {
        let end = |end: SocketAddr| (end.ip().to_string(), end.port());
        Self {
            client: end(connection.client),
            server: end(connection.server),
            now: connection.now.unix_nanos(),
        }
    }
}

type Pairs = Vec<(Py<PyBytes>, Py<PyBytes>)>;

fn pairs(py: Python<'_>, headers: &[http::Header<'_>]) -> Pairs {
    let bytes = |value: &[u8]| PyBytes::new(py, value).unbind();
    headers.iter().map(|header| (bytes(header.name), bytes(header.value))).collect()
}

fn list<'py>(py: Python<'py>, headers: &Pairs) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, headers.iter().map(|(n, v)| (n.clone_ref(py), v.clone_ref(py))))
}

fn first<'py>(py: Python<'py>, headers: &Pairs, name: &str) -> Option<Bound<'py, PyBytes>> {
    let found = headers.iter().find(|(n, _)| n.as_bytes(py).eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, value)| value.bind(py).clone())
}

/// A request's first line and headers, as a filter written in Python sees them: bytes as sent.
///
/// `now` is when the head was complete, in nanoseconds since 1970 UTC.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// The method, such as GET.
    #[pyo3(get)]
    method: Py<PyBytes>,
    /// Path and query as sent.
    #[pyo3(get)]
    target: Py<PyBytes>,
    /// The version, such as HTTP/1.1.
    #[pyo3(get)]
    version: Py<PyBytes>,
    /// When the head was complete, in nanoseconds since 1970 UTC.
    #[pyo3(get)]
    now: i64,
    headers: Pairs,
}

impl RequestHead {
    pub(crate) fn of(py: Python<'_>, head: &http::RequestHead<'_>) -> Self {
        let bytes = |value: &[u8]| PyBytes::new(py, value).unbind();
        Self {
            method: bytes(head.method),
            target: bytes(head.target),
            version: bytes(head.version),
            now: head.now.unix_nanos(),
            headers: pairs(py, head.headers),
        }
    }
}

#[pymethods]
impl RequestHead {
    /// Pairs of name and value, in their order.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, &self.headers)
    }

    /// The first value of a header, by its name in any case; None where there is none.
    fn header<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyBytes>> {
        first(py, &self.headers, name)
    }
}

/// A response's status and headers, as a filter written in Python sees them.
///
/// `now` is when the head was complete, in nanoseconds since 1970 UTC.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct ResponseHead {
    /// The status code.
    #[pyo3(get)]
    status: u16,
    /// The version, such as HTTP/1.1.
    #[pyo3(get)]
    version: Py<PyBytes>,
    /// When the head was complete, in nanoseconds since 1970 UTC.
    #[pyo3(get)]
    now: i64,
    headers: Pairs,
}

impl ResponseHead {
    pub(crate) fn of(py: Python<'_>, head: &http::ResponseHead<'_>) -> Self {
        Self {
            status: head.status,
            version: PyBytes::new(py, head.version).unbind(),
            now: head.now.unix_nanos(),
            headers: pairs(py, head.headers),
        }
    }
}

#[pymethods]
impl ResponseHead {
    /// Pairs of name and value, in their order.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, &self.headers)
    }

    /// The first value of a header, by its name in any case; None where there is none.
    fn header<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyBytes>> {
        first(py, &self.headers, name)
    }
}

/// How a transaction ended: `status` (0 where the client got none), `bytes` of the response's body,
/// `aborted`, and `now` in nanoseconds since 1970 UTC.
#[pyclass(frozen, get_all, module = "smesec")]
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The status that the client got, 0 for none.
    status: u16,
    /// Bytes of the response's body that were sent.
    bytes: u64,
    /// Whether the exchange broke off.
    aborted: bool,
    /// When it ended, in nanoseconds since 1970 UTC.
    now: i64,
}

impl Outcome {
    pub(crate) const fn of(outcome: &smesec_core::filter::Outcome) -> Self {
        Self {
            status: outcome.status,
            bytes: outcome.bytes,
            aborted: outcome.aborted,
            now: outcome.now.unix_nanos(),
        }
    }
}
