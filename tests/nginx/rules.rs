//! Directives: what nginx -t says, what is merged, what an exception takes away.

use crate::harness::Nginx;
use crate::{module_or_return, server};

#[test]
fn errors_in_rules_are_told_by_nginx_t_with_file_and_line() {
    module_or_return!();
    let check = |http: &str, files: &[(&str, &[u8])]| Nginx::check(http, files);
    let on = "server { listen 127.0.0.1:PORT; location / { smesec on; } }";
    let (good, told) = check(
        &format!("smesec_rules bad.conf; {on}"),
        &[("bad.conf", b"SecRuleEngine On\n\nSecRule ARGS \"@nonsense x\" \"id:1,phase:1\"\n")],
    );
    assert!(!good && told.contains("bad.conf:3:"), "{told}");
    let (good, told) = check(
        &format!("smesec_strict off; smesec_rules bad.conf; {on}"),
        &[("bad.conf", b"SecRuleEngine On\n\nSecRule ARGS \"@nonsense x\" \"id:1,phase:1\"\n")],
    );
    assert!(good && told.contains("[warn]") && told.contains("bad.conf:3:"), "{told}");
    let place = |rules: &str| {
        let (good, told) = check(&format!("smesec_rules_inline '{rules}';\n{on}"), &[]);
        let line = told.split_once("nginx.conf:").and_then(|(_, rest)| rest.split(':').next());
        assert!(!good && told.contains("`SecRule` has 1 arguments"), "{told}");
        line.and_then(|line| line.parse::<u32>().ok()).unwrap()
    };
    let first = place("SecRule ARGS");
    assert_eq!(place("\nSecRuleEngine On\nSecRule ARGS\n"), first + 2, "the rule's own line");
    let (good, told) = check(&format!("smesec_rules missing.conf; {on}"), &[]);
    assert!(!good && told.contains("missing.conf"), "{told}");
    let (good, told) = check(on, &[]);
    assert!(!good && told.contains("where no rules are"), "{told}");
    for (directive, says) in [
        ("smesec maybe;", "maybe"),
        ("smesec_paranoia 5;", "between 1 and 4"),
        ("smesec_exception rule=x;", "neither an id"),
        ("smesec_exception rule=9-3;", "neither an id"),
        ("smesec_exception until=soon;", "no day"),
        ("smesec_exception until=2999-01-01;", "between 1971 and 2200"),
        ("smesec_exception rule=1 until=2030-02-29;", "no day"),
        ("smesec_exception until=2030-01-01 reason=why;", "every rule"),
        ("smesec_exception rule=1 rule=2;", "comes twice"),
        ("smesec_log syslog:server=127.0.0.1;", "files alone"),
        ("smesec_exception colour=red;", "colour=red"),
        ("smesec_decoy nowhere;", "named location"),
        ("smesec_zone small:4k;", "128k"),
        ("smesec_zone nothing;", "name and a size"),
        ("smesec_rules *.nothing;", "names no file"),
        ("smesec_log events.json xml;", "modsecurity"),
    ] {
        let (good, told) = check(&format!("{directive} server {{ listen 127.0.0.1:PORT; }}"), &[]);
        assert!(
            !good && told.contains(says) && told.contains("nginx.conf:"),
            "{directive}: {told}"
        );
    }
    let (good, told) = check(
        "include latin.conf; server { listen 127.0.0.1:PORT; }",
        &[("latin.conf", b"# a comment\nsmesec_exception rule=1 'reason=Caf\xe9';\n")],
    );
    assert!(
        !good && told.contains("reason is not UTF-8") && told.contains("latin.conf:2"),
        "a worker that could not start would take the site down: {told}"
    );
    let (good, told) = check(&format!("smesec_rules builtin; smesec_paranoia 2; {on}"), &[]);
    assert!(good, "{told}");
    let (good, told) = check(
        &format!("smesec_rules part-*.conf; {on}"),
        &[
            ("part-1.conf", b"SecRuleEngine On\n"),
            ("part-2.conf", b"SecRule ARGS \"@nonsense\" \"id:1,phase:1\"\n"),
        ],
    );
    assert!(!good && told.contains("part-2.conf:1:"), "{told}");
}

#[test]
fn the_configuration_of_the_page_loads() {
    module_or_return!();
    let page = include_str!("../../examples/nginx/README.md");
    let block = page.split_once("```nginx\n").unwrap().1.split_once("```").unwrap().0;
    let http = block.split_once("http {\n").unwrap().1.rsplit_once('}').unwrap().0;
    let http = http.replace("/var/log/nginx/", "").replace("listen 80", "listen 127.0.0.1:PORT");
    let (good, told) = Nginx::check(&http, &[]);
    assert!(good, "{told}");
}

#[test]
fn exceptions_hold_for_their_place_and_time() {
    module_or_return!();
    let nginx = server(
        "location / { return 200 hello; } \
        location /forum { smesec_exception rule=1 target=ARGS_GET:q path=/forum/post until=2199-01-01 'reason=people quote'; \
          return 200 forum; location /forum/inner { smesec_exception rule=2-3; return 200 inner; } } \
        location /past { smesec_exception rule=1 until=2020-01-01; return 200 past; } \
        location /other { smesec_exception rule=2; return 200 other; }",
    );
    assert_eq!(nginx.get("/forum/post?q=evil").0, 200);
    assert_eq!(nginx.get("/forum?q=evil").0, 403);
    assert_eq!(nginx.get("/past?q=evil").0, 403);
    assert_eq!(nginx.get("/other?q=evil").0, 403);
    assert_eq!(nginx.post("/other", b"note=evil").0, 200);
    assert_eq!(nginx.post("/forum/inner", b"note=evil").0, 200);
    assert_eq!(nginx.get("/forum/inner?q=evil").0, 403, "the outer one is for another path");
}

#[test]
fn rules_are_merged_from_the_outside_in() {
    module_or_return!();
    let nginx = server(
        "location / { return 200 hello; } \
        location /more { smesec_rules_inline 'SecRule ARGS_GET:p \"@streq wrong\" \"id:20,phase:1,deny,status:409\"'; return 200 more; \
          location /more/yet { smesec_rules_inline 'SecRuleRemoveById 1'; return 200 yet; } } \
        location /own { smesec rules; smesec_rules_inline 'SecRuleEngine DetectionOnly'; return 200 own; }",
    );
    assert_eq!(nginx.get("/?p=wrong").0, 200);
    assert_eq!(nginx.get("/more?p=wrong").0, 409);
    assert_eq!(nginx.get("/more?q=evil").0, 403);
    assert_eq!(nginx.get("/more/yet?q=evil").0, 200);
    assert_eq!(nginx.get("/more/yet?p=wrong").0, 409);
    assert_eq!(nginx.get("/own?q=evil").0, 200, "as SecRuleEngine says");
}
