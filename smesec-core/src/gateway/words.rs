//! What the reader of TOML says, in the words of who writes a configuration.

/// Kinds of values: how the reader calls them when it wants one, and what to write.
const WANTED: [(&str, &str); 11] = [
    ("a string", "a text in quotes"),
    ("a sequence", "a list, such as `[\"…\"]`"),
    ("a boolean", "`true` or `false`"),
    ("a map", "a table"),
    ("struct ", "a table"),
    ("usize", "a whole number of 0 or more"),
    ("u64", "a whole number of 0 or more"),
    ("u32", "a whole number of 0 or more"),
    ("u8", "a whole number from 0 to 255"),
    ("f64", "a number"),
    ("a TOML datetime", "a date without quotes, such as 2030-01-31"),
];

/// How the reader calls what it found.
const FOUND: [&str; 4] = ["string ", "integer ", "floating point ", "boolean "];

/// The message of an error in a file, on one line.
pub(super) fn of(message: &str) -> String {
    let message = message.replace('\n', "; ");
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("{field} is missing here; write it");
    }
    let kind = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "));
    let Some((found, wanted)) = kind.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message;
    };
    let found = match FOUND.iter().find_map(|kind| found.strip_prefix(kind)) {
        Some(value) => format!("`{}`", value.trim_matches('`')),
        None if found == "sequence" => "a list".to_owned(),
        None if found == "map" => "a table".to_owned(),
        None => found.to_owned(),
    };
    let plain = WANTED.iter().find(|(kind, _)| wanted.starts_with(kind));
    let wanted = plain.map_or(wanted, |(_, plain)| plain);
    format!("{found} does not fit here; write {wanted}")
}
