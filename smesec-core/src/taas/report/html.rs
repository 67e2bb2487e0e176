//! One HTML file for a person who was not there: no script, nothing loaded from elsewhere.

use super::evidence::{self, is_control};
use super::{About, Counts, finding, is_bad, place, readable, severity_word, was_tried, why};
use crate::runner::{Cell, Report, TestResult, TestVerdict};
use std::fmt::Write as _;
use std::io::{self, Write};

const STYLE: &str = include_str!("style.css");

/// Writes the report as one HTML file.
///
/// # Errors
/// When `out` fails.
pub fn html(report: &Report, about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    let name = text(about.name, about);
    // The policy holds even if an escape were forgotten somewhere: nothing runs, nothing is loaded.
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
<title>Tests of {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    )?;
    summary(report, about, out)?;
    difference(about, out)?;
    matrix(&report.matrix, about, out)?;
    let bad: Vec<_> = report.results.iter().filter(|result| is_bad(&result.verdict)).collect();
    if !bad.is_empty() {
        writeln!(out, "<h2>What failed</h2>")?;
        for result in bad {
            article(result, about, out)?;
        }
    }
    warnings(report, about, out)?;
    tests(report, about, out)?;
    writeln!(out, "</body>\n</html>")
}

fn summary(report: &Report, about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    let counts = Counts::of(&report.results);
    let when = about.began.to_string();
    let when = evidence::head(&when, "1970-01-01T00:00:00".len()).replace('T', " ");
    writeln!(
        out,
        "<header>\n<h1>Tests of {}</h1>\n<p class=\"when\">{when} UTC, {}</p>\n<ul class=\"counts\">",
        text(about.name, about),
        readable(about.elapsed(report))
    )?;
    for (count, what, class) in [
        (counts.failed, "failed", "bad"),
        (counts.refused, "could not be run", "bad"),
        (counts.passed, "passed", "good"),
        (counts.expected, "failed as expected", "good"),
        (counts.skipped, "skipped", "warn"),
    ] {
        let class = if count == 0 { "" } else { class };
        writeln!(out, "<li><b class=\"{class}\">{count}</b>{what}</li>")?;
    }
    writeln!(out, "</ul>\n</header>")
}

fn difference(about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Some(difference) = about.difference else { return Ok(()) };
    writeln!(out, "<h2>Since the last run</h2>\n<p>{}</p>", difference.line())?;
    for (names, what, class) in [
        (&difference.new_failures, "New failures", "bad"),
        (&difference.fixed, "Fixed", "good"),
        (&difference.still_failing, "Still failing", "warn"),
        (&difference.gone, "No longer there", "warn"),
    ] {
        if names.is_empty() {
            continue;
        }
        writeln!(out, "<h3 class=\"{class}\">{what}</h3>\n<ul>")?;
        for name in names {
            writeln!(out, "<li>{}</li>", text(name, about))?;
        }
        writeln!(out, "</ul>")?;
    }
    Ok(())
}

/// Rows are routes, columns roles, both in the order in which they first come.
fn matrix(cells: &[Cell], about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    if cells.is_empty() {
        return Ok(());
    }
    let (mut roles, mut routes) = (Vec::new(), Vec::new());
    let mut at = std::collections::HashMap::new();
    for cell in cells {
        let (role, route) = (cell.role.as_str(), (cell.method.as_str(), cell.route.as_str()));
        if !roles.contains(&role) {
            roles.push(role);
        }
        let here: &mut Vec<&Cell> = at.entry((route, role)).or_default();
        if here.is_empty() && !routes.contains(&route) {
            routes.push(route);
        }
        here.push(cell);
    }
    let wrong = cells.iter().filter(|cell| cell.finding).count();
    let tried = cells.iter().filter(|cell| was_tried(cell)).count();
    writeln!(
        out,
        "<h2>Who may do what</h2>\n<p>{} cells tried, <b class=\"{}\">{wrong}</b> not as the description says.</p>\n\
<div class=\"wide\"><table class=\"matrix\">\n<thead><tr><th scope=\"col\">Route</th>",
        tried,
        if wrong == 0 { "good" } else { "bad" }
    )?;
    for role in &roles {
        write!(out, "<th scope=\"col\">{}</th>", text(role, about))?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for route in routes {
        let (method, path) = (text(route.0, about), text(route.1, about));
        write!(out, "<tr><th scope=\"row\">{method} {path}</th>")?;
        for role in &roles {
            square(at.get(&(route, *role)).map(Vec::as_slice).unwrap_or_default(), about, out)?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>")
}

/// Colour alone is not read by everybody, so each cell has a sign and words too.
fn square(cells: &[&Cell], about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    let worst = cells.iter().find(|cell| cell.finding).or_else(|| cells.first());
    let Some(cell) = worst.filter(|cell| was_tried(cell)) else {
        return write!(out, "<td class=\"none\">not tried</td>");
    };
    let (class, sign) = if cell.finding { ("wrong", '✗') } else { ("right", '✓') };
    let (seen, expected) = (text(&cell.seen, about), text(&cell.expected, about));
    write!(out, "<td class=\"{class}\">{sign} {seen}<small>expected {expected}</small></td>")
}

fn article(result: &TestResult, about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<article>\n<h3>{}</h3>", text(&result.name, about))?;
    if let Some(place) = place(result) {
        writeln!(out, "<p class=\"place\">{}</p>", text(&place, about))?;
    }
    if let Some(found) = finding(&result.verdict) {
        let mut tags = String::new();
        let severity = severity_word(found.severity).to_owned();
        for tag in [&severity, &found.rule.id].into_iter().chain(&found.rule.tags) {
            if !tag.is_empty() {
                let _ = write!(tags, "<span class=\"tag\">{}</span>", text(tag, about));
            }
        }
        writeln!(out, "<p>{tags}</p>")?;
    }
    let word = if finding(&result.verdict).is_none() { "could not be run: " } else { "" };
    writeln!(out, "<p class=\"bad\">{word}{}</p>", text(why(&result.verdict), about))?;
    for step in result.steps.iter().filter(|step| !step.failures.is_empty()) {
        let who = step.acting_as.as_ref().map(|who| format!(" as {who}")).unwrap_or_default();
        let name = text(&format!("{}{who}", step.name), about);
        writeln!(out, "<p>In the step <b>{name}</b>:</p>\n<ul>")?;
        for failure in &step.failures {
            writeln!(out, "<li>{}</li>", text(failure, about))?;
        }
        writeln!(out, "</ul>")?;
    }
    if let Some(advice) = &result.advice {
        writeln!(out, "<p class=\"advice\"><b>To mend it:</b> {}</p>", text(advice, about))?;
    }
    for exchange in evidence::shown(result) {
        writeln!(out, "<pre>{}</pre>", escaped(&evidence::text(exchange, about)))?;
    }
    writeln!(out, "</article>")
}

fn warnings(report: &Report, about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    let warnings: Vec<_> = report.results.iter().flat_map(|result| &result.warnings).collect();
    if warnings.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>Worth a look</h2>\n<ul>")?;
    for warning in warnings {
        writeln!(out, "<li>{}</li>", text(warning, about))?;
    }
    writeln!(out, "</ul>")
}

fn tests(report: &Report, about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "<h2>All tests</h2>\n<table class=\"tests\">\n<colgroup><col class=\"v\"><col><col class=\"t\"></colgroup>\n\
<thead><tr><th scope=\"col\">Verdict</th><th scope=\"col\">Test</th><th scope=\"col\">Took</th></tr></thead>\n<tbody>"
    )?;
    for result in &report.results {
        let (class, word) = match &result.verdict {
            TestVerdict::Passed => ("good", "✓ passed"),
            TestVerdict::Failed(_) => ("bad", "✗ failed"),
            TestVerdict::ExpectedFailure(_) => ("good", "✓ failed as expected"),
            TestVerdict::Skipped(_) => ("warn", "– skipped"),
            TestVerdict::Refused(_) => ("bad", "✗ not run"),
        };
        let mut notes = String::new();
        if let Some(place) = place(result) {
            let _ = write!(notes, "<br><span class=\"place\">{}</span>", text(&place, about));
        }
        if let TestVerdict::Skipped(why) = &result.verdict {
            let _ = write!(notes, "<br>{}", text(why, about));
        }
        let actors: Vec<_> = actors(result);
        if !actors.is_empty() {
            let line = format!("acting as {}", actors.join(", then "));
            let _ = write!(notes, "<br><span class=\"place\">{}</span>", text(&line, about));
        }
        writeln!(
            out,
            "<tr><td class=\"{class}\">{word}</td><td>{}{notes}</td><td>{}</td></tr>",
            text(&result.name, about),
            readable(result.elapsed)
        )?;
    }
    writeln!(out, "</tbody></table>")
}

/// As whom the steps acted, each once in a row.
fn actors(result: &TestResult) -> Vec<&str> {
    let mut actors: Vec<&str> =
        result.steps.iter().filter_map(|step| step.acting_as.as_deref()).collect();
    actors.dedup();
    actors
}

fn text(text: &str, about: &About<'_>) -> String {
    escaped(&about.masked(text))
}

/// For content and for attributes in double quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_control(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
