use super::super::testing::Xorshift;
use super::super::xpath::XPath;
use super::*;

fn parse(text: &[u8]) -> Result<XmlDocument, XmlError> {
    XmlDocument::parse(text, XmlLimits::default())
}

fn select(document: &XmlDocument, path: &str) -> Vec<String> {
    let mut out = Vec::new();
    document.select(&XPath::compile(path).unwrap(), &mut |value| {
        out.push(String::from_utf8_lossy(value).into_owned());
    });
    out
}

fn all(text: &[u8]) -> (Vec<String>, Vec<String>) {
    let document = parse(text).unwrap();
    (select(&document, "/*"), select(&document, "//@*"))
}

fn fault(text: &[u8]) -> (usize, XmlFault) {
    let error = parse(text).unwrap_err();
    (error.offset, error.what)
}

#[test]
fn reads_text_and_attributes_as_the_peer_does() {
    for (text, content, attributes) in [
        (
            &b"<a b=\"1&amp;2\"><c>t&lt;x</c>u<!-- k --><![CDATA[<z>]]><?pi d?></a>"[..],
            "t<xu<z>",
            &["1&2"][..],
        ),
        (b"<p:a xmlns:p=\"u\" p:b=\"c\"><p:d/></p:a>", "", &["c"]),
        (b"<p:a/>", "", &[]),
        (b"  <a/>\n", "", &[]),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- c --><?p?><a/><!-- d -->", "", &[]),
        (b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>", "é", &[]),
        (b"<?xml version=\"1.0\" encoding='windows-1252' ?><a>\x80\xe9</a>", "€é", &[]),
        (b"\xff\xfe<\0a\0>\0x\0<\0/\0a\0>\0", "x", &[]),
        (b"\xfe\xff\0<\0a\0>\0x\0<\0/\0a\0>", "x", &[]),
        (b"<\0a\0>\0\xe9\0<\0/\0a\0>\0", "é", &[]),
        (b"<a>&#65;&#x42;&apos;&quot;&gt;</a>", "AB'\">", &[]),
        (b"<a>x\r\ny\rz</a>", "x\ny\nz", &[]),
        (b"<a xmlns=\"u\" b=\" x\n y\r\nz\"/>", "", &[" x  y z"]),
        (b"<a b=\"&#10;&#9;\"/>", "", &["\n\t"]),
        (b"<a b = '\"' c=\"'\" ></a >", "", &["\"", "'"]),
        (b"<a><b>1</b><b>2</b></a>", "12", &[]),
        ("<é à='ü'>ö</é>".as_bytes(), "ö", &["ü"]),
    ] {
        let lossy = String::from_utf8_lossy(text);
        assert_eq!(
            all(text),
            (vec![content.to_owned()], attributes.iter().map(|a| (*a).to_owned()).collect()),
            "{lossy}"
        );
    }
}

#[test]
fn expands_the_entities_that_the_document_declares() {
    let document = parse(
        b"<!DOCTYPE a [<!-- ]> --><!ENTITY e \"evil\"><!ENTITY % p SYSTEM 'file:///etc/passwd'>\
          <!ENTITY o SYSTEM 'file:///etc/passwd'><!ENTITY n \"<c d='&e;'>&e;&#38;lt;</c>&#65;\">\
          <!ENTITY e 'later'><!ENTITY q '\"'>\
          <?x ]> ?><!ATTLIST a d CDATA \"dflt>]\">]><a b='&e;&o;&q;'>&e;&n;x&o;</a>",
    )
    .unwrap();
    assert_eq!(select(&document, "/*"), ["evilevil<Ax&o;"]);
    assert_eq!(select(&document, "//@*"), ["evil&o;\"", "evil"]);
    assert_eq!(select(&document, "//c"), ["evil<"]);
    assert!(document.doctype_seen());
    assert_eq!(document.entities_declared(), 6);
    assert_eq!(document.entity_references(), 2);
    let values: Vec<_> = document.entity_values().take(2).collect();
    assert_eq!(values, [&b"evil"[..], b"file:///etc/passwd"]);
    let outside = parse(b"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a>y&z;</a>").unwrap();
    assert!(outside.doctype_seen() && select(&outside, "/*") == ["y&z;"]);
}

#[test]
fn entities_have_bounds() {
    let what = |subset: &str, content: &str| {
        let text = format!("<!DOCTYPE a [{subset}]><a>{content}</a>");
        XmlDocument::parse(text.as_bytes(), XmlLimits::default()).map_err(|e| e.what).err()
    };
    let nested = |levels: usize, times: usize| {
        let entities = (1..levels)
            .map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(times)));
        format!("<!ENTITY e0 \"ha\">{}", entities.collect::<String>())
    };
    assert_eq!(what(&nested(8, 2), "&e7;"), None);
    assert_eq!(what(&nested(9, 1), "&e8;"), Some(XmlFault::EntityLimit));
    assert_eq!(what(&nested(9, 1), "<b c='&e8;'/>"), Some(XmlFault::EntityLimit));
    assert_eq!(what(&nested(8, 10), "&e7;"), Some(XmlFault::EntityLimit));
    assert_eq!(what(&nested(8, 10), "<b c='&e7;'/>"), Some(XmlFault::EntityLimit));
    assert_eq!(what("<!ENTITY x '&x;'>", "&x;"), Some(XmlFault::EntityLimit));
    assert_eq!(what("<!ENTITY x '<b>'>", "&x;</b>"), Some(XmlFault::Truncated));
    assert_eq!(what("<!ENTITY x '</a>'>", "&x;"), Some(XmlFault::TagMismatch));
    assert_eq!(what("<!ENTITY x '&#60;'>", "<b c='&x;'/>"), Some(XmlFault::InvalidAttribute));
    assert_eq!(what("<!ENTITY x 'y'>", "&z;"), Some(XmlFault::UndeclaredEntity));
    // What a parameter entity declares is not read, so nothing that may hang on it passes.
    let parameter = "<!ENTITY % p \"<!ENTITY x 'evil'>\">%p;<!ENTITY x 'good'>";
    assert_eq!(what(parameter, "&x;"), Some(XmlFault::UndeclaredEntity));
    assert_eq!(what(parameter, "x"), None);
}

#[test]
fn tells_faults_and_their_place() {
    for (text, wanted) in [
        (&b"<a>"[..], (3, XmlFault::Truncated)),
        (b"<a><b></a>", (10, XmlFault::TagMismatch)),
        (b"<a/>x", (4, XmlFault::OutsideRoot)),
        (b"<a/><b/>", (4, XmlFault::OutsideRoot)),
        (b"", (0, XmlFault::NoRoot)),
        (b"hello", (0, XmlFault::OutsideRoot)),
        (b"<a b=1/>", (5, XmlFault::InvalidAttribute)),
        (b"<a b/>", (4, XmlFault::InvalidAttribute)),
        (b"<a b='1'c='2'/>", (8, XmlFault::InvalidTag)),
        (b"<a b='<'/>", (6, XmlFault::InvalidAttribute)),
        (b"<a x='1' x='2'/>", (16, XmlFault::DuplicateAttribute)),
        (b"<a xmlns:x='1' xmlns:x='2'/>", (28, XmlFault::DuplicateAttribute)),
        (b"<a>&nope;</a>", (3, XmlFault::UndeclaredEntity)),
        (b"<a>&#0;</a>", (3, XmlFault::InvalidReference)),
        (b"<a>&#xd800;</a>", (3, XmlFault::InvalidReference)),
        (b"<a>&#99999999999;</a>", (3, XmlFault::InvalidReference)),
        (b"<a>& b;</a>", (3, XmlFault::InvalidReference)),
        (b"<a>&;</a>", (3, XmlFault::InvalidReference)),
        (b"<a>\xe9</a>", (3, XmlFault::InvalidEncoding)),
        (b"<a>]]></a>", (3, XmlFault::CdataEndInText)),
        (b"<a><!-- a -- b --></a>", (12, XmlFault::InvalidComment)),
        (b"<a><1/></a>", (4, XmlFault::ExpectedName)),
        (b"<a></a x>", (7, XmlFault::InvalidTag)),
        (b"<a><!DOCTYPE b></a>", (3, XmlFault::InvalidTag)),
        (b" <?xml version=\"1.0\"?><a/>", (6, XmlFault::InvalidInstruction)),
        (b"<!DOCTYPE a><!DOCTYPE a><a/>", (12, XmlFault::InvalidDoctype)),
        (b"<!DOCTYPE a [<a>]><a/>", (13, XmlFault::InvalidDoctype)),
        (b"<!DOCTYPE a [", (13, XmlFault::Truncated)),
        (b"<?xml encoding='utf-7'?><a/>", (0, XmlFault::UnsupportedEncoding)),
    ] {
        assert_eq!(fault(text), wanted, "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(fault(b"<a>xy\x01</a>").1, XmlFault::InvalidCharacter);
    assert_eq!(fault(b"<a b='\x01'/>").1, XmlFault::InvalidCharacter);
    assert_eq!(fault(b"<a>\xef\xbf\xbf</a>").1, XmlFault::InvalidCharacter);
    let error = parse(b"<a/>x").unwrap_err();
    assert_eq!(error.to_string(), "invalid XML at byte 4: data outside the root element");
}

#[test]
fn keeps_what_precedes_a_fault() {
    let (document, error) =
        XmlDocument::parse_partial(b"<a b='1'>AB<c>d</a>", XmlLimits::default());
    assert_eq!(error.unwrap().what, XmlFault::TagMismatch);
    assert_eq!(select(&document, "/*"), ["ABd"]);
    assert_eq!(select(&document, "//c/text()"), ["d"]);
    assert_eq!(select(&document, "//@*"), ["1"]);
}

#[test]
fn holds_its_limits() {
    let limits = XmlLimits { bytes: 200, depth: 3, nodes: 8, namespaces: 2 };
    let what = |text: &str| XmlDocument::parse(text.as_bytes(), limits).map_err(|e| e.what).err();
    assert_eq!(what("<a><a><a/></a></a>"), None);
    assert_eq!(what("<a><a><a><a/></a></a></a>"), Some(XmlFault::TooDeep));
    assert_eq!(what("<a b='1' c='1' d='1' e='1'/>"), None);
    assert_eq!(what(&format!("<a>{}</a>", "<b c=''/>".repeat(6))), Some(XmlFault::TooManyNodes));
    assert_eq!(what("<a xmlns='1' xmlns:b='2'/>"), None);
    assert_eq!(
        what("<a xmlns='1' xmlns:b='2'><b xmlns:c=''/></a>"),
        Some(XmlFault::TooManyNamespaces)
    );
    assert_eq!(what(&" ".repeat(201)), Some(XmlFault::TooLong));
    let deep = "<a>".repeat(1 << 20);
    assert_eq!(fault(deep.as_bytes()).1, XmlFault::TooDeep);
}

#[test]
fn survives_mutations() {
    let seeds: [&[u8]; 3] = [
        b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY e 'x'>]><a b=\"1&amp;2\" xmlns:p='u'><p:c>t&e;&#65;</p:c><!-- k --><![CDATA[<z>]]><?pi d?></a>",
        b"\xff\xfe<\0a\0>\0x\0<\0/\0a\0>\0",
        b"<a><b c='1'/>\r\n<b c='2'>x</b>tail</a>",
    ];
    let mut random = Xorshift::new(17);
    let mut good = 0;
    for seed in seeds {
        for _ in 0..15_000 {
            let input = random.mutate(seed, b"<>/!?[]-'\"&;=# \0ab:\xc3\xa9\r");
            let (document, error) = XmlDocument::parse_partial(&input, XmlLimits::default());
            good += usize::from(error.is_none());
            let texts = select(&document, "//text()").concat();
            assert_eq!(select(&document, "/").concat(), texts);
            assert!(
                document
                    .nodes
                    .iter()
                    .enumerate()
                    .all(|(at, node)| node.end > at && node.end <= document.nodes.len())
            );
        }
    }
    assert!(good > 1000, "{good}");
}
