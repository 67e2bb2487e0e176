//! The fields of an event as directives name them, and what a level wants of them.

use crate::siem::correlation::canonical;
use crate::siem::record::Fields;
use crate::siem::risk::{Assets, Net};
use crate::siem::snapshot::{Reader, Writer};
use std::borrow::Cow;
use std::net::IpAddr;

/// OSSIM's names of the fields of a normalised event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Name(pub(crate) usize);

/// The name in back-references, the attribute of a rule in XML, and where a record or an event has it.
const NAMES: &[(&str, &str, &[&str])] = &[
    ("SRC_IP", "from", &["src_ip", "src_endpoint.ip", "c-ip", "IpAddress", "SourceIp"]),
    ("DST_IP", "to", &["dst_ip", "dst_endpoint.ip", "dest_ip", "DestinationIp"]),
    ("SRC_PORT", "port_from", &["src_port", "src_endpoint.port", "SourcePort"]),
    ("DST_PORT", "port_to", &["dst_port", "dst_endpoint.port", "dest_port", "DestinationPort"]),
    ("PROTOCOL", "protocol", &["protocol", "proto"]),
    ("SENSOR", "sensor", &["sensor", "agent", "device", "host"]),
    ("PLUGIN_ID", "plugin_id", &["plugin_id"]),
    ("PLUGIN_SID", "plugin_sid", &["plugin_sid"]),
    ("USERNAME", "username", &["username", "user"]),
    ("FILENAME", "filename", &["filename"]),
    ("PASSWORD", "password", &["password"]),
    ("PRODUCT", "product", &["product"]),
    ("CATEGORY", "category", &["category"]),
    ("SUBCATEGORY", "subcategory", &["subcategory"]),
    ("USERDATA1", "userdata1", &["userdata1"]),
    ("USERDATA2", "userdata2", &["userdata2"]),
    ("USERDATA3", "userdata3", &["userdata3"]),
    ("USERDATA4", "userdata4", &["userdata4"]),
    ("USERDATA5", "userdata5", &["userdata5"]),
    ("USERDATA6", "userdata6", &["userdata6"]),
    ("USERDATA7", "userdata7", &["userdata7"]),
    ("USERDATA8", "userdata8", &["userdata8"]),
    ("USERDATA9", "userdata9", &["userdata9"]),
];

pub(crate) const SRC_IP: Name = Name(0);
pub(crate) const DST_IP: Name = Name(1);
pub(crate) const SRC_PORT: Name = Name(2);
pub(crate) const DST_PORT: Name = Name(3);

impl Name {
    /// By the name of back-references; lower case is taken too.
    pub(crate) fn of(word: &str) -> Option<Self> {
        NAMES.iter().position(|(name, ..)| name.eq_ignore_ascii_case(word)).map(Self)
    }

    /// By the attribute of a rule.
    pub(crate) fn of_attribute(word: &str) -> Option<Self> {
        NAMES.iter().position(|(_, attribute, _)| *attribute == word).map(Self)
    }

    pub(crate) fn word(self) -> &'static str {
        NAMES.get(self.0).map_or("", |(name, ..)| name)
    }

    /// Its value in an event; a long one as its beginning and a hash, as groups keep it.
    pub(crate) fn read(self, fields: &dyn Fields) -> Option<Cow<'_, str>> {
        let (.., names) = NAMES.get(self.0)?;
        names.iter().find_map(|name| fields.value(name)).map(canonical)
    }

    fn is_address(self) -> bool {
        self == SRC_IP || self == DST_IP
    }
}

/// The values of one event, by name: one behind the other in one text, since many events wait at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Values {
    text: Box<str>,
    /// Where each ends.
    ends: [u16; NAMES.len()],
    /// Bit by bit, whether it is there.
    there: u32,
}

impl Values {
    pub(crate) fn read(fields: &dyn Fields) -> Self {
        // Each is cut to far less than what a place can tell of.
        Self::of((0..NAMES.len()).map(|at| Name(at).read(fields))).unwrap_or_else(|| Self {
            text: Box::default(),
            ends: [0; NAMES.len()],
            there: 0,
        })
    }

    /// `None` where together they are longer than places can tell.
    fn of<'v>(values: impl Iterator<Item = Option<Cow<'v, str>>>) -> Option<Self> {
        let (mut text, mut ends, mut there) = (String::new(), [0; NAMES.len()], 0);
        for ((at, end), value) in ends.iter_mut().enumerate().zip(values) {
            if let Some(value) = value {
                text.push_str(&value);
                there |= 1 << at;
            }
            *end = u16::try_from(text.len()).ok()?;
        }
        Some(Self { text: text.into(), ends, there })
    }

    pub(crate) fn get(&self, name: Name) -> Option<&str> {
        let end = *self.ends.get(name.0).filter(|_| self.there >> name.0 & 1 == 1)?;
        let start = name.0.checked_sub(1).and_then(|before| self.ends.get(before));
        self.text.get(usize::from(start.copied().unwrap_or(0))..usize::from(end))
    }

    fn all(&self) -> impl Iterator<Item = Option<&str>> {
        (0..NAMES.len()).map(|at| self.get(Name(at)))
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn write(&self, into: &mut Writer) {
        into.count(NAMES.len());
        for value in self.all() {
            into.option(value);
        }
    }

    pub(crate) fn read_back(from: &mut Reader<'_>) -> Option<Self> {
        let values = from.several(1, Reader::option)?;
        if values.len() != NAMES.len() {
            return None;
        }
        Self::of(values.into_iter().map(|value| value.map(Cow::Owned)))
    }

    /// All values as bytes, by which two events are told apart.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in self.all() {
            let value = value.unwrap_or("\0");
            bytes.extend((value.len() as u64).to_le_bytes());
            bytes.extend(value.as_bytes());
        }
        bytes
    }
}

/// What a level wants of one field: one of these, and none of those.
#[derive(Clone, PartialEq, Hash, Debug, Default)]
pub(crate) struct Wanted {
    any_of: Vec<Term>,
    none_of: Vec<Term>,
}

#[derive(Clone, PartialEq, Hash, Debug)]
enum Term {
    Text(String),
    Net(Net),
    Ports(u16, u16),
    Home,
    Back { level: usize, name: Name },
}

impl Wanted {
    /// Reads an attribute: `ANY`, or values, ranges, `HOME_NET` and `level:FIELD` between commas, each
    /// barred by a `!`. `None` in the answer is `ANY`.
    ///
    /// # Errors
    /// What is wrong with it, without a place. `level` is that of the rule, from 1.
    pub(crate) fn parse(name: Name, text: &str, level: usize) -> Result<Option<Self>, String> {
        let mut wanted = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (barred, word) = match word.strip_prefix('!') {
                Some(word) => (true, word.trim()),
                None => (false, word),
            };
            if word.eq_ignore_ascii_case("any") {
                if barred {
                    return Err("`!ANY` matches nothing; take it out".to_owned());
                }
                return Ok(None);
            }
            let term = term(name, word, level)?;
            if barred { &mut wanted.none_of } else { &mut wanted.any_of }.push(term);
        }
        let empty = wanted.any_of.is_empty() && wanted.none_of.is_empty();
        Ok((!empty).then_some(wanted))
    }

    pub(crate) fn takes(&self, value: Option<&str>, earlier: &[Values], assets: &Assets) -> bool {
        let Some(value) = value else { return false };
        let is = |term: &Term| match term {
            Term::Text(text) => text.eq_ignore_ascii_case(value),
            Term::Net(net) => value.parse::<IpAddr>().is_ok_and(|ip| net.contains(ip)),
            Term::Ports(from, to) => value.parse().is_ok_and(|port| (*from..=*to).contains(&port)),
            Term::Home => assets.is_home(value),
            Term::Back { level, name } => {
                earlier.get(level - 1).and_then(|values| values.get(*name)) == Some(value)
            }
        };
        (self.any_of.is_empty() || self.any_of.iter().any(is)) && !self.none_of.iter().any(is)
    }

    /// Where it can only be what an earlier level had: which of those.
    pub(crate) fn backs(&self) -> Option<Vec<(usize, Name)>> {
        let back = |term: &Term| match term {
            Term::Back { level, name } => Some((*level, *name)),
            _ => None,
        };
        let backs: Option<Vec<_>> = self.any_of.iter().map(back).collect();
        backs.filter(|backs| !backs.is_empty())
    }

    pub(crate) fn names_home(&self) -> bool {
        self.any_of.iter().chain(&self.none_of).any(|term| *term == Term::Home)
    }

    /// Whether no event could be told apart without what came before.
    pub(crate) fn looks_back(&self) -> bool {
        let back = |term: &Term| matches!(term, Term::Back { .. });
        self.any_of.iter().chain(&self.none_of).any(back)
    }
}

fn term(name: Name, word: &str, level: usize) -> Result<Term, String> {
    if let Some((number, field)) = word.split_once(':')
        && let Ok(back) = number.parse::<usize>()
        && let Some(of) = Name::of(field)
    {
        if back == 0 || back >= level {
            return Err(format!(
                "`{word}` looks back to level {back} from level {level}; name an earlier one"
            ));
        }
        return Ok(Term::Back { level: back, name: of });
    }
    if word.eq_ignore_ascii_case("home_net") {
        if !name.is_address() {
            return Err("`HOME_NET` is no value of this field; it stands for addresses".to_owned());
        }
        return Ok(Term::Home);
    }
    if name.is_address() {
        let net = Net::parse(word);
        return net.map(Term::Net).ok_or_else(|| {
            format!(
                "`{word}` is no address, range or back-reference such as `1:SRC_IP`; asset names are not \
                 resolved, write their addresses"
            )
        });
    }
    if name == SRC_PORT || name == DST_PORT {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        return match (from.trim().parse(), to.trim().parse()) {
            (Ok(from), Ok(to)) => Ok(Term::Ports(from, to)),
            _ => Err(format!("`{word}` is no port, range of ports or back-reference")),
        };
    }
    Ok(Term::Text(word.to_owned()))
}
