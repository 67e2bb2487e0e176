//! `smesec serve` and `smesec config`.

use super::schedule::{self, Schedules};
use crate::gateway::{Config, EXAMPLE, Gateway, Handle, Schedule};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn run(
    args: impl Iterator<Item = OsString>,
    stderr: &mut dyn Write,
) -> Result<u8, String> {
    use lexopt::prelude::Long;
    let mut file = None;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Long("config") => {
                file = Some(PathBuf::from(parser.value().map_err(|e| e.to_string())?));
            }
            other => return Err(format!("{}; see `smesec --help`", other.unexpected())),
        }
    }
    let file = file.ok_or(
        "`--config FILE` is missing; `smesec config example > smesec.toml` writes one to begin with",
    )?;
    let config = Config::load(&file).map_err(|e| e.to_string())?;
    runtime(config.threads())?.block_on(serve(file, config, stderr))
}

/// One thread needs no scheduler that moves work between threads.
pub(super) fn runtime(threads: usize) -> Result<Runtime, String> {
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().thread_name("smesec").build().map_err(|e| format!("no event loop: {e}"))
}

async fn serve(file: PathBuf, config: Config, stderr: &mut dyn Write) -> Result<u8, String> {
    let on = |kind| signal(kind).map_err(|e| format!("no signal handler: {e}"));
    let (mut hangup, mut term, mut interrupt) =
        (on(SignalKind::hangup())?, on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let planned = config.schedules().to_vec();
    let gateway = Gateway::bind(config).await.map_err(|e| e.to_string())?;
    let mut say = |line: &str| {
        // A closed terminal is no reason to stop serving.
        let _ = writeln!(stderr, "smesec: {line}");
    };
    for notice in gateway.notices() {
        say(notice);
    }
    let addresses: Vec<_> = gateway.addresses().iter().map(ToString::to_string).collect();
    say(&format!("serving on {} with {} rules", addresses.join(", "), gateway.rules()));
    if let Some(address) = gateway.metrics_address() {
        say(&format!("metrics on http://{address}/metrics"));
    }
    let handle = gateway.handle();
    if !planned.is_empty() {
        say(&format!("{} on a schedule; what fails goes to `event_log`", counted(planned.len())));
    }
    let schedules = Schedules::start(&planned, gateway.handle())?;
    let mut running = tokio::spawn(gateway.run());
    let mut draining = false;
    loop {
        tokio::select! {
            ended = &mut running => {
                let clean = ended.map_err(|e| format!("the gateway ended: {e}"))?;
                say(if clean { "stopped; nothing was cut off" } else { "stopped; what was still open was cut off" });
                return Ok(0);
            }
            _ = hangup.recv() => {
                for why in handle.reopen_logs() {
                    say(&why);
                }
                match reload(&handle, file.clone()).await {
                    Ok((notices, planned)) => {
                        schedules.replace(&planned);
                        for notice in &notices {
                            say(notice);
                        }
                        say("reloaded");
                    }
                    Err(why) => say(&format!("not reloaded, what runs stays in force: {why}")),
                }
            },
            () = async { tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} } } => {
                if draining {
                    say("stopped at once");
                    return Ok(0);
                }
                draining = true;
                handle.drain();
                say("draining; a second signal stops at once");
            }
        }
    }
}

/// `smesec config check FILE` and `smesec config example`.
pub(super) fn config(words: &[&str], stdout: &mut dyn Write) -> Result<u8, String> {
    match words {
        ["example"] => stdout.write_all(EXAMPLE.as_bytes()).map_err(|e| e.to_string())?,
        ["check", file] => {
            let config = Config::load(file).map_err(|e| e.to_string())?;
            for notice in config.check().map_err(|e| e.to_string())? {
                writeln!(stdout, "{notice}").map_err(|e| e.to_string())?;
            }
            for planned in config.schedules() {
                schedule::check(planned)
                    .map_err(|why| format!("{file}:{}: {why}", planned.line))?;
            }
            writeln!(stdout, "{file}: good").map_err(|e| e.to_string())?;
        }
        _ => return Err("write `smesec config check FILE` or `smesec config example`".to_owned()),
    }
    Ok(0)
}

fn counted(runs: usize) -> String {
    if runs == 1 { "one run".to_owned() } else { format!("{runs} runs") }
}

/// How far the thread that compiles rules stands behind those that serve: it still has a tenth of a busy core.
const RELOAD_NICENESS: i32 = 10;

/// On a thread of its own, since a thread cannot take the step back again. Compiling takes a core for some tenths
/// of a second, and requests go first.
async fn reload(handle: &Handle, file: PathBuf) -> Result<(Vec<String>, Vec<Schedule>), String> {
    let handle = handle.clone();
    let (done, result) = tokio::sync::oneshot::channel();
    let job = move || {
        // Elsewhere it is the whole process that would step back. Refused, it is as quick and less polite.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::nice(RELOAD_NICENESS);
        let reload = || {
            let config = Config::load(&file)?;
            let notices = handle.reload(&config)?;
            Ok::<_, crate::Error>((notices, config.schedules().to_vec()))
        };
        let _ = done.send(reload());
    };
    let thread = std::thread::Builder::new().name("smesec-reload".to_owned());
    thread.spawn(job).map_err(|e| format!("no thread to reload on: {e}"))?;
    let result = result.await.map_err(|_| "the reload ended without an answer".to_owned())?;
    result.map_err(|e| e.to_string())
}
