//! The public test files, run against the server that they expect; their verdicts beside those of the runner
//! they were written for.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a test: a panic is the verdict"
)]

#[path = "taas/server.rs"]
mod server;
#[path = "taas/wire.rs"]
mod wire;

#[path = "taas/annex.rs"]
mod annex;
#[path = "taas/hostile.rs"]
mod hostile;
#[path = "taas/messages.rs"]
mod messages;
#[path = "taas/probes.rs"]
mod probes;

use server::Server;
use smesec_core::runner::{Observer, TestResult, TestRunner, TestVerdict};
use smesec_core::taas::{Call, Extension, Runner, Suite, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::Wire;

/// Documents that call Python functions or fixtures: they are counted apart.
fn calls_python(file: &str, test: &str) -> bool {
    match file {
        "test_fixtures.tavern.yaml" => true,
        "test_auth_key.tavern.yaml" => test.contains("$ext"),
        "test_external_functions.tavern.yaml" => {
            ["Test merging in input", "Test generating query params", "Test external function url"]
                .iter()
                .any(|name| test.starts_with(name))
        }
        "test_parametrize.tavern.yaml" => test.starts_with("Test parametrizing using 'vals'"),
        _ => false,
    }
}

pub fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let folder = std::env::var_os("SMESEC_CORPORA").map_or(beside, PathBuf::from).join("taas");
    if folder.join("integration").is_dir() {
        return Some(folder);
    }
    eprintln!("##### SKIPPED: no public test files here (SMESEC_CORPORA/taas) #####");
    None
}

struct Nobody;

impl Observer for Nobody {
    fn finished(&mut self, _: &TestResult) {}
}

fn word(verdict: &TestVerdict) -> &'static str {
    match verdict {
        TestVerdict::Passed => "passed",
        TestVerdict::ExpectedFailure(_) => "xfailed",
        TestVerdict::Skipped(_) => "skipped",
        TestVerdict::Refused(_) => "refused",
        _ => "failed",
    }
}

fn why(verdict: &TestVerdict) -> String {
    match verdict {
        TestVerdict::Failed(finding) | TestVerdict::ExpectedFailure(finding) => {
            finding.message.clone()
        }
        TestVerdict::Skipped(why) | TestVerdict::Refused(why) => why.clone(),
        _ => String::new(),
    }
}

/// File and test to verdict; a name's second test is `name#2`.
fn expected(folder: &Path) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(folder.join("dev_verdicts.csv")).unwrap();
    let mut out = Vec::new();
    for line in text.lines().skip(1) {
        let (file, rest) = line.split_once(',').unwrap();
        let (test, verdict) = rest.rsplit_once(',').unwrap();
        let test = match test.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => test.to_owned(),
        };
        out.push((file.to_owned(), test, verdict.to_owned()));
    }
    out
}

pub fn load(folder: &Path, extension: Option<Arc<dyn Extension>>) -> Suite {
    let files = folder.join("integration");
    let mut names: Vec<PathBuf> = std::fs::read_dir(&files)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".tavern.yaml"))
        .collect();
    names.sort();
    let mut builder = Suite::builder()
        .global(files.join("global_cfg.yaml").to_string_lossy())
        .env([("TEST_HOST".to_owned(), "http://localhost:5003".to_owned())])
        .env([("SECOND_URL_PART".to_owned(), "again".to_owned())])
        .select("not do_not_run");
    if let Some(extension) = extension {
        builder = builder.extension(extension);
    }
    for name in names {
        builder = builder.file(name.to_string_lossy());
    }
    builder.build()
}

/// What the files' own Python module and fixtures give, by the names that the files call them by.
struct Functions;

fn map(pairs: &[(&str, &str)]) -> Value {
    Value::Map(pairs.iter().map(|(k, v)| ((*k).to_owned(), Value::text(*v))).collect())
}

impl Extension for Functions {
    fn offers(&self, function: &str) -> bool {
        function.starts_with("ext_functions:")
    }

    fn call(&self, call: &Call<'_>) -> Result<Value, String> {
        Ok(match call.function {
            "ext_functions:return_hello" => map(&[("hello", "there")]),
            "ext_functions:gen_echo_url" => {
                let host = call.kwargs.iter().find(|(name, _)| name == "host");
                Value::Text(format!("{}/echo", host.ok_or("no host")?.1))
            }
            "ext_functions:return_list_vals" => {
                Value::List(vec![map(&[("a_value", "b_value")]), Value::Int(2)])
            }
            "ext_functions:get_digest_auth" => {
                map(&[("type", "digest"), ("username", "fakeuser"), ("password", "fakepass")])
            }
            "ext_functions:get_pizza_auth" => {
                Value::Map(vec![("headers".to_owned(), map(&[("X-Pizza", "pizza_user")]))])
            }
            other => return Err(format!("no function `{other}`")),
        })
    }

    fn fixtures(&self) -> Vec<(String, Value)> {
        [
            ("autouse_thing", "abc"),
            ("autouse_thing_named", "abc"),
            ("fixture_echo_url", "http://localhost:5003/echo"),
        ]
        .map(|(name, value)| (name.to_owned(), Value::text(value)))
        .into()
    }

    fn fixture(&self, name: &str) -> Option<Value> {
        let known = ["str_fixture", "yield_str_fixture", "yielder"];
        known.contains(&name).then(|| Value::text("a fixture"))
    }
}

#[derive(Debug, Default)]
struct Tally {
    agreed: usize,
    of: usize,
    python_agreed: usize,
    python: usize,
    told: Vec<String>,
}

fn compare(folder: &Path, extension: Option<Arc<dyn Extension>>) -> Tally {
    let server = Server::start(0);
    let suite = load(folder, extension);
    let report = Runner::new(&suite).run(&Wire { address: server.address }, &mut Nobody);
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut given: BTreeMap<(String, String), &TestResult> = BTreeMap::new();
    for result in &report.results {
        let (file, _) = result.place.as_ref().unwrap();
        let file = file.rsplit('/').next().unwrap().to_owned();
        let count = seen.entry((file.clone(), result.name.clone())).or_default();
        *count += 1;
        let name =
            if *count == 1 { result.name.clone() } else { format!("{}#{count}", result.name) };
        given.insert((file, name), result);
    }
    let mut tally = Tally::default();
    for (file, test, verdict) in expected(folder) {
        let found = given.remove(&(file.clone(), test.clone()));
        let agrees = found.is_some_and(|found| word(&found.verdict) == verdict);
        if calls_python(&file, &test) {
            tally.python += 1;
            tally.python_agreed += usize::from(agrees);
        } else {
            tally.of += 1;
            tally.agreed += usize::from(agrees);
        }
        if !agrees {
            let found = found.map_or_else(
                || "no such test".to_owned(),
                |found| format!("{}: {}", word(&found.verdict), why(&found.verdict)),
            );
            tally.told.push(format!("{file}: {test}: expected {verdict}, {found}"));
        }
    }
    tally
        .told
        .extend(given.into_keys().map(|(file, test)| format!("{file}: {test}: not expected")));
    tally
}

#[test]
fn the_public_files_have_the_verdicts_they_were_written_for() {
    let Some(folder) = corpus() else { return };
    let Tally { agreed, of, python_agreed, python, told } = compare(&folder, None);
    println!(
        "taas: {agreed} of {of} verdicts agree, {python_agreed} of {python} that call Python apart"
    );
    assert!(agreed >= floor("verdicts") && agreed == of, "{}", told.join("\n"));
}

#[test]
fn with_an_extension_those_that_call_functions_have_theirs_too() {
    let Some(folder) = corpus() else { return };
    let tally = compare(&folder, Some(Arc::new(Functions)));
    println!(
        "taas: {} of {} verdicts agree through an extension",
        tally.agreed + tally.python_agreed,
        tally.of + tally.python
    );
    assert!(tally.told.is_empty(), "{}", tally.told.join("\n"));
    assert!(tally.agreed + tally.python_agreed >= floor("with_extension"));
}

/// The server alone, for the comparison with a peer: `SMESEC_TAAS_PORT=5003`, until standard input ends.
#[test]
#[ignore = "a server for the comparison with a peer"]
fn serve() {
    let port = std::env::var("SMESEC_TAAS_PORT").ok().and_then(|port| port.parse().ok());
    let server = Server::start(port.unwrap_or(5003));
    println!("listening on {}", server.address);
    let _ = std::io::stdin().lines().count();
}

/// The floor in `conformance/floors.toml`.
fn floor(key: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/floors.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("[taas]").nth(1).expect("floors.toml has [taas]");
    let line = section.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
    line.unwrap().trim().parse().unwrap()
}
