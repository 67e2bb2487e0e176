//! The firewall.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{Fault, Status, check_size, guard, hand_out, shared, take_back};
use crate::rules::RuleSet;
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

fn configure(builder: waf::WafBuilder, options: &WafOptions) -> Result<waf::WafBuilder, Fault> {
    check_size(options.size, size_of::<WafOptions>(), "smesec_waf_options")?;
    let unknown =
        |what: &str, n: u32| Fault::config(format!("{what} `{n}` is unknown; see the header"));
    let mode = match options.mode {
        0 => waf::Mode::Rules,
        1 => waf::Mode::Block,
        2 => waf::Mode::Detect,
        3 => waf::Mode::Off,
        n => return Err(unknown("mode", n)),
    };
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
    let builder = builder.mode(mode).on_block(on_block).on_limit(on_limit).id_seed(options.id_seed);
    Ok(if options.steps == 0 { builder } else { builder.steps(options.steps) })
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
