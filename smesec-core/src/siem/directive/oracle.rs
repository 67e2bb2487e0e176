//! Running directives by a look at all of them at every event, to which the indexed ones are held.

use super::fields::Values;
use super::loaded::Loaded;
use super::run::{Directives, Seen};
use super::running::Running;
use super::table::Table;
use super::{parse_xml, parse_yaml};
use crate::ruleset::LoadReport;
use crate::siem::correlation::{Alarm, AlarmKind, Settings};
use crate::siem::record::{Field, Record, Value};
use crate::siem::risk::Assets;
use crate::time::Timestamp;

fn assets() -> Assets {
    Assets::new().home("10.0.0.0/8").unwrap().host("10.0.0.1", 5)
}

fn fresh(text: &str, most: usize) -> Directives {
    let mut report = LoadReport::default();
    let read = if text.starts_with('<') {
        parse_xml(text.as_bytes(), "d.xml", &mut report).unwrap()
    } else {
        parse_yaml(text, "d.yml").unwrap()
    };
    let mut directives = Directives::new(read, &[], assets(), Settings::default(), &mut report);
    assert!(report.refused.is_empty() && report.degraded.is_empty(), "{report}");
    directives.most = most;
    directives
}

/// Second and fields.
type Told = (i64, Vec<(&'static str, String)>);

fn see(directives: &mut Directives, told: &Told, out: &mut Vec<Alarm>) {
    with(told, |record| {
        let time = Timestamp::from_unix_seconds(told.0);
        directives.see(&[], time, "s", record, None, out);
    });
}

fn with<T>(told: &Told, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let field = |(name, value): &'_ (&'static str, String)| (*name, value.clone());
    let owned: Vec<(&str, String)> = told.1.iter().map(field).collect();
    let fields: Vec<Field<'_>> =
        owned.iter().map(|(name, value)| Field { name, value: Value::text(value) }).collect();
    look(&Record { fields: &fields, ..Record::default() })
}

/// The alarms of one directive over events in the order of their time.
fn scan(loaded: &Loaded, most: usize, told: &[Told]) -> Vec<Alarm> {
    let (assets, mut out) = (assets(), Vec::new());
    let mut running: Vec<Running> = Vec::new();
    let expire = |running: &mut Vec<Running>, time: i64, out: &mut Vec<Alarm>| {
        loop {
            let ends = |one: &Running| loaded.ends(one).unwrap_or(i64::MAX);
            let first = (0..running.len()).min_by_key(|at| (ends(&running[*at]), *at));
            let Some(first) = first.filter(|at| ends(&running[*at]) < time) else { return };
            let mut one = running.remove(first);
            one.close(loaded, loaded.ends(&one).unwrap(), out);
        }
    };
    for event in told {
        let time = event.0 * 1_000_000_000;
        let values = with(event, |record| Values::read(record));
        let seen = Seen { rules: Vec::new(), values, priority: None };
        expire(&mut running, time, &mut out);
        let (mut begins, mut at) = (true, 0);
        while at < running.len() {
            let taken = running[at].show(loaded, time, &seen, &assets, &mut out);
            begins &= taken.is_none_or(|taken| !taken.sticky);
            if taken.is_some_and(|taken| taken.ended) {
                running.remove(at);
            } else {
                at += 1;
            }
        }
        if begins && loaded.takes(&loaded.directive.first, &seen, &[], &assets) {
            let mut one = Running::begin(loaded, time, &seen);
            if one.show(loaded, time, &seen, &assets, &mut out).is_none_or(|taken| !taken.ended) {
                if running.len() >= most {
                    let least = (0..running.len()).min_by_key(|at| running[*at].rank(loaded));
                    running.remove(least.unwrap()).forget(loaded, time, &mut out);
                }
                running.push(one);
            }
        }
    }
    expire(&mut running, i64::MAX, &mut out);
    out
}

const SHAPES: &[&str] = &[
    "directives: [{id: steps, priority: 5, level: {plugin_id: 1, reliability: 3, next: [
        {plugin_id: 1, from: '1:SRC_IP', occurrence: 2, time_out: 20s, reliability: +1, next: [
          {plugin_id: 1, from: '1:SRC_IP', to: '!1:DST_IP', time_out: 30s, reliability: 9},
          {plugin_id: 2, from: '1:DST_IP', to: '2:SRC_IP', time_out: 10s, reliability: 8}]},
        {plugin_id: 2, from: ['1:SRC_IP', '1:DST_IP'], time_out: 5s, reliability: 7}]}}]",
    "directives: [{id: unsticky, priority: 5, level: {plugin_id: 1, reliability: 3, next: [
        {plugin_id: [1, 2], from: '1:SRC_IP', sticky: false, occurrence: 3, time_out: 9s, reliability: 6},
        {plugin_id: 2, sticky_different: SRC_PORT, occurrence: 4, time_out: 60s, reliability: 10}]}}]",
    "directives: [{id: counting, priority: 5, level: {plugin_id: 1, from: '!HOME_NET', occurrence: 3,
        sticky: false, reliability: 2, next: [
        {plugin_id: 2, to: '10.0.0.0/31', from: '1:SRC_IP', time_out: 15s, reliability: 8}]}}]",
];

#[test]
fn the_index_finds_what_a_look_at_all_finds() {
    let mut random = 11_u64;
    let mut draw = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let mut compared = 0;
    for round in 0..300 {
        let (text, most) = (SHAPES[round % SHAPES.len()], [3, 8, 10_000][round / 3 % 3]);
        let mut directives = fresh(text, most);
        let mut told: Vec<Told> = Vec::new();
        for n in 0..120 {
            let mut fields = vec![("plugin_id", (1 + draw(2)).to_string())];
            if draw(12) > 0 {
                let net = if draw(4) == 0 { "10.0.0" } else { "192.0.2" };
                fields.push(("src_ip", format!("{net}.{}", draw(4))));
            }
            fields.push(("dst_ip", format!("10.0.0.{}", draw(3))));
            fields.push(("src_port", draw(5).to_string()));
            told.push((n + 100 - i64::try_from(draw(20)).unwrap(), fields));
        }
        let mut alarms = Vec::new();
        for event in &told {
            see(&mut directives, event, &mut alarms);
        }
        directives.flush(&mut alarms);
        alarms.retain(|alarm| alarm.kind == AlarmKind::Directive);
        told.sort_by_key(|(second, _)| *second);
        let expected = scan(&directives.loaded[0], most, &told);
        assert_eq!(alarms, expected, "round {round}");
        compared += alarms.len();
    }
    assert!(compared > 10_000, "{compared}");
}

/// Failures by one address, with one port in ten thousand.
fn failure(second: i64, source: u32) -> Told {
    let source = std::net::Ipv4Addr::from(0x0b00_0000 + source).to_string();
    let fields = vec![("plugin_id", "1".to_owned()), ("src_ip", source)];
    (second, fields)
}

const NEAR: &str =
    "directives: [{id: near, priority: 5, level: {plugin_id: 1, reliability: 1, next: [
    {plugin_id: 1, from: '1:SRC_IP', occurrence: 100, time_out: 1h, reliability: 10}]}}]";

#[test]
fn a_flood_does_not_make_us_forget_a_group_near_its_end() {
    let mut directives = fresh(NEAR, 1_000);
    let mut out = Vec::new();
    // Its next level lacks one hit, and it is the oldest.
    for _ in 0..100 {
        see(&mut directives, &failure(0, 0), &mut out);
    }
    for n in 0..5_000 {
        see(&mut directives, &failure(60, 1 + n), &mut out);
    }
    see(&mut directives, &failure(61, 0), &mut out);
    directives.flush(&mut out);
    assert_eq!(directives.forgotten, 4_001);
    let told: Vec<_> = out.iter().filter(|alarm| alarm.kind == AlarmKind::Health).collect();
    assert_eq!(told.len(), 12, "told at 1, 2, 4 and so on");
    // Without an asset at stake there is no risk; the level was completed all the same.
    assert_eq!(directives.running.iter().map(Table::len).sum::<usize>(), 0);
}

#[test]
fn an_alarm_that_is_forgotten_says_so() {
    let mut directives = fresh(&NEAR.replace("reliability: 1,", "reliability: 5,"), 2);
    let mut out = Vec::new();
    for n in 0..3 {
        let mut event = failure(0, n);
        event.1.push(("dst_ip", "10.0.0.1".to_owned()));
        see(&mut directives, &event, &mut out);
    }
    directives.flush(&mut out);
    let closed: Vec<_> = out.iter().filter(|alarm| alarm.change.word() == "closed").collect();
    assert_eq!(closed.len(), 3);
    assert_eq!(closed[0].message, "near (forgotten while it went on: too many run at once)");
    assert!(closed[1..].iter().all(|alarm| alarm.message == "near"));
}

#[test]
fn an_event_costs_what_it_moves() {
    let mut directives = fresh(NEAR, 10_000);
    let mut out = Vec::new();
    for n in 0..10_000 {
        see(&mut directives, &failure(0, n), &mut out);
    }
    for n in 0..100_000 {
        see(&mut directives, &failure(60, n % 10_000), &mut out);
    }
    // The source has been silent from the first of these on, and is no longer waited for at the second.
    for second in [120, 600] {
        directives.advance(Timestamp::from_unix_seconds(second), &mut out);
    }
    assert_eq!((directives.running(), directives.running[0].shown), (10_000, 100_000));
}
