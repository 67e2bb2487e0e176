//! Scanners: examine one object as a whole.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Opaque, Status, TextFn, check_size, guard, hand_out, shared, take_back, tell,
    unique,
};
use crate::event::Findings;
use smesec_core::limits::Budget;
use smesec_core::scanner::{self, Object, ScanReport, Skipped};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a file or stream that a scanner written in C is shown: a buffer in memory.
const MOST_BYTES: u64 = 64 << 20;

/// A scanner written in C.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct ScannerVtable {
    /// sizeof(smesec_scanner_vtable).
    pub size: usize,
    /// Scans one object: its name, and all of its bytes. Adds what it found, and what it
    /// could not inspect, to `findings`. It may take long; it runs where the host runs its work.
    pub scan: Option<
        unsafe extern "C" fn(user: *mut c_void, name: Bytes, data: Bytes, findings: *mut Findings),
    >,
    /// Called once, when nothing uses the scanner any more; may be NULL.
    pub free: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Whether `scan` may run on several threads at once; else the library lets one in at a time.
    pub concurrent: bool,
}

/// Examines objects; for any number of threads at once.
#[derive(Clone, Debug)]
pub struct Scanner {
    inner: Arc<CScanner>,
}

#[derive(Debug)]
struct CScanner {
    vtable: ScannerVtable,
    user: Opaque,
    turn: Mutex<()>,
}

impl scanner::Scanner for Scanner {
    fn scan(&mut self, object: &mut Object<'_>, budget: &mut Budget) -> ScanReport {
        self.look(object, budget)
    }
}

impl Scanner {
    fn look(&self, object: &mut Object<'_>, budget: &mut Budget) -> ScanReport {
        let most = budget.bytes_left().min(MOST_BYTES);
        match object {
            Object::Bytes { name, data } => self.bytes(name, data, budget),
            Object::File(path) => match std::fs::File::open(*path) {
                Ok(file) => self.read(&path.to_string_lossy(), file, most, budget),
                Err(error) => not_inspected(error.to_string()),
            },
            Object::Reader { name, reader } => self.read(name, reader, most, budget),
            _ => not_inspected("a scanner written in C is shown bytes only".to_owned()),
        }
    }

    fn read(
        &self,
        name: &str,
        reader: impl std::io::Read,
        most: u64,
        budget: &mut Budget,
    ) -> ScanReport {
        let mut data = Vec::new();
        let mut bounded = std::io::Read::take(reader, most.saturating_add(1));
        if let Err(error) = std::io::Read::read_to_end(&mut bounded, &mut data) {
            return not_inspected(error.to_string());
        }
        let whole = u64::try_from(data.len()).is_ok_and(|len| len <= most);
        data.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let mut report = self.bytes(name, &data, budget);
        if !whole {
            let why = format!("only the first {most} bytes were inspected");
            report.skipped.push(Skipped { member: String::new(), why });
        }
        report
    }

    fn bytes(&self, name: &str, data: &[u8], budget: &mut Budget) -> ScanReport {
        if !budget.spend_bytes(u64::try_from(data.len()).unwrap_or(u64::MAX)) {
            return not_inspected("larger than the budget".to_owned());
        }
        let CScanner { vtable, user, turn } = &*self.inner;
        let Some(scan) = vtable.scan else { return not_inspected("no function".to_owned()) };
        let _turn =
            (!vtable.concurrent).then(|| turn.lock().unwrap_or_else(PoisonError::into_inner));
        let mut findings = Findings::default();
        // SAFETY: the host vouches for its function.
        unsafe {
            scan(user.pointer(), Bytes::of(name.as_bytes()), Bytes::of(data), &raw mut findings);
        }
        findings.into_report()
    }
}

fn not_inspected(why: String) -> ScanReport {
    ScanReport::new(Vec::new(), vec![Skipped { member: String::new(), why }])
}

/// What a scan came to.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums, reason = "C knows no other kind")]
pub enum ScanOutcome {
    /// All of it was inspected and nothing was found.
    Clean = 0,
    /// Something was found.
    Detected = 1,
    /// Nothing was found in what could be inspected, but that was not all.
    Incomplete = 2,
}

/// A scanner written in C. The table is copied; `user` is handed to its functions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_scanner_new(
    vtable: *const ScannerVtable,
    user: *mut c_void,
    out: *mut *mut Scanner,
) -> Status {
    // SAFETY: see `shared` and `hand_out`.
    guard(|| unsafe {
        let vtable = *shared(vtable, "the table")?;
        check_size(vtable.size, size_of::<ScannerVtable>(), "smesec_scanner_vtable")?;
        vtable.scan.ok_or_else(|| Fault::null("`scan`"))?;
        hand_out(out, || {
            let user = Opaque::new(user, vtable.free);
            Ok(Scanner { inner: Arc::new(CScanner { vtable, user, turn: Mutex::new(()) }) })
        })
    })
}

/// Scans bytes. `outcome` gets a smesec_scan_outcome; `tell_to` (may be NULL) is told one JSON object:
/// `outcome`, `findings`, and `skipped` with `member` and `why`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_scanner_scan(
    scanner: *const Scanner,
    name: Bytes,
    data: Bytes,
    outcome: *mut u32,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    // SAFETY: see `Bytes` and `scan`.
    guard(|| unsafe {
        let mut object = Object::Bytes { name: name.text("the name")?, data: data.get()? };
        scan(scanner, &mut object, outcome, tell_to, user)
    })
}

/// Scans a file; of one above 64 MiB the first part, and that is `SMESEC_SCAN_OUTCOME_INCOMPLETE`.
/// So is a file that cannot be read, since what nobody looked at may not pass for clean.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_scanner_scan_file(
    scanner: *const Scanner,
    path: Bytes,
    outcome: *mut u32,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    // SAFETY: see `Bytes` and `scan`.
    guard(|| unsafe {
        let path = std::path::Path::new(path.text("the path")?);
        scan(scanner, &mut Object::File(path), outcome, tell_to, user)
    })
}

unsafe fn scan(
    scanner: *const Scanner,
    object: &mut Object<'_>,
    outcome: *mut u32,
    tell_to: TextFn,
    user: *mut c_void,
) -> Result<(), Fault> {
    // SAFETY: see `shared`, `unique` and `tell`.
    unsafe {
        let scanner = shared(scanner, "the scanner")?;
        let place = unique(outcome, "the outcome")?;
        let report = scanner.look(object, &mut Budget::new(u64::MAX, u64::MAX));
        let (outcome, word) = match report.outcome() {
            scanner::Outcome::Clean => (ScanOutcome::Clean, "clean"),
            scanner::Outcome::Detected => (ScanOutcome::Detected, "detected"),
            _ => (ScanOutcome::Incomplete, "incomplete"),
        };
        *place = outcome as u32;
        if tell_to.is_none() {
            return Ok(());
        }
        let skipped: Vec<_> = report
            .skipped
            .iter()
            .map(|s| serde_json::json!({"member": s.member, "why": s.why}))
            .collect();
        let findings = serde_json::to_value(&report.findings).unwrap_or_default();
        let json = serde_json::json!({"outcome": word, "findings": findings, "skipped": skipped});
        tell(tell_to, user, &json.to_string())
    }
}

/// Frees a scanner; what was built over it keeps what it needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_scanner_free(scanner: *mut Scanner) {
    // SAFETY: see `take_back`.
    unsafe { take_back(scanner) }
}
