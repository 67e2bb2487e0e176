//! What `config check` and a reload find, told with its place.

use crate::stage::{LISTEN, Stage, echo, host};
use smesec_core::gateway::Config;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn checked(text: &str) -> Result<Vec<String>, String> {
    let config = Config::parse("c", text).map_err(|e| e.to_string())?;
    config.check().map_err(|e| e.to_string())
}

const HOST: &str = "[[gateway.host]]\nnames = [\"*\"]\nupstream = \"http://127.0.0.1:1\"\n";

#[test]
fn a_reload_takes_what_it_can_and_names_what_it_cannot() {
    let text = format!("{LISTEN}threads = 2\n{}", host(echo()));
    let stage = Stage::new(&text);
    let refused = |from: &str, to: &str| {
        let other = text.replacen(from, to, 1);
        assert_ne!(text, other);
        stage.handle.reload(&Config::parse("c", &other).unwrap()).unwrap_err().to_string()
    };
    let why = refused("threads = 2", "threads = 3");
    assert_eq!(why, "c: `threads` cannot change while the gateway runs; restart it");
    let why = refused("threads = 2", "threads = 2\nmax_connections = 7\naccess_log = \"-\"");
    assert!(why.starts_with("c: `max_connections`, `access_log` cannot change"), "{why}");
}

#[test]
fn a_reload_changes_how_long_a_connection_may_take() {
    // A server whose queue is full and that accepts nobody: the system lets those wait who come now.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        socket.listen(1).unwrap()
    });
    let at = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
        waiting.push(stream);
    }
    let text = |connect: &str| {
        format!("{LISTEN}[gateway.timeouts]\nconnect = \"{connect}\"\n{}", host(at))
    };
    let stage = Stage::new(&text("15s"));
    stage.handle.reload(&Config::parse("c", &text("100ms")).unwrap()).unwrap();
    let began = Instant::now();
    assert_eq!(stage.get("/").status, 502);
    assert!(began.elapsed() < Duration::from_secs(10), "the old time to connect is in force");
}

#[test]
fn a_rule_file_that_is_missing_is_an_error() {
    let folder = folder("gateway-missing");
    let (good, gone) = (folder.join("good.conf"), folder.join("gone.conf"));
    std::fs::write(
        &good,
        "SecAction \"id:1,phase:1,pass,nolog\"\nSecRule ARGS \"@rx (\" \"id:2\"\n",
    )
    .unwrap();
    let with = |rules: &str| checked(&format!("{LISTEN}{HOST}[waf]\nrules = [{rules}]\n"));
    let notices = with(&format!("{good:?}")).unwrap();
    assert!(notices.len() == 1 && notices[0].contains("good.conf:2:"), "{notices:?}");
    let why = with(&format!("{good:?},\n  {gone:?}")).unwrap_err();
    assert!(why.starts_with(&format!("c:8:3: `{}`: ", gone.display())), "{why}");
}

#[test]
fn a_log_without_a_folder_is_an_error() {
    let folder = folder("gateway-nofolder");
    let log = folder.join("no").join("a.log");
    let text = format!("{LISTEN}access_log = {log:?}\n{HOST}");
    let why = checked(&text).unwrap_err();
    let expected = format!("c:3:14: `{}`: ", log.display());
    assert!(why.starts_with(&expected), "{why}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config::parse("c", &text).unwrap();
    let bound = runtime.block_on(smesec_core::gateway::Gateway::bind(config));
    let why = bound.unwrap_err().to_string();
    assert!(why.starts_with(&expected), "{why}");
    let fits = folder.join("a.log");
    checked(&text.replace(&format!("{log:?}"), &format!("{fits:?}"))).unwrap();
    assert!(!fits.exists(), "a check writes nothing");
}

#[test]
fn a_certificate_that_is_missing_is_told_with_its_place() {
    let text = format!(
        "{LISTEN}[gateway.tls]\nlisten = [\"127.0.0.1:0\"]\n[[gateway.tls.certificate]]\nchain = \"/no.pem\"\nkey = \"/no.key\"\n{HOST}"
    );
    let why = checked(&text).unwrap_err();
    assert!(why.starts_with("c:6:9: `/no.pem`: "), "{why}");
}

#[test]
fn a_proxy_header_that_nobody_may_send_is_noticed() {
    let text = format!("{LISTEN}proxy_protocol = true\n{HOST}");
    let notices = checked(&text).unwrap();
    assert!(notices[0].starts_with("c:3:18: `proxy_protocol`"), "{notices:?}");
    let trusted = text.replacen("[gateway]\n", "[gateway]\ntrusted_proxies = [\"::1\"]\n", 1);
    assert_eq!(checked(&trusted).unwrap(), Vec::<String>::new());
}

#[test]
fn the_pack_may_stand_among_rules_of_one_s_own() {
    let folder = folder("gateway-builtin");
    let (before, after) = (folder.join("before.conf"), folder.join("after.conf"));
    std::fs::write(
        &before,
        "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.smesec_detect_only=1\"\n",
    )
    .unwrap();
    std::fs::write(&after, "SecRule ARGS:q \"@streq mine\" \"id:2,phase:1,deny,status:406\"\n")
        .unwrap();
    let with =
        |rules: &str| Stage::new(&format!("{LISTEN}{}[waf]\nrules = [{rules}]\n", host(echo())));
    let attack = "/?q=%3Cscript%3Ealert(1)%3C/script%3E";
    let whole = with(&format!("\"builtin\", {after:?}"));
    assert_eq!((whole.get(attack).status, whole.get("/?q=mine").status), (403, 406));
    assert_eq!(whole.get("/?q=ours").status, 200);
    let watched = with(&format!("{before:?}, \"builtin\", {after:?}"));
    assert_eq!((watched.get(attack).status, watched.get("/?q=mine").status), (200, 406));
}

#[test]
fn logs_are_opened_anew_without_a_configuration() {
    let folder = folder("gateway-reopened");
    let log = folder.join("access.log");
    let stage = Stage::new(&format!("{LISTEN}access_log = {log:?}\n{}", host(echo())));
    assert_eq!(stage.get("/one").status, 200);
    let holds = |path: &Path, word: &str| {
        let deadline = Instant::now() + crate::stage::PATIENCE;
        while !std::fs::read_to_string(path).is_ok_and(|text| text.contains(word)) {
            assert!(Instant::now() < deadline, "no `{word}` in {path:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    holds(&log, "/one");
    std::fs::rename(&log, folder.join("access.log.1")).unwrap();
    assert!(stage.handle.reopen_logs().is_empty());
    assert_eq!(stage.get("/two").status, 200);
    holds(&log, "/two");
}
