//! YAML nodes to values: tags become tokens.

use super::document::Told;
use crate::decode::yaml::{self, Node, Scalar};
use crate::taas::base64::{self, Alphabet};
use crate::taas::pattern::Pattern;
use crate::taas::value::{Kind, Reach, Token, Value};

/// What a node means.
///
/// # Errors
/// Names a tag that is not known, or a text that its tag cannot take, with the place.
pub(super) fn value(node: &Node) -> Result<Value, Told> {
    if let Some(tag) = &node.tag {
        return tagged(node, tag);
    }
    Ok(match &node.value {
        yaml::Value::Scalar { .. } => scalar(node),
        yaml::Value::List(items) => Value::List(items.iter().map(value).collect::<Result<_, _>>()?),
        yaml::Value::Map(entries) => {
            let each = entries.iter().map(|(key, item)| Ok((key_text(key)?, value(item)?)));
            Value::Map(each.collect::<Result<_, Told>>()?)
        }
    })
}

fn scalar(node: &Node) -> Value {
    match node.scalar() {
        None | Some(Scalar::Null) => Value::Null,
        Some(Scalar::Bool(flag)) => Value::Bool(flag),
        Some(Scalar::Int(number)) => Value::Int(number.into()),
        Some(Scalar::Float(number)) => Value::Float(number),
        Some(Scalar::Text(text)) => node.integer().map_or_else(|| Value::text(text), Value::Int),
    }
}

/// A key as JSON would write it: all keys of an answer are text.
fn key_text(key: &Node) -> Result<String, Told> {
    match scalar(key) {
        _ if key.as_str().is_none() => {
            Err(Told::new(key.place, format!("a key is {}; write text", key.kind())))
        }
        Value::Text(text) => Ok(text),
        other => other.to_json().map_err(|why| Told::new(key.place, why)),
    }
}

fn tagged(node: &Node, tag: &str) -> Result<Value, Told> {
    let wrong = |what: &str| {
        Told::new(node.place, format!("`{tag}` needs {what}; write it behind the tag"))
    };
    let text = || node.as_str().map(str::to_owned).ok_or_else(|| wrong("text"));
    let pattern = |reach| {
        let pattern = Pattern::new(&text()?).map_err(|why| Told::new(node.place, why))?;
        Ok(Token::Form(reach, pattern))
    };
    let token = match tag {
        "!anything" => Token::Any(Kind::Anything),
        "!anyint" => Token::Any(Kind::Int),
        "!anyfloat" => Token::Any(Kind::Float),
        "!anynumber" => Token::Any(Kind::Number),
        "!anystr" => Token::Any(Kind::Text),
        "!anybool" => Token::Any(Kind::Bool),
        "!anylist" => Token::Any(Kind::List),
        "!anydict" => Token::Any(Kind::Map),
        "!re_match" => pattern(Reach::Match)?,
        "!re_fullmatch" => pattern(Reach::FullMatch)?,
        "!re_search" => pattern(Reach::Search)?,
        "!approx" => match text()?.trim().parse::<f64>() {
            Ok(number) => Token::Approx(number),
            Err(_) => return Err(wrong("a number")),
        },
        "!int" => Token::Convert(Kind::Int, text()?),
        "!float" => Token::Convert(Kind::Float, text()?),
        "!bool" => Token::Convert(Kind::Bool, text()?),
        "!raw" => Token::Raw(text()?),
        "!force_original_structure" | "!force_format_include" => Token::Whole(text()?),
        "!!binary" => {
            let bytes =
                base64::decode(&text()?, Alphabet::Standard).ok_or_else(|| wrong("Base64"))?;
            return Ok(Value::Bytes(bytes));
        }
        "!!timestamp" => return Ok(Value::Text(text()?)),
        other => {
            return Err(Told::new(
                node.place,
                format!("the tag `{other}` is not part of the format; check its spelling"),
            ));
        }
    };
    Ok(Value::Token(Box::new(token)))
}
