//! A shop that stands behind the gateway for demonstration. It repeats what it is told, escaped, and
//! keeps nothing.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// What a form or a picture may weigh here.
const BODY: usize = 1 << 20;

const SHELF: &[(&str, &str)] = &[
    ("Sandals", "39.00"),
    ("Boots", "149.00"),
    ("Running shoes", "119.00"),
    ("Slippers", "25.00"),
];

/// Opens the shop on a free port of this machine.
pub(super) async fn open() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(serve));
            tokio::spawn(connection);
        }
    });
    Ok(address)
}

async fn serve(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or("").to_owned();
    let body = Limited::new(request.into_body(), BODY).collect().await;
    let Ok(body) = body.map(http_body_util::Collected::to_bytes) else {
        return Ok(page(StatusCode::PAYLOAD_TOO_LARGE, "Too large", "<p>That is too much.</p>"));
    };
    let form = String::from_utf8_lossy(&body);
    Ok(match (method, path.as_str()) {
        (Method::GET | Method::HEAD, "/") => front(),
        (Method::GET, "/search") => {
            let asked = field(&query, "q");
            let found: String = SHELF
                .iter()
                .filter(|(name, _)| {
                    asked
                        .split_whitespace()
                        .any(|word| name.to_lowercase().contains(&word.to_lowercase()))
                })
                .fold(String::new(), |mut list, (name, price)| {
                    let _ = write!(list, "<li>{name}, {price}</li>");
                    list
                });
            page(
                StatusCode::OK,
                "Search",
                &format!("<p>You asked for <b>{}</b>.</p><ul>{found}</ul>", escaped(&asked)),
            )
        }
        (Method::POST, "/login") => {
            let name = escaped(&field(&form, "user"));
            page(
                StatusCode::OK,
                "Account",
                &format!("<p>Hello {name}; this shop knows nobody.</p>"),
            )
        }
        (Method::POST, "/review") => {
            let words = escaped(&field(&form, "text"));
            page(StatusCode::OK, "Thank you", &format!("<blockquote>{words}</blockquote>"))
        }
        (Method::POST, "/api/cart" | "/graphql") => {
            json(&format!("{{\"ok\":true,\"bytes\":{}}}\n", body.len()))
        }
        (Method::POST, "/upload") => {
            page(StatusCode::OK, "Thank you", &format!("<p>{} bytes came.</p>", body.len()))
        }
        (Method::GET, path) => {
            let item = path.strip_prefix("/product/").and_then(|n| n.parse::<usize>().ok());
            match item.and_then(|n| SHELF.get(n.checked_sub(1)?)) {
                Some((name, price)) => {
                    page(StatusCode::OK, name, &format!("<p>{price}, all sizes.</p>{REVIEW}"))
                }
                None => page(StatusCode::NOT_FOUND, "Not here", "<p>We do not have that.</p>"),
            }
        }
        _ => page(StatusCode::METHOD_NOT_ALLOWED, "Not here", "<p>That cannot be done here.</p>"),
    })
}

const REVIEW: &str = "<form method=post action=/review><p>Your review<br><textarea name=text rows=4 cols=50></textarea><br><button>Send</button></p></form>";

fn front() -> Response<Full<Bytes>> {
    let mut shelf = String::from("<ul>");
    for (n, (name, price)) in SHELF.iter().enumerate() {
        let _ = write!(shelf, "<li><a href=/product/{}>{name}</a>, {price}</li>", n + 1);
    }
    shelf.push_str(
        "</ul><form action=/search><p>Search <input name=q> <button>Go</button></p></form>",
    );
    shelf.push_str("<form method=post action=/login><p>Sign in <input name=user> <input name=password type=password> <button>Go</button></p></form>");
    page(StatusCode::OK, "Shoes and boots", &shelf)
}

fn page(status: StatusCode, title: &str, body: &str) -> Response<Full<Bytes>> {
    let text = format!(
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>{title}</title></head><body><h1>{title}</h1>{body}<p><a href=/>The shop</a></p></body></html>\n"
    );
    answer(status, "text/html; charset=utf-8", text)
}

fn json(text: &str) -> Response<Full<Bytes>> {
    answer(StatusCode::OK, "application/json", text.to_owned())
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A field of a form, percent-decoded.
fn field(form: &str, name: &str) -> String {
    let value = form.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    });
    let mut decoded = Vec::new();
    let mut rest = value.unwrap_or("").bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|d| d.map_or('?', char::from));
                let value = digits.iter().try_fold(0, |sum, d| Some(sum * 16 + d.to_digit(16)?));
                value.and_then(|value| u8::try_from(value).ok()).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
