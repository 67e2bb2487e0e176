//! Selection by marks, as pytest's `-m`: names, `and`, `or`, `not`, parentheses.

/// How deep parentheses and `not` may nest.
const DEPTH: usize = 32;

/// Whether a test with these marks is selected.
///
/// # Errors
/// Says what cannot be read.
pub(super) fn selects(expression: &str, marks: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, at: 0, depth: 0, marks };
    let selected = reader.any();
    match selected {
        Some(selected) if reader.at == words.len() => Ok(selected),
        _ => {
            let found = words.get(reader.at).copied().unwrap_or("the end");
            Err(format!(
                "selection `{expression}`: `{found}` is not expected; write names with `and`, `or`, `not`"
            ))
        }
    }
}

struct Reader<'r> {
    words: &'r [&'r str],
    at: usize,
    depth: usize,
    marks: &'r [String],
}

impl Reader<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Option<bool> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let mut selected = self.all()?;
        while self.take("or") {
            selected |= self.all()?;
        }
        self.depth -= 1;
        Some(selected)
    }

    fn all(&mut self) -> Option<bool> {
        let mut selected = self.one()?;
        while self.take("and") {
            selected &= self.one()?;
        }
        Some(selected)
    }

    fn one(&mut self) -> Option<bool> {
        let mut negated = false;
        while self.take("not") {
            negated = !negated;
        }
        let selected = if self.take("(") {
            let selected = self.any()?;
            self.take(")").then_some(selected)?
        } else {
            let name = *self.words.get(self.at)?;
            if ["and", "or", ")"].contains(&name) {
                return None;
            }
            self.at += 1;
            self.marks.iter().any(|mark| mark == name)
        };
        Some(selected != negated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_select_by_marks() {
        let marks = ["slow".to_owned(), "login".to_owned()];
        let selected = |expression: &str| selects(expression, &marks).unwrap();
        assert!(selected("slow") && !selected("fast") && selected("not fast"));
        assert!(selected("fast or (slow and login)") && !selected("slow and not login"));
        for broken in ["", "and", "slow slow", "(slow", "slow)", "not"] {
            assert!(selects(broken, &marks).is_err(), "{broken}");
        }
        assert!(selects(&"(".repeat(1_000), &marks).is_err());
    }
}
