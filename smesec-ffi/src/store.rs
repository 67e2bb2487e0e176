//! Where the rules' persistent collections live.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{Bytes, Fault, Status, guard, hand_out, take_back};
use smesec_core::collection::{CollectionStore, MemoryStore, SharedStore};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

/// Keeps persistent collections (`IP`, `SESSION`); for any number of threads at once.
pub struct Store {
    pub(crate) inner: Arc<dyn CollectionStore>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// This process's own memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_store_memory(out: *mut *mut Store) -> Status {
    // SAFETY: see `hand_out`.
    guard(|| unsafe { hand_out(out, || Ok(Store { inner: Arc::new(MemoryStore::default()) })) })
}

/// Memory of this process and of its later children: make it before the fork. 64 KiB at least.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_store_anonymous(size: usize, out: *mut *mut Store) -> Status {
    // SAFETY: see `hand_out`.
    guard(|| unsafe {
        hand_out(out, || Ok(Store { inner: Arc::new(SharedStore::anonymous(size)?) }))
    })
}

/// The memory of a file, for every process that opens the same one with the same size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_store_file(
    path: Bytes,
    size: usize,
    out: *mut *mut Store,
) -> Status {
    // SAFETY: see `Bytes` and `hand_out`.
    guard(|| unsafe {
        let path = path.text("the path")?;
        hand_out(out, || Ok(Store { inner: Arc::new(SharedStore::file(path, size)?) }))
    })
}

/// Memory that the host shares by its own means, all zero at first, aligned to 8 bytes. It has to stay
/// until the store and all that was built over it are freed, and nobody else may write to it. The first
/// call has to be over before another process makes one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_store_region(
    start: *mut c_void,
    size: usize,
    out: *mut *mut Store,
) -> Status {
    // SAFETY: see `hand_out`; the caller vouches for the region as the text above asks.
    guard(|| unsafe {
        let start = NonNull::new(start.cast::<u8>()).ok_or_else(|| Fault::null("the region"))?;
        hand_out(out, || Ok(Store { inner: Arc::new(SharedStore::in_region(start, size)?) }))
    })
}

/// Frees a store; a WAF over it keeps what it needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_store_free(store: *mut Store) {
    // SAFETY: see `take_back`.
    unsafe { take_back(store) }
}
