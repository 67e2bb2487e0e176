//! The library's errors as Python's exceptions.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use smesec_core::Error;

create_exception!(
    smesec,
    SmesecError,
    PyException,
    "Any error of smesec; `code` is its stable number."
);
create_exception!(
    smesec,
    RuleError,
    SmesecError,
    "A rule that cannot be loaded; has `file`, `line`, `column`."
);
create_exception!(smesec, ConfigError, SmesecError, "A setting or an argument is wrong.");
create_exception!(smesec, PhaseError, SmesecError, "A step in the wrong phase of its transaction.");
create_exception!(smesec, LimitError, SmesecError, "A limit was reached.");
create_exception!(smesec, InputError, SmesecError, "A file could not be read.");

/// The exception of an error, with `code`, and with `file`, `line` and `column` where it has them.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let text = error.to_string();
    let exception = match error {
        Error::Rule(_) => RuleError::new_err(text),
        Error::Config(_) => ConfigError::new_err(text),
        Error::Phase(_) => PhaseError::new_err(text),
        Error::Limit(_) => LimitError::new_err(text),
        Error::Io(_) => InputError::new_err(text),
        _ => SmesecError::new_err(text),
    };
    let (file, line, column) = match error {
        Error::Rule(rule) => (Some(rule.file()), Some(rule.line()), Some(rule.column())),
        Error::Config(config) => {
            let place = config.place();
            (place.map(|(file, _)| file), place.map(|(_, line)| line), None)
        }
        _ => (None, None, None),
    };
    let value = exception.value(py);
    let told = value
        .setattr("code", error.code())
        .and_then(|()| value.setattr("file", file))
        .and_then(|()| value.setattr("line", line))
        .and_then(|()| value.setattr("column", column));
    told.err().unwrap_or(exception)
}

/// A wrong argument.
pub(crate) fn wrong(py: Python<'_>, why: String) -> PyErr {
    raised(py, &smesec_core::error::ConfigError::new(why).into())
}
