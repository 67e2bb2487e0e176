//! The checks by name; each is a rule of the reports.

use super::checks::{answers, brute, enumeration, injection, jwt, matrix, objects, session};
use super::work::{Outcome, Work};
use crate::event::RuleInfo;
use crate::verdict::Severity;
use std::sync::Arc;

/// One thing that an audit looks for.
pub struct Check {
    name: &'static str,
    title: &'static str,
    severity: Severity,
    tags: &'static [&'static str],
    needs: &'static str,
    advice: &'static str,
    destructive: bool,
    pub(super) run: fn(&mut Work<'_>) -> Outcome,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

impl Check {
    /// Its name, which is the rule's id in every report.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it finds, in a few words.
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// How grave a finding is, unless the target makes it milder.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// Its kinds in the Common Weakness Enumeration and in OWASP's list for APIs.
    pub const fn tags(&self) -> &'static [&'static str] {
        self.tags
    }

    /// What the description has to have for it to run.
    pub const fn needs(&self) -> &'static str {
        self.needs
    }

    /// How to mend what it finds.
    pub const fn advice(&self) -> &'static str {
        self.advice
    }

    /// Whether it changes what the target holds, so that it runs only when asked for.
    pub const fn is_destructive(&self) -> bool {
        self.destructive
    }

    pub(super) fn rule(&self) -> Arc<RuleInfo> {
        Arc::new(RuleInfo {
            id: self.name.to_owned(),
            name: self.title.to_owned(),
            author: None,
            tags: self.tags.iter().map(|tag| (*tag).to_owned()).collect(),
        })
    }
}

/// All checks, in the order in which they run: those that may get an account locked or the client
/// throttled come last.
pub fn checks() -> &'static [Check] {
    CHECKS
}

static CHECKS: &[Check] = &[
    Check {
        name: "bfla-read",
        title: "a role reads what is not for it",
        severity: Severity::High,
        tags: &["CWE-285", "OWASP-API5:2023"],
        needs: "users of two roles with routes that differ, and a sign-in",
        advice: "check the role on the server for every route, and refuse what no rule allows",
        destructive: false,
        run: matrix::read,
    },
    Check {
        name: "bfla-method",
        title: "a role acts by a method that is not for it",
        severity: Severity::High,
        tags: &["CWE-285", "CWE-650", "OWASP-API5:2023"],
        needs: "users of two roles with routes that differ; writes want `--destructive`",
        advice: "tie the check to the route and every method of it, refuse methods that are not offered, and ignore headers that override the method",
        destructive: false,
        run: matrix::method,
    },
    Check {
        name: "bfla-anonymous",
        title: "a guarded route lets in who has not signed in",
        severity: Severity::Critical,
        tags: &["CWE-306", "OWASP-API2:2023"],
        needs: "a route that is closed to `nobody`",
        advice: "require a valid session or token before the route is looked up, and list the public ones",
        destructive: false,
        run: matrix::anonymous,
    },
    Check {
        name: "idor-read",
        title: "a user reads another's object",
        severity: Severity::High,
        tags: &["CWE-639", "OWASP-API1:2023"],
        needs: "an object of one user and a second user",
        advice: "look objects up by id and owner together, never by id alone",
        destructive: false,
        run: objects::read,
    },
    Check {
        name: "idor-write",
        title: "a user writes another's object",
        severity: Severity::Critical,
        tags: &["CWE-639", "OWASP-API1:2023"],
        needs: "an object of one user with a `write`, and a second user",
        advice: "look objects up by id and owner together before every write",
        destructive: true,
        run: objects::write,
    },
    Check {
        name: "session-fixation",
        title: "a session set before the sign-in is signed in after it",
        severity: Severity::High,
        tags: &["CWE-384", "OWASP-API2:2023"],
        needs: "a token in a cookie and a guarded `GET` route",
        advice: "give a new session id at every sign-in and forget the old one",
        destructive: false,
        run: session::fixation,
    },
    Check {
        name: "signout-keeps-token",
        title: "the token lives on after the sign-out",
        severity: Severity::Medium,
        tags: &["CWE-613", "OWASP-API2:2023"],
        needs: "a `signout` and a guarded `GET` route",
        advice: "end the session on the server at the sign-out; keep a list of ended tokens if they are self-contained",
        destructive: false,
        run: session::sign_out,
    },
    Check {
        name: "cookie-no-httponly",
        title: "scripts can read the session cookie",
        severity: Severity::Medium,
        tags: &["CWE-1004", "OWASP-API8:2023"],
        needs: "a token in a cookie",
        advice: "set the cookie with `HttpOnly`",
        destructive: false,
        run: session::http_only,
    },
    Check {
        name: "cookie-no-secure",
        title: "the session cookie travels without encryption",
        severity: Severity::Medium,
        tags: &["CWE-614", "OWASP-API8:2023"],
        needs: "a token in a cookie",
        advice: "set the cookie with `Secure`, and serve over HTTPS only",
        destructive: false,
        run: session::secure,
    },
    Check {
        name: "cookie-no-samesite",
        title: "other sites can send the session cookie",
        severity: Severity::Low,
        tags: &["CWE-1275", "OWASP-API8:2023"],
        needs: "a token in a cookie",
        advice: "set the cookie with `SameSite=Lax` or `SameSite=Strict`",
        destructive: false,
        run: session::same_site,
    },
    Check {
        name: "jwt-alg-none",
        title: "a token without a signature is let in",
        severity: Severity::Critical,
        tags: &["CWE-347", "OWASP-API2:2023"],
        needs: "JSON Web Tokens and a guarded `GET` route",
        advice: "accept one algorithm, named in the server's settings, whatever the token's header says",
        destructive: false,
        run: jwt::algorithm_none,
    },
    Check {
        name: "jwt-signature-unchecked",
        title: "a token with a broken signature is let in",
        severity: Severity::Critical,
        tags: &["CWE-347", "OWASP-API2:2023"],
        needs: "JSON Web Tokens and a guarded `GET` route",
        advice: "verify the signature before any claim is read; decoding is not verifying",
        destructive: false,
        run: jwt::signature_unchecked,
    },
    Check {
        name: "jwt-expired-accepted",
        title: "a token that has ended is let in",
        severity: Severity::Medium,
        tags: &["CWE-613", "OWASP-API2:2023"],
        needs: "JSON Web Tokens that end, and their `secret`, or time to `wait`",
        advice: "check `exp` at every request, with a few seconds of grace at most",
        destructive: false,
        run: jwt::expired,
    },
    Check {
        name: "jwt-key-confusion",
        title: "the public key is taken for a secret",
        severity: Severity::Critical,
        tags: &["CWE-347", "OWASP-API2:2023"],
        needs: "JSON Web Tokens signed with a private key, and the public one",
        advice: "bind each key to its algorithm, and never choose by the token's header",
        destructive: false,
        run: jwt::key_confusion,
    },
    Check {
        name: "jwt-weak-secret",
        title: "the tokens' secret is a common word",
        severity: Severity::Critical,
        tags: &["CWE-1391", "CWE-326", "OWASP-API2:2023"],
        needs: "JSON Web Tokens signed with HS256",
        advice: "sign with 32 random bytes or more that stand in no source code, and sign everybody out",
        destructive: false,
        run: jwt::weak_secret,
    },
    Check {
        name: "enum-message",
        title: "the answer's text tells which users exist",
        severity: Severity::Low,
        tags: &["CWE-204", "OWASP-API2:2023"],
        needs: "a sign-in",
        advice: "answer a wrong name and a wrong password with the same text",
        destructive: false,
        run: enumeration::message,
    },
    Check {
        name: "enum-status",
        title: "the status tells which users exist",
        severity: Severity::Low,
        tags: &["CWE-204", "OWASP-API2:2023"],
        needs: "a sign-in",
        advice: "answer a wrong name and a wrong password with the same status",
        destructive: false,
        run: enumeration::status,
    },
    Check {
        name: "enum-timing",
        title: "the time of the answer tells which users exist",
        severity: Severity::Low,
        tags: &["CWE-208", "OWASP-API2:2023"],
        needs: "a sign-in",
        advice: "compute a password hash for unknown names too, with the same cost",
        destructive: false,
        run: enumeration::timing,
    },
    Check {
        name: "sqli-login",
        title: "SQL in the sign-in signs in",
        severity: Severity::Critical,
        tags: &["CWE-89", "OWASP-API8:2023"],
        needs: "a sign-in",
        advice: "bind parameters; never put what a user writes into the text of a query",
        destructive: false,
        run: injection::sql,
    },
    Check {
        name: "nosql-login",
        title: "an operator in the sign-in signs in",
        severity: Severity::Critical,
        tags: &["CWE-943", "OWASP-API8:2023"],
        needs: "a sign-in with a body",
        advice: "require text for the name and the password before they reach the query",
        destructive: false,
        run: injection::no_sql,
    },
    Check {
        name: "mass-assignment",
        title: "a write sets a field that is not the user's",
        severity: Severity::High,
        tags: &["CWE-915", "OWASP-API3:2023"],
        needs: "a `mass_assignment`",
        advice: "copy named fields only from what a user writes",
        destructive: true,
        run: injection::mass_assignment,
    },
    Check {
        name: "csrf-missing",
        title: "another site can write in a user's name",
        severity: Severity::High,
        tags: &["CWE-352"],
        needs: "a token in a cookie and a `POST` route that may be sent",
        advice: "require a token of the session, or check `Origin`, for everything that is not read",
        destructive: false,
        run: answers::csrf,
    },
    Check {
        name: "cors-credentials",
        title: "other sites can read answers with a user's credentials",
        severity: Severity::High,
        tags: &["CWE-942", "OWASP-API8:2023"],
        needs: "a `GET` route",
        advice: "allow credentials for listed origins only; compare whole origins and never `null`",
        destructive: false,
        run: answers::cors,
    },
    Check {
        name: "open-redirect",
        title: "the site leads to a foreign one",
        severity: Severity::Medium,
        tags: &["CWE-601"],
        needs: "a route among `redirects`",
        advice: "redirect to paths of the site, or to a list; refuse `//`, backslashes and foreign hosts",
        destructive: false,
        run: answers::redirect,
    },
    Check {
        name: "token-cacheable",
        title: "the answer with the token may be stored",
        severity: Severity::Low,
        tags: &["CWE-525", "CWE-524"],
        needs: "a sign-in",
        advice: "send `Cache-Control: no-store` with every answer that holds a token",
        destructive: false,
        run: answers::cacheable,
    },
    Check {
        name: "verbose-error",
        title: "an error shows the inside of the program",
        severity: Severity::Low,
        tags: &["CWE-209", "OWASP-API8:2023"],
        needs: "a sign-in or a route",
        advice: "answer errors with a number to look up in the log, and keep the text there",
        destructive: false,
        run: answers::verbose_error,
    },
    Check {
        name: "secret-in-response",
        title: "an answer holds a secret",
        severity: Severity::High,
        tags: &["CWE-200", "CWE-522", "OWASP-API3:2023"],
        needs: "a `GET` route of a user",
        advice: "list the fields that an answer shows; never send whole records",
        destructive: false,
        run: answers::secret,
    },
    Check {
        name: "no-lockout",
        title: "passwords can be guessed without end",
        severity: Severity::Medium,
        tags: &["CWE-307", "OWASP-API2:2023"],
        needs: "a sign-in and a user that may be locked",
        advice: "slow down or lock an account after ten wrong passwords in a row at most",
        destructive: true,
        run: brute::lockout,
    },
    Check {
        name: "no-rate-limit",
        title: "the sign-in can be tried without end",
        severity: Severity::Medium,
        tags: &["CWE-799", "CWE-307", "OWASP-API4:2023"],
        needs: "a sign-in",
        advice: "limit failing sign-ins of one client, whatever the names, and answer 429",
        destructive: false,
        run: brute::rate_limit,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_and_says_how_to_mend_it() {
        for (n, check) in CHECKS.iter().enumerate() {
            let shape = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(check.name.chars().all(shape), "{}", check.name);
            assert!(CHECKS.iter().take(n).all(|other| other.name != check.name));
            assert!(!check.advice.is_empty() && !check.needs.is_empty() && !check.title.is_empty());
            assert!(check.tags.iter().any(|tag| tag.starts_with("CWE-")), "{}", check.name);
        }
    }
}
