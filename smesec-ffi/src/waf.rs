//! The firewall.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{Bytes, Fault, Status, check_size, guard, hand_out, shared, slice, take_back};
use crate::rules::RuleSet;
use crate::store::Store;
use smesec_core::time::Timestamp;
use smesec_core::{limits, policy, waf};
use std::sync::Arc;

/// The web application firewall.
#[derive(Debug)]
pub struct Waf {
    pub(crate) inner: waf::Waf,
}

/// Who decides whether matches block.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums, reason = "C knows no other kind")]
pub enum Mode {
    /// The rules' own SecRuleEngine.
    Rules = 0,
    /// Matches block, whatever the rules say.
    Block = 1,
    /// Nothing blocks; findings and events are kept.
    Detect = 2,
    /// Nothing is inspected.
    Off = 3,
}

/// What a block becomes.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums, reason = "C knows no other kind")]
pub enum OnBlock {
    /// What the rule says.
    Deny = 0,
    /// The client goes to the decoy.
    Decoy = 1,
    /// It passes and the event is kept.
    Log = 2,
}

/// What happens when something could not be inspected whole.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums, reason = "C knows no other kind")]
pub enum OnLimit {
    /// It is stopped.
    Closed = 0,
    /// It passes and a finding says so.
    Open = 1,
}

/// Settings of a WAF; all zero but `size` are the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct WafOptions {
    /// sizeof(smesec_waf_options).
    pub size: usize,
    /// A smesec_mode.
    pub mode: u32,
    /// A smesec_on_block.
    pub on_block: u32,
    /// A smesec_on_limit.
    pub on_limit: u32,
    /// The upper half of every event id; give each process its own.
    pub id_seed: u64,
    /// Values looked at by rules in one transaction; 0 for the default.
    pub steps: u64,
    /// Where persistent collections live; NULL for the process's own memory. It may be freed before the WAF.
    pub store: *const Store,
    /// Whether events carry the headers of request and response, secrets masked.
    pub record_headers: bool,
}

/// Takes some rules away from some requests, for a while. Empty texts and zeros do not narrow it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Exception {
    /// sizeof(smesec_exception).
    pub size: usize,
    /// The first rule id; 0 for all rules.
    pub first_rule: u64,
    /// The last rule id, inclusive; 0 for `first_rule`.
    pub last_rule: u64,
    /// A tag that the rules carry.
    pub tag: Bytes,
    /// Only this target is taken away, such as `ARGS:comment`.
    pub target: Bytes,
    /// Only for paths that begin with this.
    pub path_prefix: Bytes,
    /// Why it was made.
    pub reason: Bytes,
    /// From when on it no longer holds, in nanoseconds since 1970 UTC; 0 for never.
    pub expires_unix_nanos: i64,
}

impl Exception {
    unsafe fn read(&self) -> Result<policy::Exception, Fault> {
        check_size(self.size, size_of::<Self>(), "smesec_exception")?;
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let rules = match (self.first_rule, self.last_rule) {
            (0, 0) => Vec::new(),
            (first, 0) => vec![(first, first)],
            (first, last) if first <= last => vec![(first, last)],
            (first, last) => {
                return Err(Fault::config(format!("the rules `{first}-{last}` are none")));
            }
        };
        // SAFETY: see `Bytes`.
        unsafe {
            let target = some(self.target.text("the target")?);
            if let Some(target) = &target {
                waf::check_target(target).map_err(|e| Fault::config(e.to_string()))?;
            }
            Ok(policy::Exception {
                rules,
                tag: some(self.tag.text("the tag")?),
                target,
                path_prefix: self.path_prefix.text("the path prefix")?.to_owned(),
                reason: self.reason.text("the reason")?.to_owned(),
                expires: (self.expires_unix_nanos != 0)
                    .then(|| Timestamp::from_unix_nanos(self.expires_unix_nanos)),
            })
        }
    }
}

/// A WAF over a rule set; `options` may be NULL for the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_waf_new(
    ruleset: *const RuleSet,
    options: *const WafOptions,
    out: *mut *mut Waf,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `hand_out`.
        unsafe {
            let ruleset = shared(ruleset, "the rule set")?;
            let mut builder = waf::Waf::builder(Arc::clone(&ruleset.inner));
            if let Some(options) = options.as_ref() {
                builder = configure(builder, options)?;
            }
            hand_out(out, || Ok(Waf { inner: builder.build() }))
        }
    })
}

unsafe fn configure(
    builder: waf::WafBuilder,
    options: &WafOptions,
) -> Result<waf::WafBuilder, Fault> {
    check_size(options.size, size_of::<WafOptions>(), "smesec_waf_options")?;
    let unknown =
        |what: &str, n: u32| Fault::config(format!("{what} `{n}` is unknown; see the header"));
    let mode = mode(options.mode)?;
    let on_block = match options.on_block {
        0 => policy::OnBlock::Deny,
        1 => policy::OnBlock::Decoy,
        2 => policy::OnBlock::Log,
        n => return Err(unknown("on_block", n)),
    };
    let on_limit = match options.on_limit {
        0 => limits::OnLimit::Closed,
        1 => limits::OnLimit::Open,
        n => return Err(unknown("on_limit", n)),
    };
    let mut builder =
        builder.mode(mode).on_block(on_block).on_limit(on_limit).id_seed(options.id_seed);
    // SAFETY: null or a store, as the header asks.
    if let Some(store) = unsafe { options.store.as_ref() } {
        builder = builder.store(Arc::clone(&store.inner));
    }
    let builder = builder.record_headers(options.record_headers);
    Ok(if options.steps == 0 { builder } else { builder.steps(options.steps) })
}

fn mode(number: u32) -> Result<waf::Mode, Fault> {
    match number {
        0 => Ok(waf::Mode::Rules),
        1 => Ok(waf::Mode::Block),
        2 => Ok(waf::Mode::Detect),
        3 => Ok(waf::Mode::Off),
        n => Err(Fault::config(format!("mode `{n}` is unknown; see the header"))),
    }
}

/// Another host over the same compiled rules, with a smesec_mode and exceptions of its own (not those of
/// `waf`): kilobytes, and reloads reach both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_waf_overlay(
    waf: *const Waf,
    mode_number: u32,
    exceptions: *const Exception,
    count: usize,
    out: *mut *mut Waf,
) -> Status {
    // SAFETY: see `shared`, `slice`, `Exception::read` and `hand_out`.
    guard(|| unsafe {
        let waf = shared(waf, "the WAF")?;
        let mode = mode(mode_number)?;
        let exceptions = slice(exceptions, count, "the exceptions")?.iter();
        let exceptions = exceptions.map(|e| e.read()).collect::<Result<Vec<_>, _>>()?;
        hand_out(out, || Ok(Waf { inner: waf.inner.with_mode(mode).with_exceptions(exceptions) }))
    })
}

/// Puts other rules in force. What runs finishes on its own rules. `generation` may be NULL; it gets
/// the new generation's number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_waf_reload(
    waf: *const Waf,
    ruleset: *const RuleSet,
    generation: *mut u64,
) -> Status {
    guard(|| {
        // SAFETY: see `shared`.
        unsafe {
            let waf = shared(waf, "the WAF")?;
            let number = waf.inner.reload(Arc::clone(&shared(ruleset, "the rule set")?.inner));
            if let Some(place) = generation.as_mut() {
                *place = number;
            }
        }
        Ok(())
    })
}

/// Frees a WAF; transactions that run keep what they need.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_waf_free(waf: *mut Waf) {
    // SAFETY: see `take_back`.
    unsafe { take_back(waf) }
}
