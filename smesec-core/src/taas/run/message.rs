//! Stages over MQTT: what is published, and what has to come.

use super::act::Act;
use super::compare::{compare, shown};
use super::{helpers, jmes};
use crate::runner::{Message, MessageOptions, MessageSession, Response, TestStep, Trust};
use crate::taas::tavern::Setting;
use crate::taas::value::{Kind, Token, Value};
use std::time::Duration;

/// How long a message may take where a stage does not say; brokers on a local net need milliseconds.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long connecting may take where the test does not say.
const CONNECT: Duration = Duration::from_secs(10);

/// Messages that are looked at in one stage: a broker that floods shall not hold the run.
const MOST: usize = 10_000;

/// What a test's `paho-mqtt` says.
pub(super) fn options(value: &Value) -> Result<(MessageOptions, Duration), String> {
    let part = |group: &str, name: &str| {
        value.key(group).and_then(|g| g.key(name)).filter(|v| !matches!(v, Value::Null))
    };
    let text = |group: &str, name: &str| part(group, name).map(ToString::to_string);
    let whole = |group: &str, name: &str| -> Result<Option<u16>, String> {
        let Some(value) = part(group, name) else { return Ok(None) };
        let number = value.to_string().parse::<u16>();
        number
            .map(Some)
            .map_err(|_| format!("`{name}` is {}, expected a whole number", shown(value)))
    };
    if text("client", "transport").is_some_and(|transport| transport != "tcp") {
        return Err("only the transport `tcp` is offered".to_owned());
    }
    let tls = value.key("tls").filter(|tls| tls.key("enable").is_none_or(Value::truth));
    let trust = tls.map(|tls| match (tls.key("ca_certs"), tls.key("cert_reqs")) {
        (_, Some(reqs)) if reqs.to_string() == "CERT_NONE" => Trust::Anybody,
        (Some(file), _) => Trust::File(file.to_string().into()),
        _ => Trust::System,
    });
    let certificate = tls.and_then(|tls| tls.key("certfile")).map(|file| {
        let key = tls.and_then(|tls| tls.key("keyfile")).map(|key| key.to_string().into());
        (file.to_string().into(), key)
    });
    let timeout = part("connect", "timeout").and_then(Value::number);
    let deadline = timeout.and_then(|t| Duration::try_from_secs_f64(t).ok()).unwrap_or(CONNECT);
    let options = MessageOptions {
        host: text("connect", "host").ok_or("`paho-mqtt` needs `connect: {host: …}`")?,
        port: whole("connect", "port")?.unwrap_or(if trust.is_some() { 8883 } else { 1883 }),
        client_id: text("client", "client_id").unwrap_or_default(),
        credentials: text("auth", "username")
            .map(|user| (user, text("auth", "password").unwrap_or_default())),
        keepalive: whole("connect", "keepalive")?.unwrap_or(60),
        clean_session: part("client", "clean_session").is_none_or(Value::truth),
        tls: trust,
        client_certificate: certificate,
    };
    Ok((options, deadline))
}

/// One message that a stage waits for.
struct Awaited {
    wanted: Value,
    topic: String,
    qos: u8,
    deadline: Duration,
    unexpected: bool,
}

impl Act<'_> {
    /// Runs the message half of a stage.
    pub(super) fn message(
        &mut self,
        publish: Option<&Value>,
        awaited: &[Value],
        step: &mut TestStep,
    ) -> Result<(), String> {
        let mut session =
            self.messages.take().ok_or("the test has no `paho-mqtt`; add it to speak MQTT")?;
        let done = self.exchange(session.as_mut(), publish, awaited, step);
        self.messages = Some(session);
        done
    }

    fn exchange(
        &mut self,
        session: &mut dyn MessageSession,
        publish: Option<&Value>,
        awaited: &[Value],
        step: &mut TestStep,
    ) -> Result<(), String> {
        let mut open = Vec::new();
        for one in awaited {
            let wanted = self.formatted(one)?;
            let one = Awaited {
                topic: wanted.key("topic").map(ToString::to_string).unwrap_or_default(),
                qos: qos(&wanted)?,
                deadline: match wanted.key("timeout").and_then(Value::number) {
                    Some(seconds) => Duration::try_from_secs_f64(seconds)
                        .map_err(|_| format!("the time-out {seconds} is no number of seconds"))?,
                    None => DEADLINE,
                },
                unexpected: wanted.key("unexpected").is_some_and(Value::truth),
                wanted,
            };
            session.subscribe(&one.topic, one.qos, CONNECT).map_err(|e| e.to_string())?;
            open.push(one);
        }
        if let Some(publish) = publish {
            let message = self.formatted(publish)?;
            let payload = match (message.key("json"), message.key("payload")) {
                (Some(json), _) => json.to_json()?.into_bytes(),
                (_, Some(Value::Bytes(bytes))) => bytes.clone(),
                (_, Some(payload)) => payload.to_string().into_bytes(),
                _ => Vec::new(),
            };
            let message = Message {
                topic: message.key("topic").map(ToString::to_string).unwrap_or_default(),
                payload,
                qos: qos(&message)?,
                retain: message.key("retain").is_some_and(Value::truth),
            };
            session.publish(&message, CONNECT).map_err(|e| e.to_string())?;
        }
        self.wait_for(session, open, step)
    }

    fn wait_for(
        &mut self,
        session: &mut dyn MessageSession,
        mut open: Vec<Awaited>,
        step: &mut TestStep,
    ) -> Result<(), String> {
        let start = self.session.now();
        let mut nearly: Vec<String> = Vec::new();
        for _ in 0..MOST {
            let gone = super::act::between(start, self.session.now());
            let Some(last) = open.iter().map(|one| one.deadline).max() else { return Ok(()) };
            let Some(left) = last.checked_sub(gone).filter(|left| !left.is_zero()) else { break };
            if !open.iter().any(|one| !one.unexpected) && left.is_zero() {
                break;
            }
            let Some(message) = session.receive(left).map_err(|e| e.to_string())? else { break };
            let mut why = Vec::new();
            let mut fitting = None;
            for (n, one) in open.iter().enumerate() {
                if !topic_fits(&one.topic, &message.topic) || gone > one.deadline {
                    continue;
                }
                let told = self.judge_message(&one.wanted, &message);
                if told.is_empty() {
                    fitting = Some(n);
                    break;
                }
                why.extend(told);
            }
            match fitting {
                Some(n) => {
                    let one = open.remove(n);
                    if one.unexpected {
                        step.failures
                            .push(format!("a message came on `{}` and must not", message.topic));
                        return Ok(());
                    }
                    self.save_message(&one.wanted, &message, step)?;
                }
                None => nearly.extend(why),
            }
        }
        for one in open.iter().filter(|one| !one.unexpected) {
            step.failures.push(format!(
                "no fitting message came on `{}` within {:?}",
                one.topic, one.deadline
            ));
        }
        if !step.failures.is_empty() {
            step.failures.extend(nearly.into_iter().take(10));
        }
        Ok(())
    }

    fn judge_message(&self, wanted: &Value, message: &Message) -> Vec<String> {
        let mut told = Vec::new();
        if let Some(json) = wanted.key("json") {
            match Value::from_json(&message.payload) {
                Ok(found) => compare(json, &found, Setting::On, "json", &mut told),
                Err(_) => told.push("the message is no JSON".to_owned()),
            }
        } else if let Some(payload) = wanted.key("payload") {
            let found = Value::text(String::from_utf8_lossy(&message.payload));
            let anything =
                matches!(payload, Value::Token(t) if matches!(**t, Token::Any(Kind::Anything)));
            let same = payload.to_string() == found.to_string();
            if !anything && !same {
                compare(payload, &found, Setting::On, "payload", &mut told);
            }
        }
        if let Some(checks) = wanted.key("verify_response_with") {
            let response = Response { body: message.payload.clone(), ..Response::default() };
            for check in checks.items().unwrap_or(std::slice::from_ref(checks)) {
                let extension = self.script.fixed.extension.as_deref();
                let now = self.session.now();
                if let Err(why) = helpers::call(check, &response, &message.payload, extension, now)
                {
                    told.push(why);
                }
            }
        }
        told
    }

    fn save_message(
        &mut self,
        wanted: &Value,
        message: &Message,
        step: &mut TestStep,
    ) -> Result<(), String> {
        let Some(save) = wanted.key("save").and_then(|save| save.key("json")) else {
            return Ok(());
        };
        let json =
            Value::from_json(&message.payload).map_err(|e| format!("nothing to save: {e}"))?;
        for (name, path) in save.entries().unwrap_or_default() {
            match jmes::search(&path.to_string(), &json) {
                Ok(value) => self.scope.set(name.as_str(), value),
                Err(why) => step.failures.push(why),
            }
        }
        Ok(())
    }
}

fn qos(value: &Value) -> Result<u8, String> {
    match value.key("qos") {
        None | Some(Value::Null) => Ok(0),
        Some(Value::Int(level @ 0..=2)) => Ok(u8::try_from(*level).unwrap_or(0)),
        Some(other) => Err(format!("`qos` is {}, expected 0, 1 or 2", shown(other))),
    }
}

/// Whether a topic is one of those that a filter names (MQTT 3.1.1, section 4.7).
fn topic_fits(filter: &str, topic: &str) -> bool {
    let mut parts = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match parts.next() {
            Some(part) if wanted == "+" || wanted == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_have_wildcards() {
        assert!(topic_fits("a/+/c", "a/b/c") && topic_fits("a/#", "a/b/c") && topic_fits("a", "a"));
        assert!(
            !topic_fits("a/+", "a/b/c") && !topic_fits("a/b", "a") && !topic_fits("b/#", "a/b")
        );
    }

    #[test]
    fn options_are_those_of_the_file() {
        let value = Value::from_json(br#"{"client": {"client_id": "me"}, "connect": {"host": "h", "timeout": 3}, "auth": {"username": "u", "password": "p"}, "tls": {"ca_certs": "ca.pem"}}"#).unwrap();
        let (options, deadline) = options(&value).unwrap();
        assert_eq!(
            (options.host.as_str(), options.port, options.client_id.as_str()),
            ("h", 8883, "me")
        );
        assert_eq!(options.tls, Some(Trust::File("ca.pem".into())));
        assert_eq!(deadline, Duration::from_secs(3));
        assert!(super::options(&Value::Map(Vec::new())).is_err());
    }
}
