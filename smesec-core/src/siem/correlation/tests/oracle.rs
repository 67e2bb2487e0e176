//! A naive evaluation by definition, over the sorted and complete stream, and random streams that
//! have to come out the same.

use super::*;
use crate::siem::correlation::expression::Expression;
use crate::siem::correlation::hash::sip128;
use crate::siem::correlation::plan::meets;
use crate::siem::correlation::values::encode;
use crate::siem::sigma::{Correlation, CorrelationKind, Threshold};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers without a dependency (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % bound
    }

    fn signed(&mut self, bound: i64) -> i64 {
        i64::try_from(self.below(bound.unsigned_abs())).unwrap()
    }
}

/// Hits of the rules a to d in the order of arrival, each up to `late` late.
pub(super) fn stream(random: &mut Random, count: usize, late: i64) -> Vec<(u32, i64, Row)> {
    let mut time = 100_000 * SECOND;
    let mut hits: Vec<(i64, (u32, i64, Row))> = (0..count)
        .map(|_| {
            time += match random.below(10) {
                0 => 0,
                1 => 1,
                2 => 30 * SECOND,
                _ => random.signed(4 * SECOND),
            };
            let rule = u32::try_from(random.below(4)).unwrap();
            let mut words = format!(
                "g={} h={} v={}",
                random.below(2),
                random.below(3),
                i64::try_from(random.below(7)).unwrap() - 2
            );
            if random.below(20) == 0 {
                words = words.replace("g=", "x=");
            }
            let delay = if late > 0 && random.below(3) == 0 { random.signed(late) } else { 0 };
            (time + delay, (rule, time, row(&words)))
        })
        .collect();
    hits.sort_by_key(|(arrival, _)| *arrival);
    hits.into_iter().map(|(_, hit)| hit).collect()
}

/// One correlation of each kind, and chains.
pub(super) fn every_kind() -> String {
    let one = |name: &str, body: &str| {
        format!("title: {name}\nname: {name}\ncorrelation: {{{body}, generate: true}}\n")
    };
    let gh = "group-by: [g, h]";
    [
        one("count", &format!("type: event_count, rules: [a], {gh}, timespan: 20s, condition: {{gte: 3}}")),
        one("range", "type: event_count, rules: [a, b], group-by: [g], timespan: 15s, condition: {gt: 1, lte: 4}"),
        one("values", &format!("type: value_count, rules: [a, b], {gh}, timespan: 30s, condition: {{field: v, gte: 3}}")),
        one("sum", "type: value_sum, rules: [c], group-by: [g], timespan: 20s, condition: {field: v, gte: 6}"),
        one("mean", "type: value_avg, rules: [c], group-by: [h], timespan: 30s, condition: {field: v, gt: 2}"),
        one("median", "type: value_median, rules: [b, c], group-by: [h], timespan: 30s, condition: {field: v, lt: 0}"),
        one("p80", "type: value_percentile, rules: [d], group-by: [h], timespan: 40s, condition: {field: v, percentile: 80, gte: 3}"),
        one("all", &format!("type: temporal, rules: [a, b, c], {gh}, timespan: 20s")),
        one("two", &format!("type: temporal, rules: [a, b, c], {gh}, timespan: 10s, condition: {{gte: 2}}")),
        one("bool", &format!("type: temporal, rules: [a, b, c], {gh}, timespan: 10s, condition: a and (b or c)")),
        one("order", &format!("type: temporal_ordered, rules: [a, b, c], {gh}, timespan: 40s")),
        one("again", &format!("type: temporal_ordered, rules: [a, a, b], {gh}, timespan: 30s")),
        one("absent", &format!("type: temporal, rules: [a, d], {gh}, timespan: 10s, condition: a and not d")),
        one("pair", &format!("type: temporal, rules: [a, b, c, d], {gh}, timespan: 15s, condition: a and b and not (c or d)")),
        one("after", &format!("type: temporal_ordered, rules: [a, b], {gh}, timespan: 12s, condition: a and not b")),
        one("between", &format!("type: temporal_ordered, rules: [a, d, b], {gh}, timespan: 40s, condition: a and not d and b")),
        one("before", &format!("type: temporal_ordered, rules: [d, a, b], {gh}, timespan: 20s, condition: not d and a and b")),
        one("tail", &format!("type: temporal_ordered, rules: [a, b, d], {gh}, timespan: 25s, condition: a and b and not d")),
        one("then", "type: temporal_ordered, rules: [count, c], group-by: [g], timespan: 30s"),
        one("often", "type: event_count, rules: [all], group-by: [g], timespan: 200s, condition: {gte: 2}"),
        one("hosts", "type: value_count, rules: [after], group-by: [g], timespan: 100s, condition: {field: h, gte: 2}"),
        one("deep", "type: temporal, rules: [then, d], group-by: [g], timespan: 20s"),
        one("late", "type: temporal_ordered, rules: [absent, b], timespan: 50s"),
    ]
    .join("---\n")
}

/// What a correlation sees: a hit, or that another one holds.
#[derive(Clone, Debug)]
struct Seen {
    time: i64,
    /// Arrival; a deadline comes after all hits of its time.
    sequence: usize,
    /// Results of others come before the hit that caused them is looked at directly.
    rank: usize,
    row: Row,
    steps: u64,
    opened: bool,
    /// Of several deadlines at one time: the hash of the group.
    order: u128,
}

type Opening = (String, i64, i64, Vec<String>);

struct Oracle<'a> {
    correlations: &'a [Correlation],
    hits: &'a [(u32, i64, Row)],
    openings: BTreeSet<Opening>,
    done: BTreeMap<usize, Vec<Seen>>,
}

impl Oracle<'_> {
    /// Each time that the correlation holds, and its openings on the way.
    fn signals(&mut self, at: usize) -> Vec<Seen> {
        if let Some(done) = self.done.get(&at) {
            return done.clone();
        }
        let correlation = &self.correlations[at];
        let counts = !matches!(
            correlation.kind,
            CorrelationKind::Temporal | CorrelationKind::TemporalOrdered
        );
        let mut seen = Vec::new();
        for (position, reference) in correlation.rules.iter().enumerate() {
            let child = self.correlations.iter().position(|c| c.meta.name == reference.rule);
            if let Some(child) = child {
                let signals = self.signals(child);
                seen.extend(
                    signals.into_iter().filter(|s| s.opened || !counts).map(|signal| Seen {
                        steps: 1 << position,
                        rank: child,
                        ..signal
                    }),
                );
                continue;
            }
            for (sequence, (rule, time, row)) in self.hits.iter().enumerate() {
                if *rule == number(&reference.rule) {
                    seen.push(Seen {
                        time: *time,
                        sequence,
                        rank: usize::MAX,
                        row: row.clone(),
                        steps: 1 << position,
                        opened: true,
                        order: 0,
                    });
                }
            }
        }
        seen.sort_by_key(|s| (s.time, s.sequence, s.rank, s.order));
        // A rule that is listed twice is one hit.
        seen.dedup_by(|next, kept| {
            let same = next.rank == usize::MAX
                && (next.time, next.sequence, next.rank) == (kept.time, kept.sequence, kept.rank);
            if same {
                kept.steps |= next.steps;
            }
            same
        });
        let mut groups: BTreeMap<Vec<String>, Vec<Seen>> = BTreeMap::new();
        for seen in seen {
            let values: Option<Vec<String>> = correlation
                .group_by
                .iter()
                .map(|name| seen.row.value(name).map(Cow::into_owned))
                .collect();
            if let Some(values) = values {
                groups.entry(values).or_default().push(seen);
            }
        }
        let end = self.hits.iter().map(|(_, time, _)| *time).max().unwrap();
        let mut signals = Vec::new();
        for (group, seen) in groups {
            let mut one =
                One { correlation, seen: &seen, open: false, wait: None, out: Vec::new() };
            one.run(end);
            for (signal, start) in one.out {
                if signal.opened {
                    let title = correlation.meta.title.clone();
                    self.openings.insert((title, signal.time, start, group.clone()));
                }
                let mut text = Vec::new();
                for value in &group {
                    encode(&mut text, value);
                }
                signals.push(Seen { order: sip128(0, &text), ..signal });
            }
        }
        signals.sort_by_key(|s| (s.time, s.sequence, s.order));
        self.done.insert(at, signals.clone());
        signals
    }
}

/// One group of one correlation.
struct One<'a> {
    correlation: &'a Correlation,
    seen: &'a [Seen],
    open: bool,
    /// The start, when it began, and the hit that began it.
    wait: Option<(i64, i64, usize)>,
    out: Vec<(Seen, i64)>,
}

impl One<'_> {
    fn run(&mut self, end: i64) {
        let span = self.correlation.timespan;
        for at in 0..self.seen.len() {
            let now = &self.seen[at];
            self.deadline(now.time);
            if at > 0 && self.seen[at - 1].time < now.time - span {
                self.open = false;
            }
            match self.holds(at) {
                Verdict::Holds(start) => self.signal(now.clone(), start),
                Verdict::Fell => self.open = false,
                Verdict::Waits => {}
            }
        }
        self.deadline(end.saturating_add(1));
    }

    /// A deadline before `time` passes.
    fn deadline(&mut self, time: i64) {
        let span = self.correlation.timespan;
        if let Some((start, _, at)) = self.wait
            && start + span < time
        {
            self.wait = None;
            let time = start + span;
            // Held open only if no pause of a whole window came before.
            self.signal(Seen { time, sequence: usize::MAX, ..self.seen[at].clone() }, start);
        }
    }

    fn signal(&mut self, seen: Seen, start: i64) {
        let opened = !self.open;
        self.open = true;
        // A result has the fields of its group and those of the hit that decided it.
        self.out.push((Seen { opened, ..seen }, start));
    }

    fn holds(&mut self, at: usize) -> Verdict {
        let correlation = self.correlation;
        let now = &self.seen[at];
        let from = now.time - correlation.timespan;
        let window: Vec<&Seen> = self.seen[..=at].iter().filter(|s| s.time >= from).collect();
        let decide =
            |holds: bool, start: i64| if holds { Verdict::Holds(start) } else { Verdict::Fell };
        match (&correlation.threshold, correlation.kind) {
            (Threshold::Bounds { bounds, .. }, CorrelationKind::EventCount) => {
                let need = (1..1_000).find(|n| meets(bounds, f64::from(*n))).unwrap();
                let start = window.iter().rev().nth(usize::try_from(need).unwrap() - 1);
                decide(meets(bounds, window.len() as f64), start.map_or(0, |s| s.time))
            }
            (Threshold::Bounds { bounds, fields, .. }, CorrelationKind::ValueCount) => {
                let mut last: BTreeMap<String, i64> = BTreeMap::new();
                for seen in &window {
                    last.insert(seen.row.value(&fields[0]).unwrap().into_owned(), seen.time);
                }
                let mut times: Vec<i64> = last.values().copied().collect();
                times.sort_unstable_by(|a, b| b.cmp(a));
                let need = (1..100_usize).find(|n| meets(bounds, *n as f64)).unwrap();
                decide(meets(bounds, times.len() as f64), times.get(need - 1).copied().unwrap_or(0))
            }
            (Threshold::Bounds { bounds, fields, percentile }, kind)
                if kind != CorrelationKind::Temporal =>
            {
                let value = |s: &&Seen| s.row.value(&fields[0]).unwrap().parse::<f64>().unwrap();
                let mut values: Vec<f64> = window.iter().map(value).collect();
                values.sort_unstable_by(f64::total_cmp);
                let sum: f64 = values.iter().sum();
                let n = values.len();
                let figure = match kind {
                    CorrelationKind::ValueSum => sum,
                    CorrelationKind::ValueAvg => sum / n as f64,
                    CorrelationKind::ValueMedian => {
                        f64::midpoint(values[(n - 1) / 2], values[n / 2])
                    }
                    _ => {
                        let below =
                            |value: f64| values.iter().filter(|v| **v <= value).count() as f64;
                        let enough = percentile.unwrap() / 100.0 * n as f64;
                        *values.iter().find(|value| below(**value) >= enough).unwrap()
                    }
                };
                decide(meets(bounds, figure), window[0].time)
            }
            (_, CorrelationKind::Temporal) => self.any_order(at, &window),
            _ => self.in_order(at),
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.correlation.rules.iter().position(|rule| rule.rule == name)
    }

    fn any_order(&mut self, at: usize, window: &[&Seen]) -> Verdict {
        let correlation = self.correlation;
        let now = &self.seen[at];
        let rules = correlation.rules.len();
        let mask = |seen: &[&Seen]| seen.iter().fold(0, |mask, s| mask | s.steps);
        let present = mask(window);
        let expression = match &correlation.threshold {
            Threshold::Expression { text, .. } => {
                Some(Expression::parse(text, |name| self.position(name)).unwrap())
            }
            _ => None,
        };
        let negative = expression.as_ref().map_or(0, |e| e.negative);
        // The start: of the last hits of all rules that are there, the first.
        let start = (0..rules)
            .filter(|rule| (present & !negative) >> rule & 1 == 1)
            .map(|rule| {
                window.iter().filter(|s| s.steps >> rule & 1 == 1).map(|s| s.time).max().unwrap()
            })
            .min()
            .unwrap_or(now.time);
        if let Some((_, began, _)) = self.wait {
            let since: Vec<&Seen> = self.seen[..=at]
                .iter()
                .filter(|s| s.time >= began - correlation.timespan)
                .collect();
            if now.steps & negative == 0 || expression.unwrap().holds(mask(&since)) {
                return Verdict::Waits;
            }
            self.wait = None;
            return Verdict::Fell;
        }
        let holds = match (&correlation.threshold, &expression) {
            (_, Some(expression)) => expression.holds(present),
            (Threshold::Bounds { bounds, .. }, _) => meets(bounds, f64::from(present.count_ones())),
            _ => present == (1 << rules) - 1,
        };
        match (holds, negative) {
            (false, _) => Verdict::Fell,
            (true, 0) => Verdict::Holds(start),
            (true, _) => {
                self.wait = Some((start, now.time, at));
                Verdict::Waits
            }
        }
    }

    fn in_order(&mut self, at: usize) -> Verdict {
        let correlation = self.correlation;
        let now = &self.seen[at];
        let negated = |rule: &str| match &correlation.threshold {
            Threshold::Expression { text, .. } => text.contains(&format!("not {rule}")),
            _ => false,
        };
        // Steps, and what is barred before each and after the last.
        let (mut steps, mut bars) = (Vec::new(), vec![0_u64]);
        for (position, rule) in correlation.rules.iter().enumerate() {
            if negated(&rule.rule) {
                *bars.last_mut().unwrap() |= 1 << position;
            } else {
                steps.push(1_u64 << position);
                bars.push(0);
            }
        }
        let trailing = *bars.last().unwrap();
        if trailing & now.steps != 0 {
            self.wait = None;
            return Verdict::Fell;
        }
        let from = now.time - correlation.timespan;
        // All chains that end at or before this hit, and start within its window.
        let mut latest: Option<i64> = None;
        let mut ends_now = false;
        for first in (0..=at).rev() {
            let start = &self.seen[first];
            if start.time < from || start.steps & steps[0] == 0 {
                continue;
            }
            let barred =
                |s: &Seen| s.steps & bars[0] != 0 && s.time >= start.time - correlation.timespan;
            if self.seen[..first].iter().any(barred) {
                continue;
            }
            for end in self.ends(first, 1, &steps, &bars, at) {
                // What came after it may have broken it.
                if self.seen[end + 1..=at].iter().any(|s| s.steps & trailing != 0) {
                    continue;
                }
                latest = latest.max(Some(start.time));
                ends_now |= end == at;
            }
        }
        if trailing == 0 {
            return latest.map_or(Verdict::Fell, Verdict::Holds);
        }
        match (self.wait, latest) {
            (Some(_), _) => Verdict::Waits,
            (None, Some(start)) if ends_now => {
                self.wait = Some((start, now.time, at));
                Verdict::Waits
            }
            (None, Some(_)) => Verdict::Waits,
            (None, None) => Verdict::Fell,
        }
    }

    /// Where chains may end that have taken `done` steps, the last at `last`.
    fn ends(&self, last: usize, done: usize, steps: &[u64], bars: &[u64], to: usize) -> Vec<usize> {
        if done == steps.len() {
            return vec![last];
        }
        let mut ends = Vec::new();
        for next in last + 1..=to {
            let seen = &self.seen[next];
            if seen.steps & bars[done] != 0 {
                break;
            }
            if seen.steps & steps[done] != 0 {
                ends.extend(self.ends(next, done + 1, steps, bars, to));
            }
        }
        ends
    }
}

enum Verdict {
    Holds(i64),
    Fell,
    Waits,
}

fn by_definition(text: &str, hits: &[(u32, i64, Row)]) -> BTreeSet<Opening> {
    let correlations: Vec<Correlation> = yaml::documents(text, "t.yml", yaml::Limits::default())
        .map(|document| correlation::parse(&document.unwrap().root, "t.yml").unwrap())
        .collect();
    let mut oracle = Oracle {
        correlations: &correlations,
        hits,
        openings: BTreeSet::new(),
        done: BTreeMap::new(),
    };
    for at in 0..correlations.len() {
        oracle.signals(at);
    }
    oracle.openings
}

fn by_correlator(text: &str, hits: &[(u32, i64, Row)], late: i64) -> BTreeSet<Opening> {
    let settings = Settings { lateness: late, ..Settings::default() };
    let mut correlator = Correlator::new(plan(text), settings);
    let mut out = Vec::new();
    for (rule, time, row) in hits {
        correlator.hit(*rule, Timestamp::from_unix_nanos(*time), "s", row, &mut out);
    }
    correlator.flush(&mut out);
    assert_eq!(correlator.statistics().late_dropped, 0);
    let mut ids = BTreeSet::new();
    let mut openings = BTreeSet::new();
    for alarm in out.iter().filter(|alarm| alarm.change == Change::Opened) {
        assert!(ids.insert(alarm.id), "an id twice: {alarm:?}");
        let group = alarm.group.iter().map(|(_, value)| value.clone()).collect();
        let (time, start) = (alarm.time.unix_nanos(), alarm.start.unix_nanos());
        openings.insert((alarm.rule.name.clone(), time, start, group));
    }
    openings
}

#[test]
fn random_streams_come_out_as_defined() {
    let text = every_kind();
    let mut titles: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..150 {
        let mut random = Random(seed);
        let late = [0, 5 * SECOND, 30 * SECOND][usize::try_from(random.below(3)).unwrap()];
        let count = 20 + usize::try_from(random.below(150)).unwrap();
        let hits = stream(&mut random, count, late);
        let really = by_correlator(&text, &hits, late);
        let mut sorted = hits.clone();
        // Stable: of equal times the order of arrival stays.
        sorted.sort_by_key(|(_, time, _)| *time);
        let defined = by_definition(&text, &sorted);
        let missed: Vec<_> = defined.difference(&really).collect();
        let false_ones: Vec<_> = really.difference(&defined).collect();
        assert!(
            missed.is_empty() && false_ones.is_empty(),
            "seed {seed}: missed {missed:#?}\nfalse {false_ones:#?}\n{defined:?}"
        );
        for (title, ..) in &defined {
            *titles.entry(title.clone()).or_default() += 1;
        }
    }
    // A kind that never fired would prove nothing.
    assert_eq!(titles.len(), text.matches("title:").count(), "{titles:?}");
    assert!(titles.values().all(|count| *count >= 10), "{titles:?}");
}
