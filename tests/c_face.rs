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
use std::process::{Command, Output};

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

fn gcc() -> Command {
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
    .arg(root().join("smesec-ffi/tests/c/check.c"));
    gcc
}

const SYSTEM: &[&str] = &["-lpthread", "-ldl", "-lm"];

fn all_held(told: &str) {
    let (checks, failures) = told.trim().split_once(" checks, ").unwrap();
    assert!(checks.parse::<u32>().unwrap() > 300 && failures == "0 failures", "{told}");
}

#[test]
fn a_c_host_runs_clean_under_the_sanitizers() {
    if !is_here("gcc") {
        return;
    }
    let program = scratch("c_face").join("check-asan");
    run(gcc()
        .args(["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
        .arg(built().archive)
        .args(SYSTEM)
        .arg("-o")
        .arg(&program));
    all_held(&run(Command::new(&program).env("RUST_BACKTRACE", "0")));
}

#[test]
fn a_c_host_runs_clean_under_valgrind() {
    if !is_here("gcc") || !is_here("valgrind") {
        return;
    }
    let shared = built().shared;
    let folder = scratch("c_face_shared");
    // As an installation has it: the name to link with, and the SONAME to run with.
    for name in ["libsmesec.so", "libsmesec.so.0"] {
        std::fs::copy(&shared, folder.join(name)).unwrap();
    }
    let program = folder.join("check");
    run(gcc().arg("-L").arg(&folder).arg("-lsmesec").args(SYSTEM).arg("-o").arg(&program));
    let valgrind = [
        "-q",
        "--error-exitcode=9",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
    ];
    all_held(&run(Command::new("valgrind")
        .args(valgrind)
        .arg(&program)
        .env("LD_LIBRARY_PATH", &folder)
        .env("RUST_BACKTRACE", "0")));
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
