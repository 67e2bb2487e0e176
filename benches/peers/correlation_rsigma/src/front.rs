//! Lines as the peer takes them: JSON values.

use smesec_core::time::Timestamp;
use std::io::BufRead;

pub struct Json(pub serde_json::Value);

impl Json {
    pub fn source(&self) -> &str {
        let word = |name| self.0.get(name).and_then(|value| value.as_str());
        word("service").or(word("category")).unwrap_or_default()
    }

    pub fn time(&self) -> Timestamp {
        time(self.0.get("ts").and_then(|value| value.as_str()).expect("a time"))
    }
}

pub fn time(text: &str) -> Timestamp {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits");
    let days = Timestamp::days_from_civil(number(0, 4), number(5, 7), number(8, 10));
    let seconds = days * 86_400 + number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19);
    Timestamp::from_unix_nanos(seconds * 1_000_000_000 + number(20, 23) * 1_000_000)
}

pub fn lines(stream: &str) -> impl Iterator<Item = String> {
    let file = std::fs::File::open(stream).expect("the stream");
    std::io::BufReader::with_capacity(1 << 20, file).lines().map(|line| line.expect("a line"))
}

/// What the lanes spend before they correlate.
pub fn parse_only(asked: &crate::Asked) {
    let (begin, mut events) = (crate::cpu(), 0_u64);
    for line in lines(&asked.stream) {
        let json = Json(serde_json::from_str(&line).expect("JSON"));
        events += u64::from(!json.source().is_empty());
    }
    println!("serde_json alone: {events} events, {:.2} s CPU", crate::cpu() - begin);
    let begin = crate::cpu();
    let (mut events, mut fields) = (0_u64, 0);
    crate::ours::records(&asked.stream, |record| {
        events += 1;
        fields += record.fields.len();
    });
    println!("our reader alone: {events} events, {fields} fields, {:.2} s CPU", crate::cpu() - begin);
}
