//! Starts nginx with the module, talks to it, looks at what it left.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether a program is here; says so where it is not.
pub(crate) fn tool(program: &str) -> bool {
    let found = Command::new(program)
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        println!("##### SKIPPED: no `{program}` here #####");
    }
    found
}

/// The module, built once for all tests; `None` where nginx or its source is not here.
pub(crate) fn module() -> Option<&'static Path> {
    static MODULE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MODULE.get_or_init(build).as_deref()
}

const STRICT: &str = "-Wall -Wextra -Wno-unused-parameter";
const SANITIZED: &str = "-fsanitize=address -fno-omit-frame-pointer -U_FORTIFY_SOURCE";

/// With `SMESEC_NGINX_ASAN=1` the module is built with `AddressSanitizer`, and nginx runs under it.
pub(crate) fn with_sanitizer() -> bool {
    std::env::var("SMESEC_NGINX_ASAN").is_ok_and(|value| value == "1")
}

fn build() -> Option<PathBuf> {
    let source = std::env::var("NGINX_SRC").unwrap_or_else(|_| "/usr/share/nginx/src".to_owned());
    if !tool("nginx") {
        return None;
    }
    if !Path::new(&source).join("configure").exists() {
        println!("##### SKIPPED: no nginx source here (Debian package nginx-dev) #####");
        return None;
    }
    let cargo = Command::new(env!("CARGO"))
        .args(["build", "-p", "smesec-ffi", "--lib", "--offline", "--message-format=json"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let archive = String::from_utf8_lossy(&cargo.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "smesec")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .find(|name| name.ends_with("libsmesec.a"))
        .unwrap();
    let out = scratch("nginx_module");
    let built = Command::new("sh")
        .arg(root().join("examples/nginx/build.sh"))
        .arg(&out)
        .env("SMESEC_LIB", archive.parent().unwrap())
        .env("SMESEC_CFLAGS", if with_sanitizer() { SANITIZED } else { STRICT })
        .env("SMESEC_LDFLAGS", if with_sanitizer() { "-fsanitize=address" } else { "" })
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&built.stdout) + String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{told}");
    Some(out.join("ngx_http_smesec_module.so"))
}

/// A running nginx with the module.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    folder: PathBuf,
    master: Child,
}

fn configured(workers: u32, port: u16, http: &str, files: &[(&str, &[u8])]) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = scratch("nginx").join(format!("{}-{n}", std::process::id()));
    std::fs::create_dir_all(folder.join("html")).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let place = folder.display().to_string();
    let http = http.replace("PORT", &port.to_string()).replace("ROOT", &format!("{place}/html"));
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {place}/{name}_temp;"))
        .join(" ");
    let text = format!(
        "load_module {module};\n{user}worker_processes {workers};\ndaemon off;\npid {place}/pid;\n\
         error_log {place}/error.log info;\nevents {{ worker_connections 256; }}\nhttp {{\n{temporary}\n{http}\n}}\n",
        module = module().unwrap().display(),
        // Workers of a master that root started run as nobody, who may not read here.
        user = if is_root() { "user root;\n" } else { "" },
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    folder
}

fn is_root() -> bool {
    let told = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&told.stdout).trim() == "0"
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new("nginx");
    let place = format!("{}/", folder.display());
    command.args(["-p", &place, "-c", "nginx.conf", "-e"]).arg(folder.join("error.log"));
    if with_sanitizer() {
        let asan = Command::new("gcc").arg("-print-file-name=libasan.so").output().unwrap();
        let log = format!("log_path={place}asan:detect_leaks=0:abort_on_error=1");
        command.env("LD_PRELOAD", String::from_utf8_lossy(&asan.stdout).trim());
        command.env("ASAN_OPTIONS", log);
    }
    command
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Nginx {
    /// `PORT` and `ROOT` in the configuration are put in; the files lie beside it.
    pub(crate) fn start(http: &str, files: &[(&str, &[u8])]) -> Self {
        Self::start_with(1, http, files)
    }

    pub(crate) fn start_with(workers: u32, http: &str, files: &[(&str, &[u8])]) -> Self {
        let port = free_port();
        let folder = configured(workers, port, http, files);
        let output = std::fs::File::create(folder.join("output")).unwrap();
        let master =
            command(&folder).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let nginx = Self { port, folder, master };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "{}{}", nginx.file("output"), nginx.file("error.log"));
            std::thread::sleep(Duration::from_millis(20));
        }
        nginx
    }

    /// What `nginx -t` says.
    pub(crate) fn check(http: &str, files: &[(&str, &[u8])]) -> (bool, String) {
        let folder = configured(1, free_port(), http, files);
        let told = command(&folder).arg("-t").output().unwrap();
        let text = String::from_utf8_lossy(&told.stderr).into_owned();
        let log = std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        let _ = std::fs::remove_dir_all(&folder);
        (told.status.success(), text + &log)
    }

    pub(crate) fn ask(&self, request: &[u8]) -> Answer {
        ask(self.port, request)
    }

    /// Status and body; status 0 where none came.
    pub(crate) fn get(&self, target: &str) -> (u16, String) {
        let answer = self.ask(
            format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        );
        (answer.status, answer.text())
    }

    pub(crate) fn post(&self, target: &str, body: &[u8]) -> (u16, String) {
        let answer = post(self.port, target, body);
        (answer.status, answer.text())
    }

    /// The status that curl got.
    pub(crate) fn curl(&self, arguments: &[&str], target: &str) -> String {
        let told = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"])
            .args(arguments)
            .arg(format!("http://127.0.0.1:{}{target}", self.port))
            .output()
            .unwrap();
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// A file once it has that many lines; the log phase comes after the answer.
    pub(crate) fn settled(&self, name: &str, lines: usize) -> String {
        let until = Instant::now() + Duration::from_secs(5);
        while self.file(name).lines().count() < lines && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(50));
        self.file(name)
    }

    pub(crate) fn no_worker_died(&self) {
        let log = self.file("error.log");
        let bad: Vec<&str> = log
            .lines()
            .filter(|line| {
                ["exited on signal", "[alert]", "[crit]", "[emerg]"]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }

    /// Reloads, and waits until the new workers serve and the old ones are gone.
    pub(crate) fn reload(&self) {
        let before = self.children();
        self.signal("reload");
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let now = self.children();
            if !now.is_empty() && now.iter().all(|pid| !before.contains(pid)) {
                return;
            }
            assert!(Instant::now() < until, "the reload did not end: {}", self.file("error.log"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// By the master's process id, since `nginx -s` reads the configuration first, which may be broken.
    pub(crate) fn signal(&self, what: &str) {
        let name = if what == "reload" { "-HUP" } else { "-USR1" };
        self.kill(name, &self.master.id().to_string());
        if what != "reload" {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn kill_a_worker(&self) {
        let before = self.children();
        self.kill("-KILL", &before[0]);
        let until = Instant::now() + Duration::from_secs(10);
        while self.children().len() < before.len() || self.children().contains(&before[0]) {
            assert!(Instant::now() < until, "the master does not replace a worker");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&self, signal: &str, pid: &str) {
        let done = Command::new("kill").args([signal, pid]).status().unwrap();
        assert!(done.success(), "{}", self.file("error.log"));
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.folder.join(from), self.folder.join(to)).unwrap();
    }

    fn children(&self) -> Vec<String> {
        let id = self.master.id();
        let told =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        told.split_whitespace().map(str::to_owned).collect()
    }

    pub(crate) fn master_kilobytes(&self) -> u64 {
        let told = std::fs::read_to_string(format!("/proc/{}/status", self.master.id())).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers on SIGTERM; a plain kill would leave them.
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// An answer, its chunks joined.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// One request on a connection of its own.
pub(crate) fn ask(port: u16, request: &[u8]) -> Answer {
    let mut stream = connect(port);
    let _ = stream.write_all(request);
    read_answer(&mut stream)
}

pub(crate) fn post(port: u16, target: &str, body: &[u8]) -> Answer {
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    ask(port, &request)
}

/// Reads one answer; an empty one where the connection was closed without.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut reader = Reader { stream, kept: Vec::new() };
    let Some(head) = reader.line().filter(|line| !line.is_empty()) else {
        return Answer::default();
    };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let mut headers = BTreeMap::new();
    while let Some(line) = reader.line().filter(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        while let Some(len) = reader.line().and_then(|line| usize::from_str_radix(&line, 16).ok()) {
            body.extend(reader.exactly(len));
            reader.line();
            if len == 0 {
                break;
            }
        }
    } else if let Some(len) = headers.get("content-length").and_then(|value| value.parse().ok()) {
        body = reader.exactly(len);
    } else {
        body = reader.exactly(usize::MAX);
    }
    Answer { status, headers, body }
}

struct Reader<'a> {
    stream: &'a mut TcpStream,
    kept: Vec<u8>,
}

impl Reader<'_> {
    /// Byte by byte, so that nothing of the next answer is taken.
    fn line(&mut self) -> Option<String> {
        self.kept.clear();
        let mut byte = [0];
        while self.stream.read(&mut byte).ok()? == 1 {
            if byte[0] == b'\n' {
                return Some(String::from_utf8_lossy(&self.kept).trim_end().to_owned());
            }
            self.kept.push(byte[0]);
        }
        (!self.kept.is_empty()).then(|| String::from_utf8_lossy(&self.kept).into_owned())
    }

    fn exactly(&mut self, len: usize) -> Vec<u8> {
        let mut body = Vec::new();
        let most = u64::try_from(len).unwrap();
        let _ = std::io::Read::by_ref(self.stream).take(most).read_to_end(&mut body);
        body
    }
}

/// What a backend was asked.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

/// An HTTP server of the test's own; one answer on each connection.
pub(crate) struct Backend {
    pub(crate) port: u16,
}

impl Backend {
    pub(crate) fn start(
        answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + Clone + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let answer = answer.clone();
                std::thread::spawn(move || {
                    if let Some(request) = read_request(&mut stream) {
                        answer(&request, &mut stream);
                    }
                });
            }
        });
        Self { port }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut reader = Reader { stream, kept: Vec::new() };
    let head = reader.line()?;
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut len = 0;
    while let Some(line) = reader.line().filter(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            len = value.trim().parse().ok()?;
        }
    }
    let body = reader.exactly(len);
    Some(Request { method, target, body })
}
