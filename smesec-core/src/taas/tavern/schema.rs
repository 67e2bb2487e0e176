//! What a test document may hold: refused before anything is sent, with the place and what to do.

use super::document::Told;
use crate::decode::yaml::{Node, Scalar};

/// All that is wrong with a test, and what deserves a look.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) told: Vec<Told>,
    pub(super) warned: Vec<Told>,
}

/// Judges a test's document.
pub(super) fn judge(root: &Node, out: &mut Verdict) {
    const TEST: &[&str] = &[
        "test_name",
        "stages",
        "includes",
        "marks",
        "strict",
        "finally",
        "tinctures",
        "_xfail",
        "is_defaults",
        "paho-mqtt",
    ];
    out.keys(root, TEST, "a test");
    for (key, name) in [("grpc", "gRPC"), ("gql", "GraphQL"), ("graphql", "GraphQL")] {
        if let Some(node) = root.key(key) {
            out.tell(node, format!("`{key}`: {name} is not offered; test it over plain HTTP"));
        }
    }
    if let Some(strict) = root.key("strict") {
        out.strict(strict);
    }
    if let Some(includes) = root.key("includes") {
        out.includes(includes);
    }
    if let Some(xfail) = root.key("_xfail") {
        let known = xfail.as_str().is_some_and(|word| ["verify", "run", "finally"].contains(&word));
        if !known && xfail.map().is_none() {
            out.tell(xfail, "`_xfail` is `verify`, `run` or `finally`");
        }
    }
    out.tinctures(root);
    if let Some(options) = root.key("paho-mqtt") {
        const MQTT: &[&str] = &["client", "connect", "tls", "auth", "ssl_context"];
        out.keys(options, MQTT, "`paho-mqtt`");
    }
    for list in ["stages", "finally"] {
        let Some(stages) = root.key(list) else { continue };
        match stages.list() {
            Some(items) if !items.is_empty() => items.iter().for_each(|stage| out.stage(stage)),
            _ => {
                out.tell(
                    stages,
                    format!("`{list}` is a list of stages; begin each with `- name:`"),
                );
            }
        }
    }
}

/// Judges a global configuration as an include is, but for its further keys, which are of runners.
pub(super) fn global(root: &Node, out: &mut Verdict) {
    let stages = root.key("stages").and_then(Node::list).unwrap_or_default();
    for stage in stages {
        out.stage(stage);
    }
}

/// What kind of value a node will give.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Shape {
    Null,
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    List,
    Map,
    /// Known only once the variables are.
    Open,
    /// Matches anything at all.
    Anything,
    /// Matches some values.
    Matcher,
}

fn shape(node: &Node) -> Shape {
    match node.tag.as_deref() {
        Some("!int") => Shape::Int,
        Some("!float") => Shape::Float,
        Some("!bool") => Shape::Bool,
        Some("!raw" | "!!timestamp") => Shape::Text,
        Some("!!binary") => Shape::Bytes,
        Some("!force_original_structure" | "!force_format_include") => Shape::Open,
        Some("!anything") => Shape::Anything,
        Some(_) => Shape::Matcher,
        None => match node.scalar() {
            Some(Scalar::Null) => Shape::Null,
            Some(Scalar::Bool(_)) => Shape::Bool,
            Some(Scalar::Int(_)) => Shape::Int,
            Some(Scalar::Float(_)) => Shape::Float,
            Some(Scalar::Text(_)) if node.integer().is_some() => Shape::Int,
            Some(Scalar::Text(_)) => Shape::Text,
            None if node.list().is_some() => Shape::List,
            None => Shape::Map,
        },
    }
}

fn is_ext(node: &Node) -> bool {
    node.key("$ext").is_some()
}

impl Verdict {
    fn tell(&mut self, node: &Node, why: impl Into<String>) {
        self.told.push(Told::new(node.place, why));
    }

    fn warn(&mut self, node: &Node, why: impl Into<String>) {
        self.warned.push(Told::new(node.place, why));
    }

    /// Refuses keys that are not known, with the nearest that is.
    fn keys(&mut self, node: &Node, known: &[&str], what: &str) {
        let Some(entries) = node.map() else {
            self.tell(node, format!("{what} is a mapping; {} stands here", node.kind()));
            return;
        };
        for (key, _) in entries {
            let name = key.as_str().unwrap_or_default();
            if ["grpc", "gql", "graphql"].contains(&name) || known.contains(&name) {
                continue;
            }
            let near = known.iter().find(|k| near(k, name));
            let fix = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if name == "response" => "indent it as `request` is".to_owned(),
                None => format!("known are {}", known.join(", ")),
            };
            self.tell(key, format!("{what} has no key `{name}`; {fix}"));
        }
    }

    /// Refuses a value that is none of some shapes; variables that decide it at run time pass.
    fn shape(&mut self, parent: &Node, key: &str, shapes: &[Shape], what: &str) {
        if let Some(node) = parent.key(key)
            && !shapes.contains(&shape(node))
        {
            let kind = node.tag.as_deref().unwrap_or(node.kind());
            self.tell(node, format!("`{key}` is {what}; {kind} stands here"));
        }
    }

    fn strict(&mut self, node: &Node) {
        match shape(node) {
            Shape::Bool => return,
            Shape::List => {}
            _ => {
                self.tell(
                    node,
                    "`strict` is true, false or a list such as `[json:off, headers:on]`",
                );
                return;
            }
        }
        for item in node.list().unwrap_or_default() {
            let word = item.as_str().unwrap_or_default();
            let (section, setting) = word.split_once(':').unwrap_or((word, "on"));
            let known = ["json", "headers", "redirect_query_params", "text"].contains(&section)
                && ["on", "off", "list_any_order"].contains(&setting);
            if !known {
                self.tell(
                    item,
                    format!(
                        "`{word}` is no strictness; write `json`, `headers`, `redirect_query_params` or `text` with `:on`, `:off` or `:list_any_order`"
                    ),
                );
            }
        }
    }

    fn includes(&mut self, node: &Node) {
        let items = node.list().unwrap_or_default();
        if items.is_empty() {
            self.tell(node, "`includes` is a list; write `- !include common.yaml`");
        }
        for item in items {
            self.keys(item, &["name", "description", "variables", "stages"], "an include");
            self.shape(item, "variables", &[Shape::Map, Shape::Null], "a mapping");
            if let Some(stages) = item.key("stages") {
                stages.list().unwrap_or_default().iter().for_each(|stage| self.stage(stage));
            }
        }
    }

    fn tinctures(&mut self, parent: &Node) {
        if let Some(node) = parent.key("tinctures") {
            let each = node.list().map_or_else(|| vec![node], |items| items.iter().collect());
            for item in each {
                self.function(item, "a tincture");
            }
        }
    }

    fn function(&mut self, node: &Node, what: &str) {
        self.keys(node, &["function", "extra_args", "extra_kwargs"], what);
        match node.key("function").and_then(Node::as_str) {
            Some(name) if name.contains(':') => {}
            _ => self.tell(node, format!("{what} needs `function: module:name`")),
        }
        self.shape(node, "extra_args", &[Shape::List], "a list");
        self.shape(node, "extra_kwargs", &[Shape::Map], "a mapping");
    }

    fn stage(&mut self, node: &Node) {
        if node.key("type").and_then(Node::as_str) == Some("ref") {
            self.keys(node, &["type", "id"], "a reference to a stage");
            if node.key("id").and_then(Node::as_str).is_none() {
                self.tell(node, "a reference needs the `id` of a stage");
            }
            return;
        }
        const STAGE: &[&str] = &[
            "id",
            "name",
            "skip",
            "only",
            "max_retries",
            "delay_before",
            "delay_after",
            "tinctures",
            "request",
            "response",
            "mqtt_publish",
            "mqtt_response",
        ];
        self.keys(node, STAGE, "a stage");
        if node.map().is_none() {
            return;
        }
        for key in ["grpc_request", "graphql_request", "graphql_response", "grpc_response"] {
            if let Some(inner) = node.key(key) {
                self.tell(inner, format!("`{key}` is not offered; test it over plain HTTP"));
            }
        }
        if node.key("name").and_then(Node::as_str).is_none_or(str::is_empty) {
            self.tell(node, "a stage needs a `name`");
        }
        self.shape(
            node,
            "skip",
            &[Shape::Bool, Shape::Text, Shape::Open],
            "true, false or a condition",
        );
        self.shape(node, "only", &[Shape::Bool], "true or false");
        self.shape(node, "max_retries", &[Shape::Int, Shape::Open], "a whole number");
        if let Some(retries) = node.key("max_retries")
            && matches!(retries.scalar(), Some(Scalar::Int(number)) if number < 0)
        {
            self.tell(retries, "`max_retries` is below 0; write how often to try again");
        }
        for key in ["delay_before", "delay_after"] {
            self.shape(node, key, &[Shape::Int, Shape::Float, Shape::Open], "a number of seconds");
            let below = |node: &Node| match node.scalar() {
                Some(Scalar::Int(number)) => number < 0,
                Some(Scalar::Float(number)) => number < 0.0,
                _ => false,
            };
            if let Some(delay) = node.key(key).filter(|delay| below(delay)) {
                self.tell(delay, format!("`{key}` is below 0; write a number of seconds"));
            }
        }
        self.tinctures(node);
        let http = node.key("request");
        let publish = node.key("mqtt_publish");
        if http.is_some() && (publish.is_some() || node.key("mqtt_response").is_some()) {
            self.tell(node, "a stage speaks HTTP or MQTT, not both; make two stages of it");
        }
        match (http, publish, node.key("mqtt_response")) {
            (None, None, None) => self.tell(node, "a stage needs a `request` or an `mqtt_publish`"),
            (None, ..) if node.key("response").is_some() => {
                self.tell(node, "a `response` needs a `request`; MQTT has `mqtt_response`");
            }
            _ => {}
        }
        if let Some(request) = http {
            self.request(request);
            match node.key("response") {
                Some(response) => self.response(response),
                None => self.warn(
                    node,
                    "the stage asserts nothing, so any answer passes; add `response: {status_code: 200}`",
                ),
            }
        }
        if let Some(publish) = publish {
            const PUBLISH: &[&str] = &["topic", "payload", "json", "qos", "retain"];
            self.keys(publish, PUBLISH, "`mqtt_publish`");
            self.topic(publish);
            self.shape(publish, "retain", &[Shape::Bool, Shape::Open], "true or false");
        }
        if let Some(awaited) = node.key("mqtt_response") {
            let each = awaited.list().map_or_else(|| vec![awaited], |items| items.iter().collect());
            for one in each {
                const AWAITED: &[&str] = &[
                    "topic",
                    "payload",
                    "json",
                    "timeout",
                    "qos",
                    "unexpected",
                    "verify_response_with",
                    "save",
                ];
                self.keys(one, AWAITED, "`mqtt_response`");
                self.topic(one);
                self.shape(one, "unexpected", &[Shape::Bool], "true or false");
                self.shape(one, "timeout", &[Shape::Int, Shape::Float, Shape::Open], "seconds");
                self.checks(one);
            }
        }
    }

    fn topic(&mut self, node: &Node) {
        if node.key("topic").is_none() {
            self.tell(node, "a message needs a `topic`");
        }
        if node.key("payload").is_some() && node.key("json").is_some() {
            self.tell(node, "a message has a `payload` or a `json`, not both");
        }
        self.shape(node, "qos", &[Shape::Int, Shape::Open], "0, 1 or 2");
    }

    fn request(&mut self, node: &Node) {
        const REQUEST: &[&str] = &[
            "url",
            "method",
            "headers",
            "params",
            "json",
            "data",
            "files",
            "file_body",
            "cookies",
            "auth",
            "cert",
            "verify",
            "follow_redirects",
            "timeout",
            "stream",
            "clear_session_cookies",
        ];
        self.keys(node, REQUEST, "a request");
        if node.map().is_none() {
            return;
        }
        match node.key("url") {
            Some(url) if is_ext(url) => {}
            Some(url) if matches!(shape(url), Shape::Text | Shape::Open) => {}
            Some(url) => self.tell(url, "`url` is text"),
            None => self.tell(node, "a request needs a `url`"),
        }
        if let Some(method) = node.key("method") {
            const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD"];
            let text = method.as_str().unwrap_or_default();
            if !METHODS.contains(&text) && !text.contains('{') {
                self.tell(
                    method,
                    format!("`{text}` is no method; write one of {}", METHODS.join(", ")),
                );
            }
        }
        for key in ["headers", "params"] {
            self.shape(node, key, &[Shape::Map, Shape::Open], "a mapping");
        }
        self.shape(
            node,
            "data",
            &[Shape::Text, Shape::Bytes, Shape::Map, Shape::Open],
            "text, bytes or a mapping",
        );
        for (a, b) in [
            ("json", "data"),
            ("json", "files"),
            ("json", "file_body"),
            ("data", "file_body"),
            ("files", "file_body"),
        ] {
            if node.key(a).is_some() && node.key(b).is_some() {
                self.tell(node, format!("a request has `{a}` or `{b}`, not both; remove one"));
            }
        }
        self.shape(
            node,
            "verify",
            &[Shape::Bool, Shape::Text, Shape::Open],
            "true, false or a file",
        );
        for key in ["follow_redirects", "stream", "clear_session_cookies"] {
            self.shape(node, key, &[Shape::Bool, Shape::Open], "true or false");
        }
        self.shape(node, "file_body", &[Shape::Text, Shape::Map, Shape::Open], "a file's name");
        self.auth(node);
        self.cookies(node);
        self.files(node);
        self.timeout(node);
        match node.key("cert") {
            Some(cert) if cert.list().is_some_and(|items| items.len() != 2) => {
                self.tell(cert, "`cert` is a file, or a list of certificate and key");
            }
            Some(cert) if !matches!(shape(cert), Shape::Text | Shape::List | Shape::Open) => {
                self.tell(cert, "`cert` is a file, or a list of certificate and key");
            }
            _ => {}
        }
        self.no_matchers(node);
    }

    fn auth(&mut self, request: &Node) {
        let Some(auth) = request.key("auth") else { return };
        let fits = match shape(auth) {
            Shape::List => auth.list().is_some_and(|items| items.len() == 2),
            Shape::Map if is_ext(auth) => true,
            Shape::Map => {
                self.keys(auth, &["type", "username", "password"], "`auth`");
                let kind = auth.key("type").and_then(Node::as_str);
                matches!(kind, Some("basic" | "digest"))
                    && auth.key("username").is_some()
                    && auth.key("password").is_some()
            }
            Shape::Open => true,
            _ => false,
        };
        if !fits {
            self.tell(
                auth,
                "`auth` is a list of name and password, or `{type: digest, username: …, password: …}`",
            );
        }
    }

    fn cookies(&mut self, request: &Node) {
        let Some(cookies) = request.key("cookies") else { return };
        let Some(items) = cookies.list() else {
            self.tell(
                cookies,
                "`cookies` is a list of names, or of `name: value`; none are sent for `[]`",
            );
            return;
        };
        let mut seen: Vec<&str> = Vec::new();
        for item in items {
            let names: Vec<&str> = match item.map() {
                Some(entries) => entries.iter().filter_map(|(key, _)| key.as_str()).collect(),
                None => item.as_str().into_iter().collect(),
            };
            if names.is_empty() {
                self.tell(item, "a cookie is a name, or `name: value`");
            }
            for name in names {
                if seen.contains(&name) {
                    self.tell(item, format!("the cookie `{name}` stands twice; remove one"));
                }
                seen.push(name);
            }
        }
    }

    fn files(&mut self, request: &Node) {
        const FILE: &[&str] = &["file_path", "content_type", "content_encoding", "form_field_name"];
        let Some(files) = request.key("files") else { return };
        let grouped = files.list().is_some();
        let each: Vec<&Node> = match (files.list(), files.map()) {
            (Some(items), _) => items.iter().collect(),
            (_, Some(_)) if is_ext(files) => Vec::new(),
            (_, Some(entries)) => entries.iter().map(|(_, value)| value).collect(),
            _ => {
                self.tell(files, "`files` is a mapping of field to file, or a list of files");
                return;
            }
        };
        for file in each {
            if file.map().is_some() {
                self.keys(file, FILE, "a file");
                if file.key("file_path").is_none() {
                    self.tell(file, "a file needs a `file_path`");
                }
                if grouped && file.key("form_field_name").is_none() {
                    self.tell(file, "a file in a list needs a `form_field_name`");
                }
            } else if grouped || file.as_str().is_none() {
                self.tell(file, "a file is a name or a mapping with `file_path`; for several of one field write a list with `form_field_name`");
            }
        }
    }

    fn timeout(&mut self, request: &Node) {
        let Some(timeout) = request.key("timeout") else { return };
        let number = |node: &Node| matches!(shape(node), Shape::Int | Shape::Float | Shape::Open);
        let fits = match timeout.list() {
            Some([connect, read]) => number(connect) && number(read),
            Some(_) => false,
            None => number(timeout),
        };
        if !fits {
            self.tell(
                timeout,
                "`timeout` is a number of seconds, or a list of two: connect and read",
            );
        }
    }

    /// What matches answers cannot be sent.
    fn no_matchers(&mut self, node: &Node) {
        if matches!(shape(node), Shape::Matcher | Shape::Anything) && is_matcher(node) {
            let tag = node.tag.as_deref().unwrap_or_default();
            self.tell(node, format!("`{tag}` matches answers and cannot be sent; write a value"));
        }
        node.list().unwrap_or_default().iter().for_each(|item| self.no_matchers(item));
        node.map().unwrap_or_default().iter().for_each(|(_, item)| self.no_matchers(item));
    }

    fn response(&mut self, node: &Node) {
        const RESPONSE: &[&str] = &[
            "status_code",
            "json",
            "text",
            "headers",
            "cookies",
            "redirect_query_params",
            "save",
            "strict",
            "verify_response_with",
        ];
        if shape(node) == Shape::Null {
            self.tell(node, "`response` is a mapping; write `{}` to expect 200 alone");
            return;
        }
        self.keys(node, RESPONSE, "a response");
        if node.map().is_none() {
            return;
        }
        if let Some(status) = node.key("status_code") {
            let is_int = |node: &Node| matches!(shape(node), Shape::Int | Shape::Open);
            let fits = match status.list() {
                Some(items) => !items.is_empty() && items.iter().all(is_int),
                None => is_int(status),
            };
            if !fits {
                self.tell(status, "`status_code` is a number or a list of numbers, without quotes");
            }
        }
        if let Some(strict) = node.key("strict") {
            self.strict(strict);
        }
        for key in ["headers", "redirect_query_params"] {
            self.shape(node, key, &[Shape::Map, Shape::Open], "a mapping");
        }
        self.shape(
            node,
            "text",
            &[Shape::Text, Shape::Anything, Shape::Open],
            "text or `!anything`",
        );
        if let Some(json) = node.key("json")
            && shape(json) == Shape::Matcher
            && json.tag.as_deref() == Some("!approx")
        {
            self.tell(json, "`!approx` stands inside a body, not for the whole; write `!anyfloat`");
        }
        if let Some(cookies) = node.key("cookies") {
            let names: Option<Vec<&str>> =
                cookies.list().map(|items| items.iter().filter_map(Node::as_str).collect());
            match names {
                Some(names) if cookies.list().is_some_and(|items| items.len() == names.len()) => {
                    if let Some(twice) = names
                        .iter()
                        .enumerate()
                        .find(|(n, name)| names.iter().take(*n).any(|k| k == *name))
                    {
                        self.tell(
                            cookies,
                            format!("the cookie `{}` stands twice; remove one", twice.1),
                        );
                    }
                }
                _ => self.tell(cookies, "`cookies` of a response is a list of names"),
            }
        }
        self.checks(node);
    }

    /// `verify_response_with` and `save`.
    fn checks(&mut self, node: &Node) {
        if let Some(checks) = node.key("verify_response_with") {
            let each = checks.list().map_or_else(|| vec![checks], |items| items.iter().collect());
            for check in each {
                self.function(check, "a check");
            }
        }
        let Some(save) = node.key("save") else { return };
        let Some(entries) = save.map() else {
            self.tell(save, "`save` is a mapping; write `json: {name: path}`");
            return;
        };
        for (key, value) in entries {
            match key.as_str() {
                Some("$ext") => self.function(value, "`$ext`"),
                Some("json" | "headers" | "redirect_query_params") => {
                    if value.map().is_none() {
                        self.tell(value, "what is saved is a mapping of variable to path");
                    }
                }
                other => self.warn(
                    key,
                    format!(
                        "`save` does nothing with `{}`; write `json`, `headers`, `redirect_query_params` or `$ext`",
                        other.unwrap_or_default()
                    ),
                ),
            }
        }
    }
}

fn is_matcher(node: &Node) -> bool {
    node.tag
        .as_deref()
        .is_some_and(|tag| tag.starts_with("!any") || tag.starts_with("!re_") || tag == "!approx")
}

/// Whether a word is a slip of the pen away from another: one letter more, less or other.
fn near(known: &str, word: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (known.chars().collect(), word.chars().collect());
    if a.len().abs_diff(b.len()) > 1 || a == b || b.len() < 3 {
        return false;
    }
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(same..).unwrap_or_default(), b.get(same..).unwrap_or_default());
    let cut = |s: &[char], n: usize| s.get(n..).unwrap_or_default().to_vec();
    cut(a, 1) == cut(b, 1) || cut(a, 1) == b || a == cut(b, 1)
}
