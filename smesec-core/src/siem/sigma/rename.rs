//! What pipelines call the fields of correlations: what they call them in the rules beneath.

use super::pipeline::Traced;
use super::rule::Rule;
use super::syntax::{Correlation, Meta, Reference, Threshold};

/// The fields that correlations name in records, each once.
pub(crate) fn fields(correlations: &[Correlation]) -> Vec<String> {
    let mut fields = Vec::new();
    for correlation in correlations {
        let looked = match &correlation.threshold {
            Threshold::Bounds { fields, .. } => fields.as_slice(),
            _ => &[],
        };
        let own = correlation.group_by.iter().chain(looked);
        let alias = |name: &&String| correlation.aliases.iter().any(|(alias, _)| alias == *name);
        let own = own.filter(|name| !alias(name));
        let aliased = correlation.aliases.iter().flat_map(|(_, by)| by.iter().map(|(_, f)| f));
        for field in own.chain(aliased) {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        }
    }
    fields
}

/// Rules after the pipelines, each with what became of the fields, and all correlations by reference.
pub(crate) struct Renamed<'r> {
    pub(crate) rules: &'r [(Rule, Vec<Traced>)],
    /// The correlations' own names, and the rules that each builds on.
    pub(crate) correlations: &'r [(Meta, Vec<Reference>)],
}

impl Renamed<'_> {
    /// Gives a correlation the names that its fields have in its rules. Where they have several, an
    /// alias keeps the field's own.
    ///
    /// # Errors
    /// A field of which a pipeline makes several: a group has one value of each.
    pub(crate) fn apply(&self, correlation: &mut Correlation) -> Result<(), String> {
        for (_, by) in &mut correlation.aliases {
            for (rule, field) in by {
                if let Some(now) = self.one(rule, field)? {
                    *field = now;
                }
            }
        }
        let looked: &mut [String] = match &mut correlation.threshold {
            Threshold::Bounds { fields, .. } => fields,
            _ => &mut [],
        };
        let mut added: Vec<(String, Vec<(Reference, String)>)> = Vec::new();
        for field in correlation.group_by.iter_mut().chain(looked) {
            let known = |(alias, _): &(String, Vec<_>)| alias == field;
            if correlation.aliases.iter().any(known) || added.iter().any(known) {
                continue;
            }
            let mut by = Vec::new();
            for rule in &correlation.rules {
                let now = self.one(rule, field)?.unwrap_or_else(|| field.clone());
                by.push((rule.clone(), now));
            }
            let Some((_, first)) = by.first() else { continue };
            if by.iter().all(|(_, now)| now == first) {
                first.clone_into(field);
            } else {
                added.push((field.clone(), by));
            }
        }
        correlation.aliases.extend(added);
        Ok(())
    }

    /// What a field is called in a rule; `None` where its rules differ, whose correlation keeps the name.
    fn one(&self, rule: &Reference, field: &str) -> Result<Option<String>, String> {
        let mut found: Option<&str> = None;
        for traced in self.beneath(rule) {
            let Some(traced) = traced.iter().find(|traced| traced.written == field) else {
                continue;
            };
            let [now] = traced.now.as_slice() else {
                return Err(format!(
                    "a pipeline gives the field `{field}` {} names, and a correlation needs one; give it \
                     an alias",
                    traced.now.len()
                ));
            };
            if found.is_some_and(|found| found != now) {
                return Ok(None);
            }
            found = Some(now);
        }
        Ok(found.map(str::to_owned))
    }

    /// The rules that a reference comes down to, through correlations over correlations.
    fn beneath(&self, rule: &Reference) -> Vec<&[Traced]> {
        let named = |meta: &Meta, word: &str| {
            !word.is_empty() && (meta.name == word || meta.id.eq_ignore_ascii_case(word))
        };
        let (mut open, mut seen) = (vec![rule.rule.as_str()], Vec::new());
        let mut found = Vec::new();
        while let Some(word) = open.pop() {
            if seen.contains(&word) {
                continue;
            }
            seen.push(word);
            let rules = self.rules.iter().filter(|(rule, _)| named(&rule.meta, word));
            found.extend(rules.map(|(_, traced)| traced.as_slice()));
            for (_, rules) in self.correlations.iter().filter(|(meta, _)| named(meta, word)) {
                open.extend(rules.iter().map(|rule| rule.rule.as_str()));
            }
        }
        found
    }
}
