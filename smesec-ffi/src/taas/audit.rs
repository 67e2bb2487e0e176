//! The audit: the doors of an API, from one description.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use super::report::{Report, Run, TestCounts};
use super::tests::{Setting, settings};
use crate::border::{
    Bytes, Fault, Status, TextFn, check_size, guard, hand_out, shared, slice, take_back, tell,
};
use smesec_core::client::Network;
use smesec_core::error::IoError;
use smesec_core::runner::{Observer, TestResult, TestRunner as _};
use smesec_core::taas::Secrets;
use smesec_core::taas::audit::{self, SecretSource};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::Path;

/// How a description is read and tried; all zero but `size` are the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct AuditOptions {
    /// sizeof(smesec_audit_options).
    pub size: usize,
    /// The variables behind `{env: NAME}`: the library reads no environment.
    pub env: *const Setting,
    /// How many.
    pub env_count: usize,
    /// Names of the checks to run, such as `bfla-read`; none for all.
    pub only: *const Bytes,
    /// How many.
    pub only_count: usize,
    /// Tries also what changes the target's data or locks accounts.
    pub destructive: bool,
}

/// An audit of one target: immutable; any number of threads may use it at once.
#[derive(Debug)]
pub struct Audit {
    inner: audit::Audit,
    name: String,
}

/// Reads the description of a target; `options` may be NULL for the defaults. `name` is its path, beside which
/// files of secrets are looked for, and `text` its text; with `data` NULL the file is read. Nothing is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_audit_load(
    options: *const AuditOptions,
    name: Bytes,
    text: Bytes,
    out: *mut *mut Audit,
) -> Status {
    guard(|| {
        // SAFETY: see `Bytes` and `hand_out`; options are null or a struct, as the header asks.
        unsafe {
            let name = name.text("the name")?;
            let options = options.as_ref();
            if let Some(options) = options {
                check_size(options.size, size_of::<AuditOptions>(), "smesec_audit_options")?;
            }
            let given = if text.data.is_null() && text.len == 0 {
                None
            } else {
                Some(text.text("the description")?)
            };
            hand_out(out, || {
                let inner = load(name, given, options)?;
                Ok(Audit { inner, name: name.to_owned() })
            })
        }
    })
}

unsafe fn load(
    name: &str,
    given: Option<&str>,
    options: Option<&AuditOptions>,
) -> Result<audit::Audit, Fault> {
    let read;
    let text = if let Some(text) = given {
        text
    } else {
        read = std::fs::read_to_string(name)
            .map_err(|error| smesec_core::Error::from(IoError::new(name, error)))?;
        &read
    };
    let (mut env, mut only, mut destructive) = (BTreeMap::new(), Vec::new(), false);
    if let Some(options) = options {
        // SAFETY: see `slice` and `Bytes`.
        unsafe {
            env = settings(options.env, options.env_count, "`env`")?;
            for check in slice(options.only, options.only_count, "`only`")? {
                only.push(check.text("a check's name")?);
            }
        }
        destructive = options.destructive;
    }
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    let secret = |source: SecretSource<'_>| match source {
        SecretSource::Environment(name) => env.get(name).cloned(),
        SecretSource::File(path) => std::fs::read_to_string(folder.join(path)).ok(),
        // Where a later library looks, this face does not: the description's error names the key.
        _ => None,
    };
    let mut audit = audit::Audit::load_with(text, name, &secret)?;
    if !only.is_empty() {
        audit = audit.only(only)?;
    }
    Ok(audit.destructive(destructive))
}

/// Tells what was understood as one JSON object: `warnings`, a list of texts; `hosts`, the pairs of host and port
/// (or null for any) that a run may connect to; and its bounds `requests` and `per_second`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_audit_report(
    audit: *const Audit,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell`.
        unsafe {
            let audit = &shared(audit, "the audit")?.inner;
            let (requests, per_second, _) = audit.limits();
            let json = serde_json::json!({
                "warnings": audit.warnings(),
                "hosts": audit.hosts(),
                "requests": requests,
                "per_second": per_second,
            });
            tell(tell_to, user, &json.to_string())
        }
    })
}

/// Tells each request that a run would send to a sound target, as one JSON object, secrets masked: `check`, `as`,
/// `purpose`, `method`, `url`, `headers`, `body`. Nothing is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_audit_plan(
    audit: *const Audit,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell`.
        unsafe {
            let audit = &shared(audit, "the audit")?.inner;
            tell_to.ok_or_else(|| Fault::null("the callback"))?;
            audit.plan().iter().try_for_each(|planned| tell(tell_to, user, &planned.json_line()))
        }
    })
}

/// Runs the checks on this thread, which waits for answers, within the description's own bounds. It connects to
/// the hosts that the description names, and to no other. `finished`, `counts` and `report` are as those of
/// smesec_tests_run(), each may be NULL; a finding's severity, evidence and exchanges stand in the report. A finding
/// is no failure of the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_audit_run(
    audit: *const Audit,
    finished: TextFn,
    user: *mut c_void,
    counts: *mut TestCounts,
    report: *mut *mut Report,
) -> Status {
    guard(|| {
        // SAFETY: see `shared`; the rest is null or a place, as the header asks.
        unsafe {
            let Audit { inner: audit, name } = shared(audit, "the audit")?;
            let mut run = Run::new(finished, user, counts, report)?;
            let (most, rate, _) = audit.limits();
            let network = Network::builder().at_most(most).per_second(rate);
            let network = network.allow_hosts(audit.hosts(), audit.allows_public_hosts()).build();
            let found = audit.run(&network, &mut Watching(&mut run));
            run.end_with(found, name, Secrets::default())
        }
    })
}

struct Watching<'r>(&'r mut Run);

impl Observer for Watching<'_> {
    fn finished(&mut self, result: &TestResult) {
        // The audit has masked what it tells.
        self.0.show(result, &Secrets::default());
    }
}

/// Frees an audit; not while it runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_audit_free(audit: *mut Audit) {
    // SAFETY: see `take_back`.
    unsafe { take_back(audit) }
}
