//! Published rule sets parse without an error, and damaged ones without a panic.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "a test: a panic is the verdict, and a skipped run has to be seen"
)]
use smesec_core::waf::seclang::{
    DirectiveKind, Files, Loader, Memory, Syntax, parse_path, parse_text,
};
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("SMESEC_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"),
        PathBuf::from,
    );
    let crs = root.join("crs");
    if !crs.is_dir() {
        println!("SKIPPED: no rule set at {}; set SMESEC_CORPORA", crs.display());
        return None;
    }
    Some(crs)
}

fn rule_files(crs: &Path) -> Vec<String> {
    let mut files = vec![crs.join("crs-setup.conf.example").display().to_string()];
    files.extend(Files.glob(&crs.join("rules/*.conf").display().to_string()).unwrap());
    files
}

fn clean(syntax: &Syntax) {
    let told: Vec<String> = syntax
        .errors
        .iter()
        .map(|e| {
            format!("{}:{}:{}: {}", syntax.file_name(e.span), e.span.line, e.span.column, e.why)
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn the_core_rule_set_parses_whole() {
    let Some(crs) = corpus() else { return };
    let mut all = Syntax::default();
    for file in rule_files(&crs) {
        all.append(parse_path(&file, &Files));
    }
    clean(&all);
    let count = |wanted: fn(&DirectiveKind) -> bool| {
        all.directives.iter().filter(|directive| wanted(&directive.kind)).count()
    };
    assert_eq!(all.files.len(), 28);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Rule(_))), 695);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Action(_))), 8);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Marker(_))), 30);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::UpdateTargetById { .. })), 55);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::DefaultAction(_))), 5);
    // Every directive starts where its span says.
    for directive in &all.directives {
        let text = std::fs::read_to_string(all.file_name(directive.span)).unwrap();
        let line = text.lines().nth(directive.span.line as usize - 1).unwrap();
        assert!(line[directive.span.column as usize - 1..].starts_with("Sec"), "{directive:?}");
        if let DirectiveKind::Rule(rule) = &directive.kind {
            for action in &rule.actions {
                let line = text.lines().nth(action.span.line as usize - 1).unwrap();
                let here = line[action.span.column as usize - 1..].to_ascii_lowercase();
                assert!(here.starts_with(&action.name), "{action:?}");
            }
        }
    }
}

#[test]
fn installed_rule_sets_parse_whole() {
    let mut seen = 0;
    for pattern in [
        "/usr/share/modsecurity-crs/rules/*.conf",
        "/etc/modsecurity/*.conf*",
        "/etc/modsecurity/crs/*.conf",
        "/etc/nginx/modsecurity.conf",
    ] {
        for file in Files.glob(pattern).unwrap() {
            clean(&parse_path(&file, &Files));
            seen += 1;
        }
    }
    if seen == 0 {
        println!("SKIPPED: no rule set is installed");
    }
}

#[test]
fn damaged_rule_files_neither_panic_nor_hang() {
    let Some(crs) = corpus() else { return };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let marks = b"\"'\\\n\r#<>|,:/!&@%{} \t\x00\xff\xc3";
    let (mut runs, mut errors) = (0, 0);
    for file in rule_files(&crs) {
        let sound = std::fs::read(&file).unwrap();
        for _ in 0..12 {
            let mut text = sound.clone();
            for _ in 0..=next(40) {
                let at = next(text.len());
                match next(4) {
                    0 => text[at] = marks[next(marks.len())],
                    1 => text.insert(at, marks[next(marks.len())]),
                    2 => drop(text.remove(at)),
                    _ => {
                        let end = (at + next(200)).min(text.len() - 1);
                        text.drain(at..end);
                    }
                }
            }
            let syntax = parse_text("damaged.conf", &text, &Memory::default());
            errors += syntax.errors.len();
            runs += 1;
            for error in &syntax.errors {
                assert!(error.span.line >= 1 && error.span.column >= 1);
                assert!(!error.why.is_empty());
            }
        }
    }
    println!("{runs} damaged files, {errors} errors told");
    assert!(errors > 0);
}
