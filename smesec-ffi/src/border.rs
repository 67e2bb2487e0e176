//! What every function of the face shares: status, last error, panic boundary, bytes.
#![expect(unsafe_code, reason = "pointers come from C; each is checked for null before it is read")]

use smesec_core::Error;
use smesec_core::error::PhaseError;
use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The number in the SONAME.
const ABI_VERSION: u32 = 0;

/// What a call came to.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "C knows no other kind")]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A pointer that may not be null was null.
    Null = 1,
    /// A step came in the wrong phase of its transaction, or after its end.
    WrongPhase = 2,
    /// A rule could not be read or compiled.
    Rule = 10,
    /// A setting or an argument is wrong.
    Config = 11,
    /// The library refused a step in its phase.
    Phase = 12,
    /// A limit was reached.
    Limit = 13,
    /// A file could not be read.
    Io = 14,
    /// An error of a kind that this header does not know.
    Other = 98,
    /// A defect of the library was caught at its border; the library stays usable.
    Panic = 99,
}

impl Status {
    fn of(error: &Error) -> Self {
        match error.code() {
            10 => Self::Rule,
            11 => Self::Config,
            12 => Self::Phase,
            13 => Self::Limit,
            14 => Self::Io,
            _ => Self::Other,
        }
    }
}

/// Bytes that somebody else owns; `data` may be null where `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Bytes {
    /// The first byte.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

impl Bytes {
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }

    pub(crate) unsafe fn get<'a>(self) -> Result<&'a [u8], Fault> {
        if self.len == 0 {
            return Ok(&[]);
        }
        if self.data.is_null() {
            return Err(Fault::null("a `smesec_bytes` with a length"));
        }
        // SAFETY: not null, and the caller vouches for `len` bytes during the call.
        Ok(unsafe { std::slice::from_raw_parts(self.data, self.len) })
    }

    pub(crate) unsafe fn text<'a>(self, what: &str) -> Result<&'a str, Fault> {
        // SAFETY: as `get`.
        let bytes = unsafe { self.get() }?;
        std::str::from_utf8(bytes).map_err(|_| Fault::config(format!("{what} is not UTF-8")))
    }

    /// Text for reports: what is not UTF-8 is replaced.
    pub(crate) unsafe fn lossy(self) -> Result<String, Fault> {
        // SAFETY: as `get`.
        let bytes = unsafe { self.get() }?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Receives a text, JSON where the function says so. `user` is what the host handed over.
pub type TextFn = Option<unsafe extern "C" fn(user: *mut c_void, text: Bytes)>;

/// Why a call failed.
pub(crate) struct Fault {
    status: Status,
    text: String,
}

impl Fault {
    pub(crate) fn null(what: &str) -> Self {
        Self { status: Status::Null, text: format!("{what} is null") }
    }

    pub(crate) fn phase(call: &str, phase: &str) -> Self {
        let text = format!("`{call}` is not allowed {phase}; call the steps in their order");
        Self { status: Status::WrongPhase, text }
    }

    pub(crate) fn config(text: String) -> Self {
        Self { status: Status::Config, text }
    }

    pub(crate) fn limit(text: String) -> Self {
        Self { status: Status::Limit, text }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { status: Status::of(&error), text: error.to_string() }
    }
}

impl From<PhaseError> for Fault {
    fn from(error: PhaseError) -> Self {
        Self { status: Status::WrongPhase, text: error.to_string() }
    }
}

/// A pointer of the host's with the function that frees it.
#[derive(Debug)]
pub(crate) struct Opaque {
    user: *mut c_void,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: the library only hands the pointer back; the header says which functions of a table are
// called by one thread at a time and which by several.
unsafe impl Send for Opaque {}
// SAFETY: as above.
unsafe impl Sync for Opaque {}

impl Opaque {
    pub(crate) fn new(user: *mut c_void, free: Option<unsafe extern "C" fn(*mut c_void)>) -> Self {
        Self { user, free }
    }

    pub(crate) const fn pointer(&self) -> *mut c_void {
        self.user
    }
}

impl Drop for Opaque {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: called once, and nothing holds the pointer any more.
            unsafe { free(self.user) };
        }
    }
}

thread_local! {
    /// The text of this thread's last failure.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the body of a function of the face: no panic leaves it, and a failure leaves its text.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Fault>) -> Status {
    // What a panic leaves half done belongs to the handle that was used; no other sees it.
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        Err(Fault {
            status: Status::Panic,
            text: "a defect of smesec was caught; please report it".to_owned(),
        })
    });
    match outcome {
        Ok(()) => Status::Ok,
        Err(fault) => {
            LAST.with(|last| *last.borrow_mut() = fault.text);
            fault.status
        }
    }
}

/// As [`guard`], for functions that return nothing.
pub(crate) fn quiet(body: impl FnOnce()) {
    let _ = guard(|| {
        body();
        Ok(())
    });
}

pub(crate) unsafe fn shared<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, Fault> {
    // SAFETY: null is turned into an error; the caller vouches for the rest.
    unsafe { pointer.as_ref() }.ok_or_else(|| Fault::null(what))
}

pub(crate) unsafe fn unique<'a, T>(pointer: *mut T, what: &str) -> Result<&'a mut T, Fault> {
    // SAFETY: as `shared`; handles that change are used by one thread at a time.
    unsafe { pointer.as_mut() }.ok_or_else(|| Fault::null(what))
}

/// `count` things one after the other.
pub(crate) unsafe fn slice<'a, T>(
    first: *const T,
    count: usize,
    what: &str,
) -> Result<&'a [T], Fault> {
    if count == 0 {
        return Ok(&[]);
    }
    if first.is_null() {
        return Err(Fault::null(what));
    }
    // SAFETY: not null; the caller vouches for `count` of them during the call.
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

/// Writes a new handle to the caller's place.
pub(crate) unsafe fn hand_out<T>(
    place: *mut *mut T,
    make: impl FnOnce() -> Result<T, Fault>,
) -> Result<(), Fault> {
    // SAFETY: as `unique`.
    let place = unsafe { unique(place, "the place for the new handle") }?;
    *place = std::ptr::null_mut();
    *place = Box::into_raw(Box::new(make()?));
    Ok(())
}

/// Frees a handle that [`hand_out`] made; null does nothing.
pub(crate) unsafe fn take_back<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: made by `Box::into_raw` in `hand_out`, and freed once, as the header asks.
        quiet(|| drop(unsafe { Box::from_raw(handle) }));
    }
}

/// A struct of the header that begins with its size.
pub(crate) fn check_size(size: usize, least: usize, what: &str) -> Result<(), Fault> {
    if size < least {
        let text =
            format!("`size` of {what} is {size}, at least {least} expected; set it to sizeof");
        return Err(Fault::config(text));
    }
    Ok(())
}

pub(crate) unsafe fn tell(function: TextFn, user: *mut c_void, text: &str) -> Result<(), Fault> {
    // SAFETY: as `tell_bytes`.
    unsafe { tell_bytes(function, user, text.as_bytes()) }
}

pub(crate) unsafe fn tell_bytes(
    function: TextFn,
    user: *mut c_void,
    bytes: &[u8],
) -> Result<(), Fault> {
    let function = function.ok_or_else(|| Fault::null("the callback"))?;
    // SAFETY: the caller vouches for its function and its user data.
    unsafe { function(user, Bytes::of(bytes)) };
    Ok(())
}

/// The ABI that this library speaks; equal to SMESEC_ABI of the header it was built with.
#[unsafe(no_mangle)]
pub extern "C" fn smesec_abi_version() -> u32 {
    ABI_VERSION
}

/// The version, such as `0.1.0`; valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn smesec_version() -> Bytes {
    Bytes::of(env!("CARGO_PKG_VERSION").as_bytes())
}

/// A status in words; valid for ever. Takes a number, so that unknown ones have words too.
#[unsafe(no_mangle)]
pub extern "C" fn smesec_status_text(status: u32) -> Bytes {
    let text = match status {
        0 => "ok",
        1 => "a pointer is null",
        2 => "step in the wrong phase",
        10 => "rule error",
        11 => "wrong setting or argument",
        12 => "step refused in its phase",
        13 => "limit reached",
        14 => "input or output error",
        98 => "other error",
        99 => "defect of the library caught",
        _ => "unknown status",
    };
    Bytes::of(text.as_bytes())
}

/// The text of this thread's last failure, empty where there was none; valid until the next call on
/// this thread.
#[unsafe(no_mangle)]
pub extern "C" fn smesec_last_error() -> Bytes {
    LAST.with(|last| {
        last.try_borrow()
            .map_or(Bytes { data: std::ptr::null(), len: 0 }, |text| Bytes::of(text.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_the_library_stays_usable() {
        assert_eq!(guard(|| panic!("provoked")), Status::Panic);
        // SAFETY: the text belongs to this thread until the next call.
        let text = unsafe { smesec_last_error().get() }.ok().unwrap();
        assert!(text.starts_with(b"a defect"));
        assert_eq!(guard(|| Ok(())), Status::Ok);
        quiet(|| panic!("provoked"));
    }

    #[test]
    fn every_status_has_words() {
        for status in [
            Status::Ok,
            Status::Null,
            Status::WrongPhase,
            Status::Rule,
            Status::Config,
            Status::Phase,
            Status::Limit,
            Status::Io,
            Status::Other,
            Status::Panic,
        ] {
            // SAFETY: static text.
            let text = unsafe { smesec_status_text(status as u32).get() }.ok().unwrap();
            assert_ne!(text, b"unknown status", "{status:?}");
        }
        let rule = smesec_core::error::RuleError::new("a", 1, 1, "b");
        assert_eq!(Status::of(&rule.into()) as u32, 10);
    }
}
