//! The interface's C structures, and what of them is safe to look at.
#![expect(
    unsafe_code,
    reason = "the interface is C structures with raw pointers, handed over in capsules"
)]

use super::column::{Column, Kind};
use crate::errors::wrong;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

/// Columns within columns; schemas of logs nest about a dozen deep.
const DEPTH: usize = 64;

#[repr(C)]
struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut Schema,
    dictionary: *mut Schema,
    release: Option<unsafe extern "C" fn(*mut Schema)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *const *const c_void,
    children: *mut *mut Array,
    dictionary: *mut Array,
    release: Option<unsafe extern "C" fn(*mut Array)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct Stream {
    get_schema: Option<unsafe extern "C" fn(*mut Stream, *mut Schema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut Stream, *mut Array) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut Stream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut Stream)>,
    private_data: *mut c_void,
}

/// A structure that may be moved and has to be released by whoever holds it.
trait Structure: Sized {
    const NAME: &CStr;
    fn none() -> Self;
    /// Lets go of what it holds, once.
    fn release(&mut self);
}

macro_rules! structure {
    ($name:ident, $capsule:literal) => {
        impl Structure for $name {
            const NAME: &CStr = $capsule;

            fn none() -> Self {
                // SAFETY: all fields are integers, raw pointers or optional functions, for which zero is a value.
                unsafe { std::mem::zeroed() }
            }

            fn release(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: a structure whose `release` is set is one that its producer made, and not yet released.
                    unsafe { release(self) };
                    self.release = None;
                }
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.release();
            }
        }

        // SAFETY: the interface lets whoever holds a structure use and release it on any one thread.
        unsafe impl Send for $name {}
    };
}

structure!(Schema, c"arrow_schema");
structure!(Array, c"arrow_array");
structure!(Stream, c"arrow_array_stream");

/// Takes a structure out of its capsule, which is left with none.
fn taken<T: Structure>(capsule: &Bound<'_, PyAny>) -> PyResult<T> {
    let capsule = capsule.cast::<PyCapsule>()?;
    let there: NonNull<T> = capsule.pointer_checked(Some(T::NAME))?.cast();
    // SAFETY: a capsule of this name holds this structure (the interface's PyCapsule protocol), and the interpreter
    // is held, so that nobody else moves it at the same time. It is plain data and may be moved.
    Ok(unsafe { ptr::replace(there.as_ptr(), T::none()) })
}

/// A column's schema, copied: its name with those above it, its kind, the columns within it.
struct Spec {
    name: String,
    kind: Kind,
    children: Vec<Spec>,
    values: Option<Box<Spec>>,
}

/// A text of a structure; empty where there is none.
///
/// # Safety
/// `text` is null, or ends with a zero byte and stays for `'a`.
unsafe fn text<'a>(text: *const c_char) -> std::borrow::Cow<'a, str> {
    if text.is_null() {
        return "".into();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// `n` pointers to structures; none where one is null.
///
/// # Safety
/// `all` is null, or points at `n` pointers that are null or point at structures that stay for `'a`.
unsafe fn pointees<'a, T>(all: *mut *mut T, n: i64) -> Option<Vec<&'a T>> {
    let n = usize::try_from(n).ok()?;
    if n == 0 {
        return Some(Vec::new());
    }
    if all.is_null() {
        return None;
    }
    // SAFETY: as the caller says.
    let all = unsafe { slice::from_raw_parts(all, n) };
    // SAFETY: as the caller says.
    all.iter().map(|one| unsafe { one.as_ref() }).collect()
}

impl Spec {
    /// Reads the schema of a column below `above`; what is `within` a list, a dictionary or nothing goes by that name.
    fn read(schema: &Schema, above: &str, within: bool, depth: usize) -> Result<Self, String> {
        let deeper = depth.checked_sub(1);
        let deeper =
            deeper.ok_or_else(|| format!("`{above}` nests deeper than {DEPTH} columns"))?;
        // SAFETY: the schema has not been released, and its texts live as long as it.
        let (name, format) = unsafe { (text(schema.name), text(schema.format)) };
        let name = match above {
            _ if within => above.to_owned(),
            "" => name.into_owned(),
            _ => format!("{above}.{name}"),
        };
        let kind = Kind::of(&format).ok_or_else(|| {
            format!("the column `{name}` has Arrow's type `{format}`, which is not read; cast it or leave it out")
        })?;
        let list = matches!(kind, Kind::List32 | Kind::List64 | Kind::FixedList(_));
        let below = |child: &Schema, within| Self::read(child, &name, within, deeper);
        // SAFETY: as above, for the structures below it.
        let (children, values) =
            unsafe { (pointees(schema.children, schema.n_children), schema.dictionary.as_ref()) };
        let children = children.ok_or_else(|| format!("the column `{name}` is damaged"))?;
        Ok(Self {
            children: children
                .into_iter()
                .map(|child| below(child, list))
                .collect::<Result<_, _>>()?,
            values: values.map(|values| below(values, true).map(Box::new)).transpose()?,
            name,
            kind,
        })
    }
}

/// Where tables come from: a batch, or a stream of them.
pub(crate) struct Source {
    spec: Arc<Spec>,
    stream: Option<Stream>,
    one: Option<Array>,
}

/// Some rows of a table.
pub(crate) struct Batch {
    spec: Arc<Spec>,
    array: Array,
}

impl Source {
    /// What a Python object offers of the interface; `None` where it is no table.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = object.py();
        let told = |why: String| wrong(py, why);
        let mut schema;
        let (mut stream, mut one) = (None, None);
        if object.hasattr("__arrow_c_stream__")? {
            let mut given: Stream = taken(&object.call_method0("__arrow_c_stream__")?)?;
            schema = Schema::none();
            let read = given.get_schema.ok_or_else(|| told("the stream is empty".to_owned()))?;
            // SAFETY: the stream has just been taken and not been released; the schema is ours to be filled.
            let status = unsafe { read(&raw mut given, &raw mut schema) };
            given.said(status).map_err(told)?;
            stream = Some(given);
        } else if object.hasattr("__arrow_c_array__")? {
            let both = object.call_method0("__arrow_c_array__")?;
            let both = both.cast::<PyTuple>()?;
            schema = taken(&both.get_item(0)?)?;
            one = Some(taken(&both.get_item(1)?)?);
        } else {
            return Ok(None);
        }
        let spec = Spec::read(&schema, "", true, DEPTH).map_err(told)?;
        if !matches!(spec.kind, Kind::Struct) {
            return Err(told("a column was given; give a table or a record batch".to_owned()));
        }
        Ok(Some(Self { spec: Arc::new(spec), stream, one }))
    }

    /// The next rows.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>, String> {
        let array = match &mut self.stream {
            None => self.one.take(),
            Some(stream) => {
                let mut array = Array::none();
                let next = stream.get_next.ok_or("the stream is empty")?;
                // SAFETY: the stream is held and not been released; the array is ours to be filled.
                let status = unsafe { next(&raw mut *stream, &raw mut array) };
                stream.said(status)?;
                Some(array)
            }
        };
        // A stream that has ended gives a structure that is released already.
        let array = array.filter(|array| array.release.is_some());
        Ok(array.map(|array| Batch { spec: Arc::clone(&self.spec), array }))
    }
}

impl Stream {
    /// What a call's status means.
    fn said(&mut self, status: c_int) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        let told = self.get_last_error.map(|told| {
            // SAFETY: the stream is held; what it says is valid until its next call and copied before that.
            unsafe { text(told(self)) }.into_owned()
        });
        let told = told.filter(|told| !told.is_empty());
        Err(told.unwrap_or_else(|| format!("the stream broke off with status {status}")))
    }
}

impl Batch {
    /// The batch as one column of columns.
    pub(crate) fn root(&self) -> Result<Column<'_>, String> {
        column(&self.array, &self.spec)
    }
}

/// Looks at a column. Its buffers are as long as the interface says that they are for this kind, length and offset: a
/// producer that breaks that has broken every consumer.
fn column<'a>(array: &'a Array, spec: &'a Spec) -> Result<Column<'a>, String> {
    let damaged = || format!("the column `{}` is damaged", spec.name);
    let size = |n: i64| usize::try_from(n).map_err(|_| damaged());
    let (length, offset) = (size(array.length)?, size(array.offset)?);
    let end = length.checked_add(offset).ok_or_else(damaged)?;
    let buffers: &[*const c_void] = match size(array.n_buffers)? {
        0 => &[],
        _ if array.buffers.is_null() => return Err(damaged()),
        // SAFETY: the array has not been released and has that many buffers.
        n => unsafe { slice::from_raw_parts(array.buffers, n) },
    };
    let bytes = |n: usize, items: usize, width: usize| -> Result<&'a [u8], String> {
        let start = buffers.get(n).ok_or_else(damaged)?.cast::<u8>();
        let bytes = items.checked_mul(width).filter(|n| isize::try_from(*n).is_ok());
        let bytes = bytes.ok_or_else(damaged)?;
        if start.is_null() || bytes == 0 {
            return Ok(&[]);
        }
        // SAFETY: the interface has the buffer of this kind, length and offset be this long; it lives as long as
        // the array, and nobody writes to it.
        Ok(unsafe { slice::from_raw_parts(start, bytes) })
    };
    let mut column = Column::new(&spec.name, &spec.kind, offset, length);
    if array.null_count != 0 && !matches!(spec.kind, Kind::Null) {
        column.validity = Some(bytes(0, end.div_ceil(8), 1)?).filter(|bits| !bits.is_empty());
    }
    let ends = if end == 0 { 0 } else { end.checked_add(1).ok_or_else(damaged)? };
    match spec.kind {
        Kind::Null | Kind::Struct | Kind::FixedList(_) => {}
        Kind::Bool => column.first = bytes(1, end.div_ceil(8), 1)?,
        Kind::View => {
            column.first = bytes(1, end, 16)?;
            let more = buffers.len().checked_sub(3).ok_or_else(damaged)?;
            let sizes = bytes(more + 2, more, 8)?;
            for (n, size) in sizes.as_chunks::<8>().0.iter().enumerate() {
                let size = usize::try_from(i64::from_ne_bytes(*size)).map_err(|_| damaged())?;
                column.more.push(bytes(n + 2, size, 1)?);
            }
        }
        Kind::List32 => column.first = bytes(1, ends, 4)?,
        Kind::List64 => column.first = bytes(1, ends, 8)?,
        Kind::Text32 | Kind::Text64 => {
            column.first = bytes(1, ends, if matches!(spec.kind, Kind::Text32) { 4 } else { 8 })?;
            column.second = bytes(2, column.offset_at(end).unwrap_or(0), 1)?;
        }
        Kind::Fixed(width) => column.first = bytes(1, end, width)?,
        ref number => column.first = bytes(1, end, number.width())?,
    }
    // SAFETY: the array has not been released, nor has what is below it.
    let (children, values) =
        unsafe { (pointees(array.children, array.n_children), array.dictionary.as_ref()) };
    let children = children.filter(|c| c.len() == spec.children.len()).ok_or_else(damaged)?;
    for (array, spec) in children.into_iter().zip(&spec.children) {
        column.children.push(self::column(array, spec)?);
    }
    column.values = match (values, &spec.values) {
        (Some(array), Some(spec)) => Some(Box::new(self::column(array, spec)?)),
        (None, None) => None,
        _ => return Err(damaged()),
    };
    Ok(column)
}
