//! The command `smesec`: one function, called by the binary and by the Python wheel.

mod check;
mod demo;
mod rules;
mod schedule;
mod serve;
mod siem;
mod taas;

use std::ffi::OsString;
use std::io::{BufRead, ErrorKind, Write};

const HELP: &str = "\
smesec - security engines for the host's own process

usage:
  smesec waf check [--rules PATH]... [--paranoia N] [--detect-only] [--repeat N]
      [--no-memory] --requests FILE
      runs transactions (JSON lines) through the web application firewall; one JSON line each.
      Without --rules the built-in pack is used; `builtin` names it among PATHs. FILE may be - for standard input.
      --no-memory judges every value as if it came for the first time.
  smesec rules check [--json] [--strict] [--language seclang|sigma] PATH...
      loads SecLang or Sigma rules and reports what was loaded, refused and degraded.
  smesec siem run [--rules PATH]... [--directives FILE]... [--policies FILE]... [--assets FILE]...
      [--home-net CIDR,...] [--format NAME] [--lateness 30s] [--output table|json | --json]
      [--updates] [--log-source PRODUCT/CATEGORY/SERVICE] [--pipeline FILE]
      [--placeholders FILE] [--log-sources FILE] [--strict] [--state DIR] [--stats] INPUT...
      runs logs through Sigma rules, correlations and directives (OSSIM's XML, or YAML); one line
      a detection, one an alarm with its risk, 0 to 10; --updates tells when alarms grow and close.
      Policies drop, silence or re-prioritise before that; assets say what a host is worth.
      INPUT is a file, a folder, or - for standard input; its format is found out unless it is
      named. Without --rules the built-in rules are used. With --state a run goes on where the
      last one came to, or was killed: alarms may be told again then, with the same ids.
  smesec siem explain [--rules PATH]... RULE EVENT
      tells which of a rule's searches an event meets and which not, with what the event has.
  smesec taas run [--global-cfg FILE]... [--env NAME=VALUE]... [--secrets FILE] [-m EXPR]
      [--strict-layout] [--allow-public] [--jobs N] [--dry-run] [--json]
      [--requests N] [--per-second N] [--proxy URL] [--http2]
      [--junit FILE] [--sarif FILE] [--html FILE] [--last FILE] FILE...
      runs test files in Tavern's format; --json prints one line a test. A placeholder such as
      [CONFIDENTIAL] takes its value from SMESEC_SECRET_<STAGE>_<KEY> or SMESEC_SECRET_<KEY>.
      --requests caps what a run sends (10000), --per-second its rate (500); --dry-run lists each
      request as far as it is known before the first answer, tells each host that the run would
      refuse and what allows it (names are looked up), sends nothing, and ends with 0. A host
      behind a --proxy needs --allow-public.
  smesec demo [--once] [--port N]
      a demonstration shop behind the gateway; visitors and attackers come, then it is your turn.
  smesec serve --config FILE
      the gateway: a reverse proxy with the firewall. SIGHUP reloads, SIGTERM drains and stops.
  smesec config check FILE | smesec config example
      tells what is wrong with a configuration; prints one with every setting.
  smesec taas audit TARGET.yaml [--only CHECK,...] [--destructive] [--dry-run] [--json]
      [--proxy URL] [--http2]
      [--junit FILE] [--sarif FILE] [--html FILE] [--last FILE]
      tries the doors of the API that the file describes; one JSON line a finding with --json.
      --dry-run lists what would be sent, tells the hosts that would be refused, sends nothing,
      and ends with 0.
  smesec taas audit --example | --checks
      prints a target with every key; lists the checks and what each needs.
  smesec taas draft OPENAPI
      writes the first draft of a target from an OpenAPI 3 document.
  smesec --version | --help

exit code:
  0 nothing found   1 something found   2 usage, input or rule error
  3 nothing found, but something was not fully inspected:
    waf check: a limit was hit   taas audit: a check could not be made, or none was
    siem run: a rule was refused, or a record could not be read, or was of no known source
  waf check: 1 something was stopped, which --detect-only never does
  taas run: 1 a test failed   2 a file or a test was refused   3 none failed, but some were not run
";

/// Runs the command; `args` without the program's name. Returns the exit code: 0 nothing found, 1
/// something found, 2 usage, input or rule error, 3 nothing found but something not fully inspected
/// (`waf check`, `siem run`, `taas run` and `taas audit`; the help says when).
///
/// ```
/// let (mut out, mut err) = (Vec::new(), Vec::new());
/// let code = smesec_core::cli::run(["--version".into()], &mut &b""[..], &mut out, &mut err);
/// assert_eq!(code, 0);
/// assert!(String::from_utf8(out).unwrap().starts_with("smesec "));
/// ```
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let words: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap_or("\u{fffd}")).collect();
    let outcome = match words.as_slice() {
        ["--version" | "-V"] => writeln!(stdout, "smesec {}", env!("CARGO_PKG_VERSION"))
            .map(|()| 0)
            .map_err(|e| e.to_string()),
        [] | ["--help" | "-h" | "help"] => {
            stdout.write_all(HELP.as_bytes()).map(|()| 0).map_err(|e| e.to_string())
        }
        [command @ .., "--help" | "-h"] if !help_of(command).is_empty() => {
            let help = help_of(command);
            stdout.write_all(help.as_bytes()).map(|()| 0).map_err(|e| e.to_string())
        }
        ["waf", "check", ..] => check::run(args.iter().skip(2).cloned(), stdin, stdout, stderr),
        ["rules", "check", ..] => rules::run(args.iter().skip(2).cloned(), stdout),
        ["taas", "run", ..] => taas::run(args.iter().skip(2).cloned(), stdout, stderr),
        ["demo", ..] => demo::run(args.iter().skip(1).cloned(), stdout),
        ["serve", ..] => serve::run(args.iter().skip(1).cloned(), stderr),
        ["siem", "run", ..] => siem::run(args.iter().skip(2).cloned(), stdin, stdout, stderr),
        ["siem", "explain", ..] => siem::explain(args.iter().skip(2).cloned(), stdin, stdout),
        ["config", rest @ ..] => serve::config(rest, stdout),
        ["taas", "audit", ..] => taas::audit(args.iter().skip(2).cloned(), stdout, stderr),
        ["taas", "draft", ..] => taas::draft(args.iter().skip(2).cloned(), stdout),
        [group, ..] if !help_of(&[group]).is_empty() => {
            Err(format!("`{group}` goes on with one of its commands:\n{}", help_of(&[group])))
        }
        [other, ..] => Err(format!("unknown command `{other}`; see `smesec --help`")),
    };
    let written = |code| match stdout.flush() {
        // A reader that left (a closed pipe) is no reason to fail.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(code),
    };
    match outcome.and_then(written) {
        Ok(code) => code,
        Err(why) => {
            // With standard error gone too there is nobody left to tell.
            let _ = writeln!(stderr, "smesec: {why}");
            2
        }
    }
}

/// The part of the help about the commands that begin with these words; empty where none does.
fn help_of(words: &[&str]) -> String {
    let begins = |usage: &str| {
        let mut given = usage.split_whitespace();
        given.next() == Some("smesec") && words.iter().all(|word| given.next() == Some(word))
    };
    let mut told = false;
    let lines = HELP.lines().skip_while(|line| !line.starts_with("  smesec "));
    let lines = lines.take_while(|line| line.starts_with("  ")).filter(|line| {
        if line.starts_with("  smesec ") {
            told = line.split('|').any(begins);
        }
        told
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The value of an option as text.
fn text(value: OsString) -> Result<String, String> {
    value.into_string().map_err(|v| format!("`{}` is not UTF-8", v.to_string_lossy()))
}

/// CPU time of this thread, in nanoseconds.
fn thread_cpu_nanos() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec.saturating_mul(1_000_000_000).saturating_add(t.tv_nsec)
}

/// What this process holds in memory, in bytes; 0 where the system does not tell.
#[derive(Clone, Copy, Default)]
struct Memory {
    /// All that is resident: its own pages, and those of the program and of libraries.
    resident: u64,
    /// Its own pages only. The others are the same ones for every process that runs this program, and the
    /// system can drop them: they are no part of what rules cost.
    own: u64,
}

fn memory() -> Memory {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let bytes = |nth: usize| {
        let pages: u64 = statm.split(' ').nth(nth).and_then(|n| n.parse().ok()).unwrap_or(0);
        pages * rustix::param::page_size() as u64
    };
    let (resident, shared) = (bytes(1), bytes(2));
    Memory { resident, own: resident.saturating_sub(shared) }
}
