//! Floods: what is kept, what is forgotten, and that it is told.

use super::*;

fn half(correlator: &mut Correlator, from: i64, out: &mut Vec<Alarm>) {
    for n in 0..5 {
        let time = Timestamp::from_unix_nanos(from + n * SECOND);
        correlator.hit(0, time, "s", &row("g=victim"), out);
    }
}

#[test]
fn a_flood_of_other_keys_does_not_hide_a_group_near_its_alarm() {
    let text = "{title: n, correlation: {type: event_count, rules: [a], group-by: [g], timespan: 1h, \
                condition: {gte: 10}}}";
    let mut correlator = Correlator::new(plan(text), Settings::default());
    let mut out = Vec::new();
    half(&mut correlator, 0, &mut out);
    for n in 0..150_000_i64 {
        let time = Timestamp::from_unix_nanos(10 * SECOND + n * SECOND / 100);
        correlator.hit(0, time, "s", &Row(vec![("g".into(), format!("k{n}"))]), &mut out);
    }
    assert!(correlator.bytes() < 50_000_000, "{} bytes", correlator.bytes());
    half(&mut correlator, 1_600 * SECOND, &mut out);
    correlator.flush(&mut out);
    assert_eq!(opened(&out), ["n 1604000000000 victim"]);
    let statistics = correlator.statistics();
    assert_eq!(statistics.groups_evicted, 50_001);
    let health: Vec<_> = out.iter().filter(|alarm| alarm.kind == AlarmKind::Health).collect();
    assert_eq!(health[0].rule.id, "correlation-groups-overflow");
    assert_eq!((health[0].count, health[0].severity), (1, crate::verdict::Severity::High));
    assert_eq!(health.len(), 16, "at 1, 2, 4 … 32,768: told at once, and no flood itself");
}

#[test]
fn too_many_waiting_hits_are_judged_early_and_told() {
    let text = "{title: n, correlation: {type: event_count, rules: [a], group-by: [g], timespan: 1h, \
                condition: {gte: 3}}}";
    let settings = Settings { pending: 10, ..Settings::stored() };
    let mut correlator = Correlator::new(plan(text), settings);
    let hits: Vec<Hit<'_>> = (0..100).map(|n| ("a", n * SECOND, "g=1")).collect();
    let out = feed(&mut correlator, &hits);
    assert_eq!(opened(&out), ["n 2000000000 1"]);
    assert!(correlator.waiting() <= 10);
    assert_eq!(correlator.statistics().forced, 90);
    assert!(out.iter().any(|alarm| alarm.rule.id == "correlation-pending-overflow"));
}

#[test]
fn values_beyond_the_bound_are_dropped_and_told() {
    let text = "{title: n, correlation: {type: value_sum, rules: [a], timespan: 1h, \
                condition: {field: v, gte: 11}}}";
    let settings = Settings { samples: 10, ..Settings::default() };
    let mut correlator = Correlator::new(plan(text), settings);
    let hits: Vec<Hit<'_>> = (0..100).map(|n| ("a", n * SECOND, "v=1")).collect();
    let mut out = feed(&mut correlator, &hits);
    correlator.flush(&mut out);
    assert_eq!(opened(&out), [""; 0]);
    assert_eq!(correlator.statistics().samples_dropped, 90);
    assert!(out.iter().any(|alarm| alarm.rule.id == "correlation-samples-overflow"));
}

#[test]
fn values_of_all_groups_are_bounded_together_and_given_back() {
    let text = "{title: n, correlation: {type: value_sum, rules: [a], group-by: [g], timespan: 60s, \
                condition: {field: v, gte: 1000}}}";
    let settings = Settings { all_samples: 40, ..Settings::default() };
    let mut correlator = Correlator::new(plan(text), settings.clone());
    let row = |n: i64| Row(vec![("g".into(), (n % 10).to_string()), ("v".into(), "1".into())]);
    let mut out = Vec::new();
    for n in 0..100 {
        correlator.hit(0, Timestamp::from_unix_nanos(n * SECOND / 10), "s", &row(n), &mut out);
    }
    correlator.flush(&mut out);
    // Four each, and from there on one goes for each that comes.
    assert_eq!(correlator.statistics().samples_dropped, 60);
    assert!(out.iter().any(|alarm| alarm.rule.id == "correlation-samples-overflow"));
    let snapshot = correlator.snapshot(0);
    let mut other = Correlator::new(plan(text), settings);
    other.restore(&snapshot).unwrap();
    for correlator in [&mut correlator, &mut other] {
        let dropped = |correlator: &Correlator| correlator.statistics().samples_dropped;
        let before = dropped(correlator);
        let mut out = Vec::new();
        correlator.hit(0, Timestamp::from_unix_seconds(11), "s", &row(0), &mut out);
        correlator.flush(&mut out);
        assert_eq!(dropped(correlator), before + 1, "the values of all still count");
        // Once their window has passed there is room again.
        for n in 0..40 {
            let time = Timestamp::from_unix_nanos(1_000 * SECOND + n * SECOND / 10);
            correlator.hit(0, time, "s", &row(n), &mut out);
        }
        correlator.flush(&mut out);
        assert_eq!(dropped(correlator), before + 1);
    }
}

#[test]
fn groups_are_forgotten_once_their_window_has_passed() {
    let text = "{title: n, correlation: {type: event_count, rules: [a], group-by: [g], timespan: 60s, \
                condition: {gte: 3}}}";
    let mut correlator = Correlator::new(plan(text), Settings::default());
    let mut out = Vec::new();
    for n in 0..10_000 {
        let time = Timestamp::from_unix_seconds(n);
        correlator.hit(0, time, "s", &Row(vec![("g".into(), n.to_string())]), &mut out);
        assert!(
            correlator.groups() <= 93,
            "60 s of window, 30 s of lateness: {}",
            correlator.groups()
        );
    }
    // A value of a megabyte is kept as its beginning and its hash.
    let long = Row(vec![("g".into(), "x".repeat(1 << 20))]);
    correlator.hit(0, Timestamp::from_unix_seconds(10_000), "s", &long, &mut out);
    assert!(correlator.bytes() < 100_000);
}

#[test]
fn one_event_years_ahead_does_not_keep_groups_for_ever() {
    let text = "{title: n, correlation: {type: event_count, rules: [a], group-by: [g], timespan: 60s, \
                condition: {gte: 2}}}";
    let mut correlator = Correlator::new(plan(text), Settings::default());
    let mut out = Vec::new();
    for n in 0..1_000_i64 {
        let second = if n == 3 { 2_000_000_000 } else { n };
        let time = Timestamp::from_unix_seconds(second);
        correlator.hit(0, time, "s", &Row(vec![("g".into(), (n / 2).to_string())]), &mut out);
    }
    assert!(correlator.groups() < 60, "{}", correlator.groups());
    assert_eq!(correlator.statistics().late_dropped, 0, "the good rest is correlated");
    correlator.flush(&mut out);
    assert_eq!(opened(&out).len(), 499);
}

#[test]
fn what_was_evicted_leaves_nothing_behind() {
    let rule =
        |what: &str| format!("{{title: n, correlation: {{{what}, group-by: [g], timespan: 7d}}}}");
    for (what, opens) in [
        ("type: event_count, rules: [a], condition: {gte: 3}", 0),
        ("type: temporal_ordered, rules: [a, b], condition: a and not b", 1_000),
    ] {
        let settings = Settings { lateness: 0, groups: 1_000, ..Settings::default() };
        let mut correlator = Correlator::new(plan(&rule(what)), settings);
        let (mut out, mut early) = (Vec::new(), 0);
        for n in 0..100_000_i64 {
            let time = Timestamp::from_unix_nanos(n * SECOND / 100);
            correlator.hit(0, time, "s", &Row(vec![("g".into(), format!("k{n}"))]), &mut out);
            if n == 10_000 {
                early = correlator.bytes();
            }
        }
        let late = correlator.bytes();
        assert!(late < early + 10_000, "{what}: {early} bytes, then {late}");
        // Of those that are left nothing is forgotten.
        assert_eq!(correlator.groups(), 1_000);
        for day in [8, 16] {
            correlator.advance(Timestamp::from_unix_seconds(day * 86_400), &mut out);
        }
        assert_eq!((correlator.groups(), opened(&out).len()), (0, opens), "{what}");
    }
}
