//! What a group keeps, and what a hit changes in it.
//!
//! Hits reach a group in the order of (time, arrival), so every state here looks at the past only.

use super::clock::NEVER;
use super::plan::{Counted, Figure, Kind, Order, Test, meets};
use std::collections::VecDeque;

/// A group's memory, as its correlation's kind needs it.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Times(Times),
    /// Different values by the time each was seen last, the latest at the end.
    Distinct(Vec<(i64, u64)>),
    Samples(Box<Samples>),
    /// When each rule hit last, for rules in any order.
    Present(Box<Marks>),
    /// The latest start of a chain that has reached each step, for rules in their order; one more
    /// at the end for what is barred before the first step.
    Ordered(Box<Marks>),
}

/// Times of rules or steps, and what waits for an absence.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) times: Box<[i64]>,
    pub(crate) wait: Option<Wait>,
}

/// All that had to come has come; now others must stay away until the deadline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wait {
    pub(crate) start: i64,
    pub(crate) at: i64,
    pub(crate) deadline: i64,
    pub(crate) carry: Carry,
}

/// Values of a hit that parents of its correlation ask for; `None` where nobody does.
pub(crate) type Carry = Option<Box<[Option<Box<str>>]>>;

/// One hit as a state sees it.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) time: i64,
    pub(crate) steps: u64,
    /// A value's hash, or a number's bits.
    pub(crate) value: u64,
    pub(crate) carry: Carry,
}

/// What a hit has led to.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Judged {
    pub(crate) holds: bool,
    /// Where the window begins that decided it.
    pub(crate) start: i64,
    /// What tells this alarm from others of the group: the start; where a window may come to hold
    /// twice (a mean goes up and down), the deciding hit.
    pub(crate) mark: Option<i64>,
    /// And how many hits of that very time came before it: within one second a mean can go up, down
    /// and up again.
    pub(crate) nth: u32,
    /// Hits or values in the window, as far as they are kept.
    pub(crate) count: u64,
    pub(crate) figure: Option<f64>,
    /// A deadline to watch for.
    pub(crate) deadline: Option<i64>,
    /// Whether an absence is being waited for: nothing is decided yet.
    pub(crate) waits: bool,
    /// Values dropped because the group keeps no more.
    pub(crate) dropped: u64,
}

impl State {
    pub(crate) fn new(kind: &Kind) -> Self {
        let marks = |count| Box::new(Marks { times: vec![NEVER; count].into(), wait: None });
        match kind {
            Kind::Count(_) => Self::Times(Times::default()),
            Kind::Distinct(_) => Self::Distinct(Vec::new()),
            Kind::Samples { .. } => Self::Samples(Box::default()),
            Kind::Present { rules, .. } => Self::Present(marks(*rules)),
            Kind::Ordered(order) => Self::Ordered(marks(order.steps.len() + 1)),
        }
    }

    /// Takes a hit in; what lies before `time - span` no longer counts.
    pub(crate) fn take(
        &mut self,
        kind: &Kind,
        input: &mut Input,
        span: i64,
        samples: usize,
    ) -> Judged {
        let from = input.time.saturating_sub(span);
        match (self, kind) {
            (Self::Times(times), Kind::Count(counted)) => {
                times.slide(from);
                times.push(input.time, counted.keep);
                times.judge(counted)
            }
            (Self::Distinct(values), Kind::Distinct(counted)) => {
                let stale = values.partition_point(|(time, _)| *time < from);
                values.drain(..stale);
                if let Some(known) = values.iter().position(|(_, value)| *value == input.value) {
                    values.remove(known);
                } else if values.len() >= counted.keep {
                    values.remove(0);
                }
                values.push((input.time, input.value));
                let count = values.len();
                let start = values.get(count.saturating_sub(counted.need)).or(values.first());
                Judged {
                    holds: meets(&counted.bounds, count as f64),
                    start: start.map_or(input.time, |(time, _)| *time),
                    count: count as u64,
                    ..Judged::default()
                }
            }
            (Self::Samples(held), Kind::Samples { bounds, figure }) => {
                let dropped =
                    held.take(input.time, f64::from_bits(input.value), from, samples, *figure);
                let value = held.figure(*figure);
                Judged {
                    holds: meets(bounds, value),
                    start: held.ring.front().map_or(input.time, |(time, _)| *time),
                    count: held.ring.len() as u64,
                    figure: Some(value),
                    mark: Some(input.time),
                    nth: held.same,
                    dropped,
                    ..Judged::default()
                }
            }
            (Self::Present(marks), Kind::Present { test, .. }) => {
                marks.any_order(test, input, from, span)
            }
            (Self::Ordered(marks), Kind::Ordered(order)) => {
                marks.in_order(order, input, from, span)
            }
            // A state is made by `new` from the same kind.
            _ => Judged::default(),
        }
    }

    /// How many values it keeps for a sum, mean, percentile or median.
    pub(crate) fn samples(&self) -> usize {
        match self {
            Self::Samples(held) => held.ring.len(),
            _ => 0,
        }
    }

    /// The wait of an absence.
    pub(crate) fn wait(&mut self) -> Option<&mut Option<Wait>> {
        match self {
            Self::Present(marks) | Self::Ordered(marks) => Some(&mut marks.wait),
            _ => None,
        }
    }

    /// How near the group is to its alarm, 0 to 255; `waiting` hits are on their way to it.
    pub(crate) fn progress(&self, kind: &Kind, waiting: u32) -> u8 {
        let part = |have: usize, need: usize| {
            let have = have.saturating_add(waiting as usize).saturating_mul(255);
            u8::try_from(have / need.max(1)).unwrap_or(u8::MAX)
        };
        match (self, kind) {
            (Self::Times(times), Kind::Count(counted)) => part(times.len(), counted.need),
            (Self::Distinct(values), Kind::Distinct(counted)) => part(values.len(), counted.need),
            // How far a sum still has to go is not known; the more values, the more there is to lose.
            (Self::Samples(held), _) => part(held.ring.len(), 16).min(254),
            (Self::Present(marks) | Self::Ordered(marks), _) => {
                if marks.wait.is_some() {
                    return u8::MAX;
                }
                part(marks.times.iter().filter(|t| **t != NEVER).count(), marks.times.len())
            }
            _ => 0,
        }
    }

    /// Hits, values or rules that it remembers.
    pub(crate) fn kept(&self) -> u64 {
        let count = match self {
            Self::Times(times) => times.len(),
            Self::Distinct(values) => values.len(),
            Self::Samples(held) => held.ring.len(),
            Self::Present(marks) | Self::Ordered(marks) => {
                marks.times.iter().filter(|time| **time != NEVER).count()
            }
        };
        count as u64
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        match self {
            Self::Times(Times::Few { .. }) => 0,
            Self::Times(Times::Ring(ring)) => ring.capacity() * 8,
            Self::Distinct(values) => values.capacity() * 16,
            Self::Samples(held) => {
                size_of::<Samples>() + held.ring.capacity() * 16 + held.sorted.capacity() * 8
            }
            Self::Present(marks) | Self::Ordered(marks) => {
                size_of::<Marks>() + marks.times.len() * 8
            }
        }
    }
}

/// The times of the last hits, oldest first: three in place, more in a ring.
#[derive(Clone, Debug)]
pub(crate) enum Times {
    Few { len: u8, at: [i64; 3] },
    Ring(VecDeque<i64>),
}

impl Default for Times {
    fn default() -> Self {
        Self::Few { len: 0, at: [0; 3] }
    }
}

impl Times {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few { len, .. } => usize::from(*len),
            Self::Ring(ring) => ring.len(),
        }
    }

    pub(crate) fn nth(&self, n: usize) -> Option<i64> {
        match self {
            Self::Few { len, at } if n < usize::from(*len) => at.get(n).copied(),
            Self::Few { .. } => None,
            Self::Ring(ring) => ring.get(n).copied(),
        }
    }

    fn slide(&mut self, from: i64) {
        while self.nth(0).is_some_and(|oldest| oldest < from) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        match self {
            Self::Few { len, at } => {
                at.rotate_left(1);
                *len = len.saturating_sub(1);
            }
            Self::Ring(ring) => {
                ring.pop_front();
            }
        }
    }

    pub(crate) fn push(&mut self, time: i64, keep: usize) {
        if self.len() >= keep.max(1) {
            self.drop_oldest();
        }
        match self {
            Self::Few { len, at } => {
                if let Some(place) = at.get_mut(usize::from(*len)) {
                    *place = time;
                    *len += 1;
                } else {
                    let mut ring = VecDeque::with_capacity(keep.clamp(4, 16));
                    ring.extend(*at);
                    ring.push_back(time);
                    *self = Self::Ring(ring);
                }
            }
            Self::Ring(ring) => ring.push_back(time),
        }
    }

    fn judge(&self, counted: &Counted) -> Judged {
        let count = self.len();
        let start = self.nth(count.saturating_sub(counted.need));
        Judged {
            holds: meets(&counted.bounds, count as f64),
            start: start.unwrap_or_default(),
            count: count as u64,
            ..Judged::default()
        }
    }
}

/// The values of a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    pub(crate) ring: VecDeque<(i64, f64)>,
    /// The same in their order, for percentiles; empty for sums and means.
    pub(crate) sorted: Vec<f64>,
    /// In units of 10^-9: adding and taking away is exact, so that a window's sum does not depend
    /// on what has passed through it, and 0.1 and 0.2 are 0.3.
    pub(crate) sum: i128,
    /// How many before the newest have its time.
    same: u32,
}

impl Samples {
    fn take(&mut self, time: i64, value: f64, from: i64, keep: usize, figure: Figure) -> u64 {
        let ranked = matches!(figure, Figure::Median | Figure::Percentile(_));
        let mut dropped = 0;
        while let Some((oldest, gone)) = self.ring.front().copied()
            && (oldest < from || self.ring.len() >= keep.max(1))
        {
            dropped += u64::from(oldest >= from);
            self.ring.pop_front();
            self.sum -= fixed(gone);
            if ranked {
                let at = self.sorted.partition_point(|known| *known < gone);
                if at < self.sorted.len() {
                    self.sorted.remove(at);
                }
            }
        }
        let before = self.ring.back().is_some_and(|(newest, _)| *newest == time);
        let most = u32::try_from(self.ring.len()).unwrap_or(u32::MAX);
        self.same = if before { self.same.saturating_add(1).min(most) } else { 0 };
        self.ring.push_back((time, value));
        self.sum += fixed(value);
        if ranked {
            let at = self.sorted.partition_point(|known| *known < value);
            self.sorted.insert(at, value);
        }
        dropped
    }

    fn figure(&self, figure: Figure) -> f64 {
        let sum = self.sum as f64 / SCALE;
        let nth = |n: usize| self.sorted.get(n).copied().unwrap_or_default();
        let count = self.sorted.len();
        match figure {
            Figure::Sum => sum,
            Figure::Mean => sum / (self.ring.len().max(1) as f64),
            Figure::Median if count.is_multiple_of(2) && count > 0 => {
                f64::midpoint(nth(count / 2 - 1), nth(count / 2))
            }
            Figure::Median => nth(count / 2),
            Figure::Percentile(percent) => nth(rank(percent, count)),
        }
    }

    /// Made again from the ring, as a snapshot has it.
    pub(crate) fn of(ring: VecDeque<(i64, f64)>, ranked: bool) -> Self {
        let sum = ring.iter().map(|(_, value)| fixed(*value)).sum();
        let mut sorted = Vec::new();
        if ranked {
            sorted.extend(ring.iter().map(|(_, value)| *value));
            sorted.sort_unstable_by(f64::total_cmp);
        }
        let newest = ring.back().map(|(time, _)| *time);
        let same = ring.iter().rev().skip(1).take_while(|(time, _)| Some(*time) == newest).count();
        Self { ring, sorted, sum, same: u32::try_from(same).unwrap_or(u32::MAX) }
    }
}

const SCALE: f64 = 1e9;

/// Values beyond this count as this: their sums still fit.
pub(crate) const MOST_VALUE: f64 = 1e24;

#[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
fn fixed(value: f64) -> i128 {
    (value.clamp(-MOST_VALUE, MOST_VALUE) * SCALE).round() as i128
}

/// The nearest rank: the smallest value that at least so many per cent do not exceed. Always a value
/// that occurred.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to the count, which is a length"
)]
pub(crate) fn rank(percent: f64, count: usize) -> usize {
    let rank = (percent / 100.0 * count as f64).ceil().max(1.0) as usize;
    rank.min(count).saturating_sub(1)
}

impl Marks {
    fn any_order(&mut self, test: &Test, input: &mut Input, from: i64, span: i64) -> Judged {
        for (at, time) in self.times.iter_mut().enumerate() {
            if input.steps >> at & 1 == 1 {
                *time = input.time;
            }
        }
        let present = |from: i64| {
            self.times.iter().enumerate().fold(0_u64, |mask, (at, time)| {
                mask | u64::from(*time != NEVER && *time >= from) << at
            })
        };
        let negative = match test {
            Test::Expression(expression) => expression.negative,
            _ => 0,
        };
        if let (Test::Expression(expression), Some(wait)) = (test, &self.wait) {
            let broken = input.steps & negative != 0
                && !expression.holds(present(wait.at.saturating_sub(span)));
            if !broken {
                return Judged { waits: true, ..Judged::default() };
            }
            self.wait = None;
            return Judged::default();
        }
        let mask = present(from);
        let count = mask.count_ones();
        let holds = match test {
            Test::All(all) => mask & all == *all,
            Test::Bounds(bounds) => meets(bounds, f64::from(count)),
            Test::Expression(expression) => expression.holds(mask),
        };
        let counted =
            self.times.iter().enumerate().filter(|(at, _)| (mask & !negative) >> at & 1 == 1);
        let start = counted.map(|(_, time)| *time).min().unwrap_or(input.time);
        let judged = Judged { holds, start, count: u64::from(count), ..Judged::default() };
        if holds && negative != 0 {
            return self.begin_wait(judged, input, span);
        }
        judged
    }

    fn in_order(&mut self, order: &Order, input: &mut Input, from: i64, span: i64) -> Judged {
        let time = input.time;
        let count = order.steps.len();
        let (mut cancelled, mut finished) = (false, false);
        for (gap, bars) in order.bars.iter().enumerate() {
            if bars & input.steps == 0 {
                continue;
            }
            if gap == 0 {
                // What is barred before the first step has a mark of its own, behind the steps.
                if let Some(mark) = self.times.get_mut(count) {
                    *mark = time;
                }
            } else {
                // A chain that waits in this gap is broken.
                if let Some(mark) = self.times.get_mut(gap - 1) {
                    *mark = NEVER;
                }
                cancelled |= gap == count && self.wait.take().is_some();
            }
        }
        let live = |mark: i64| mark != NEVER && mark >= from;
        let barred = order.bars.first().is_some_and(|bars| *bars != 0)
            && self.times.get(count).is_some_and(|mark| live(*mark));
        // From the last step down, so that one hit takes one step of each chain only.
        for (at, step) in order.steps.iter().enumerate().rev() {
            if step & input.steps == 0 {
                continue;
            }
            let start = match at.checked_sub(1) {
                None if barred => NEVER,
                None => time,
                Some(before) => self.times.get(before).copied().unwrap_or(NEVER),
            };
            if let Some(mark) = self.times.get_mut(at)
                && live(start)
            {
                *mark = (*mark).max(start);
                finished |= at + 1 == count;
            }
        }
        let start = self.times.get(count.wrapping_sub(1)).copied().unwrap_or(NEVER);
        let judged = Judged { holds: live(start), start, count: count as u64, ..Judged::default() };
        if order.bars.last().is_none_or(|bars| *bars == 0) {
            return judged;
        }
        if self.wait.is_some() {
            return Judged { waits: true, ..Judged::default() };
        }
        if finished && !cancelled {
            return self.begin_wait(judged, input, span);
        }
        // Nothing new to wait for: an alarm that is open stays so until something barred comes.
        Judged { holds: !cancelled && judged.holds, waits: !cancelled && judged.holds, ..judged }
    }

    fn begin_wait(&mut self, judged: Judged, input: &mut Input, span: i64) -> Judged {
        let deadline = judged.start.saturating_add(span);
        self.wait =
            Some(Wait { start: judged.start, at: input.time, deadline, carry: input.carry.take() });
        Judged { holds: false, waits: true, deadline: Some(deadline), ..judged }
    }
}
