//! The JSON form of an event is what its committed schema says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: a panic is the verdict")]

use serde_json::{Value, json};
use smesec_core::event::{Event, EventId, Finding, RuleInfo, SCHEMA_VERSION, Source};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Action, Severity};
use std::sync::Arc;

fn schema() -> Value {
    serde_json::from_str(include_str!("../schema/event-v1.json")).unwrap()
}

fn empty() -> Event {
    Event::new(EventId::default(), Source::Host, Timestamp::default())
}

fn full() -> Event {
    let rule = RuleInfo {
        id: "942100".into(),
        name: "SQL injection".into(),
        author: Some("somebody".into()),
        tags: vec!["attack-sqli".into()],
    };
    let mut finding = Finding::new(Arc::new(rule), Severity::Critical, "SQL injection in `q`");
    finding.part = "ARGS:q".into();
    finding.span = Some((3, 9));
    finding.evidence = "union select".into();
    let mut event = Event::new(
        EventId::new(u64::MAX, 7),
        Source::Waf,
        Timestamp::from_unix_seconds(1_700_000_000),
    );
    event.class_uid = 4_002;
    event.activity_id = 6;
    event.severity_id = Severity::Critical.ocsf_id();
    event.action = Action::Deny { status: 403 };
    event.src_endpoint = Some("[2001:db8::1]:4711".parse().unwrap());
    event.dst_endpoint = Some("192.0.2.1:443".parse().unwrap());
    event.user = Some("ada".into());
    event.device = Some("laptop-7".into());
    event.risk = Some(9);
    event.attack = vec!["T1190".into()];
    event.entity = Some("shop".into());
    event.transaction_id = Some("t-1".into());
    event.message = "blocked".into();
    event.findings = vec![finding];
    event.extra.insert("method".into(), json!("GET"));
    event.raw = Some("GET / HTTP/1.1".into());
    event.generation = 2;
    event
}

fn json_of(event: &Event) -> Value {
    serde_json::from_str(&event.to_json()).unwrap()
}

#[test]
fn an_empty_and_a_filled_event_keep_the_schema() {
    let schema = schema();
    for event in [empty(), full()] {
        check(&schema, &schema, &json_of(&event), "event").unwrap();
    }
    // The filled one has every property, so that none is described without being seen.
    let filled = json_of(&full());
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(filled.get(name).is_some(), "`{name}` is in the schema and in no event");
    }
    assert_eq!(schema["properties"]["schema_version"]["const"], SCHEMA_VERSION);
}

#[test]
fn every_word_of_the_enumerations_is_in_the_schema() {
    let schema = schema();
    let with = |change: &dyn Fn(&mut Event)| {
        let mut event = empty();
        change(&mut event);
        check(&schema, &schema, &json_of(&event), "event").unwrap();
    };
    for source in [
        Source::Waf,
        Source::Ids,
        Source::Av,
        Source::Siem,
        Source::Taas,
        Source::Decoy,
        Source::Host,
    ] {
        with(&|event| event.detector = source);
    }
    for action in [
        Action::Pass,
        Action::Log,
        Action::Deny { status: 403 },
        Action::Redirect { status: 302 },
        Action::Decoy,
        Action::Drop,
        Action::Reject,
    ] {
        with(&|event| event.action = action);
    }
    for severity in
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
    {
        with(&|event| {
            event.severity_id = severity.ocsf_id();
            event.findings = vec![Finding::new(Arc::default(), severity, "")];
        });
    }
}

#[test]
fn the_check_itself_sees_what_is_wrong() {
    let schema = schema();
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut value = json_of(&full());
        change(&mut value);
        check(&schema, &schema, &value, "event").unwrap_err()
    };
    assert_eq!(wrong(&|v| v["time"] = json!("now")), "event.time: not of type integer");
    assert_eq!(wrong(&|v| v["risk"] = json!(1.5)), "event.risk: not of type integer");
    assert_eq!(wrong(&|v| v["severity_id"] = json!(6)), "event.severity_id: above 5");
    assert_eq!(wrong(&|v| v["surprise"] = json!(1)), "event: unknown `surprise`");
    assert_eq!(wrong(&|v| drop(v.as_object_mut().unwrap().remove("id"))), "event: `id` is missing");
    assert_eq!(
        wrong(&|v| v["findings"][0]["severity"] = json!("dire")),
        "event.findings[0].severity: not in its list"
    );
    assert_eq!(
        wrong(&|v| v["findings"][0]["span"] = json!([1])),
        "event.findings[0].span: too few"
    );
    assert_eq!(wrong(&|v| v["schema_version"] = json!(2)), "event.schema_version: not 1");
    assert_eq!(wrong(&|v| v["action"] = json!({"deny": {}})), "event.action: fits 0 of its forms");
    assert_eq!(wrong(&|v| v["id"] = json!("xyz")), "event.id: not 32 hexadecimal digits");
}

/// As much of JSON Schema as this schema uses; a word that is not known here is a failure.
fn check(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let no = |why: &str| Err(format!("{place}: {why}"));
    for (word, means) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "$id" | "title" | "description" | "$defs" => {}
            "$ref" => {
                let path = means.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(path).unwrap(), value, place)?;
            }
            "type" => {
                let fits = match means.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    other => panic!("type `{other}`"),
                };
                if !fits {
                    return no(&format!("not of type {}", means.as_str().unwrap()));
                }
            }
            "required" => {
                for name in means.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return no(&format!("`{}` is missing", name.as_str().unwrap()));
                    }
                }
            }
            "properties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = means.get(name) {
                        check(root, schema, inner, &format!("{place}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(means, &json!(false));
                for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                    if schema["properties"].get(name).is_none() {
                        return no(&format!("unknown `{name}`"));
                    }
                }
            }
            "items" => {
                for (n, inner) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, means, inner, &format!("{place}[{n}]"))?;
                }
            }
            "minItems" if value.as_array().unwrap().len() < size(means) => return no("too few"),
            "maxItems" if value.as_array().unwrap().len() > size(means) => return no("too many"),
            "minimum" if value.as_i64().is_some_and(|n| n < number(means)) => {
                return no(&format!("below {means}"));
            }
            "maximum" if value.as_i64().is_some_and(|n| n > number(means)) => {
                return no(&format!("above {means}"));
            }
            "minItems" | "maxItems" | "minimum" | "maximum" => {}
            "enum" if !means.as_array().unwrap().contains(value) => return no("not in its list"),
            "const" if means != value => return no(&format!("not {means}")),
            "enum" | "const" => {}
            "pattern" => {
                assert_eq!(means, "^[0-9a-f]{32}$");
                let text = value.as_str().unwrap();
                if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                {
                    return no("not 32 hexadecimal digits");
                }
            }
            "oneOf" => {
                let forms = means.as_array().unwrap().iter();
                let fit = forms.filter(|form| check(root, form, value, place).is_ok()).count();
                if fit != 1 {
                    return no(&format!("fits {fit} of its forms"));
                }
            }
            other => panic!("schema word `{other}`"),
        }
    }
    Ok(())
}

fn size(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}
