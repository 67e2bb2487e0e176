//! `smesec demo`: a shop, the gateway before it, visitors and attackers over real sockets.

mod shop;
mod visits;

use super::serve::runtime;
use super::text;
use crate::event::{Event, Finding};
use crate::gateway::{Config, Gateway};
use crate::sink::Queue;
use crate::verdict::Severity;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use visits::{VISITS, Visit};

/// Where the reader's browser looks, unless it is taken.
const PORT: u16 = 8080;
/// Every answer of the demonstration comes within milliseconds; a debugger may hold it longer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(
    args: impl Iterator<Item = OsString>,
    stdout: &mut dyn Write,
) -> Result<u8, String> {
    use lexopt::prelude::Long;
    let (mut once, mut port) = (false, None);
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Long("once") => once = true,
            Long("port") => {
                let value = text(parser.value().map_err(|e| e.to_string())?)?;
                let number = value.parse::<u16>();
                port = Some(number.map_err(|_| format!("`--port {value}`: write 0 to 65535"))?);
            }
            other => return Err(format!("{}; see `smesec --help`", other.unexpected())),
        }
    }
    runtime(2)?.block_on(demonstrate(once, port, stdout))
}

async fn demonstrate(once: bool, port: Option<u16>, out: &mut dyn Write) -> Result<u8, String> {
    let shop = shop::open().await.map_err(|e| format!("the shop does not open: {e}"))?;
    let events = Arc::new(Queue::new(4_096));
    let gateway = bind(port, shop, &events).await?;
    let address = *gateway.addresses().first().ok_or("the gateway has no address")?;
    let rules = gateway.rules();
    let handle = gateway.handle();
    let running = tokio::spawn(gateway.run());
    let mut write = |text: String| out.write_all(text.as_bytes()).map_err(|e| e.to_string());
    write(format!(
        "a demonstration shop, and before it the gateway with the built-in {rules} rules at http://{address}/\n"
    ))?;
    let mut wrong = 0;
    for (title, attack) in [("visitors", false), ("attackers", true)] {
        write(format!("\n{title}\n"))?;
        for visit in VISITS.iter().filter(|visit| visit.attack == attack) {
            let answer = tokio::task::spawn_blocking(move || call(address, visit))
                .await
                .map_err(|e| e.to_string())?
                .map_err(|e| format!("`{}`: {e}", visit.what))?;
            let stopped = answer.status == 403;
            wrong += u32::from(stopped != attack);
            let word = if stopped { "stopped" } else { "passed" };
            let by = match &answer.incident {
                Some(incident) => {
                    reason(&events, incident).await.map_or(String::new(), |r| format!("  {r}"))
                }
                None => String::new(),
            };
            write(format!("  {} {word:<8} {:<44}{by}\n", answer.status, visit.what))?;
        }
    }
    let count = VISITS.len();
    write(format!("\n{} of {count} as they should be\n", count - wrong as usize))?;
    if !once {
        write(format!(
            "\nnow it is your turn: open http://{address}/ and try what you like; Ctrl-C ends\n"
        ))?;
        out.flush().map_err(|e| e.to_string())?;
        watch(&events, out).await?;
    }
    handle.drain();
    running.await.map_err(|e| e.to_string())?;
    Ok(u8::from(wrong > 0))
}

async fn bind(port: Option<u16>, shop: SocketAddr, events: &Arc<Queue>) -> Result<Gateway, String> {
    let config = |port: u16| {
        let text = format!(
            "[gateway]\nlisten = [\"127.0.0.1:{port}\"]\n[gateway.timeouts]\ndrain = \"1s\"\n\
[[gateway.host]]\nnames = [\"*\"]\nupstream = \"http://{shop}\"\n"
        );
        Config::parse("demo", &text).map_err(|e| e.to_string())
    };
    let bound = |config| Gateway::bind_with(config, Arc::<Queue>::clone(events), Vec::new());
    match bound(config(port.unwrap_or(PORT))?).await {
        // The usual port is taken: any other will do, unless the reader asked for that one.
        Err(crate::Error::Io(_)) if port.is_none() => bound(config(0)?).await,
        other => other,
    }
    .map_err(|e| e.to_string())
}

struct Answer {
    status: u16,
    incident: Option<String>,
}

/// One request over a connection of its own, as any client would send it.
fn call(address: SocketAddr, visit: &Visit) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&visit.bytes(address))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "no answer of HTTP came")
    })?;
    let incident = answer
        .split_once("<code>")
        .and_then(|(_, rest)| rest.split_once("</code>"))
        .map(|(incident, _)| incident.to_owned());
    Ok(Answer { status, incident })
}

/// The rule that weighs most in the event of this incident, which comes a moment after the answer.
async fn reason(events: &Queue, incident: &str) -> Option<String> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for event in events.drain() {
            if event.extra.get("incident").and_then(|i| i.as_str()) == Some(incident) {
                return Some(said(&event));
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    None
}

fn said(event: &Event) -> String {
    // The last finding is the rule that adds the scores up; the gravest before it says why.
    let rules = event.findings.split_last().map_or(&[][..], |(_, before)| before);
    let gravest = rules.iter().fold(None::<&Finding>, |best, finding| match best {
        Some(best) if best.severity >= finding.severity => Some(best),
        _ => Some(finding),
    });
    gravest.or(event.findings.last()).map_or_else(
        || event.message.clone(),
        |finding| format!("{} {}", finding.rule.id, finding.rule.name),
    )
}

/// Tells what the gateway stops until the reader has had enough.
async fn watch(events: &Queue, out: &mut dyn Write) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut term = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = term.recv() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        for event in events.drain() {
            if event.severity_id > Severity::Info.ocsf_id() {
                writeln!(out, "  {}  {}", event.action.word(), said(&event))
                    .map_err(|e| e.to_string())?;
            }
        }
        out.flush().map_err(|e| e.to_string())?;
    }
}
