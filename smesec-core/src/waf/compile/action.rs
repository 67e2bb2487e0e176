//! Actions: what a rule is called, when it runs and what it does.

use super::names::Names;
use super::program::{
    Assign, Assignment, Disruption, Effect, Meant, Place, Processor, Rule, Rules, Target, Text,
};
use crate::decode::transform::Transform;
use crate::waf::seclang::{ActionSyntax, Ctl, SetOp, SetVar, Span};
use crate::waf::variable::Storage;

/// The actions of one rule.
#[derive(Default)]
pub(super) struct Actions {
    pub(super) id: Option<u64>,
    pub(super) transforms: Vec<Transform>,
    pub(super) multi_match: bool,
    pub(super) capture: bool,
    pub(super) log: bool,
    pub(super) audit: bool,
    pub(super) disruption: Disruption,
    pub(super) status: Option<u16>,
    pub(super) redirect: Option<Text>,
    pub(super) effects: Vec<Effect>,
    pub(super) message: Option<Text>,
    pub(super) message_text: Option<String>,
    pub(super) logdata: Option<Text>,
    pub(super) severity: Option<u8>,
    pub(super) version: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) skip_after: Option<String>,
    pub(super) skip: Option<usize>,
    pub(super) removals: Vec<(Rules, Option<Vec<Target>>)>,
    /// Actions that are accepted and do nothing here.
    pub(super) degraded: Vec<String>,
}

/// Where, in which rule, and why.
pub(super) type Problem = (Span, Option<u64>, String);

impl Actions {
    /// Reads the actions of a rule over the defaults of its phase.
    pub(super) fn parse(
        names: &mut Names,
        defaults: Option<&[ActionSyntax]>,
        list: &[ActionSyntax],
    ) -> Result<Self, Problem> {
        let mut actions = Self { log: true, audit: true, ..Self::default() };
        let mut block = (Disruption::Pass, None, None);
        if let Some(defaults) = defaults {
            for action in defaults {
                actions.one(names, action)?;
            }
            // The default's disruptive action is what `block` means; by itself it decides nothing.
            block = (actions.disruption, actions.status, actions.redirect.take());
        }
        actions.id = None;
        let id = list
            .iter()
            .find(|a| a.name == "id")
            .and_then(|a| a.value.as_deref()?.trim().parse().ok());
        let mut blocks = !list.iter().any(|a| is_disruptive(&a.name));
        for action in list {
            if action.name == "block" {
                blocks = true;
            } else if is_disruptive(&action.name) {
                blocks = false;
            }
            actions.one(names, action).map_err(|(span, _, why)| (span, id, why))?;
        }
        if blocks {
            actions.disruption = block.0;
            actions.status = actions.status.or(block.1);
            actions.redirect = block.2;
        }
        Ok(actions)
    }

    fn one(&mut self, names: &mut Names, action: &ActionSyntax) -> Result<(), Problem> {
        let value = action.value.as_deref();
        self.set(names, action.span, &action.name, value).map_err(|why| (action.span, self.id, why))
    }

    fn set(
        &mut self,
        names: &mut Names,
        span: Span,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), String> {
        let need = || value.ok_or_else(|| format!("action `{name}` needs a value"));
        match name {
            "id" => {
                let id = need()?.trim().parse().ok().filter(|id| *id > 0);
                self.id = Some(id.ok_or_else(|| {
                    format!("`{}` is no rule id; write a whole number", value.unwrap_or_default())
                })?);
            }
            "phase" | "chain" | "rev" | "maturity" | "accuracy" => {}
            "ver" => self.version = Some(need()?.to_owned()),
            "tag" => self.tags.push(need()?.to_owned()),
            "msg" => {
                self.message = Some(names.text(need()?)?);
                self.message_text = value.map(str::to_owned);
            }
            "logdata" => self.logdata = Some(names.text(need()?)?),
            "severity" => self.severity = Some(severity(need()?)?),
            "t" => {
                let transform = need()?;
                if transform.eq_ignore_ascii_case("none") {
                    self.transforms.clear();
                } else {
                    let known = Transform::from_name(transform);
                    self.transforms.push(known.ok_or_else(|| {
                        format!("unknown transformation `{transform}`; check its spelling")
                    })?);
                }
            }
            "multimatch" => self.multi_match = true,
            "capture" => self.capture = true,
            "log" => self.log = true,
            "nolog" => {
                self.log = false;
                self.audit = false;
            }
            "auditlog" => self.audit = true,
            "noauditlog" => self.audit = false,
            "pass" => self.disruption = Disruption::Pass,
            "deny" => self.disruption = Disruption::Deny,
            "drop" => self.disruption = Disruption::Drop,
            "block" => {}
            "allow" => {
                self.disruption = match value.map(str::trim) {
                    None => Disruption::Allow,
                    Some("phase") => Disruption::AllowPhase,
                    Some("request") => Disruption::AllowRequest,
                    Some(other) => {
                        return Err(format!(
                            "`allow:{other}` is unknown; write `allow`, `allow:phase` or `allow:request`"
                        ));
                    }
                };
            }
            "redirect" => {
                self.disruption = Disruption::Redirect;
                self.redirect = Some(names.text(need()?)?);
            }
            "status" => {
                let status: u16 =
                    need()?.trim().parse().ok().filter(|s| (100..=599).contains(s)).ok_or_else(
                        || format!("`{}` is no HTTP status", value.unwrap_or_default()),
                    )?;
                self.status = Some(status);
            }
            "skip" => {
                self.skip =
                    Some(need()?.trim().parse().map_err(|_| "`skip` needs a number".to_owned())?);
            }
            "skipafter" => self.skip_after = Some(need()?.to_owned()),
            "setvar" => {
                let set = SetVar::parse(need()?)?;
                self.effects.push(Effect::Assign(assignment(names, &set)?));
            }
            "expirevar" => {
                let text = need()?;
                let (place, seconds) = text
                    .split_once('=')
                    .ok_or_else(|| "write `expirevar:ip.name=60`".to_owned())?;
                let (collection, of) = place
                    .split_once('.')
                    .ok_or_else(|| "write `expirevar:ip.name=60`".to_owned())?;
                let storage = persistent(collection)?;
                self.effects.push(Effect::Expire {
                    storage,
                    name: names.text(of)?,
                    seconds: names.text(seconds)?,
                });
            }
            "deprecatevar" => self.degraded.push(
                "`deprecatevar` does nothing here, as in ModSecurity 3; use `expirevar`".to_owned(),
            ),
            "initcol" => {
                let (collection, key) = need()?
                    .split_once('=')
                    .ok_or_else(|| "write `initcol:ip=%{REMOTE_ADDR}`".to_owned())?;
                self.effects.push(Effect::InitCollection {
                    storage: persistent(collection)?,
                    key: names.text(key)?,
                });
            }
            "setsid" | "setuid" | "setrsc" => {
                let (storage, collection) = match name {
                    "setsid" => (Storage::SessionId, Storage::Session),
                    "setuid" => (Storage::UserId, Storage::User),
                    _ => (Storage::WebappId, Storage::Resource),
                };
                self.effects.push(Effect::SetIdentity {
                    storage: storage.id(),
                    collection: collection.id(),
                    key: names.text(need()?)?,
                });
            }
            "setenv" => {
                let (of, text) =
                    need()?.split_once('=').unwrap_or((value.unwrap_or_default(), "1"));
                self.effects.push(Effect::SetEnv {
                    name: of.to_ascii_lowercase().into_bytes().into(),
                    value: names.text(text)?,
                });
            }
            "ctl" => {
                let ctl = Ctl::parse(need()?, span).map_err(|e| e.why)?;
                self.ctl(names, &ctl)?;
            }
            "sanitisearg"
            | "sanitisematched"
            | "sanitisematchedbytes"
            | "sanitiserequestheader"
            | "sanitiseresponseheader"
            | "sanitizearg"
            | "sanitizematched" => {
                self.degraded.push(format!(
                    "`{name}` is not needed: secrets are masked in every event by default"
                ));
            }
            // Bound where the targets are resolved.
            "xmlns" => {}
            "pause" => self.degraded.push(format!("`{name}` does nothing here")),
            "exec" => {
                return Err(
                    "`exec` runs a program; write the check as a filter of your own".to_owned()
                );
            }
            "proxy" => {
                return Err(
                    "`proxy` is not offered: write `deny`; a program that embeds the firewall sends \
                     what is blocked to a decoy by its policy `on_block`"
                        .to_owned(),
                );
            }
            "append" | "prepend" => {
                return Err(format!(
                    "`{name}` would rewrite the response; bodies are never changed"
                ));
            }
            _ => return Err(format!("unknown action `{name}`; check its spelling")),
        }
        Ok(())
    }

    fn ctl(&mut self, names: &mut Names, ctl: &Ctl) -> Result<(), String> {
        let value = ctl.value.as_str();
        let on = || match value.to_ascii_lowercase().as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(format!("`ctl:{}={value}`: write On or Off", ctl.name)),
        };
        let effect = match ctl.name.as_str() {
            "ruleengine" => match value.to_ascii_lowercase().as_str() {
                "on" => Effect::EngineOn,
                "off" => Effect::EngineOff,
                "detectiononly" => Effect::EngineDetect,
                _ => {
                    return Err(format!(
                        "`{value}` is no engine state; write On, Off or DetectionOnly"
                    ));
                }
            },
            "requestbodyprocessor" => {
                Effect::BodyProcessor(match value.to_ascii_uppercase().as_str() {
                    "URLENCODED" => Processor::UrlEncoded,
                    "MULTIPART" => Processor::Multipart,
                    "JSON" => Processor::Json,
                    "XML" => Processor::Xml,
                    "RAW" => Processor::Raw,
                    "GUESS" => Processor::Guess,
                    _ => {
                        return Err(format!(
                            "`{value}` is no body processor; write URLENCODED, MULTIPART, JSON, XML, RAW or GUESS"
                        ));
                    }
                })
            }
            "forcerequestbodyvariable" => Effect::ForceBodyVariable(on()?),
            "requestbodyaccess" => Effect::RequestBodyAccess(on()?),
            "responsebodyaccess" => Effect::ResponseBodyAccess(on()?),
            "requestbodylimit" => Effect::RequestBodyLimit(limit(value)?),
            "responsebodylimit" => Effect::ResponseBodyLimit(limit(value)?),
            "auditengine" => Effect::AuditEngine(!value.eq_ignore_ascii_case("off")),
            "parsexmlintoargs" => Effect::XmlIntoArgs(!value.eq_ignore_ascii_case("off")),
            "ruleremovebyid" => {
                self.removals.push((Rules::Ids(id_ranges(value)?), None));
                return Ok(());
            }
            "ruleremovebytag" => {
                self.removals.push((Rules::Tag(Meant::new(value)?), None));
                return Ok(());
            }
            "ruleremovebymsg" => {
                self.removals.push((Rules::Message(Meant::new(value)?), None));
                return Ok(());
            }
            "ruleremovetargetbyid" | "ruleremovetargetbytag" | "ruleremovetargetbymsg" => {
                let which = match ctl.name.as_str() {
                    "ruleremovetargetbyid" => Rules::Ids(id_ranges(value)?),
                    "ruleremovetargetbytag" => Rules::Tag(Meant::new(value)?),
                    _ => Rules::Message(Meant::new(value)?),
                };
                let target = ctl
                    .target
                    .as_ref()
                    .ok_or_else(|| format!("`ctl:{}` needs `;TARGET`", ctl.name))?;
                self.removals.push((which, Some(vec![names.target(target)?])));
                return Ok(());
            }
            "auditlogparts" | "debugloglevel" | "hashengine" | "hashenforcement" => {
                self.degraded.push(format!("`ctl:{}` does nothing here", ctl.name));
                return Ok(());
            }
            _ => return Err(format!("unknown `ctl:{}`; check its spelling", ctl.name)),
        };
        self.effects.push(effect);
        Ok(())
    }

    /// What `SecRuleUpdateActionById` cannot change: it decides which values the rule was prepared for,
    /// or where it stands.
    pub(super) fn unchangeable(action: &ActionSyntax) -> Option<String> {
        let fixed = ["id", "phase", "chain", "t", "multimatch", "skip", "xmlns"];
        fixed.contains(&action.name.as_str()).then(|| {
            format!(
                "`SecRuleUpdateActionById` does not change `{}`; remove the rule and write it anew under an id of your own",
                action.name
            )
        })
    }

    /// Puts what `list` names over a rule.
    pub(super) fn apply_to(self, rule: &mut Rule, list: &[ActionSyntax]) {
        let names = |wanted: &[&str]| list.iter().any(|a| wanted.contains(&a.name.as_str()));
        if list.iter().any(|a| is_disruptive(&a.name)) {
            rule.disruption = self.disruption;
            rule.redirect = self.redirect;
        }
        rule.status = self.status.or(rule.status);
        rule.severity = self.severity.or(rule.severity);
        if names(&["log", "nolog"]) {
            rule.logs = self.log;
        }
        if names(&["auditlog", "noauditlog", "nolog"]) {
            rule.audits = self.audit;
        }
        rule.capture |= self.capture;
        rule.effects.extend(self.effects);
        rule.message = self.message.or(rule.message.take());
        rule.logdata = self.logdata.or(rule.logdata.take());
        if !self.tags.is_empty() {
            let mut info = (*rule.info).clone();
            info.tags.extend(self.tags);
            rule.info = std::sync::Arc::new(info);
        }
    }
}

fn is_disruptive(name: &str) -> bool {
    matches!(name, "pass" | "deny" | "drop" | "allow" | "redirect" | "block" | "proxy")
}

/// A phase's number, 0 to 4.
pub(super) fn phase(text: &str) -> Option<u8> {
    Some(match text.trim().to_ascii_lowercase().as_str() {
        "1" => 0,
        "2" | "request" => 1,
        "3" => 2,
        "4" | "response" => 3,
        "5" | "logging" => 4,
        _ => return None,
    })
}

fn severity(text: &str) -> Result<u8, String> {
    Ok(match text.trim().to_ascii_uppercase().as_str() {
        "0" | "EMERGENCY" => 0,
        "1" | "ALERT" => 1,
        "2" | "CRITICAL" => 2,
        "3" | "ERROR" => 3,
        "4" | "WARNING" => 4,
        "5" | "NOTICE" => 5,
        "6" | "INFO" => 6,
        "7" | "DEBUG" => 7,
        _ => {
            return Err(format!(
                "`{text}` is no severity; write 0 to 7 or a name such as CRITICAL"
            ));
        }
    })
}

fn limit(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number of bytes"))
}

fn id_ranges(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let mut ranges = Vec::new();
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            text.trim().parse().map_err(|_| {
                format!("`{part}` is no rule id or range; write `942100` or `942100-942999`")
            })
        };
        ranges.push((number(first)?, number(last)?));
    }
    Ok(ranges)
}

fn persistent(name: &str) -> Result<u16, String> {
    Ok(match name.trim().to_ascii_uppercase().as_str() {
        "IP" => Storage::Ip,
        "GLOBAL" => Storage::Global,
        "SESSION" => Storage::Session,
        "USER" => Storage::User,
        "RESOURCE" => Storage::Resource,
        _ => {
            return Err(format!(
                "`{name}` is no persistent collection; write ip, global, session, user or resource"
            ));
        }
    }
    .id())
}

fn assignment(names: &mut Names, set: &SetVar) -> Result<Assignment, String> {
    let change = match &set.op {
        SetOp::Assign(text) => Assign::Set(names.template(text)?),
        SetOp::Add(text) => Assign::Add(names.template(text)?),
        SetOp::Subtract(text) => Assign::Subtract(names.template(text)?),
        SetOp::Unset => Assign::Unset,
    };
    let place = if set.collection == "TX" {
        match set.name.is_plain() {
            Some(name) => Place::Tx(names.tx_slot(name)),
            None => Place::TxNamed(names.template(&set.name)?),
        }
    } else if set.collection == "ENV" {
        Place::Member(Storage::Env.id(), names.template(&set.name)?)
    } else {
        Place::Member(persistent(&set.collection)?, names.template(&set.name)?)
    };
    Ok(Assignment { place, change })
}
