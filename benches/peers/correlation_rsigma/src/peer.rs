use crate::front::{Json, lines};
use crate::{Asked, cpu, peak, write_alarms};
use rsigma_eval::event::JsonEvent;
use rsigma_eval::{CorrelationConfig, CorrelationEngine};
use rsigma_parser::{LogSource, parse_sigma_yaml};
use std::collections::HashMap;

pub fn run(asked: &Asked) {
    let text = by_id(&std::fs::read_to_string(&asked.rules).expect("the rules"));
    let collection = parse_sigma_yaml(&text).expect("the rules");
    let config = CorrelationConfig { emit_detections: false, ..CorrelationConfig::default() };
    let mut engine = CorrelationEngine::new(config);
    engine.add_collection(&collection).expect("the rules");
    // The tags of the events, made once: the peer is not charged for them.
    let mut tags: HashMap<String, LogSource> = HashMap::new();
    let (begin, mut events, mut fired, mut out) = (cpu(), 0_usize, 0_usize, Vec::new());
    let mut entries = 0;
    for line in lines(&asked.stream) {
        let json = Json(serde_json::from_str(&line).expect("JSON"));
        events += 1;
        let time = json.time();
        let tag = tags.entry(json.source().to_owned()).or_insert_with(|| {
            let word = |name| json.0.get(name).and_then(|v| v.as_str()).map(str::to_owned);
            LogSource {
                category: word("category"),
                product: word("product"),
                service: word("service"),
                definition: None,
                custom: HashMap::default(),
            }
        });
        let event = JsonEvent::borrow(&json.0);
        let detections = engine.engine().evaluate_with_logsource(&event, tag);
        let results = engine.process_with_detections(&event, detections, time.unix_seconds());
        for result in &results {
            let Some(body) = result.as_correlation() else { continue };
            fired += 1;
            let group: serde_json::Map<String, serde_json::Value> =
                body.group_key.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            let ts = time.to_string();
            out.push(
                serde_json::json!({"correlation": result.header.rule_title, "group": group, "ts": ts})
                    .to_string(),
            );
        }
        if events % 50_000 == 0 {
            entries = entries.max(engine.state_count());
        }
    }
    let spent = cpu() - begin;
    write_alarms(asked, &out);
    println!(
        "rsigma: {events} events, {fired} firings, {spent:.2} s CPU, {entries} state entries at most, peak {:.0} MB",
        peak()
    );
}

/// The rules with references by id: by name the peer resolves only some of them.
fn by_id(text: &str) -> String {
    let mut ids = HashMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(word) = line.strip_prefix("name: ") {
            name = word.to_owned();
        } else if let Some(id) = line.strip_prefix("id: ") {
            ids.insert(name.clone(), id.to_owned());
        }
    }
    let mut out = String::new();
    for line in text.lines() {
        match line.split_once("rules: [").and_then(|(head, rest)| Some((head, rest.split_once(']')?))) {
            Some((head, (rules, tail))) => {
                let rules: Vec<&str> = rules
                    .split(", ")
                    .map(|rule| ids.get(rule).map_or(rule, String::as_str))
                    .collect();
                out += &format!("{head}rules: [{}]{tail}\n", rules.join(", "));
            }
            None => out += &format!("{line}\n"),
        }
    }
    out
}
