//! Networks, and a filter over them.

use crate::event::{Event, EventId, Finding, HTTP_ACTIVITY, RuleInfo, Source};
use crate::filter::{Filter, Outcome, Transaction};
use crate::http::{Connection, RequestHead, ResponseHead};
use crate::intake::Intake;
use crate::sink::Sink;
use crate::verdict::{Action, Body, Phase, Severity, Step, Verdict};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An address or a network in CIDR form, IPv4 or IPv6. An IPv4 address mapped into IPv6 counts as
/// IPv4.
///
/// ```
/// use smesec_core::gateway::Network;
/// let network: Network = "10.1.0.0/16".parse()?;
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!(!network.contains("10.2.0.1".parse().unwrap()));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    bits: u128,
    mask: u128,
}

/// All addresses in one space: IPv4 as mapped IPv6.
fn bits(address: IpAddr) -> u128 {
    let wide = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    Ipv6Addr::to_bits(wide)
}

impl Network {
    /// Whether the address lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.bits
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no network; write `192.0.2.7`, `10.0.0.0/8` or `2001:db8::/32`")
        };
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let (widest, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length: u32 = match length {
            Some(length) => length.trim().parse().map_err(|_| wrong())?,
            None => widest,
        };
        if length > widest {
            return Err(wrong());
        }
        let mask = u128::MAX.checked_shl(128 - offset - length).unwrap_or(0);
        Ok(Self { bits: bits(address) & mask, mask })
    }
}

/// A [`Filter`] that turns networks away. What is allowed explicitly is never turned away here.
#[derive(Clone, Debug)]
pub struct AddressList {
    allow: Vec<Network>,
    deny: Vec<Network>,
    signature: Arc<Signature>,
}

impl AddressList {
    /// Turns `deny` away, but for `allow`.
    pub fn new(allow: Vec<Network>, deny: Vec<Network>) -> Self {
        Self { allow, deny, signature: Signature::new("smesec-address-list", "address list") }
    }

    /// Whether the address is on the list of the allowed.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(address))
    }

    /// Whether the address is turned away.
    pub fn denies(&self, address: IpAddr) -> bool {
        self.deny.iter().any(|network| network.contains(address)) && !self.allows(address)
    }
}

impl Filter for AddressList {
    fn begin(&self, connection: &Connection, _: Option<Box<dyn Intake>>) -> Box<dyn Transaction> {
        let address = connection.client.ip();
        Box::new(if self.denies(address) {
            let why = format!("{address} is on the list of addresses that are turned away");
            Decided::against(connection, 403, &self.signature, why)
        } else {
            Decided::pass(connection)
        })
    }
}

/// Under what a filter of this room reports: its rule, and ids that no other filter gives.
#[derive(Debug)]
pub(super) struct Signature {
    rule: Arc<RuleInfo>,
    seed: u64,
    counter: AtomicU64,
}

impl Signature {
    pub(super) fn new(id: &str, name: &str) -> Arc<Self> {
        let rule = RuleInfo { id: id.to_owned(), name: name.to_owned(), ..RuleInfo::default() };
        let seed = RandomState::new().hash_one(id);
        Arc::new(Self { rule: Arc::new(rule), seed, counter: AtomicU64::new(1) })
    }
}

/// A transaction whose verdict stood when it began.
pub(super) struct Decided {
    verdict: Verdict,
    id: EventId,
    findings: Vec<Finding>,
    connection: Connection,
}

impl Decided {
    pub(super) fn pass(connection: &Connection) -> Self {
        Self {
            verdict: Verdict::PASS,
            id: EventId::default(),
            findings: Vec::new(),
            connection: *connection,
        }
    }

    /// Turns the client away with `status`.
    pub(super) fn against(
        connection: &Connection,
        status: u16,
        signature: &Signature,
        why: String,
    ) -> Self {
        let mut finding = Finding::new(Arc::clone(&signature.rule), Severity::Low, why);
        "REMOTE_ADDR".clone_into(&mut finding.part);
        Self {
            verdict: Verdict::new(Action::Deny { status }, 0),
            id: EventId::new(signature.seed, signature.counter.fetch_add(1, Ordering::Relaxed)),
            findings: vec![finding],
            connection: *connection,
        }
    }
}

impl Transaction for Decided {
    fn wants(&self, _: Phase) -> Body {
        Body::Skip
    }

    fn request_head(&mut self, _: &RequestHead<'_>) -> Step {
        Step::Done(self.verdict)
    }

    fn request_body(&mut self, _: &[u8], _: bool) -> Step {
        Step::Done(self.verdict)
    }

    fn response_head(&mut self, _: &ResponseHead<'_>) -> Step {
        Step::Done(self.verdict)
    }

    fn response_body(&mut self, _: &[u8], _: bool) -> Step {
        Step::Done(self.verdict)
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn finish(self: Box<Self>, outcome: Outcome, sink: &dyn Sink) {
        let Some(first) = self.findings.first() else { return };
        let mut event = Event::new(self.id, Source::Host, outcome.now);
        event.class_uid = HTTP_ACTIVITY;
        event.message.clone_from(&first.message);
        event.severity_id = first.severity.ocsf_id();
        event.action = self.verdict.action();
        event.src_endpoint = Some(self.connection.client);
        event.dst_endpoint = Some(self.connection.server);
        event.findings = self.findings;
        sink.accept(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_every_length() {
        let within = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(within("0.0.0.0/0", "203.0.113.9"));
        assert!(!within("0.0.0.0/0", "2001:db8::1"), "IPv4's whole space is not IPv6's");
        assert!(within("::/0", "203.0.113.9"));
        assert!(within("192.0.2.7", "192.0.2.7") && !within("192.0.2.7", "192.0.2.8"));
        assert!(within("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!within("2001:db8::/33", "2001:db8:8000::1"));
        assert!(within("10.1.2.3/8", "10.200.0.1"), "bits below the mask do not count");
        for bad in
            ["", "10.0.0.0/", "10.0.0.0/33", "::/129", "shop.example", "10.0.0/8", "1.2.3.4/-1"]
        {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_allowed_are_not_turned_away() {
        let list = AddressList::new(
            vec!["10.0.0.1".parse().unwrap()],
            vec!["10.0.0.0/8".parse().unwrap()],
        );
        assert!(list.denies("10.9.9.9".parse().unwrap()));
        assert!(!list.denies("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn events_are_told_apart_outside_of_the_gateway_too() {
        let connection = Connection {
            client: "10.9.9.9:4711".parse().unwrap(),
            server: "192.0.2.1:80".parse().unwrap(),
            now: crate::time::Timestamp::from_unix_seconds(1),
        };
        let sink = crate::sink::Queue::new(10);
        let list = || AddressList::new(Vec::new(), vec!["10.0.0.0/8".parse().unwrap()]);
        let limit =
            crate::gateway::RateLimit::new(crate::gateway::Rate::new(0.001, Some(1)).unwrap());
        let (one, other) = (list(), list());
        let filters: [&dyn Filter; 5] = [&one, &one, &other, &limit, &limit];
        for filter in filters {
            filter.begin(&connection, None).finish(Outcome::default(), &sink);
        }
        let events = sink.drain();
        assert_eq!(events.len(), 4, "the first that the limit sees passes");
        assert!(events.iter().all(|event| event.class_uid == HTTP_ACTIVITY));
        let ids: std::collections::HashSet<_> = events.iter().map(|event| event.id).collect();
        assert!(ids.len() == 4 && !ids.contains(&EventId::default()), "{ids:?}");
    }
}
