//! Test files run against an application over the network.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{
    Bytes, Fault, Opaque, Status, TextFn, check_size, guard, hand_out, shared, slice, take_back,
    tell, unique,
};
use smesec_core::client::Network;
use smesec_core::error::RuleError;
use smesec_core::runner::{TestResult, TestVerdict};
use smesec_core::taas::{Call, Extension, Suite, SuiteBuilder, Value, report};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Arc;

/// A name and what it stands for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct Setting {
    /// The name.
    pub name: Bytes,
    /// The value.
    pub value: Bytes,
}

/// A test file in Tavern's format.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct TestFile {
    /// Its path; what it names is looked for beside it.
    pub name: Bytes,
    /// Its text, where the host has it; with `data` NULL the file is read.
    pub text: Bytes,
}

/// How test files are loaded and run; all zero but `size` are the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct TestsOptions {
    /// sizeof(smesec_tests_options).
    pub size: usize,
    /// The variables behind `tavern.env_vars`: the library reads no environment.
    pub env: *const Setting,
    /// How many.
    pub env_count: usize,
    /// What secret placeholders stand for, by their names such as `LOGIN_PASSWORD`. They are masked in all that
    /// the library tells.
    pub secrets: *const Setting,
    /// How many.
    pub secret_count: usize,
    /// Paths of global configurations, whose variables and stages lie below those of every test.
    pub globals: *const Bytes,
    /// How many.
    pub global_count: usize,
    /// Takes only tests whose marks fit this expression, as pytest's -m does; empty for all.
    pub select: Bytes,
    /// What identifiers (`!uuid`) are made from; 0 for a random number.
    pub seed: u64,
    /// The host's own functions behind `$ext`; NULL for none. The table is copied.
    pub extension: *const ExtensionVtable,
    /// What those functions get.
    pub extension_user: *mut c_void,
    /// Lets tests reach the hosts that they name at public addresses too; else only private and loopback ones.
    pub allow_public: bool,
    /// Refuses a `response` that stands inside its `request`.
    pub strict_layout: bool,
}

/// Functions of the host's own, which test files call by name. They are called on the threads that load and run
/// the suite, so by several at once if several run it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct ExtensionVtable {
    /// sizeof(smesec_extension_vtable).
    pub size: usize,
    /// Whether there is a function of that name, such as `my_package.checks:is_paid`; NULL offers every name. A
    /// test that needs one that is not offered is skipped and says so.
    pub offers: Option<unsafe extern "C" fn(user: *mut c_void, function: Bytes) -> bool>,
    /// Calls a function. `arguments` is a JSON object: `args`, a list; `kwargs`, an object; `response`, the answer
    /// it judges, or null: `status`, `headers` (pairs of name and value) and `body`, bytes that are not UTF-8
    /// replaced. It sets `answer`; one that is not set is null.
    pub call: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            function: Bytes,
            arguments: Bytes,
            answer: *mut Answer,
        ),
    >,
    /// Called once, when nothing uses the functions any more; may be NULL.
    pub free: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

/// Where a function of the host's puts what came of it; valid during that call only.
#[derive(Debug)]
pub struct Answer {
    inner: Result<Value, String>,
}

/// How the tests of a run ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct TestCounts {
    /// sizeof(smesec_test_counts).
    pub size: usize,
    /// Every assertion held.
    pub passed: usize,
    /// Failed, as they say they must.
    pub expected_failures: usize,
    /// An assertion did not hold.
    pub failed: usize,
    /// Could not be run.
    pub refused: usize,
    /// Were not run, because they or the options say so.
    pub skipped: usize,
}

impl TestCounts {
    const fn add(&mut self, verdict: &TestVerdict) {
        match verdict {
            TestVerdict::Passed => self.passed += 1,
            TestVerdict::ExpectedFailure(_) => self.expected_failures += 1,
            TestVerdict::Failed(_) => self.failed += 1,
            TestVerdict::Skipped(_) => self.skipped += 1,
            // What a later library calls otherwise has not shown that it passed.
            _ => self.refused += 1,
        }
    }
}

/// Loaded test files: immutable; any number of threads may run them at once.
#[derive(Debug)]
pub struct Tests {
    suite: Suite,
    allow_public: bool,
}

#[derive(Debug)]
struct CExtension {
    vtable: ExtensionVtable,
    user: Opaque,
}

impl Extension for CExtension {
    fn offers(&self, function: &str) -> bool {
        self.vtable.offers.is_none_or(|offers| {
            // SAFETY: the host vouches for its function, on any thread.
            unsafe { offers(self.user.pointer(), Bytes::of(function.as_bytes())) }
        })
    }

    fn call(&self, call: &Call<'_>) -> Result<Value, String> {
        let function = Bytes::of(call.function.as_bytes());
        let arguments = arguments(call)?;
        let Some(body) = self.vtable.call else { return Err("no function".to_owned()) };
        let mut answer = Answer { inner: Ok(Value::default()) };
        // SAFETY: as above; the answer lives until the function has returned.
        unsafe {
            body(self.user.pointer(), function, Bytes::of(arguments.as_bytes()), &raw mut answer)
        };
        answer.inner
    }
}

/// What a call hands over, as JSON.
fn arguments(call: &Call<'_>) -> Result<String, String> {
    let list = |items: Vec<String>| items.join(", ");
    let args = call.args.iter().map(Value::to_json).collect::<Result<Vec<_>, _>>()?;
    let kwargs = call.kwargs.iter().map(|(name, value)| {
        let name = serde_json::Value::from(name.as_str());
        Ok(format!("{name}: {}", value.to_json()?))
    });
    let kwargs = kwargs.collect::<Result<Vec<_>, String>>()?;
    let response = call.response.map_or(serde_json::Value::Null, |response| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<_> =
            response.headers.iter().map(|(name, value)| (name, text(value))).collect();
        serde_json::json!({
            "status": response.status,
            "headers": headers,
            "body": text(&response.body),
        })
    });
    let (args, kwargs) = (list(args), list(kwargs));
    Ok(format!(r#"{{"args": [{args}], "kwargs": {{{kwargs}}}, "response": {response}}}"#))
}

/// Answers a call with a value, as JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_answer_value(answer: *mut Answer, json: Bytes) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `Bytes`.
        let (answer, json) = unsafe { (unique(answer, "the answer")?, json.get()?) };
        let value = Value::from_json(json)
            .map_err(|why| Fault::config(format!("the answer is no JSON: {why}")))?;
        answer.inner = Ok(value);
        Ok(())
    })
}

/// Answers a call with a failure and its reason: a check that fails so has failed its test.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_answer_failure(answer: *mut Answer, why: Bytes) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `Bytes`.
        let (answer, why) = unsafe { (unique(answer, "the answer")?, why.lossy()?) };
        answer.inner = Err(why);
        Ok(())
    })
}

/// Loads `count` test files; `options` may be NULL for the defaults. Nothing is sent. What is wrong in them stands
/// in the report, and a test that is refused in the suite too, so that a run shows it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_tests_load(
    options: *const TestsOptions,
    files: *const TestFile,
    count: usize,
    out: *mut *mut Tests,
) -> Status {
    guard(|| {
        // SAFETY: see `slice`, `Bytes` and `hand_out`; options are null or a struct, as the header asks.
        unsafe {
            let mut builder = Suite::builder();
            for file in slice(files, count, "the files")? {
                let name = file.name.text("a file's name")?;
                builder = if file.text.data.is_null() && file.text.len == 0 {
                    builder.file(name)
                } else {
                    builder.text(name, file.text.text("a file's text")?)
                };
            }
            let mut seed = 0;
            let mut allow_public = false;
            let mut extension = None;
            if let Some(options) = options.as_ref() {
                check_size(options.size, size_of::<TestsOptions>(), "smesec_tests_options")?;
                builder = configure(builder, options)?;
                (seed, allow_public) = (options.seed, options.allow_public);
                extension = extension_of(options)?;
            }
            if seed == 0 {
                seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "seed");
            }
            builder = builder.seed(seed);
            // From here on nothing fails, so that a pointer that was taken is freed by the suite alone.
            hand_out(out, || {
                if let Some((vtable, user)) = extension {
                    let user = Opaque::new(user, vtable.free);
                    builder = builder.extension(Arc::new(CExtension { vtable, user }));
                }
                Ok(Tests { suite: builder.build(), allow_public })
            })
        }
    })
}

unsafe fn configure(builder: SuiteBuilder, options: &TestsOptions) -> Result<SuiteBuilder, Fault> {
    // SAFETY: see `slice` and `Bytes`.
    unsafe {
        let mut builder = builder.strict_layout(options.strict_layout);
        let settings = |first, count, what| -> Result<BTreeMap<String, String>, Fault> {
            let settings = slice::<Setting>(first, count, what)?.iter();
            let settings = settings.map(|setting| {
                let name = setting.name.text("a setting's name")?.to_owned();
                Ok((name, setting.value.text("a setting's value")?.to_owned()))
            });
            settings.collect()
        };
        builder = builder.env(settings(options.env, options.env_count, "`env`")?);
        let secrets = settings(options.secrets, options.secret_count, "`secrets`")?;
        builder = builder.secret(move |name| secrets.get(name).cloned());
        for file in slice(options.globals, options.global_count, "`globals`")? {
            builder = builder.global(file.text("a global configuration's path")?);
        }
        let select = options.select.text("`select`")?;
        Ok(if select.is_empty() { builder } else { builder.select(select) })
    }
}

unsafe fn extension_of(
    options: &TestsOptions,
) -> Result<Option<(ExtensionVtable, *mut c_void)>, Fault> {
    // SAFETY: null or a table, as the header asks.
    let Some(vtable) = (unsafe { options.extension.as_ref() }) else { return Ok(None) };
    check_size(vtable.size, size_of::<ExtensionVtable>(), "smesec_extension_vtable")?;
    vtable.call.ok_or_else(|| Fault::null("`call`"))?;
    Ok(Some((*vtable, options.extension_user)))
}

/// Tests in the suite, refused ones among them; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_tests_len(tests: *const Tests) -> usize {
    // SAFETY: see `shared`.
    unsafe { shared(tests, "the tests") }.map_or(0, |tests| tests.suite.tests().len())
}

/// Tells the load report as one JSON object: `loaded`; the lists `refused` and `degraded` of `file`, `line`,
/// `column`, `rule`, `why`, secrets masked; and `hosts`, the pairs of host and port (or null for any) that a run
/// may connect to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_tests_report(
    tests: *const Tests,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell`.
        unsafe {
            let suite = &shared(tests, "the tests")?.suite;
            let mut report = suite.report().clone();
            for line in report.refused.iter_mut().chain(&mut report.degraded) {
                line.why = suite.secrets().masked(&line.why).into_owned();
            }
            let mut json = serde_json::to_value(report).unwrap_or_default();
            if let Some(object) = json.as_object_mut() {
                let hosts = serde_json::to_value(suite.hosts()).unwrap_or_default();
                object.insert("hosts".to_owned(), hosts);
            }
            tell(tell_to, user, &json.to_string())
        }
    })
}

/// Runs the tests one after another on this thread, which waits for answers and sleeps where tests ask for it. It
/// connects to the hosts that the files name, and to no other. `finished` (may be NULL) is told each result as one
/// JSON object as soon as it is there, secrets masked: `test`, `file`, `line`, `verdict` (`passed`, `xfailed`,
/// `failed`, `refused`, `skipped`), `why`, `elapsed_ms`, `steps`, `warnings`. `counts` may be NULL; set its `size`
/// before the call. A failed test is no failure of the call; a file that could not be read is, and nothing is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_tests_run(
    tests: *const Tests,
    finished: TextFn,
    user: *mut c_void,
    counts: *mut TestCounts,
) -> Status {
    guard(|| {
        // SAFETY: see `shared` and `tell`; counts are null or a struct, as the header asks.
        unsafe {
            let tests = shared(tests, "the tests")?;
            if let Some(counts) = counts.as_ref() {
                check_size(counts.size, size_of::<TestCounts>(), "smesec_test_counts")?;
            }
            let mut told = Ok(());
            let found = run(tests, &mut |line| {
                if finished.is_some() {
                    told = tell(finished, user, line);
                }
            })?;
            told?;
            if let Some(place) = counts.as_mut() {
                *place = TestCounts { size: place.size, ..found };
            }
            Ok(())
        }
    })
}

fn run(tests: &Tests, show: &mut dyn FnMut(&str)) -> Result<TestCounts, Fault> {
    let suite = &tests.suite;
    let mut secrets = suite.secrets().clone();
    // A file that cannot be read shall not pass for one without tests.
    if let Some(unread) = suite.report().refused.iter().find(|refused| refused.rule.is_none()) {
        let why = secrets.masked(&unread.why);
        let error = RuleError::new(&unread.file, unread.line, unread.column, &*why);
        return Err(smesec_core::Error::from(error).into());
    }
    let mut network = Network::builder();
    for (host, port) in suite.hosts() {
        network = if tests.allow_public {
            network.allow_public_host(&host, port)
        } else {
            network.allow_host(&host, port)
        };
    }
    let network = network.build();
    let mut counts = TestCounts {
        size: size_of::<TestCounts>(),
        passed: 0,
        expected_failures: 0,
        failed: 0,
        refused: 0,
        skipped: 0,
    };
    for test in suite.tests() {
        let result: TestResult = test.run(&network, &mut secrets);
        counts.add(&result.verdict);
        show(&report::json_line(&result, &secrets));
    }
    Ok(counts)
}

/// Frees a suite; not while it runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_tests_free(tests: *mut Tests) {
    // SAFETY: see `take_back`.
    unsafe { take_back(tests) }
}
