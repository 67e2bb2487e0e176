//! What is looked up elsewhere: the place of an address, its entry in a block list.

use super::State;
use super::store::Slice;
use crate::waf::compile::program::{Program, Rule, Select};
use crate::waf::variable::Storage;
use std::fmt::Write;
use std::net::IpAddr;

/// Names that one transaction may look up: rules ask a handful of lists, and each may cost milliseconds.
const MAX_LOOKUPS: usize = 32;
/// Bytes of a domain name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
/// The list whose answers say more than that an address is listed (Project Honey Pot's).
const HTTP_BL: &str = "dnsbl.httpbl.org";

impl State {
    /// Fills GEO with what the database knows of an address; false when it knows nothing.
    pub(super) fn geo_lookup(&mut self, program: &Program, value: Slice) -> bool {
        let Some(database) = &program.geo else { return false };
        let Some(address) = address(self.store.bytes(value)) else { return false };
        let store = &mut self.store;
        store.clear(Storage::Geo.id());
        database.look_up(address, &mut |name, value| {
            let (name, value) = (store.put(name.as_bytes()), store.put(value.as_bytes()));
            store.add(Storage::Geo.id(), name, value);
        })
    }

    /// What a DNS block list says of an address or a host name (RFC 5782), as text.
    pub(super) fn block_list(
        &mut self,
        program: &Program,
        rule: &Rule,
        list: &str,
        value: Slice,
    ) -> Option<String> {
        let key = program.settings.block_list_key.as_deref().filter(|_| list == HTTP_BL);
        if list == HTTP_BL && key.is_none() {
            return None;
        }
        let name = listed_name(self.store.bytes(value), list, key)?;
        let listing = self.resolve(&name)?.into_iter().find_map(listing)?;
        let shown = key.and_then(|key| name.strip_prefix(key)).unwrap_or(&name);
        let shown = shown.trim_start_matches('.');
        let mut text = format!("RBL lookup of {shown} succeeded at ");
        if let Some(target) = rule.targets.first() {
            text.push_str(&target.label);
            let name = match &target.select {
                Select::Tx(slot) => program.tx_names.get(*slot as usize).map(|name| &**name),
                Select::Name(name) => Some(&**name),
                _ => None,
            };
            if let Some(name) = name {
                // Writing into memory cannot fail.
                let _ = write!(text, ":{}", String::from_utf8_lossy(name));
            }
        }
        text.push('.');
        if key.is_some() {
            describe(listing, &mut text);
        }
        Some(text)
    }

    fn resolve(&mut self, name: &str) -> Option<Vec<IpAddr>> {
        let resolver = self.resolver.clone()?;
        if let Some((_, known)) = self.lookups.iter().find(|(asked, _)| asked == name) {
            return known.clone();
        }
        if self.lookups.len() >= MAX_LOOKUPS {
            if self.lookups.len() == MAX_LOOKUPS {
                self.lookups.push((String::new(), Some(Vec::new())));
                let why =
                    "the rules look up more names than one transaction may; ask fewer block lists";
                self.limit(why, 403, self.on_limit);
                self.halted = self.verdict.is_decisive();
            }
            return None;
        }
        let found = resolver.resolve(name);
        self.lookups.push((name.to_owned(), found.clone()));
        found
    }
}

fn address(text: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    Some(address.to_canonical())
}

/// The name under which a list keeps an address (its pieces backwards) or a host name.
fn listed_name(value: &[u8], list: &str, key: Option<&str>) -> Option<String> {
    let mut name = String::new();
    if let Some(key) = key {
        name.push_str(key);
        name.push('.');
    }
    match address(value) {
        Some(IpAddr::V4(address)) => {
            for octet in address.octets().iter().rev() {
                let _ = write!(name, "{octet}.");
            }
        }
        Some(IpAddr::V6(address)) => {
            for byte in address.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", byte & 0x0f, byte >> 4);
            }
        }
        None => {
            let host = std::str::from_utf8(value).ok()?.trim().trim_matches('.');
            let valid = host.contains('.')
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            if !valid {
                return None;
            }
            name.push_str(&host.to_ascii_lowercase());
            name.push('.');
        }
    }
    name.push_str(list);
    (name.len() <= MAX_NAME).then_some(name)
}

/// Lists answer within 127.0.0.0/8 (RFC 5782, section 2.3); anything else is a parked domain. Of that
/// 127.255.255.0/24 tells errors, such as a refused question.
fn listing(address: IpAddr) -> Option<[u8; 4]> {
    let IpAddr::V4(address) = address.to_canonical() else { return None };
    match address.octets() {
        [127, 255, 255, _] => None,
        octets @ [127, ..] => Some(octets),
        _ => None,
    }
}

/// What the four numbers of that list mean: 127, days since the last visit, threat score, kinds of visitor.
fn describe([_, days, score, kinds]: [u8; 4], text: &mut String) {
    let named = [(1, "suspicious"), (2, "harvester"), (4, "comment spammer")];
    let names: Vec<&str> =
        named.iter().filter(|(bit, _)| kinds & bit != 0).map(|(_, name)| *name).collect();
    let what = if kinds == 0 { "Search Engine".to_owned() } else { names.join(", ") };
    // Writing into memory cannot fail.
    let _ = write!(text, " {what} IP: {days} days since last activity, threat score {score}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_addresses_backwards() {
        let name = |value: &[u8]| listed_name(value, "bl.example", None);
        assert_eq!(name(b"192.0.2.1").unwrap(), "1.2.0.192.bl.example");
        assert_eq!(name(b"::ffff:192.0.2.1").unwrap(), "1.2.0.192.bl.example");
        let six = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.bl.example";
        assert_eq!(name(b"4321:0:1:2:3:4:567:89ab").unwrap(), six);
        assert_eq!(name(b"Shop.Example").unwrap(), "shop.example.bl.example");
        assert_eq!(name(b"not a name"), None);
        assert_eq!(name(&[b'a'; 300]), None);
        assert_eq!(
            listed_name(b"192.0.2.1", HTTP_BL, Some("k")).unwrap(),
            "k.1.2.0.192.dnsbl.httpbl.org"
        );
    }

    #[test]
    fn only_answers_of_lists_count() {
        assert_eq!(listing(IpAddr::from([127, 0, 0, 2])), Some([127, 0, 0, 2]));
        assert_eq!(listing(IpAddr::from([127, 255, 255, 254])), None);
        assert_eq!(listing(IpAddr::from([203, 0, 113, 1])), None);
    }
}
