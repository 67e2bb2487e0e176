//! Python's values as JSON: whole, for what becomes evidence, or exact, for what is judged.

use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple,
};
use serde_json::Value;
use std::borrow::Cow;

/// Levels of lists and mappings inside one another. 64: what is read again may nest in an event yet.
const DEPTH: usize = 64;

/// Values in one object. 65,536: thousands more than an event has a use for, and an end for what holds itself twice.
const VALUES: usize = 1 << 16;

/// The value, whatever it is: what JSON has no type for becomes its text, so that no event is lost by a field of it.
///
/// Bytes are read as UTF-8, floats that are no number become `nan` and `inf`, integers beyond 64 bits their digits. What nests too
/// deep and what is too much is replaced by a word that says so.
pub(crate) fn lossy(object: &Bound<'_, PyAny>) -> Value {
    let mut out = Vec::new();
    let mut writer = Writer { out: &mut out, path: Vec::new(), left: VALUES, lossy: true };
    let written = writer.value(object);
    // It fails for nothing that is known: a text then tells what there was.
    written
        .ok()
        .and_then(|()| serde_json::from_slice(&out).ok())
        .unwrap_or_else(|| kind(object).into())
}

/// Appends the value in JSON, integers beyond 64 bits as text.
///
/// # Errors
/// Names the place of what JSON has no type for; what was appended by then is a part only.
pub(crate) fn exact(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Result<(), String> {
    Writer { out, path: Vec::new(), left: VALUES, lossy: false }.value(object)
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// The keys and places that lead to the value.
    path: Vec<Step>,
    left: usize,
    lossy: bool,
}

enum Step {
    Key(String),
    Place(usize),
}

impl Writer<'_> {
    fn value(&mut self, object: &Bound<'_, PyAny>) -> Result<(), String> {
        if let Ok(text) = object.cast::<PyString>() {
            self.text(&text.to_string_lossy());
        } else if object.is_none() {
            self.out.extend_from_slice(b"null");
        } else if let Ok(flag) = object.cast::<PyBool>() {
            self.plain(flag.is_true().into());
        } else if object.is_instance_of::<PyInt>() {
            return self.integer(object);
        } else if let Ok(number) = object.cast::<PyFloat>() {
            let number = number.value();
            if number.is_finite() {
                self.plain(number.into());
            } else if self.lossy {
                self.text(&text(object).unwrap_or_default());
            } else {
                return Err(self.told("is no finite number; leave it out"));
            }
        } else if object.is_instance_of::<PyDict>() {
            return self.mapping(object);
        } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
            return self.list(object);
        } else if object.cast::<PyMapping>().is_ok() {
            return self.mapping(object);
        } else if self.lossy {
            self.text_of(object);
        } else {
            let why = format!("is a `{}`, which JSON has no type for; give its text", kind(object));
            return Err(self.told(&why));
        }
        Ok(())
    }

    fn integer(&mut self, object: &Bound<'_, PyAny>) -> Result<(), String> {
        if let Ok(number) = object.extract::<i64>() {
            self.plain(number.into());
        } else if let Ok(number) = object.extract::<u64>() {
            self.plain(number.into());
        } else if let Some(digits) = text(object) {
            self.text(&digits);
        } else if self.lossy {
            self.text("an integer of too many digits");
        } else {
            return Err(self.told("is an integer of too many digits; give its text"));
        }
        Ok(())
    }

    fn mapping(&mut self, object: &Bound<'_, PyAny>) -> Result<(), String> {
        let items = object.cast::<PyMapping>().ok().and_then(|mapping| mapping.items().ok());
        let (Some(items), true) = (items, self.path.len() < DEPTH) else {
            return self.too_deep(object);
        };
        let before = self.out.len();
        self.out.push(b'{');
        for item in items.iter() {
            let Ok((key, value)) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else {
                break;
            };
            self.comma(before);
            if !self.counts()? {
                self.out.extend_from_slice(br#""...":"further values left out""#);
                break;
            }
            let key = self.key(&key)?;
            self.text(&key);
            self.out.push(b':');
            self.path.push(Step::Key(key));
            self.value(&value)?;
            self.path.pop();
        }
        self.out.push(b'}');
        Ok(())
    }

    fn list(&mut self, object: &Bound<'_, PyAny>) -> Result<(), String> {
        let (Ok(items), true) = (object.try_iter(), self.path.len() < DEPTH) else {
            return self.too_deep(object);
        };
        let before = self.out.len();
        self.out.push(b'[');
        for (place, item) in items.enumerate() {
            let Ok(item) = item else { break };
            self.comma(before);
            if !self.counts()? {
                self.text("further values left out");
                break;
            }
            self.path.push(Step::Place(place));
            self.value(&item)?;
            self.path.pop();
        }
        self.out.push(b']');
        Ok(())
    }

    /// A key as `json.dumps` writes it.
    fn key(&self, key: &Bound<'_, PyAny>) -> Result<String, String> {
        if let Ok(text) = key.cast::<PyString>() {
            return Ok(text.to_string_lossy().into_owned());
        }
        if let Ok(flag) = key.cast::<PyBool>() {
            return Ok(flag.is_true().to_string());
        }
        if key.is_none() {
            return Ok("null".to_owned());
        }
        let known = key.is_instance_of::<PyInt>() || key.is_instance_of::<PyFloat>();
        if !known && !self.lossy {
            return Err(self.told(&format!("has a key that is a `{}`; write text", kind(key))));
        }
        Ok(bytes(key).or_else(|| text(key)).unwrap_or_else(|| kind(key)))
    }

    /// The text of what has no type of its own; its kind where it has no text.
    fn text_of(&mut self, object: &Bound<'_, PyAny>) {
        let text = bytes(object).or_else(|| text(object)).unwrap_or_else(|| kind(object));
        self.text(&text);
    }

    fn comma(&mut self, before: usize) {
        if self.out.len() > before + 1 {
            self.out.push(b',');
        }
    }

    /// Whether one more value may come.
    fn counts(&mut self) -> Result<bool, String> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(true)
            }
            None if self.lossy => Ok(false),
            None => Err(format!("has more than {VALUES} values; give less")),
        }
    }

    fn too_deep(&mut self, object: &Bound<'_, PyAny>) -> Result<(), String> {
        if !self.lossy {
            return Err(format!("nests deeper than {DEPTH} levels, or cannot be read; give less"));
        }
        // Its text could be without an end.
        self.text(&format!("a {} that nests too deep", kind(object)));
        Ok(())
    }

    // Writing into memory fails for nothing.
    fn text(&mut self, text: &str) {
        let _ = serde_json::to_writer(&mut *self.out, text);
    }

    fn plain(&mut self, value: Value) {
        let _ = serde_json::to_writer(&mut *self.out, &value);
    }

    /// The reason after the place, which the whole has none of.
    fn told(&self, why: &str) -> String {
        if self.path.is_empty() {
            return why.to_owned();
        }
        let steps = self.path.iter().map(|step| match step {
            Step::Key(key) => Cow::Borrowed(key.as_str()),
            Step::Place(place) => Cow::Owned(place.to_string()),
        });
        format!("`{}` {why}", steps.collect::<Vec<_>>().join("."))
    }
}

/// Bytes as UTF-8, what is none of it replaced.
fn bytes(object: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Some(String::from_utf8_lossy(bytes.as_bytes()).into_owned());
    }
    let bytes = object.cast::<PyByteArray>().ok()?;
    Some(String::from_utf8_lossy(&bytes.to_vec()).into_owned())
}

/// `str()`, None where it raises.
fn text(object: &Bound<'_, PyAny>) -> Option<String> {
    Some(object.str().ok()?.to_string_lossy().into_owned())
}

fn kind(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "value".to_owned(), |name| name.to_string())
}
