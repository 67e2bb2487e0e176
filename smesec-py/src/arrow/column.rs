//! Columns, and a row of them as a record's fields.

use smesec_core::siem::record::{Field, Kind as FieldKind, Value};
use smesec_core::time::{Civil, Timestamp};
use std::fmt::Write as _;
use std::ops::Range;

/// What a column holds, as far as it is read.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool,
    Int {
        width: usize,
        signed: bool,
    },
    Float32,
    Float64,
    /// Text or bytes behind offsets of 32 bits.
    Text32,
    Text64,
    /// Text or bytes behind views of 16 bytes.
    View,
    /// Bytes of one length.
    Fixed(usize),
    /// Days or milliseconds since 1970.
    Date {
        width: usize,
    },
    /// So many a second since 1970; in UTC where the type names a zone.
    Stamp {
        per_second: i64,
        zoned: bool,
    },
    Struct,
    List32,
    List64,
    FixedList(usize),
}

impl Kind {
    /// By the interface's format string.
    pub(super) fn of(format: &str) -> Option<Self> {
        let int = |width, signed| Self::Int { width, signed };
        Some(match format {
            "n" => Self::Null,
            "b" => Self::Bool,
            "c" => int(1, true),
            "C" => int(1, false),
            "s" => int(2, true),
            "S" => int(2, false),
            "i" | "tts" | "ttm" => int(4, true),
            "I" => int(4, false),
            "l" | "ttu" | "ttn" | "tDs" | "tDm" | "tDu" | "tDn" => int(8, true),
            "L" => int(8, false),
            "f" => Self::Float32,
            "g" => Self::Float64,
            "u" | "z" => Self::Text32,
            "U" | "Z" => Self::Text64,
            "vu" | "vz" => Self::View,
            "tdD" => Self::Date { width: 4 },
            "tdm" => Self::Date { width: 8 },
            "+s" => Self::Struct,
            "+l" => Self::List32,
            "+L" => Self::List64,
            other => {
                if let Some(width) = other.strip_prefix("w:") {
                    return width.parse().ok().map(Self::Fixed);
                }
                if let Some(width) = other.strip_prefix("+w:") {
                    return width.parse().ok().map(Self::FixedList);
                }
                let (unit, zone) = other.strip_prefix("ts")?.split_once(':')?;
                let per_second = match unit {
                    "s" => 1,
                    "m" => 1_000,
                    "u" => 1_000_000,
                    "n" => 1_000_000_000,
                    _ => return None,
                };
                Self::Stamp { per_second, zoned: !zone.is_empty() }
            }
        })
    }

    /// The bytes of a number.
    pub(super) const fn width(&self) -> usize {
        match self {
            Self::Int { width, .. } | Self::Date { width } => *width,
            Self::Float32 => 4,
            Self::Float64 | Self::Stamp { .. } => 8,
            _ => 0,
        }
    }
}

/// One column of a batch.
#[derive(Debug)]
pub(crate) struct Column<'a> {
    name: &'a str,
    kind: &'a Kind,
    offset: usize,
    length: usize,
    pub(super) validity: Option<&'a [u8]>,
    /// Values, offsets or views.
    pub(super) first: &'a [u8],
    /// The bytes behind offsets.
    pub(super) second: &'a [u8],
    /// The bytes behind views.
    pub(super) more: Vec<&'a [u8]>,
    pub(super) children: Vec<Column<'a>>,
    /// What the numbers of a dictionary stand for.
    pub(super) values: Option<Box<Column<'a>>>,
}

/// The fields of one row, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Cells<'a> {
    cells: Vec<(&'a str, Text<'a>, FieldKind)>,
    /// What is no text in the table.
    written: String,
}

#[derive(Debug)]
enum Text<'a> {
    There(&'a str),
    Written(Range<usize>),
}

impl<'a> Cells<'a> {
    /// The fields of a row of a batch.
    pub(crate) fn row(&mut self, root: &'a Column<'a>, row: usize) -> Vec<Field<'_>> {
        self.cells.clear();
        self.written.clear();
        root.push(root.name, row, self);
        let field = |(name, text, kind): &(&'a str, Text<'a>, FieldKind)| {
            let text = match text {
                Text::There(text) => text,
                Text::Written(at) => self.written.get(at.clone()).unwrap_or_default(),
            };
            Field { name, value: Value { text, kind: *kind } }
        };
        self.cells.iter().map(field).collect()
    }

    fn there(&mut self, name: &'a str, text: &'a str, kind: FieldKind) {
        self.cells.push((name, Text::There(text), kind));
    }

    fn written(&mut self, name: &'a str, kind: FieldKind, write: impl FnOnce(&mut String)) {
        let start = self.written.len();
        write(&mut self.written);
        self.cells.push((name, Text::Written(start..self.written.len()), kind));
    }

    fn number(&mut self, name: &'a str, number: impl std::fmt::Display) {
        self.written(name, FieldKind::Number, |out| {
            let _ = write!(out, "{number}");
        });
    }
}

impl<'a> Column<'a> {
    pub(super) fn new(name: &'a str, kind: &'a Kind, offset: usize, length: usize) -> Self {
        Self {
            name,
            kind,
            offset,
            length,
            validity: None,
            first: &[],
            second: &[],
            more: Vec::new(),
            children: Vec::new(),
            values: None,
        }
    }

    /// How many rows it has.
    pub(crate) const fn rows(&self) -> usize {
        self.length
    }

    /// Adds its value in a row; nothing where it has none.
    fn push(&'a self, name: &'a str, row: usize, out: &mut Cells<'a>) {
        if row >= self.length {
            return;
        }
        let Some(at) = self.offset.checked_add(row) else { return };
        if self.validity.is_some_and(|bits| !bit(bits, at)) {
            return;
        }
        if let Some(values) = &self.values {
            if let Some(index) = self.int(at).and_then(|index| usize::try_from(index).ok()) {
                values.push(name, index, out);
            }
            return;
        }
        match *self.kind {
            Kind::Null => {}
            Kind::Bool => {
                let text = if bit(self.first, at) { "true" } else { "false" };
                out.there(name, text, FieldKind::Bool);
            }
            Kind::Int { .. } => {
                if let Some(number) = self.int(at) {
                    out.number(name, number);
                }
            }
            // As Python's: the shortest digits of the number that the column holds, and nothing for "not a number".
            Kind::Float32 => {
                let number = word(self.first, at).map(f32::from_ne_bytes);
                float(name, number.map(f64::from), out);
            }
            Kind::Float64 => float(name, word(self.first, at).map(f64::from_ne_bytes), out),
            Kind::Text32 | Kind::Text64 => {
                let ends = at.checked_add(1).and_then(|end| self.offset_at(end));
                if let (Some(from), Some(to)) = (self.offset_at(at), ends) {
                    text(name, self.second.get(from..to), out);
                }
            }
            Kind::View => text(name, self.view(at), out),
            Kind::Fixed(width) => {
                let from = at.checked_mul(width);
                let bytes = from.and_then(|from| self.first.get(from..from.checked_add(width)?));
                text(name, bytes, out);
            }
            Kind::Date { width } => {
                if let Some(number) = self.int(at) {
                    let seconds = if width == 4 {
                        number.checked_mul(86_400)
                    } else {
                        Some(number.div_euclid(1_000))
                    };
                    if let Some(seconds) = seconds.and_then(|s| i64::try_from(s).ok()) {
                        out.written(name, FieldKind::Text, |out| {
                            let _ = day(out, seconds);
                        });
                    }
                }
            }
            Kind::Stamp { per_second, zoned } => {
                if let Some(number) = word(self.first, at).map(i64::from_ne_bytes) {
                    out.written(name, FieldKind::Text, |out| stamp(out, number, per_second, zoned));
                }
            }
            Kind::Struct => self.children.iter().for_each(|child| child.push(child.name, at, out)),
            Kind::List32 | Kind::List64 => {
                let ends = at.checked_add(1).and_then(|end| self.offset_at(end));
                if let (Some(from), Some(to)) = (self.offset_at(at), ends) {
                    self.items(name, from..to, out);
                }
            }
            Kind::FixedList(width) => {
                if let Some(from) = at.checked_mul(width) {
                    self.items(name, from..from.saturating_add(width), out);
                }
            }
        }
    }

    fn items(&'a self, name: &'a str, range: Range<usize>, out: &mut Cells<'a>) {
        let Some(child) = self.children.first() else { return };
        for row in range.start..range.end.min(child.length) {
            child.push(name, row, out);
        }
    }

    /// The whole number at a place.
    fn int(&self, at: usize) -> Option<i128> {
        let (width, signed) = match *self.kind {
            Kind::Int { width, signed } => (width, signed),
            Kind::Date { width } => (width, true),
            _ => return None,
        };
        Some(match (width, signed) {
            (1, true) => i8::from_ne_bytes(word(self.first, at)?).into(),
            (1, false) => u8::from_ne_bytes(word(self.first, at)?).into(),
            (2, true) => i16::from_ne_bytes(word(self.first, at)?).into(),
            (2, false) => u16::from_ne_bytes(word(self.first, at)?).into(),
            (4, true) => i32::from_ne_bytes(word(self.first, at)?).into(),
            (4, false) => u32::from_ne_bytes(word(self.first, at)?).into(),
            (8, true) => i64::from_ne_bytes(word(self.first, at)?).into(),
            _ => u64::from_ne_bytes(word(self.first, at)?).into(),
        })
    }

    /// Where the text or list at a place begins.
    pub(super) fn offset_at(&self, at: usize) -> Option<usize> {
        match self.kind {
            Kind::Text32 | Kind::List32 => {
                usize::try_from(i32::from_ne_bytes(word(self.first, at)?)).ok()
            }
            _ => usize::try_from(i64::from_ne_bytes(word(self.first, at)?)).ok(),
        }
    }

    /// The bytes of a view: 12 at most stand in it, more in one of the buffers.
    fn view(&self, at: usize) -> Option<&'a [u8]> {
        let from = at.checked_mul(16)?;
        let view = self.first.get(from..from.checked_add(16)?)?;
        let length = usize::try_from(i32::from_ne_bytes(word(view, 0)?)).ok()?;
        if length <= 12 {
            return view.get(4..4 + length);
        }
        let buffer = usize::try_from(i32::from_ne_bytes(word(view, 2)?)).ok()?;
        let start = usize::try_from(i32::from_ne_bytes(word(view, 3)?)).ok()?;
        self.more.get(buffer)?.get(start..start.checked_add(length)?)
    }
}

fn float<'a>(name: &'a str, number: Option<f64>, out: &mut Cells<'a>) {
    if let Some(number) = number.filter(|number| !number.is_nan()) {
        out.written(name, FieldKind::Number, |out| {
            let _ = write!(out, "{number:?}");
        });
    }
}

fn text<'a>(name: &'a str, bytes: Option<&'a [u8]>, out: &mut Cells<'a>) {
    let Some(bytes) = bytes else { return };
    match std::str::from_utf8(bytes) {
        Ok(text) => out.there(name, text, FieldKind::Text),
        Err(_) => out.written(name, FieldKind::Text, |out| {
            out.push_str(&String::from_utf8_lossy(bytes));
        }),
    }
}

/// ISO 8601 with as many decimals as the unit has, and `Z` for what is in UTC.
fn stamp(out: &mut String, number: i64, per_second: i64, zoned: bool) {
    let (seconds, rest) = (number.div_euclid(per_second), number.rem_euclid(per_second));
    let clock = day(out, seconds);
    let _ = write!(out, "T{:02}:{:02}:{:02}", clock.hour, clock.minute, clock.second);
    let _ = match per_second {
        1 => Ok(()),
        1_000 => write!(out, ".{rest:03}"),
        1_000_000 => write!(out, ".{rest:06}"),
        _ => write!(out, ".{rest:09}"),
    };
    if zoned {
        out.push('Z');
    }
}

/// Writes the day of a time, and gives its clock.
fn day(out: &mut String, seconds: i64) -> Civil {
    /// 400 years, after which the calendar repeats. Times near 1970 are within what a time stamp reaches.
    const ERA: i64 = 146_097 * 86_400;
    let eras = seconds.saturating_add(ERA / 2).div_euclid(ERA);
    let near = seconds.saturating_sub(eras.saturating_mul(ERA));
    let civil = Timestamp::from_unix_seconds(near).civil();
    let year = civil.year.saturating_add(eras.saturating_mul(400));
    let _ = write!(out, "{year:04}-{:02}-{:02}", civil.month, civil.day);
    civil
}

/// The `N` bytes of the item at a place.
fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.as_chunks::<N>().0.get(at).copied()
}

fn bit(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}
