//! Boolean conditions over rules: `login and not (mfa or trusted)`.

/// An expression as a program over a stack of bits; rules are numbered as the correlation lists them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Expression {
    program: Vec<Op>,
    /// Rules that occur under an odd number of `not`: whose coming can make it false.
    pub(crate) negative: u64,
    /// Rules that occur otherwise.
    pub(crate) positive: u64,
    /// Whether it is a conjunction of rules and of rules negated, as an order can be laid over.
    pub(crate) conjunction: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Rule(u32),
    Not,
    And,
    Or,
}

/// Parentheses and `not`s deeper than this are refused: the stack is 64 bits.
const DEPTH: usize = 60;

impl Expression {
    /// Reads `text`; `rule` gives a name's number.
    ///
    /// # Errors
    /// What is wrong, without a place.
    pub(crate) fn parse(
        text: &str,
        mut rule: impl FnMut(&str) -> Option<usize>,
    ) -> Result<Self, String> {
        let mut program = Vec::new();
        let mut waiting: Vec<Wait> = Vec::new();
        // Whether the next word has to be a rule, `not` or `(`.
        let mut operand = true;
        for word in words(text) {
            match (word.to_ascii_lowercase().as_str(), operand) {
                ("(", true) => waiting.push(Wait::Open),
                ("not", true) => waiting.push(Wait::Not),
                (")", false) => {
                    unwind(&mut waiting, &mut program, 0);
                    if waiting.pop().is_none() {
                        return Err("a `)` closes nothing; take it out".into());
                    }
                    unwind(&mut waiting, &mut program, 3);
                }
                (lower @ ("and" | "or"), false) => {
                    let (wait, weight) =
                        if lower == "and" { (Wait::And, 2) } else { (Wait::Or, 1) };
                    unwind(&mut waiting, &mut program, weight);
                    waiting.push(wait);
                    operand = true;
                }
                (")" | "and" | "or", true) => {
                    return Err(format!("a rule's name is missing before `{word}`"));
                }
                (_, false) => return Err(format!("`and` or `or` is missing before `{word}`")),
                (_, true) => {
                    let at = rule(word).and_then(|at| u32::try_from(at).ok()).ok_or_else(|| {
                        format!("`{word}` is none of the correlation's rules; add it to `rules`")
                    })?;
                    program.push(Op::Rule(at));
                    operand = false;
                    unwind(&mut waiting, &mut program, 3);
                }
            }
            if waiting.len() > DEPTH {
                return Err(format!("nested deeper than {DEPTH}; flatten it"));
            }
        }
        if operand {
            return Err("the expression ends where a rule's name should stand".into());
        }
        unwind(&mut waiting, &mut program, 0);
        if !waiting.is_empty() {
            return Err("a `(` is not closed; add a `)`".into());
        }
        Ok(Self::of(program))
    }

    fn of(program: Vec<Op>) -> Self {
        let mut expression = Self { program, negative: 0, positive: 0, conjunction: true };
        // Backwards through the postfix program, each value is met after its operator.
        let mut stack = vec![(false, true)];
        for op in expression.program.iter().rev() {
            let Some((negated, conjunctive)) = stack.pop() else { break };
            match *op {
                Op::Rule(at) if negated => expression.negative |= 1 << at,
                Op::Rule(at) => expression.positive |= 1 << at,
                Op::Not => stack.push((!negated, false)),
                Op::And | Op::Or => {
                    expression.conjunction &= conjunctive && *op == Op::And;
                    stack.extend([(negated, conjunctive); 2]);
                }
            }
        }
        expression
    }

    /// Whether it holds where these rules are present.
    pub(crate) fn holds(&self, present: u64) -> bool {
        let mut stack = 0_u64;
        for op in &self.program {
            match *op {
                Op::Rule(at) => stack = stack << 1 | (present >> at & 1),
                Op::Not => stack ^= 1,
                Op::And => stack = (stack >> 1) & (stack | !1),
                Op::Or => stack = (stack >> 1) | (stack & 1),
            }
        }
        stack & 1 == 1
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Open,
    Or,
    And,
    Not,
}

/// Writes out the operators that bind at least as strongly as `weight` (`or` 1, `and` 2, `not` 3).
fn unwind(waiting: &mut Vec<Wait>, program: &mut Vec<Op>, weight: u8) {
    while let Some(last) = waiting.last() {
        let (op, its) = match last {
            Wait::Open => return,
            Wait::Or => (Op::Or, 1),
            Wait::And => (Op::And, 2),
            Wait::Not => (Op::Not, 3),
        };
        if its < weight {
            return;
        }
        program.push(op);
        waiting.pop();
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = if matches!(first, '(' | ')') {
            1
        } else {
            rest.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')')).unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Expression, String> {
        Expression::parse(text, |word| ["a", "b", "c"].iter().position(|name| *name == word))
    }

    #[test]
    fn operators_bind_as_everywhere() {
        type Truth = fn(bool, bool, bool) -> bool;
        for (text, truth) in [
            ("a", (|a, _, _| a) as Truth),
            ("not a", |a, _, _| !a),
            ("not not a", |a, _, _| a),
            ("a or b and c", |a, b, c| a || b && c),
            ("(a or b) and c", |a, b, c| (a || b) && c),
            ("not a and b", |a, b, _| !a && b),
            ("not (a and b) or c", |a, b, c| !(a && b) || c),
            ("a AND NOT b", |a, b, _| a && !b),
            ("a and (b and not (c or b))", |_, _, _| false),
        ] {
            let read = read(text).unwrap();
            for present in 0..8_u64 {
                let is = |at: u64| present >> at & 1 == 1;
                assert_eq!(
                    read.holds(present),
                    truth(is(0), is(1), is(2)),
                    "{text}, {present:03b}"
                );
            }
        }
    }

    #[test]
    fn polarity_is_known() {
        let read = |text: &str| {
            let e = read(text).unwrap();
            (e.positive, e.negative, e.conjunction)
        };
        assert_eq!(read("a and not b"), (1, 2, true));
        assert_eq!(read("a and not not b"), (3, 0, true));
        assert_eq!(read("a or b"), (3, 0, false));
        assert_eq!(read("a and not (b and c)"), (1, 6, false));
        assert_eq!(read("not b and a and c"), (5, 2, true));
    }

    #[test]
    fn nonsense_is_told() {
        for (text, told) in [
            ("", "ends where a rule's name"),
            ("a and", "ends where a rule's name"),
            ("a b", "`and` or `or` is missing before `b`"),
            ("and a", "missing before `and`"),
            ("(a", "not closed"),
            ("a)", "closes nothing"),
            ("a and x", "`x` is none of the correlation's rules"),
            ("()", "missing before `)`"),
        ] {
            assert!(read(text).unwrap_err().contains(told), "{text}: {:?}", read(text));
        }
        assert!(read(&"(".repeat(1_000)).unwrap_err().contains("nested deeper"));
        assert!(read(&"not ".repeat(1_000)).unwrap_err().contains("nested deeper"));
    }
}
