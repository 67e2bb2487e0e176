//! How much an alarm matters: asset × priority × reliability / 25.
//!
//! The formula, its ranges (asset 0 to 5, priority 0 to 5, reliability 0 to 10, rounded down to 0 to
//! 10) and that a risk of 1 makes an alarm (1 low, 2 medium, 3 and more high) are OSSIM's, from the
//! public documentation of USM Appliance ("Alarms List — Fields", "Alarm Management"). Which asset
//! counts where both ends have a value is not said there; here it is the larger one.

use super::correlation::{Alarm, AlarmKind};
use crate::decode::yaml::{Limits, Node, documents};
use crate::error::{ConfigError, RuleError};
use crate::verdict::Severity;
use std::collections::HashMap;
use std::net::IpAddr;

/// The risk of an event, 0 to 10.
///
/// ```
/// # use smesec_core::siem::risk::risk;
/// assert_eq!(risk(3, 5, 4), 2, "2.4, rounded down");
/// assert_eq!(risk(5, 5, 10), 10);
/// ```
pub fn risk(asset: u8, priority: u8, reliability: u8) -> u8 {
    let product =
        u16::from(asset.min(5)) * u16::from(priority.min(5)) * u16::from(reliability.min(10));
    u8::try_from(product / 25).unwrap_or(10)
}

/// A risk as a severity: 0 is worth knowing, 1 low, 2 medium, 3 and more high, 8 and more critical.
pub fn severity(risk: u8) -> Severity {
    match risk {
        0 => Severity::Info,
        1 => Severity::Low,
        2 => Severity::Medium,
        3..=7 => Severity::High,
        _ => Severity::Critical,
    }
}

/// An address range such as `10.0.0.0/8`; one address is a range of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Net {
    address: u128,
    prefix: u8,
    v6: bool,
}

impl Net {
    /// Reads `address` or `address/prefix`; `None` where it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let (address, v6) = bits(address.trim().parse().ok()?);
        let whole = if v6 { 128 } else { 32 };
        let prefix = prefix.unwrap_or(whole);
        (prefix <= whole).then_some(Self { address, prefix: prefix + (128 - whole), v6 })
    }

    /// Whether an address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (address, v6) = bits(ip);
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        v6 == self.v6 && (address ^ self.address) & mask == 0
    }
}

/// An address as bits; IPv4 in IPv6's clothes is IPv4.
fn bits(ip: IpAddr) -> (u128, bool) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), false),
        IpAddr::V6(ip) => (u128::from(ip), true),
    }
}

/// What there is to protect: hosts and networks with their values, and which of them are home.
///
/// ```
/// use smesec_core::siem::risk::Assets;
/// let assets = Assets::new().network("10.0.0.0/8", 2)?.host("10.0.0.5", 5).home("10.0.0.0/8")?;
/// assert_eq!((assets.value("10.0.0.5"), assets.value("10.1.1.1"), assets.value("8.8.8.8")), (5, 2, 0));
/// assert!(assets.is_home("10.1.1.1") && !assets.is_home("8.8.8.8"));
/// # Ok::<(), smesec_core::error::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Assets {
    hosts: HashMap<String, u8>,
    networks: Vec<(Net, u8)>,
    home: Vec<Net>,
}

/// The value of an inventoried host whose value nobody has set: OSSIM's default.
pub const DEFAULT_VALUE: u8 = 2;

impl Assets {
    /// An empty inventory.
    pub fn new() -> Self {
        Self::default()
    }

    /// A host by name or address, with its value, 0 to 5; larger ones are 5.
    pub fn host(mut self, name: &str, value: u8) -> Self {
        self.hosts.insert(name.to_ascii_lowercase(), value.min(5));
        self
    }

    /// A network with its value, 0 to 5; larger ones are 5.
    ///
    /// # Errors
    /// A range that is none.
    pub fn network(mut self, range: &str, value: u8) -> Result<Self, ConfigError> {
        self.networks.push((net(range)?, value.min(5)));
        Ok(self)
    }

    /// A network that is `HOME_NET`.
    ///
    /// # Errors
    /// A range that is none.
    pub fn home(mut self, range: &str) -> Result<Self, ConfigError> {
        self.home.push(net(range)?);
        Ok(self)
    }

    /// Adds an inventory, a YAML mapping of any of `home` (a list of ranges), `hosts` and `networks`
    /// (names, addresses and ranges with their values).
    ///
    /// ```
    /// use smesec_core::siem::risk::Assets;
    /// let text = "home: [10.0.0.0/8]\nhosts: {dc01: 5, 10.0.0.5: 5}\nnetworks: {10.1.0.0/16: 4}\n";
    /// let assets = Assets::new().read(text, "assets.yml")?;
    /// assert_eq!(["DC01", "10.1.2.3", "10.2.2.3"].map(|host| assets.value(host)), [5, 4, 2]);
    /// # Ok::<(), smesec_core::error::RuleError>(())
    /// ```
    ///
    /// # Errors
    /// The first thing that is no YAML, unknown or of the wrong kind, with its place.
    pub fn read(mut self, text: &str, file: &str) -> Result<Self, RuleError> {
        for document in documents(text, file, Limits::default()) {
            let root = document?.root;
            let entries = root.map().ok_or_else(|| {
                wrong(file, &root, "an inventory is a mapping of `home`, `hosts` and `networks`")
            })?;
            for (key, value) in entries {
                self = match key.as_str().unwrap_or_default() {
                    "home" => self.read_home(value, file)?,
                    kind @ ("hosts" | "networks") => self.read_values(kind, value, file)?,
                    other => {
                        let why = format!(
                            "unknown key `{other}`; an inventory has home, hosts and networks"
                        );
                        return Err(wrong(file, key, &why));
                    }
                };
            }
        }
        Ok(self)
    }

    fn read_home(mut self, node: &Node, file: &str) -> Result<Self, RuleError> {
        let one = std::slice::from_ref(node);
        for range in node.list().unwrap_or(one) {
            let text = range.as_str().unwrap_or_default();
            self = self.home(text).map_err(|error| wrong(file, range, &error.to_string()))?;
        }
        Ok(self)
    }

    fn read_values(mut self, kind: &str, node: &Node, file: &str) -> Result<Self, RuleError> {
        let entries = node.map().ok_or_else(|| {
            wrong(file, node, &format!("`{kind}` is a mapping to values, 0 to 5"))
        })?;
        for (key, value) in entries {
            let name = key.as_str().unwrap_or_default();
            let worth = value.as_str().and_then(|text| text.parse().ok()).filter(|n| *n <= 5);
            let worth = worth.ok_or_else(|| {
                wrong(file, value, &format!("the value of `{name}` is no number from 0 to 5"))
            })?;
            self = match kind {
                "hosts" => self.host(name, worth),
                _ => self
                    .network(name, worth)
                    .map_err(|error| wrong(file, key, &error.to_string()))?,
            };
        }
        Ok(self)
    }

    /// A host's value: its own, else that of the narrowest network it lies in, else
    /// [`DEFAULT_VALUE`] at home, and 0 elsewhere: nobody's loss but somebody else's.
    pub fn value(&self, host: &str) -> u8 {
        self.known(host).unwrap_or(0)
    }

    /// The value of a host that the inventory has, by name, by network or as one at home.
    fn known(&self, host: &str) -> Option<u8> {
        if let Some(value) = self.hosts.get(&host.to_ascii_lowercase()) {
            return Some(*value);
        }
        let ip = host.parse::<IpAddr>().ok()?;
        let narrowest = self
            .networks
            .iter()
            .filter(|(net, _)| net.contains(ip))
            .max_by_key(|(net, _)| net.prefix);
        match narrowest {
            Some((_, value)) => Some(*value),
            None => self.is_home(host).then_some(DEFAULT_VALUE),
        }
    }

    /// The networks that are `HOME_NET`.
    pub fn home_net(&self) -> &[Net] {
        &self.home
    }

    /// Whether an address lies in `HOME_NET`; without one none does.
    pub fn is_home(&self, host: &str) -> bool {
        host.parse().is_ok_and(|ip| self.home.iter().any(|net| net.contains(ip)))
    }

    /// Whether nothing is inventoried.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.networks.is_empty() && self.home.is_empty()
    }

    /// Gives a correlation's alarm its risk: the largest value among its group (addresses, hosts),
    /// its severity as priority (informational 1 to critical 5), and `reliability`.
    ///
    /// A group need not name what is at stake: failures by one outside address concern whoever logged
    /// them. Where none of it is inventoried, the asset counts as one whose value nobody has set.
    pub fn weigh(&self, alarm: &mut Alarm, reliability: u8) {
        if alarm.kind != AlarmKind::Correlation {
            return;
        }
        let asset = self.worth(alarm.group.iter().map(|(_, value)| value.as_str()));
        alarm.risk = Some(risk(asset, alarm.severity.ocsf_id(), reliability));
    }

    /// The largest value among these hosts; where none is inventoried, [`DEFAULT_VALUE`].
    pub(crate) fn worth<'h>(&self, hosts: impl Iterator<Item = &'h str>) -> u8 {
        hosts.filter_map(|host| self.known(host)).max().unwrap_or(DEFAULT_VALUE)
    }
}

/// The reliability of a correlation. Sigma knows none; 6 is a fair one: more than one thing had to
/// happen, and the rule was written for it.
pub const CORRELATION_RELIABILITY: u8 = 6;

fn net(range: &str) -> Result<Net, ConfigError> {
    Net::parse(range).ok_or_else(|| {
        let why = format!("`{range}` is no address range; write one such as `10.0.0.0/8`");
        ConfigError::new(why)
    })
}

fn wrong(file: &str, node: &Node, why: &str) -> RuleError {
    RuleError::new(file, node.place.line.max(1), node.place.column.max(1), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_over_its_whole_range() {
        for asset in 0..=5_u8 {
            for priority in 0..=5_u8 {
                for reliability in 0..=10_u8 {
                    let exact =
                        f64::from(asset) * f64::from(priority) * f64::from(reliability) / 25.0;
                    assert!(
                        (f64::from(risk(asset, priority, reliability)) - exact.floor()).abs() < 0.1
                    );
                }
            }
        }
        assert_eq!(risk(255, 255, 255), 10);
        assert_eq!([0, 1, 2, 3, 8].map(severity).map(Severity::ocsf_id), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let holds =
            |range: &str, ip: &str| Net::parse(range).unwrap().contains(ip.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:5::1") && !holds("::/0", "192.0.2.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"), "the same host");
        for wrong in ["10.0.0.0/33", "10.0.0", "::/129", "x", "10.0.0.0/x", ""] {
            assert_eq!(Net::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_narrowest_network_says_what_a_host_is_worth() {
        let assets = Assets::new()
            .network("10.0.0.0/8", 1)
            .unwrap()
            .network("10.1.0.0/16", 4)
            .unwrap()
            .host("DC01", 9)
            .home("172.16.0.0/12")
            .unwrap();
        let values = ["10.1.2.3", "10.2.2.3", "dc01", "172.16.0.9", "8.8.8.8", "unknown"];
        assert_eq!(values.map(|host| assets.value(host)), [4, 1, 5, 2, 0, 0]);
    }

    #[test]
    fn an_inventory_is_told_what_is_wrong_by_its_place() {
        for (text, why) in [
            ("hosts: {dc01: 6}", "a.yml:1:15: the value of `dc01` is no number from 0 to 5"),
            ("x: 1", "a.yml:1:1: unknown key `x`; an inventory has home, hosts and networks"),
            ("hosts: [a]", "a.yml:1:8: `hosts` is a mapping to values, 0 to 5"),
            (
                "networks:\n  10.0/8: 1",
                "a.yml:2:3: `10.0/8` is no address range; write one such as",
            ),
            ("home: [10.0.0.0/8, x]", "a.yml:1:20: `x` is no address range; write one such as"),
            ("[]", "a.yml:1:1: an inventory is a mapping of"),
        ] {
            let told = Assets::new().read(text, "a.yml").unwrap_err().to_string();
            assert!(told.starts_with(why), "{text}: {told}");
        }
    }

    #[test]
    fn an_alarm_counts_for_the_most_valuable_asset_of_its_group() {
        let assets = Assets::new().host("dc01", 5).host("lab", 0).home("10.0.0.0/8").unwrap();
        let risk_of = |host: &str| {
            let rule = std::sync::Arc::default();
            let mut alarm = Alarm::new(
                crate::siem::correlation::AlarmId::default(),
                crate::siem::correlation::Change::Opened,
                AlarmKind::Correlation,
                &rule,
            );
            alarm.severity = Severity::Critical;
            alarm.group =
                vec![("src_ip".into(), "203.0.113.9".into()), ("host".into(), host.into())];
            assets.weigh(&mut alarm, CORRELATION_RELIABILITY);
            alarm.risk.unwrap()
        };
        let unknown = risk(DEFAULT_VALUE, 5, CORRELATION_RELIABILITY);
        assert_eq!(["dc01", "lab", "10.1.1.1", "unknown"].map(risk_of), [6, 0, unknown, unknown]);
    }
}
