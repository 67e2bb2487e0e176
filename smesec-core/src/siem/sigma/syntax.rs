//! The syntax tree of Sigma documents.

use crate::decode::yaml::Place;
use crate::verdict::Severity;

/// What every Sigma document says of itself.
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "the parser builds it in place")]
pub struct Meta {
    /// The file it stands in.
    pub file: String,
    /// Where it begins.
    pub place: Place,
    /// `id`, a UUID; empty where it has none.
    pub id: String,
    /// `name`, by which correlations may refer to it; empty where it has none.
    pub name: String,
    /// `title`.
    pub title: String,
    /// `author`; travels with each match, as the Detection Rule License asks.
    pub author: Option<String>,
    /// `level`: informational, low, medium, high or critical; empty where it has none.
    pub level: String,
    /// `status`; empty where it has none.
    pub status: String,
    /// `tags`, such as `attack.t1110`.
    pub tags: Vec<String>,
}

/// A rule that a correlation names, by id or by name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "the parser builds it in place")]
pub struct Reference {
    /// The id or the name as written.
    pub rule: String,
    /// Where.
    pub place: Place,
}

/// What a correlation counts or awaits (Sigma correlation rules specification 2.1, "Correlation
/// types").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CorrelationKind {
    /// How many events.
    EventCount,
    /// How many different values of a field.
    ValueCount,
    /// The sum of a field.
    ValueSum,
    /// The mean of a field.
    ValueAvg,
    /// A percentile of a field.
    ValuePercentile,
    /// The middle of a field's values; the 50th percentile.
    ValueMedian,
    /// All (or what the condition says) of the rules within the time span, in any order.
    Temporal,
    /// The rules in their order within the time span.
    TemporalOrdered,
}

/// One bound of a correlation's condition.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Criterion {
    /// `gt`.
    Above(f64),
    /// `gte`.
    AtLeast(f64),
    /// `lt`.
    Below(f64),
    /// `lte`.
    AtMost(f64),
    /// `eq`.
    Equal(f64),
    /// `neq`.
    NotEqual(f64),
}

/// A correlation's condition.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Threshold {
    /// Bounds on a count or a value; all must hold. `field` for the kinds that look at one.
    Bounds {
        /// The bounds, at least one.
        bounds: Vec<Criterion>,
        /// The field or fields whose values are looked at.
        fields: Vec<String>,
        /// The percentile asked for, 0 to 100.
        percentile: Option<f64>,
    },
    /// A boolean expression over the rules named, as written: `a and not b`.
    Expression {
        /// The text.
        text: String,
        /// Where it begins.
        place: Place,
    },
    /// None: every rule named has to be there.
    All,
}

/// A correlation document.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "the parser builds it in place")]
pub struct Correlation {
    /// What it says of itself.
    pub meta: Meta,
    /// Its type.
    pub kind: CorrelationKind,
    /// The rules it builds on, in their order.
    pub rules: Vec<Reference>,
    /// The fields (or aliases) whose values form a group.
    pub group_by: Vec<String>,
    /// The time span in nanoseconds.
    pub timespan: i64,
    /// The condition.
    pub threshold: Threshold,
    /// Aliases: the name, and for each rule the field that stands for it.
    pub aliases: Vec<(String, Vec<(Reference, String)>)>,
    /// Whether the rules it builds on are reported too.
    pub generate: bool,
}

/// The severity of a level; `medium` where a document tells none.
pub(crate) fn severity(level: &str) -> Severity {
    match level.to_ascii_lowercase().as_str() {
        "informational" => Severity::Info,
        "low" => Severity::Low,
        "high" => Severity::High,
        "critical" => Severity::Critical,
        _ => Severity::Medium,
    }
}

/// The techniques among a document's tags: `attack.t1059.001` is `T1059.001`.
pub(crate) fn techniques(tags: &[String]) -> Vec<String> {
    let technique = |tag: &String| {
        let name = tag.strip_prefix("attack.")?;
        let digits = name.strip_prefix(['t', 'T'])?;
        digits.starts_with(|c: char| c.is_ascii_digit()).then(|| name.to_ascii_uppercase())
    };
    tags.iter().filter_map(technique).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_techniques() {
        assert_eq!(severity("High"), Severity::High);
        assert_eq!(severity(""), Severity::Medium);
        let tags = ["attack.execution", "attack.t1059.001", "cve.2021-1"].map(str::to_owned);
        assert_eq!(techniques(&tags), ["T1059.001"]);
    }
}
