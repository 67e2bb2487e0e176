//! `smesec taas audit` and `draft`: exit codes, keys, and nothing secret in what they write.

use crate::api::{Api, PASSWORDS, Token};
use serde_json::Value;
use smesec_core::cli;
use std::path::Path;

/// Exit code, standard output, standard error.
fn smesec(args: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(args.iter().map(Into::into), &mut &b""[..], &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// A description beside the files that its secrets come from.
fn target(name: &str, port: u16) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = crate::description(port, Token::Cookie);
    for (user, _, password) in PASSWORDS {
        std::fs::write(folder.join(format!("{user}.txt")), format!("{password}\n")).unwrap();
        text = text.replace(&format!("{{env: {user}}}"), &format!("{{file: {user}.txt}}"));
    }
    let file = folder.join("target.yaml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn findings_are_lines_with_the_keys_of_the_contract_and_no_secret() {
    let api = Api::start(Token::Cookie, &["bfla-read", "cookie-no-secure"]);
    let file = target("audit-found", api.port);
    let args =
        ["taas", "audit", &file, "--only", "bfla-read,cookie-no-secure,enum-status", "--json"];
    let (code, out, err) = smesec(&args);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rules: Vec<&str> = lines.iter().map(|line| line["check"].as_str().unwrap()).collect();
    assert_eq!(rules, ["bfla-read", "cookie-no-secure"]);
    let first = &lines[0];
    assert_eq!(first["part"], "GET /api/users as alice (user)");
    assert_eq!(first["severity"], "high");
    assert_eq!(first["tags"], serde_json::json!(["CWE-285", "OWASP-API5:2023"]));
    assert!(first["place"].as_str().unwrap().ends_with("target.yaml:16"), "{first}");
    let exchanges = first["exchanges"].as_array().unwrap();
    let seen = |at: usize| (&exchanges[at]["as"], &exchanges[at]["answer"]["status"]);
    assert_eq!(exchanges.len(), 2);
    assert!(seen(0) == (&"root".into(), &200.into()) && seen(1) == (&"alice".into(), &200.into()));
    assert!(out.contains("session=[masked]"), "{out}");
    for (_, _, password) in PASSWORDS {
        assert!(!out.contains(password));
    }
    let (code, out, _) = smesec(&["taas", "audit", &file, "--only", "bfla-read"]);
    assert!(
        code == 1 && out.contains("fix: check the role") && out.contains("1 findings"),
        "{out}"
    );
}

#[test]
fn exit_codes_tell_sound_from_not_done() {
    let api = Api::start(Token::Cookie, &[]);
    let file = target("audit-sound", api.port);
    let (code, out, err) = smesec(&["taas", "audit", &file, "--only", "bfla-read,idor-read"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("2 checks passed"), "{out}");
    // Held back or without what it needs: nothing was shown.
    let (code, out, _) = smesec(&["taas", "audit", &file, "--only", "no-lockout,jwt-alg-none"]);
    assert!(code == 3 && out.contains("`--destructive` runs it"), "{out}");
    let gone = target("audit-gone", 1);
    let (code, out, _) = smesec(&["taas", "audit", &gone, "--only", "bfla-read"]);
    assert!(code == 3 && out.contains("NOT DONE"), "{out}");

    let (code, out, _) = smesec(&["taas", "audit", &gone, "--dry-run", "--destructive"]);
    assert_eq!(code, 0);
    assert!(
        out.lines().count() > 200 && out.contains("DELETE http://127.0.0.1:1/api/reports/1"),
        "{out}"
    );
    assert!(PASSWORDS.iter().all(|(_, _, password)| !out.contains(password)));

    // A public host is told of before one waits for the real run to refuse it.
    let elsewhere =
        std::fs::read_to_string(&gone).unwrap().replace("127.0.0.1:1\n", "203.0.113.7\n");
    let public = gone.replace("target.yaml", "public.yaml");
    std::fs::write(&public, &elsewhere).unwrap();
    let (code, _, err) = smesec(&["taas", "audit", &public, "--dry-run"]);
    let refused = "smesec: would not connect to 203.0.113.7:80: `203.0.113.7` is at the public address 203.0.113.7; allow it as a public host to send there (`public: true`)\n";
    assert_eq!((code, err.as_str()), (0, refused));
    std::fs::write(&public, format!("public: true\n{elsewhere}")).unwrap();
    let (code, _, err) = smesec(&["taas", "audit", &public, "--dry-run"]);
    assert_eq!((code, err.as_str()), (0, ""));

    for (args, told) in [
        (&["taas", "audit"][..], "which target? Write `smesec taas audit TARGET.yaml`"),
        (&["taas", "audit", &file, "--only", "all"], "`--only`: there is no check `all`"),
        (&["taas", "audit", "no.yaml"], "`no.yaml`: "),
        (&["taas", "draft", &file], "target.yaml:1:1: there is no `openapi: 3…`"),
    ] {
        let (code, _, err) = smesec(args);
        assert!(code == 2 && err.contains(told), "{err}");
    }
    let (code, out, _) = smesec(&["taas", "audit", "--example"]);
    assert!(code == 0 && out.starts_with("# A target for `smesec taas audit`"));
    let (code, out, _) = smesec(&["taas", "audit", "--checks"]);
    assert!(code == 0 && out.contains("enum-timing") && out.lines().count() == 58);
}
