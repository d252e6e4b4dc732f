//! Reads a pattern that regex-lite has found to be one, by the same grammar.

use super::class::Class;

/// A pattern as it is nested.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Empty,
    Char(char),
    Class(Class),
    Look(Look),
    /// A group that captures, counted from 1.
    Group(u32, Box<Self>),
    Repeat(Repeat),
    Sequence(Vec<Self>),
    Either(Vec<Self>),
}

/// A repetition.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    pub(super) greedy: bool,
    pub(super) what: Box<Tree>,
}

/// What must hold at a place between two characters. Words are of ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Start,
    End,
    StartOfLine,
    EndOfLine,
    /// The same where `\r\n`, `\r` and `\n` each end a line.
    StartOfAnyLine,
    EndOfAnyLine,
    WordBoundary,
    NoWordBoundary,
    StartOfWord,
    EndOfWord,
    NoWordBefore,
    NoWordAfter,
}

impl Tree {
    /// Whether it may match without a character.
    pub(super) fn may_be_empty(&self) -> bool {
        match self {
            Self::Empty | Self::Look(_) => true,
            Self::Char(_) | Self::Class(_) => false,
            Self::Group(_, inner) => inner.may_be_empty(),
            Self::Repeat(repeat) => repeat.min == 0 || repeat.what.may_be_empty(),
            Self::Sequence(parts) => parts.iter().all(Self::may_be_empty),
            Self::Either(branches) => branches.iter().any(Self::may_be_empty),
        }
    }

    /// Whether it can only match at the start of the text.
    pub(super) fn is_anchored(&self) -> bool {
        match self {
            Self::Look(look) => *look == Look::Start,
            Self::Empty | Self::Char(_) | Self::Class(_) => false,
            Self::Group(_, inner) => inner.is_anchored(),
            Self::Repeat(repeat) => repeat.min > 0 && repeat.what.is_anchored(),
            Self::Sequence(parts) => parts.first().is_some_and(Self::is_anchored),
            Self::Either(branches) => branches.iter().all(Self::is_anchored),
        }
    }
}

/// The pattern as a tree; nothing where it is none.
pub(super) fn parse(text: &str) -> Option<Tree> {
    let mut parser = Parser { text: text.chars().collect(), at: 0, flags: Flags::default(), groups: 0 };
    let tree = parser.alternatives(0)?;
    parser.is_done().then_some(tree)
}

/// How what follows is read: `(?imsURx)`.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of its own in a pattern
struct Flags {
    any_case: bool,
    many_lines: bool,
    dot_takes_all: bool,
    lazy_first: bool,
    any_line_end: bool,
    spaces_ignored: bool,
}

struct Parser {
    text: Vec<char>,
    at: usize,
    flags: Flags,
    groups: u32,
}

/// Deeper nesting than this is no pattern for regex-lite.
const DEEPEST: usize = 64;

impl Parser {
    fn here(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Goes on by one character; false at the end.
    fn step(&mut self) -> bool {
        self.at = (self.at + 1).min(self.text.len());
        !self.is_done()
    }

    /// Goes on by one character and what is ignored behind it; false at the end.
    fn stride(&mut self) -> bool {
        if !self.step() {
            return false;
        }
        self.skip_spaces();
        !self.is_done()
    }

    fn take(&mut self, prefix: &str) -> bool {
        let length = prefix.chars().count();
        let is_there = self.text[self.at..].iter().take(length).copied().eq(prefix.chars());
        self.at += if is_there { length } else { 0 };
        is_there
    }

    fn skip_spaces(&mut self) {
        while self.flags.spaces_ignored {
            match self.here() {
                Some(character) if character.is_whitespace() => self.at += 1,
                Some('#') => {
                    while self.here().is_some_and(|character| character != '\n') {
                        self.at += 1;
                    }
                    self.step();
                }
                _ => return,
            }
        }
    }

    fn alternatives(&mut self, depth: usize) -> Option<Tree> {
        if depth > DEEPEST {
            return None;
        }
        let (mut branches, mut parts) = (Vec::new(), Vec::new());
        loop {
            self.skip_spaces();
            match self.here() {
                None => break,
                Some(')') if depth > 0 => break,
                Some(')') => return None,
                Some('(') => {
                    let before = self.flags;
                    if let Some(group) = self.group(depth)? {
                        parts.push(group);
                        // What `(?i)` sets holds until the end of the group that it stands in.
                        self.flags = before;
                    }
                    if self.here() != Some(')') {
                        return None;
                    }
                    self.step();
                }
                Some('|') => {
                    branches.push(sequence(std::mem::take(&mut parts)));
                    self.step();
                }
                Some('[') => {
                    let class = self.class()?;
                    parts.push(Tree::Class(class));
                }
                Some('?' | '*' | '+' | '{') => {
                    let what = Box::new(parts.pop()?);
                    let (min, max) = self.bounds()?;
                    let greedy = self.is_greedy();
                    parts.push(repeat(Repeat { min, max, greedy, what }));
                }
                Some(_) => {
                    let item = self.item()?;
                    parts.push(item);
                }
            }
        }
        branches.push(sequence(parts));
        Some(if branches.len() == 1 { branches.pop()? } else { Tree::Either(branches) })
    }

    /// What stands in parentheses, up to the closing one; nothing where it sets flags alone.
    fn group(&mut self, depth: usize) -> Option<Option<Tree>> {
        self.stride();
        let is_named = self.take("?P<") || self.take("?<");
        if !is_named && self.take("?") {
            self.flags = self.flags_set()?;
            if self.here() == Some(')') {
                return Some(None);
            }
            self.step();
            return self.alternatives(depth + 1).map(Some);
        }
        if is_named {
            while self.here()? != '>' {
                self.at += 1;
            }
            self.step();
        }
        self.groups += 1;
        let number = self.groups;
        let inner = self.alternatives(depth + 1)?;
        Some(Some(Tree::Group(number, Box::new(inner))))
    }

    fn flags_set(&mut self) -> Option<Flags> {
        let (mut flags, mut on) = (self.flags, true);
        loop {
            match self.here()? {
                ':' | ')' => return Some(flags),
                '-' => on = false,
                'i' => flags.any_case = on,
                'm' => flags.many_lines = on,
                's' => flags.dot_takes_all = on,
                'U' => flags.lazy_first = on,
                'R' => flags.any_line_end = on,
                'x' => flags.spaces_ignored = on,
                'u' => {}
                _ => return None,
            }
            self.step();
        }
    }

    /// How often what stands before is repeated.
    fn bounds(&mut self) -> Option<(u32, Option<u32>)> {
        let bounds = match self.here()? {
            '?' => (0, Some(1)),
            '*' => (0, None),
            '+' => (1, None),
            _ => return self.counted(),
        };
        self.step();
        Some(bounds)
    }

    fn counted(&mut self) -> Option<(u32, Option<u32>)> {
        self.stride();
        let min = self.number()?;
        let mut max = Some(min);
        if self.here()? == ',' {
            self.stride();
            max = if self.here()? == '}' { None } else { Some(self.number()?) };
        }
        if self.here()? != '}' {
            return None;
        }
        self.stride();
        Some((min, max))
    }

    fn number(&mut self) -> Option<u32> {
        let mut digits = String::new();
        while self.here().is_some_and(char::is_whitespace) {
            self.step();
        }
        while let Some(digit) = self.here().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.stride();
        }
        while self.here().is_some_and(char::is_whitespace) {
            self.stride();
        }
        digits.parse().ok()
    }

    fn is_greedy(&mut self) -> bool {
        let is_lazy = self.here() == Some('?');
        if is_lazy {
            self.step();
        }
        is_lazy == self.flags.lazy_first
    }

    fn item(&mut self) -> Option<Tree> {
        let character = self.here()?;
        self.step();
        let Flags { many_lines, any_line_end, dot_takes_all, .. } = self.flags;
        Some(match character {
            '\\' => self.escape()?,
            '.' => {
                let ends: &[char] = match (dot_takes_all, any_line_end) {
                    (true, _) => &[],
                    (false, true) => &['\n', '\r'],
                    (false, false) => &['\n'],
                };
                Tree::Class(Class::of(ends.iter().map(|end| (*end, *end))).negated())
            }
            '^' => Tree::Look(match (many_lines, any_line_end) {
                (false, _) => Look::Start,
                (true, false) => Look::StartOfLine,
                (true, true) => Look::StartOfAnyLine,
            }),
            '$' => Tree::Look(match (many_lines, any_line_end) {
                (false, _) => Look::End,
                (true, false) => Look::EndOfLine,
                (true, true) => Look::EndOfAnyLine,
            }),
            other => self.literal(other),
        })
    }

    fn literal(&self, character: char) -> Tree {
        match self.flags.any_case && character.is_ascii_alphabetic() {
            true => Tree::Class(Class::of([(character, character)]).with_both_cases()),
            false => Tree::Char(character),
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<Tree> {
        let character = self.here()?;
        if let 'x' | 'u' | 'U' = character {
            return self.hexadecimal(character);
        }
        self.step();
        let class = |name: &str| {
            let class = Class::posix(name)?;
            Some(Tree::Class(if character.is_ascii_uppercase() { class.negated() } else { class }))
        };
        match character {
            'd' | 'D' => class("digit"),
            's' | 'S' => class("space"),
            'w' | 'W' => class("word"),
            'a' => Some(self.literal('\x07')),
            'f' => Some(self.literal('\x0c')),
            't' => Some(self.literal('\t')),
            'n' => Some(self.literal('\n')),
            'r' => Some(self.literal('\r')),
            'v' => Some(self.literal('\x0b')),
            'A' => Some(Tree::Look(Look::Start)),
            'z' => Some(Tree::Look(Look::End)),
            'B' => Some(Tree::Look(Look::NoWordBoundary)),
            '<' => Some(Tree::Look(Look::StartOfWord)),
            '>' => Some(Tree::Look(Look::EndOfWord)),
            'b' => self.word_boundary(),
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some(self.literal(other)),
            _ => None,
        }
    }

    /// `\b`, or `\b{start}` and the like; `\b{2}` is a repetition.
    fn word_boundary(&mut self) -> Option<Tree> {
        let start = self.at;
        let is_letter = |character: &char| character.is_ascii_alphabetic() || *character == '-';
        if self.here() != Some('{') || !self.stride() || self.here().is_none_or(|first| !is_letter(&first)) {
            self.at = start;
            return Some(Tree::Look(Look::WordBoundary));
        }
        let mut name = String::new();
        while let Some(letter) = self.here().filter(is_letter) {
            name.push(letter);
            self.stride();
        }
        if self.here()? != '}' {
            return None;
        }
        self.step();
        Some(Tree::Look(match name.as_str() {
            "start" => Look::StartOfWord,
            "end" => Look::EndOfWord,
            "start-half" => Look::NoWordBefore,
            "end-half" => Look::NoWordAfter,
            _ => return None,
        }))
    }

    fn hexadecimal(&mut self, kind: char) -> Option<Tree> {
        let mut digits = String::new();
        self.stride();
        if self.here()? == '{' {
            while self.stride() && self.here()? != '}' {
                digits.push(self.here()?);
            }
        } else {
            let count = match kind {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            for digit in 0..count {
                if digit > 0 {
                    self.stride();
                }
                digits.push(self.here()?);
            }
        }
        self.stride();
        let character = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)?;
        Some(self.literal(character))
    }

    fn class(&mut self) -> Option<Class> {
        let mut ranges = Vec::new();
        self.stride();
        let is_negated = self.here()? == '^';
        if is_negated {
            self.stride();
        }
        while self.here()? == '-' {
            ranges.push(('-', '-'));
            self.stride();
        }
        if ranges.is_empty() && self.here()? == ']' {
            ranges.push((']', ']'));
            self.stride();
        }
        loop {
            self.skip_spaces();
            match self.here()? {
                '[' => ranges.extend_from_slice(self.posix()?.ranges()),
                ']' => break,
                _ => self.range(&mut ranges)?,
            }
        }
        self.step();
        let class = Class::of(ranges);
        let class = if self.flags.any_case { class.with_both_cases() } else { class };
        Some(if is_negated { class.negated() } else { class })
    }

    /// `[:name:]` or `[:^name:]`.
    fn posix(&mut self) -> Option<Class> {
        if !self.take("[:") {
            return None;
        }
        let is_negated = self.take("^");
        let mut name = String::new();
        while self.here()? != ':' {
            name.push(self.here()?);
            self.step();
        }
        let class = self.take(":]").then(|| Class::posix(&name))??;
        Some(if is_negated { class.negated() } else { class })
    }

    /// A character or a range of a class, or a class in it.
    fn range(&mut self, ranges: &mut Vec<(char, char)>) -> Option<()> {
        let first = self.class_item()?;
        self.skip_spaces();
        if self.here()? != '-' || matches!(self.peek(), Some(']' | '-')) {
            match first {
                Tree::Char(character) => ranges.push((character, character)),
                Tree::Class(class) => ranges.extend_from_slice(class.ranges()),
                _ => return None,
            }
            return Some(());
        }
        self.stride();
        match (first, self.class_item()?) {
            (Tree::Char(from), Tree::Char(to)) if from <= to => ranges.push((from, to)),
            _ => return None,
        }
        Some(())
    }

    fn class_item(&mut self) -> Option<Tree> {
        let character = self.here()?;
        self.step();
        if character == '\\' { self.escape() } else { Some(Tree::Char(character)) }
    }

    /// The character behind this one, and behind what is ignored.
    fn peek(&self) -> Option<char> {
        let behind = self.text.get(self.at + 1..).unwrap_or_default();
        if !self.flags.spaces_ignored {
            return behind.first().copied();
        }
        let mut comment = false;
        for character in behind.iter().copied() {
            if character.is_whitespace() {
                continue;
            }
            if character != '#' || comment {
                return Some(character);
            }
            comment = true;
        }
        behind.first().copied()
    }
}

fn sequence(mut parts: Vec<Tree>) -> Tree {
    match parts.len() {
        0 => Tree::Empty,
        1 => parts.remove(0),
        _ => Tree::Sequence(parts),
    }
}

fn repeat(repeat: Repeat) -> Tree {
    match (repeat.min, repeat.max) {
        (0, Some(0)) => Tree::Empty,
        (1, Some(1)) => *repeat.what,
        _ => Tree::Repeat(repeat),
    }
}
