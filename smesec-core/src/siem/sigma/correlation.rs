//! A YAML document with a `correlation` key as a [`Correlation`].

use super::syntax::{Correlation, CorrelationKind, Criterion, Meta, Reference, Threshold};
use crate::decode::yaml::{Node, Place, Scalar};
use crate::error::RuleError;

/// Reads a correlation document (Sigma correlation rules specification 2.1, and the boolean
/// conditions of 2.2).
///
/// ```
/// use smesec_core::decode::yaml::{documents, Limits};
/// use smesec_core::siem::sigma::{correlation, CorrelationKind};
/// let text = "
/// title: many failures
/// correlation: {type: event_count, rules: [fail], group-by: [user], timespan: 5m, condition: {gte: 10}}
/// ";
/// let document = documents(text, "mine.yml", Limits::default()).next().unwrap()?;
/// let read = correlation::parse(&document.root, "mine.yml")?;
/// assert_eq!(read.kind, CorrelationKind::EventCount);
/// assert_eq!(read.timespan, 300 * 1_000_000_000);
/// # Ok::<(), smesec_core::error::RuleError>(())
/// ```
///
/// # Errors
/// The first thing that is missing, unknown or of the wrong kind, with its place.
pub fn parse(document: &Node, file: &str) -> Result<Correlation, RuleError> {
    let reader = Reader { file };
    let Some(body) = document.key("correlation") else {
        return Err(reader.error(document.place, "the document has no `correlation`; add one"));
    };
    let Some(entries) = body.map() else {
        let why = format!("`correlation` is {}; write a mapping", body.kind());
        return Err(reader.error(body.place, &why));
    };
    for (key, _) in entries {
        let name = key.as_str().unwrap_or_default();
        if !KEYS.contains(&name) {
            let why =
                format!("unknown key `{name}` of a correlation; known are {}", KEYS.join(", "));
            return Err(reader.error(key.place, &why));
        }
    }
    super::rule::level(document, file)?;
    let kind = reader.kind(body)?;
    let rules = reader.rules(body)?;
    let condition = body.key("condition").or_else(|| document.key("condition"));
    Ok(Correlation {
        meta: reader.meta(document)?,
        kind,
        group_by: reader.names(body, "group-by")?,
        timespan: reader.timespan(body)?,
        threshold: reader.threshold(condition, kind, body.place)?,
        aliases: reader.aliases(document, body)?,
        generate: reader.generate(document, body)?,
        rules,
    })
}

const KEYS: &[&str] =
    &["type", "rules", "group-by", "timespan", "timeframe", "condition", "aliases", "generate"];

/// More rules than this in one correlation are refused: the engine marks them in 64 bits.
pub(crate) const MOST_RULES: usize = 64;

/// An alias, and for each rule the field that stands for it.
type Aliases = Vec<(String, Vec<(Reference, String)>)>;

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn error(&self, place: Place, why: &str) -> RuleError {
        RuleError::new(self.file, place.line.max(1), place.column.max(1), why)
    }

    fn text<'n>(&self, node: &'n Node, what: &str) -> Result<&'n str, RuleError> {
        node.as_str().ok_or_else(|| {
            self.error(node.place, &format!("{what} is {}; write one text", node.kind()))
        })
    }

    fn meta(&self, document: &Node) -> Result<Meta, RuleError> {
        let one = |key: &str| -> Result<String, RuleError> {
            match document.key(key) {
                None => Ok(String::new()),
                Some(node) if node.scalar() == Some(Scalar::Null) => Ok(String::new()),
                Some(node) => Ok(self.text(node, &format!("`{key}`"))?.to_owned()),
            }
        };
        Ok(Meta {
            file: self.file.to_owned(),
            place: document.place,
            id: one("id")?,
            name: one("name")?,
            title: one("title")?,
            author: Some(one("author")?).filter(|author| !author.is_empty()),
            level: one("level")?,
            status: one("status")?,
            tags: self.names(document, "tags")?,
        })
    }

    fn kind(&self, body: &Node) -> Result<CorrelationKind, RuleError> {
        let Some(node) = body.key("type") else {
            return Err(self.error(body.place, "the correlation has no `type`; add one"));
        };
        Ok(match self.text(node, "`type`")? {
            "event_count" => CorrelationKind::EventCount,
            "value_count" => CorrelationKind::ValueCount,
            "value_sum" => CorrelationKind::ValueSum,
            "value_avg" => CorrelationKind::ValueAvg,
            "value_percentile" => CorrelationKind::ValuePercentile,
            "value_median" => CorrelationKind::ValueMedian,
            // The `_extended` names say that a boolean condition follows; the condition says so too.
            "temporal" | "temporal_extended" => CorrelationKind::Temporal,
            "temporal_ordered" | "temporal_ordered_extended" => CorrelationKind::TemporalOrdered,
            other => {
                let why = format!(
                    "unknown correlation type `{other}`; known are event_count, value_count, value_sum, \
                     value_avg, value_percentile, value_median, temporal and temporal_ordered"
                );
                return Err(self.error(node.place, &why));
            }
        })
    }

    fn rules(&self, body: &Node) -> Result<Vec<Reference>, RuleError> {
        let Some(node) = body.key("rules") else {
            return Err(self.error(body.place, "the correlation names no `rules`; add them"));
        };
        let one = |node: &Node| -> Result<Reference, RuleError> {
            let rule = self.text(node, "a rule of a correlation")?.to_owned();
            Ok(Reference { rule, place: node.place })
        };
        let rules = match node.list() {
            Some(items) => items.iter().map(one).collect::<Result<Vec<_>, _>>()?,
            None => vec![one(node)?],
        };
        if rules.is_empty() {
            return Err(self.error(node.place, "`rules` is empty; name at least one"));
        }
        if rules.len() > MOST_RULES {
            let why = format!("more than {MOST_RULES} rules in one correlation; chain several");
            return Err(self.error(node.place, &why));
        }
        Ok(rules)
    }

    /// A text or a list of texts.
    fn names(&self, map: &Node, key: &str) -> Result<Vec<String>, RuleError> {
        let what = format!("an entry of `{key}`");
        match map.key(key) {
            None => Ok(Vec::new()),
            Some(node) if node.scalar() == Some(Scalar::Null) => Ok(Vec::new()),
            Some(node) => match node.list() {
                Some(items) => {
                    items.iter().map(|item| Ok(self.text(item, &what)?.to_owned())).collect()
                }
                None => Ok(vec![self.text(node, &what)?.to_owned()]),
            },
        }
    }

    fn timespan(&self, body: &Node) -> Result<i64, RuleError> {
        let Some(node) = body.key("timespan").or_else(|| body.key("timeframe")) else {
            return Err(self.error(body.place, "the correlation has no `timespan`; add one"));
        };
        let text = self.text(node, "`timespan`")?;
        span(text).ok_or_else(|| {
            let why = format!(
                "the time span `{text}` is none; write a whole number above 0 and s, m, h or d, such as \
                 `90m`"
            );
            self.error(node.place, &why)
        })
    }

    fn threshold(
        &self,
        condition: Option<&Node>,
        kind: CorrelationKind,
        place: Place,
    ) -> Result<Threshold, RuleError> {
        let temporal = matches!(kind, CorrelationKind::Temporal | CorrelationKind::TemporalOrdered);
        let Some(node) = condition else {
            // The specification calls the condition mandatory, and leaves it out in its examples
            // of the temporal kinds: there it means all rules.
            if temporal {
                return Ok(Threshold::All);
            }
            let why = "this type of correlation needs a `condition`, such as `gte: 10`";
            return Err(self.error(place, why));
        };
        let Some(entries) = node.map() else {
            if !temporal {
                let why = "only temporal correlations take an expression over rules; write bounds such \
                           as `gte: 10`";
                return Err(self.error(node.place, why));
            }
            let text = self.text(node, "`condition`")?.to_owned();
            return Ok(Threshold::Expression { text, place: node.place });
        };
        let mut bounds = Vec::new();
        let mut percentile = None;
        for (key, value) in entries {
            match key.as_str().unwrap_or_default() {
                "field" => {}
                "percentile" => percentile = Some(self.number(value, "percentile")?),
                "gt" => bounds.push(Criterion::Above(self.number(value, "gt")?)),
                "gte" => bounds.push(Criterion::AtLeast(self.number(value, "gte")?)),
                "lt" => bounds.push(Criterion::Below(self.number(value, "lt")?)),
                "lte" => bounds.push(Criterion::AtMost(self.number(value, "lte")?)),
                "eq" => bounds.push(Criterion::Equal(self.number(value, "eq")?)),
                "neq" => bounds.push(Criterion::NotEqual(self.number(value, "neq")?)),
                other => {
                    let why = format!(
                        "unknown key `{other}` of a condition; known are gt, gte, lt, lte, eq, neq, \
                         field and percentile"
                    );
                    return Err(self.error(key.place, &why));
                }
            }
        }
        if bounds.is_empty() {
            return Err(
                self.error(node.place, "the condition has no bound; add one such as `gte: 10`")
            );
        }
        let fields = self.names(node, "field")?;
        let looks = !temporal && kind != CorrelationKind::EventCount;
        if looks && fields.is_empty() {
            let why = "this type of correlation looks at a field; add `field` to the condition";
            return Err(self.error(node.place, why));
        }
        if !looks && !fields.is_empty() {
            let why = "this type of correlation counts hits and looks at no field; take `field` out, or \
                       use value_count";
            return Err(self.error(node.place, why));
        }
        if fields.len() > 1 && kind != CorrelationKind::ValueCount {
            return Err(
                self.error(node.place, "only value_count looks at several fields; name one")
            );
        }
        match (kind, percentile) {
            (CorrelationKind::ValuePercentile, None) => {
                let why = "value_percentile needs a `percentile` from 0 to 100 in its condition";
                Err(self.error(node.place, why))
            }
            (CorrelationKind::ValuePercentile, Some(p)) if !(0.0..=100.0).contains(&p) => {
                Err(self.error(node.place, &format!("the percentile `{p}` is not from 0 to 100")))
            }
            (CorrelationKind::ValuePercentile, _) | (_, None) => {
                Ok(Threshold::Bounds { bounds, fields, percentile })
            }
            (_, Some(_)) => {
                Err(self.error(node.place, "only value_percentile has a `percentile`; take it out"))
            }
        }
    }

    fn number(&self, node: &Node, key: &str) -> Result<f64, RuleError> {
        let number = match node.scalar() {
            Some(Scalar::Int(whole)) => Some(whole as f64),
            Some(Scalar::Float(broken)) => Some(broken),
            Some(Scalar::Text(text)) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| {
            self.error(node.place, &format!("`{key}` is {}; write a number", node.kind()))
        })
    }

    fn aliases(&self, document: &Node, body: &Node) -> Result<Aliases, RuleError> {
        let Some(node) = body.key("aliases").or_else(|| document.key("aliases")) else {
            return Ok(Vec::new());
        };
        let Some(entries) = node.map() else {
            let why = format!("`aliases` is {}; write a mapping of names", node.kind());
            return Err(self.error(node.place, &why));
        };
        let mut aliases = Vec::new();
        for (name, fields) in entries {
            let name = self.text(name, "an alias")?.to_owned();
            let Some(fields) = fields.map() else {
                let why = format!("the alias `{name}` is no mapping; write `rule: field` in it");
                return Err(self.error(fields.place, &why));
            };
            let fields = fields
                .iter()
                .map(|(rule, field)| {
                    let reference = Reference {
                        rule: self.text(rule, "the rule of an alias")?.to_owned(),
                        place: rule.place,
                    };
                    Ok((reference, self.text(field, "the field of an alias")?.to_owned()))
                })
                .collect::<Result<Vec<_>, RuleError>>()?;
            aliases.push((name, fields));
        }
        Ok(aliases)
    }

    fn generate(&self, document: &Node, body: &Node) -> Result<bool, RuleError> {
        let Some(node) = body.key("generate").or_else(|| document.key("generate")) else {
            return Ok(false);
        };
        match node.scalar() {
            Some(Scalar::Bool(generate)) => Ok(generate),
            Some(Scalar::Null) => Ok(false),
            _ => {
                let why = format!("`generate` is {}; write true or false", node.kind());
                Err(self.error(node.place, &why))
            }
        }
    }
}

/// A time span such as `90m` in nanoseconds; `None` where it is none, or longer than 64 bits hold.
pub(crate) fn span(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_suffix(['s', 'm', 'h', 'd'])?;
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => 86_400_i64,
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    number.checked_mul(seconds)?.checked_mul(1_000_000_000).filter(|nanos| *nanos > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::yaml::{Limits, documents};

    fn read(text: &str) -> Result<Correlation, RuleError> {
        let document = documents(text, "t.yml", Limits::default()).next().unwrap().unwrap();
        parse(&document.root, "t.yml")
    }

    #[test]
    fn every_part_of_a_document_is_read() {
        let read = read(
            "title: T\nid: 7\nname: n\nauthor: A\nlevel: high\nstatus: test\ntags: [attack.t1110]\n\
             correlation:\n  type: value_percentile\n  rules: a\n  group-by: ip\n  timespan: 2d\n  \
             condition: {gt: 1, lte: 2.5, field: size, percentile: 95}\n  \
             aliases: {ip: {a: src, b: dst}}\n  generate: true\n",
        )
        .unwrap();
        assert_eq!((read.meta.id.as_str(), read.meta.name.as_str()), ("7", "n"));
        assert_eq!((read.meta.level.as_str(), read.meta.tags.len()), ("high", 1));
        assert_eq!(read.timespan, 2 * 86_400 * 1_000_000_000);
        assert_eq!(read.group_by, ["ip"]);
        assert!(read.generate);
        let Threshold::Bounds { bounds, fields, percentile } = read.threshold else {
            unreachable!("bounds were written")
        };
        assert_eq!(bounds, [Criterion::Above(1.0), Criterion::AtMost(2.5)]);
        assert_eq!((fields.as_slice(), percentile), (["size".to_owned()].as_slice(), Some(95.0)));
        assert_eq!(read.aliases.first().unwrap().1.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let body = |inner: &str| format!("title: T\ncorrelation:\n{inner}");
        for (inner, told) in [
            ("  rules: [a]\n", "t.yml:3:3: the correlation has no `type`"),
            ("  type: near\n  rules: [a]\n", "t.yml:3:9: unknown correlation type `near`"),
            ("  type: temporal\n", "names no `rules`"),
            ("  type: temporal\n  rules: []\n", "t.yml:4:10: `rules` is empty"),
            ("  type: temporal\n  rules: [a]\n", "has no `timespan`"),
            ("  type: temporal\n  rules: [a]\n  timespan: 5 m\n", "the time span `5 m` is none"),
            ("  type: temporal\n  rules: [a]\n  timespan: 0s\n", "the time span `0s` is none"),
            ("  type: temporal\n  rules: [a]\n  window: x\n", "t.yml:5:3: unknown key `window`"),
            ("  type: event_count\n  rules: [a]\n  timespan: 5m\n", "needs a `condition`"),
            (
                "  type: event_count\n  rules: [a]\n  timespan: 5m\n  condition: a and b\n",
                "only temporal correlations take an expression",
            ),
            (
                "  type: value_count\n  rules: [a]\n  timespan: 5m\n  condition: {gte: 2}\n",
                "looks at a field",
            ),
            (
                "  type: event_count\n  rules: [a]\n  timespan: 5m\n  condition: {gte: x}\n",
                "t.yml:6:20: `gte` is text; write a number",
            ),
            (
                "  type: value_percentile\n  rules: [a]\n  timespan: 5m\n  condition: {gte: 2, field: f}\n",
                "needs a `percentile`",
            ),
        ] {
            let told_really = read(&body(inner)).unwrap_err().to_string();
            assert!(told_really.contains(told), "{told_really}\nlacks: {told}");
        }
        assert_eq!(span("9223372036854775807d"), None, "does not fit");
    }
}
