//! Our own pack of templates, embedded: the pilot's scenarios and a target for each check.

/// The pilot's three scenarios as Tavern files: a wrong password is refused, a user is kept from
/// what is the administrator's, the right password lets in. They take `BASE_URL`, `USER_NAME` and
/// `USER_PASSWORD` from the environment.
pub const SCENARIOS: &[(&str, &str)] = &[
    (
        "pilot/wrong-password-refused.tavern.yaml",
        include_str!("../../rules/taas/pilot/wrong-password-refused.tavern.yaml"),
    ),
    (
        "pilot/user-kept-from-admin.tavern.yaml",
        include_str!("../../rules/taas/pilot/user-kept-from-admin.tavern.yaml"),
    ),
    (
        "pilot/right-password-let-in.tavern.yaml",
        include_str!("../../rules/taas/pilot/right-password-let-in.tavern.yaml"),
    ),
];

/// A description for each check of the audit, which shows what that check needs.
pub const TARGETS: &[(&str, &str)] = &[
    ("checks/bfla-read.yaml", include_str!("../../rules/taas/checks/bfla-read.yaml")),
    ("checks/bfla-method.yaml", include_str!("../../rules/taas/checks/bfla-method.yaml")),
    ("checks/bfla-anonymous.yaml", include_str!("../../rules/taas/checks/bfla-anonymous.yaml")),
    ("checks/idor-read.yaml", include_str!("../../rules/taas/checks/idor-read.yaml")),
    ("checks/idor-write.yaml", include_str!("../../rules/taas/checks/idor-write.yaml")),
    ("checks/session-fixation.yaml", include_str!("../../rules/taas/checks/session-fixation.yaml")),
    (
        "checks/signout-keeps-token.yaml",
        include_str!("../../rules/taas/checks/signout-keeps-token.yaml"),
    ),
    (
        "checks/cookie-no-httponly.yaml",
        include_str!("../../rules/taas/checks/cookie-no-httponly.yaml"),
    ),
    ("checks/cookie-no-secure.yaml", include_str!("../../rules/taas/checks/cookie-no-secure.yaml")),
    (
        "checks/cookie-no-samesite.yaml",
        include_str!("../../rules/taas/checks/cookie-no-samesite.yaml"),
    ),
    ("checks/jwt-alg-none.yaml", include_str!("../../rules/taas/checks/jwt-alg-none.yaml")),
    (
        "checks/jwt-signature-unchecked.yaml",
        include_str!("../../rules/taas/checks/jwt-signature-unchecked.yaml"),
    ),
    (
        "checks/jwt-expired-accepted.yaml",
        include_str!("../../rules/taas/checks/jwt-expired-accepted.yaml"),
    ),
    (
        "checks/jwt-key-confusion.yaml",
        include_str!("../../rules/taas/checks/jwt-key-confusion.yaml"),
    ),
    ("checks/jwt-weak-secret.yaml", include_str!("../../rules/taas/checks/jwt-weak-secret.yaml")),
    ("checks/enum-message.yaml", include_str!("../../rules/taas/checks/enum-message.yaml")),
    ("checks/enum-status.yaml", include_str!("../../rules/taas/checks/enum-status.yaml")),
    ("checks/enum-timing.yaml", include_str!("../../rules/taas/checks/enum-timing.yaml")),
    ("checks/sqli-login.yaml", include_str!("../../rules/taas/checks/sqli-login.yaml")),
    ("checks/nosql-login.yaml", include_str!("../../rules/taas/checks/nosql-login.yaml")),
    ("checks/mass-assignment.yaml", include_str!("../../rules/taas/checks/mass-assignment.yaml")),
    ("checks/csrf-missing.yaml", include_str!("../../rules/taas/checks/csrf-missing.yaml")),
    ("checks/cors-credentials.yaml", include_str!("../../rules/taas/checks/cors-credentials.yaml")),
    ("checks/open-redirect.yaml", include_str!("../../rules/taas/checks/open-redirect.yaml")),
    ("checks/token-cacheable.yaml", include_str!("../../rules/taas/checks/token-cacheable.yaml")),
    ("checks/verbose-error.yaml", include_str!("../../rules/taas/checks/verbose-error.yaml")),
    (
        "checks/secret-in-response.yaml",
        include_str!("../../rules/taas/checks/secret-in-response.yaml"),
    ),
    ("checks/no-lockout.yaml", include_str!("../../rules/taas/checks/no-lockout.yaml")),
    ("checks/no-rate-limit.yaml", include_str!("../../rules/taas/checks/no-rate-limit.yaml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taas::audit::{Audit, checks};

    #[test]
    fn each_check_has_a_target_on_which_it_runs() {
        let key = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n";
        for check in checks() {
            let file = format!("checks/{}.yaml", check.name());
            let (_, text) = TARGETS.iter().find(|(name, _)| *name == file).unwrap();
            let audit = Audit::load_with(text, &file, &|_| Some(key.to_owned())).unwrap();
            let audit = audit.destructive(check.is_destructive()).only([check.name()]).unwrap();
            let plan = audit.plan();
            assert!(plan.len() > 1 || check.name() == "token-cacheable", "{file}: {plan:?}");
            assert!(text.contains(&format!("--only {} ", check.name())), "{file}");
        }
        assert_eq!(TARGETS.len(), checks().len());
    }

    #[test]
    fn the_scenarios_are_three_documents_of_yaml() {
        for (file, text) in SCENARIOS {
            let limits = crate::decode::yaml::Limits::default();
            let all: Vec<_> = crate::decode::yaml::documents(text, file, limits).collect();
            let [Ok(document)] = all.as_slice() else { unreachable!("{file}: {all:?}") };
            assert!(document.root.key("test_name").is_some() && document.duplicates.is_empty());
        }
    }
}
