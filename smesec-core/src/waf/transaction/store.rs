//! What a transaction knows: an arena of bytes, the members of each storage, and the contents that
//! transformations made of them, each computed once.

use super::memory::Known;
use super::named::Named;
use crate::decode::byteset::ByteSet;
use crate::decode::transform::Transform;
use crate::waf::bits::bit;
use crate::waf::compile::prefilter::Seen;
use crate::waf::compile::program::{Node, NodeIndex, Program, TxSlot};
use crate::waf::variable::{self, Storage, StorageId};

/// Bytes of the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Slice {
    start: u32,
    len: u32,
}

impl Slice {
    pub(super) const EMPTY: Self = Self { start: 0, len: 0 };

    pub(super) const fn len(self) -> usize {
        self.len as usize
    }
}

/// One member of a storage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) name: Slice,
    pub(super) value: Slice,
    /// Its content at the root of the transformations; [`NONE`] until asked.
    content: u32,
    /// Where the memory of values has it.
    known: Known,
    /// The memory's hash of the value; 0 until asked.
    hash: u64,
}

impl Member {
    const fn new(name: Slice, value: Slice) -> Self {
        Self { name, value, content: NONE, known: Known::NOT, hash: 0 }
    }
}

/// One distinct string after some transformations.
#[derive(Clone, Copy, Debug)]
struct Content {
    slice: Slice,
    set: ByteSet,
    /// For roots: the nodes at which it may differ.
    changed: u128,
    /// Its row in `rows`, only for roots.
    row: u32,
    /// The rules that it can match, in `masks`.
    mask: u32,
    /// A content that differs in the case of letters at most: the prefilter finds the same strings.
    like: u32,
    /// What the prefilter found, in `strings`; of the one that others are like.
    strings: u32,
    /// The next content of the same root.
    kin: u32,
    /// For roots that were prepared: the phase and the nodes looked at, and where what they found
    /// stands in `masks`.
    prepared: (u8, u128, u32),
}

const NONE: u32 = u32::MAX;
const CAPITALS: ByteSet = ByteSet::EMPTY.with_range(b'A', b'Z');
/// Without one of these a path is one segment.
const SLASHES: ByteSet = ByteSet::of_bytes(b"/\\");
/// Places for roots.
const ROOTS: usize = 1_024;

/// A hash of a value's length and ends.
fn hash(bytes: &[u8]) -> usize {
    let word = |chunk: Option<&[u8; 8]>| chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk));
    let mixed = if bytes.len() < 8 {
        bytes.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte))
    } else {
        word(bytes.first_chunk()).rotate_left(23) ^ word(bytes.last_chunk())
    };
    let spread = (mixed ^ bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::from((spread >> 48).to_le_bytes()[0]) | usize::from((spread >> 56).to_le_bytes()[0]) << 8
}

fn slice_of(arena: &[u8], slice: Slice) -> &[u8] {
    let start = slice.start as usize;
    arena.get(start..start + slice.len as usize).unwrap_or_default()
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Store {
    arena: Vec<u8>,
    scalars: Vec<Member>,
    lists: Vec<Vec<Member>>,
    tx: Vec<Option<Slice>>,
    /// TX variables whose names are not in the program.
    named: Named,
    contents: Vec<Content>,
    /// For a root content: the content at each node where it may differ.
    rows: Vec<u32>,
    masks: Vec<u64>,
    strings: Vec<u64>,
    layers: Vec<u64>,
    seen: Seen,
    /// Roots by a hash of their bytes, so that equal values are one. An entry may be of an earlier
    /// transaction: it counts only if the bytes are equal.
    roots: Vec<u32>,
    scratch: Vec<u8>,
}

impl Store {
    /// Empties it for a new transaction; keeps the memory.
    pub(super) fn reset(&mut self, program: &Program) {
        self.arena.clear();
        self.scalars.clear();
        self.scalars.resize(variable::COUNT, Member::new(Slice::EMPTY, Slice::EMPTY));
        for list in &mut self.lists {
            list.clear();
        }
        self.lists.resize_with(program.storages, Vec::new);
        self.tx.clear();
        self.tx.resize(program.tx_names.len(), None);
        self.named.clear();
        self.contents.clear();
        self.rows.clear();
        self.masks.clear();
        self.strings.clear();
    }

    /// Bytes it keeps for the next transaction.
    pub(super) fn capacity(&self) -> usize {
        self.arena.capacity()
            + self.contents.capacity() * size_of::<Content>()
            + self.rows.capacity() * 4
            + self.masks.capacity() * 8
            + self.strings.capacity() * 8
            + self.lists.iter().map(|list| list.capacity() * size_of::<Member>()).sum::<usize>()
    }

    pub(super) fn bytes(&self, slice: Slice) -> &[u8] {
        slice_of(&self.arena, slice)
    }

    /// Copies bytes into the arena.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Slice {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.since(start)
    }

    /// Where the arena ends, to build a text with [`Store::append`].
    pub(super) fn mark(&self) -> usize {
        self.arena.len()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.arena.extend_from_slice(bytes);
    }

    /// Appends a copy of a slice.
    pub(super) fn append_slice(&mut self, slice: Slice) {
        let start = slice.start as usize;
        let end = start + slice.len as usize;
        if end <= self.arena.len() {
            self.arena.extend_from_within(start..end);
        }
    }

    /// The bytes since a mark.
    pub(super) fn since(&self, mark: usize) -> Slice {
        // Offsets are 32 bits: bodies are limited far below 4 GiB, and beyond it a value is empty.
        match (u32::try_from(mark), u32::try_from(self.arena.len().saturating_sub(mark))) {
            (Ok(start), Ok(len)) if start.checked_add(len).is_some() => Slice { start, len },
            _ => Slice::EMPTY,
        }
    }

    /// A part of a slice.
    pub(super) fn part(slice: Slice, from: usize, to: usize) -> Slice {
        let from = u32::try_from(from).unwrap_or(slice.len).min(slice.len);
        let to = u32::try_from(to).unwrap_or(slice.len).clamp(from, slice.len);
        Slice { start: slice.start + from, len: to - from }
    }

    pub(super) fn set(&mut self, storage: Storage, value: &[u8]) {
        let value = self.put(value);
        self.set_slice(storage, value);
    }

    pub(super) fn set_slice(&mut self, storage: Storage, value: Slice) {
        if let Some(member) = self.scalars.get_mut(usize::from(storage.id())) {
            *member = Member::new(Slice::EMPTY, value);
        }
    }

    pub(super) fn set_number(&mut self, storage: Storage, number: u64) {
        let mark = self.mark();
        self.append_number(i64::try_from(number).unwrap_or(i64::MAX));
        let value = self.since(mark);
        self.set_slice(storage, value);
    }

    pub(super) fn append_number(&mut self, number: i64) {
        if let Ok(digit) = u8::try_from(number)
            && digit < 10
        {
            self.arena.push(b'0' + digit);
            return;
        }
        // From the last digit on.
        let start = self.arena.len();
        let mut left = number.unsigned_abs();
        while left != 0 || self.arena.len() == start {
            self.arena.push(b'0' + (left % 10).to_le_bytes()[0]);
            left /= 10;
        }
        if number < 0 {
            self.arena.push(b'-');
        }
        if let Some(digits) = self.arena.get_mut(start..) {
            digits.reverse();
        }
    }

    /// Appends what is displayed.
    pub(super) fn put_display(&mut self, what: impl std::fmt::Display) -> Slice {
        use std::io::Write;
        let mark = self.mark();
        // Writing into memory cannot fail.
        let _ = write!(self.arena, "{what}");
        self.since(mark)
    }

    pub(super) fn scalar(&self, storage: Storage) -> &[u8] {
        self.scalars.get(usize::from(storage.id())).map_or(&[], |m| self.bytes(m.value))
    }

    pub(super) fn add(&mut self, storage: StorageId, name: Slice, value: Slice) {
        if let Some(list) = self.lists.get_mut(usize::from(storage)) {
            list.push(Member::new(name, value));
        }
    }

    pub(super) fn clear(&mut self, storage: StorageId) {
        if let Some(list) = self.lists.get_mut(usize::from(storage)) {
            list.clear();
        }
    }

    /// The members of a storage other than TX.
    pub(super) fn members(&self, storage: StorageId) -> &[Member] {
        let at = usize::from(storage);
        if variable::is_scalar(storage) {
            self.scalars.get(at).map(std::slice::from_ref).unwrap_or_default()
        } else {
            self.lists.get(at).map(Vec::as_slice).unwrap_or_default()
        }
    }

    fn member_mut(&mut self, storage: StorageId, n: usize) -> Option<&mut Member> {
        if variable::is_scalar(storage) {
            self.scalars.get_mut(usize::from(storage))
        } else {
            self.lists.get_mut(usize::from(storage)).and_then(|list| list.get_mut(n))
        }
    }

    /// Where the memory of values has the `n`-th member of a storage.
    pub(super) fn known(&self, storage: StorageId, n: usize) -> Known {
        self.members(storage).get(n).map_or(Known::NOT, |member| member.known)
    }

    /// The memory's hash of the `n`-th member of a storage.
    pub(super) fn hash(&mut self, storage: StorageId, n: usize) -> u64 {
        let Some(member) = self.members(storage).get(n).copied() else { return 0 };
        if member.hash != 0 {
            return member.hash;
        }
        let hash = super::memory::hash(self.bytes(member.value));
        if let Some(member) = self.member_mut(storage, n) {
            member.hash = hash;
        }
        hash
    }

    pub(super) fn set_known(&mut self, storage: StorageId, n: usize, known: Known) {
        if let Some(member) = self.member_mut(storage, n) {
            member.known = known;
        }
    }

    /// The first member of that name, in any case.
    pub(super) fn named(&self, storage: StorageId, name: &[u8]) -> Option<Slice> {
        let found =
            self.members(storage).iter().find(|m| self.bytes(m.name).eq_ignore_ascii_case(name));
        found.map(|member| member.value)
    }

    /// Sets, replaces or removes a member by name.
    pub(super) fn assign(&mut self, storage: StorageId, name: Slice, value: Option<Slice>) {
        let at = self
            .members(storage)
            .iter()
            .position(|m| self.bytes(m.name).eq_ignore_ascii_case(self.bytes(name)));
        let Some(list) = self.lists.get_mut(usize::from(storage)) else { return };
        match (at, value) {
            (Some(at), Some(value)) => {
                if let Some(member) = list.get_mut(at) {
                    *member = Member::new(name, value);
                }
            }
            (Some(at), None) => {
                list.remove(at);
            }
            (None, Some(value)) => list.push(Member::new(name, value)),
            (None, None) => {}
        }
    }

    pub(super) fn tx(&self, slot: TxSlot) -> Option<Slice> {
        self.tx.get(slot as usize).copied().flatten()
    }

    pub(super) fn set_tx(&mut self, slot: TxSlot, value: Option<Slice>) {
        if let Some(place) = self.tx.get_mut(slot as usize) {
            *place = value;
        }
    }

    /// Sets a TX variable by a name made at run time.
    pub(super) fn set_tx_named(&mut self, program: &Program, name: Slice, value: Option<Slice>) {
        let lower = self.lower(name);
        if let Some(slot) = program.tx_slot(self.bytes(lower)) {
            self.set_tx(slot, value);
            return;
        }
        let bytes = slice_of(&self.arena, lower);
        let hash = self.named.hash(bytes);
        let same = |other| slice_of(&self.arena, other) == bytes;
        if !self.named.change(hash, same, value)
            && let Some(value) = value
        {
            self.named.add(hash, name, lower, value);
        }
    }

    /// The TX variable of a name in lower case.
    pub(super) fn tx_named(&self, program: &Program, name: &[u8]) -> Option<Slice> {
        match program.tx_slot(name) {
            Some(slot) => self.tx(slot),
            None => self.tx_unknown(name),
        }
    }

    /// A name in lower case: itself, or a copy.
    pub(super) fn lower(&mut self, name: Slice) -> Slice {
        if !self.bytes(name).iter().any(u8::is_ascii_uppercase) {
            return name;
        }
        let lower = self.mark();
        self.append_slice(name);
        self.arena.get_mut(lower..).unwrap_or_default().make_ascii_lowercase();
        self.since(lower)
    }

    /// A TX variable whose name, in lower case, is not in the program.
    pub(super) fn tx_unknown(&self, name: &[u8]) -> Option<Slice> {
        let hash = self.named.hash(name);
        self.named.find(hash, |other| slice_of(&self.arena, other) == name)
    }

    /// The TX variables that a target wants, names copied into the arena: those of some of the program's
    /// names, and of the others those whose names are wanted.
    pub(super) fn all_tx(
        &mut self,
        program: &Program,
        slots: &[TxSlot],
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Vec<(Slice, Slice)> {
        let named = self.named.items().iter().filter(|item| wanted(self.bytes(item.name)));
        let mut all: Vec<_> =
            named.filter_map(|item| item.value.map(|value| (item.name, value))).collect();
        for slot in slots {
            if let Some(value) = self.tx(*slot)
                && let Some(name) = program.tx_names.get(*slot as usize)
            {
                let name = self.put(name);
                all.push((name, value));
            }
        }
        all
    }

    fn new_content(&mut self, slice: Slice) -> u32 {
        let set = ByteSet::scan(self.bytes(slice));
        let id = u32::try_from(self.contents.len()).unwrap_or(NONE);
        self.contents.push(Content {
            slice,
            set,
            changed: u128::MAX,
            row: NONE,
            mask: NONE,
            like: id,
            strings: NONE,
            kin: NONE,
            prepared: (u8::MAX, 0, NONE),
        });
        id
    }

    /// The root content of a value: that of an equal value, or a new one.
    fn root(&mut self, program: &Program, slice: Slice) -> u32 {
        let at = hash(self.bytes(slice)) % ROOTS;
        if self.roots.is_empty() {
            self.roots.resize(ROOTS, NONE);
        }
        let known = self.roots.get(at).copied().unwrap_or(NONE);
        if self.contents.get(known as usize).is_some_and(|content| {
            content.changed != u128::MAX && self.bytes(content.slice) == self.bytes(slice)
        }) {
            return known;
        }
        let id = self.new_root(program, slice);
        if let Some(place) = self.roots.get_mut(at) {
            *place = id;
        }
        id
    }

    fn new_root(&mut self, program: &Program, slice: Slice) -> u32 {
        let id = self.new_content(slice);
        if let Some(content) = self.contents.get_mut(id as usize) {
            let mut changed = program.changed_always;
            let path = content.set.intersects(SLASHES) || slice.len() == 1;
            let mut bytes = program.changed_by.chunks_exact(64);
            for word in content.set.words() {
                let of_word = bytes.next().unwrap_or_default();
                let mut left = word;
                while left != 0 {
                    let byte = left.trailing_zeros() as usize;
                    changed |= of_word.get(byte).copied().unwrap_or(u128::MAX);
                    left &= left - 1;
                }
            }
            if path && content.set.contains(b'.') {
                changed |= program.changed_by_dot;
            }
            content.changed = changed;
        }
        id
    }

    /// The nodes at which a root may differ from its value.
    pub(super) fn changes(&self, root: u32) -> u128 {
        self.contents.get(root as usize).map_or(u128::MAX, |content| content.changed)
    }

    /// The rules that a root was found to match in a phase at any of some nodes, if it was looked at.
    pub(super) fn prepared(&self, words: usize, root: u32, of: (u8, u128)) -> Option<&[u64]> {
        let (phase, nodes, at) = self.contents.get(root as usize)?.prepared;
        let at = at as usize;
        if of != (phase, nodes) {
            return None;
        }
        self.masks.get(at..at + words)
    }

    /// Keeps what [`Store::prepared`] tells.
    pub(super) fn keep_prepared(&mut self, root: u32, of: (u8, u128), found: &[u64]) {
        let own = self.contents.get(root as usize).map_or(NONE, |content| content.mask);
        let start = own as usize;
        let at = if self.masks.get(start..start + found.len()) == Some(found) {
            own
        } else {
            let at = u32::try_from(self.masks.len()).unwrap_or(NONE);
            self.masks.extend_from_slice(found);
            at
        };
        if let Some(content) = self.contents.get_mut(root as usize) {
            content.prepared = (of.0, of.1, at);
        }
    }

    /// The content of the `n`-th member of a storage at a node.
    pub(super) fn member_at(
        &mut self,
        program: &Program,
        storage: StorageId,
        n: usize,
        node: NodeIndex,
    ) -> u32 {
        let Some(member) = self.member_mut(storage, n).copied() else { return NONE };
        let root = if member.content == NONE {
            let content = self.root(program, member.value);
            if let Some(member) = self.member_mut(storage, n) {
                member.content = content;
            }
            content
        } else {
            member.content
        };
        self.content_at(program, root, node)
    }

    /// The content of any slice at a node, not remembered.
    pub(super) fn slice_at(&mut self, program: &Program, slice: Slice, node: NodeIndex) -> Slice {
        if node == 0 {
            return slice;
        }
        let root = self.new_content(slice);
        let content = self.content_at(program, root, node);
        self.content_slice(content)
    }

    /// The content of a root at a node.
    pub(super) fn content_at(&mut self, program: &Program, root: u32, node: NodeIndex) -> u32 {
        if node == 0 {
            return root;
        }
        let Some(content) = self.contents.get_mut(root as usize) else { return root };
        let changed = content.changed;
        if changed >> node & 1 == 0 {
            return root;
        }
        let row = if content.row == NONE {
            let row = u32::try_from(self.rows.len()).unwrap_or(NONE);
            content.row = row;
            let width = program.nodes.len().min(changed.count_ones() as usize);
            self.rows.resize(self.rows.len() + width, NONE);
            row
        } else {
            content.row
        };
        self.fill(program, root, (row as usize, changed), node)
    }

    /// The content at a node, from that of the node before it. A row has a place for each node that
    /// may differ.
    fn fill(
        &mut self,
        program: &Program,
        root: u32,
        (row, changed): (usize, u128),
        node: NodeIndex,
    ) -> u32 {
        if node == 0 || changed >> node & 1 == 0 {
            return root;
        }
        let place = row + (changed & !(u128::MAX << node)).count_ones() as usize;
        if let Some(known) = self.rows.get(place).copied()
            && known != NONE
        {
            return known;
        }
        // Parents stand before their children; the depth is that of the longest chain of `t:`.
        let Some(Node { parent, transform, triggers }) = program.nodes.get(usize::from(node))
        else {
            return NONE;
        };
        let before = self.fill(program, root, (row, changed), *parent);
        let mut result = before;
        if let (Some(content), Some(transform)) =
            (self.contents.get(before as usize).copied(), transform)
            && (content.set.intersects(*triggers) || *triggers == ByteSet::FULL)
        {
            let mut out = std::mem::take(&mut self.scratch);
            let input = self.bytes(content.slice);
            if transform.apply_with(input, &mut out, program.unicode_map.as_ref()) {
                result = self.known_or_new(root, &out);
                if matches!(transform, Transform::Lowercase | Transform::Uppercase)
                    && let Some(new) = self.contents.get_mut(result as usize)
                    && new.strings == NONE
                {
                    new.like = content.like;
                }
            }
            self.scratch = out;
        }
        if let Some(place) = self.rows.get_mut(place) {
            *place = result;
        }
        result
    }

    pub(super) fn content_slice(&self, content: u32) -> Slice {
        self.contents.get(content as usize).map_or(Slice::EMPTY, |c| c.slice)
    }

    /// A content of these bytes under a root: chains of transformations often meet again.
    fn known_or_new(&mut self, root: u32, bytes: &[u8]) -> u32 {
        let set = ByteSet::scan(bytes);
        let mut at = root;
        while let Some(content) = self.contents.get(at as usize) {
            if content.slice.len() == bytes.len()
                && content.set == set
                && self.bytes(content.slice) == bytes
            {
                return at;
            }
            at = content.kin;
        }
        let slice = self.put(bytes);
        let id = u32::try_from(self.contents.len()).unwrap_or(NONE);
        let kin = match self.contents.get_mut(root as usize) {
            Some(root) => std::mem::replace(&mut root.kin, id),
            None => NONE,
        };
        self.contents.push(Content {
            slice,
            set,
            changed: u128::MAX,
            row: NONE,
            mask: NONE,
            like: id,
            strings: NONE,
            kin,
            prepared: (u8::MAX, 0, NONE),
        });
        id
    }

    /// The rules that a content can match.
    pub(super) fn mask(&mut self, program: &Program, content: u32) -> &[u64] {
        let prefilter = &program.prefilter;
        let words = prefilter.words();
        let Some(found) = self.contents.get(content as usize).copied() else { return &[] };
        let mut at = found.mask as usize;
        if found.mask == NONE {
            let strings = self.strings_of(program, found.like);
            at = self.masks.len();
            if let Some(found) = self.contents.get_mut(content as usize) {
                found.mask = u32::try_from(at).unwrap_or(NONE);
            }
            self.masks.resize(at + words, 0);
            let strings = self.strings.get(strings..strings + prefilter.row()).unwrap_or_default();
            if let Some(mask) = self.masks.get_mut(at..) {
                prefilter.decide(strings, found.set, found.slice.len(), &mut self.layers, mask);
            }
            // Nothing will be like a value without capitals: its findings need not stay in the cache.
            if found.like == content && !found.set.intersects(CAPITALS) {
                self.forget_strings(content, prefilter.row());
            }
        }
        self.masks.get(at..at + words).unwrap_or_default()
    }

    /// Whether a content can match a rule.
    pub(super) fn may_match(&mut self, program: &Program, content: u32, of_rule: u16) -> bool {
        bit(self.mask(program, content), usize::from(of_rule))
    }

    /// Takes the findings in a content back, if they are the last ones.
    fn forget_strings(&mut self, content: u32, row: usize) {
        let Some(found) = self.contents.get_mut(content as usize) else { return };
        let start = found.strings as usize;
        if start + row == self.strings.len() {
            self.strings.truncate(start);
            found.strings = NONE;
        }
    }

    /// Where the prefilter's findings in a content begin.
    fn strings_of(&mut self, program: &Program, content: u32) -> usize {
        let Some(found) = self.contents.get_mut(content as usize) else { return 0 };
        if found.strings == NONE {
            let at = self.strings.len();
            found.strings = u32::try_from(at).unwrap_or(NONE);
            let slice = found.slice;
            self.strings.resize(at + program.prefilter.row(), 0);
            let start = slice.start as usize;
            let bytes = self.arena.get(start..start + slice.len as usize).unwrap_or_default();
            if let Some(row) = self.strings.get_mut(at..) {
                program.prefilter.scan(bytes, &mut self.seen, row);
            }
        }
        self.contents.get(content as usize).map_or(0, |c| c.strings as usize)
    }
}
