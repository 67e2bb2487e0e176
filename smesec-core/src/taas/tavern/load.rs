//! From files to a suite of tests.

use super::document::{Document, Reading, Told, hoist, over};
use super::marks::{self, Case, Expected, Marks};
use super::placeholder;
use super::schema::{self, Verdict};
use super::select;
use super::stage::{Action, Stage, Strict};
use super::value::value;
use crate::decode::yaml::{Node, Place, Scalar};
use crate::error::{ConfigError, Error};
use crate::ruleset::{LoadReport, Refused};
use crate::taas::extension::Extension;
use crate::taas::files::{Files, Folder};
use crate::taas::format::{format, format_text};
use crate::taas::run::helpers;
use crate::taas::scope::{Scope, Variables};
use crate::taas::secret::Secrets;
use crate::taas::url::Url;
use crate::taas::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tests of some files, loaded and judged: nothing is sent before all of that is done.
#[derive(Debug)]
pub struct Suite {
    tests: Vec<Test>,
    report: LoadReport,
    secrets: Secrets,
}

/// One test, ready to run on any thread.
#[derive(Clone, Debug)]
pub struct Test {
    pub(crate) name: String,
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
    pub(crate) marks: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) expected: Option<Expected>,
    pub(crate) plan: Plan,
}

/// One request that a test would send.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Outline {
    /// The stage it belongs to.
    pub stage: String,
    /// Its method; `PUBLISH` and `SUBSCRIBE` of messages.
    pub method: String,
    /// Its URL without the parameters of `params`, or the topic. What is saved from an answer stands in
    /// its braces.
    pub to: String,
}

/// What becomes of a test.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// It is skipped: why.
    Skip(String),
    /// It cannot be run: why, and whether that is a matter of its form.
    Refuse { why: String, form: bool },
    /// It runs.
    Run(Box<Script>),
}

/// What a test does.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) stages: Arc<[Stage]>,
    pub(crate) finally: Arc<[Stage]>,
    pub(crate) tinctures: Arc<[Value]>,
    /// Those of the global configuration, which come last.
    pub(crate) global_tinctures: Arc<[Value]>,
    pub(crate) strict: Strict,
    /// The options of `paho-mqtt`.
    pub(crate) messages: Option<Value>,
    pub(crate) shared: Arc<Variables>,
    pub(crate) own: Vec<(String, Value)>,
    pub(crate) fixtures: Vec<String>,
    pub(crate) fixed: Fixed,
}

/// What all tests of a suite share.
#[derive(Clone)]
pub(crate) struct Fixed {
    pub(crate) env: Arc<BTreeMap<String, String>>,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) extension: Option<Arc<dyn Extension>>,
}

impl std::fmt::Debug for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fixed")
    }
}

impl Suite {
    /// A suite of files and texts.
    pub fn builder() -> SuiteBuilder {
        SuiteBuilder {
            sources: Vec::new(),
            global: Vec::new(),
            fixed: Fixed { env: Arc::default(), files: Arc::new(Folder), extension: None },
            secret: Arc::new(|_| None),
            seed: 0,
            strict_layout: false,
            select: None,
        }
    }

    /// The tests, in the order of the files.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// What was loaded; what was refused, whole files among it; and, as degraded, what deserves a look.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// The hosts and ports that the tests name, in their order and once each: what a target may be asked for.
    pub fn hosts(&self) -> Vec<(String, Option<u16>)> {
        let mut out: Vec<(String, Option<u16>)> = Vec::new();
        for test in &self.tests {
            for host in test.hosts() {
                if !out.contains(&host) {
                    out.push(host);
                }
            }
        }
        out
    }

    /// The secrets that were put in the place of placeholders.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

impl Script {
    /// Where its requests lead, as far as variables say so before the first is sent.
    fn hosts(&self) -> Vec<(String, Option<u16>)> {
        let mut scope = Scope::new(Arc::clone(&self.fixed.env), Arc::clone(&self.shared));
        for (name, value) in &self.own {
            scope.set(name.as_str(), value.clone());
        }
        let mut texts: Vec<String> = Vec::new();
        for stage in self.stages.iter().chain(self.finally.iter()) {
            if let Action::Http { request, .. } = &stage.action
                && let Some(url) = request.key("url").and_then(Value::as_text)
                && let Ok(url) = format_text(url, &scope)
            {
                texts.push(url.into_owned());
            }
        }
        // A URL may hang on an answer; its host stands in a variable all the same.
        let named = self.shared.values().chain(self.own.iter().map(|(_, value)| value));
        texts.extend(named.filter_map(Value::as_text).map(str::to_owned));
        let mut out: Vec<_> =
            texts.iter().filter_map(|text| Url::parse(text).ok()?.place()).collect();
        let connect = self.messages.as_ref().and_then(|options| options.key("connect"));
        if let Some(host) = connect.and_then(|c| c.key("host")).map(ToString::to_string)
            && let Ok(host) = format_text(&host, &scope)
        {
            // What the port hangs on may be known only when it is asked for.
            let port = connect.and_then(|c| c.key("port")).map(ToString::to_string);
            let port = port.and_then(|port| format_text(&port, &scope).ok()?.parse().ok());
            let over_tls =
                self.messages.as_ref().is_some_and(|options| options.key("tls").is_some());
            let port = port.unwrap_or(if over_tls { 8883 } else { 1883 });
            out.push((host.into_owned(), Some(port)));
        }
        out
    }
}

impl Test {
    /// Its name, with the parameters it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file it stands in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it would send, stage by stage, as far as that is known before anything is answered.
    pub fn outline(&self) -> Vec<Outline> {
        let Plan::Run(script) = &self.plan else { return Vec::new() };
        let mut scope = Scope::new(Arc::clone(&script.fixed.env), Arc::clone(&script.shared));
        for (name, value) in &script.own {
            scope.set(name.as_str(), value.clone());
        }
        let filled = |text: String| {
            let known = format_text(&text, &scope).map(std::borrow::Cow::into_owned);
            known.unwrap_or(text)
        };
        let only = script.stages.iter().any(|stage| stage.only);
        let stages = script.stages.iter().filter(|stage| stage.only || !only);
        let each = stages.chain(script.finally.iter()).flat_map(|stage| {
            let field = |of: &Value, name: &str| {
                of.key(name).filter(|v| !matches!(v, Value::Null)).map(ToString::to_string)
            };
            let sent = match &stage.action {
                Action::Http { request, .. } => {
                    let method = field(request, "method").unwrap_or_else(|| "GET".to_owned());
                    vec![(method, field(request, "url").unwrap_or_default())]
                }
                Action::Message { publish, awaited } => {
                    let topic = |of: &Value| field(of, "topic").unwrap_or_default();
                    let publish = publish.iter().map(|one| ("PUBLISH".to_owned(), topic(one)));
                    let awaited = awaited.iter().map(|one| ("SUBSCRIBE".to_owned(), topic(one)));
                    awaited.chain(publish).collect()
                }
            };
            let name = filled(stage.name.clone());
            let lines = sent.into_iter().map(|(method, to)| Outline {
                stage: name.clone(),
                method: filled(method),
                // A user and a password in a URL are nobody's business.
                to: Url::parse(&filled(to.clone()))
                    .map_or_else(|_| filled(to), |url| url.to_string()),
            });
            lines.collect::<Vec<_>>()
        });
        each.collect()
    }

    /// The line it begins on.
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// The names of its marks.
    pub fn marks(&self) -> &[String] {
        &self.marks
    }

    /// The names of the fixtures that it asks for by `usefixtures`; none where it does not run anyway.
    pub fn fixtures(&self) -> &[String] {
        match &self.plan {
            Plan::Run(script) => &script.fixtures,
            _ => &[],
        }
    }

    /// The hosts and ports that it names, in their order and with repetitions.
    pub fn hosts(&self) -> Vec<(String, Option<u16>)> {
        match &self.plan {
            Plan::Run(script) => script.hosts(),
            _ => Vec::new(),
        }
    }

    /// The same test with more variables, below those of its files and its own: values of fixtures.
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, Value)>) -> Self {
        if let Plan::Run(script) = &mut self.plan {
            script.shared = below(variables, &script.shared);
        }
        self
    }
}

/// Gathers what a suite is loaded from.
#[must_use]
pub struct SuiteBuilder {
    sources: Vec<Source>,
    global: Vec<String>,
    fixed: Fixed,
    secret: Arc<SecretSource>,
    seed: u64,
    strict_layout: bool,
    select: Option<String>,
}

/// Who knows a secret by its name.
type SecretSource = dyn Fn(&str) -> Option<String> + Send + Sync;

enum Source {
    File(String),
    Text(String, String),
}

impl std::fmt::Debug for SuiteBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SuiteBuilder").field("global", &self.global).finish_non_exhaustive()
    }
}

impl SuiteBuilder {
    /// With the tests of a file.
    pub fn file(mut self, name: impl Into<String>) -> Self {
        self.sources.push(Source::File(name.into()));
        self
    }

    /// With the tests of a text; errors call it `name`, and what it names is looked for beside that.
    pub fn text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.sources.push(Source::Text(name.into(), text.into()));
        self
    }

    /// With a global configuration: its variables and stages lie below those of every test.
    pub fn global(mut self, file: impl Into<String>) -> Self {
        self.global.push(file.into());
        self
    }

    /// Where files come from; the file system unless told otherwise.
    pub fn files(mut self, files: impl Files + 'static) -> Self {
        self.fixed.files = Arc::new(files);
        self
    }

    /// The variables behind `tavern.env_vars`; none unless told, since the library reads no environment.
    pub fn env(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all = self.fixed.env.as_ref().clone();
        all.extend(env);
        self.fixed.env = Arc::new(all);
        self
    }

    /// Functions and fixtures that tests may call; none unless given.
    pub fn extension(mut self, extension: Arc<dyn Extension>) -> Self {
        self.fixed.extension = Some(extension);
        self
    }

    /// Who knows the secret behind a placeholder: asked with `LOGIN_PASSWORD`, the stage and the key, and
    /// then with `PASSWORD`.
    pub fn secret(
        mut self,
        secret: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.secret = Arc::new(secret);
        self
    }

    /// What identifiers (`!uuid`) are made from. Hosts give a random number; 0, the default, makes each run
    /// send the same ones.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Refuses a `response` that stands inside its `request` instead of reading it as the stage's; off,
    /// because prints of test files have it so.
    pub fn strict_layout(mut self, strict: bool) -> Self {
        self.strict_layout = strict;
        self
    }

    /// Takes only the tests whose marks fit an expression, as pytest's `-m` does.
    pub fn select(mut self, expression: impl Into<String>) -> Self {
        self.select = Some(expression.into());
        self
    }

    /// Whether what was set can be used, for hosts that refuse it before anything is read.
    ///
    /// # Errors
    /// An expression of [`SuiteBuilder::select`] that cannot be read; `build` refuses each test for it.
    pub fn check(&self) -> Result<(), Error> {
        let expression = self.select.as_deref().map(|expression| select::selects(expression, &[]));
        expression.transpose().map(drop).map_err(|why| ConfigError::new(why).into())
    }

    /// Loads everything. What is wrong stands in the report, and a refused test in the suite too, so that a
    /// run shows it.
    pub fn build(self) -> Suite {
        let files = Arc::clone(&self.fixed.files);
        let mut loader = Loader {
            reading: Reading::new(files.as_ref(), self.seed, self.fixed.env.get("TAVERN_INCLUDE")),
            suite: Suite {
                tests: Vec::new(),
                report: LoadReport::default(),
                secrets: Secrets::default(),
            },
            variables: Variables::new(),
            stages: Vec::new(),
            asked: Vec::new(),
            tinctures: Vec::new(),
            builder: &self,
        };
        for file in &self.global {
            loader.global(file);
        }
        for source in &self.sources {
            loader.source(source);
        }
        loader.suite
    }
}

struct Loader<'b> {
    builder: &'b SuiteBuilder,
    reading: Reading<'b>,
    suite: Suite,
    /// Of the global configuration.
    variables: Variables,
    stages: Vec<Stage>,
    /// Secrets that its stages want and nobody knows.
    asked: Vec<placeholder::Asked>,
    tinctures: Vec<Value>,
}

impl Loader<'_> {
    fn refuse(&mut self, file: &str, place: Place, rule: Option<String>, why: impl Into<String>) {
        self.suite.report.refused.push(Refused {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            rule,
            why: why.into(),
        });
    }

    fn read(&mut self, file: &str) -> Option<String> {
        let start = Place { line: 1, column: 1 };
        // As it is called: nothing beside it goes before.
        match self.builder.fixed.files.read(file, "") {
            Ok((_, bytes)) => match String::from_utf8(bytes) {
                Ok(text) => return Some(text),
                Err(_) => self.refuse(file, start, None, "the file is not UTF-8; convert it"),
            },
            Err(why) => self.refuse(file, start, None, why),
        }
        None
    }

    fn documents(&mut self, file: &str, text: &str) -> Option<Vec<Document>> {
        match self.reading.documents(file, text) {
            Ok(documents) => Some(documents),
            Err(e) => {
                let place = Place { line: e.line(), column: e.column() };
                self.refuse(e.file(), place, None, e.why());
                None
            }
        }
    }

    fn scope(&self) -> Scope {
        Scope::new(Arc::clone(&self.builder.fixed.env), Arc::default())
    }

    fn global(&mut self, file: &str) {
        let Some(text) = self.read(file) else { return };
        let Some(documents) = self.documents(file, &text) else { return };
        let scope = self.scope();
        for mut document in documents {
            let mut verdict = Verdict::default();
            if !self.builder.strict_layout {
                hoist(&mut document.root, &mut verdict.told, &mut verdict.warned);
            }
            let (mut asked, mut known) = (Vec::new(), Vec::new());
            let secret = self.builder.secret.as_ref();
            placeholder::fill(&mut document.root, secret, &mut asked, &mut known);
            for value in known {
                self.suite.secrets.add(value);
            }
            for mut asked in asked {
                // It is told of the tests that use the stage, whose file is another.
                let told = asked.told.in_file(file).to_string();
                asked.told = Told::new(Place { line: 1, column: 1 }, told);
                self.asked.push(asked);
            }
            schema::global(&document.root, &mut verdict);
            let mut told = verdict.told;
            let (variables, stages) = included(&document.root, &scope, &mut told);
            match tinctures(&document.root) {
                Ok(more) => self.tinctures.extend(more),
                Err(wrong) => told.push(wrong),
            }
            for told in told {
                self.refuse(file, told.place, None, told.why);
            }
            for warned in verdict.warned {
                self.suite.report.degraded.push(Refused {
                    file: file.to_owned(),
                    line: warned.place.line,
                    column: warned.place.column,
                    rule: None,
                    why: warned.why,
                });
            }
            self.variables.extend(variables);
            self.stages.extend(stages);
        }
    }

    fn source(&mut self, source: &Source) {
        let read;
        let (file, text) = match source {
            Source::Text(name, text) => (name, text),
            Source::File(name) => match self.read(name) {
                Some(text) => {
                    read = text;
                    (name, &read)
                }
                None => return,
            },
        };
        let Some(documents) = self.documents(file, text) else { return };
        let file: Arc<str> = file.as_str().into();
        let mut defaults: Option<Node> = None;
        for mut document in documents {
            // What stands behind a last `---`.
            if matches!(document.root.scalar(), Some(Scalar::Null)) {
                continue;
            }
            if document.root.key("is_defaults").and_then(Node::as_str) == Some("true")
                && document.root.key("stages").is_none()
            {
                defaults = Some(document.root);
                continue;
            }
            if let Some(defaults) = &defaults {
                document.root = over(defaults, document.root);
            }
            self.document(&file, document);
        }
    }

    fn document(&mut self, file: &Arc<str>, mut document: Document) {
        let place = document.root.place;
        let name = match document.root.key("test_name").and_then(Node::as_str) {
            Some(name) if document.root.key("stages").is_some() => name.to_owned(),
            _ => {
                let what =
                    "a test needs a `test_name` and `stages`; write both, or `is_defaults: true`";
                self.refuse(file, place, None, what);
                return;
            }
        };
        let mut verdict = Verdict::default();
        for twice in &document.duplicates {
            verdict.warned.push(Told::new(
                twice.again,
                format!(
                    "`{}` stands in line {} already and only the last counts; remove one",
                    twice.key, twice.first.line
                ),
            ));
        }
        if !self.builder.strict_layout {
            hoist(&mut document.root, &mut verdict.told, &mut verdict.warned);
        }
        let mut asked = Vec::new();
        let mut known = Vec::new();
        placeholder::fill(&mut document.root, self.builder.secret.as_ref(), &mut asked, &mut known);
        for value in known {
            self.suite.secrets.add(value);
        }
        // A shared stage that the test does not name asks it for nothing.
        let root = &document.root;
        let names = |id: &str| {
            let lists = ["stages", "finally"].iter().filter_map(|key| root.key(key)?.list());
            lists.flatten().any(|stage| {
                stage.key("type").and_then(Node::as_str) == Some("ref")
                    && stage.key("id").and_then(Node::as_str) == Some(id)
            })
        };
        let shared = self.asked.iter().cloned().map(|mut asked| {
            asked.told.place = place;
            asked
        });
        asked.extend(shared);
        asked.retain(|asked| asked.of.as_deref().is_none_or(names));
        verdict.warned.extend(asked.iter().map(|asked| asked.told.clone()));
        schema::judge(root, &mut verdict);

        let scope = self.scope();
        let mut not_formed = Vec::new();
        let mut variables = self.variables.clone();
        let mut stages = self.stages.clone();
        for item in root.key("includes").and_then(Node::list).unwrap_or_default() {
            let (more, further) = included(item, &scope, &mut not_formed);
            variables.extend(more);
            stages.extend(further);
        }
        let shared = Arc::new(variables);
        let scope = Scope::new(Arc::clone(&self.builder.fixed.env), Arc::clone(&shared));
        let extension = self.builder.fixed.extension.as_deref();
        let marks = marks::read(root, &scope, extension, &mut verdict.told);
        if let Some(expression) = &self.builder.select {
            match select::selects(expression, &marks.names) {
                Ok(true) => {}
                Ok(false) => return,
                Err(why) => {
                    self.refuse(file, place, Some(name), why);
                    return;
                }
            }
        }
        let expected = match root.key("_xfail") {
            Some(node) => match node.as_str() {
                Some("verify") => Some(Expected::Refusal),
                Some("finally") => Some(Expected::Finally),
                Some(_) => Some(Expected::Failure(None)),
                None => {
                    let text = node.key("run").and_then(Node::as_str).map(str::to_owned);
                    Some(Expected::Failure(text))
                }
            },
            None => marks.may_fail.then_some(Expected::Anything),
        };
        let warnings: Vec<String> =
            verdict.warned.iter().map(|told| told.clone().in_file(file).to_string()).collect();
        for told in &verdict.warned {
            self.suite.report.degraded.push(Refused {
                file: file.to_string(),
                line: told.place.line,
                column: told.place.column,
                rule: Some(name.clone()),
                why: told.why.clone(),
            });
        }
        let plan = if let Some(why) = &marks.skip {
            Plan::Skip(why.clone())
        } else if let Some(told) = verdict.told.first() {
            for told in &verdict.told {
                // A test that says it must be refused is as it should be.
                if expected != Some(Expected::Refusal) {
                    self.refuse(file, told.place, Some(name.clone()), told.why.as_str());
                }
            }
            Plan::Refuse { why: told.clone().in_file(file).to_string(), form: true }
        } else if let Some(asked) = asked.first() {
            Plan::Skip(format!("{} is missing: {}", asked.names.join(" or "), asked.told.why))
        } else if let Some(told) = not_formed.first() {
            Plan::Refuse { why: told.clone().in_file(file).to_string(), form: false }
        } else {
            self.plan(file, root, &stages, &marks, shared)
        };
        for case in marks.cases {
            self.case(file, place, &name, &marks.names, &warnings, expected.as_ref(), &plan, case);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call: the parts of a test come together here"
    )]
    fn case(
        &mut self,
        file: &Arc<str>,
        place: Place,
        name: &str,
        marks: &[String],
        warnings: &[String],
        expected: Option<&Expected>,
        plan: &Plan,
        case: Case,
    ) {
        let mut plan = plan.clone();
        if let Plan::Run(script) = &mut plan {
            script.own.extend(case.variables);
            self.suite.report.loaded += 1;
        }
        self.suite.tests.push(Test {
            name: format!("{name}{}", case.suffix),
            file: Arc::clone(file),
            line: place.line,
            marks: marks.to_vec(),
            warnings: warnings.to_vec(),
            expected: expected.cloned(),
            plan,
        });
    }

    /// What a judged test does.
    fn plan(
        &self,
        file: &Arc<str>,
        root: &Node,
        known: &[Stage],
        marks: &Marks,
        shared: Arc<Variables>,
    ) -> Plan {
        let refuse = |told: Told| Plan::Refuse { why: told.in_file(file).to_string(), form: false };
        let list = |key: &str| -> Result<Vec<Stage>, Told> {
            let nodes = root.key(key).and_then(Node::list).unwrap_or_default();
            nodes.iter().map(|node| one_stage(node, known)).collect()
        };
        let (stages, finally) = match (list("stages"), list("finally")) {
            (Ok(stages), Ok(finally)) => (stages, finally),
            (Err(told), _) | (_, Err(told)) => return refuse(told),
        };
        let tinctures = match tinctures(root) {
            Ok(tinctures) => tinctures,
            Err(told) => return refuse(told),
        };
        let messages = match root.key("paho-mqtt").map(value).transpose() {
            Ok(messages) => messages,
            Err(told) => return refuse(told),
        };
        if let Some(missing) = &marks.missing {
            return Plan::Skip(lacks(missing));
        }
        let extension = self.builder.fixed.extension.as_deref();
        let mut given = extension.map(Extension::fixtures).unwrap_or_default();
        for fixture in &marks.fixtures {
            match extension.and_then(|extension| extension.fixture(fixture)) {
                Some(value) => given.push((fixture.clone(), value)),
                None if extension.is_some_and(|e| e.offers_fixture(fixture)) => {}
                None => {
                    return Plan::Skip(format!(
                        "the fixture `{fixture}` is not offered; run the test through an extension that has it"
                    ));
                }
            }
        }
        let called = stages.iter().chain(&finally).flat_map(Stage::functions);
        let of_test =
            tinctures.iter().chain(&self.tinctures).filter_map(|t| t.key("function")?.as_text());
        for function in called.chain(of_test) {
            if helpers::is_built_in(function)
                || extension.is_some_and(|extension| extension.offers(function))
            {
                continue;
            }
            if function.starts_with("tavern.helpers:") && !helpers::needs_python(function) {
                return refuse(Told::new(
                    root.place,
                    format!("there is no function `{function}`; check its spelling"),
                ));
            }
            return Plan::Skip(lacks(function));
        }
        let strict = root.key("strict").and_then(|node| value(node).ok());
        Plan::Run(Box::new(Script {
            stages: stages.into(),
            finally: finally.into(),
            tinctures: tinctures.into(),
            global_tinctures: self.tinctures.as_slice().into(),
            strict: strict.as_ref().map_or(Strict::DEFAULT, Strict::read),
            messages,
            shared: if given.is_empty() { shared } else { below(given, &shared) },
            own: Vec::new(),
            fixtures: marks.fixtures.clone(),
            fixed: self.builder.fixed.clone(),
        }))
    }
}

/// The functions around stages that a test or a global configuration names.
fn tinctures(root: &Node) -> Result<Vec<Value>, Told> {
    Ok(match root.key("tinctures").map(value).transpose()? {
        None => Vec::new(),
        Some(Value::List(items)) => items,
        Some(single) => vec![single],
    })
}

/// Variables below others.
fn below(
    more: impl IntoIterator<Item = (String, Value)>,
    above: &Arc<Variables>,
) -> Arc<Variables> {
    let mut all: Variables = more.into_iter().collect();
    all.extend(above.iter().map(|(name, value)| (name.clone(), value.clone())));
    Arc::new(all)
}

fn lacks(function: &str) -> String {
    format!(
        "the function `{function}` is not offered; run the test through an extension that has it"
    )
}

/// A stage, or the one that a reference names.
fn one_stage(node: &Node, known: &[Stage]) -> Result<Stage, Told> {
    if node.key("type").and_then(Node::as_str) != Some("ref") {
        return Stage::read(node);
    }
    let id = node.key("id").and_then(Node::as_str).unwrap_or_default();
    // Of stages of one name the nearest counts: includes go before the global configuration.
    let stage = known.iter().rev().find(|stage| stage.id.as_deref() == Some(id));
    stage.cloned().ok_or_else(|| {
        Told::new(
            node.place,
            format!("no include has a stage with the id `{id}`; check its spelling"),
        )
    })
}

/// The variables and the stages of an include or a global configuration. Its variables see the environment and
/// nothing else.
fn included(root: &Node, scope: &Scope, told: &mut Vec<Told>) -> (Variables, Vec<Stage>) {
    let mut variables = Variables::new();
    for (key, node) in root.key("variables").and_then(Node::map).unwrap_or_default() {
        let name = key.as_str().unwrap_or_default();
        match value(node) {
            Ok(value) => match format(&value, scope) {
                Ok(value) => {
                    variables.insert(name.to_owned(), value);
                }
                Err(why) => told.push(Told::new(node.place, why)),
            },
            Err(wrong) => told.push(wrong),
        }
    }
    let mut stages = Vec::new();
    for node in root.key("stages").and_then(Node::list).unwrap_or_default() {
        match Stage::read(node) {
            Ok(stage) => stages.push(stage),
            Err(wrong) => told.push(wrong),
        }
    }
    (variables, stages)
}
