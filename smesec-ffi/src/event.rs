//! Findings and events.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Status, TextFn, check_size, guard, hand_out, shared, take_back, tell, unique,
};
use crate::http::{Verdict, time};
use crate::rules::RuleSet;
use smesec_core::event::{self, EventId, RuleInfo, Source};
use smesec_core::scanner::{ScanReport, Skipped};
use smesec_core::verdict::{Severity, Step};
use smesec_core::waf::audit::ModSecurityJson;
use std::ffi::c_void;
use std::sync::Arc;

/// Findings that one callback may add; more are dropped.
const MOST_FINDINGS: usize = 1_000;

/// One thing that a rule recognised.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Finding {
    /// sizeof(smesec_finding).
    pub size: usize,
    /// The rule's id.
    pub rule_id: Bytes,
    /// The rule's title.
    pub rule_name: Bytes,
    /// Where it was found, such as `ARGS:q`.
    pub part: Bytes,
    /// What was found; mask secrets.
    pub evidence: Bytes,
    /// One line for a person.
    pub message: Bytes,
    /// 1 informational, 2 low, 3 medium, 4 high, 5 critical.
    pub severity: u32,
}

impl Finding {
    unsafe fn read(place: *const Self) -> Result<event::Finding, Fault> {
        // SAFETY: see `shared` and `Bytes`.
        unsafe {
            let finding = shared(place, "the finding")?;
            check_size(finding.size, size_of::<Self>(), "smesec_finding")?;
            let rule = RuleInfo {
                id: finding.rule_id.lossy()?,
                name: finding.rule_name.lossy()?,
                ..RuleInfo::default()
            };
            let message = finding.message.lossy()?;
            let mut made =
                event::Finding::new(Arc::new(rule), severity(finding.severity)?, message);
            made.part = finding.part.lossy()?;
            made.evidence = finding.evidence.lossy()?;
            Ok(made)
        }
    }

    /// Shows finding `n` in the caller's struct.
    pub(crate) unsafe fn show(
        findings: &[event::Finding],
        n: usize,
        out: *mut Self,
    ) -> Result<(), Fault> {
        // SAFETY: see `unique`.
        let out = unsafe { unique(out, "the finding") }?;
        check_size(out.size, size_of::<Self>(), "smesec_finding")?;
        let missing = || Fault::config(format!("no finding {n}; there are {}", findings.len()));
        let finding = findings.get(n).ok_or_else(missing)?;
        *out = Self {
            size: out.size,
            rule_id: Bytes::of(finding.rule.id.as_bytes()),
            rule_name: Bytes::of(finding.rule.name.as_bytes()),
            part: Bytes::of(finding.part.as_bytes()),
            evidence: Bytes::of(finding.evidence.as_bytes()),
            message: Bytes::of(finding.message.as_bytes()),
            severity: finding.severity.ocsf_id().into(),
        };
        Ok(())
    }
}

fn severity(number: u32) -> Result<Severity, Fault> {
    match number {
        0 | 1 => Ok(Severity::Info),
        2 => Ok(Severity::Low),
        3 => Ok(Severity::Medium),
        4 => Ok(Severity::High),
        5 => Ok(Severity::Critical),
        n => Err(Fault::config(format!("severity `{n}` is unknown; it goes from 1 to 5"))),
    }
}

/// Where a callback puts what it found; valid during that callback only.
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) found: Vec<event::Finding>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Findings {
    pub(crate) fn into_report(self) -> ScanReport {
        ScanReport::new(self.found, self.skipped)
    }
}

/// Adds a finding; beyond 1,000 in one callback they are dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_findings_add(
    findings: *mut Findings,
    finding: *const Finding,
) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `Finding::read`.
        unsafe {
            let findings = unique(findings, "the findings")?;
            let finding = Finding::read(finding)?;
            if findings.found.len() < MOST_FINDINGS {
                findings.found.push(finding);
            }
        }
        Ok(())
    })
}

/// For scanners: says that `member` (empty for the object itself) was not inspected, and why. An object with
/// such a note is never called clean.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_findings_skip(
    findings: *mut Findings,
    member: Bytes,
    why: Bytes,
) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `Bytes`.
        unsafe {
            let findings = unique(findings, "the findings")?;
            let skipped = Skipped { member: member.lossy()?, why: why.lossy()? };
            if findings.skipped.len() < MOST_FINDINGS {
                findings.skipped.push(skipped);
            }
        }
        Ok(())
    })
}

/// One record of something that happened.
#[derive(Debug)]
pub struct Event {
    pub(crate) inner: event::Event,
}

/// The fields of an event that C hosts make and read; the JSON form has them all.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct EventFields {
    /// sizeof(smesec_event_fields).
    pub size: usize,
    /// When it happened, in nanoseconds since 1970 UTC; 0 lets the library ask the system's clock.
    pub unix_nanos: i64,
    /// The upper half of its id: the host's seed.
    pub id_seed: u64,
    /// The lower half: the host's counter.
    pub id_counter: u64,
    /// One line for a person.
    pub message: Bytes,
    /// The user; empty where unknown.
    pub user: Bytes,
    /// The device; empty where unknown.
    pub device: Bytes,
    /// What it is about, where neither user nor device says it.
    pub entity: Bytes,
    /// The transaction, flow or scan that it belongs to.
    pub transaction_id: Bytes,
    /// 1 informational, 2 low, 3 medium, 4 high, 5 critical.
    pub severity: u32,
    /// What was done: a smesec_action.
    pub action: u32,
}

/// An event of the host's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_event_new(
    fields: *const EventFields,
    out: *mut *mut Event,
) -> Status {
    // SAFETY: see `shared`, `Bytes` and `hand_out`.
    guard(|| unsafe {
        let fields = shared(fields, "the fields")?;
        check_size(fields.size, size_of::<EventFields>(), "smesec_event_fields")?;
        let id = EventId::new(fields.id_seed, fields.id_counter);
        let mut inner = event::Event::new(id, Source::Host, time(fields.unix_nanos));
        let verdict = Verdict { action: fields.action, ..Verdict::empty() };
        let Some(Step::Done(verdict)) = verdict.read() else {
            let n = fields.action;
            return Err(Fault::config(format!("action `{n}` is unknown; see the header")));
        };
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        inner.action = verdict.action();
        inner.severity_id = severity(fields.severity)?.ocsf_id();
        inner.message = fields.message.lossy()?;
        inner.user = some(fields.user.lossy()?);
        inner.device = some(fields.device.lossy()?);
        inner.entity = some(fields.entity.lossy()?);
        inner.transaction_id = some(fields.transaction_id.lossy()?);
        hand_out(out, || Ok(Event { inner }))
    })
}

/// Adds a finding to an event of the host's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_event_add_finding(
    event: *mut Event,
    finding: *const Finding,
) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `Finding::read`.
        unsafe {
            let event = unique(event, "the event")?;
            event.inner.findings.push(Finding::read(finding)?);
        }
        Ok(())
    })
}

/// Fills `out`; its texts live as long as the event. Set `size` before the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_event_fields_of(
    event: *const Event,
    out: *mut EventFields,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `unique`.
        let (event, out) = unsafe { (shared(event, "the event")?, unique(out, "the fields")?) };
        check_size(out.size, size_of::<EventFields>(), "smesec_event_fields")?;
        let event = &event.inner;
        let some =
            |text: &Option<String>| Bytes::of(text.as_deref().unwrap_or_default().as_bytes());
        let id = event.id.as_u128();
        let half = |n: u128| u64::try_from(n & u128::from(u64::MAX)).unwrap_or_default();
        let mut verdict = Verdict::empty();
        verdict.answer(Step::Done(smesec_core::Verdict::new(event.action, 0)));
        *out = EventFields {
            size: out.size,
            unix_nanos: event.time.unix_nanos(),
            id_seed: half(id >> 64),
            id_counter: half(id),
            message: Bytes::of(event.message.as_bytes()),
            user: some(&event.user),
            device: some(&event.device),
            entity: some(&event.entity),
            transaction_id: some(&event.transaction_id),
            severity: event.severity_id.into(),
            action: verdict.action,
        };
        Ok(())
    })
}

/// How many findings an event has, 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_event_finding_count(event: *const Event) -> usize {
    // SAFETY: see `shared`.
    unsafe { shared(event, "the event") }.map_or(0, |event| event.inner.findings.len())
}

/// Fills `out` with finding `n` from 0; its texts live as long as the event. Set `size` before the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_event_finding(
    event: *const Event,
    n: usize,
    out: *mut Finding,
) -> Status {
    // SAFETY: see `shared` and `Finding::show`.
    guard(|| unsafe { Finding::show(&shared(event, "the event")?.inner.findings, n, out) })
}

/// Tells an event as one JSON object (form v1).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_event_json(
    event: *const Event,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    // SAFETY: see `shared` and `tell`.
    guard(|| unsafe { tell(tell_to, user, &shared(event, "the event")?.inner.to_json()) })
}

/// Tells an event of the firewall as a line of ModSecurity's JSON audit log, for tools that read that. Headers
/// are there where the WAF records them. `ruleset` is the one that was in force.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_event_modsecurity_json(
    event: *const Event,
    ruleset: *const RuleSet,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    // SAFETY: see `shared` and `tell`.
    guard(|| unsafe {
        let (event, rules) = (shared(event, "the event")?, shared(ruleset, "the rule set")?);
        tell(tell_to, user, &ModSecurityJson::new(&event.inner, &rules.inner).to_json())
    })
}

/// Frees an event that smesec_event_new() made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_event_free(event: *mut Event) {
    // SAFETY: see `take_back`.
    unsafe { take_back(event) }
}
