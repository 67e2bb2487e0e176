//! Our own engines' events as records, so that Sigma rules see them like any other log.

use super::record::{Field, Kind, LogSource, Record, Value};
use crate::event::{Event, Source};
use std::borrow::Cow;

/// An event's fields as text. Sigma rules find them under `product: smesec` with the engine as
/// `service`: `action`, `src_ip`, `src_port`, `dst_ip`, `dst_port`, `user`, `device`, `entity`,
/// `message`, `risk`, `severity_id`, each finding's `rule.id` and `rule.name`, and what stands in `extra`.
///
/// ```
/// use smesec_core::event::{Event, EventId, Source};
/// use smesec_core::siem::own::OwnEvent;
/// let mut event = Event::new(EventId::new(1, 1), Source::Decoy, Default::default());
/// event.src_endpoint = Some(([203, 0, 113, 9], 4_000).into());
/// let own = OwnEvent::of(&event);
/// let mut fields = Vec::new();
/// let record = own.record(&mut fields);
/// assert_eq!((record.log_source.product, record.log_source.service), ("smesec", "decoy"));
/// assert_eq!(record.first("src_ip").unwrap().text, "203.0.113.9");
/// ```
#[derive(Clone, Debug)]
pub struct OwnEvent<'e> {
    event: &'e Event,
    fields: Vec<(Cow<'e, str>, Cow<'e, str>, Kind)>,
}

impl<'e> OwnEvent<'e> {
    /// The fields of an event.
    pub fn of(event: &'e Event) -> Self {
        let mut fields: Vec<(Cow<'e, str>, Cow<'e, str>, Kind)> = Vec::new();
        let mut put = |name: &'e str, value: Cow<'e, str>, kind| {
            fields.push((name.into(), value, kind));
        };
        put("action", event.action.word().into(), Kind::Text);
        put("severity_id", event.severity_id.to_string().into(), Kind::Number);
        let ends = [
            ("src_ip", "src_port", event.src_endpoint),
            ("dst_ip", "dst_port", event.dst_endpoint),
        ];
        for (ip, port, end) in ends {
            if let Some(end) = end {
                put(ip, end.ip().to_string().into(), Kind::Text);
                put(port, end.port().to_string().into(), Kind::Number);
            }
        }
        let texts = [
            ("user", &event.user),
            ("device", &event.device),
            ("entity", &event.entity),
            ("transaction_id", &event.transaction_id),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                put(name, text.as_str().into(), Kind::Text);
            }
        }
        if let Some(risk) = event.risk {
            put("risk", risk.to_string().into(), Kind::Number);
        }
        put("message", event.message.as_str().into(), Kind::Text);
        for finding in &event.findings {
            put("rule.id", finding.rule.id.as_str().into(), Kind::Text);
            put("rule.name", finding.rule.name.as_str().into(), Kind::Text);
        }
        for (name, value) in &event.extra {
            let (text, kind) = match value {
                serde_json::Value::Null => (Cow::Borrowed(""), Kind::Null),
                serde_json::Value::Bool(value) => (value.to_string().into(), Kind::Bool),
                serde_json::Value::Number(value) => (value.to_string().into(), Kind::Number),
                serde_json::Value::String(text) => (text.as_str().into(), Kind::Text),
                nested => (nested.to_string().into(), Kind::Text),
            };
            put(name, text, kind);
        }
        Self { event, fields }
    }

    /// The record, in the caller's buffer.
    pub fn record<'r>(&'r self, buffer: &'r mut Vec<Field<'r>>) -> Record<'r> {
        buffer.clear();
        buffer.extend(self.fields.iter().map(|(name, text, kind)| Field {
            name: name.as_ref(),
            value: Value { text: text.as_ref(), kind: *kind },
        }));
        let service = service(self.event.detector);
        Record {
            fields: buffer,
            log_source: LogSource { product: "smesec", category: "", service },
            time: self.event.time,
            undated: false,
            arrival: self.event.ingest_time,
            origin: service,
            number: 0,
            raw: self.event.raw.as_deref().unwrap_or_default(),
            times: 1,
        }
    }
}

/// An engine in one word.
pub(crate) fn service(source: Source) -> &'static str {
    match source {
        Source::Waf => "waf",
        Source::Ids => "ids",
        Source::Av => "av",
        Source::Siem => "siem",
        Source::Taas => "taas",
        Source::Decoy => "decoy",
        Source::Host => "host",
    }
}
