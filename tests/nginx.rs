//! The nginx module in real nginx on real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test: a panic is the verdict, and a skipped run has to be seen"
)]

#[path = "nginx/harness.rs"]
mod harness;
#[path = "nginx/life.rs"]
mod life;
#[path = "nginx/redirects.rs"]
mod redirects;
#[path = "nginx/requests.rs"]
mod requests;
#[path = "nginx/responses.rs"]
mod responses;
#[path = "nginx/rules.rs"]
mod rules;

use harness::{Nginx, module};

/// Rules that the tests know by their words.
const RULES: &str = r#"
    SecRuleEngine On
    SecRequestBodyAccess On
    SecRequestBodyLimit 2097152
    SecRequestBodyNoFilesLimit 2097152
    SecResponseBodyAccess On
    SecResponseBodyMimeType text/html text/plain
    SecResponseBodyLimit 100000
    SecResponseBodyLimitAction ProcessPartial
    SecRule ARGS_GET:q "@contains evil" "id:1,phase:1,deny,status:403,msg:'evil in q'"
    SecRule ARGS_POST:note "@contains evil" "id:2,phase:2,deny,status:406,msg:'evil note'"
    SecRule RESPONSE_BODY "@contains secret" "id:3,phase:4,deny,status:502"
    SecRule ARGS_GET:next "@streq away" "id:4,phase:1,redirect:https://example.org/"
    SecRule ARGS_GET:q "@streq close" "id:5,phase:1,drop"
    SecRule RESPONSE_HEADERS:X-Leak "@contains yes" "id:6,phase:3,deny,status:500"
"#;

/// Ends a test where there is no nginx to build for; says so.
macro_rules! module_or_return {
    () => {
        if $crate::module().is_none() {
            return;
        }
    };
}
use module_or_return;

/// A server with the rules above and `rest` in it.
fn server(rest: &str) -> Nginx {
    Nginx::start(
        &format!(
            "smesec on; smesec_rules rules.conf; smesec_log events.json;\n\
         log_format verdicts '$request_uri $status $smesec_action $smesec_score $smesec_rules';\n\
         access_log verdicts.log verdicts;\n\
         server {{ listen 127.0.0.1:PORT; {rest} }}"
        ),
        &[("rules.conf", RULES.as_bytes())],
    )
}

/// A body of `len` bytes with the attack at `at`.
fn body(len: usize, at: usize) -> Vec<u8> {
    let mut body = b"note=".to_vec();
    body.resize(len, b'x');
    body[at..at + 4].copy_from_slice(b"evil");
    body
}
