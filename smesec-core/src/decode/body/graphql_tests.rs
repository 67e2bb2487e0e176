use super::super::testing::Xorshift;
use super::*;

fn read(document: &[u8]) -> (Vec<String>, Result<GraphqlShape, GraphqlError>) {
    let mut out = Vec::new();
    let shape = parse_graphql(document, GraphqlLimits::default(), &mut |part| {
        let (kind, text) = match part {
            GraphqlPart::String(text) => ("string", text),
            GraphqlPart::Number(text) => ("number", text),
            GraphqlPart::Enum(text) => ("enum", text),
            GraphqlPart::Field(text) => ("field", text),
            GraphqlPart::Alias(text) => ("alias", text),
            GraphqlPart::Argument(text) => ("argument", text),
            GraphqlPart::Directive(text) => ("directive", text),
            GraphqlPart::Variable(text) => ("variable", text),
            GraphqlPart::Operation(text) => ("operation", text),
            GraphqlPart::Fragment(text) => ("fragment", text),
            GraphqlPart::Type(text) => ("type", text),
        };
        out.push(format!("{kind} {}", String::from_utf8_lossy(text)));
    });
    (out, shape)
}

const FULL: &str = r#"
        # comment { "not read" }
        query Find($id: ID! = "x", $tags: [[String!]]! = ["a", $no], $e: Kind = OPEN @dep(why: 1)) @live {
          on: node(id: $id, filter: {tag: {in: [$tags, NEW, true]}, n: -1.5e3}) @include(if: $e) {
            id, ...Parts @skip(if: false)
            ... on User { name }
            ... @include(if: true) { query }
            text(block: """a "quoted" \""" \n
              é""")
          }
        }
        fragment Parts on Node @x { id }
        mutation { delete(all: null) }
    "#;

#[test]
fn reports_every_part_under_its_role() {
    let (parts, shape) = read(FULL.as_bytes());
    assert_eq!(
        parts,
        [
            "operation Find",
            "variable id",
            "type ID",
            "string x",
            "variable tags",
            "type String",
            "string a",
            "variable no",
            "variable e",
            "type Kind",
            "enum OPEN",
            "directive dep",
            "argument why",
            "number 1",
            "directive live",
            "alias on",
            "field node",
            "argument id",
            "variable id",
            "argument filter",
            "argument tag",
            "argument in",
            "variable tags",
            "enum NEW",
            "argument n",
            "number -1.5e3",
            "directive include",
            "argument if",
            "variable e",
            "field id",
            "fragment Parts",
            "directive skip",
            "argument if",
            "type User",
            "field name",
            "directive include",
            "argument if",
            "field query",
            "field text",
            "argument block",
            "string a \"quoted\" \"\"\" \\n\n              é",
            "fragment Parts",
            "type Node",
            "directive x",
            "field id",
            "field delete",
            "argument all",
        ]
    );
    let shape = shape.unwrap();
    let wanted = GraphqlShape {
        depth: 3,
        fields: 7,
        aliases: 1,
        directives: 6,
        operations: 2,
        fragments: 1,
        spreads: 1,
        tokens: shape.tokens,
    };
    assert_eq!(shape, wanted);
}

#[test]
fn unescapes_strings() {
    for (raw, wanted) in [
        (r"", ""),
        (r"plain é", "plain é"),
        (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r"\u00e9\ud83d\ude00\u{1F600}", "é😀😀"),
        (r"\ud800x\ude00\ud800", "\u{fffd}x\u{fffd}\u{fffd}"),
        (r"\ud800\n\ud800\ud83d\ude00", "\u{fffd}\n\u{fffd}😀"),
    ] {
        let (parts, shape) = read(format!("{{a(b:\"{raw}\")}}").as_bytes());
        assert!(shape.is_ok(), "{raw} {shape:?}");
        assert_eq!(parts[2], format!("string {wanted}"));
    }
    assert_eq!(read(b"{a(b:\"\"\"\"\"\")}").0[2], "string ");
}

#[test]
fn counts_aliases_and_depth() {
    let names: Vec<_> = (0..1000).map(|n| format!("a{n}:login")).collect();
    let aliases = format!("{{{}}}", names.join(" "));
    assert_eq!(read(aliases.as_bytes()).1.unwrap().aliases, 1000);
    let deep = format!("{}{}", "{a".repeat(60), "}".repeat(60));
    assert_eq!(read(deep.as_bytes()).1.unwrap().depth, 60);
}

#[test]
fn tells_faults_and_their_place() {
    for (document, wanted) in [
        ("", (0, GraphqlFault::Truncated)),
        ("{", (1, GraphqlFault::Truncated)),
        ("{a", (2, GraphqlFault::Truncated)),
        ("{a(b:1}", (6, GraphqlFault::UnbalancedBracket)),
        ("}", (0, GraphqlFault::UnbalancedBracket)),
        ("{a} b", (4, GraphqlFault::UnexpectedToken)),
        ("type A { b: C }", (0, GraphqlFault::UnexpectedToken)),
        ("{a(b:\"x)}", (5, GraphqlFault::UnterminatedString)),
        ("{a(b:\"x\ny\")}", (5, GraphqlFault::UnterminatedString)),
        ("{a(b:\"\"\"x\\\"\"\")}", (5, GraphqlFault::UnterminatedString)),
        ("{a(b:\"\\x\")}", (5, GraphqlFault::InvalidEscape)),
        ("{a(b:\"\\u12\")}", (5, GraphqlFault::InvalidEscape)),
        ("{a(b:01)}", (5, GraphqlFault::InvalidNumber)),
        ("{a ; b}", (3, GraphqlFault::UnexpectedByte)),
        ("{a(b)}", (3, GraphqlFault::UnexpectedToken)),
        ("{a(1)}", (3, GraphqlFault::UnexpectedToken)),
        ("{\"a\"}", (1, GraphqlFault::UnexpectedToken)),
    ] {
        let error = read(document.as_bytes()).1.unwrap_err();
        assert_eq!((error.offset, error.what), wanted, "{document}");
    }
    let error = read(b"{a ; b}").1.unwrap_err();
    assert_eq!(error.to_string(), "invalid GraphQL at byte 3: unexpected byte");
}

#[test]
fn holds_its_limits() {
    let what = |text: &str, limits| {
        parse_graphql(text.as_bytes(), limits, &mut |_| {}).map_err(|error| error.what)
    };
    let limits = GraphqlLimits { bytes: 20, tokens: 9, depth: 3 };
    assert!(what("{a{b{c}}}", limits).is_ok());
    assert_eq!(what("{a{b{c{d}}}}", limits), Err(GraphqlFault::TooDeep));
    assert_eq!(what("{a b c d e f g h}", limits), Err(GraphqlFault::TooManyTokens));
    assert_eq!(what(&"{a}".repeat(7), limits), Err(GraphqlFault::TooLong));
    let deep = format!("{{a(b:{}", "[".repeat(100_000));
    assert_eq!(what(&deep, GraphqlLimits::default()), Err(GraphqlFault::TooDeep));
}

#[test]
fn survives_mutations() {
    let mut random = Xorshift::new(31);
    let mut good = 0;
    for _ in 0..20_000 {
        let input = random.mutate(FULL.as_bytes(), b"{}()[]:$@!.\"\\,#=a1- \n|&\xff");
        let (parts, shape) = read(&input);
        match shape {
            Ok(shape) => {
                good += 1;
                assert!(parts.len() <= shape.tokens);
            }
            Err(error) => assert!(error.offset <= input.len()),
        }
    }
    assert!(good > 1000, "{good}");
}
