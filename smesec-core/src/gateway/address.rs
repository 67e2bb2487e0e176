//! Networks, and a filter over them.

use crate::event::{Event, EventId, Finding, RuleInfo, Source};
use crate::filter::{Filter, Outcome, Transaction};
use crate::http::{Connection, RequestHead, ResponseHead};
use crate::intake::Intake;
use crate::sink::Sink;
use crate::verdict::{Action, Body, Phase, Severity, Step, Verdict};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

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
    rule: Arc<RuleInfo>,
}

impl AddressList {
    /// Turns `deny` away, but for `allow`.
    pub fn new(allow: Vec<Network>, deny: Vec<Network>) -> Self {
        Self { allow, deny, rule: super::record::rule("smesec-address-list", "address list") }
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
        let found = self.denies(address).then(|| {
            let mut finding = Finding::new(
                Arc::clone(&self.rule),
                Severity::Low,
                format!("{address} is on the list of addresses that are turned away"),
            );
            "REMOTE_ADDR".clone_into(&mut finding.part);
            finding
        });
        let verdict = if found.is_some() {
            Verdict::new(Action::Deny { status: 403 }, 0)
        } else {
            Verdict::PASS
        };
        Box::new(Decided::new(connection, verdict, found))
    }
}

/// A transaction whose verdict stood when it began.
pub(super) struct Decided {
    verdict: Verdict,
    findings: Vec<Finding>,
    connection: Connection,
}

impl Decided {
    pub(super) fn new(connection: &Connection, verdict: Verdict, found: Option<Finding>) -> Self {
        Self { verdict, findings: found.into_iter().collect(), connection: *connection }
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
        // The gateway gives every event that passes it an id of its own.
        let mut event = Event::new(EventId::default(), Source::Host, outcome.now);
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
}
