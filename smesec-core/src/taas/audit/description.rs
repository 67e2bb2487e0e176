//! What a `target.yaml` says, read and checked.

use crate::runner::Trust;
use serde_json::Value as Json;
use std::time::Duration;

/// The role of whoever has not signed in.
pub(super) const NOBODY: &str = "nobody";

#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) file: String,
    pub(super) base: Base,
    /// Hosts besides the base's that may be sent to.
    pub(super) hosts: Vec<(String, Option<u16>)>,
    pub(super) public: bool,
    pub(super) limits: Limits,
    /// Texts by which an answer of 200 says no.
    pub(super) denied: Vec<String>,
    pub(super) users: Vec<User>,
    pub(super) sign_in: Option<SignIn>,
    pub(super) sign_out: Option<Template>,
    pub(super) routes: Vec<Route>,
    pub(super) objects: Vec<Object>,
    pub(super) jwt: Jwt,
    pub(super) brute: Brute,
    pub(super) mass: Option<MassAssignment>,
    /// Paths that lead elsewhere, with `{url}` where the destination goes.
    pub(super) redirects: Vec<Template>,
    /// What its author should know although the audit goes on.
    pub(super) warnings: Vec<String>,
    /// The values of secrets, for masking.
    pub(super) secrets: Vec<String>,
}

/// Where the API lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Base {
    pub(super) scheme: String,
    /// The host as a URL writes it, in brackets if it is an IPv6 address.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// The path before every route's, without a slash at its end.
    pub(super) prefix: String,
    /// Whom to believe over TLS.
    pub(super) trust: Trust,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    /// Requests that an audit may send. 5000: every check on an API of 40 routes and 4 roles.
    pub(super) requests: u64,
    /// Requests a second. 50: a small server does not feel it, and an audit ends within minutes.
    pub(super) per_second: u32,
    /// How long an answer may take. 10 s.
    pub(super) deadline: Duration,
    /// How long the audit waits in all where the target says `Retry-After`. 120 s.
    pub(super) patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 5_000,
            per_second: 50,
            deadline: Duration::from_secs(10),
            patience: Duration::from_mins(2),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) role: String,
    /// What `{name}`, `{password}` and the like stand for.
    pub(super) fields: Vec<(String, String)>,
}

impl User {
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// How a user signs in, and how what proves it travels afterwards.
#[derive(Clone, Debug)]
pub(super) struct SignIn {
    pub(super) request: Template,
    pub(super) token: Carrier,
    pub(super) csrf: Option<Csrf>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Carrier {
    /// A cookie of this name.
    Cookie(String),
    /// A field of the JSON answer, sent in a header after a prefix such as `Bearer `.
    Header { field: String, header: String, prefix: String },
}

/// The token against forged requests that writes carry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Csrf {
    pub(super) header: String,
    pub(super) from: CsrfSource,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CsrfSource {
    Cookie(String),
    Field(String),
}

/// A request with placeholders.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Template {
    pub(super) method: String,
    /// Path and query below the base, or a whole URL of a host among `hosts`.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// Statuses of success besides those from 200 to 299, such as a redirect's.
    pub(super) admits: Vec<u16>,
    pub(super) line: u32,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Body {
    None,
    Json(Json),
    Form(Vec<(String, String)>),
}

#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) request: Template,
    /// Roles that may: those named, [`NOBODY`] for who has not signed in, `anybody` for all.
    pub(super) allow: Vec<String>,
    pub(super) destructive: bool,
}

impl Route {
    pub(super) fn allows(&self, role: &str) -> bool {
        self.allow.iter().any(|allowed| allowed == role || allowed == "anybody")
    }

    /// `GET /path`, for people.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.request.method, self.request.path)
    }
}

/// A kind of object that belongs to users.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) read: Option<Template>,
    pub(super) write: Option<Template>,
    /// Roles that may reach the objects of all.
    pub(super) shared_with: Vec<String>,
    /// Users and the ids of what is theirs.
    pub(super) owned: Vec<(String, Vec<String>)>,
}

/// What the file tells of the JSON Web Tokens beyond what they say themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Jwt {
    /// The public key, PEM.
    pub(super) public_key: Option<String>,
    /// Where the target publishes its keys.
    pub(super) jwks: Option<Template>,
    /// The secret they are signed with, where the owner tells it so that expiry can be tried.
    pub(super) secret: Option<String>,
    /// Further secrets to guess.
    pub(super) words: Vec<String>,
    /// How long the audit may wait for a token to expire. 0 s.
    pub(super) wait: Duration,
}

/// How hard the checks of the sign-in knock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Brute {
    /// Wrong passwords in a row for one user. 12: common policies lock at 3 to 10.
    pub(super) attempts: u32,
    /// Sign-ins of unknown users in a row. 40.
    pub(super) burst: u32,
    /// The user that may be locked; the last of the file.
    pub(super) user: Option<String>,
    /// Pairs that the timing test begins with. 30, and at least, for the rank test's approximation.
    pub(super) pairs: u32,
}

impl Default for Brute {
    fn default() -> Self {
        Self { attempts: 12, burst: 40, user: None, pairs: 30 }
    }
}

#[derive(Clone, Debug)]
pub(super) struct MassAssignment {
    pub(super) user: String,
    pub(super) write: Template,
    pub(super) read: Template,
    /// What a user must not be able to set, by dotted path.
    pub(super) fields: Vec<(String, Json)>,
}

impl Description {
    pub(super) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// Roles in the order of the file, the first user of each.
    pub(super) fn roles(&self) -> Vec<(&str, &User)> {
        let mut roles: Vec<(&str, &User)> = Vec::new();
        for user in &self.users {
            if !roles.iter().any(|(role, _)| *role == user.role) {
                roles.push((&user.role, user));
            }
        }
        roles
    }

    /// A route that can be read without harm and shows whether a token of this role is accepted.
    pub(super) fn probe(&self, role: &str) -> Option<&Route> {
        self.routes.iter().find(|route| {
            route.request.method == "GET"
                && !route.destructive
                && route.allows(role)
                && !route.allows(NOBODY)
                // A redirect says less of who is let in.
                && route.request.admits.is_empty()
        })
    }
}
