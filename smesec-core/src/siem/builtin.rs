//! The project's own rules: what single rules cannot see.

/// The files of the pack: name and text. They are Sigma documents, several to a file, in the order
/// in which they are read.
///
/// ```
/// use smesec_core::siem::builtin;
/// assert!(builtin::RULES.iter().any(|(_, text)| text.contains("name: scan_then_exploit")));
/// ```
pub const RULES: &[(&str, &str)] = &[
    ("builtin/10-sign-in.yml", include_str!("../../rules/siem/10-sign-in.yml")),
    ("builtin/20-session.yml", include_str!("../../rules/siem/20-session.yml")),
    ("builtin/30-intrusion.yml", include_str!("../../rules/siem/30-intrusion.yml")),
    ("builtin/40-administration.yml", include_str!("../../rules/siem/40-administration.yml")),
    ("builtin/50-meters.yml", include_str!("../../rules/siem/50-meters.yml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::yaml::{Limits, Node, documents};
    use crate::ruleset::LoadReport;
    use crate::siem::correlation::{Change, Correlator, Plan, Settings};
    use crate::siem::record::Fields;
    use crate::siem::sigma::{Meta, correlation};
    use crate::time::Timestamp;
    use std::borrow::Cow;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    struct Line(serde_json::Value);

    impl Fields for Line {
        fn value(&self, name: &str) -> Option<Cow<'_, str>> {
            let nested = name.split('.').try_fold(&self.0, |value, part| value.get(part));
            match self.0.get(name).or(nested)? {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.as_str().into()),
                other => Some(other.to_string().into()),
            }
        }
    }

    struct Rule {
        name: String,
        document: Node,
    }

    impl Rule {
        /// As much of Sigma as these rules use, so that they are tested by themselves.
        fn matches(&self, line: &Line) -> bool {
            let source = self.document.key("logsource").unwrap().map().unwrap();
            let right = |(key, value): &(Node, Node)| {
                line.value(key.as_str().unwrap()).is_some_and(|is| *is == *value.as_str().unwrap())
            };
            if !source.iter().all(right) {
                return false;
            }
            let detection = self.document.key("detection").unwrap();
            let holds = |name: &str| {
                detection.key(name).unwrap().map().unwrap().iter().all(|(key, wanted)| {
                    let (name, how) = key
                        .as_str()
                        .unwrap()
                        .split_once('|')
                        .unwrap_or((key.as_str().unwrap(), ""));
                    let value = line.value(name).map(Cow::into_owned);
                    let one = |wanted: &Node| {
                        let wanted = wanted.as_str().unwrap().to_lowercase();
                        let value = value.as_ref().map(|value| value.to_lowercase());
                        match how {
                            "exists" => value.is_some() == (wanted == "true"),
                            "contains" => value.is_some_and(|v| v.contains(&wanted)),
                            "startswith" => value.is_some_and(|v| v.starts_with(&wanted)),
                            "endswith" => value.is_some_and(|v| v.ends_with(&wanted)),
                            "hour" => value.is_some_and(|v| {
                                v.get(11..13).unwrap().trim_start_matches('0')
                                    == wanted.trim_start_matches('0')
                            }),
                            "" => value.is_some_and(|v| v == wanted),
                            other => unreachable!("the pack does not use {other}"),
                        }
                    };
                    wanted.list().map_or_else(|| one(wanted), |list| list.iter().any(one))
                })
            };
            match detection.key("condition").unwrap().as_str().unwrap() {
                "selection" => holds("selection"),
                "selection and not local" => holds("selection") && !holds("local"),
                "selection and not machine" => holds("selection") && !holds("machine"),
                "selection and not clean" => holds("selection") && !holds("clean"),
                "selection and group" => holds("selection") && holds("group"),
                "security or other" => holds("security") || holds("other"),
                "alert and (category or signature)" => {
                    holds("alert") && (holds("category") || holds("signature"))
                }
                other => unreachable!("the pack does not use {other}"),
            }
        }
    }

    /// The titles of what is raised: alarms, and rules that are reported by themselves and graver
    /// than medium.
    fn raised(lines: &[String]) -> BTreeSet<String> {
        let (mut rules, mut known, mut correlations) = (Vec::new(), Vec::new(), Vec::new());
        for (file, text) in RULES {
            for document in documents(text, file, Limits::default()) {
                let root = document.unwrap().root;
                let text = |key: &str| root.key(key).unwrap().as_str().unwrap().to_owned();
                if root.key("correlation").is_some() {
                    correlations.push(correlation::parse(&root, file).unwrap());
                } else {
                    let meta = Meta {
                        id: text("id"),
                        name: text("name"),
                        title: text("title"),
                        level: text("level"),
                        ..Meta::default()
                    };
                    known.push(meta);
                    rules.push(Rule { name: text("title"), document: root });
                }
            }
        }
        let mut report = LoadReport::default();
        let plan = Arc::new(Plan::build(correlations, &known, &mut report));
        assert!(report.refused.is_empty() && report.degraded.is_empty(), "{report}");
        let mut correlator = Correlator::new(Arc::clone(&plan), Settings::stored());
        let (mut out, mut titles) = (Vec::new(), BTreeSet::new());
        for line in lines {
            let line = Line(serde_json::from_str(line).unwrap());
            let second = line.0["at"].as_i64().unwrap();
            for (number, rule) in (0..).zip(&rules) {
                if rule.matches(&line) {
                    let grave =
                        ["high", "critical"].contains(&known[number as usize].level.as_str());
                    if plan.reports(number) && grave {
                        titles.insert(rule.name.clone());
                    }
                    let time = Timestamp::from_unix_seconds(second);
                    correlator.hit(number, time, "s", &line, &mut out);
                }
            }
        }
        correlator.flush(&mut out);
        let opened = out.iter().filter(|alarm| alarm.change == Change::Opened);
        titles.extend(opened.map(|alarm| alarm.rule.name.clone()));
        titles
    }

    /// So many lines, each `seconds` after the one before; `#` is its number.
    fn times(count: u32, from: u32, seconds: u32, line: &str) -> Vec<String> {
        let at = |n: u32| {
            line.replace('#', &n.to_string()).replacen(
                '{',
                &format!("{{\"at\":{},", from + n * seconds),
                1,
            )
        };
        (0..count).map(at).collect()
    }

    fn check(lines: &[Vec<String>], titles: &[&str]) {
        let lines: Vec<String> = lines.concat();
        let expected: BTreeSet<String> = titles.iter().map(|title| (*title).to_owned()).collect();
        assert_eq!(raised(&lines), expected, "{lines:#?}");
    }

    const FAILED: &str = r#"{"product":"linux","service":"sshd","outcome":"failure","method":"password","src_ip":"203.0.113.9","user":"anna"}"#;
    const SIGNED: &str = r#"{"product":"linux","service":"sshd","outcome":"success","src_ip":"203.0.113.9","user":"anna"}"#;

    #[test]
    fn guessing() {
        check(&[times(10, 0, 33, FAILED)], &["Password guessing"]);
        check(&[times(9, 0, 33, FAILED)], &[]);
        // What PAM says of the same attempt counts no second time.
        let pam = FAILED.replace("\"method\":\"password\",", "");
        check(&[times(9, 0, 33, FAILED), times(9, 0, 33, &pam)], &[]);
        check(&[times(10, 0, 34, FAILED)], &[]);
        let windows = r#"{"product":"windows","service":"security","EventID":4625,"LogonType":3,"IpAddress":"203.0.113.9","TargetUserName":"anna"}"#;
        check(&[times(5, 0, 10, FAILED), times(5, 60, 10, windows)], &["Password guessing"]);
        check(&[times(10, 0, 10, &windows.replace("203.0.113.9", "-"))], &[]);
        check(&[times(10, 0, 10, &windows.replace(":3,", ":2,"))], &[]);
    }

    #[test]
    fn guessed() {
        check(
            &[times(10, 0, 1, FAILED), times(1, 300, 1, SIGNED)],
            &["Password guessed", "Password guessing"],
        );
        check(&[times(9, 0, 1, FAILED), times(1, 300, 1, SIGNED)], &[]);
        let other = SIGNED.replace("anna", "bert");
        check(&[times(10, 0, 1, FAILED), times(1, 300, 1, &other)], &["Password guessing"]);
        check(&[times(10, 0, 1, FAILED), times(1, 610, 1, SIGNED)], &["Password guessing"]);
        check(&[times(1, 0, 1, SIGNED), times(10, 1, 1, FAILED)], &["Password guessing"]);
    }

    #[test]
    fn stuffing_and_spraying() {
        let many = FAILED.replace("anna", "user#");
        check(&[times(20, 0, 15, &many)], &["Credential stuffing", "Password spraying"]);
        check(&[times(19, 0, 200, &many)], &["Password spraying"]);
        check(&[times(11, 0, 60, &many)], &[]);
        check(&[times(12, 0, 328, &many)], &[]);
        let apart = many.replace("203.0.113.9", "203.0.113.#");
        check(&[times(30, 0, 1, &apart)], &[]);
    }

    #[test]
    fn sessions() {
        let session = |event: &str, id: &str| {
            format!(
                r#"{{"category":"application","service":"session","event":"{event}","session":"{id}"}}"#
            )
        };
        let line = |at, event, id| times(1, at, 1, &session(event, id));
        let title = "Session used after its sign-out";
        check(&[line(0, "sign_in", "s"), line(5, "sign_out", "s"), line(9, "use", "s")], &[title]);
        check(&[line(5, "use", "s"), line(9, "sign_out", "s")], &[]);
        check(&[line(5, "sign_out", "s"), line(7, "sign_in", "s"), line(9, "use", "s")], &[]);
        check(&[line(5, "sign_out", "s"), line(9, "use", "t")], &[]);
    }

    #[test]
    fn scans_and_exploits() {
        let alert = |category: &str, port: &str| {
            format!(
                r#"{{"product":"suricata","service":"eve","event_type":"alert","alert":{{"category":"{category}","signature":"x"}},"src_ip":"203.0.113.9","dest_ip":"10.0.0.5","dest_port":"{port}"}}"#
            )
        };
        let scan = |count| times(count, 0, 1, &alert("Detection of a Network Scan", "#"));
        let exploit = |at| times(1, at, 1, &alert("Web Application Attack", "80"));
        check(&[scan(20), exploit(1_000)], &["Port scan", "Scan, then exploit"]);
        check(&[scan(19), exploit(1_000)], &[]);
        check(&[exploit(0), scan(20)], &["Port scan"]);
        check(&[scan(20), exploit(1_820)], &["Port scan"]);
    }

    #[test]
    fn probed_web_sites() {
        let missing = r#"{"category":"webserver","cs-method":"GET","sc-status":404,"cs-uri-stem":"/x#","c-ip":"203.0.113.9"}"#;
        check(&[times(15, 0, 8, missing)], &["Web site probed"]);
        check(&[times(14, 0, 8, missing)], &[]);
        check(&[times(15, 0, 9, missing)], &[]);
        check(&[times(40, 0, 1, &missing.replace('#', ""))], &[]);
        check(&[times(40, 0, 1, &missing.replace("404", "200"))], &[]);
        check(&[times(40, 0, 1, &missing.replace("113.9", "113.#"))], &[]);
    }

    #[test]
    fn blocked_then_decoy() {
        let event = |service: &str, action: &str, ip: &str| {
            format!(
                r#"{{"product":"smesec","service":"{service}","action":"{action}","src_ip":"{ip}"}}"#
            )
        };
        let waf = |action: &str| times(1, 0, 1, &event("waf", action, "203.0.113.9"));
        let decoy = |at, ip: &str| times(1, at, 1, &event("decoy", "log", ip));
        check(&[waf("deny"), decoy(3_600, "203.0.113.9")], &["Blocked, then at the decoy"]);
        check(&[waf("deny"), decoy(3_601, "203.0.113.9")], &[]);
        check(&[waf("deny"), decoy(5, "203.0.113.8")], &[]);
        check(&[waf("log"), decoy(5, "203.0.113.9")], &[]);
    }

    #[test]
    fn canaries() {
        let used = r#"{"product":"smesec","service":"decoy","entity":"canary:db-password","src_ip":"10.0.0.7"}"#;
        check(&[times(1, 0, 1, used)], &["Canary used"]);
        check(&[times(1, 0, 1, &used.replace("canary:", "decoy:"))], &[]);
    }

    #[test]
    fn new_administrators() {
        let created = r#"{"product":"windows","service":"security","EventID":4720,"TargetSid":"S-1-5-21-1-1104"}"#;
        let added = r#"{"product":"windows","service":"security","EventID":4732,"TargetSid":"S-1-5-32-544","MemberSid":"S-1-5-21-1-1104"}"#;
        check(
            &[times(1, 0, 1, created), times(1, 3_600, 1, added)],
            &["New account made an administrator"],
        );
        check(&[times(1, 0, 1, created), times(1, 3_601, 1, added)], &[]);
        check(&[times(1, 0, 1, created), times(1, 5, 1, &added.replace("-544", "-545"))], &[]);
        check(&[times(1, 0, 1, created), times(1, 5, 1, &added.replace("1104", "1105"))], &[]);
    }

    #[test]
    fn cleared_logs() {
        let cleared = r#"{"product":"windows","EventID":1102,"Channel":"Security"}"#;
        check(&[times(1, 0, 1, cleared)], &["Event log cleared"]);
        check(&[times(1, 0, 1, &cleared.replace("Security", "Application"))], &[]);
        check(
            &[times(1, 0, 1, r#"{"product":"windows","EventID":104,"Channel":"System"}"#)],
            &["Event log cleared"],
        );
    }

    #[test]
    fn malware_beside_an_administrator() {
        let found = r#"{"product":"smesec","service":"av","device":"pc7","action":"deny"}"#;
        let admin = r#"{"product":"windows","service":"security","EventID":4672,"Computer":"pc7","SubjectUserSid":"S-1-5-21-1-500"}"#;
        let title = "Malware on an administrator's machine";
        check(&[times(1, 0, 1, found), times(1, 28_800, 1, admin)], &[title]);
        check(&[times(1, 0, 1, admin), times(1, 28_800, 1, found)], &[title]);
        check(&[times(1, 0, 1, found), times(1, 28_801, 1, admin)], &[]);
        check(&[times(1, 0, 1, found), times(1, 5, 1, &admin.replace("pc7", "pc8"))], &[]);
        check(
            &[times(1, 0, 1, found), times(1, 5, 1, &admin.replace("S-1-5-21-1-500", "S-1-5-18"))],
            &[],
        );
        check(&[times(1, 0, 1, &found.replace("deny", "pass")), times(1, 5, 1, admin)], &[]);
    }

    #[test]
    fn beacons_after_uploads() {
        let upload = r#"{"category":"webserver","cs-method":"POST","sc-status":201,"cs-uri-stem":"/media/new","s-ip":"10.0.0.5"}"#;
        let call = r#"{"product":"suricata","service":"eve","event_type":"alert","alert":{"category":"A Network Trojan was detected"},"src_ip":"10.0.0.5"}"#;
        check(
            &[times(1, 0, 1, upload), times(3, 100, 60, call)],
            &["Beacon", "Beacon after an upload"],
        );
        check(&[times(1, 0, 1, upload), times(2, 100, 60, call)], &[]);
        check(&[times(3, 0, 60, call), times(1, 200, 1, upload)], &["Beacon"]);
        check(
            &[times(1, 0, 1, &upload.replace("201", "403")), times(3, 100, 60, call)],
            &["Beacon"],
        );
        check(
            &[times(1, 0, 1, upload), times(3, 100, 60, &call.replace("0.5", "0.6"))],
            &["Beacon"],
        );
    }

    #[test]
    fn meters_at_night() {
        let write = r#"{"category":"application","service":"meter","operation":"write","meter":"m#","user":"anna","time":"2026-01-04T03:10:00Z"}"#;
        check(&[times(5, 0, 225, write)], &["Many meters written at night"]);
        check(&[times(5, 0, 226, write)], &[]);
        check(&[times(4, 0, 1, write)], &[]);
        check(&[times(9, 0, 1, &write.replace("m#", "m"))], &[]);
        check(&[times(5, 0, 1, &write.replace("T03", "T13"))], &[]);
        check(&[times(5, 0, 1, &write.replace("write", "read"))], &[]);
    }
}
