//! Harmless requests that a new filter sees before it serves, so that what it builds at first use (the
//! automata of its patterns, some milliseconds each) is there before a visitor has to wait for it.

use crate::filter::{Filter, Outcome};
use crate::http::{Connection, Header, RequestHead, ResponseHead};
use crate::sink::Discard;
use crate::time::Timestamp;
use crate::verdict::Step;

struct Sample {
    method: &'static str,
    target: &'static str,
    kind: &'static str,
    body: &'static str,
}

const SAMPLES: &[Sample] = &[
    Sample { method: "GET", target: "/", kind: "", body: "" },
    Sample {
        method: "GET",
        target: "/catalog/item-42/?page=2&sort=price&q=O%27Neill+%26+sons&back=https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc&ids%5B%5D=1&t=%3Cb%3E",
        kind: "",
        body: "",
    },
    Sample {
        method: "POST",
        target: "/account/review.html",
        kind: "application/x-www-form-urlencoded",
        body: "name=Ann+M%C3%BCller&mail=ann%40example.org&csrf=a9%2Bx%3D%3D&date=2030-01-31&text=Please+select+one+from+the+table%3B+I+would+%22update%22+it+-+it%27s+fine+%28really%29+%3A%29%0D%0AThe+file+is+at+http%3A%2F%2Fexample.org%2Fa.txt%2C+50%25+off+%23deal+and+more.",
    },
    Sample {
        method: "POST",
        target: "/api/v2/orders",
        kind: "application/json",
        body: r#"{"id":42,"user":{"name":"Ann O'Neill","mail":"ann@example.org","roles":["a","b"]},"note":"one; two | three & four $5 <ok> {x} [y]","url":"https://example.org/a?b=c#d","when":"2030-01-31T10:00:00Z","price":1.5e2,"ok":true}"#,
    },
    Sample {
        method: "POST",
        target: "/upload",
        kind: "multipart/form-data; boundary=----b",
        body: "------b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nMy photo\r\n------b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"photo 1.jpg\"\r\nContent-Type: image/jpeg\r\n\r\nbytes\r\n------b--\r\n",
    },
];

/// Shows the samples to a filter and forgets what it says; counters that it keeps by address see one
/// from the range for documentation (RFC 5737).
pub(crate) fn warm(filter: &dyn Filter) {
    let now = Timestamp::from_system_clock();
    let connection = Connection {
        client: ([192, 0, 2, 1], 40_000).into(),
        server: ([192, 0, 2, 2], 443).into(),
        now,
    };
    // Twice: what is decided lazily within an automaton is decided by then.
    for sample in SAMPLES.iter().chain(SAMPLES) {
        let length = sample.body.len().to_string();
        let mut headers = vec![
            Header::new("host", "shop.example"),
            Header::new(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            ),
            Header::new(
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
            ),
            Header::new("accept-language", "en-GB,en;q=0.9,fr;q=0.8"),
            Header::new("accept-encoding", "gzip, deflate, br"),
            Header::new("sec-ch-ua", "\"Chromium\";v=\"126\", \"Not-A.Brand\";v=\"8\""),
            Header::new("sec-ch-ua-platform", "\"Linux\""),
            Header::new("referer", "https://shop.example/catalog?page=2&sort=price"),
            Header::new(
                "cookie",
                "session=wKj2v2BSBnmPYyGf1KuTe0; _ga=GA1.2.1234567890.1719999999; lang=en; consent=a%3D1%26b%3D0",
            ),
        ];
        if !sample.kind.is_empty() {
            headers.push(Header::new("content-type", sample.kind));
            headers.push(Header::new("content-length", &length));
        }
        let mut transaction = filter.begin(&connection, None);
        let head = RequestHead {
            method: sample.method.as_bytes(),
            target: sample.target.as_bytes(),
            version: b"HTTP/1.1",
            headers: &headers,
            now,
        };
        let page = [Header::new("content-type", "text/html; charset=utf-8")];
        let response = ResponseHead { status: 200, version: b"HTTP/1.1", headers: &page, now };
        // Work that a filter asks for here is not done, and its verdict is nobody's.
        let _: [Step; 4] = [
            transaction.request_head(&head),
            transaction.request_body(sample.body.as_bytes(), true),
            transaction.response_head(&response),
            transaction.response_body(b"<!DOCTYPE html><title>Shop</title><p>Welcome", true),
        ];
        transaction.finish(Outcome { status: 200, now, ..Outcome::default() }, &Discard);
    }
}
