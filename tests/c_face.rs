//! The C face as a C host sees it: the header, the two libraries, and a program over both.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: a panic is the verdict, and a skipped run has to be seen"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The face as cargo built it: the static and the shared library.
struct Built {
    archive: PathBuf,
    shared: PathBuf,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn built() -> Built {
    let output = run(Command::new(env!("CARGO"))
        .args(["build", "-p", "smesec-ffi", "--lib", "--offline", "--message-format=json"])
        .current_dir(root()));
    let mut files = Vec::new();
    for line in output.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if message["reason"] == "compiler-artifact" && message["target"]["name"] == "smesec" {
            let names = message["filenames"].as_array().unwrap().iter();
            files.extend(names.map(|name| PathBuf::from(name.as_str().unwrap())));
        }
    }
    let with = |extension: &str| {
        let found = files.iter().find(|file| file.extension().is_some_and(|e| e == extension));
        found.unwrap_or_else(|| panic!("no .{extension} among {files:?}")).clone()
    };
    Built { archive: with("a"), shared: with("so") }
}

/// Runs a command that has to succeed; returns what it printed.
fn run(command: &mut Command) -> String {
    let told = format!("{command:?}");
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|e| panic!("{told}: {e}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{told}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

fn is_here(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("##### SKIPPED: no `{program}` here #####");
    }
    found
}

/// A folder for what this test makes.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The programs of the tests.
const PROGRAMS: &[&str] = &["check", "compose", "engines", "sequences"];

/// A strict compiler for one C file, `name` from the root without its extension.
fn gcc(name: &str) -> Command {
    let mut gcc = Command::new("gcc");
    gcc.args([
        "-std=c11",
        "-D_POSIX_C_SOURCE=200809L",
        "-pedantic",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-g",
    ])
    .arg("-I")
    .arg(root().join("include"))
    .arg(root().join(name).with_extension("c"));
    gcc
}

const SYSTEM: &[&str] = &["-lpthread", "-ldl", "-lm"];

/// Builds against the static library, under `AddressSanitizer` and `UndefinedBehaviorSanitizer`.
fn with_sanitizers(name: &str) -> Command {
    let program = scratch("c_face").join(Path::new(name).file_name().unwrap());
    run(gcc(name)
        .args(["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
        .arg(built().archive)
        .args(SYSTEM)
        .arg("-o")
        .arg(&program));
    let mut command = Command::new(program);
    command.env("RUST_BACKTRACE", "0");
    command
}

/// Builds against the shared library as an installation has it: the name to link with, and the SONAME to run
/// with; runs under valgrind.
fn with_valgrind(name: &str) -> Command {
    let shared = built().shared;
    let folder = scratch("c_face_valgrind").join(Path::new(name).file_name().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    for link in ["libsmesec.so", "libsmesec.so.0"] {
        std::fs::copy(&shared, folder.join(link)).unwrap();
    }
    let program = folder.join("program");
    run(gcc(name).arg("-L").arg(&folder).arg("-lsmesec").args(SYSTEM).arg("-o").arg(&program));
    let mut command = Command::new("valgrind");
    command
        .args([
            "-q",
            "--error-exitcode=9",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect",
        ])
        .arg(&program)
        .env("LD_LIBRARY_PATH", &folder)
        .env("RUST_BACKTRACE", "0");
    command
}

fn all_held(told: &str) {
    let (checks, failures) = told.trim().split_once(" checks, ").unwrap();
    assert!(checks.parse::<u32>().unwrap() > 300 && failures == "0 failures", "{told}");
}

#[test]
fn c_hosts_run_clean_under_the_sanitizers() {
    if !is_here("gcc") {
        return;
    }
    for name in PROGRAMS {
        all_held(&run(&mut with_sanitizers(&format!("smesec-ffi/tests/c/{name}"))));
    }
}

#[test]
fn c_hosts_run_clean_under_valgrind() {
    if !is_here("gcc") || !is_here("valgrind") {
        return;
    }
    for name in PROGRAMS {
        all_held(&run(&mut with_valgrind(&format!("smesec-ffi/tests/c/{name}"))));
    }
}

/// What `examples/c/upload_scanner.c` prints.
const UPLOADS: &str = "a photo: action 0\n\
    event: deny: 1 findings, score 0: the EICAR test file, 1 findings\n\
    a sample: action 2, status 403\n\
    event: the address is on the list, 1 findings\n\
    from the list: action 2, status 403\n\
    event: two blocked requests, 0 findings\n\
    counted 2, alarms 1\n";

#[test]
fn the_upload_scanner_composes_with_the_firewall() {
    if !is_here("gcc") {
        return;
    }
    assert_eq!(run(&mut with_sanitizers("examples/c/upload_scanner")), UPLOADS);
    if is_here("valgrind") {
        assert_eq!(run(&mut with_valgrind("examples/c/upload_scanner")), UPLOADS);
    }
}

/// Hands `input` to the request checker; its exit status and what it printed.
fn checked(mut program: Command, arguments: &[&Path], input: &str) -> (Option<i32>, String) {
    use std::io::Write as _;
    let mut child = program
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (
        status.code(),
        format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)),
    )
}

#[test]
fn the_request_checker_judges_by_rule_files_and_by_the_own_pack() {
    if !is_here("gcc") {
        return;
    }
    let rules = scratch("c_face").join("checker.conf");
    std::fs::write(&rules, "SecRule ARGS:q \"@contains evil\" \"id:7,phase:1,deny,msg:'evil'\"\n")
        .unwrap();
    let broken = scratch("c_face").join("broken.conf");
    std::fs::write(&broken, "\nSecRule ARGS \"@nonsense x\" \"id:7,phase:1\"\n").unwrap();
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let program = || with_sanitizers("examples/c/request_checker");

    let (status, told) = checked(program(), &[&rules], &request("/?q=evil"));
    assert!(status == Some(1) && told.contains("rule 7 in ARGS:q: evil"), "{told}");
    assert!(told.contains("\"schema_version\":1"), "{told}");
    let (status, told) = checked(program(), &[&rules], &request("/?q=good"));
    assert!(status == Some(0) && told.starts_with("passed"), "{told}");
    let (status, told) =
        checked(program(), &[], &request("/?q=1'+union+select+password+from+users--"));
    assert!(status == Some(1) && told.starts_with("stopped, status 403"), "{told}");
    let (status, told) = checked(program(), &[&broken], &request("/"));
    assert!(status == Some(2) && told.contains("broken.conf:2:"), "{told}");
    let (status, _) = checked(program(), &[&rules], "no request");
    assert_eq!(status, Some(2));
    if is_here("valgrind") {
        let program = with_valgrind("examples/c/request_checker");
        assert_eq!(checked(program, &[&rules], &request("/?q=evil")).0, Some(1));
    }
}

#[test]
fn log_alarms_tells_who_guesses_passwords() {
    if !is_here("gcc") {
        return;
    }
    let line = |minute: u32, user: &str| {
        let client = "from 203.0.113.9 port 40222 ssh2";
        format!("Mar  2 06:{minute:02}:00 web01 sshd[9]: Failed password for {user} {client}\n")
    };
    let guessed: String = (0..12).map(|n| line(n / 4, "anna")).collect();
    let program = || with_sanitizers("examples/c/log_alarms");
    let (status, told) = checked(program(), &[], &guessed);
    assert!(told.contains("Password guessing") && told.contains("203.0.113.9"), "{told}");
    assert!(status == Some(1) && told.ends_with("12 records, 1 told\n"), "{status:?} {told}");
    let (status, told) = checked(program(), &[], &line(0, "anna"));
    assert!(status == Some(0) && told == "1 records, 0 told\n", "{status:?} {told}");

    let rules = scratch("c_face").join("root.yml");
    std::fs::write(
        &rules,
        "title: Somebody tries root\nlogsource: {product: linux, service: sshd}\n\
        detection: {selection: {user: root, outcome: failure}, condition: selection}\n",
    )
    .unwrap();
    let (status, told) = checked(program(), &[&rules], &line(0, "root"));
    assert!(status == Some(1) && told.contains("Somebody tries root"), "{status:?} {told}");
    let (status, told) = checked(program(), &[Path::new("/nowhere/at/all")], "");
    assert!(status == Some(2) && told.contains("/nowhere/at/all"), "{status:?} {told}");
    if is_here("valgrind") {
        let program = with_valgrind("examples/c/log_alarms");
        assert_eq!(checked(program, &[&rules], &line(0, "root")).0, Some(1));
    }
}

#[test]
fn the_snippet_of_the_readme_runs() {
    if !is_here("gcc") {
        return;
    }
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let snippet = readme.split_once("```c\n").unwrap().1.split_once("```").unwrap().0;
    let folder = scratch("c_face_readme");
    let (source, program) = (folder.join("snippet.c"), folder.join("snippet"));
    std::fs::write(&source, snippet).unwrap();
    run(Command::new("gcc")
        .args(["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("include"))
        .arg(source)
        .arg(built().archive)
        .args(SYSTEM)
        .arg("-o")
        .arg(&program));
    assert_eq!(run(&mut Command::new(program)), "action 2, status 403\n");
}

#[test]
fn the_header_is_strict_c_and_cpp() {
    for (compiler, standard, language) in [("gcc", "-std=c11", "c"), ("g++", "-std=c++17", "c++")] {
        if is_here(compiler) {
            run(Command::new(compiler)
                .args([
                    standard,
                    "-pedantic",
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    "-fsyntax-only",
                    "-x",
                    language,
                ])
                .arg(root().join("include/smesec.h")));
        }
    }
}

#[test]
fn the_library_exports_what_the_header_declares() {
    if !is_here("nm") || !is_here("readelf") {
        return;
    }
    let shared = built().shared;
    let symbols = run(Command::new("nm").args(["-D", "--defined-only"]).arg(&shared));
    let exported: BTreeSet<&str> =
        symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let header = std::fs::read_to_string(root().join("include/smesec.h")).unwrap();
    let declared: BTreeSet<&str> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '*', '#']) && !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("smesec_"))
        .collect();
    assert!(declared.len() > 20, "{declared:?}");
    assert_eq!(exported, declared);

    let dynamic = run(Command::new("readelf").arg("-d").arg(&shared));
    let abi = header.lines().find_map(|line| line.strip_prefix("#define SMESEC_ABI ")).unwrap();
    assert!(dynamic.contains(&format!("[libsmesec.so.{abi}]")), "{dynamic}");
}

#[test]
fn the_header_is_what_cbindgen_makes_of_the_sources() {
    let cbindgen = std::env::var("SMESEC_CBINDGEN").unwrap_or_else(|_| "cbindgen".to_owned());
    if !is_here(&cbindgen) {
        return;
    }
    run(Command::new(cbindgen)
        .args(["--quiet", "--verify", "--config", "smesec-ffi/cbindgen.toml", "smesec-ffi"])
        .args(["--output", "include/smesec.h"])
        .current_dir(root()));
}

/// Installs what cargo built into `prefix`, as `make install` does.
fn installed(prefix: &Path) {
    let built = built();
    if prefix.exists() {
        std::fs::remove_dir_all(prefix).unwrap();
    }
    run(Command::new("make")
        .arg("-s")
        .arg("install-c")
        .arg(format!("PREFIX={}", prefix.display()))
        .arg(format!("BUILT={}", built.shared.parent().unwrap().display()))
        .current_dir(root()));
}

#[test]
fn an_installation_serves_pkg_config_cmake_and_the_linker() {
    if !is_here("gcc") || !is_here("make") {
        return;
    }
    let prefix = scratch("c_face_install").join("prefix");
    installed(&prefix);
    let library = prefix.join("lib");
    let source = root().join("examples/c/upload_scanner.c");
    let program = prefix.join("program");
    let ran = |program: &Path| run(Command::new(program).env("LD_LIBRARY_PATH", &library));

    let mut flags = vec![format!("-I{}", prefix.join("include").display())];
    if is_here("pkg-config") {
        let told = run(Command::new("pkg-config")
            .args(["--cflags", "--libs", "smesec"])
            .env("PKG_CONFIG_PATH", library.join("pkgconfig")));
        flags = told.split_whitespace().map(str::to_owned).collect();
        assert!(flags.iter().any(|flag| flag == "-lsmesec"), "{told}");
    } else {
        flags.extend([format!("-L{}", library.display()), "-lsmesec".to_owned()]);
    }
    run(Command::new("gcc").arg(&source).args(&flags).arg("-lpthread").arg("-o").arg(&program));
    assert_eq!(ran(&program), UPLOADS);

    if !is_here("cmake") {
        return;
    }
    let project = scratch("c_face_install").join("project");
    std::fs::create_dir_all(&project).unwrap();
    for target in ["smesec::smesec", "smesec::static"] {
        let text = format!(
            "cmake_minimum_required(VERSION 3.13)\nproject(host C)\nfind_package(smesec 0.1 REQUIRED)\n\
            find_package(Threads REQUIRED)\nadd_executable(host {})\n\
            target_link_libraries(host PRIVATE {target} Threads::Threads)\n",
            source.display()
        );
        std::fs::write(project.join("CMakeLists.txt"), text).unwrap();
        let build = project.join("build");
        run(Command::new("cmake")
            .args(["-S".as_ref(), project.as_os_str(), "-B".as_ref(), build.as_os_str()])
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
        run(Command::new("cmake").arg("--build").arg(&build));
        assert_eq!(ran(&build.join("host")), UPLOADS);
    }
}
