use super::*;
use crate::ruleset::LoadReport;
use crate::siem::correlation::{Alarm, Change, Settings};
use crate::siem::record::{Field, Record, Value};
use crate::siem::risk::Assets;
use crate::siem::sigma::Meta;
use crate::time::Timestamp;

const LADDER: &str = r#"<?xml version="1.0"?>
<!DOCTYPE directives SYSTEM "file:///etc/passwd" [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<directives>
  <directive id="20" name="guessing against DST_IP from SRC_IP" priority="5">
    <rule type="detector" name="one" reliability="3" occurrence="1" from="ANY" to="HOME_NET"
        port_from="ANY" port_to="ANY" time_out="10" plugin_id="4003" plugin_sid="1,2,3">
      <rules>
        <rule type="detector" name="three" reliability="+1" occurrence="3" from="1:SRC_IP" to="ANY"
            time_out="15" plugin_id="4003" plugin_sid="1,2,3" sticky="true">
          <rules>
            <rule type="detector" name="five" reliability="+2" occurrence="5" from="1:SRC_IP" to="ANY"
                time_out="20" plugin_id="4003" plugin_sid="1,2,3"/>
            <rule type="detector" name="in" reliability="10" occurrence="1" from="1:SRC_IP" to="1:DST_IP"
                time_out="60" plugin_id="4003" plugin_sid="7"/>
          </rules>
        </rule>
      </rules>
    </rule>
  </directive>
</directives>"#;

fn home() -> Assets {
    Assets::new().home("10.0.0.0/8").unwrap().host("10.0.0.5", 5).host("203.0.113.1", 1)
}

/// Second, fields as `name=value`, priority.
type Told<'a> = (i64, &'a str, Option<u8>);

fn run(directives: Vec<Directive>, told: &[Told<'_>]) -> Vec<Alarm> {
    let known = [Meta { name: "login".into(), ..Meta::default() }];
    let mut report = LoadReport::default();
    let mut directives =
        Directives::new(directives, &known, home(), Settings::default(), &mut report);
    assert!(report.refused.is_empty(), "{report}");
    let mut out = Vec::new();
    for (second, words, priority) in told {
        let pairs: Vec<(&str, &str)> =
            words.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let rules: &[u32] = if words.contains("rule=login") { &[0] } else { &[] };
        let fields: Vec<Field<'_>> =
            pairs.iter().map(|(name, value)| Field { name, value: Value::text(value) }).collect();
        let record = Record { fields: &fields, ..Record::default() };
        let time = Timestamp::from_unix_seconds(*second);
        directives.see(rules, time, "s", &record, *priority, &mut out);
    }
    directives.flush(&mut out);
    assert_eq!(directives.running(), 0);
    out
}

fn changes(alarms: &[Alarm]) -> Vec<(&'static str, i64, u8)> {
    alarms.iter().map(|a| (a.change.word(), a.time.unix_seconds(), a.risk.unwrap())).collect()
}

fn xml(text: &str) -> Vec<Directive> {
    let mut report = LoadReport::default();
    let read = parse_xml(text.as_bytes(), "d.xml", &mut report).unwrap();
    assert!(report.refused.is_empty() && report.degraded.is_empty(), "{report}");
    read
}

fn failures(seconds: &[i64]) -> Vec<Told<'static>> {
    let event = "plugin_id=4003 plugin_sid=2 src_ip=203.0.113.1 dst_ip=10.0.0.5";
    seconds.iter().map(|second| (*second, event, None)).collect()
}

#[test]
fn each_level_makes_the_alarm_more_reliable() {
    // Reliability 3, then 4, then 6, of an asset of 5 and a priority of 5.
    let alarms = run(xml(LADDER), &failures(&[0, 1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(
        changes(&alarms),
        [("opened", 0, 3), ("updated", 3, 4), ("updated", 8, 6), ("closed", 8, 6)]
    );
    assert_eq!(alarms[0].message, "guessing against 10.0.0.5 from 203.0.113.1");
    assert!(alarms.iter().all(|alarm| alarm.id == alarms[0].id));
    assert_eq!(alarms[3].count, 9);
    assert_eq!(alarms[2].to_event().src_endpoint.unwrap().ip().to_string(), "203.0.113.1");
}

#[test]
fn siblings_are_alternatives_and_look_back() {
    let success = |src: &'static str| (5, src, None);
    let with = |src| {
        let mut told = failures(&[0, 1, 2, 3]);
        told.push(success(src));
        changes(&run(xml(LADDER), &told))
    };
    assert_eq!(
        with("plugin_id=4003 plugin_sid=7 src_ip=203.0.113.1 dst_ip=10.0.0.5"),
        [("opened", 0, 3), ("updated", 3, 4), ("updated", 5, 10), ("closed", 5, 10)]
    );
    let unfinished = [("opened", 0, 3), ("updated", 3, 4), ("closed", 63, 4)];
    assert_eq!(with("plugin_id=4003 plugin_sid=7 src_ip=203.0.113.2 dst_ip=10.0.0.5"), unfinished);
    assert_eq!(with("plugin_id=4003 plugin_sid=7 src_ip=203.0.113.1 dst_ip=10.0.0.6"), unfinished);
    assert_eq!(with("plugin_id=4003 plugin_sid=7 dst_ip=10.0.0.5"), unfinished, "no source");
}

#[test]
fn levels_have_to_come_in_time() {
    assert_eq!(
        changes(&run(xml(LADDER), &failures(&[0, 5, 10, 15]))),
        [("opened", 0, 3), ("updated", 15, 4), ("closed", 75, 4)]
    );
    assert_eq!(
        changes(&run(xml(LADDER), &failures(&[0, 5, 10, 16]))),
        [("opened", 0, 3), ("closed", 15, 3), ("opened", 16, 3), ("closed", 31, 3)],
        "a second too late, and it begins anew"
    );
    // By event time: the one that comes last was in time.
    assert_eq!(changes(&run(xml(LADDER), &failures(&[0, 16, 5, 10, 15])))[1], ("updated", 15, 4));
}

#[test]
fn the_home_net_and_the_first_level_decide_what_begins() {
    let to = |dst: &'static str| changes(&run(xml(LADDER), &[(0, dst, None)]));
    assert_eq!(to("plugin_id=4003 plugin_sid=2 src_ip=203.0.113.1 dst_ip=192.0.2.1"), []);
    assert_eq!(to("plugin_id=4003 plugin_sid=4 src_ip=203.0.113.1 dst_ip=10.0.0.5"), []);
    assert_eq!(to("plugin_id=4004 plugin_sid=2 src_ip=203.0.113.1 dst_ip=10.0.0.5"), []);
    // An asset of 2, which is home's default: 2 × 5 × 3 / 25 = 1.
    assert_eq!(
        to("plugin_id=4003 plugin_sid=2 src_ip=203.0.113.1 dst_ip=10.0.0.9"),
        [("opened", 0, 1), ("closed", 15, 1)]
    );
    // The larger value of both ends.
    assert_eq!(
        to("plugin_id=4003 plugin_sid=2 src_ip=10.0.0.5 dst_ip=10.0.0.9")[0],
        ("opened", 0, 3)
    );
}

#[test]
fn a_policy_s_priority_takes_the_place_of_the_directive_s() {
    let told = [(0, "plugin_id=4003 plugin_sid=2 src_ip=203.0.113.1 dst_ip=10.0.0.5", Some(2))];
    assert_eq!(changes(&run(xml(LADDER), &told)), [("opened", 0, 1), ("closed", 15, 1)]);
    let silent = [(0, "plugin_id=4003 plugin_sid=2 src_ip=203.0.113.1 dst_ip=10.0.0.5", Some(0))];
    assert_eq!(changes(&run(xml(LADDER), &silent)), [], "a risk of 0 is no alarm");
}

#[test]
fn sticky_different_counts_values() {
    let scan = r#"<directive id="7" name="scan" priority="5"><rule type="detector" name="a" plugin_id="1"
        reliability="1"><rules><rule type="detector" name="b" plugin_id="1" occurrence="3" from="1:SRC_IP"
        sticky_different="DST_PORT" reliability="5" time_out="60"/></rules></rule></directive>"#;
    let port =
        |second: i64, port: u16| (second, format!("plugin_id=1 src_ip=10.0.0.5 dst_port={port}"));
    let with = |ports: &[u16]| {
        let told: Vec<(i64, String)> =
            (0..).zip(ports).map(|(second, number)| port(second, *number)).collect();
        let told: Vec<Told<'_>> =
            told.iter().map(|(s, words)| (*s, words.as_str(), None)).collect();
        changes(&run(xml(scan), &told)).iter().map(|(word, ..)| *word).collect::<Vec<_>>()
    };
    assert_eq!(with(&[1, 1, 2, 3]), ["opened", "updated", "closed"]);
    assert_eq!(with(&[1, 1, 2, 2, 2, 1]), ["opened", "closed"]);
}

#[test]
fn what_is_not_sticky_may_begin_another() {
    let directive = |sticky: &str| {
        let text = format!(
            r#"<directive id="7" name="d" priority="5"><rule type="detector" name="a" plugin_id="1" reliability="5">
            <rules><rule type="detector" name="b" plugin_id="1" occurrence="2" reliability="9" {sticky}/></rules>
            </rule></directive>"#
        );
        let told =
            [(0, "plugin_id=1 src_ip=10.0.0.5", None), (1, "plugin_id=1 src_ip=10.0.0.5", None)];
        run(xml(&text), &told).iter().filter(|alarm| alarm.change == Change::Opened).count()
    };
    assert_eq!((directive(""), directive(r#"sticky="false""#)), (1, 2));
}

#[test]
fn negations_ranges_and_first_levels_of_several() {
    let text = r#"<directive id="7" name="d" priority="5"><rule type="detector" name="a" plugin_id="1"
        plugin_sid="!5,!6" port_to="20-25,!22" from="!HOME_NET" to="10.0.0.0/24" occurrence="2"
        reliability="5"/></directive>"#;
    let twice = |words: &str| changes(&run(xml(text), &[(0, words, None), (1, words, None)])).len();
    assert_eq!(twice("plugin_id=1 plugin_sid=1 dst_port=21 src_ip=192.0.2.1 dst_ip=10.0.0.5"), 2);
    for not in [
        "plugin_id=1 plugin_sid=5 dst_port=21 src_ip=192.0.2.1 dst_ip=10.0.0.5",
        "plugin_id=1 plugin_sid=1 dst_port=22 src_ip=192.0.2.1 dst_ip=10.0.0.5",
        "plugin_id=1 plugin_sid=1 dst_port=26 src_ip=192.0.2.1 dst_ip=10.0.0.5",
        "plugin_id=1 plugin_sid=1 dst_port=21 src_ip=10.0.0.9 dst_ip=10.0.0.5",
        "plugin_id=1 plugin_sid=1 dst_port=21 src_ip=192.0.2.1 dst_ip=10.0.1.5",
    ] {
        assert_eq!(twice(not), 0, "{not}");
    }
}

#[test]
fn our_own_form_stands_on_sigma_rules() {
    let text = "
directives:
  - id: own
    name: sign-in, then port 445
    author: somebody
    priority: 5
    level:
      rules: [login]
      reliability: 2
      next:
        - {plugin_id: 1, port_to: 445, from: '1:SRC_IP', time_out: 1m, reliability: +4}
";
    let read = parse_yaml(text, "d.yml").unwrap();
    let told = [
        (0, "rule=login src_ip=10.0.0.5", None),
        (60, "plugin_id=1 src_ip=10.0.0.5 dst_port=445", None),
    ];
    let alarms = run(read.clone(), &told);
    assert_eq!(changes(&alarms), [("opened", 0, 2), ("updated", 60, 6), ("closed", 60, 6)]);
    assert_eq!(alarms[0].rule.author.as_deref(), Some("somebody"));
    let mut report = LoadReport::default();
    let nobody = Directives::new(read, &[], home(), Settings::default(), &mut report);
    assert_eq!(nobody.running(), 0);
    assert!(report.to_string().contains("d.yml:3:5: rule `own`: `login` is no rule"), "{report}");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let rule = |attributes: &str| {
        format!(
            "<directives>\n<directive id='9' name='x' priority='3'>\n<rule type='detector' name='r' \
                 plugin_id='1'><rule type='detector' name='s' plugin_id='1' {attributes}/></rule></directive></directives>"
        )
    };
    let told = |text: &str| {
        let mut report = LoadReport::default();
        match parse_xml(text.as_bytes(), "d.xml", &mut report) {
            Ok(_) => report.to_string(),
            Err(error) => error.to_string(),
        }
    };
    for (attributes, why) in [
        ("reliability='11'", "d.xml:2:1: rule `9`: rule `s`: reliability `11` is neither 0 to 10"),
        ("reliability='++1'", "reliability `++1`"),
        ("occurrence='0'", "occurrence `0` is not from 1"),
        ("time_out='None'", "only the first rule may wait for ever"),
        ("time_out='-1'", "`-1` is no number of seconds"),
        ("from='2:SRC_IP'", "looks back to level 2 from level 2"),
        ("from='some-host'", "`some-host` is no address"),
        ("port_to='x'", "`x` is no port"),
        ("port_to='HOME_NET'", "`HOME_NET` is no value of this field"),
        ("from='!ANY'", "`!ANY` matches nothing"),
        ("sticky_different='NOTHING'", "names no field"),
        ("suppress='1' from_rep='2'", "`suppress`, `from_rep` is not looked at (degraded)"),
    ] {
        let really = told(&rule(attributes));
        assert!(really.contains(why), "{really}\nlacks: {why}");
    }
    for (text, why) in [
        ("<directives>\n<directive", "d.xml:2:11: not XML"),
        (
            "<directive id='1' priority='1'><rule type='detector' name='all'/></directive>",
            "every event",
        ),
        (
            "<directive id='1' priority='1'><rule type='monitor' plugin_id='1'/></directive>",
            "monitors",
        ),
        ("<directive id='1' priority='6'/>", "no number from 0 to 5"),
        ("<directive priority='1'/>", "no `id`"),
        ("<directive id='1' priority='1'/>", "no rule"),
    ] {
        let really = told(text);
        assert!(really.contains(why), "{really}\nlacks: {why}");
    }
    let mut deep = "<directive id='1' priority='1'>".to_owned();
    deep += &"<rule type='detector' plugin_id='1'>".repeat(40);
    deep += &"</rule>".repeat(40);
    assert!(told(&(deep + "</directive>")).contains("nested deeper than 32"));
    for (text, why) in [
        ("directive: x", "d.yml:1:1: there is no list `directives`"),
        ("directives: [{id: 1}]", "has no `priority`"),
        ("directives: [{id: 1, priority: 9}]", "d.yml:1:32: the `priority`"),
        ("directives: [{id: 1, priority: 1}]", "has no `level`"),
        ("directives: [{id: 1, priority: 1, level: {name: x}}]", "every event"),
        ("directives: [{id: 1, priority: 1, level: {rules: a, time_out: 5s}}]", "waits for ever"),
        (
            "directives: [{id: 1, priority: 1, level: {rules: a, colour: red}}]",
            "unknown key `colour`",
        ),
    ] {
        let really = parse_yaml(text, "d.yml").unwrap_err().to_string();
        assert!(really.contains(why), "{really}\nlacks: {why}");
    }
}

#[test]
fn events_of_engines_pass_policies_and_reach_directives() {
    use crate::detector::Detector;
    use crate::event::{Event, EventId, Finding, RuleInfo, Source};
    use crate::siem::policy::{Decision, Policed, Policies, Policy};
    use crate::siem::risk::Net;
    use crate::sink::Queue;
    use crate::verdict::Severity;
    use std::sync::Arc;
    let text = "directives: [{id: d, priority: 1, level: {rules: login, reliability: 5}}]";
    let known = [Meta { name: "login".into(), ..Meta::default() }];
    let mut report = LoadReport::default();
    let directives = parse_yaml(text, "d.yml").unwrap();
    let inner = Directives::new(directives, &known, home(), Settings::default(), &mut report);
    let from = |ip: &str| vec![Net::parse(ip).unwrap()];
    let policies = vec![
        Policy { sources: from("203.0.113.2"), ..Policy::new(Decision::Drop) },
        Policy { sources: from("203.0.113.3"), ..Policy::new(Decision::Prioritise(5)) },
    ];
    let mut policed = Policed::new(Policies::new(policies), inner);
    let rule = Arc::new(RuleInfo { id: "9".into(), name: "login".into(), ..RuleInfo::default() });
    let queue = Queue::new(100);
    for (n, last) in (0..).zip([1, 2, 3]) {
        let mut event =
            Event::new(EventId::new(1, n), Source::Host, Timestamp::from_unix_seconds(50));
        event.src_endpoint = Some(([203, 0, 113, last], 9).into());
        event.dst_endpoint = Some(([10, 0, 0, 5], 9).into());
        event.findings.push(Finding::new(rule.clone(), Severity::Low, "login"));
        let _verdict = policed.observe(&event, &queue);
    }
    policed.advance(Timestamp::from_unix_seconds(50), &queue);
    policed.advance(Timestamp::from_unix_seconds(500), &queue);
    let told: Vec<_> = queue
        .drain()
        .iter()
        .map(|e| (e.activity_id, e.risk, e.src_endpoint.unwrap().ip().to_string()))
        .collect();
    let alarm = |activity, risk, ip: &str| (activity, Some(risk), ip.to_owned());
    assert_eq!(
        told,
        [
            alarm(1, 1, "203.0.113.1"),
            alarm(3, 1, "203.0.113.1"),
            alarm(1, 5, "203.0.113.3"),
            alarm(3, 5, "203.0.113.3"),
        ]
    );
    assert_eq!(policed.dropped(), 1);
}

#[test]
fn text_cut_anywhere_is_an_error_and_no_panic() {
    for at in 0..LADDER.len() {
        let mut report = LoadReport::default();
        let cut = LADDER.as_bytes().get(..at).unwrap();
        assert!(parse_xml(cut, "d.xml", &mut report).is_err(), "cut at {at}");
    }
}

/// Events of several sources in disorder, that begin, continue and finish the ladder.
fn disordered(count: i64) -> Vec<(i64, String)> {
    let mut random = 7_u64;
    let event = |n: i64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let draw = |bits: u32, below: u64| i64::try_from((random >> bits) % below).unwrap();
        let (source, late, sid) = (draw(33, 4), draw(40, 25), if draw(50, 9) == 0 { 7 } else { 2 });
        let words =
            format!("plugin_id=4003 plugin_sid={sid} src_ip=203.0.113.{source} dst_ip=10.0.0.5");
        (n * 2 + 100 - late, words)
    };
    (0..count).map(event).collect()
}

fn fresh() -> Directives {
    let known = [Meta { name: "login".into(), ..Meta::default() }];
    let mut report = LoadReport::default();
    let mut read = xml(LADDER);
    let text = "directives: [{id: d, priority: 5, level: {rules: login, reliability: 5, next: [
        {rules: login, from: '1:SRC_IP', occurrence: 4, sticky_different: SRC_PORT, reliability: 9}]}}]";
    read.extend(parse_yaml(text, "d.yml").unwrap());
    Directives::new(read, &known, home(), Settings::default(), &mut report)
}

fn see(directives: &mut Directives, at: usize, event: &(i64, String), out: &mut Vec<Alarm>) {
    let port = (at % 7).to_string();
    let mut fields: Vec<Field<'_>> = event
        .1
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| Field { name, value: Value::text(value) })
        .collect();
    fields.push(Field { name: "src_port", value: Value::text(&port) });
    let rules: &[u32] = if at.is_multiple_of(3) { &[0] } else { &[] };
    let priority = (at.is_multiple_of(50)).then_some(4);
    let record = Record { fields: &fields, ..Record::default() };
    directives.see(rules, Timestamp::from_unix_seconds(event.0), "s", &record, priority, out);
}

#[test]
fn snapshots_in_between_change_nothing() {
    let events = disordered(400);
    let mut expected = Vec::new();
    let mut whole = fresh();
    for (at, event) in events.iter().enumerate() {
        see(&mut whole, at, event, &mut expected);
    }
    whole.flush(&mut expected);
    assert!(expected.len() > 100, "{}", expected.len());
    for batch in [1, 7, 100] {
        let (mut directives, mut out) = (fresh(), Vec::new());
        for (at, event) in events.iter().enumerate() {
            see(&mut directives, at, event, &mut out);
            if at % batch == 0 {
                let bytes = directives.snapshot();
                let running = directives.running();
                directives = fresh();
                let restored = directives.restore(&bytes).unwrap();
                assert_eq!((restored.groups, restored.skipped), (running, 0));
                assert_eq!(directives.snapshot(), bytes);
            }
        }
        directives.flush(&mut out);
        assert_eq!(out, expected, "a snapshot every {batch} events");
    }
}

#[test]
fn a_snapshot_that_is_damaged_or_of_other_directives_is_told() {
    let (mut directives, mut out) = (fresh(), Vec::new());
    for (at, event) in disordered(60).iter().enumerate() {
        see(&mut directives, at, event, &mut out);
    }
    let bytes = directives.snapshot();
    for at in 0..bytes.len() {
        assert!(fresh().restore(&bytes[..at]).is_err(), "cut at {at}");
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(fresh().restore(&changed).is_err(), "changed at {at}");
    }
    let mut report = LoadReport::default();
    let other = xml(&LADDER.replace("time_out=\"15\"", "time_out=\"16\""));
    let mut other = Directives::new(other, &[], home(), Settings::default(), &mut report);
    let restored = other.restore(&bytes).unwrap();
    assert_eq!((restored.groups, restored.skipped), (0, directives.running()));
}

#[test]
fn directives_stand_where_they_begin() {
    let text = "<?xml version=\"1.0\"?><!DOCTYPE d [<!-- don't <directive> --><!ENTITY e '>'>]>
<directives><!-- <directive id='0'> --><directive id='2' priority='9'>
<rule plugin_id='1' plugin_sid=\"1\"/></directive>
  <directive name='a > b' priority='9' id='1'/>
<directive id='1' priority='9'/></directives>";
    let mut report = LoadReport::default();
    parse_xml(text.as_bytes(), "d.xml", &mut report).unwrap();
    let places: Vec<_> = report.refused.iter().map(|line| (line.line, line.column)).collect();
    assert_eq!(places, [(2, 40), (4, 3), (5, 1)], "{report}");
}

#[test]
fn names_of_two_rules_are_refused_and_the_report_counts_what_runs() {
    let text = "directives:
  - {id: a, priority: 5, level: {rules: login, reliability: 5}}
  - {id: b, priority: 5, level: {rules: '2', reliability: 5}}
  - {id: c, priority: 5, level: {rules: '2', to: HOME_NET, reliability: 5}}";
    let meta = |id: &str, file: &str| Meta {
        id: id.into(),
        name: "login".into(),
        file: file.into(),
        ..Meta::default()
    };
    let known = [meta("1", "one.yml"), meta("2", "two.yml")];
    let mut report = LoadReport::default();
    let read = parse_yaml(text, "d.yml").unwrap();
    Directives::new(read, &known, Assets::new(), Settings::default(), &mut report);
    assert_eq!((report.loaded, report.refused.len(), report.degraded.len()), (2, 1, 1));
    let told = report.to_string();
    assert!(
        told.contains("d.yml:2:5: rule `a`: `login` may be the rule of one.yml:1 or"),
        "{told}"
    );
    assert!(told.contains("that of two.yml:1"), "{told}");
    assert!(told.contains("d.yml:4:5: rule `c`: it names `HOME_NET`"), "{told}");
}

#[test]
fn what_comes_after_a_flush_is_no_more_late_than_before() {
    let mut directives = fresh();
    let mut out = Vec::new();
    let event =
        |second: i64| (second, "plugin_id=4003 plugin_sid=2 src_ip=a dst_ip=10.0.0.5".to_owned());
    see(&mut directives, 1, &event(100), &mut out);
    directives.flush(&mut out);
    assert_eq!(changes(&out), [("opened", 100, 3), ("closed", 115, 3)]);
    out.clear();
    see(&mut directives, 1, &event(101), &mut out);
    see(&mut directives, 1, &event(102), &mut out);
    directives.flush(&mut out);
    assert_eq!(directives.late_dropped(), 0);
    assert_eq!(changes(&out), [("opened", 101, 3), ("closed", 116, 3)]);
}

#[test]
fn a_first_level_that_waits_for_ever_ends_with_the_stream() {
    let text = br#"<directives><directive id="19" name="x" priority="5"><rule type="detector" name="one"
        reliability="10" occurrence="9" from="ANY" to="ANY" plugin_id="1" plugin_sid="2"/></directive></directives>"#;
    let mut report = LoadReport::default();
    let read = parse_xml(text, "d.xml", &mut report).unwrap();
    // It asserts that nothing runs any more.
    assert!(run(read, &[(1, "plugin_id=1 plugin_sid=2 src_ip=a", Some(5))]).is_empty());
}

#[test]
fn values_that_wait_are_bounded() {
    let mut directives = fresh();
    let mut out = Vec::new();
    let long = "u".repeat(1_000_000);
    let words = format!("plugin_id=4003 plugin_sid=2 src_ip=a dst_ip=10.0.0.5 user={long}");
    see(&mut directives, 1, &(100, words), &mut out);
    assert!(directives.snapshot().len() < 2_000, "{}", directives.snapshot().len());
}

#[test]
fn events_that_wait_are_bounded_by_what_they_cost() {
    let known = [Meta { name: "login".into(), ..Meta::default() }];
    let text =
        "directives: [{id: d, priority: 5, level: {rules: login, reliability: 5, occurrence: 9}}]";
    let waiting = |value: &str, count: i64| {
        let settings = Settings { pending_bytes: 100_000, ..Settings::stored() };
        let read = parse_yaml(text, "d.yml").unwrap();
        let mut report = LoadReport::default();
        let mut directives = Directives::new(read, &known, home(), settings, &mut report);
        let names = ["src_ip", "dst_ip", "username", "filename", "userdata1", "userdata2"];
        let fields = names.map(|name| Field { name, value: Value::text(value) });
        let (record, mut out) = (Record { fields: &fields, ..Record::default() }, Vec::new());
        for second in 0..count {
            let time = Timestamp::from_unix_seconds(second);
            directives.see(&[0], time, "s", &record, None, &mut out);
            assert!(directives.waiting_bytes() <= 100_000);
        }
        let told = out.iter().any(|alarm| alarm.rule.id == "correlation-pending-overflow");
        let bytes = directives.waiting_bytes();
        directives.flush(&mut out);
        assert_eq!(directives.waiting_bytes(), 0);
        (bytes, told)
    };
    // Six values of ten bytes, and what every event costs.
    assert_eq!(waiting("0123456789", 1), (192, false));
    assert_eq!(waiting("0123456789", 500), (96_000, false));
    assert!(waiting("0123456789", 530).1);
    // As many of long values do not fit, and that is told.
    assert!(waiting(&"x".repeat(200), 500).1);
}
