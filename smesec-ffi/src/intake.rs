//! Objects inside a stream, taken in by C: uploads that are spooled to a disk, sent elsewhere, counted.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{Bytes, Fault, Opaque, Status, check_size, guard, hand_out, shared};
use crate::event::Findings;
use crate::filter::Filter;
use smesec_core::filter::{self, Transaction, Work, WorkResult};
use smesec_core::http;
use smesec_core::intake::{Intake, ObjectId, ObjectMeta};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

/// What is known of an object when it begins.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C reads it in place")]
pub struct Object {
    /// sizeof(smesec_object) of the library.
    pub size: usize,
    /// The file name that the sender gave; never a path to trust.
    pub name: Bytes,
    /// The field that it came in.
    pub field: Bytes,
    /// The media type that the sender claims.
    pub content_type: Bytes,
}

/// An intake written in C. `open` may be called by several threads at once; what it returns is the object's
/// state, and its functions are called by one thread at a time.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct IntakeVtable {
    /// sizeof(smesec_intake_vtable).
    pub size: usize,
    /// An object begins; returns its state, which may be NULL.
    pub open: Option<unsafe extern "C" fn(user: *mut c_void, object: *const Object) -> *mut c_void>,
    /// Bytes of it.
    pub data: Option<unsafe extern "C" fn(state: *mut c_void, bytes: Bytes)>,
    /// It ends; `complete` is false where the stream broke off. True asks for `scan`.
    pub close: Option<unsafe extern "C" fn(state: *mut c_void, complete: bool) -> bool>,
    /// The long work on it, where the host runs its work; what it adds is judged by the filter.
    pub scan: Option<unsafe extern "C" fn(state: *mut c_void, findings: *mut Findings)>,
    /// Called once for each state; may be NULL.
    pub free_state: Option<unsafe extern "C" fn(state: *mut c_void)>,
    /// Called once, when nothing uses the intake any more; may be NULL.
    pub free: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

/// A filter whose transactions hand their objects to an intake of the host's.
struct TakenIn {
    inner: Arc<dyn filter::Filter>,
    vtable: IntakeVtable,
    user: Arc<Opaque>,
}

impl filter::Filter for TakenIn {
    fn begin(
        &self,
        connection: &http::Connection,
        _: Option<Box<dyn Intake>>,
    ) -> Box<dyn Transaction> {
        let intake = CIntake {
            vtable: self.vtable,
            user: Arc::clone(&self.user),
            open: BTreeMap::new(),
            next: 0,
        };
        self.inner.begin(connection, Some(Box::new(intake)))
    }
}

struct CIntake {
    vtable: IntakeVtable,
    user: Arc<Opaque>,
    open: BTreeMap<ObjectId, Opened>,
    next: u32,
}

/// An object between its `open` and the end of its work.
struct Opened {
    meta: ObjectMeta,
    state: Mutex<Opaque>,
    /// After the state, so that it is freed later.
    _user: Arc<Opaque>,
}

impl Intake for CIntake {
    fn open(&mut self, meta: &ObjectMeta) -> ObjectId {
        let id = ObjectId::new(self.next);
        self.next = self.next.saturating_add(1);
        let shown = Object {
            size: size_of::<Object>(),
            name: Bytes::of(meta.name.as_bytes()),
            field: Bytes::of(meta.field.as_bytes()),
            content_type: Bytes::of(meta.content_type.as_bytes()),
        };
        let state = self.vtable.open.map_or(std::ptr::null_mut(), |open| {
            // SAFETY: the host vouches for its function, on any thread.
            unsafe { open(self.user.pointer(), &raw const shown) }
        });
        let state = Mutex::new(Opaque::new(state, self.vtable.free_state));
        self.open.insert(id, Opened { meta: meta.clone(), state, _user: Arc::clone(&self.user) });
        id
    }

    fn data(&mut self, id: ObjectId, bytes: &[u8]) {
        if let (Some(data), Some(opened)) = (self.vtable.data, self.open.get(&id)) {
            let state = opened.state.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the host vouches for its function.
            unsafe { data(state.pointer(), Bytes::of(bytes)) };
        }
    }

    fn close(&mut self, id: ObjectId, complete: bool) -> Option<Work> {
        let opened = self.open.remove(&id)?;
        let wanted = self.vtable.close.is_none_or(|close| {
            let state = opened.state.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the host vouches for its function.
            unsafe { close(state.pointer(), complete) }
        });
        let scan = self.vtable.scan.filter(|_| wanted)?;
        Some(Work::new(move || {
            let mut findings = Findings::default();
            let state = opened.state.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the host vouches for its function; the state is no other thread's now.
            unsafe { scan(state.pointer(), &raw mut findings) };
            drop(state);
            WorkResult::Scan { meta: opened.meta, report: Box::new(findings.into_report()) }
        }))
    }
}

/// The same filter with the objects (uploads) inside its bodies going to an intake written in C. The table is
/// copied; `user` is handed to `open` and `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_filter_intake(
    filter: *const Filter,
    vtable: *const IntakeVtable,
    user: *mut c_void,
    out: *mut *mut Filter,
) -> Status {
    // SAFETY: see `shared` and `hand_out`.
    guard(|| unsafe {
        let inner = Arc::clone(&shared(filter, "the filter")?.inner);
        let vtable = *shared(vtable, "the table")?;
        check_size(vtable.size, size_of::<IntakeVtable>(), "smesec_intake_vtable")?;
        vtable.open.ok_or_else(|| Fault::null("`open`"))?;
        hand_out(out, || {
            let user = Arc::new(Opaque::new(user, vtable.free));
            Ok(Filter { inner: Arc::new(TakenIn { inner, vtable, user }) })
        })
    })
}
