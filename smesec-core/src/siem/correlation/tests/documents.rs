//! What is refused when correlations are put together, and where.

use super::*;

fn refused(text: &str) -> Vec<String> {
    load(text).1.refused.iter().map(ToString::to_string).collect()
}

fn temporal(name: &str, rules: &str) -> String {
    format!(
        "title: {name}\nname: {name}\ncorrelation:\n  type: temporal\n  rules: [{rules}]\n  timespan: 5m\n"
    )
}

#[test]
fn references_go_by_id_and_by_name() {
    let by_id = temporal("t", "00000000-0000-4000-8000-000000000061, B").replace(", B", ", b");
    assert_eq!(refused(&by_id), [""; 0]);
    assert_eq!(
        refused(&temporal("t", "00000000-0000-4000-8000-00000000006a, b")),
        [""; 0],
        "ids in any case"
    );
    let told = refused(&temporal("t", "a, nobody"));
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("t.yml:5:14: rule `t`: `nobody` is neither the id nor the name"),
        "{}",
        told[0]
    );
    assert!(refused(&temporal("t", "A"))[0].contains("`A` is neither"), "names have their case");
}

#[test]
fn ambiguous_circular_and_broken_references_are_named() {
    let twice =
        [temporal("one", "a, b"), temporal("one", "a, c"), temporal("two", "one, d")].join("---\n");
    assert!(refused(&twice)[0].contains("`one` names 2 rules"), "{:?}", refused(&twice));

    let circle = [temporal("one", "two, a"), temporal("two", "six, a"), temporal("six", "one, a")]
        .join("---\n");
    let told = refused(&circle);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|told| told.contains("in a circle")), "{told:?}");
    assert!(refused(&temporal("one", "one, a"))[0].contains("in a circle"));

    let broken = [temporal("one", "nobody, a"), temporal("two", "one, a")].join("---\n");
    let told = refused(&broken);
    assert!(told[1].contains("builds on `one`, which is refused"), "{told:?}");

    let mut deep = vec![temporal("l0", "a, b")];
    deep.extend((1..20).map(|n| temporal(&format!("l{n}"), &format!("l{}, a", n - 1))));
    let told = refused(&deep.join("---\n"));
    assert!(told[0].contains("chained deeper than 16"), "{told:?}");
    assert_eq!(told.len(), 4, "and what builds on it");
}

#[test]
fn a_rule_that_is_written_last_may_be_built_on() {
    let text = [temporal("two", "one, a"), temporal("one", "b, c")].join("---\n");
    let (plan, report) = load(&text);
    assert_eq!((plan.len(), report.refused.len()), (2, 0));
}

#[test]
fn aliases_name_every_rule() {
    let text = |aliases: &str| {
        format!("{}  group-by: [ip]\n  aliases: {{ip: {{{aliases}}}}}\n", temporal("t", "a, b"))
    };
    assert_eq!(refused(&text("a: src, b: dst")), [""; 0]);
    assert!(refused(&text("a: src"))[0].contains("the alias `ip` names no field of the rule `b`"));
    assert!(refused(&text("a: src, b: dst, c: x"))[0].contains("names `c`, which is none of"));
}

#[test]
fn conditions_that_cannot_be_met_are_named() {
    let count = |condition: &str| {
        format!(
            "title: t\ncorrelation:\n  type: event_count\n  rules: [a]\n  timespan: 5m\n  condition: {condition}\n"
        )
    };
    assert!(refused(&count("{gt: 5, lt: 6}"))[0].contains("no number meets the condition"));
    assert!(refused(&count("{lt: 1}"))[0].contains("no number meets the condition"));
    assert!(refused(&count("{gte: 2000000}"))[0].contains("more than 1000000"));
    assert_eq!(refused(&count("{neq: 1}")), [""; 0]);
    let (_, report) = load(&count("{lte: 3}"));
    assert!(report.degraded[0].why.contains("one hit meets this one"), "{report}");

    let temporal = |kind: &str, condition: &str| {
        format!(
            "title: t\ncorrelation:\n  type: {kind}\n  rules: [a, b]\n  timespan: 5m\n  condition: {condition}\n"
        )
    };
    for (kind, condition, told) in [
        ("temporal", "a and x", "t.yml:6:14: rule `t`: `x` is none of the correlation's rules"),
        ("temporal", "not a", "all of it is negated"),
        ("temporal", "a and not a", "both negated and not"),
        ("temporal", "{gte: 3}", "more than 2"),
        ("temporal_ordered", "a or b", "an order lies over rules joined by `and`"),
        ("temporal_ordered", "{gte: 1}", "temporal_ordered asks for all"),
    ] {
        let really = refused(&temporal(kind, condition));
        assert!(
            really.first().is_some_and(|line| line.contains(told)),
            "{really:?}\nlacks: {told}"
        );
    }
    assert_eq!(refused(&temporal("temporal_ordered", "{gte: 2}")), [""; 0]);
    assert_eq!(
        refused(&temporal("temporal", "00000000-0000-4000-8000-000000000061 and b")),
        [""; 0]
    );
}
