//! Elements and attributes that run script, or can be made to.

/// What an attribute of some name can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Harmless,
    /// Runs script, whatever its value.
    Dangerous,
    /// Its value is an address, which may be one of script.
    Address,
    /// Its value is the name of another attribute.
    NameInValue,
}

/// A name in upper case without its NULs, which old browsers skip; names longer than any listed are cut.
struct Folded {
    bytes: [u8; 16],
    len: usize,
}

impl Folded {
    fn new(name: &[u8]) -> Self {
        let mut folded = Self { bytes: [0; 16], len: 0 };
        for (place, byte) in folded.bytes.iter_mut().zip(name.iter().filter(|&&byte| byte != 0)) {
            *place = byte.to_ascii_uppercase();
            folded.len += 1;
        }
        folded
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

pub(super) fn is_dangerous_element(name: &[u8]) -> bool {
    let Some(start) = name.get(..3) else {
        return false;
    };
    start.eq_ignore_ascii_case(b"SVG")
        || start.eq_ignore_ascii_case(b"XSL")
        || matches!(
            Folded::new(name).as_bytes(),
            b"APPLET"
                | b"BASE"
                | b"COMMENT"
                | b"EMBED"
                | b"FRAME"
                | b"FRAMESET"
                | b"HANDLER"
                | b"IFRAME"
                | b"IMPORT"
                | b"ISINDEX"
                | b"LINK"
                | b"LISTENER"
                | b"META"
                | b"NOSCRIPT"
                | b"OBJECT"
                | b"SCRIPT"
                | b"STYLE"
                | b"VMLFRAME"
                | b"XML"
                | b"XSS"
        )
}

pub(super) fn attribute(name: &[u8]) -> Attribute {
    if name.len() < 2 {
        return Attribute::Harmless;
    }
    if let Some(start) = name.get(..5)
        && (matches!(start, [b'o' | b'O', b'n' | b'N', ..])
            || start.eq_ignore_ascii_case(b"XMLNS")
            || start.eq_ignore_ascii_case(b"XLINK"))
    {
        return Attribute::Dangerous;
    }
    match Folded::new(name).as_bytes() {
        b"DATAFORMATAS" | b"DATASRC" | b"FILTER" | b"STYLE" => Attribute::Dangerous,
        b"ATTRIBUTENAME" => Attribute::NameInValue,
        b"ACTION" | b"BACKGROUND" | b"BY" | b"DYNSRC" | b"FOLDER" | b"FORMACTION" | b"FROM"
        | b"HANDLER" | b"HREF" | b"LOWSRC" | b"POSTER" | b"SRC" | b"TO" | b"VALUES"
        | b"XLINK:HREF" => Attribute::Address,
        _ => Attribute::Harmless,
    }
}
