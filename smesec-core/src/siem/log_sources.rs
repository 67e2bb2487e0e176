//! Which records belong to which of Sigma's log sources: a table, read from text.

use super::sigma::RuleSource;
use crate::error::RuleError;

/// The table that is always there.
const BUILT_IN: &str = include_str!("log_sources.txt");

/// A row: what it makes of a record, and of which.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// What a record is.
    pub(super) source: RuleSource,
    /// What holds of it; none where only a reader or the host can tell.
    pub(super) needs: Vec<Need>,
    /// The rules' field, and the record's that stands for it.
    pub(super) aliases: Vec<(String, String)>,
}

/// A field that has one of some values, folded; any where there are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Need {
    pub(super) field: Needed,
    pub(super) values: Vec<String>,
}

/// What is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Needed {
    Product,
    Category,
    Service,
    Field(String),
}

/// The rows that are always there.
pub(super) fn built_in() -> Vec<Row> {
    // INVARIANT: the text is ours; a test reads it.
    parse(BUILT_IN, "log_sources.txt").unwrap_or_default()
}

/// Reads a table.
///
/// # Errors
/// The line that is none, and what a line is.
pub(super) fn parse(text: &str, file: &str) -> Result<Vec<Row>, RuleError> {
    let mut rows = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        rows.push(row(line).map_err(|why| RuleError::new(file, number, 1, why))?);
    }
    Ok(rows)
}

fn row(line: &str) -> Result<Row, String> {
    let mut parts = line.splitn(3, " : ");
    let words: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
    let [product, category, service] = words.as_slice() else {
        return Err(
            "a row begins with product, category and service; write `-` for none".to_owned()
        );
    };
    let said = |word: &str| if word == "-" { String::new() } else { word.to_lowercase() };
    let source =
        RuleSource { product: said(product), category: said(category), service: said(service) };
    let mut needs = Vec::new();
    for need in parts.next().unwrap_or_default().split(", ").map(str::trim) {
        if need.is_empty() || need == "-" {
            continue;
        }
        let Some((field, values)) = need.split_once('=') else {
            return Err(format!("`{need}` is no condition; write `Field=value|value`"));
        };
        let field = match field.trim() {
            "@product" => Needed::Product,
            "@category" => Needed::Category,
            "@service" => Needed::Service,
            name => Needed::Field(name.to_owned()),
        };
        let values = match values.trim() {
            "*" => Vec::new(),
            values => values.split('|').map(|value| super::compile::fold(value.trim())).collect(),
        };
        needs.push(Need { field, values });
    }
    let mut aliases = Vec::new();
    for alias in parts.next().unwrap_or_default().split_whitespace() {
        let Some((of_rule, of_record)) = alias.split_once('<') else {
            return Err(format!("`{alias}` is no alias; write `RuleField<RecordField`"));
        };
        aliases.push((of_rule.to_owned(), of_record.to_owned()));
    }
    Ok(Row { source, needs, aliases })
}

/// Whether all that a rule's log source names is so of a record.
pub(super) fn covers(of_record: (&str, &str, &str), of_rule: &RuleSource) -> bool {
    let same = |rule: &str, record: &str| rule.is_empty() || rule.eq_ignore_ascii_case(record);
    same(&of_rule.product, of_record.0)
        && same(&of_rule.category, of_record.1)
        && same(&of_rule.service, of_record.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_read_and_has_what_rules_need() {
        let rows = parse(BUILT_IN, "log_sources.txt").unwrap();
        assert!(rows.len() > 80);
        let delete = rows.iter().find(|row| row.source.category == "registry_delete").unwrap();
        let kinds = delete.needs.last().unwrap();
        assert_eq!(kinds.values, ["deletekey", "deletevalue"]);
        let audit = rows.iter().find(|row| !row.aliases.is_empty()).unwrap();
        assert_eq!(audit.aliases.first().unwrap().1, "NewProcessName");
    }

    #[test]
    fn a_wrong_row_is_told() {
        for (text, says) in [
            ("windows", "begins with product"),
            ("a b c : x", "no condition"),
            ("a b c : - : x", "no alias"),
        ] {
            let told = parse(text, "t.txt").unwrap_err().to_string();
            assert!(told.starts_with("t.txt:1:1: ") && told.contains(says), "{told}");
        }
    }
}
