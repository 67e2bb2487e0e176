//! Policies from a file.

use super::{Decision, Policies, Policy};
use crate::decode::yaml::{Limits, Node, Place, documents};
use crate::error::RuleError;
use crate::siem::risk::{Assets, Net};
use std::ops::RangeInclusive;

/// What a policy's keys are.
const KEYS: &[&str] =
    &["name", "sources", "destinations", "ports", "types", "agents", "days", "hours", "then"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Policies {
    /// Reads policies from YAML: documents with a list `policies`, of which each has `then` (`drop`,
    /// `silence`, `correlate`, or `{priority: 4}`) and any of `name`, `sources`, `destinations`, `ports`,
    /// `types` (rules by id, name or title), `agents`, `days` and `hours` (UTC). `HOME_NET` stands for the
    /// inventory's networks at home.
    ///
    /// ```
    /// use smesec_core::siem::policy::Policies;
    /// use smesec_core::siem::risk::Assets;
    /// let text = "
    /// policies:
    ///   - {name: our own scanner, sources: [10.0.9.9], types: [port_scan], then: drop}
    ///   - {name: nobody works at night, sources: HOME_NET, hours: '22:00-06:00', then: {priority: 5}}
    ///   - {ports: [80, 8000-8999], days: [sat, sun], then: silence}
    /// ";
    /// let assets = Assets::new().home("10.0.0.0/8")?;
    /// assert_eq!(Policies::parse(text, "policies.yml", &assets)?.len(), 3);
    /// # Ok::<(), smesec_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first thing that is no YAML, missing, unknown or of the wrong kind, with its place.
    pub fn parse(text: &str, file: &str, assets: &Assets) -> Result<Self, RuleError> {
        let reader = Reader { file, assets };
        let mut policies = Vec::new();
        for document in documents(text, file, Limits::default()) {
            let root = document?.root;
            let list = root.key("policies").and_then(Node::list);
            let list = list
                .ok_or_else(|| reader.error(root.place, "there is no list `policies`; add one"))?;
            for node in list {
                policies.push(reader.policy(node)?);
            }
        }
        Ok(Self::new(policies))
    }
}

/// What the policies of a text call types, each with its place; for a text that has been read.
pub(in crate::siem) fn types(text: &str, file: &str) -> Vec<(String, Place)> {
    let mut types = Vec::new();
    for document in documents(text, file, Limits::default()).flatten() {
        let list = document.root.key("policies").and_then(Node::list).unwrap_or_default();
        for node in list.iter().filter_map(|policy| policy.key("types")) {
            let items = node.list().unwrap_or(std::slice::from_ref(node));
            types.extend(items.iter().filter_map(|i| Some((i.as_str()?.to_owned(), i.place))));
        }
    }
    types
}

struct Reader<'a> {
    file: &'a str,
    assets: &'a Assets,
}

impl Reader<'_> {
    fn error(&self, place: Place, why: &str) -> RuleError {
        RuleError::new(self.file, place.line.max(1), place.column.max(1), why)
    }

    fn policy(&self, node: &Node) -> Result<Policy, RuleError> {
        let entries = node.map().unwrap_or_default();
        let then = node.key("then").ok_or_else(|| {
            let why =
                "the policy has no `then`; write drop, silence, correlate or {priority: 0 to 5}";
            self.error(node.place, why)
        })?;
        let mut policy = Policy::new(self.decision(then)?);
        for (key, value) in entries {
            match key.as_str().unwrap_or_default() {
                "then" => {}
                "name" => self.text(value)?.clone_into(&mut policy.name),
                "sources" => policy.sources = self.nets(value)?,
                "destinations" => policy.destinations = self.nets(value)?,
                "ports" => policy.ports = self.several(value, |node| self.ports(node))?,
                "types" => policy.types = self.several(value, |node| self.owned(node))?,
                "agents" => policy.agents = self.several(value, |node| self.owned(node))?,
                "days" => {
                    for day in self.several(value, |node| self.day(node))? {
                        if let Some(named) = policy.days.get_mut(day) {
                            *named = true;
                        }
                    }
                }
                "hours" => policy.minutes = Some(self.hours(value)?),
                other => {
                    let known = KEYS.join(", ");
                    let why = format!("unknown key `{other}` of a policy; known are {known}");
                    return Err(self.error(key.place, &why));
                }
            }
        }
        Ok(policy)
    }

    fn decision(&self, node: &Node) -> Result<Decision, RuleError> {
        if let Some(priority) = node.key("priority") {
            let number = priority.as_str().and_then(|text| text.parse().ok());
            let number = number.filter(|n| *n <= 5).ok_or_else(|| {
                self.error(priority.place, "the `priority` is no number from 0 to 5; correct it")
            })?;
            return Ok(Decision::Prioritise(number));
        }
        match node.as_str() {
            Some("drop") => Ok(Decision::Drop),
            Some("silence") => Ok(Decision::Silence),
            Some("correlate") => Ok(Decision::Correlate),
            _ => Err(self.error(
                node.place,
                "`then` is none of drop, silence, correlate and {priority: 0 to 5}",
            )),
        }
    }

    /// One item, or a list of them.
    fn several<T>(
        &self,
        node: &Node,
        one: impl Fn(&Node) -> Result<T, RuleError>,
    ) -> Result<Vec<T>, RuleError> {
        let items = node.list().unwrap_or(std::slice::from_ref(node));
        if items.is_empty() {
            // An empty list would fit everything, which nobody means who writes one.
            return Err(self.error(node.place, "the list is empty; take the key out"));
        }
        items.iter().map(one).collect()
    }

    fn text<'n>(&self, node: &'n Node) -> Result<&'n str, RuleError> {
        let why = || format!("{} is not expected here; write text", node.kind());
        node.as_str().ok_or_else(|| self.error(node.place, &why()))
    }

    fn owned(&self, node: &Node) -> Result<String, RuleError> {
        Ok(self.text(node)?.to_owned())
    }

    fn nets(&self, node: &Node) -> Result<Vec<Net>, RuleError> {
        let one = |node: &Node| {
            let text = self.text(node)?;
            if text.eq_ignore_ascii_case("home_net") {
                let home = self.assets.home_net();
                let why =
                    "`HOME_NET` is not known; name it with `home` in the inventory or `--home-net`";
                return if home.is_empty() {
                    Err(self.error(node.place, why))
                } else {
                    Ok(home.to_vec())
                };
            }
            let why = || format!("`{text}` is no address range; write one such as `10.0.0.0/8`");
            Ok(vec![Net::parse(text).ok_or_else(|| self.error(node.place, &why()))?])
        };
        Ok(self.several(node, one)?.concat())
    }

    fn ports(&self, node: &Node) -> Result<RangeInclusive<u16>, RuleError> {
        let text = self.text(node)?;
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
            (Ok(from), Ok(to)) if from <= to => Ok(from..=to),
            _ => {
                let why = format!("`{text}` is no port or range of ports such as `8000-8999`");
                Err(self.error(node.place, &why))
            }
        }
    }

    fn day(&self, node: &Node) -> Result<usize, RuleError> {
        let text = self.text(node)?;
        DAYS.iter().position(|day| day.eq_ignore_ascii_case(text)).ok_or_else(|| {
            let why = format!("`{text}` is no day; write one of {}", DAYS.join(", "));
            self.error(node.place, &why)
        })
    }

    fn hours(&self, node: &Node) -> Result<(u16, u16), RuleError> {
        let text = self.text(node)?;
        let minutes = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let span = text.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
        span.ok_or_else(|| {
            let why = format!("`{text}` is no span of the day such as `22:00-06:00`");
            self.error(node.place, &why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        for (text, why) in [
            ("x: 1", "p.yml:1:1: there is no list `policies`; add one"),
            ("policies:\n  - {ports: 80}", "p.yml:2:5: the policy has no `then`"),
            ("policies:\n  - then: dropp", "p.yml:2:11: `then` is none of drop"),
            ("policies:\n  - {then: {priority: 6}}", "p.yml:2:23: the `priority` is no number"),
            ("policies:\n  - {then: drop, port: 1}", "p.yml:2:18: unknown key `port` of a policy"),
            ("policies:\n  - {then: drop, ports: [9-1]}", "p.yml:2:26: `9-1` is no port"),
            ("policies:\n  - {then: drop, types: []}", "p.yml:2:25: the list is empty"),
            ("policies:\n  - {then: drop, days: [someday]}", "p.yml:2:25: `someday` is no day"),
            ("policies:\n  - {then: drop, hours: '25:00-1:00'}", "p.yml:2:25: `25:00-1:00` is no"),
            ("policies:\n  - {then: drop, sources: x}", "p.yml:2:27: `x` is no address range"),
            (
                "policies:\n  - {then: drop, sources: HOME_NET}",
                "p.yml:2:27: `HOME_NET` is not known",
            ),
            ("policies:\n  - {then: drop, name: [a]}", "p.yml:2:24: "),
        ] {
            let told = Policies::parse(text, "p.yml", &Assets::new()).unwrap_err().to_string();
            assert!(told.starts_with(why), "{text}: {told}");
        }
    }

    #[test]
    fn each_key_restricts() {
        let text = "policies: [{name: n, sources: [HOME_NET, 192.0.2.1], destinations: 198.51.100.0/24,
            ports: [80, 8000-8999], types: t, agents: [a, b], days: [sun, sat], hours: 22:00-06:00, then: silence}]";
        let assets = Assets::new().home("10.0.0.0/8").unwrap();
        let read = Policies::parse(text, "p.yml", &assets).unwrap();
        let net = |text| Net::parse(text).unwrap();
        let expected = Policy {
            name: "n".into(),
            sources: vec![net("10.0.0.0/8"), net("192.0.2.1")],
            destinations: vec![net("198.51.100.0/24")],
            ports: vec![80..=80, 8_000..=8_999],
            types: vec!["t".into()],
            agents: vec!["a".into(), "b".into()],
            days: [true, false, false, false, false, false, true],
            minutes: Some((1_320, 360)),
            ..Policy::new(Decision::Silence)
        };
        assert_eq!(read, Policies::new(vec![expected]));
    }
}
