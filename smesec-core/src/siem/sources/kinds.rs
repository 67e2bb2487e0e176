//! Whose JSON it is, by its fields; a table.

use super::draft::Draft;
use crate::siem::record::LogSource;

/// Log sources by the fields that their objects have.
#[derive(Debug)]
pub(super) struct Kinds(Vec<(LogSource<'static>, Vec<&'static str>)>);

impl Kinds {
    /// The table of well-known services.
    pub(super) fn builtin() -> Self {
        let lines = include_str!("kinds.txt").lines();
        let rows = lines.filter(|line| !line.starts_with('#')).filter_map(|line| {
            let mut words = line.split(' ').map(|word| if word == "-" { "" } else { word });
            let (product, category, service) = (words.next()?, words.next()?, words.next()?);
            Some((LogSource { product, category, service }, words.collect()))
        });
        Self(rows.collect())
    }

    /// The first of which all names stand among a draft's fields.
    pub(super) fn of(&self, draft: &Draft<'_>) -> Option<LogSource<'static>> {
        let all = |names: &Vec<&str>| names.iter().all(|name| draft.first(name).is_some());
        self.0.iter().find(|(_, names)| all(names)).map(|(source, _)| *source)
    }
}
