//! Logs made to cost more than they are long.

use crate::siem::sources::{Format, ReaderOptions, Statistics, records_of};

/// One chunk, written in places.
struct Chunk(Vec<u8>);

const NAME: u32 = 30_000;
const TEMPLATE: u32 = 12_000;

impl Chunk {
    fn new() -> Self {
        let mut chunk = Self(vec![0; 65_536]);
        chunk.put(0, b"ElfChnk\0");
        chunk
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A name that tokens refer to by its offset.
    fn name(&mut self, at: u32, units: &[u16]) {
        let mut bytes = vec![0; 6];
        bytes.extend(u16::try_from(units.len()).unwrap().to_le_bytes());
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        self.put(at as usize, &bytes);
    }

    fn event(&mut self, at: usize, body: &[u8]) -> usize {
        let size = u32::try_from(24 + body.len() + 4).unwrap().to_le_bytes();
        let number = 7_u64.to_le_bytes();
        let time = 132_000_000_000_000_000_u64.to_le_bytes();
        let event = [b"**\0\0", &size[..], &number, &time, body, &size].concat();
        self.put(at, &event);
        self.put(48, &u32::try_from(at + event.len()).unwrap().to_le_bytes());
        at + event.len()
    }

    fn read(&self) -> (Statistics, Vec<String>) {
        let mut file = vec![0; 4_096];
        file[..8].copy_from_slice(b"ElfFile\0");
        file.extend(&self.0);
        let mut bad = Vec::new();
        let options = ReaderOptions::default();
        let told = records_of(Format::Evtx, "x", &file, options, &mut |line| {
            bad.extend(line.err().map(|line| line.why.to_string()));
        });
        (told, bad)
    }
}

fn instance(definition: u32, values: &[u8]) -> Vec<u8> {
    let start = [0x0f, 1, 1, 0, 0x0c, 1, 0, 0, 0, 0];
    [&start[..], &definition.to_le_bytes(), values].concat()
}

fn open(name: u32) -> Vec<u8> {
    [&[1, 0xff, 0xff, 0, 0, 0, 0][..], &name.to_le_bytes(), &[2]].concat()
}

#[test]
fn a_template_that_calls_itself_by_its_values_is_given_up() {
    for depth in [0, 1, 2, 6, 30] {
        let mut chunk = Chunk::new();
        chunk.name(NAME, &[97]);
        let hole = [&open(NAME)[..], &[0x0d, 0, 0, 0x21, 4]].concat();
        let tokens = [&open(NAME)[..], &hole.repeat(1_000), &[4, 0]].concat();
        let size = u32::try_from(tokens.len()).unwrap().to_le_bytes();
        chunk.put(TEMPLATE as usize + 20, &size);
        chunk.put(TEMPLATE as usize + 24, &tokens);
        let text = instance(TEMPLATE, &[1, 0, 0, 0, 1, 0, 1, 0, b'x']);
        let nothing = instance(TEMPLATE, &[1, 0, 0, 0, 0, 0, 0, 0]);
        let mut value = if depth == 0 { text.clone() } else { nothing };
        for _ in 0..depth {
            let size = u16::try_from(value.len()).unwrap().to_le_bytes();
            let values = [&[1, 0, 0, 0], &size[..], &[0x21, 0], &value].concat();
            value = instance(TEMPLATE, &values);
        }
        let next = chunk.event(512, &value);
        let (told, bad) = chunk.read();
        assert_eq!(told.records, u64::from(depth == 0), "{depth}: {bad:?}");
        assert!(bad.iter().all(|why| why.contains("name one another")), "{depth}: {bad:?}");
        // What follows is read as before.
        chunk.event(next, &text);
        assert_eq!(chunk.read().0.records, told.records + 1, "{depth}");
    }
}

#[test]
fn names_told_again_and_again_take_no_room() {
    let mut chunk = Chunk::new();
    chunk.name(NAME, &vec![0x20ac; 16_000]);
    // Each event begins one processing instruction later, so that each is a template of its own.
    let target = [&[0x0a][..], &NAME.to_le_bytes()].concat();
    chunk.put(TEMPLATE as usize, &target.repeat(3_000));
    let mut at = 512;
    for n in 0..200 {
        at = chunk.event(at, &instance(TEMPLATE + 5 * n - 24, &[0, 0, 0, 0]));
    }
    let (told, bad) = chunk.read();
    assert_eq!((told.records, told.bad), (0, 200));
    assert!(bad[1].contains("beyond any real one's"), "{bad:?}");
}
