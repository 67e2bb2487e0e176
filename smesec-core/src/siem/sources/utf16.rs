//! UTF-16, which Windows' exports are written in, as UTF-8.

/// Turns pieces of a stream into text.
#[derive(Debug)]
pub(super) struct Utf16 {
    big: bool,
    /// The first byte of a unit whose second has not come.
    odd: Option<u8>,
    /// The first unit of a pair.
    high: Option<u16>,
    text: String,
    /// Units that are no text.
    pub(super) replaced: u64,
}

impl Utf16 {
    /// By the mark at the beginning of a stream.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let big = match start {
            [0xff, 0xfe, ..] => false,
            [0xfe, 0xff, ..] => true,
            _ => return None,
        };
        Some(Self { big, odd: None, high: None, text: String::new(), replaced: 0 })
    }

    /// The text of the next bytes.
    pub(super) fn text(&mut self, bytes: &[u8]) -> &str {
        self.text.clear();
        let mut bytes = bytes.iter().copied();
        while let Some(first) = self.odd.take().or_else(|| bytes.next()) {
            let Some(second) = bytes.next() else {
                self.odd = Some(first);
                break;
            };
            let unit = [first, second];
            self.unit(if self.big { u16::from_be_bytes(unit) } else { u16::from_le_bytes(unit) });
        }
        &self.text
    }

    /// The stream has ended.
    pub(super) fn rest(&mut self) -> &str {
        self.text.clear();
        if self.high.take().is_some() | self.odd.take().is_some() {
            self.replace();
        }
        &self.text
    }

    fn unit(&mut self, unit: u16) {
        if let Some(high) = self.high.take() {
            if let Some(Ok(pair)) = char::decode_utf16([high, unit]).next()
                && (0xdc00..0xe000).contains(&unit)
            {
                return self.text.push(pair);
            }
            self.replace();
        }
        match char::from_u32(u32::from(unit)) {
            Some(one) => self.text.push(one),
            None if unit < 0xdc00 => self.high = Some(unit),
            None => self.replace(),
        }
    }

    fn replace(&mut self) {
        self.replaced += 1;
        self.text.push(char::REPLACEMENT_CHARACTER);
    }
}
