//! Test files run against an application over the network.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use super::extension::ExtensionVtable;
use super::report::{Report, Run, TestCounts};
use crate::border::{
    Bytes, Fault, Status, TextFn, check_size, guard, hand_out, shared, slice, take_back, tell,
};
use smesec_core::client::Network;
use smesec_core::error::RuleError;
use smesec_core::taas::{Suite, SuiteBuilder};
use std::collections::BTreeMap;
use std::ffi::c_void;

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

/// Loaded test files: immutable; any number of threads may run them at once.
#[derive(Debug)]
pub struct Tests {
    suite: Suite,
    /// Its files, as reports call it.
    name: String,
    allow_public: bool,
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
            let mut names = Vec::new();
            for file in slice(files, count, "the files")? {
                let name = file.name.text("a file's name")?;
                names.push(name);
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
                extension = ExtensionVtable::read(options.extension)?
                    .map(|table| (table, options.extension_user));
            }
            if seed == 0 {
                seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "seed");
            }
            builder = builder.seed(seed);
            let name = names.join(" ");
            // From here on nothing fails, so that a pointer that was taken is freed by the suite alone.
            hand_out(out, || {
                if let Some((table, user)) = extension {
                    builder = builder.extension(table.over(user));
                }
                Ok(Tests { suite: builder.build(), name, allow_public })
            })
        }
    })
}

/// Names with what they stand for.
pub(crate) unsafe fn settings(
    first: *const Setting,
    count: usize,
    what: &str,
) -> Result<BTreeMap<String, String>, Fault> {
    // SAFETY: see `slice` and `Bytes`.
    unsafe {
        let settings = slice(first, count, what)?.iter().map(|setting| {
            let name = setting.name.text("a setting's name")?.to_owned();
            Ok((name, setting.value.text("a setting's value")?.to_owned()))
        });
        settings.collect()
    }
}

unsafe fn configure(builder: SuiteBuilder, options: &TestsOptions) -> Result<SuiteBuilder, Fault> {
    // SAFETY: see `slice` and `Bytes`.
    unsafe {
        let mut builder = builder.strict_layout(options.strict_layout);
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
/// before the call. `report` may be NULL; else it gets a handle of all results. A failed test is no failure of the
/// call; a file that could not be read is, and nothing is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_tests_run(
    tests: *const Tests,
    finished: TextFn,
    user: *mut c_void,
    counts: *mut TestCounts,
    report: *mut *mut Report,
) -> Status {
    guard(|| {
        // SAFETY: see `shared`; the rest is null or a place, as the header asks.
        unsafe {
            let tests = shared(tests, "the tests")?;
            let mut run = Run::new(finished, user, counts, report)?;
            let suite = &tests.suite;
            let mut secrets = suite.secrets().clone();
            // A file that cannot be read shall not pass for one without tests.
            let unread = suite.report().refused.iter().find(|refused| refused.rule.is_none());
            if let Some(unread) = unread {
                let why = secrets.masked(&unread.why);
                let error = RuleError::new(&unread.file, unread.line, unread.column, &*why);
                return Err(smesec_core::Error::from(error).into());
            }
            let network = Network::builder().allow_hosts(suite.hosts(), tests.allow_public).build();
            for test in suite.tests() {
                let result = test.run(&network, &mut secrets);
                run.show(&result, &secrets);
                run.keep(result);
            }
            run.end(&tests.name, secrets)
        }
    })
}

/// Frees a suite; not while it runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_tests_free(tests: *mut Tests) {
    // SAFETY: see `take_back`.
    unsafe { take_back(tests) }
}
