//! Our own rule pack, embedded.

/// The files in the order in which they are loaded.
pub(super) const FILES: &[(&str, &str)] = &[
    ("builtin/00-setup.conf", include_str!("../../rules/waf/00-setup.conf")),
    ("builtin/10-protocol.conf", include_str!("../../rules/waf/10-protocol.conf")),
    ("builtin/20-traversal.conf", include_str!("../../rules/waf/20-traversal.conf")),
    ("builtin/30-sql.conf", include_str!("../../rules/waf/30-sql.conf")),
    ("builtin/31-nosql.conf", include_str!("../../rules/waf/31-nosql.conf")),
    ("builtin/32-ldap-xpath.conf", include_str!("../../rules/waf/32-ldap-xpath.conf")),
    ("builtin/40-command.conf", include_str!("../../rules/waf/40-command.conf")),
    ("builtin/41-template-code.conf", include_str!("../../rules/waf/41-template-code.conf")),
    ("builtin/50-xss.conf", include_str!("../../rules/waf/50-xss.conf")),
    ("builtin/60-ssrf.conf", include_str!("../../rules/waf/60-ssrf.conf")),
    ("builtin/61-xxe.conf", include_str!("../../rules/waf/61-xxe.conf")),
    ("builtin/70-deserialization.conf", include_str!("../../rules/waf/70-deserialization.conf")),
    ("builtin/80-scanner.conf", include_str!("../../rules/waf/80-scanner.conf")),
    ("builtin/90-verdict.conf", include_str!("../../rules/waf/90-verdict.conf")),
];
