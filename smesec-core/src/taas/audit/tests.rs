use super::*;

fn load(text: &str) -> Result<Audit, Error> {
    Audit::load_with(text, "t.yaml", &|source| match source {
        SecretSource::Environment("SET") => Some("hunter2hunter2\n".to_owned()),
        SecretSource::Environment("PEM") => {
            Some("-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----\n".to_owned())
        }
        _ => None,
    })
}

const USERS: &str = "base: http://127.0.0.1:8080
users: {alice: {role: user, password: {env: SET}}, root: {role: admin, password: {env: SET}}}
signin: {path: /in, json: {u: \"{name}\", p: \"{password}\"}, token: {cookie: sid}}
routes: [{path: /me, allow: [user, admin]}, {path: /all, allow: [admin]}, {method: DELETE, path: /one, allow: [admin]}]
";

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_write() {
    let routes = "routes: [{path: /, allow: anybody}]\n";
    let base = "base: http://a\n";
    let mut wrong = Vec::new();
    for (text, told) in [
        (
            String::new(),
            "t.yaml:1:1: nothing is described; `smesec taas audit --example` prints a target to start from",
        ),
        ("[1]".into(), "t.yaml:1:1: the target is a list; write a mapping, as in `key: value`"),
        (
            routes.into(),
            "t.yaml:1:1: `base` is missing; write the API's address, as in `base: http://127.0.0.1:8080`",
        ),
        (
            format!("base: 127.0.0.1\n{routes}"),
            "t.yaml:1:7: `127.0.0.1` has no scheme; write it as `http://127.0.0.1:8080/api`",
        ),
        (
            format!("base: ftp://a\n{routes}"),
            "t.yaml:1:7: `ftp://a` is neither http nor https; write it as `http://127.0.0.1:8080/api`",
        ),
        (
            format!("base: http://a b\n{routes}"),
            "t.yaml:1:7: `http://a b` has no valid host; write it as `http://127.0.0.1:8080/api`",
        ),
        (
            format!("base: http://a:99999\n{routes}"),
            "t.yaml:1:7: `http://a:99999` has no valid host; write it as `http://127.0.0.1:8080/api`",
        ),
        (
            format!("base: http://u@a\n{routes}"),
            "t.yaml:1:7: `http://u@a` carries a name; users stand under `users`; write it as `http://127.0.0.1:8080/api`",
        ),
        (
            base.into(),
            "t.yaml:1:1: `routes` is missing; list at least one, as in `- {method: GET, path: /api/profile, allow: [user]}`",
        ),
        (
            format!("{base}{base}{routes}"),
            "t.yaml:2:1: `base` stands twice in one mapping, first in line 1; keep one of them",
        ),
        (
            format!("{base}rotes: []\n"),
            "t.yaml:2:1: the target has no key `rotes`; did you mean `routes`",
        ),
        (
            format!("{base}routes: [{{path: x, allow: anybody}}]"),
            "t.yaml:2:17: `x` is no path below `base`; begin it with one slash",
        ),
        (
            format!("{base}routes: [{{method: FETCH, path: /, allow: anybody}}]"),
            "t.yaml:2:19: `FETCH` is no method; write one of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
        ),
        (
            format!("{base}routes: [{{path: /}}]"),
            "t.yaml:2:10: `allow` is missing: who may do this? Write `allow: [user, admin]`, or `allow: anybody`",
        ),
        (
            format!("{base}routes: [{{path: /, allow: [admin]}}]"),
            "t.yaml:2:28: no user has the role `admin`; the roles are none is given under `users`, `nobody` and `anybody`",
        ),
        (
            format!("{base}{routes}users: {{a: {{role: user, password: {{env: UNSET}}}}}}"),
            "t.yaml:3:41: the variable `UNSET` is not set; export it first",
        ),
        (
            format!("{base}{routes}users: {{a: {{role: user, password: {{file: no.txt}}}}}}"),
            "t.yaml:3:42: `no.txt` cannot be read; check the path",
        ),
        (
            format!("{base}{routes}users: {{a: {{role: user, password: [CONFIDENTIAL]}}}}"),
            "t.yaml:3:35: `password` is a list, which is how YAML reads a bracketed placeholder; write `{env: VARIABLE}` or `{file: path}`",
        ),
        (
            format!("{base}{routes}users: {{a: {{password: x}}}}"),
            "t.yaml:3:9: the user `a` has no role; write `role: user`",
        ),
        (
            format!("{base}{routes}users: {{a: {{role: user}}}}"),
            "t.yaml:3:8: there are users but no `signin`; describe how they sign in",
        ),
        (
            format!("{base}{routes}limits: {{requests: many}}"),
            "t.yaml:3:20: `many` is no whole number from 0; write one",
        ),
        (
            format!("{base}{routes}sign_in_checks: {{pairs: 10}}"),
            "t.yaml:3:25: `pairs` is from 30 to 1000; write a number between them",
        ),
        (
            format!("{base}{routes}redirects: [/go]"),
            "t.yaml:3:13: there is no `{url}`; put it where the destination goes, as in `/go?next={url}`",
        ),
        (
            USERS.replace("{password}", "x"),
            "t.yaml:3:9: the sign-in sends no `{password}`; put it where the password goes",
        ),
        (
            USERS.replace("{name}", "{mail}"),
            "t.yaml:3:9: the sign-in asks for `{mail}`, which the user `alice` lacks; add `mail:` to it",
        ),
        (
            USERS.replace("{cookie: sid}", "{}"),
            "t.yaml:3:66: write one of `{cookie: NAME}`, `{bearer: FIELD}` and `{json: FIELD, header: NAME}`",
        ),
        (
            format!("{USERS}objects: {{m: {{read: GET /m, owned: {{alice: [1]}}}}}}"),
            "t.yaml:5:21: `read` has no `{id}`; put it where the object's id goes",
        ),
        (
            format!("{USERS}objects: {{m: {{read: \"GET /m/{{id}}\", owned: {{eve: [1]}}}}}}"),
            "t.yaml:5:44: no user is called `eve`; the users are alice, root",
        ),
        (
            format!("{USERS}jwt: {{public_key: nothing}}"),
            "t.yaml:5:19: the public key is not PEM; it begins with `-----BEGIN PUBLIC KEY-----`",
        ),
        (
            format!(
                "{USERS}mass_assignment: {{as: alice, write: POST /x, read: GET /x, fields: {{a: 1}}}}"
            ),
            "t.yaml:5:37: the write has no JSON object to add fields to; write `json: {…}`",
        ),
        ("a: [".into(), "t.yaml:"),
    ] {
        let why = load(&text).unwrap_err().to_string();
        if !why.starts_with(told) || (why != told && told.len() > 10) {
            wrong.push(format!("{why}\n   not {told}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let why = load(USERS).unwrap().only(["bfla-red"]).unwrap_err().to_string();
    assert!(why.starts_with("there is no check `bfla-red`; write some of bfla-read, "), "{why}");
}

#[test]
fn a_secret_in_the_file_is_a_warning() {
    let audit = load(&USERS.replacen("{env: SET}", "swordfish", 1)).unwrap();
    let [warning] = audit.warnings() else { unreachable!("{:?}", audit.warnings()) };
    assert_eq!(
        warning,
        "t.yaml:2:39: the secret `password` stands in the file; write `{env: VARIABLE}` or `{file: path}`"
    );
}

#[test]
fn the_example_reads() {
    let audit = Audit::load_with(EXAMPLE, "example.yaml", &|_| Some("a password".into())).unwrap();
    assert!(audit.warnings().is_empty());
    assert_eq!(audit.limits(), (5_000, 50, Duration::from_secs(10)));
}

#[test]
fn a_plan_lists_what_would_be_sent_and_shows_no_secret() {
    let audit =
        load(&format!("{USERS}signout: POST /out\njwt: {{public_key: {{env: PEM}}}}\n")).unwrap();
    let plan = audit.plan();
    let line = |p: &Planned| {
        format!("{} {} {}", p.check, p.acting_as, p.request.method)
            + " "
            + wire::path(&p.request.url)
    };
    let lines: Vec<String> = plan.iter().map(line).collect();
    for wanted in [
        "bfla-read alice GET /all",
        "bfla-anonymous nobody GET /me",
        "signout-keeps-token alice POST /out",
        "jwt-weak-secret alice GET /me",
        "jwt-key-confusion alice GET /me",
        "sqli-login nobody POST /in",
        "enum-timing nobody POST /in",
        "no-rate-limit nobody POST /in",
    ] {
        assert!(lines.iter().any(|line| line == wanted), "no `{wanted}` in {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("DELETE") || line.starts_with("no-lockout")));
    let text = format!("{plan:?}");
    assert!(!text.contains("hunter2") && text.contains("[masked]"));
    let destructive: Vec<String> = audit.destructive(true).plan().iter().map(line).collect();
    assert!(destructive.iter().any(|line| line == "bfla-method alice DELETE /one"));
    assert!(destructive.iter().filter(|line| line.starts_with("no-lockout")).count() > 12);
}

#[test]
fn text_cut_anywhere_never_panics() {
    for (at, _) in EXAMPLE.char_indices() {
        let _ = load(EXAMPLE.get(..at).unwrap());
    }
}
