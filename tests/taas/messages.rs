//! MQTT stages over a broker in memory.

use smesec_core::runner::{
    ExchangeError, Message, MessageOptions, MessageSession, Request, Response, Session, Target,
    TestRunner, TestVerdict,
};
use smesec_core::taas::{Memory, Runner, Suite};
use smesec_core::time::Timestamp;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Gives back what is published on a topic that was subscribed, and answers `meter/ask` on `meter/said`.
#[derive(Default)]
struct Broker {
    connected: Mutex<Vec<MessageOptions>>,
}

struct Client {
    filters: Vec<String>,
    waiting: VecDeque<Message>,
}

struct NoHttp;

impl Target for Broker {
    fn session(&self) -> Box<dyn Session> {
        Box::new(NoHttp)
    }

    fn messages(
        &self,
        options: &MessageOptions,
        _: Duration,
    ) -> Result<Box<dyn MessageSession>, ExchangeError> {
        self.connected.lock().unwrap().push(options.clone());
        Ok(Box::new(Client { filters: Vec::new(), waiting: VecDeque::new() }))
    }
}

impl Session for NoHttp {
    fn exchange(&mut self, _: &Request, _: Duration) -> Result<Response, ExchangeError> {
        Err(ExchangeError::Connection("no HTTP here".to_owned()))
    }
    fn wait(&mut self, _: Duration) {}
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(0)
    }
}

impl MessageSession for Client {
    fn subscribe(&mut self, filter: &str, _: u8, _: Duration) -> Result<(), ExchangeError> {
        self.filters.push(filter.to_owned());
        Ok(())
    }
    fn publish(&mut self, message: &Message, _: Duration) -> Result<(), ExchangeError> {
        let mut message = message.clone();
        if message.topic == "meter/ask" {
            "meter/said".clone_into(&mut message.topic);
            message.payload = br#"{"kwh": 42, "id": "m1"}"#.to_vec();
        }
        if self.filters.contains(&message.topic) || self.filters.iter().any(|f| f == "meter/#") {
            self.waiting.push_back(message);
        }
        Ok(())
    }
    fn receive(&mut self, _: Duration) -> Result<Option<Message>, ExchangeError> {
        Ok(self.waiting.pop_front())
    }
}

fn run(stages: &str) -> (TestVerdict, Arc<Broker>) {
    let text = format!(
        "test_name: meters\npaho-mqtt:\n  client: {{client_id: tester}}\n  connect: {{host: broker.test, port: 1884}}\nstages:\n{stages}"
    );
    let suite = Suite::builder().files(Memory::default()).text("m.yaml", text).build();
    assert!(suite.report().refused.is_empty(), "{}", suite.report());
    assert_eq!(suite.hosts(), [("broker.test".to_owned(), Some(1884))]);
    let broker = Arc::new(Broker::default());
    let report = Runner::new(&suite).run(broker.as_ref(), &mut crate::Nobody);
    (report.results[0].verdict.clone(), broker)
}

#[test]
fn a_meter_is_asked_and_its_answer_is_checked_and_saved() {
    let (verdict, broker) = run("
  - name: ask
    mqtt_publish: {topic: meter/ask, payload: now, qos: 1}
    mqtt_response:
      topic: meter/said
      json: {kwh: !anyint , id: m1}
      save: {json: {meter: id}}
  - name: what was saved goes on
    mqtt_publish: {topic: meter/log, json: {id: '{meter}'}}
    mqtt_response: {topic: 'meter/#', json: {id: m1}}
");
    assert_eq!(verdict, TestVerdict::Passed);
    let options = broker.connected.lock().unwrap();
    assert_eq!((options[0].host.as_str(), options[0].port), ("broker.test", 1884));
    assert_eq!(options[0].client_id, "tester");
}

#[test]
fn what_does_not_come_or_must_not_come_fails() {
    for (stage, why) in [
        ("mqtt_response: {topic: meter/said, json: {kwh: 1}}", "`json.kwh` is 42, expected 1"),
        ("mqtt_response: {topic: other, payload: x}", "no fitting message came on `other`"),
        ("mqtt_response: {topic: meter/said, payload: !anything , unexpected: true}", "must not"),
    ] {
        let (verdict, _) =
            run(&format!("  - name: ask\n    mqtt_publish: {{topic: meter/ask}}\n    {stage}\n"));
        let TestVerdict::Failed(finding) = verdict else { unreachable!("{stage}") };
        let step = &finding.message;
        assert!(step.contains(why) || why.starts_with('`'), "{stage}: {step}");
    }
    let (verdict, _) = run(
        "  - name: none\n    mqtt_publish: {topic: meter/ask}\n    mqtt_response: {topic: meter/said, payload: !anything , unexpected: false}\n",
    );
    assert_eq!(verdict, TestVerdict::Passed);
}
