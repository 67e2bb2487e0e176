//! The compiled rule set and its builder.

use super::builtin;
use super::compile::{self, Program};
use super::correlation::Plan;
use super::degrade;
use super::log_sources::{self, Row};
use super::sigma::{
    self, Correlation, Filter, Meta, Pipeline, Placeholders, Rule, Sigma, Traced, rename,
};
use crate::decode::yaml;
use crate::error::{ConfigError, Error, IoError, RuleError};
use crate::event::RuleInfo;
use crate::ruleset::{LoadReport, Refused};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A compiled rule set: immutable, shared by all threads.
///
/// ```
/// use smesec_core::siem::RuleSet;
/// let mut builder = RuleSet::builder();
/// builder.text("log.yml", "title: Log cleared\nlogsource: {product: windows, service: security}\n\
///     detection: {selection: {EventID: 1102}, condition: selection}\n");
/// let rules = builder.build()?;
/// assert_eq!(rules.len(), 1);
/// assert_eq!(rules.meta(0).unwrap().title, "Log cleared");
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RuleSet {
    pub(super) program: Program,
    pub(super) rules: Vec<Rule>,
    pub(super) placeholders: Placeholders,
    metas: Vec<Meta>,
    infos: Vec<Arc<RuleInfo>>,
    plan: Arc<Plan>,
    report: LoadReport,
}

impl RuleSet {
    /// A builder without rules.
    pub fn builder() -> RuleSetBuilder {
        RuleSetBuilder {
            rules: Vec::new(),
            filters: Vec::new(),
            correlations: Vec::new(),
            placeholders: Placeholders::new(),
            pipelines: Vec::new(),
            rows: log_sources::built_in(),
            report: LoadReport::default(),
            error: None,
            strict: false,
        }
    }

    /// The files that [`RuleSetBuilder::path`] reads below a path, in its order.
    ///
    /// # Errors
    /// A path that cannot be looked at, or folders that nest too deep.
    pub fn files(path: impl AsRef<Path>) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        files_below(path.as_ref(), 0, &mut files)?;
        Ok(files)
    }

    /// Rules in force, correlations not counted.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether no rule is in force.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What was loaded, refused and degraded.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// What each rule says of itself, by the index that a matcher tells.
    pub fn metas(&self) -> &[Meta] {
        &self.metas
    }

    /// What one rule says of itself.
    pub fn meta(&self, rule: u32) -> Option<&Meta> {
        self.metas.get(rule as usize)
    }

    /// One rule's identity, as findings share it.
    pub fn info(&self, rule: u32) -> Option<&Arc<RuleInfo>> {
        self.infos.get(rule as usize)
    }

    /// One rule as it was read, after filters and pipelines.
    pub fn rule(&self, rule: u32) -> Option<&Rule> {
        self.rules.get(rule as usize)
    }

    /// The correlations over these rules.
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}

/// Collects rules, filters, correlations and what changes them.
#[derive(Debug)]
pub struct RuleSetBuilder {
    rules: Vec<Rule>,
    filters: Vec<Filter>,
    correlations: Vec<Correlation>,
    placeholders: Placeholders,
    pipelines: Vec<Pipeline>,
    rows: Vec<Row>,
    report: LoadReport,
    error: Option<Error>,
    strict: bool,
}

impl RuleSetBuilder {
    /// Adds a file, or all `.yml` and `.yaml` files below a folder, in the order of their names.
    pub fn path(&mut self, path: impl AsRef<Path>) -> &mut Self {
        let files = match RuleSet::files(path) {
            Ok(files) => files,
            Err(error) => {
                self.fail(error);
                return self;
            }
        };
        for file in files {
            let name = file.display().to_string();
            match std::fs::read(&file) {
                Err(error) => self.fail(IoError::new(name, error).into()),
                Ok(bytes) => match String::from_utf8(bytes) {
                    Ok(text) => {
                        self.text(&name, &text);
                    }
                    Err(_) => self.report.refused.push(Refused {
                        file: name,
                        line: 1,
                        column: 1,
                        rule: None,
                        why: "the file is not UTF-8; save it as UTF-8".to_owned(),
                    }),
                },
            }
        }
        self
    }

    /// Adds the project's own rules, [`builtin::RULES`].
    pub fn builtin(&mut self) -> &mut Self {
        for (name, text) in builtin::RULES {
            self.text(name, text);
        }
        self
    }

    /// Adds the documents of a text; `origin` is the file name that errors show.
    pub fn text(&mut self, origin: &str, text: &str) -> &mut Self {
        sigma::load(text, origin, &mut |document| match document {
            Ok(Sigma::Rule(rule)) => self.rules.push(rule),
            Ok(Sigma::Filter(filter)) => self.filters.push(filter),
            Ok(Sigma::Correlation(correlation)) => self.correlations.push(correlation),
            Err(refused) => self.report.refused.push(refused),
        });
        self
    }

    /// Adds values for placeholders: a YAML mapping from names to values or lists of values.
    pub fn placeholders(&mut self, origin: &str, text: &str) -> &mut Self {
        if let Err(error) = read_placeholders(origin, text, &mut self.placeholders) {
            self.fail(error.into());
        }
        self
    }

    /// Adds a pipeline, in pySigma's form; pipelines change rules by ascending priority, after
    /// filters have been added, and with them.
    pub fn pipeline(&mut self, origin: &str, text: &str) -> &mut Self {
        match Pipeline::parse(text, origin) {
            Ok(pipeline) => self.pipelines.push(pipeline),
            Err(error) => self.fail(error.into()),
        }
        self
    }

    /// Adds rows to the table of log sources, in the form of the built-in one:
    /// `product category service : Field=value|value : RuleField<RecordField`.
    pub fn log_sources(&mut self, origin: &str, text: &str) -> &mut Self {
        match log_sources::parse(text, origin) {
            Ok(rows) => self.rows.extend(rows),
            Err(error) => self.fail(error.into()),
        }
        self
    }

    /// With `true` a refused rule is an error of [`RuleSetBuilder::build`].
    pub fn strict(&mut self, strict: bool) -> &mut Self {
        self.strict = strict;
        self
    }

    /// Compiles.
    ///
    /// # Errors
    /// A file that cannot be read, placeholders, pipelines or log sources that are none; in strict mode the
    /// first refused rule. Without strict mode refused rules stand in [`RuleSet::report`].
    pub fn build(mut self) -> Result<RuleSet, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        refuse_twice(&mut self.rules, &mut self.report);
        // Filters first, as pySigma has it: they name the rules' own fields and log sources, and
        // what a pipeline renames is renamed in them too.
        for filter in &self.filters {
            apply(filter, &mut self.rules, &mut self.report);
        }
        self.pipelines.sort_by_key(|pipeline| pipeline.priority);
        for pipeline in &self.pipelines {
            for (name, values) in &pipeline.placeholders {
                self.placeholders.entry(name.clone()).or_default().extend_from_slice(values);
            }
        }
        self.change();
        degrade::name(&self.rules, &self.rows, &mut self.report);
        let program =
            compile::compile(&mut self.rules, self.rows, &self.placeholders, &mut self.report);
        let metas: Vec<Meta> = self.rules.iter().map(|rule| rule.meta.clone()).collect();
        let plan = Plan::build(self.correlations, &metas, &mut self.report);
        if self.strict
            && let Some(first) = self.report.refused.first()
        {
            return Err(RuleError::new(&first.file, first.line, first.column, &first.why).into());
        }
        let info = |rule: &Rule| {
            Arc::new(RuleInfo {
                id: rule.meta.id.clone(),
                name: rule.meta.title.clone(),
                author: rule.meta.author.clone(),
                tags: rule.meta.tags.clone(),
            })
        };
        Ok(RuleSet {
            program,
            metas,
            infos: self.rules.iter().map(info).collect(),
            rules: self.rules,
            placeholders: self.placeholders,
            plan: Arc::new(plan),
            report: self.report,
        })
    }

    /// Sends rules, and the fields of correlations over them, through the pipelines.
    fn change(&mut self) {
        if self.pipelines.is_empty() {
            return;
        }
        let traced: Vec<Traced> =
            rename::fields(&self.correlations).iter().map(|field| Traced::new(field)).collect();
        let rules = std::mem::take(&mut self.rules).into_iter();
        let mut rules: Vec<(Rule, Vec<Traced>)> =
            rules.map(|rule| (rule, traced.clone())).collect();
        for pipeline in &self.pipelines {
            change(pipeline, &mut rules, &mut self.report);
        }
        let known: Vec<(Meta, Vec<sigma::Reference>)> = self
            .correlations
            .iter()
            .map(|correlation| (correlation.meta.clone(), correlation.rules.clone()))
            .collect();
        let renamed = rename::Renamed { rules: &rules, correlations: &known };
        let report = &mut self.report;
        self.correlations.retain_mut(|correlation| match renamed.apply(correlation) {
            Ok(()) => true,
            Err(why) => {
                report.refused.push(refused(&correlation.meta, why));
                false
            }
        });
        self.rules = rules.into_iter().map(|(rule, _)| rule).collect();
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

/// How deep folders may nest. 32: rule repositories reach 6, a link that leads back is cut here.
const FOLDERS: usize = 32;

fn files_below(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let io = |error| Error::from(IoError::new(path.display().to_string(), error));
    if !std::fs::metadata(path).map_err(io)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > FOLDERS {
        let why = format!(
            "`{}`: folders nest deeper than {FOLDERS}; look for a link that leads back",
            path.display()
        );
        return Err(ConfigError::new(why).into());
    }
    let entries = std::fs::read_dir(path).map_err(io)?;
    let mut entries: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(io)?;
    entries.sort();
    for entry in entries {
        let yaml = entry.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        if yaml || entry.is_dir() {
            files_below(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

fn read_placeholders(
    origin: &str,
    text: &str,
    placeholders: &mut Placeholders,
) -> Result<(), RuleError> {
    for document in yaml::documents(text, origin, yaml::Limits::default()) {
        let root = document?.root;
        let wrong = |node: &yaml::Node, why: &str| {
            RuleError::new(origin, node.place.line, node.place.column, why)
        };
        let entries = root.map().ok_or_else(|| {
            wrong(&root, "placeholders are a mapping; write `name: [value, value]`")
        })?;
        for (key, value) in entries {
            let values = value.list().unwrap_or(std::slice::from_ref(value));
            let texts = values.iter().map(|node| {
                let text = node.as_str().map(str::to_owned);
                text.ok_or_else(|| {
                    wrong(node, "a placeholder's value is text; write text or a list")
                })
            });
            let name = key.as_str().unwrap_or_default().trim_matches('%').to_owned();
            placeholders.entry(name).or_default().extend(texts.collect::<Result<Vec<_>, _>>()?);
        }
    }
    Ok(())
}

/// A rule whose id is there already is refused: it would tell everything twice.
fn refuse_twice(rules: &mut Vec<Rule>, report: &mut LoadReport) {
    let mut known: HashMap<String, String> = HashMap::new();
    rules.retain(|rule| {
        let meta = &rule.meta;
        if meta.id.is_empty() {
            return true;
        }
        // Ids are UUIDs, which are the same in any case.
        let id = meta.id.to_ascii_lowercase();
        if let Some(first) = known.get(&id) {
            report.refused.push(Refused {
                file: meta.file.clone(),
                line: meta.place.line,
                column: meta.place.column,
                rule: Some(meta.id.clone()),
                why: format!("a rule with this id stands in {first}; give it an id of its own"),
            });
            return false;
        }
        known.insert(id, format!("{}:{}", meta.file, meta.place.line));
        true
    });
}

fn change(pipeline: &Pipeline, rules: &mut Vec<(Rule, Vec<Traced>)>, report: &mut LoadReport) {
    rules.retain_mut(|(rule, traced)| {
        let Err(why) = pipeline.apply_traced(rule, traced) else { return true };
        report.refused.push(refused(&rule.meta, why));
        false
    });
}

fn refused(meta: &Meta, why: String) -> Refused {
    Refused {
        file: meta.file.clone(),
        line: meta.place.line,
        column: meta.place.column,
        rule: (!meta.id.is_empty()).then(|| meta.id.clone()),
        why,
    }
}

fn apply(filter: &Filter, rules: &mut [Rule], report: &mut LoadReport) {
    let mut changed = 0;
    for rule in rules.iter_mut().filter(|rule| filter.concerns(rule)) {
        filter.apply(rule);
        changed += 1;
    }
    let named = |reference: &sigma::Reference| {
        rules.iter().any(|rule| {
            rule.meta.id == reference.rule
                || (!rule.meta.name.is_empty() && rule.meta.name == reference.rule)
        })
    };
    let degraded = |place: yaml::Place, why: String| Refused {
        file: filter.meta.file.clone(),
        line: place.line,
        column: place.column,
        rule: (!filter.meta.id.is_empty()).then(|| filter.meta.id.clone()),
        why,
    };
    for missing in filter.rules.iter().filter(|reference| !named(reference)) {
        let why = format!(
            "the filter names `{}`, which is not loaded; check the id or the name",
            missing.rule
        );
        report.degraded.push(degraded(missing.place, why));
    }
    if changed == 0 {
        let why = "the filter changes no rule; check its log source and its rules".to_owned();
        report.degraded.push(degraded(filter.meta.place, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::Matcher;
    use crate::siem::record::{Field, LogSource, Record, Value};

    const RULE: &str = "title: t\nid: r1\nname: shell\nlogsource: {product: windows, category: process_creation}\n\
        detection: {a: {Image|endswith: \\cmd.exe}, condition: a}\n";

    fn set(add: impl Fn(&mut RuleSetBuilder)) -> RuleSet {
        let mut builder = RuleSet::builder();
        builder.text("r.yml", RULE);
        add(&mut builder);
        builder.build().unwrap()
    }

    fn matches(set: RuleSet, fields: &[(&str, &str)]) -> usize {
        let fields: Vec<Field<'_>> =
            fields.iter().map(|(name, text)| Field { name, value: Value::text(text) }).collect();
        let mut matcher = Matcher::new(Arc::new(set));
        matcher.matches(&Record { fields: &fields, ..Record::default() }).len()
    }

    const SYSMON: [(&str, &str); 2] =
        [("Channel", "Microsoft-Windows-Sysmon/Operational"), ("EventID", "1")];

    #[test]
    fn log_sources_decide_and_their_aliases_stand_for_fields() {
        let image = ("Image", "C:\\CMD.exe");
        assert_eq!(matches(set(|_| ()), &[SYSMON[0], SYSMON[1], image]), 1);
        assert_eq!(matches(set(|_| ()), &[SYSMON[0], ("EventID", "3"), image]), 0);
        let audit =
            [("Channel", "Security"), ("EventID", "4688"), ("NewProcessName", "C:\\cmd.exe")];
        assert_eq!(matches(set(|_| ()), &audit), 1);
        let mut matcher = Matcher::new(Arc::new(set(|_| ())));
        assert_eq!(matcher.matches(&Record::default()).len(), 0);
        assert_eq!(matcher.unplaced(), 1);
        let fields = [Field { name: "Image", value: Value::text("\\cmd.exe") }];
        let said = LogSource { product: "Windows", category: "process_creation", service: "" };
        let record = Record { fields: &fields, log_source: said, ..Record::default() };
        assert_eq!(matcher.matches(&record), [0]);
    }

    #[test]
    fn filters_are_added_as_they_are_written() {
        let filter = |rules: &str, condition: &str| {
            format!(
                "title: f\nlogsource: {{product: windows}}\n\
                 filter: {{rules: {rules}, selection: {{User: ann}}, condition: {condition}}}\n"
            )
        };
        let ann = [SYSMON[0], SYSMON[1], ("Image", "\\cmd.exe"), ("User", "ann")];
        for (rules, condition, count) in [
            ("any", "selection", 1),
            ("any", "not selection", 0),
            ("[shell]", "not selection", 0),
            ("[r1]", "not selection", 0),
            ("[other]", "not selection", 1),
        ] {
            let set = set(|builder| {
                builder.text("f.yml", &filter(rules, condition));
            });
            let degraded = set.report().degraded.len();
            assert_eq!(degraded, if rules == "[other]" { 2 } else { 0 }, "{}", set.report());
            assert_eq!(matches(set, &ann), count, "{rules} {condition}");
        }
    }

    #[test]
    fn what_does_nothing_is_named() {
        let rule = |id: &str, source: &str, line: &str| {
            format!(
                "title: t\nid: {id}\nlogsource: {{{source}}}\ndetection: {{a: {{{line}}}, condition: a}}\n"
            )
        };
        let set = set(|builder| {
            builder.text("twice.yml", RULE);
            builder.text("none.yml", &rule("x1", "product: abacus", "A: 1"));
            builder.text(
                "never.yml",
                &rule("x2", "product: windows, category: registry_set", "Detail: 1"),
            );
            builder.text(
                "null.yml",
                &rule("x3", "product: windows, category: registry_set", "Detail: null"),
            );
            builder.text("expand.yml", &rule("x4", "product: windows", "User|expand: '%admins%'"));
        });
        let report = set.report().to_string();
        assert_eq!(set.len(), 4, "{report}");
        assert!(
            report.contains("twice.yml:1:1: rule `r1`: a rule with this id stands in r.yml:1"),
            "{report}"
        );
        assert!(report.contains("no source is known for product `abacus`"), "{report}");
        assert!(report.contains("never.yml:1:1: rule `x2`: it can never match, since no known source of its records has `Detail`"), "{report}");
        assert!(!report.contains("null.yml"), "{report}");
        assert!(
            report.contains("expand.yml:4:17: rule `x4`: no values for the placeholder `%admins%`"),
            "{report}"
        );
        let with = RuleSet::builder()
            .placeholders("p.yml", "admins: [ann, 'b*']\n")
            .text("expand.yml", &rule("x4", "product: windows", "User|expand: '%admins%'"))
            .path("/nowhere/at/all")
            .error
            .take();
        assert!(with.unwrap().to_string().starts_with("`/nowhere/at/all`"));
    }

    #[test]
    fn strict_makes_the_first_refused_rule_an_error() {
        let mut builder = RuleSet::builder();
        builder.strict(true).text("b.yml", "title: t\nlogsource: {product: x}\n");
        let told = builder.build().unwrap_err().to_string();
        assert!(told.starts_with("b.yml:1:1: a rule without `detection`"), "{told}");
    }
}
