//! What a person sees instead of the site. Nothing of the request is repeated on it.

use super::body::Outward;
use crate::event::EventId;
use bytes::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("Bad request", "The request is not well formed."),
        403 => ("Request stopped", "This request was stopped by the site's firewall."),
        405 => ("Method not allowed", "This method is not served here."),
        408 => ("Request timed out", "The request took too long to arrive."),
        413 => ("Request too large", "The request is larger than this site accepts."),
        421 => ("Unknown site", "No site of this name is served here."),
        429 => ("Too many requests", "Please wait a moment and try again."),
        502 => ("Site not available", "The site's server did not answer. Please try again later."),
        504 => ("Site not available", "The site's server took too long. Please try again later."),
        500..=599 => ("Error", "The request could not be served."),
        _ => ("Request stopped", "This request was not served."),
    }
}

/// A page, or JSON where the client asked for JSON.
pub(super) fn page(status: u16, incident: EventId, request: &HeaderMap) -> Response<Outward> {
    let (title, text) = words(status);
    let wants_json = request
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("json") && !accept.contains("text/html"));
    let (kind, body) = if wants_json {
        let body = format!(
            "{{\"status\":{status},\"title\":\"{title}\",\"detail\":\"{text}\",\"incident\":\"{incident}\"}}\n"
        );
        ("application/problem+json", body)
    } else {
        let body = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
<meta name=\"viewport\" content=\"width=device-width\"><style>body{{font:1rem/1.5 system-ui,sans-serif;\
max-width:34rem;margin:15vh auto;padding:0 1rem;color:#222;background:#fff}}code{{color:#555}}\
@media(prefers-color-scheme:dark){{body{{color:#ddd;background:#181818}}code{{color:#aaa}}}}</style></head>\n\
<body><h1>{title}</h1><p>{text}</p><p>If you think that this is a mistake, tell the site's owner this \
incident number:</p><p><code>{incident}</code></p></body></html>\n"
        );
        ("text/html; charset=utf-8", body)
    };
    let mut response = Response::new(Outward::whole(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A redirect that a rule asked for.
pub(super) fn redirect(status: u16, location: &str) -> Option<Response<Outward>> {
    let mut response = Response::new(Outward::whole(Bytes::new()));
    *response.status_mut() =
        StatusCode::from_u16(status).ok().filter(StatusCode::is_redirection)?;
    response.headers_mut().insert(hyper::header::LOCATION, location.parse().ok()?);
    Some(response)
}
