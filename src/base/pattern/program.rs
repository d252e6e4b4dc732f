//! A pattern as steps that each take one character or none (Thompson's construction, as regex-lite has it, so that of
//! several matches the same one comes first).

use std::collections::HashMap;

use super::class::Class;
use super::parse::{Look, Repeat, Tree};

/// The place of a step.
pub(super) type Place = u32;

/// What a pattern does at one place.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Takes this character.
    Char(char, Place),
    /// Takes a character of the class with this number.
    Class(u32, Place),
    /// Goes on at each of these, the first before the second.
    Split { to: [Place; 2], known: u8, second_first: bool },
    /// Goes on where this holds.
    Look(Look, Place),
    /// The first group begins here (0) or ends (1).
    Mark(u8, Place),
    /// Goes on.
    Goto(Place),
    /// Has matched.
    Match,
}

/// The steps of a pattern.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) start: Place,
    pub(super) classes: Vec<Class>,
    /// It can only match at the start of the text.
    pub(super) is_anchored: bool,
    /// It looks at what stands beside a place.
    pub(super) looks: bool,
}

impl Program {
    pub(super) fn of(tree: &Tree) -> Self {
        let mut compiler = Compiler { steps: Vec::new(), classes: Vec::new(), numbers: HashMap::new(), looks: false };
        let whole = compiler.compile(tree);
        let end = compiler.add(Step::Match);
        compiler.join(whole.end, end);
        let Compiler { steps, classes, looks, .. } = compiler;
        Self { steps, start: whole.start, classes, is_anchored: tree.is_anchored(), looks }
    }

    /// Whether a step that takes a character takes this one, and where it goes on then.
    pub(super) fn takes(&self, step: &Step, character: char) -> Option<Place> {
        match step {
            Step::Char(wanted, next) => (*wanted == character).then_some(*next),
            Step::Class(number, next) => self.classes[*number as usize].contains(character).then_some(*next),
            _ => None,
        }
    }
}

/// The ends of a part that is compiled.
#[derive(Clone, Copy)]
struct Part {
    start: Place,
    end: Place,
}

struct Compiler {
    steps: Vec<Step>,
    classes: Vec<Class>,
    /// The numbers of the classes, by where they stand in the tree: what is repeated has its class once.
    numbers: HashMap<*const Class, u32>,
    looks: bool,
}

impl Compiler {
    fn compile(&mut self, tree: &Tree) -> Part {
        match tree {
            Tree::Empty => self.single(Step::Goto(0)),
            Tree::Char(character) => self.single(Step::Char(*character, 0)),
            Tree::Class(class) => {
                let number = self.number_of(class);
                self.single(Step::Class(number, 0))
            }
            Tree::Look(look) => {
                self.looks = true;
                self.single(Step::Look(*look, 0))
            }
            Tree::Group(1, inner) => {
                let start = self.add(Step::Mark(0, 0));
                let inner = self.compile(inner);
                let end = self.add(Step::Mark(1, 0));
                self.join(start, inner.start);
                self.join(inner.end, end);
                Part { start, end }
            }
            Tree::Group(_, inner) => self.compile(inner),
            Tree::Repeat(repeat) => self.repeat(repeat),
            Tree::Sequence(parts) => self.sequence(parts.iter()),
            Tree::Either(branches) => self.either(branches),
        }
    }

    fn number_of(&mut self, class: &Class) -> u32 {
        if let Some(number) = self.numbers.get(&std::ptr::from_ref(class)) {
            return *number;
        }
        let number = index(self.classes.len());
        self.classes.push(class.clone());
        self.numbers.insert(class, number);
        number
    }

    fn sequence<'a>(&mut self, mut parts: impl Iterator<Item = &'a Tree>) -> Part {
        let Some(first) = parts.next() else { return self.single(Step::Goto(0)) };
        let mut whole = self.compile(first);
        for part in parts {
            let part = self.compile(part);
            self.join(whole.end, part.start);
            whole.end = part.end;
        }
        whole
    }

    fn either(&mut self, branches: &[Tree]) -> Part {
        let end = self.add(Step::Goto(0));
        let mut start = None;
        let mut last_split: Option<Place> = None;
        for (position, branch) in branches.iter().enumerate() {
            let split = (position + 1 < branches.len()).then(|| self.split(true));
            let part = self.compile(branch);
            let entry = split.unwrap_or(part.start);
            if let Some(split) = split {
                self.join(split, part.start);
            }
            if let Some(last) = last_split {
                self.join(last, entry);
            }
            self.join(part.end, end);
            start.get_or_insert(entry);
            last_split = split;
        }
        Part { start: start.unwrap_or(end), end }
    }

    fn repeat(&mut self, repeat: &Repeat) -> Part {
        let Repeat { min, max, greedy, what } = repeat;
        match (*min, *max) {
            (0, Some(1)) => {
                let split = self.split(*greedy);
                let part = self.compile(what);
                let end = self.add(Step::Goto(0));
                self.join(split, part.start);
                self.join(split, end);
                self.join(part.end, end);
                Part { start: split, end }
            }
            (0, None) if !what.may_be_empty() => {
                let split = self.split(*greedy);
                let part = self.compile(what);
                self.join(split, part.start);
                self.join(part.end, split);
                Part { start: split, end: split }
            }
            // As `(x+)?`: only so the first of several matches is the right one where x may be empty.
            (0, None) => {
                let part = self.compile(what);
                let plus = self.split(*greedy);
                self.join(part.end, plus);
                self.join(plus, part.start);
                let question = self.split(*greedy);
                let end = self.add(Step::Goto(0));
                self.join(question, part.start);
                self.join(question, end);
                self.join(plus, end);
                Part { start: question, end }
            }
            (min, None) => {
                let prefix = (min > 1).then(|| self.times(what, min - 1));
                let last = self.compile(what);
                let split = self.split(*greedy);
                self.join(last.end, split);
                self.join(split, last.start);
                if let Some(prefix) = prefix {
                    self.join(prefix.end, last.start);
                }
                Part { start: prefix.unwrap_or(last).start, end: split }
            }
            (min, Some(max)) => {
                let prefix = self.times(what, min);
                if min == max {
                    return prefix;
                }
                let end = self.add(Step::Goto(0));
                let mut before = prefix.end;
                for _ in min..max {
                    let split = self.split(*greedy);
                    let part = self.compile(what);
                    self.join(before, split);
                    self.join(split, part.start);
                    self.join(split, end);
                    before = part.end;
                }
                self.join(before, end);
                Part { start: prefix.start, end }
            }
        }
    }

    fn times(&mut self, what: &Tree, count: u32) -> Part {
        self.sequence((0..count).map(|_| what))
    }

    fn split(&mut self, greedy: bool) -> Place {
        self.add(Step::Split { to: [0; 2], known: 0, second_first: !greedy })
    }

    fn single(&mut self, step: Step) -> Part {
        let place = self.add(step);
        Part { start: place, end: place }
    }

    fn add(&mut self, step: Step) -> Place {
        self.steps.push(step);
        index(self.steps.len() - 1)
    }

    /// What is at `from` goes on at `to`.
    fn join(&mut self, from: Place, to: Place) {
        match &mut self.steps[from as usize] {
            Step::Char(_, next) | Step::Class(_, next) | Step::Look(_, next) => *next = to,
            Step::Mark(_, next) | Step::Goto(next) => *next = to,
            Step::Split { to: places, known, .. } => {
                places[usize::from(*known).min(1)] = to;
                *known += 1;
            }
            Step::Match => {}
        }
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What a character is for a [`Look`]; nothing stands before the start and behind the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sort {
    LineFeed,
    CarriageReturn,
    OfWord,
    Other,
}

impl Sort {
    pub(super) fn of(character: char) -> Self {
        match character {
            '\n' => Self::LineFeed,
            '\r' => Self::CarriageReturn,
            '_' => Self::OfWord,
            other if other.is_ascii_alphanumeric() => Self::OfWord,
            _ => Self::Other,
        }
    }
}

impl Look {
    /// Whether it holds between two characters.
    pub(super) fn holds(self, before: Option<Sort>, after: Option<Sort>) -> bool {
        let word_before = before == Some(Sort::OfWord);
        let word_after = after == Some(Sort::OfWord);
        match self {
            Self::Start => before.is_none(),
            Self::End => after.is_none(),
            Self::StartOfLine => before.is_none_or(|before| before == Sort::LineFeed),
            Self::EndOfLine => after.is_none_or(|after| after == Sort::LineFeed),
            Self::StartOfAnyLine => match before {
                None | Some(Sort::LineFeed) => true,
                Some(Sort::CarriageReturn) => after != Some(Sort::LineFeed),
                Some(_) => false,
            },
            Self::EndOfAnyLine => match after {
                None | Some(Sort::CarriageReturn) => true,
                Some(Sort::LineFeed) => before != Some(Sort::CarriageReturn),
                Some(_) => false,
            },
            Self::WordBoundary => word_before != word_after,
            Self::NoWordBoundary => word_before == word_after,
            Self::StartOfWord => !word_before && word_after,
            Self::EndOfWord => word_before && !word_after,
            Self::NoWordBefore => !word_before,
            Self::NoWordAfter => !word_after,
        }
    }
}
