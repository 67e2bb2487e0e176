//! Rule sets and their builder.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Status, TextFn, check_size, guard, hand_out, shared, take_back, tell, unique,
};
use smesec_core::waf;
use std::ffi::c_void;
use std::sync::Arc;

/// Collects rules in the order in which they are to run.
#[derive(Debug)]
pub struct RuleSetBuilder {
    /// Empty once the rule set was built.
    inner: Option<waf::RuleSetBuilder>,
}

/// A compiled rule set: immutable, for any number of threads and hosts.
#[derive(Debug)]
pub struct RuleSet {
    pub(crate) inner: Arc<waf::RuleSet>,
}

/// A builder without rules.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_builder_new(out: *mut *mut RuleSetBuilder) -> Status {
    // SAFETY: see `hand_out`.
    guard(|| unsafe {
        hand_out(out, || Ok(RuleSetBuilder { inner: Some(waf::RuleSet::builder()) }))
    })
}

unsafe fn with(
    builder: *mut RuleSetBuilder,
    change: impl FnOnce(&mut waf::RuleSetBuilder) -> Result<(), Fault>,
) -> Status {
    guard(|| {
        // SAFETY: see `unique`.
        let builder = unsafe { unique(builder, "the builder") }?;
        change(builder.inner.as_mut().ok_or_else(|| Fault::phase("builder", "after `build`"))?)
    })
}

/// Adds a rule file in SecLang with what it includes. What is wrong in it stands in the report.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_builder_path(
    builder: *mut RuleSetBuilder,
    path: Bytes,
) -> Status {
    // SAFETY: see `with` and `Bytes`.
    unsafe {
        with(builder, |inner| {
            inner.path(path.text("the path")?);
            Ok(())
        })
    }
}

/// Adds rules from memory; `origin` is the file name that the report shows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_builder_text(
    builder: *mut RuleSetBuilder,
    origin: Bytes,
    text: Bytes,
) -> Status {
    // SAFETY: see `with` and `Bytes`.
    unsafe {
        with(builder, |inner| {
            inner.text(origin.text("the origin")?, text.get()?);
            Ok(())
        })
    }
}

/// Adds the library's own rule pack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_builder_builtin(builder: *mut RuleSetBuilder) -> Status {
    // SAFETY: see `with`.
    unsafe {
        with(builder, |inner| {
            inner.builtin();
            Ok(())
        })
    }
}

/// Sets the paranoia level of the Core Rule Set and of the own pack, 1 to 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_builder_paranoia(
    builder: *mut RuleSetBuilder,
    level: u8,
) -> Status {
    // SAFETY: see `with`.
    unsafe {
        with(builder, |inner| {
            inner.paranoia(level);
            Ok(())
        })
    }
}

/// With true a single refused rule makes `build` fail; false unless set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_builder_strict(
    builder: *mut RuleSetBuilder,
    strict: bool,
) -> Status {
    // SAFETY: see `with`.
    unsafe {
        with(builder, |inner| {
            inner.strict(strict);
            Ok(())
        })
    }
}

/// Compiles. The builder is spent, whatever comes of it, and still has to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_builder_build(
    builder: *mut RuleSetBuilder,
    out: *mut *mut RuleSet,
) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `hand_out`.
        let builder = unsafe { unique(builder, "the builder") }?;
        // SAFETY: as above; a null place must not spend the builder.
        unsafe { unique(out, "the place for the new handle") }?;
        let inner = builder.inner.take().ok_or_else(|| Fault::phase("build", "twice"))?;
        // SAFETY: as above.
        unsafe { hand_out(out, || Ok(RuleSet { inner: Arc::new(inner.build()?) })) }
    })
}

/// Frees a builder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_builder_free(builder: *mut RuleSetBuilder) {
    // SAFETY: see `take_back`.
    unsafe { take_back(builder) }
}

/// Rules in force, 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_len(ruleset: *const RuleSet) -> usize {
    // SAFETY: see `shared`.
    unsafe { shared(ruleset, "the rule set") }.map_or(0, |ruleset| ruleset.inner.len())
}

/// Tells the load report as one JSON object: `loaded`, and the lists `refused` and `degraded` of
/// `file`, `line`, `column`, `rule`, `why`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_report(
    ruleset: *const RuleSet,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell`.
        unsafe {
            let ruleset = shared(ruleset, "the rule set")?;
            let json = serde_json::to_string(ruleset.inner.report()).unwrap_or_default();
            tell(tell_to, user, &json)
        }
    })
}

/// A line of the load report. Its texts live as long as the rule set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Problem {
    /// sizeof(smesec_problem).
    pub size: usize,
    /// The file, or the origin of a text.
    pub file: Bytes,
    /// The rule's id; empty where it could not be read.
    pub rule: Bytes,
    /// What was found and what to do.
    pub why: Bytes,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// Whether the rule is in force, but does less than it says; else it is not in force.
    pub degraded: bool,
}

/// How many rules are not in force, and how many do less than they say: the latter come after the
/// former. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_problem_count(ruleset: *const RuleSet) -> usize {
    // SAFETY: see `shared`.
    unsafe { shared(ruleset, "the rule set") }.map_or(0, |ruleset| {
        let report = ruleset.inner.report();
        report.refused.len() + report.degraded.len()
    })
}

/// Fills `out` with problem `n` from 0. Set `size` before the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_problem(
    ruleset: *const RuleSet,
    n: usize,
    out: *mut Problem,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `unique`.
        let (ruleset, out) =
            unsafe { (shared(ruleset, "the rule set")?, unique(out, "the problem")?) };
        check_size(out.size, size_of::<Problem>(), "smesec_problem")?;
        let report = ruleset.inner.report();
        let refused = report.refused.len();
        let found = report.refused.iter().chain(&report.degraded).nth(n);
        let found = found.ok_or_else(|| Fault::config(format!("there is no problem {n}")))?;
        *out = Problem {
            size: out.size,
            file: Bytes::of(found.file.as_bytes()),
            rule: Bytes::of(found.rule.as_deref().unwrap_or_default().as_bytes()),
            why: Bytes::of(found.why.as_bytes()),
            line: found.line,
            column: found.column,
            degraded: n >= refused,
        };
        Ok(())
    })
}

/// Frees a rule set; a WAF over it keeps what it needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_ruleset_free(ruleset: *mut RuleSet) {
    // SAFETY: see `take_back`.
    unsafe { take_back(ruleset) }
}
