//! Names that a description uses have to be names that it gives.

use super::description::{Body, Description, NOBODY, Template};
use crate::decode::yaml::Node;
use crate::error::RuleError;

pub(super) fn names(description: &Description, root: &Node, file: &str) -> Result<(), RuleError> {
    let error = |node: &Node, why: String| {
        Err(RuleError::new(file, node.place.line, node.place.column, why))
    };
    let roles: Vec<&str> = description.roles().iter().map(|(role, _)| *role).collect();
    let users: Vec<&str> = description.users.iter().map(|user| user.id.as_str()).collect();
    let list = |names: &[&str]| {
        if names.is_empty() { "none is given under `users`".to_owned() } else { names.join(", ") }
    };

    if let (Some(users), None) = (root.key("users"), &description.sign_in) {
        let why = "there are users but no `signin`; describe how they sign in".to_owned();
        return error(users, why);
    }
    if let (Some(sign_in), true) = (root.key("signin"), users.is_empty()) {
        let why = "there is a sign-in but no `users`; name one of each role".to_owned();
        return error(sign_in, why);
    }
    for node in root.key("routes").and_then(Node::list).unwrap_or_default() {
        let allow = node.key("allow");
        let named = allow
            .and_then(Node::list)
            .map_or_else(|| allow.into_iter().collect(), |l| l.iter().collect::<Vec<_>>());
        for role in named {
            let name = role.as_str().unwrap_or_default();
            if name != NOBODY && name != "anybody" && !roles.contains(&name) {
                let why = format!(
                    "no user has the role `{name}`; the roles are {}, `nobody` and `anybody`",
                    list(&roles)
                );
                return error(role, why);
            }
        }
    }
    for (_, object) in root.key("objects").and_then(Node::map).unwrap_or_default() {
        for (owner, _) in object.key("owned").and_then(Node::map).unwrap_or_default() {
            let name = owner.as_str().unwrap_or_default();
            if !users.contains(&name) {
                let why = format!("no user is called `{name}`; the users are {}", list(&users));
                return error(owner, why);
            }
        }
        for role in object.key("shared_with").and_then(Node::list).unwrap_or_default() {
            let name = role.as_str().unwrap_or_default();
            if !roles.contains(&name) {
                let why = format!("no user has the role `{name}`; the roles are {}", list(&roles));
                return error(role, why);
            }
        }
    }
    for (part, key) in [("mass_assignment", "as"), ("sign_in_checks", "user")] {
        if let Some(user) = root.key(part).and_then(|node| node.key(key)) {
            let name = user.as_str().unwrap_or_default();
            if !users.contains(&name) {
                let why = format!("no user is called `{name}`; the users are {}", list(&users));
                return error(user, why);
            }
        }
    }
    if let (Some(sign_in), Some(node)) = (&description.sign_in, root.key("signin")) {
        for name in placeholders(&sign_in.request) {
            for user in &description.users {
                if name != "user" && !user.fields.iter().any(|(field, _)| *field == name) {
                    let why = format!(
                        "the sign-in asks for `{{{name}}}`, which the user `{}` lacks; add `{name}:` to it",
                        user.id
                    );
                    return error(node, why);
                }
            }
        }
        if !placeholders(&sign_in.request).iter().any(|name| name == "password") {
            let why =
                "the sign-in sends no `{password}`; put it where the password goes".to_owned();
            return error(node, why);
        }
    }
    Ok(())
}

/// The names in braces that a request asks for.
pub(super) fn placeholders(template: &Template) -> Vec<String> {
    let mut names = Vec::new();
    scan(&template.path, &mut names);
    template.headers.iter().for_each(|(_, value)| scan(value, &mut names));
    match &template.body {
        Body::None => {}
        Body::Json(json) => texts(json, &mut names),
        Body::Form(fields) => fields.iter().for_each(|(_, value)| scan(value, &mut names)),
    }
    names
}

/// Depth is bounded by the YAML reader's.
fn texts(json: &serde_json::Value, names: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) => scan(text, names),
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, names)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| texts(item, names)),
        _ => {}
    }
}

fn scan(text: &str, names: &mut Vec<String>) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { return };
        let plain =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if plain && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        rest = after;
    }
}
