//! Correlations compiled: references resolved to numbers, fields to slots, chains to links.

use super::expression::Expression;
use super::hash::{low, sip128};
use super::resolve::{self, Target};
use super::shard::{self, Shard};
use crate::event::RuleInfo;
use crate::ruleset::{LoadReport, Refused};
use crate::siem::sigma::{Correlation, CorrelationKind, Criterion, Meta, Threshold, severity};
use crate::verdict::Severity;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Correlations ready to run, shared by all that run them.
///
/// ```
/// use smesec_core::decode::yaml::{documents, Limits};
/// use smesec_core::ruleset::LoadReport;
/// use smesec_core::siem::correlation::Plan;
/// use smesec_core::siem::sigma::{correlation, Meta};
/// let text = "
/// title: guessing
/// correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 5m, condition: {gte: 3}}
/// ";
/// let document = documents(text, "mine.yml", Limits::default()).next().unwrap()?;
/// let known = [Meta { name: "failed".into(), ..Meta::default() }];
/// let mut report = LoadReport::default();
/// let plan = Plan::build(vec![correlation::parse(&document.root, "mine.yml")?], &known, &mut report);
/// assert_eq!((plan.len(), report.loaded, report.refused.len()), (1, 1, 0));
/// # Ok::<(), smesec_core::error::RuleError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Children before the correlations that build on them.
    pub(crate) correlations: Vec<Compiled>,
    /// Who listens to base rules.
    pub(crate) listeners: Vec<Listener>,
    /// By base rule: what to read of a hit, and which listeners to tell.
    pub(crate) rules: Vec<Listened>,
    /// Base rules by id and by name, for events that come with findings.
    pub(crate) by_id: HashMap<String, u32>,
}

/// One correlation in force.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) info: Arc<RuleInfo>,
    pub(crate) severity: Severity,
    /// What alarm ids are made of: the rule's id, else its name, else its title.
    pub(crate) identity: u64,
    /// Which state fits it: a snapshot is taken up only where this is the same.
    pub(crate) fingerprint: u64,
    pub(crate) kind: Kind,
    pub(crate) group_by: Vec<Arc<str>>,
    pub(crate) span: i64,
    /// False where correlations build on it and none of them has `generate`.
    pub(crate) reported: bool,
    /// Who builds on it.
    pub(crate) links: Vec<Link>,
    pub(crate) shard: Shard,
}

/// What a correlation keeps and tests.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Hits in the window.
    Count(Counted),
    /// Different values in the window.
    Distinct(Counted),
    /// A figure of the values in the window.
    Samples { bounds: Vec<Criterion>, figure: Figure },
    /// Which rules hit in the window.
    Present { rules: usize, test: Test },
    /// Rules in their order.
    Ordered(Order),
}

/// Bounds on a number that only grows by one.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) bounds: Vec<Criterion>,
    /// The smallest number that meets them.
    pub(crate) need: usize,
    /// No larger number need be told apart from this one.
    pub(crate) keep: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Figure {
    Sum,
    Mean,
    Median,
    Percentile(f64),
}

#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// All of these.
    All(u64),
    /// So many of them.
    Bounds(Vec<Criterion>),
    /// What the expression says.
    Expression(Expression),
}

/// Rules in their order, and the rules that must not come in between.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Each step's rule as a bit.
    pub(crate) steps: Vec<u64>,
    /// The rules barred before the first step, between two, and after the last: one more than steps.
    pub(crate) bars: Vec<u64>,
}

/// What listens to a base rule.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) correlation: u32,
    /// Where the correlation lists the rule.
    pub(crate) steps: u64,
    /// Places in [`Listened::fields`].
    pub(crate) group: Vec<usize>,
    pub(crate) values: Vec<usize>,
    pub(crate) carry: Vec<usize>,
}

/// A base rule's part in the correlations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listened {
    pub(crate) fields: Vec<Arc<str>>,
    /// Places in [`Plan::listeners`].
    pub(crate) listeners: Vec<usize>,
    pub(crate) reported: bool,
}

/// A correlation that builds on another.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) parent: u32,
    pub(crate) steps: u64,
    pub(crate) group: Vec<From>,
    pub(crate) values: Vec<From>,
    pub(crate) carry: Vec<From>,
}

/// Where a value of a correlation's result comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum From {
    /// Its group.
    Group(usize),
    /// The hit that decided it.
    Carry(usize),
}

/// A count above this is refused: a window would have to keep as many times.
pub(crate) const MOST_COUNTED: usize = 1_000_000;
/// A number of different values above this is refused: they are searched one by one.
pub(crate) const MOST_DISTINCT: usize = 10_000;
/// A chain longer than this is refused; real ones have three levels.
pub(crate) const MOST_LEVELS: usize = 16;

impl Plan {
    /// Compiles correlations over the base rules `known`, whose numbers are their places.
    ///
    /// What cannot run is named in the report, never dropped silently: a reference to no rule or to
    /// several, a circle, an alias without a field, an expression that is none.
    pub fn build(correlations: Vec<Correlation>, known: &[Meta], report: &mut LoadReport) -> Self {
        let mut refuse = |correlation: &Correlation, line, column, why: String| {
            report.refused.push(Refused {
                file: correlation.meta.file.clone(),
                line,
                column,
                rule: Some(name_of(&correlation.meta).to_owned()),
                why,
            });
        };
        let correlations = once(correlations, &mut refuse);
        let resolved = resolve::resolve(&correlations, known, &mut refuse);
        let mut kinds = Vec::with_capacity(correlations.len());
        for (at, correlation) in correlations.iter().enumerate() {
            let targets = resolved.targets.get(at).and_then(Option::as_ref);
            kinds.push(targets.and_then(|targets| {
                let names = |word: &str| {
                    targets.iter().zip(&correlation.rules).position(|(target, rule)| {
                        rule.rule == word || resolve::goes_by(*target, word, &correlations, known)
                    })
                };
                match kind(correlation, names) {
                    Ok(kind) => Some(kind),
                    Err(why) => {
                        let place = match &correlation.threshold {
                            Threshold::Expression { place, .. } => *place,
                            _ => correlation.meta.place,
                        };
                        refuse(correlation, place.line.max(1), place.column.max(1), why);
                        None
                    }
                }
            }));
        }
        let order = resolve::order(&correlations, &resolved, &mut kinds, &mut refuse);
        let plan = Assembly::new(&correlations, known, &resolved, kinds, &order).plan();
        report.loaded += plan.correlations.len();
        for compiled in &plan.correlations {
            // A bound that a single hit meets fires on each first hit: legal, and hardly meant.
            if let Kind::Count(counted) | Kind::Distinct(counted) = &compiled.kind
                && counted.need == 1
                && counted
                    .bounds
                    .iter()
                    .all(|b| matches!(b, Criterion::Below(_) | Criterion::AtMost(_)))
                && let Some(meta) =
                    correlations.iter().map(|c| &c.meta).find(|m| name_of(m) == compiled.info.id)
            {
                report.degraded.push(Refused {
                    file: meta.file.clone(),
                    line: meta.place.line.max(1),
                    column: meta.place.column.max(1),
                    rule: Some(compiled.info.id.clone()),
                    why: "conditions are judged at each hit, and one hit meets this one; use `not` in a \
                          temporal correlation to notice what does not come"
                        .to_owned(),
                });
            }
        }
        plan
    }

    /// How many correlations are in force.
    pub fn len(&self) -> usize {
        self.correlations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.correlations.is_empty()
    }

    /// What a correlation of this id or title builds on, by id, else by name or title: rules of `known`, then
    /// other correlations.
    #[cfg(feature = "cli")]
    pub(crate) fn parts<'p>(&'p self, wanted: &str, known: &'p [Meta]) -> Option<Vec<&'p str>> {
        let is = |info: &RuleInfo| info.id.eq_ignore_ascii_case(wanted) || info.name == wanted;
        let at = self.correlations.iter().position(|correlation| is(&correlation.info))?;
        let listens = |rule: &Listened| {
            let mut listeners = rule.listeners.iter().filter_map(|at| self.listeners.get(*at));
            listeners.any(|listener| listener.correlation as usize == at)
        };
        let rules = self.rules.iter().zip(known).filter(|(rule, _)| listens(rule));
        let others = self.correlations.iter();
        let others = others.filter(|o| o.links.iter().any(|link| link.parent as usize == at));
        let rules = rules.map(|(_, meta)| name_of(meta));
        Some(rules.chain(others.map(|other| other.info.id.as_str())).collect())
    }

    /// Whether hits of a base rule are reported by themselves: not where correlations build on it
    /// and none of them has `generate`.
    pub fn reports(&self, rule: u32) -> bool {
        self.rules.get(rule as usize).is_none_or(|rule| rule.reported)
    }

    /// Whether any correlation builds on this base rule.
    pub fn listens(&self, rule: u32) -> bool {
        self.rules.get(rule as usize).is_some_and(|rule| !rule.listeners.is_empty())
    }
}

/// Correlations without those whose id is another's already: they would raise the same alarms.
fn once(correlations: Vec<Correlation>, refuse: &mut resolve::Refuse<'_>) -> Vec<Correlation> {
    let mut known: HashMap<String, String> = HashMap::new();
    correlations
        .into_iter()
        .filter(|correlation| {
            let meta = &correlation.meta;
            if meta.id.is_empty() {
                return true;
            }
            let (line, column) = (meta.place.line.max(1), meta.place.column.max(1));
            // Ids are UUIDs, which are the same in any case.
            match known.entry(meta.id.to_ascii_lowercase()) {
                Entry::Occupied(first) => {
                    let first = first.get();
                    let why = format!(
                        "a correlation with this id stands in {first}; give it an id of its own"
                    );
                    refuse(correlation, line, column, why);
                    false
                }
                Entry::Vacant(place) => {
                    place.insert(format!("{}:{line}", meta.file));
                    true
                }
            }
        })
        .collect()
}

/// What a document is called: its id, else its name, else its title.
pub(crate) fn name_of(meta: &Meta) -> &str {
    [&meta.id, &meta.name, &meta.title].into_iter().find(|name| !name.is_empty()).map_or("", |n| n)
}

/// Whether a number meets all bounds.
pub(crate) fn meets(bounds: &[Criterion], number: f64) -> bool {
    bounds.iter().all(|bound| match *bound {
        Criterion::Above(limit) => number > limit,
        Criterion::AtLeast(limit) => number >= limit,
        Criterion::Below(limit) => number < limit,
        Criterion::AtMost(limit) => number <= limit,
        Criterion::Equal(limit) => (number - limit).abs() < f64::EPSILON * limit.abs().max(1.0),
        Criterion::NotEqual(limit) => (number - limit).abs() >= f64::EPSILON * limit.abs().max(1.0),
    })
}

fn kind(
    correlation: &Correlation,
    names: impl FnMut(&str) -> Option<usize>,
) -> Result<Kind, String> {
    let rules = correlation.rules.len();
    let every = u64::MAX >> (64 - rules.clamp(1, 64));
    let ordered = correlation.kind == CorrelationKind::TemporalOrdered;
    Ok(match (&correlation.threshold, correlation.kind) {
        (Threshold::Bounds { bounds, .. }, CorrelationKind::EventCount) => {
            Kind::Count(counted(bounds, MOST_COUNTED)?)
        }
        (Threshold::Bounds { bounds, .. }, CorrelationKind::ValueCount) => {
            Kind::Distinct(counted(bounds, MOST_DISTINCT)?)
        }
        (Threshold::Bounds { bounds, percentile, .. }, kind) if !is_temporal(kind) => {
            let figure = match kind {
                CorrelationKind::ValueSum => Figure::Sum,
                CorrelationKind::ValueAvg => Figure::Mean,
                CorrelationKind::ValuePercentile => Figure::Percentile(percentile.unwrap_or(50.0)),
                _ => Figure::Median,
            };
            Kind::Samples { bounds: bounds.clone(), figure }
        }
        (Threshold::Bounds { bounds, .. }, _) if ordered => {
            // A number of rules has an order only if it is all of them.
            let all = bounds.len() == 1
                && [Criterion::AtLeast(rules as f64), Criterion::Equal(rules as f64)]
                    .contains(bounds.first().ok_or("no bound")?);
            if !all {
                return Err(
                    "temporal_ordered asks for all of its rules; leave the condition out, or use \
                            temporal"
                        .to_owned(),
                );
            }
            in_order(every, 0, rules)?
        }
        (Threshold::Bounds { bounds, .. }, _) => {
            counted(bounds, rules)?;
            Kind::Present { rules, test: Test::Bounds(bounds.clone()) }
        }
        (Threshold::Expression { text, .. }, _) => {
            let expression = Expression::parse(text, names)?;
            if expression.positive & expression.negative != 0 {
                return Err("a rule stands in it both negated and not; name it once".to_owned());
            }
            if expression.positive == 0 {
                return Err(
                    "all of it is negated, and nothing would ever begin it; name a rule that has \
                            to come"
                        .to_owned(),
                );
            }
            if ordered {
                if !expression.conjunction {
                    return Err(
                        "an order lies over rules joined by `and`, each with or without `not`; \
                                use temporal for the rest"
                            .to_owned(),
                    );
                }
                in_order(expression.positive, expression.negative, rules)?
            } else {
                Kind::Present { rules, test: Test::Expression(expression) }
            }
        }
        (Threshold::All, _) if ordered => in_order(every, 0, rules)?,
        (Threshold::All, _) => Kind::Present { rules, test: Test::All(every) },
    })
}

fn is_temporal(kind: CorrelationKind) -> bool {
    matches!(kind, CorrelationKind::Temporal | CorrelationKind::TemporalOrdered)
}

fn counted(bounds: &[Criterion], most: usize) -> Result<Counted, String> {
    let limit = bounds.iter().fold(0.0_f64, |limit, bound| match *bound {
        Criterion::Above(n)
        | Criterion::AtLeast(n)
        | Criterion::Below(n)
        | Criterion::AtMost(n)
        | Criterion::Equal(n)
        | Criterion::NotEqual(n) => limit.max(n),
    });
    // Beyond the largest limit named, all numbers are judged alike.
    let open =
        bounds.iter().all(|bound| matches!(bound, Criterion::Above(_) | Criterion::AtLeast(_)));
    let mut need = None;
    let mut keep = 1_usize;
    while need.is_none() && keep <= most.saturating_add(1) {
        if meets(bounds, keep as f64) {
            need = Some(keep);
        } else if keep as f64 > limit + 1.0 {
            break;
        } else {
            keep += 1;
        }
    }
    let need = match need {
        Some(need) if need <= most => need,
        _ if limit > most as f64 => {
            return Err(format!("the condition asks for more than {most}; lower it"));
        }
        _ => return Err("no number meets the condition; correct its bounds".to_owned()),
    };
    let mut keep = need;
    while !open && keep as f64 <= limit {
        keep += 1;
        if keep > most.saturating_add(1) {
            return Err(format!("the condition asks for more than {most}; lower it"));
        }
    }
    Ok(Counted { bounds: bounds.to_vec(), need, keep })
}

fn in_order(positive: u64, negative: u64, rules: usize) -> Result<Kind, String> {
    let mut order = Order { steps: Vec::new(), bars: vec![0] };
    for at in 0..rules {
        let bit = 1 << at;
        if positive & bit != 0 {
            order.steps.push(bit);
            order.bars.push(0);
        } else if negative & bit != 0
            && let Some(bars) = order.bars.last_mut()
        {
            *bars |= bit;
        }
    }
    if order.steps.is_empty() {
        return Err("no rule has to come; name one".to_owned());
    }
    Ok(Kind::Ordered(order))
}

/// Puts the parts together, parents first, so that a child knows which fields its parents ask for.
struct Assembly<'a> {
    correlations: &'a [Correlation],
    known: &'a [Meta],
    resolved: &'a resolve::Resolved,
    kinds: Vec<Option<Kind>>,
    /// Correlations in force, children first, by their place in `correlations`.
    order: &'a [usize],
    /// The place in force of each.
    places: HashMap<usize, u32>,
    /// By place in force: the fields that parents ask for beyond the group.
    carry: Vec<Vec<String>>,
}

impl<'a> Assembly<'a> {
    fn new(
        correlations: &'a [Correlation],
        known: &'a [Meta],
        resolved: &'a resolve::Resolved,
        kinds: Vec<Option<Kind>>,
        order: &'a [usize],
    ) -> Self {
        let places = (0_u32..).zip(order).map(|(place, at)| (*at, place)).collect();
        let carry = vec![Vec::new(); order.len()];
        Self { correlations, known, resolved, kinds, order, places, carry }
    }

    fn plan(mut self) -> Plan {
        let rules = vec![Listened { reported: true, ..Listened::default() }; self.known.len()];
        let mut plan = Plan { rules, ..Plan::default() };
        for (at, meta) in (0_u32..).zip(self.known) {
            for name in [&meta.name, &meta.id] {
                if !name.is_empty() {
                    plan.by_id.insert(name.clone(), at);
                }
            }
        }
        let mut links: Vec<Vec<Link>> = vec![Vec::new(); self.order.len()];
        let mut quiet: HashMap<Target, bool> = HashMap::new();
        let parents_first: Vec<(u32, usize)> = (0_u32..).zip(self.order.iter().copied()).collect();
        for (place, at) in parents_first.into_iter().rev() {
            let Some((correlation, targets)) = self.correlations.get(at).zip(self.targets(at))
            else {
                continue;
            };
            let (targets, mut done) = (targets.to_vec(), Vec::new());
            for target in targets.iter().copied() {
                *quiet.entry(target).or_insert(true) &= !correlation.generate;
                if done.contains(&target) {
                    continue;
                }
                done.push(target);
                let steps = (0..).zip(&targets).filter(|(_, other)| **other == target);
                let steps = steps.fold(0_u64, |steps, (at, _)| steps | 1_u64 << at);
                let carried = self.carry.get(place as usize).cloned().unwrap_or_default();
                let group = self.fields(correlation, target, &correlation.group_by);
                let values = self.fields(correlation, target, looked_at(correlation));
                let carry = self.fields(correlation, target, &carried);
                match target {
                    Target::Rule(rule) => {
                        let Some(listened) = plan.rules.get_mut(rule as usize) else { continue };
                        let mut slots = |names: Vec<String>| -> Vec<usize> {
                            names
                                .into_iter()
                                .map(|name| slot(&mut listened.fields, &name))
                                .collect()
                        };
                        let listener = Listener {
                            correlation: place,
                            steps,
                            group: slots(group),
                            values: slots(values),
                            carry: slots(carry),
                        };
                        listened.listeners.push(plan.listeners.len());
                        plan.listeners.push(listener);
                    }
                    Target::Correlation(child) => {
                        let Some(child) = self.places.get(&child).copied() else { continue };
                        let link = Link {
                            parent: place,
                            steps,
                            group: self.from(child, group),
                            values: self.from(child, values),
                            carry: self.from(child, carry),
                        };
                        if let Some(links) = links.get_mut(child as usize) {
                            links.push(link);
                        }
                    }
                }
            }
        }
        // Listeners were gathered parents first; hits are told to children first.
        for listened in &mut plan.rules {
            listened.listeners.reverse();
        }
        for (target, quiet) in &quiet {
            if let Target::Rule(rule) = target
                && let Some(rule) = plan.rules.get_mut(*rule as usize)
            {
                rule.reported = !quiet;
            }
        }
        let groups: Vec<usize> = self
            .order
            .iter()
            .map(|at| self.correlations.get(*at).map_or(0, |c| c.group_by.len()))
            .collect();
        let shards = shard::shards(&groups, &links);
        for ((at, links), shard) in self.order.iter().copied().zip(links).zip(shards) {
            let Some((correlation, kind)) =
                self.correlations.get(at).zip(self.kinds.get_mut(at).and_then(Option::take))
            else {
                continue;
            };
            let quiet = quiet.get(&Target::Correlation(at)).copied().unwrap_or(false);
            plan.correlations.push(compiled(correlation, kind, links, shard, !quiet));
        }
        plan
    }

    fn targets(&self, at: usize) -> Option<&'a [Target]> {
        self.resolved.targets.get(at).and_then(Option::as_deref)
    }

    /// What `names` are called in the hits of a target: an alias's field, else the name itself.
    fn fields(&self, correlation: &Correlation, target: Target, names: &[String]) -> Vec<String> {
        let field = |name: &String| {
            let alias = correlation.aliases.iter().find(|(alias, _)| alias == name);
            alias
                .and_then(|(_, fields)| {
                    fields.iter().find(|(rule, _)| {
                        resolve::goes_by(target, &rule.rule, self.correlations, self.known)
                    })
                })
                .map_or_else(|| name.clone(), |(_, field)| field.clone())
        };
        names.iter().map(field).collect()
    }

    /// Where a correlation's result has these fields: in its group, else carried from its hit.
    fn from(&mut self, child: u32, names: Vec<String>) -> Vec<From> {
        let group_by = self
            .order
            .get(child as usize)
            .and_then(|at| self.correlations.get(*at))
            .map_or::<&[String], _>(&[], |child| &child.group_by);
        let Some(carry) = self.carry.get_mut(child as usize) else { return Vec::new() };
        names
            .into_iter()
            .map(|name| match group_by.iter().position(|group| *group == name) {
                Some(at) => From::Group(at),
                None => From::Carry(carry.iter().position(|known| *known == name).unwrap_or_else(
                    || {
                        carry.push(name);
                        carry.len() - 1
                    },
                )),
            })
            .collect()
    }
}

fn looked_at(correlation: &Correlation) -> &[String] {
    match &correlation.threshold {
        Threshold::Bounds { fields, .. } => fields,
        _ => &[],
    }
}

fn slot(fields: &mut Vec<Arc<str>>, name: &str) -> usize {
    fields.iter().position(|field| **field == *name).unwrap_or_else(|| {
        fields.push(name.into());
        fields.len() - 1
    })
}

fn compiled(
    correlation: &Correlation,
    kind: Kind,
    links: Vec<Link>,
    shard: Shard,
    reported: bool,
) -> Compiled {
    let meta = &correlation.meta;
    let name = name_of(meta);
    let identity = low(sip128(1, name.as_bytes()));
    let shape = format!("{name}\0{kind:?}\0{:?}\0{}", correlation.group_by, correlation.timespan);
    let title = if meta.title.is_empty() { name } else { &meta.title };
    Compiled {
        info: Arc::new(RuleInfo {
            id: name.to_owned(),
            name: title.to_owned(),
            author: meta.author.clone(),
            tags: meta.tags.clone(),
        }),
        severity: severity(&meta.level),
        identity,
        fingerprint: low(sip128(2, shape.as_bytes())),
        kind,
        group_by: correlation.group_by.iter().map(|name| name.as_str().into()).collect(),
        span: correlation.timespan,
        reported,
        links,
        shard,
    }
}
