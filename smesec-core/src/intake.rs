//! Objects inside a stream: uploads, multipart files, files on the wire; and the way from there
//! into a scanner.

use crate::filter::{Work, WorkResult};
use crate::limits::Budget;
use crate::scanner::{Object, Scanner, Skipped};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is known of an object when it begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "engines and hosts fill it in place")]
pub struct ObjectMeta {
    /// The file name that the sender gave, empty where none.
    pub name: String,
    /// The field or member it came in.
    pub field: String,
    /// The media type that the sender claims.
    pub content_type: String,
}

/// Names one object within its intake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectId(u32);

impl ObjectId {
    /// The `n`-th object of an intake.
    pub const fn new(n: u32) -> Self {
        Self(n)
    }

    /// The number.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

/// Receives the objects inside a stream.
pub trait Intake: Send {
    /// An object begins.
    fn open(&mut self, meta: &ObjectMeta) -> ObjectId;
    /// Bytes of it.
    fn data(&mut self, id: ObjectId, bytes: &[u8]);
    /// It ends; `complete` is false when the stream broke off. Long work may follow.
    fn close(&mut self, id: ObjectId, complete: bool) -> Option<Work>;
}

/// Spools objects in memory under a limit and hands each, whole, to a scanner as [`Work`].
///
/// The default limit is 32 MiB for all objects of one transaction: above the usual upload limit of
/// a shop's server, small enough that 100 at once fit in a small machine. An object beyond it is
/// reported as not inspected.
#[derive(Debug)]
pub struct ScannerIntake<S> {
    scanner: Arc<Mutex<S>>,
    left: usize,
    steps: u64,
    open: BTreeMap<ObjectId, Spool>,
    next: u32,
}

#[derive(Debug)]
struct Spool {
    meta: ObjectMeta,
    data: Vec<u8>,
    overflow: bool,
}

impl<S: Scanner + 'static> ScannerIntake<S> {
    /// See the type.
    pub const DEFAULT_SPOOL_BYTES: usize = 32 << 20;

    /// An intake into `scanner` with the default limits.
    pub fn new(scanner: Arc<Mutex<S>>) -> Self {
        Self::with_limits(scanner, Self::DEFAULT_SPOOL_BYTES, u64::MAX)
    }

    /// An intake with `spool_bytes` for all objects together and `steps` for each scan.
    pub fn with_limits(scanner: Arc<Mutex<S>>, spool_bytes: usize, steps: u64) -> Self {
        Self { scanner, left: spool_bytes, steps, open: BTreeMap::new(), next: 0 }
    }
}

impl<S: Scanner + 'static> Intake for ScannerIntake<S> {
    fn open(&mut self, meta: &ObjectMeta) -> ObjectId {
        let id = ObjectId(self.next);
        self.next = self.next.saturating_add(1);
        self.open.insert(id, Spool { meta: meta.clone(), data: Vec::new(), overflow: false });
        id
    }

    fn data(&mut self, id: ObjectId, bytes: &[u8]) {
        if let Some(spool) = self.open.get_mut(&id) {
            if bytes.len() <= self.left && !spool.overflow {
                self.left -= bytes.len();
                spool.data.extend_from_slice(bytes);
            } else {
                spool.overflow = true;
            }
        }
    }

    fn close(&mut self, id: ObjectId, complete: bool) -> Option<Work> {
        let spool = self.open.remove(&id)?;
        let scanner = Arc::clone(&self.scanner);
        let steps = self.steps;
        Some(Work::new(move || {
            let mut budget = Budget::new(steps, u64::MAX);
            let mut object = Object::Bytes { name: &spool.meta.name, data: &spool.data };
            let mut report = scanner
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .scan(&mut object, &mut budget);
            let member = String::new();
            if spool.overflow {
                let why = "larger than the spool limit; raise `spool_bytes`".to_owned();
                report.skipped.push(Skipped { member, why });
            } else if !complete {
                let why = "the stream broke off before its end".to_owned();
                report.skipped.push(Skipped { member, why });
            }
            WorkResult::Scan { meta: spool.meta, report: Box::new(report) }
        }))
    }
}
