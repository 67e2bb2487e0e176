//! Lines to records, and the ten base rules of the stream.

use smesec_core::siem::record::Fields;
use smesec_core::time::Timestamp;
use std::borrow::Cow;
use std::io::BufRead;

pub struct Json(pub serde_json::Value);

impl Fields for Json {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.0.get(name)? {
            serde_json::Value::String(text) => Some(text.as_str().into()),
            serde_json::Value::Null => None,
            other => Some(other.to_string().into()),
        }
    }
}

impl Json {
    fn is(&self, name: &str, text: &str) -> bool {
        self.0.get(name).and_then(|value| value.as_str()).is_some_and(|value| value == text)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    pub fn source(&self) -> &str {
        let word = |name| self.0.get(name).and_then(|value| value.as_str());
        word("service").or(word("category")).unwrap_or_default()
    }

    pub fn time(&self) -> Timestamp {
        let text = self.0.get("ts").and_then(|value| value.as_str()).expect("a time");
        let number = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits");
        let days = Timestamp::days_from_civil(number(0, 4), number(5, 7), number(8, 10));
        let seconds = days * 86_400 + number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19);
        Timestamp::from_unix_nanos(seconds * 1_000_000_000 + number(20, 23) * 1_000_000)
    }

    /// The base rule that matches, in the order of the rules' file.
    pub fn rule(&self) -> Option<u32> {
        let alert = |id| {
            self.is("event_type", "alert")
                && self.0.get("alert").and_then(|alert| alert.get("signature_id")?.as_i64()) == Some(id)
        };
        match self.source() {
            "sshd" if self.is("outcome", "failure") => Some(0),
            "sshd" if self.is("outcome", "success") => Some(1),
            "eve" if alert(2_009_582) => Some(2),
            "eve" if alert(2_034_647) => Some(3),
            "eve" if alert(2_030_000) => Some(4),
            "security" if self.number("EventID") == Some(4_624) && self.number("LogonType") == Some(3) => {
                Some(5)
            }
            "webserver" if self.number("sc-status") == Some(404) => Some(6),
            "webserver"
                if self.is("cs-method", "POST")
                    && self.number("sc-status") == Some(200)
                    && self
                        .0
                        .get("cs-uri-stem")
                        .and_then(|value| value.as_str())
                        .is_some_and(|path| path.starts_with("/uploads/")) =>
            {
                Some(7)
            }
            "crs" if self.is("severity", "CRITICAL") => Some(8),
            "yara" if self.is("action", "quarantined") => Some(9),
            _ => None,
        }
    }
}

pub fn lines(stream: &str) -> impl Iterator<Item = String> {
    let file = std::fs::File::open(stream).expect("the stream");
    std::io::BufReader::with_capacity(1 << 20, file).lines().map(|line| line.expect("a line"))
}

pub fn parse_only(asked: &crate::Asked) {
    let (begin, mut events) = (crate::cpu(), 0_u64);
    for line in lines(&asked.stream) {
        let json = Json(serde_json::from_str(&line).expect("JSON"));
        events += u64::from(!json.source().is_empty());
    }
    println!("parse: {events} events, {:.2} s CPU", crate::cpu() - begin);
}
