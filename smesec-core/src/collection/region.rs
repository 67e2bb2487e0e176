//! Memory that several processes see, as a slice of atomic words.
//!
//! Invariant: `start` points at `len` aligned words that stay mapped, readable and writable as long as the
//! region lives. Whoever else maps them may write anything at any time; nothing here or above takes what it
//! reads for more than a number, so that a damaged region gives wrong counts and never a bad access.
#![expect(unsafe_code, reason = "mapping memory, and reading it as words, has no safe form")]

use crate::error::{ConfigError, Error, IoError};
use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

#[derive(Debug)]
pub(super) struct Region {
    start: NonNull<AtomicU64>,
    len: usize,
    /// Whether this value mapped it and has to let it go.
    mapped: bool,
}

// SAFETY: atomic words may be used by any thread.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

const WORD: usize = size_of::<AtomicU64>();

impl Region {
    /// Fresh memory, all zero, that children of this process share.
    pub(super) fn anonymous(bytes: usize) -> Result<Self, Error> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: no address is asked for, so no mapping of this process is touched.
        let start =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, access, flags) };
        let start = start.map_err(|e| IoError::new("shared memory", e.into()))?;
        Self::mapped(start, bytes)
    }

    /// The file's memory, made and set to zero where there is none; `ready` runs while no other process can.
    pub(super) fn file(
        path: &Path,
        bytes: usize,
        ready: impl FnOnce(&Self) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let failed = |source: std::io::Error| IoError::new(path.display().to_string(), source);
        // Counters of visitors are nobody else's business.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(failed)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        fit(&file, path, bytes)?;
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: as in `anonymous`. The file has `bytes` bytes on the disk; who cuts it short later
        // breaks the contract that `SharedStore::file` states.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, access, flags, &file, 0) };
        let region = Self::mapped(start.map_err(|e| failed(e.into()))?, bytes)?;
        ready(&region)?;
        // Explicitly: the mapping keeps the file open, and with it the lock.
        rustix::fs::flock(&file, FlockOperation::Unlock).map_err(|e| failed(e.into()))?;
        Ok(region)
    }

    /// # Safety
    /// `start` points at `bytes` bytes, readable and writable until the region is dropped.
    pub(super) unsafe fn borrowed(start: NonNull<u8>, bytes: usize) -> Result<Self, Error> {
        if start.as_ptr().align_offset(WORD) != 0 {
            return Err(ConfigError::new("a shared region has to begin at a multiple of 8").into());
        }
        Ok(Self { start: start.cast(), len: bytes / WORD, mapped: false })
    }

    fn mapped(start: *mut std::ffi::c_void, bytes: usize) -> Result<Self, Error> {
        let start = NonNull::new(start).ok_or_else(|| ConfigError::new("no shared memory"))?;
        Ok(Self { start: start.cast(), len: bytes / WORD, mapped: true })
    }

    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the invariant above; every bit pattern is a word.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

/// Gives a new file its size on the disk, so that a full one is told now and not by a signal later.
fn fit(file: &File, path: &Path, bytes: usize) -> Result<(), Error> {
    let failed = |source: std::io::Error| IoError::new(path.display().to_string(), source);
    let wanted = u64::try_from(bytes).unwrap_or(u64::MAX);
    let found = file.metadata().map_err(failed)?.len();
    if found == 0 {
        rustix::fs::fallocate(file, FallocateFlags::empty(), 0, wanted)
            .map_err(|e| failed(e.into()))?;
    } else if found != wanted {
        return Err(ConfigError::new(format!(
            "`{}` has {found} bytes, {wanted} expected; give the same size everywhere, or remove the file",
            path.display()
        ))
        .into());
    }
    Ok(())
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.mapped {
            // SAFETY: mapped by this value with that length, and no borrow of its words outlives it.
            let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len * WORD) };
        }
    }
}
