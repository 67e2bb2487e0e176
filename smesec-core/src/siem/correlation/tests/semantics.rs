//! What a correlation means, one test for each row of the table of required semantics.

use super::*;

const S: i64 = SECOND;

fn count(threshold: u32) -> String {
    format!(
        "{{title: n, correlation: {{type: event_count, rules: [a], group-by: [g], timespan: 60s, \
         condition: {{gte: {threshold}}}}}}}"
    )
}

fn temporal(kind: &str, rules: &str, condition: &str) -> String {
    format!(
        "{{title: t, correlation: {{type: {kind}, rules: [{rules}], group-by: [g], timespan: 60s{condition}}}}}"
    )
}

#[test]
fn temporal_without_a_condition_asks_for_all() {
    let rule = temporal("temporal", "a, b, c", "");
    assert_eq!(
        opened(&run(&rule, &[("b", S, "g=1"), ("a", 2 * S, "g=1"), ("a", 3 * S, "g=1")])),
        [""; 0]
    );
    let all = [("c", S, "g=1"), ("a", 2 * S, "g=1"), ("b", 3 * S, "g=1")];
    assert_eq!(opened(&run(&rule, &all)), ["t 3000000000 1"]);
    let two = temporal("temporal", "a, b, c", ", condition: {gte: 2}");
    assert_eq!(opened(&run(&two, &all)), ["t 2000000000 1"]);
}

#[test]
fn order_within_a_second_is_order() {
    let rule = temporal("temporal_ordered", "a, b", "");
    let at = |a: i64, b: i64| opened(&run(&rule, &[("a", a, "g=1"), ("b", b, "g=1")])).len();
    assert_eq!(at(900_000_000, 100_000_000), 0, "b at .100, a at .900");
    assert_eq!(at(100_000_000, 900_000_000), 1);
    assert_eq!(at(100_000_001, 100_000_000), 0, "a nanosecond decides");
    assert_eq!(at(100_000_000, 100_000_000), 1, "of equal times the order of arrival counts");
}

#[test]
fn order_holds_over_every_pair_in_one_group() {
    let rule = temporal("temporal_ordered", "a, b, c", "");
    let alarms = |hits: &[Hit<'_>]| opened(&run(&rule, hits)).len();
    assert_eq!(alarms(&[("a", S, "g=1"), ("b", 2 * S, "g=1"), ("c", 3 * S, "g=1")]), 1);
    assert_eq!(alarms(&[("a", S, "g=1"), ("c", 2 * S, "g=1"), ("b", 3 * S, "g=1")]), 0);
    assert_eq!(alarms(&[("b", S, "g=1"), ("a", 2 * S, "g=1"), ("c", 3 * S, "g=1")]), 0);
    assert_eq!(alarms(&[("a", S, "g=1"), ("b", 2 * S, "g=2"), ("c", 3 * S, "g=1")]), 0);
    assert_eq!(alarms(&[("a", S, "g=1"), ("b", 2 * S, "g=1"), ("c", 3 * S, "g=2")]), 0);
    // The second a is too late for the first chain to matter, and starts one of its own.
    assert_eq!(
        opened(&run(
            &rule,
            &[
                ("a", S, "g=1"),
                ("b", 2 * S, "g=1"),
                ("a", 30 * S, "g=1"),
                ("c", 62 * S, "g=1"),
                ("b", 70 * S, "g=1"),
                ("c", 80 * S, "g=1"),
            ]
        )),
        ["t 80000000000 1"]
    );
}

#[test]
fn one_hit_takes_one_step() {
    let rule = temporal("temporal_ordered", "a, a, b", "");
    assert_eq!(opened(&run(&rule, &[("a", S, "g=1"), ("b", 2 * S, "g=1")])), [""; 0]);
    let twice = [("a", S, "g=1"), ("a", 2 * S, "g=1"), ("b", 3 * S, "g=1")];
    assert_eq!(opened(&run(&rule, &twice)), ["t 3000000000 1"]);
}

#[test]
fn correlations_on_one_group_do_not_starve_each_other() {
    let text = "{title: three, correlation: {type: event_count, rules: [a], group-by: [g], timespan: 60s, \
                condition: {gte: 3}}}\n---\n{title: five, correlation: {type: event_count, rules: [a], \
                group-by: [g], timespan: 60s, condition: {gte: 5}}}\n";
    let hits: Vec<Hit<'_>> = (1..=5).map(|n| ("a", n * S, "g=1")).collect();
    assert_eq!(opened(&run(text, &hits)), ["three 3000000000 1", "five 5000000000 1"]);
}

#[test]
fn the_window_reaches_back_by_time_and_not_by_number() {
    // Ten thousand other hits in between change nothing.
    let others: Vec<String> = (0..10_000).map(|n| format!("g=x{n}")).collect();
    let mut hits: Vec<Hit<'_>> = vec![("a", S, "g=1")];
    hits.extend(others.iter().map(|words| ("a", 2 * S, words.as_str())));
    hits.push(("a", 61 * S, "g=1"));
    assert_eq!(opened(&run(&count(2), &hits)), ["n 61000000000 1"]);
}

#[test]
fn windows_slide_and_their_ends_belong_to_them() {
    let alarms = |last: i64| {
        opened(&run(&count(3), &[("a", 7 * S, "g=1"), ("a", 30 * S, "g=1"), ("a", last, "g=1")]))
            .len()
    };
    assert_eq!(alarms(67 * S - 1), 1);
    assert_eq!(alarms(67 * S), 1, "inclusive");
    assert_eq!(alarms(67 * S + 1), 0, "a nanosecond too late");
    let chain = |last: i64| {
        let rule = temporal("temporal_ordered", "a, b", "");
        opened(&run(&rule, &[("a", 7 * S, "g=1"), ("b", last, "g=1")])).len()
    };
    assert_eq!((chain(67 * S - 1), chain(67 * S), chain(67 * S + 1)), (1, 1, 0));
    let any = |last: i64| {
        let rule = temporal("temporal", "a, b", "");
        opened(&run(&rule, &[("b", 7 * S, "g=1"), ("a", last, "g=1")])).len()
    };
    assert_eq!((any(67 * S - 1), any(67 * S), any(67 * S + 1)), (1, 1, 0));
    let values = |last: i64| {
        let rule = "{title: v, correlation: {type: value_count, rules: [a], group-by: [g], timespan: 60s, \
                    condition: {field: v, gte: 2}}}";
        opened(&run(rule, &[("a", 7 * S, "g=1 v=x"), ("a", last, "g=1 v=y")])).len()
    };
    assert_eq!((values(67 * S - 1), values(67 * S), values(67 * S + 1)), (1, 1, 0));
}

#[test]
fn an_alarm_opens_once_updates_closes_and_arms_again() {
    let mut hits: Vec<Hit<'_>> = (0..20).map(|n| ("a", n * S, "g=1")).collect();
    hits.push(("a", 75 * S, "g=1"));
    hits.extend((200..203).map(|n| ("a", n * S, "g=1")));
    // Ends the windows before it.
    hits.push(("z", 10_000 * S, "g=1"));
    hits.push(("z", 10_000 * S, "g=1"));
    let alarms = run(&count(3), &hits);
    let told: Vec<_> = alarms.iter().map(|a| (a.change, a.time.unix_seconds(), a.count)).collect();
    assert_eq!(
        told,
        [
            (Change::Opened, 2, 3),
            (Change::Updated, 5, 6),
            (Change::Updated, 11, 12),
            // From 15 s to 75 s six hits are in the window: it still holds. Then none for a minute.
            (Change::Closed, 135, 21),
            (Change::Opened, 202, 3),
            (Change::Closed, 262, 3),
        ]
    );
    assert_eq!(alarms[0].id, alarms[3].id);
    assert_ne!(alarms[0].id, alarms[4].id);
    // One that falls below without a pause closes at the hit that shows it.
    let slow: Vec<Hit<'_>> = [0, 1, 2, 50, 70, 100].iter().map(|n| ("a", n * S, "g=1")).collect();
    let told: Vec<_> =
        run(&count(3), &slow).iter().map(|a| (a.change, a.time.unix_seconds())).collect();
    assert_eq!(told, [(Change::Opened, 2), (Change::Closed, 70), (Change::Opened, 100)]);
}

#[test]
fn late_hits_count_as_if_in_time() {
    let mut correlator = Correlator::new(plan(&count(3)), Settings::default());
    let mut out = feed(
        &mut correlator,
        &[
            ("a", 100 * S, "g=1"),
            ("a", 110 * S, "g=1"),
            ("a", 125 * S, "g=2"),
            ("a", 95 * S, "g=1"),
        ],
    );
    assert!(out.is_empty(), "nothing is decided before the watermark");
    correlator.hit(25, Timestamp::from_unix_seconds(140), "s", &row(""), &mut out);
    assert!(out.is_empty(), "110 s is not before the watermark");
    correlator.hit(25, Timestamp::from_unix_nanos(140 * S + 1), "s", &row(""), &mut out);
    assert_eq!(opened(&out), ["n 110000000000 1"], "the watermark has passed it by a nanosecond");
    assert_eq!(correlator.statistics().late_dropped, 0);
    // A hit just within the lateness, and one a nanosecond beyond it.
    let mut correlator = Correlator::new(plan(&count(2)), Settings::default());
    let out = feed(
        &mut correlator,
        &[
            ("a", 100 * S, "g=1"),
            ("a", 100 * S, "g=2"),
            ("a", 70 * S, "g=1"),
            ("a", 70 * S - 1, "g=2"),
        ],
    );
    assert_eq!(correlator.statistics().late_dropped, 1);
    let told: Vec<_> = out.iter().map(|a| (a.kind, a.rule.id.as_str())).collect();
    assert_eq!(told, [(AlarmKind::Health, "correlation-late")], "and it is told");
    let mut out = Vec::new();
    correlator.flush(&mut out);
    assert_eq!(opened(&out), ["n 100000000000 1"]);
}

#[test]
fn each_source_has_its_own_lateness() {
    let settings = Settings { sources: vec![("slow".into(), 500 * S)], ..Settings::default() };
    let mut correlator = Correlator::new(plan(&count(2)), settings);
    let mut out = Vec::new();
    let mut hit = |source: &str, second: i64| {
        let time = Timestamp::from_unix_seconds(second);
        correlator.hit(0, time, source, &row("g=1"), &mut out);
        correlator.statistics().late_dropped
    };
    for second in [1_000, 1_001] {
        hit("slow", second);
        hit("quick", second);
    }
    assert_eq!(hit("slow", 501), 0);
    assert_eq!(hit("slow", 500), 1);
}

#[test]
fn clocks_ahead_are_not_believed() {
    let mut correlator = Correlator::new(plan(&count(3)), Settings::default());
    let mut out = Vec::new();
    let at = Timestamp::from_unix_seconds;
    correlator.arrived(at(1_000));
    for second in [990, 995, 1_000 + 300, 1_000 + 301, 99_999_999, 992] {
        correlator.hit(0, at(second), "s", &row("g=1"), &mut out);
    }
    assert_eq!(correlator.statistics().clock_ahead, 2, "301 s are too far, 300 s are not");
    assert_eq!(
        correlator.statistics().late_dropped,
        0,
        "nor does the one at 300 s make 992 s late"
    );
    correlator.flush(&mut out);
    let times: Vec<_> = out.iter().map(|a| (a.change, a.time.unix_seconds(), a.count)).collect();
    // The two are taken as of their arrival, 1,000 s.
    assert_eq!(times, [(Change::Opened, 995, 3), (Change::Closed, 1_060, 5)]);
}

#[test]
fn nested_correlations_of_every_kind_fire() {
    let child = |kind: &str| {
        format!(
            "title: child\nname: child\ncorrelation: {{rules: [a, b], group-by: [g], timespan: 60s, {kind}}}\n---\n"
        )
    };
    let kinds = [
        "type: event_count, condition: {gte: 2}",
        "type: value_count, condition: {field: v, gte: 2}",
        "type: value_sum, condition: {field: v, gte: 3}",
        "type: value_avg, condition: {field: v, gt: 1}",
        "type: value_median, condition: {field: v, gt: 1}",
        "type: value_percentile, condition: {field: v, percentile: 90, gte: 2}",
        "type: temporal",
        "type: temporal_ordered",
        "type: temporal, condition: a and b",
    ];
    let hits = [
        ("a", S, "g=1 v=1"),
        ("b", 2 * S, "g=1 v=2"),
        ("c", 3 * S, "g=1"),
        ("a", 101 * S, "g=1 v=1"),
        ("b", 102 * S, "g=1 v=2"),
        ("c", 103 * S, "g=1"),
    ];
    for kind in kinds {
        let ordered = child(kind)
            + "title: then\ncorrelation: {type: temporal_ordered, rules: [child, c], group-by: [g], timespan: 10s}\n";
        assert_eq!(
            opened(&run(&ordered, &hits)),
            ["then 3000000000 1", "then 103000000000 1"],
            "{kind}"
        );
        let counted = child(kind)
            + "title: twice\ncorrelation: {type: event_count, rules: [child], group-by: [g], timespan: 1h, \
               condition: {gte: 2}}\n";
        assert_eq!(opened(&run(&counted, &hits)), ["twice 102000000000 1"], "{kind}");
    }
}

#[test]
fn a_parent_groups_by_what_the_deciding_hit_had() {
    let text = "title: many\nname: many\ncorrelation: {type: event_count, rules: [a], group-by: [host], \
                timespan: 60s, condition: {gte: 2}}\n---\ntitle: user\ncorrelation: {type: temporal_ordered, \
                rules: [many, b], group-by: [who], timespan: 60s, aliases: {who: {many: user, b: login}}}\n";
    let hits = [
        ("a", S, "host=h user=u1"),
        ("a", 2 * S, "host=h user=u2"),
        ("b", 3 * S, "login=u1"),
        ("b", 4 * S, "login=u2"),
    ];
    assert_eq!(opened(&run(text, &hits)), ["user 4000000000 u2"]);
}

#[test]
fn absence_is_decided_when_the_watermark_passes() {
    let rule = temporal("temporal_ordered", "a, b", ", condition: a and not b");
    let mut correlator = Correlator::new(plan(&rule), Settings::default());
    let mut out = feed(&mut correlator, &[("a", 10 * S, "g=1"), ("a", 10 * S, "g=2")]);
    let mut at = |time: i64| {
        correlator.saw(Timestamp::from_unix_nanos(time), "s", &mut out);
        opened(&out)
    };
    // A deadline of 70 s, and 30 s of lateness.
    assert_eq!(at(100 * S), [""; 0]);
    assert_eq!(at(100 * S + 1), ["t 70000000000 2", "t 70000000000 1"], "by the groups' hashes");

    let alarms =
        |b: i64| opened(&run(&rule, &[("a", 10 * S, "g=1"), ("b", b, "g=1"), ("z", 200 * S, "")]));
    assert_eq!(alarms(70 * S), [""; 0], "at the deadline it still answers");
    assert_eq!(alarms(70 * S + 1), ["t 70000000000 1"]);
    assert_eq!(alarms(10 * S - 1), ["t 70000000000 1"], "before it answers nothing");
    assert_eq!(
        opened(&run(&rule, &[("a", 10 * S, "g=1"), ("b", 20 * S, "g=2"), ("z", 200 * S, "")])),
        ["t 70000000000 1"],
        "nor for another group"
    );
    // In any order what is barred must be absent on both sides.
    let any = temporal("temporal", "a, b", ", condition: a and not b");
    let alarms = |b: i64| {
        let mut hits = [("a", 100 * S, "g=1"), ("b", b, "g=1"), ("z", 300 * S, "")];
        hits.sort_by_key(|(_, time, _)| *time);
        opened(&run(&any, &hits)).len()
    };
    assert_eq!([40 * S - 1, 40 * S, 100 * S, 160 * S, 160 * S + 1].map(alarms), [1, 0, 0, 0, 1]);
}

#[test]
fn an_unfinished_absence_stays_open_at_the_end_of_a_stream() {
    let rule = temporal("temporal_ordered", "a, b", ", condition: a and not b");
    assert_eq!(opened(&run(&rule, &[("a", 10 * S, "g=1"), ("z", 69 * S, "")])), [""; 0]);
    let mut correlator = Correlator::new(plan(&rule), Settings::default());
    let mut out = feed(&mut correlator, &[("a", 10 * S, "g=1"), ("a", 11 * S, "g=1")]);
    correlator.advance(Timestamp::from_unix_seconds(11), &mut out);
    correlator.advance(Timestamp::from_unix_seconds(11 + 61 + 60), &mut out);
    assert_eq!(opened(&out), ["t 70000000000 1"], "the time told passes it as well");
}

#[test]
fn what_is_barred_may_stand_anywhere_in_an_order() {
    let between = temporal("temporal_ordered", "a, x, b", ", condition: a and not x and b");
    let alarms = |rule: &str, hits: &[Hit<'_>]| {
        let mut hits = hits.to_vec();
        hits.push(("z", 1_000 * S, ""));
        opened(&run(rule, &hits)).len()
    };
    assert_eq!(alarms(&between, &[("a", S, "g=1"), ("b", 3 * S, "g=1")]), 1);
    assert_eq!(alarms(&between, &[("a", S, "g=1"), ("x", 2 * S, "g=1"), ("b", 3 * S, "g=1")]), 0);
    assert_eq!(alarms(&between, &[("x", 0, "g=1"), ("a", S, "g=1"), ("b", 3 * S, "g=1")]), 1);
    assert_eq!(
        alarms(
            &between,
            &[("a", S, "g=1"), ("x", 2 * S, "g=1"), ("a", 3 * S, "g=1"), ("b", 4 * S, "g=1")]
        ),
        1,
        "an a after it begins anew"
    );
    let before = temporal("temporal_ordered", "x, a", ", condition: not x and a");
    assert_eq!(alarms(&before, &[("a", 100 * S, "g=1")]), 1);
    assert_eq!(alarms(&before, &[("x", 40 * S, "g=1"), ("a", 100 * S, "g=1")]), 0);
    assert_eq!(alarms(&before, &[("x", 40 * S - 1, "g=1"), ("a", 100 * S, "g=1")]), 1);
    let after = temporal("temporal_ordered", "a, b, x", ", condition: a and b and not x");
    assert_eq!(alarms(&after, &[("a", S, "g=1"), ("b", 20 * S, "g=1"), ("x", 61 * S, "g=1")]), 0);
    assert_eq!(alarms(&after, &[("a", S, "g=1"), ("b", 20 * S, "g=1"), ("x", 62 * S, "g=1")]), 1);
}

#[test]
fn boolean_conditions_choose() {
    let rule = temporal("temporal", "a, b, c", ", condition: a and (b or c)");
    let alarms = |hits: &[Hit<'_>]| opened(&run(&rule, hits)).len();
    assert_eq!(alarms(&[("a", S, "g=1")]), 0);
    assert_eq!(alarms(&[("b", S, "g=1"), ("c", 2 * S, "g=1")]), 0);
    assert_eq!(alarms(&[("a", S, "g=1"), ("c", 2 * S, "g=1")]), 1);
    assert_eq!(alarms(&[("b", S, "g=1"), ("a", 2 * S, "g=1")]), 1);
}

#[test]
fn figures_are_those_of_the_window() {
    let figure = |kind: &str, bound: &str, values: &[&str]| {
        let rule = format!(
            "{{title: f, correlation: {{type: {kind}, rules: [a], timespan: 60s, condition: {{field: v, {bound}}}}}}}"
        );
        let words: Vec<String> = values.iter().map(|v| format!("v={v}")).collect();
        let hits: Vec<Hit<'_>> =
            (1..).zip(&words).map(|(n, words)| ("a", n * 20 * S, words.as_str())).collect();
        let alarms = run(&rule, &hits);
        alarms
            .iter()
            .filter(|alarm| alarm.change == Change::Opened)
            .map(|alarm| (alarm.time.unix_seconds() / 20, alarm.figure.unwrap()))
            .collect::<Vec<_>>()
    };
    // The window holds four hits, 20 s apart.
    assert_eq!(figure("value_sum", "gte: 0.6", &["0.1", "0.2", "0.3"]), [(3, 0.6)]);
    assert_eq!(figure("value_sum", "gte: 10", &["9", "0", "0", "0", "1"]), []);
    assert_eq!(figure("value_sum", "lt: 0", &["1", "-3"]), [(2, -2.0)]);
    assert_eq!(figure("value_avg", "gt: 2", &["1", "2", "3", "4"]), [(4, 2.5)]);
    assert_eq!(figure("value_median", "gte: 5", &["1", "9", "8"]), [(2, 5.0)]);
    assert_eq!(figure("value_median", "gte: 6", &["1", "9", "8"]), [(3, 8.0)]);
    let eighty = "percentile: 80, gte: 7";
    assert_eq!(figure("value_percentile", eighty, &["1", "2", "7", "3"]), [(3, 7.0)]);
    assert_eq!(
        figure("value_percentile", "percentile: 50, gte: 2", &["1", "3"]),
        [],
        "rank 1 of 2"
    );
    assert_eq!(figure("value_percentile", "percentile: 0, gt: 2", &["3", "9"]), [(1, 3.0)]);
    assert_eq!(figure("value_sum", "gte: 1", &["x", "NaN", "inf", "1e999"]), [], "no numbers");
}

#[test]
fn values_are_counted_by_what_they_are() {
    let rule = "{title: v, correlation: {type: value_count, rules: [a], group-by: [g], timespan: 60s, \
                condition: {field: v, gte: 3}}}";
    let hits: Vec<Hit<'_>> = vec![
        ("a", S, "g=1 v=x"),
        ("a", 2 * S, "g=1 v=x"),
        ("a", 3 * S, "g=1 v=y"),
        ("a", 4 * S, "g=1 v=X"),
    ];
    assert_eq!(opened(&run(rule, &hits)), ["v 4000000000 1"]);
    // x is seen again in time, so it still counts when its first time has left the window.
    let again: Vec<Hit<'_>> = vec![
        ("a", S, "g=1 v=x"),
        ("a", 50 * S, "g=1 v=x"),
        ("a", 60 * S, "g=1 v=y"),
        ("a", 70 * S, "g=1 v=z"),
    ];
    assert_eq!(opened(&run(rule, &again)), ["v 70000000000 1"]);
    let pairs = "{title: v, correlation: {type: value_count, rules: [a], timespan: 60s, \
                 condition: {field: [v, w], gte: 3}}}";
    let hits: Vec<Hit<'_>> = vec![
        ("a", S, "v=1 w=1"),
        ("a", 2 * S, "v=1 w=2"),
        ("a", 3 * S, "v=2 w=1"),
        ("a", 4 * S, "v=3"),
    ];
    assert_eq!(opened(&run(pairs, &hits)), ["v 3000000000"]);
}

#[test]
fn bounds_from_above_are_bounds() {
    let rule = "{title: r, correlation: {type: event_count, rules: [a], group-by: [g], timespan: 60s, \
                condition: {gt: 1, lte: 3}}}";
    let hits: Vec<Hit<'_>> = (1..=6).map(|n| ("a", n * S, "g=1")).collect();
    let told: Vec<_> = run(rule, &hits).iter().map(|a| (a.change, a.time.unix_seconds())).collect();
    assert_eq!(told, [(Change::Opened, 2), (Change::Closed, 4)]);
    let exact = rule.replace("gt: 1, lte: 3", "eq: 3");
    let told: Vec<_> =
        run(&exact, &hits).iter().map(|a| (a.change, a.time.unix_seconds())).collect();
    assert_eq!(told, [(Change::Opened, 3), (Change::Closed, 4)]);
}

#[test]
fn a_hit_without_its_field_belongs_to_no_group() {
    let mut correlator = Correlator::new(plan(&count(2)), Settings::default());
    let mut out =
        feed(&mut correlator, &[("a", S, ""), ("a", S, "g="), ("a", S, ""), ("a", S, "g=")]);
    correlator.flush(&mut out);
    assert_eq!(opened(&out), ["n 1000000000"], "an empty value is one");
    assert_eq!(correlator.statistics().no_group, 2);
}

#[test]
fn aliases_join_fields_of_different_names() {
    let text = "title: t\ncorrelation:\n  type: temporal\n  rules: [a, b]\n  group-by: [in, out]\n  timespan: 10s\n  \
                aliases:\n    in: {a: dst, b: src}\n    out: {a: src, b: dst}\n";
    let hits = |b: &'static str| [("a", S, "src=1 dst=2"), ("b", 2 * S, b)];
    assert_eq!(opened(&run(text, &hits("src=2 dst=1"))), ["t 2000000000 2,1"]);
    assert_eq!(opened(&run(text, &hits("src=1 dst=2"))), [""; 0]);
}

#[test]
fn what_others_build_on_is_silent_unless_they_generate() {
    let text = |generate: &str| {
        format!(
            "title: child\nname: child\ncorrelation: {{type: event_count, rules: [a], timespan: 60s, \
             condition: {{gte: 1}}}}\n---\ntitle: then\ncorrelation: {{type: temporal_ordered, \
             rules: [child, b], timespan: 60s{generate}}}\n"
        )
    };
    let hits = [("a", S, ""), ("b", 2 * S, "")];
    assert_eq!(opened(&run(&text(""), &hits)), ["then 2000000000"]);
    assert_eq!(
        opened(&run(&text(", generate: true"), &hits)),
        ["child 1000000000", "then 2000000000"]
    );
    let quiet = plan(&text(""));
    assert!(!quiet.reports(1) && quiet.reports(2) && quiet.listens(1) && !quiet.listens(2));
    assert!(plan(&text(", generate: true")).reports(1));
}

#[test]
fn a_sign_in_may_follow_the_last_failure_of_many() {
    // The threshold is crossed at 3 s, and still holds at 300 s.
    let text = "title: many\nname: many\ncorrelation: {type: event_count, rules: [a], group-by: [g], \
                timespan: 20s, condition: {gte: 3}}\n---\ntitle: then\ncorrelation: {type: temporal_ordered, \
                rules: [many, b], group-by: [g], timespan: 60s}\n";
    let mut hits: Vec<Hit<'_>> = (1..=300).map(|n| ("a", n * S, "g=1")).collect();
    hits.push(("b", 359 * S, "g=1"));
    assert_eq!(opened(&run(text, &hits)), ["then 359000000000 1"]);
}

#[test]
fn an_absence_after_the_only_event_of_a_source_is_judged() {
    let text = "title: T\ncorrelation: {type: temporal, rules: [a, b], group-by: [g], timespan: 1h, \
                condition: a and not b}\n";
    let mut correlator = Correlator::new(plan(text), Settings::default());
    let mut out = feed(&mut correlator, &[("a", 1_000 * S, "g=1")]);
    correlator.advance(Timestamp::from_unix_seconds(1_000), &mut out);
    correlator.advance(Timestamp::from_unix_seconds(1_000 + 7_200), &mut out);
    assert_eq!(opened(&out), [format!("T {} 1", 4_600 * S)]);
    // A clock years ahead is not confirmed by a time that lies before it.
    let mut correlator = Correlator::new(plan(text), Settings::default());
    let mut out = feed(&mut correlator, &[("a", 900_000_000 * S, "g=1")]);
    correlator.advance(Timestamp::from_unix_seconds(9_000), &mut out);
    assert_eq!(feed(&mut correlator, &[("a", 9_000 * S, "g=1")]), []);
    assert_eq!(correlator.statistics().late_dropped, 0);
}

#[test]
fn waits_broken_again_and_again_leave_one_deadline() {
    let text = "title: T\ncorrelation: {type: temporal_ordered, rules: [a, b], group-by: [g], timespan: 1h, \
                condition: a and not b}\n";
    let mut correlator = Correlator::new(plan(text), Settings::default());
    let mut out = Vec::new();
    for second in 0..3_000 {
        let rule = if second % 2 == 0 { "a" } else { "b" };
        out.extend(feed(&mut correlator, &[(rule, second * S, "g=1")]));
        assert!(correlator.deadlines.len() <= 1, "{second}");
    }
    // On and on, so that no leap has to be confirmed.
    let on = [("c", 5_000), ("a", 6_700), ("c", 10_000), ("c", 10_400)];
    for (rule, second) in on {
        out.extend(feed(&mut correlator, &[(rule, second * S, "g=1")]));
    }
    correlator.flush(&mut out);
    assert_eq!(opened(&out), [format!("T {} 1", 10_300 * S)]);
}

/// Two rules that match the same records.
fn twice(kind: &str) -> (String, String) {
    let text = |rules: &str| {
        format!("title: T\ncorrelation: {{{kind}, rules: {rules}, group-by: [g], timespan: 1h}}\n")
    };
    (text("[a, b]"), text("[b, a]"))
}

#[test]
fn a_record_that_two_rules_match_is_one_event() {
    let run = |text: &str, hits: &[(&[u32], i64, &str)]| {
        let mut correlator = Correlator::new(plan(text), Settings::default());
        let mut out = Vec::new();
        for (rules, second, words) in hits {
            correlator.matched(rules, Timestamp::from_unix_seconds(*second), &row(words), &mut out);
        }
        correlator.flush(&mut out);
        assert!(correlator.pending.is_empty());
        opened(&out).len()
    };
    let both: &[u32] = &[0, 1];
    let turned: &[u32] = &[1, 0];
    let count = twice("type: event_count, condition: {gte: 3}");
    let sum = twice("type: value_sum, condition: {field: v, gte: 30}");
    let present = twice("type: temporal");
    let ordered = twice("type: temporal_ordered");
    for text in [&count.0, &count.1] {
        assert_eq!(run(text, &[(both, 1, "g=1"), (turned, 2, "g=1")]), 0, "{text}");
        assert_eq!(run(text, &[(both, 1, "g=1"), (turned, 2, "g=1"), (&[1], 3, "g=1")]), 1);
    }
    for text in [&sum.0, &sum.1] {
        assert_eq!(run(text, &[(both, 1, "g=1 v=10"), (both, 2, "g=1 v=10")]), 0, "{text}");
    }
    for text in [&present.0, &present.1] {
        assert_eq!(run(text, &[(both, 1, "g=1")]), 1, "{text}");
    }
    for text in [&ordered.0, &ordered.1] {
        for rules in [both, turned] {
            assert_eq!(run(text, &[(rules, 1, "g=1")]), 0, "{text}: nothing comes after itself");
            assert_eq!(run(text, &[(rules, 1, "g=1"), (rules, 2, "g=1")]), 1, "{text}");
        }
    }
}

#[test]
fn openings_within_one_time_are_told_apart() {
    let text = "title: T\ncorrelation: {type: value_avg, rules: [a], group-by: [g], timespan: 1h, \
                condition: {field: v, gte: 10}}\n";
    let told =
        run(text, &[("a", 5 * S, "g=1 v=10"), ("a", 5 * S, "g=1 v=0"), ("a", 5 * S, "g=1 v=50")]);
    let mut ids: Vec<_> =
        told.iter().filter(|a| a.change == Change::Opened).map(|alarm| alarm.id).collect();
    assert_eq!(ids.len(), 2);
    ids.dedup();
    assert_eq!(ids.len(), 2, "each has its own id");
    // And each change of one alarm is an event of its own that names the alarm.
    let events: Vec<_> = told.iter().map(Alarm::to_event).collect();
    assert_eq!(events[0].extra["alarm_id"], events[1].extra["alarm_id"]);
    assert_ne!(events[0].id, events[1].id);
}

#[test]
fn a_clock_far_ahead_decides_no_absence() {
    let text = "title: T\ncorrelation: {type: temporal, rules: [a, b], group-by: [g], timespan: 1h, \
                condition: a and not b}\n\
                ---\ntitle: C\ncorrelation: {type: event_count, rules: [c], group-by: [g], \
                timespan: 1h, condition: {gte: 1}}\n";
    let hits = [("a", 1_000 * S, "g=1"), ("c", 900_000_000 * S, "g=2"), ("a", 1_010 * S, "g=1")];
    assert_eq!(opened(&run(text, &hits)), [format!("C {} 2", 900_000_000 * S)]);
    // Where the stream goes on there, it is the time.
    let on = [&hits[..2], &[("c", 900_000_001 * S, "g=2")]].concat();
    let told = opened(&run(text, &on));
    assert_eq!(told, [format!("T {} 1", 4_600 * S), format!("C {} 2", 900_000_000 * S)]);
}

#[test]
fn correlations_that_lack_a_field_are_named() {
    let text = "title: T\ncorrelation: {type: event_count, rules: [a], group-by: [g], timespan: 1h, \
                condition: {gte: 2}}\n\
                ---\ntitle: U\ncorrelation: {type: event_count, rules: [a], timespan: 1h, \
                condition: {gte: 2}}\n";
    let mut correlator = Correlator::new(plan(text), Settings::default());
    feed(&mut correlator, &[("a", S, ""), ("a", 2 * S, "g=1"), ("a", 3 * S, "h=1")]);
    let told: Vec<_> =
        correlator.without_field().map(|(rule, count)| (rule.name.as_str(), count)).collect();
    assert_eq!(told, [("T", 2)]);
}

#[test]
fn a_second_correlation_of_one_id_is_refused() {
    let one = |id: &str| {
        format!(
            "title: T\nid: {id}\ncorrelation: {{type: event_count, rules: [a], timespan: 1h, \
             condition: {{gte: 2}}}}\n"
        )
    };
    let (plan, report) = load(&format!("{}---\n{}", one("ab-1"), one("AB-1")));
    assert_eq!((plan.len(), report.refused.len()), (1, 1));
    assert!(report.to_string().contains("stands in t.yml:1"), "{report}");
}
