//! As much of SQL as a login's `WHERE` needs: equality, `AND`, `OR`, parentheses, comments.

#[derive(Clone, PartialEq, Debug)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Whether a row with this name and password is selected by the clause; an error for what is no SQL.
pub fn selects(clause: &str, name: &str, password: &str) -> Result<bool, String> {
    let tokens = tokens(clause)?;
    let mut rest = tokens.as_slice();
    let value = any(&mut rest, name, password)?;
    // What comes behind, such as LIMIT, selects no more.
    match rest.first() {
        None | Some(Token::Word(_)) => Ok(value),
        Some(other) => Err(format!("near {other:?}")),
    }
}

fn tokens(clause: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut chars = clause.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' => {}
            '-' if chars.peek() == Some(&'-') => break,
            '#' => break,
            '/' if chars.peek() == Some(&'*') => break,
            '\'' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        None => return Err("unterminated string".to_owned()),
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            text.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => text.push(c),
                    }
                }
                out.push(Token::Text(text));
            }
            c if c.is_alphanumeric() => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                out.push(Token::Word(word));
            }
            c => out.push(Token::Sign(c)),
        }
    }
    Ok(out)
}

fn any(rest: &mut &[Token], name: &str, password: &str) -> Result<bool, String> {
    let mut value = all(rest, name, password)?;
    while is_word(rest, "OR") {
        value |= all(rest, name, password)?;
    }
    Ok(value)
}

fn all(rest: &mut &[Token], name: &str, password: &str) -> Result<bool, String> {
    let mut value = one(rest, name, password)?;
    while is_word(rest, "AND") {
        value &= one(rest, name, password)?;
    }
    Ok(value)
}

fn one(rest: &mut &[Token], name: &str, password: &str) -> Result<bool, String> {
    if let [Token::Sign('('), after @ ..] = rest {
        *rest = after;
        let value = any(rest, name, password)?;
        let [Token::Sign(')'), after @ ..] = rest else { return Err("no )".to_owned()) };
        *rest = after;
        return Ok(value);
    }
    let [left, Token::Sign('='), right, after @ ..] = rest else {
        return Err(format!("near {:?}", rest.first()));
    };
    *rest = after;
    let value = |token: &Token| match token {
        Token::Word(word) if word == "name" => name.to_owned(),
        Token::Word(word) if word == "password" => password.to_owned(),
        Token::Word(text) | Token::Text(text) => text.clone(),
        Token::Sign(c) => c.to_string(),
    };
    Ok(value(left) == value(right))
}

fn is_word(rest: &mut &[Token], word: &str) -> bool {
    match rest {
        [Token::Word(found), after @ ..] if found.eq_ignore_ascii_case(word) => {
            *rest = after;
            true
        }
        _ => false,
    }
}
