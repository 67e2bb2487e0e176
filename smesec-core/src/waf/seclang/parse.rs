//! Directives, read one by one.
use super::line::{Cooked, Line, Word, lines, opens, words};
use super::load::{Loader, is_pattern, join};
use super::syntax::{
    ActionSyntax, Directive, DirectiveKind, IdRange, OperatorSyntax, RuleSyntax, Span, Spanned,
    Syntax, SyntaxError, TargetSyntax,
};
use super::value::targets;
use std::io::ErrorKind;

/// How deep files may include each other.
const MAX_DEPTH: usize = 16;
/// How many files one tree may hold: globs that include globs grow by multiplication.
const MAX_FILES: usize = 4096;

/// Reads a rule file and all it includes.
pub fn parse_path(path: &str, loader: &dyn Loader) -> Syntax {
    let mut parser = Parser { loader, syntax: Syntax::default(), chain: Vec::new() };
    match loader.read(path) {
        Ok(text) => parser.file(path, &text),
        Err(e) => {
            parser.syntax.files.push(path.to_owned());
            let span = Span { file: 0, line: 1, column: 1 };
            let why = format!("cannot read `{path}` ({}): correct the path", e.kind());
            parser.syntax.errors.push(SyntaxError { span, rule: None, why });
        }
    }
    parser.syntax
}

/// Reads rule text; `origin` is its name in spans, and the file that includes are relative to.
pub fn parse_text(origin: &str, text: &[u8], loader: &dyn Loader) -> Syntax {
    let mut parser = Parser { loader, syntax: Syntax::default(), chain: Vec::new() };
    parser.file(origin, text);
    parser.syntax
}

struct Parser<'a> {
    loader: &'a dyn Loader,
    syntax: Syntax,
    /// The files that are being read, outermost first.
    chain: Vec<String>,
}

type Fault = (Span, String);

impl Parser<'_> {
    fn file(&mut self, name: &str, text: &[u8]) {
        let file = u32::try_from(self.syntax.files.len()).unwrap_or(u32::MAX);
        self.syntax.files.push(name.to_owned());
        self.chain.push(plain_path(name));
        let mut block = 0_usize;
        let mut astray = false;
        for line in lines(text, file) {
            let start = line.text.len() - line.text.trim_start().len();
            let body = line.text.trim();
            if let Some(tag) = body.strip_prefix('<') {
                astray = false;
                self.block(&line, start, tag, &mut block);
                continue;
            }
            if block > 0 || (astray && !opens(body.as_bytes())) {
                continue;
            }
            astray = false;
            if let Err((span, why)) = self.directive(&line, &mut astray) {
                self.syntax.errors.push(SyntaxError { span, rule: rule_id(&line.text), why });
            }
        }
        self.chain.pop();
    }

    /// Enters or leaves an Apache block; only the outermost one is told.
    fn block(&mut self, line: &Line, start: usize, tag: &str, depth: &mut usize) {
        let name = tag.trim_start_matches('/').split([' ', '\t', '>']).next().unwrap_or_default();
        if !tag.starts_with('/') {
            *depth += 1;
            if *depth > 1 {
                return;
            }
        } else if *depth > 0 {
            *depth -= 1;
            return;
        }
        let why = if *depth == 0 {
            format!("`</{name}>` closes no block: remove it")
        } else {
            format!(
                "`<{name}>` is a block of the web server and is skipped with all rules in it: move the rules out of it"
            )
        };
        self.syntax.errors.push(SyntaxError { span: line.span(start), rule: None, why });
    }

    fn directive(&mut self, line: &Line, astray: &mut bool) -> Result<(), Fault> {
        if let Some(gap) = line.gap {
            let why =
                "blanks after the `\\` end the directive here: remove them to continue the line";
            return Err((gap, why.to_owned()));
        }
        let mut list = words(&line.text).map_err(|offset| {
            *astray = true;
            let why = "the quote is not closed: close it, or end the line with `\\` to go on in the next one";
            (line.span(offset), why.to_owned())
        })?;
        if list.is_empty() {
            return Ok(());
        }
        let word = list.remove(0);
        let name = line.text.get(word.start..word.end).unwrap_or_default();
        let span = line.span(word.start);
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if word.quote.is_some() || !valid {
            *astray = true;
            return Err((
                span,
                format!(
                    "`{name}` is not a directive: end the line before with `\\` if it belongs there, or remove it"
                ),
            ));
        }
        let lower = name.to_ascii_lowercase();
        if lower == "include" || lower == "includeoptional" {
            if list.is_empty() {
                return Err((span, format!("`{name}` names no file: add its path")));
            }
            for word in list {
                let path = Cooked::new(line, word).text;
                self.include(&path, line.span(word.start), lower == "includeoptional");
            }
            return Ok(());
        }
        let kind = kind(line, name, &lower, span, list)?;
        self.syntax.directives.push(Directive { span, kind });
        Ok(())
    }

    fn include(&mut self, written: &str, span: Span, optional: bool) {
        let folder = match self.chain.last().and_then(|from| from.rsplit_once('/')) {
            Some(("", _)) => "/",
            Some((folder, _)) => folder,
            None => "",
        };
        let path = plain_path(&join(folder, written));
        let found =
            if is_pattern(&path) { self.loader.glob(&path) } else { Ok(vec![path.clone()]) };
        let names = match found {
            Ok(names) if names.is_empty() && !optional => {
                return self.fault(
                    span,
                    format!("no file fits `{path}`: correct the pattern or use `IncludeOptional`"),
                );
            }
            Ok(names) => names,
            Err(e) => {
                return self
                    .fault(span, format!("cannot list `{path}` ({}): correct the path", e.kind()));
            }
        };
        for name in names {
            if self.chain.contains(&plain_path(&name)) {
                let way = self.chain.join("` includes `");
                self.fault(span, format!("`{way}` includes `{name}` again: break the cycle"));
            } else if self.chain.len() > MAX_DEPTH {
                let way = self.chain.join("` includes `");
                return self.fault(span, format!("`{way}` includes `{name}`, deeper than {MAX_DEPTH} files: include it further up"));
            } else if self.syntax.files.len() >= MAX_FILES {
                return self
                    .fault(span, format!("`{name}` is beyond {MAX_FILES} files: include fewer"));
            } else {
                match self.loader.read(&name) {
                    Ok(text) => self.file(&name, &text),
                    Err(e) if optional && e.kind() == ErrorKind::NotFound => {}
                    Err(e) => self.fault(
                        span,
                        format!(
                            "cannot read `{name}` ({}): correct the path or use `IncludeOptional`",
                            e.kind()
                        ),
                    ),
                }
            }
        }
    }

    fn fault(&mut self, span: Span, why: String) {
        self.syntax.errors.push(SyntaxError { span, rule: None, why });
    }
}

fn kind(
    line: &Line,
    name: &str,
    lower: &str,
    span: Span,
    mut list: Vec<Word>,
) -> Result<DirectiveKind, Fault> {
    if lower == "secrule" {
        join_targets(line, &mut list);
    }
    let cooked: Vec<Cooked> = list.iter().map(|&word| Cooked::new(line, word)).collect();
    let count =
        |want: &str| (span, format!("`{name}` has {} arguments: give it {want}", cooked.len()));
    let fields = |one: &Cooked, separators: &str| {
        let at = |offset| one.span(line, offset);
        targets(&one.text, separators, &at).map_err(|e| (e.span, e.why))
    };
    Ok(match lower {
        "secrule" => {
            let (first, second, third) = match cooked.as_slice() {
                [first, second] => (first, second, None),
                [first, second, third] => (first, second, Some(third)),
                _ => {
                    return Err(count(
                        "targets, an operator and actions, each in quotes if it has blanks",
                    ));
                }
            };
            DirectiveKind::Rule(RuleSyntax {
                targets: fields(first, "|")?,
                operator: operator(line, second)?,
                actions: third.map_or(Ok(Vec::new()), |third| actions(line, third))?,
            })
        }
        "secaction" | "secdefaultaction" => {
            let [one] = cooked.as_slice() else {
                return Err(count("one list of actions in quotes"));
            };
            let list = actions(line, one)?;
            if lower == "secaction" {
                DirectiveKind::Action(list)
            } else {
                DirectiveKind::DefaultAction(list)
            }
        }
        "secmarker" | "secruleremovebytag" | "secruleremovebymsg" => {
            let [one] = cooked.as_slice() else {
                return Err(count("one, in quotes if it has blanks"));
            };
            let text = one.text.clone();
            match lower {
                "secmarker" => DirectiveKind::Marker(text),
                "secruleremovebytag" => DirectiveKind::RemoveByTag(text),
                _ => DirectiveKind::RemoveByMsg(text),
            }
        }
        "secruleremovebyid" => {
            if cooked.is_empty() {
                return Err(count("ids or ranges such as `100-199`"));
            }
            let mut ids = Vec::new();
            for one in &cooked {
                ids.append(&mut id_ranges(line, one)?);
            }
            DirectiveKind::RemoveById(ids)
        }
        "secruleupdatetargetbyid" | "secruleupdatetargetbytag" | "secruleupdatetargetbymsg" => {
            let [which, what] = cooked.as_slice() else {
                return Err(count(
                    "the rules and a list of targets; a replacement is written as an exclusion and an addition",
                ));
            };
            let targets: Vec<TargetSyntax> = fields(what, "|,")?;
            match lower {
                "secruleupdatetargetbyid" => {
                    DirectiveKind::UpdateTargetById { ids: id_ranges(line, which)?, targets }
                }
                "secruleupdatetargetbytag" => {
                    DirectiveKind::UpdateTargetByTag { tag: which.text.clone(), targets }
                }
                _ => DirectiveKind::UpdateTargetByMsg { msg: which.text.clone(), targets },
            }
        }
        "secruleupdateactionbyid" => {
            let [which, what] = cooked.as_slice() else {
                return Err(count("one id and a list of actions in quotes"));
            };
            let Ok(id) = which.text.trim().parse() else {
                return Err((
                    which.span(line, 0),
                    format!("`{}` is not a rule id: write one number", which.text),
                ));
            };
            DirectiveKind::UpdateActionById { id, actions: actions(line, what)? }
        }
        _ => DirectiveKind::Setting {
            name: name.to_owned(),
            arguments: cooked
                .into_iter()
                .map(|one| Spanned { span: one.span(line, 0), value: one.text })
                .collect(),
        },
    })
}

/// Joins a target list written with blanks around `|`.
fn join_targets(line: &Line, list: &mut Vec<Word>) {
    let raw = |word: &Word| line.text.get(word.start..word.end).unwrap_or_default();
    let mut joined = 0;
    let mut whole: Option<Word> = None;
    for word in list.iter() {
        match &mut whole {
            None => whole = Some(*word),
            Some(first) => {
                let goes_on = first.quote.is_none()
                    && word.quote.is_none()
                    && (raw(word).starts_with('|') || raw(first).ends_with('|'));
                if !goes_on {
                    break;
                }
                first.end = word.end;
                joined += 1;
            }
        }
    }
    if let Some(first) = whole {
        list.splice(..=joined, [first]);
    }
}

fn operator(line: &Line, one: &Cooked) -> Result<OperatorSyntax, Fault> {
    let text = one.text.as_str();
    let head = text.trim_start();
    let span = one.span(line, text.len() - head.len());
    let (negated, body) = match head.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, head),
    };
    let Some(named) = body.trim_start().strip_prefix('@') else {
        // Without a name the text is the pattern, its leading blanks included.
        let argument = if negated { body } else { text };
        return Ok(OperatorSyntax {
            span,
            negated,
            name: "rx".to_owned(),
            argument: argument.to_owned(),
        });
    };
    let (name, argument) =
        named.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((named, ""));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err((
            span,
            format!(
                "`@{name}` is not an operator: write its name, then a blank, then its argument"
            ),
        ));
    }
    let argument = argument.trim_start().to_owned();
    Ok(OperatorSyntax { span, negated, name: name.to_ascii_lowercase(), argument })
}

fn actions(line: &Line, one: &Cooked) -> Result<Vec<ActionSyntax>, Fault> {
    let mut list = Vec::new();
    let (mut start, mut quote, mut escaped, mut before) = (0, None, false, ',');
    for (offset, c) in one.text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' if quote.is_some() => quote = None,
            '\'' if matches!(before, ':' | '=') => quote = Some(offset),
            ',' if quote.is_none() => {
                action(line, one, start, offset, &mut list)?;
                start = offset + 1;
            }
            _ => {}
        }
        if !c.is_ascii_whitespace() {
            before = c;
        }
    }
    if let Some(offset) = quote {
        return Err((
            one.span(line, offset),
            "the quote in the actions is not closed: close it with `'`".to_owned(),
        ));
    }
    action(line, one, start, one.text.len(), &mut list)?;
    Ok(list)
}

/// Reads one action; a stray comma leaves none.
fn action(
    line: &Line,
    one: &Cooked,
    start: usize,
    end: usize,
    list: &mut Vec<ActionSyntax>,
) -> Result<(), Fault> {
    let raw = one.text.get(start..end).unwrap_or_default();
    let text = raw.trim();
    if text.is_empty() {
        return Ok(());
    }
    let span = one.span(line, start + raw.len() - raw.trim_start().len());
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
        None => (text, None),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err((
            span,
            format!(
                "`{name}` is not an action: separate actions with `,` and put values with commas in `'`"
            ),
        ));
    }
    let value = match value.map(|value| (value, value.strip_prefix('\''))) {
        None => None,
        Some((value, None)) => Some(value.to_owned()),
        Some((value, Some(quoted))) => Some(unquote(quoted).ok_or_else(|| {
            (span, format!("`{name}` has text behind its quoted value `{value}`: put a `,` between, or write `\\'` inside"))
        })?),
    };
    list.push(ActionSyntax { span, name: name.to_ascii_lowercase(), value });
    Ok(())
}

/// What stands before the closing quote, `\'` resolved; none if the quote is not the last character.
fn unquote(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\'' => return rest.as_str().is_empty().then_some(value),
            '\\' => match rest.next() {
                Some('\'') => value.push('\''),
                other => {
                    value.push('\\');
                    value.extend(other);
                }
            },
            c => value.push(c),
        }
    }
    None
}

fn id_ranges(line: &Line, one: &Cooked) -> Result<Vec<IdRange>, Fault> {
    let mut list = Vec::new();
    for part in one.text.split([',', ' ', '\t']).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => list.push(IdRange { first, last }),
            _ => {
                return Err((
                    one.span(line, 0),
                    format!(
                        "`{part}` is not a rule id: write a number or a range such as `100-199`"
                    ),
                ));
            }
        }
    }
    if list.is_empty() {
        return Err((
            one.span(line, 0),
            "no rule id is given: write a number or a range such as `100-199`".to_owned(),
        ));
    }
    Ok(list)
}

/// The id in the text of a rule that could not be read.
fn rule_id(text: &str) -> Option<u64> {
    let mut before = ' ';
    for (offset, c) in text.char_indices() {
        let free = !before.is_ascii_alphanumeric() && before != '_';
        before = c;
        if !free || !matches!(c, 'i' | 'I') {
            continue;
        }
        let Some((word, value)) = text.get(offset..).and_then(|rest| rest.split_at_checked(3))
        else {
            continue;
        };
        if word.eq_ignore_ascii_case("id:") {
            let value = value.trim_start_matches([' ', '\'']);
            let digits = value.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            if let Ok(id) = digits.parse() {
                return Some(id);
            }
        }
    }
    None
}

/// The path without `.` and `..`, so that a cycle is seen however it is spelt.
fn plain_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if path.starts_with('/') { format!("/{joined}") } else { joined }
}
