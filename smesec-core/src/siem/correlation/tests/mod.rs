//! The semantics, row by row, and against an oracle.

mod budgets;
mod documents;
mod oracle;
mod semantics;
mod snapshots;

use super::{Alarm, AlarmKind, Change, Correlator, Plan, Settings};
use crate::decode::yaml;
use crate::ruleset::LoadReport;
use crate::siem::record::Fields;
use crate::siem::sigma::{Meta, correlation};
use crate::time::Timestamp;
use std::borrow::Cow;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;

/// A record's fields.
#[derive(Clone, Debug)]
pub(super) struct Row(pub(super) Vec<(String, String)>);

impl Fields for Row {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str().into())
    }
}

/// A hit of a rule at a time in nanoseconds, its fields as `name=value` words.
pub(super) type Hit<'a> = (&'a str, i64, &'a str);

pub(super) fn row(words: &str) -> Row {
    let pair = |word: &str| word.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    Row(words.split_whitespace().filter_map(pair).collect())
}

/// Correlations over base rules of one letter each, `a` to `z`, by their places.
pub(super) fn plan(text: &str) -> Arc<Plan> {
    let (plan, report) = load(text);
    assert!(report.refused.is_empty(), "{report}");
    Arc::new(plan)
}

pub(super) fn load(text: &str) -> (Plan, LoadReport) {
    let known: Vec<Meta> = ('a'..='z')
        .map(|letter| Meta {
            name: letter.to_string(),
            id: format!("00000000-0000-4000-8000-0000000000{:02X}", u32::from(letter)),
            ..Meta::default()
        })
        .collect();
    let read = yaml::documents(text, "t.yml", yaml::Limits::default())
        .map(|document| correlation::parse(&document.unwrap().root, "t.yml").unwrap())
        .collect();
    let mut report = LoadReport::default();
    let plan = Plan::build(read, &known, &mut report);
    (plan, report)
}

pub(super) fn number(rule: &str) -> u32 {
    u32::from(rule.bytes().next().unwrap() - b'a')
}

pub(super) fn feed(correlator: &mut Correlator, hits: &[Hit<'_>]) -> Vec<Alarm> {
    let mut out = Vec::new();
    for (rule, time, words) in hits {
        let time = Timestamp::from_unix_nanos(*time);
        correlator.hit(number(rule), time, "s", &row(words), &mut out);
    }
    out
}

pub(super) fn run(text: &str, hits: &[Hit<'_>]) -> Vec<Alarm> {
    let mut correlator = Correlator::new(plan(text), Settings::default());
    let mut out = feed(&mut correlator, hits);
    correlator.flush(&mut out);
    out
}

/// The alarms opened, as `title time-in-ns group-values`.
pub(super) fn opened(alarms: &[Alarm]) -> Vec<String> {
    let text = |alarm: &Alarm| {
        let values: Vec<&str> = alarm.group.iter().map(|(_, value)| value.as_str()).collect();
        format!("{} {} {}", alarm.rule.name, alarm.time.unix_nanos(), values.join(","))
            .trim_end()
            .to_owned()
    };
    let new = |alarm: &&Alarm| alarm.change == Change::Opened && alarm.kind != AlarmKind::Health;
    alarms.iter().filter(new).map(text).collect()
}
