//! What stands around the rules at one site, as its files say it: an inventory, home networks, policies, directives.

use crate::error::{ConfigError, Error, RuleError};
use crate::ruleset::{LoadReport, Refused};
use crate::siem::correlation::Settings;
use crate::siem::directive::{Directive, parse_xml, parse_yaml};
use crate::siem::engine::Engine;
use crate::siem::policy::{Policies, types};
use crate::siem::risk::Assets;
use crate::siem::ruleset::RuleSet;
use crate::siem::sigma::Meta;
use std::collections::HashMap;
use std::sync::Arc;

/// The texts of a site's files, and the engine over rules and them.
///
/// ```
/// use smesec_core::siem::correlation::Settings;
/// use smesec_core::siem::{RuleSet, Site};
/// use std::sync::Arc;
///
/// let mut site = Site::default();
/// site.home("10.0.0.0/8, 192.168.0.0/16")?;
/// site.assets("hosts: {10.0.0.5: 5}", "assets.yml")?;
/// site.policies("policies: [{name: our scanner, sources: HOME_NET, then: drop}]", "policies.yml");
/// let engine = site.engine(Arc::new(RuleSet::builder().build()?), Settings::default())?;
/// assert!(engine.report().refused.is_empty());
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Site {
    assets: Assets,
    /// Text and file: they name `HOME_NET`, which may be said after them.
    policies: Vec<(String, String)>,
    directives: Vec<Directive>,
    report: LoadReport,
}

impl Site {
    /// Adds an inventory, see [`Assets::read`]; `file` is what errors show.
    ///
    /// # Errors
    /// The first thing that is no YAML, unknown or of the wrong kind, with its place.
    pub fn assets(&mut self, text: &str, file: &str) -> Result<&mut Self, RuleError> {
        self.assets = self.assets.clone().read(text, file)?;
        Ok(self)
    }

    /// Adds networks to `HOME_NET`, divided by commas: `10.0.0.0/8, 192.0.2.7`.
    ///
    /// # Errors
    /// What is no network, by its text.
    pub fn home(&mut self, networks: &str) -> Result<&mut Self, ConfigError> {
        let mut networks = networks.split(',').map(str::trim).filter(|network| !network.is_empty());
        // What stood stays if one of them is no network.
        self.assets = networks.try_fold(self.assets.clone(), Assets::home)?;
        Ok(self)
    }

    /// Adds policies, see [`Policies::parse`]. They are read by [`Self::engine`].
    pub fn policies(&mut self, text: &str, file: &str) -> &mut Self {
        self.policies.push((text.to_owned(), file.to_owned()));
        self
    }

    /// Adds directives, in OSSIM's XML where the text begins with `<`, else in our own YAML.
    ///
    /// # Errors
    /// Text that is neither, with its place. Single directives that cannot run stand in the
    /// engine's report.
    pub fn directives(&mut self, text: &[u8], file: &str) -> Result<&mut Self, RuleError> {
        let start = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
        let read = if start.starts_with(b"<") {
            parse_xml(text, file, &mut self.report)?
        } else {
            let text = std::str::from_utf8(text).map_err(|wrong| {
                let before = text.get(..wrong.valid_up_to()).unwrap_or_default();
                let line = 1 + memchr::memchr_iter(b'\n', before).count();
                let line = u32::try_from(line).unwrap_or(u32::MAX);
                RuleError::new(file, line, 1, "bytes that are no UTF-8; save the file as UTF-8")
            })?;
            parse_yaml(text, file)?
        };
        self.directives.extend(read);
        Ok(self)
    }

    /// The rules that the levels of a directive name, each once; `None` where no directive has this id or
    /// name.
    #[cfg(feature = "cli")]
    pub(crate) fn rules_of(&self, directive: &str) -> Option<Vec<&str>> {
        let is = |one: &&Directive| one.id == directive || one.name == directive;
        let mut open = vec![&self.directives.iter().find(is)?.first];
        let mut rules: Vec<&str> = Vec::new();
        while let Some(level) = open.pop() {
            for rule in &level.rules {
                if !rules.contains(&rule.as_str()) {
                    rules.push(rule);
                }
            }
            open.extend(level.next.iter().rev());
        }
        Some(rules)
    }

    /// The engine. Its report also has what was left out of the directives' files.
    ///
    /// # Errors
    /// The first thing that is wrong in the policies, with its place.
    pub fn engine(self, rules: Arc<RuleSet>, settings: Settings) -> Result<Engine, Error> {
        let Self { assets, policies, directives, mut report } = self;
        let mut parsed = Vec::new();
        for (text, file) in policies {
            parsed.extend(Policies::parse(&text, &file, &assets)?.into_vec());
            for (named, place) in types(&text, &file) {
                let is = |meta: &Meta| {
                    [&meta.id, &meta.name, &meta.title].iter().any(|name| **name == named)
                };
                if !rules.metas().iter().any(is) {
                    let why = format!(
                        "the policy names `{named}`, which is no rule's id, name or title; correct it, or \
                         load the rule"
                    );
                    let (line, column) = (place.line.max(1), place.column.max(1));
                    report.degraded.push(Refused {
                        file: file.clone(),
                        line,
                        column,
                        rule: None,
                        why,
                    });
                }
            }
        }
        let directives = once(directives, &mut report);
        Ok(Engine::builder(rules)
            .settings(settings)
            .assets(assets)
            .policies(Policies::new(parsed))
            .directives(directives)
            .build_after(report))
    }
}

/// Directives without those whose id is another's already: their alarms could not be told apart.
fn once(directives: Vec<Directive>, report: &mut LoadReport) -> Vec<Directive> {
    let mut known: HashMap<String, String> = HashMap::new();
    let mut kept = Vec::with_capacity(directives.len());
    for directive in directives {
        let (line, column) = (directive.place.line.max(1), directive.place.column.max(1));
        if let Some(first) = known.get(&directive.id) {
            let why =
                format!("a directive with this id stands in {first}; give it an id of its own");
            let (file, rule) = (directive.file, Some(directive.id));
            report.refused.push(Refused { file, line, column, rule, why });
            continue;
        }
        known.insert(directive.id.clone(), format!("{}:{line}", directive.file));
        kept.push(directive);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let mut site = Site::default();
        let told = site.home("10.0.0.0/8,nowhere").unwrap_err().to_string();
        assert!(told.contains("nowhere"), "{told}");
        let told = site.assets("assets: 5", "a.yml").unwrap_err().to_string();
        assert!(told.starts_with("a.yml:1:"), "{told}");
        let told = site.directives(b"a: b\n\xff", "d.yml").unwrap_err().to_string();
        assert!(told.starts_with("d.yml:2:1") && told.contains("UTF-8"), "{told}");
        assert!(site.directives(b"<directives>", "d.xml").is_err());
        site.policies("policies: [{then: nothing}]", "p.yml");
        let rules = Arc::new(RuleSet::builder().build().unwrap());
        let told = site.engine(rules, Settings::default()).unwrap_err().to_string();
        assert!(told.starts_with("p.yml:1:"), "{told}");
    }

    #[test]
    fn what_cannot_run_stands_in_the_report() {
        let mut site = Site::default();
        let text = "directives: [{id: '1', name: n, priority: 3, level: {rules: [none such], reliability: 3}}]";
        site.directives(text.as_bytes(), "d.yml").unwrap();
        let rules = Arc::new(RuleSet::builder().build().unwrap());
        let engine = site.engine(rules, Settings::default()).unwrap();
        assert_eq!(engine.report().refused.len(), 1);
        let why = engine.report().refused.first().map(|refused| refused.why.as_str());
        assert!(why.is_some_and(|why| why.contains("none such")), "{why:?}");
    }
}
