//! The house's rules that no compiler checks: which room may call which, where `unsafe` may stand,
//! where the network lives, how long a file may grow, and what no file may name.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test: a panic is the verdict")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The rows of the house from the bottom up; a room imports its own row and those above it here.
const ROWS: &[(&str, &[&str])] = &[
    ("base", &["error", "limits", "time"]),
    (
        "vocabulary",
        &[
            "event",
            "verdict",
            "http",
            "filter",
            "detector",
            "scanner",
            "runner",
            "sink",
            "intake",
            "collection",
            "policy",
        ],
    ),
    ("tools", &["decode", "mask", "matcher", "ruleset"]),
    ("engines", &["waf", "ids", "av", "siem", "taas"]),
    ("records", &["store", "assess", "training"]),
    ("products", &["client", "gateway", "decoy", "collector", "console", "fleet"]),
    ("entry", &["cli", "bin"]),
];

/// Rows whose rooms never import one another.
const APART: &[&str] = &["engines"];

/// The only files in which `unsafe` may stand, each with an `expect(unsafe_code, reason = …)`.
const UNSAFE: &[&str] = &[
    "smesec-core/src/collection/region.rs",
    "smesec-core/src/collection/shared.rs",
    "smesec-ffi/src/border.rs",
    "smesec-ffi/src/event.rs",
    "smesec-ffi/src/filter.rs",
    "smesec-ffi/src/http.rs",
    "smesec-ffi/src/intake.rs",
    "smesec-ffi/src/rules.rs",
    "smesec-ffi/src/scanner.rs",
    "smesec-ffi/src/siem.rs",
    "smesec-ffi/src/siem_rules.rs",
    "smesec-ffi/src/sink.rs",
    "smesec-ffi/src/store.rs",
    "smesec-ffi/src/taas/audit.rs",
    "smesec-ffi/src/taas/extension.rs",
    "smesec-ffi/src/taas/report.rs",
    "smesec-ffi/src/taas/tests.rs",
    "smesec-ffi/src/transaction.rs",
    "smesec-ffi/src/waf.rs",
    "smesec-py/src/arrow/interface.rs",
];

/// Crates of the network: they live in products and entry only.
const NETWORK: &[&str] = &["hyper", "hyper_util", "tokio", "tokio_rustls", "rustls"];

const LINES: usize = 900;

#[test]
fn every_arrow_points_down() {
    let sources = sources(&root().join("smesec-core/src"));
    let exports = exports(&sources);
    let told: Vec<String> =
        sources.iter().flat_map(|file| arrows(&file.name, &file.text, &exports)).collect();
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn a_made_up_bad_arrow_is_seen() {
    let exports = BTreeMap::from([("Event".to_owned(), "event".to_owned())]);
    let bad = |file: &str, text: &str| arrows(file, text, &exports).join("\n");

    let told = bad("waf/engine.rs", "use crate::error::Error;\nuse crate::ids::Sensor;\n");
    assert!(
        told.starts_with("smesec-core/src/waf/engine.rs:2: `waf` may not import `ids`"),
        "{told}"
    );
    assert!(bad("event.rs", "use crate::waf::{RuleSet, Waf};").contains("vocabulary"));
    assert!(bad("time.rs", "use crate::Event;").contains("`event`"), "re-exports count");
    assert!(
        bad("waf/mod.rs", "use crate::{\n  error::Error,\n  siem::{Rule, x},\n};").contains("siem")
    );
    assert!(bad("decode/url.rs", "fn f() { crate::waf::f() }").contains("`waf`"));
    assert!(bad("decode/url.rs", "use super::super::waf::f;").contains("`waf`"));
    assert!(bad("error.rs", "mod tests {\n    use super::super::waf::f;\n}").contains("`waf`"));
    assert!(bad("attic/x.rs", "").contains("stands in no row"));
    assert!(bad("waf/x.rs", "use crate::attic::y;").contains("stands in no row"));

    assert_eq!(bad("waf/x.rs", "use crate::waf::y; use crate::{Event, decode::z};"), "");
    assert_eq!(
        bad("error.rs", "/// See [`crate::waf::Waf`].\nmod tests {\n    use super::*;\n}"),
        ""
    );
    assert_eq!(bad("cli/mod.rs", "use crate::gateway::serve; use super::waf::Waf;"), "");
    assert_eq!(bad("waf/a/b.rs", "use super::super::c; const S: &str = \"crate::ids::X\";"), "");
}

#[test]
fn unsafe_stands_only_where_it_is_listed() {
    let mut told = Vec::new();
    let mut met = Vec::new();
    for krate in ["smesec-core", "smesec-ffi", "smesec-py"] {
        for file in sources(&root().join(krate).join("src")) {
            let name = format!("{krate}/src/{}", file.name);
            let code = code_of(&file.text);
            let line = code.lines().position(|line| has_word(line, "unsafe"));
            let listed = UNSAFE.contains(&name.as_str());
            if let Some(line) = line
                && !listed
            {
                told.push(format!(
                    "{name}:{}: `unsafe` in a file that is not listed here",
                    line + 1
                ));
            }
            if listed {
                let granted = code.split_whitespace().collect::<String>();
                if !granted.contains("expect(unsafe_code,reason=") {
                    told.push(format!("{name}: lacks `expect(unsafe_code, reason = …)`"));
                }
                met.push(name);
            }
        }
    }
    for name in UNSAFE.iter().filter(|name| !met.iter().any(|m| m == *name)) {
        told.push(format!("{name}: is listed for `unsafe`, but is not there"));
    }
    assert!(told.is_empty(), "\n{}", told.join("\n"));
    assert!(has_word("pub unsafe extern \"C\" fn f()", "unsafe"));
    assert!(!has_word("#![expect(unsafe_code, reason = \"\")]", "unsafe"));
}

#[test]
fn the_network_lives_in_products() {
    let mut told = Vec::new();
    for file in sources(&root().join("smesec-core/src")) {
        let row = room_of(&file.name).and_then(row_of).map_or("", |(_, name)| name);
        if matches!(row, "products" | "entry") {
            continue;
        }
        for (n, line) in code_of(&file.text).lines().enumerate() {
            for krate in NETWORK
                .iter()
                .filter(|krate| line.contains(&format!("{krate}::")) && has_word(line, krate))
            {
                told.push(format!(
                    "smesec-core/src/{}:{}: `{krate}` below the products",
                    file.name,
                    n + 1
                ));
            }
        }
    }
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn files_stay_short() {
    let mut told = String::new();
    for file in sources(&root()) {
        let lines = file.text.lines().count();
        if lines > LINES {
            let _ = writeln!(
                told,
                "{}: {lines} lines; {LINES} at most: cut it along the path of its data",
                file.name
            );
        }
    }
    assert!(told.is_empty(), "\n{told}");
}

/// The product knows no test material, and no file knows the machine it was written on.
#[test]
fn nothing_names_the_machine_or_the_corpora() {
    let mut machine: Vec<String> = Vec::new();
    for folder in root().ancestors().filter(|folder| folder.components().count() > 1) {
        machine.push(format!("{}/shared/", folder.display()));
        machine.push(format!("{}/{}/", folder.display(), env!("CARGO_PKG_NAME")));
    }
    if root().components().count() > 2 {
        machine.push(format!("{}/", root().display()));
    }
    let material = [
        "shared/corpora",
        "shared/tools",
        "SMESEC_CORPORA",
        "SMESEC_TOOLS",
        "regression/tests",
        "corpus.jsonl",
    ];
    let mut told = Vec::new();
    for path in files(&root()) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let product = name.starts_with("smesec-") && name.contains("/src/");
        for (n, line) in text.lines().enumerate() {
            if let Some(found) = machine.iter().find(|path| line.contains(path.as_str())) {
                told.push(format!("{name}:{}: names the machine path `{found}`", n + 1));
            }
            if product && let Some(found) = material.iter().find(|word| line.contains(**word)) {
                told.push(format!("{name}:{}: names test material (`{found}`)", n + 1));
            }
        }
    }
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

struct Source {
    /// Relative to the folder that was read, with `/`.
    name: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of a tree, without what is built or hidden.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
            .map(|entry| entry.unwrap().path());
        for path in entries {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.')
                || matches!(name.as_str(), "target" | "__pycache__" | "Cargo.lock")
            {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn sources(folder: &Path) -> Vec<Source> {
    let rust = files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let read = |path: PathBuf| Source {
        name: path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/"),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    let found: Vec<Source> = rust.map(read).collect();
    assert!(!found.is_empty(), "no source in {}", folder.display());
    found
}

/// What `lib.rs` exports from its root: the name, and the room it comes from.
fn exports(sources: &[Source]) -> BTreeMap<String, String> {
    let lib = sources.iter().find(|file| file.name == "lib.rs").unwrap();
    let mut exports = BTreeMap::new();
    for line in code_of(&lib.text).split(';') {
        let Some(path) = line.trim().rsplit_once("pub use ").map(|(_, path)| path) else {
            continue;
        };
        let Some((room, names)) = path.split_once("::") else { continue };
        for name in
            names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|n| !n.is_empty())
        {
            exports.insert(name.to_owned(), room.trim().to_owned());
        }
    }
    exports
}

fn room_of(file: &str) -> Option<&str> {
    let first = file.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

fn row_of(room: &str) -> Option<(usize, &'static str)> {
    let n = ROWS.iter().position(|(_, rooms)| rooms.contains(&room))?;
    ROWS.get(n).map(|(name, _)| (n, *name))
}

/// The forbidden arrows of one file, a line each.
fn arrows(file: &str, text: &str, exports: &BTreeMap<String, String>) -> Vec<String> {
    let Some(from) = room_of(file).filter(|room| *room != "lib") else { return Vec::new() };
    let Some((from_row, from_name)) = row_of(from) else {
        return vec![format!(
            "smesec-core/src/{file}: room `{from}` stands in no row of tests/architecture.rs"
        )];
    };
    let mut told = Vec::new();
    for (line, name) in crate_paths(file, &code_of(text)) {
        let to = exports.get(&name).map_or(name.as_str(), String::as_str);
        let place = format!("smesec-core/src/{file}:{line}");
        match row_of(to) {
            _ if to == from => {}
            None => told.push(format!("{place}: `{to}` stands in no row of tests/architecture.rs")),
            Some((row, name)) if row > from_row => told.push(format!(
                "{place}: `{from}` may not import `{to}`: {from_name} stands below {name}; move what both need down"
            )),
            Some((row, name)) if row == from_row && APART.contains(&name) => told.push(format!(
                "{place}: `{from}` may not import `{to}`: {name} never import one another; move what both need down"
            )),
            Some(_) => {}
        }
    }
    told
}

/// The first name of every path from the crate's root, with its line.
fn crate_paths(file: &str, code: &str) -> Vec<(usize, String)> {
    // How many `super` lead from this file's module to the root.
    let parts = file.split('/').filter(|part| *part != "mod.rs").count();
    let mut found = Vec::new();
    let mut inner = 0;
    for (n, line) in code.lines().enumerate() {
        if line.starts_with("mod ") && line.trim_end().ends_with('{') {
            inner = 1;
        } else if line.starts_with('}') {
            inner = 0;
        }
        for at in starts(line, "crate::").chain(starts(line, "smesec_core::")) {
            let here = code.lines().skip(n).collect::<Vec<_>>().join("\n");
            let path = here.get(at..).unwrap().split_once("::").unwrap().1;
            found.extend(first_names(path).into_iter().map(|name| (n + 1, name)));
        }
        let mut rest = line;
        while let Some(at) = rest.find("super::") {
            let mut after = rest.get(at..).unwrap();
            let mut ups = 0;
            while let Some(next) = after.strip_prefix("super::") {
                (after, ups) = (next, ups + 1);
            }
            if ups == parts + inner {
                found.extend(first_names(after).into_iter().map(|name| (n + 1, name)));
            }
            rest = after;
        }
    }
    found
}

/// Where `word` begins in `line` as a word of its own.
fn starts<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    line.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !line.get(..*at).unwrap().ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
    })
}

/// `a::b` gives a; `{a::b, c::{d, e}}` gives a and c.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        text.get(..end).unwrap().to_owned()
    };
    let Some(group) = path.strip_prefix('{') else {
        return Some(name(path))
            .filter(|name| !name.is_empty() && name != "self")
            .into_iter()
            .collect();
    };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(group.get(start..at).unwrap()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty() && name != "self");
    names
}

fn has_word(line: &str, word: &str) -> bool {
    starts(line, word).any(|at| {
        !line.get(at + word.len()..).unwrap().starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

/// The text with comments and the content of string literals blanked, line by line as it was.
fn code_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut word_before = false;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if c == '"' {
            plain_string(rest)
        } else if !word_before && (c == 'r' || rest.starts_with("br")) && raw_string(rest) > 0 {
            raw_string(rest)
        } else if c == '\'' {
            char_literal(rest)
        } else {
            0
        };
        let taken = if skip == 0 { c.len_utf8() } else { skip };
        if skip == 0 {
            out.push(c);
        } else {
            out.extend(rest.get(..skip).unwrap().chars().filter(|c| *c == '\n'));
        }
        word_before = skip == 0 && (c.is_alphanumeric() || c == '_');
        rest = rest.get(taken..).unwrap();
    }
    out
}

fn plain_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string that begins here, 0 where none does.
fn raw_string(text: &str) -> usize {
    let body = text.strip_prefix('b').unwrap_or(text);
    let Some(body) = body.strip_prefix('r') else { return 0 };
    let hashes = body.chars().take_while(|c| *c == '#').count();
    let Some(inside) = body.get(hashes..).and_then(|b| b.strip_prefix('"')) else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes));
    let closed = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    text.len() - inside.len() + closed
}

/// The length of the character literal that begins here, 0 for a lifetime.
fn char_literal(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            chars.next();
            chars.find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}
