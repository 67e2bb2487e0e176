//! Rules over logs and their builder.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Status, TextFn, guard, hand_out, shared, take_back, tell, unique,
};
use smesec_core::siem;
use std::ffi::c_void;
use std::sync::Arc;

/// Collects Sigma rules, correlations and filters, and what changes them. One thread at a time.
#[derive(Debug)]
pub struct SiemRulesBuilder {
    /// Empty once the rules were built.
    inner: Option<siem::RuleSetBuilder>,
}

/// Compiled rules over logs: immutable; any number of threads may use them at once, for any number of engines.
#[derive(Debug)]
pub struct SiemRules {
    pub(crate) inner: Arc<siem::RuleSet>,
}

/// A builder without rules.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_builder_new(out: *mut *mut SiemRulesBuilder) -> Status {
    // SAFETY: see `hand_out`.
    guard(|| unsafe {
        hand_out(out, || Ok(SiemRulesBuilder { inner: Some(siem::RuleSet::builder()) }))
    })
}

unsafe fn with(
    builder: *mut SiemRulesBuilder,
    change: impl FnOnce(&mut siem::RuleSetBuilder) -> Result<(), Fault>,
) -> Status {
    guard(|| {
        // SAFETY: see `unique`.
        let builder = unsafe { unique(builder, "the builder") }?;
        change(builder.inner.as_mut().ok_or_else(|| Fault::phase("builder", "after `build`"))?)
    })
}

/// Adds a file, or all .yml and .yaml files below a folder in the order of their names. A path that cannot be
/// read makes `build` fail.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_builder_path(
    builder: *mut SiemRulesBuilder,
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

/// Adds the documents of a text; `origin` is the file name that the report shows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_builder_text(
    builder: *mut SiemRulesBuilder,
    origin: Bytes,
    text: Bytes,
) -> Status {
    // SAFETY: see `with` and `Bytes`.
    unsafe {
        with(builder, |inner| {
            inner.text(origin.text("the origin")?, text.text("the text")?);
            Ok(())
        })
    }
}

/// Adds the library's own rules.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_builder_builtin(
    builder: *mut SiemRulesBuilder,
) -> Status {
    // SAFETY: see `with`.
    unsafe {
        with(builder, |inner| {
            inner.builtin();
            Ok(())
        })
    }
}

/// Adds values for placeholders such as `%admins%`: a YAML mapping from names to values or lists of values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_builder_placeholders(
    builder: *mut SiemRulesBuilder,
    origin: Bytes,
    text: Bytes,
) -> Status {
    // SAFETY: see `with` and `Bytes`.
    unsafe {
        with(builder, |inner| {
            inner.placeholders(origin.text("the origin")?, text.text("the text")?);
            Ok(())
        })
    }
}

/// Adds a pipeline in pySigma's form; pipelines change rules by ascending priority.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_builder_pipeline(
    builder: *mut SiemRulesBuilder,
    origin: Bytes,
    text: Bytes,
) -> Status {
    // SAFETY: see `with` and `Bytes`.
    unsafe {
        with(builder, |inner| {
            inner.pipeline(origin.text("the origin")?, text.text("the text")?);
            Ok(())
        })
    }
}

/// With true a single refused rule makes `build` fail; false unless set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_builder_strict(
    builder: *mut SiemRulesBuilder,
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
pub unsafe extern "C" fn smesec_siem_rules_builder_build(
    builder: *mut SiemRulesBuilder,
    out: *mut *mut SiemRules,
) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `hand_out`.
        let builder = unsafe { unique(builder, "the builder") }?;
        // SAFETY: as above; a null place must not spend the builder.
        unsafe { unique(out, "the place for the new handle") }?;
        let inner = builder.inner.take().ok_or_else(|| Fault::phase("build", "twice"))?;
        // SAFETY: as above.
        unsafe { hand_out(out, || Ok(SiemRules { inner: Arc::new(inner.build()?) })) }
    })
}

/// Frees a builder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_builder_free(builder: *mut SiemRulesBuilder) {
    // SAFETY: see `take_back`.
    unsafe { take_back(builder) }
}

/// Rules in force, correlations not counted; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_len(rules: *const SiemRules) -> usize {
    // SAFETY: see `shared`.
    unsafe { shared(rules, "the rules") }.map_or(0, |rules| rules.inner.len())
}

/// Tells the load report as one JSON object: `loaded`, and the lists `refused` and `degraded` of
/// `file`, `line`, `column`, `rule`, `why`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_report(
    rules: *const SiemRules,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell`.
        unsafe {
            let rules = shared(rules, "the rules")?;
            let json = serde_json::to_string(rules.inner.report()).unwrap_or_default();
            tell(tell_to, user, &json)
        }
    })
}

/// Frees rules; an engine over them keeps what it needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_siem_rules_free(rules: *mut SiemRules) {
    // SAFETY: see `take_back`.
    unsafe { take_back(rules) }
}
