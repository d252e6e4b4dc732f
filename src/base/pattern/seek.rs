//! Whether a pattern matches anywhere: a search that looks at each character once and remembers, for what it has met
//! before, how it goes on (a deterministic automaton, made as far as a text needs it).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::class::after;
use super::program::{Place, Program, Sort, Step};

/// A search. It goes on from slice to slice.
pub struct Seek<'a> {
    program: &'a Program,
    alphabet: Alphabet,
    text: &'a [u8],
    at: usize,
    state: u32,
    states: Vec<Arc<State>>,
    numbers: HashMap<Arc<State>, u32>,
    /// Where a state goes on at each letter of the alphabet, and at the end of the text.
    table: Vec<u32>,
    /// Places in all states together.
    places: usize,
    closure: Closure,
}

/// Where the search may be at once: the steps that come next, in ascending order, and what stands before.
#[derive(Debug, PartialEq, Eq, Hash)]
struct State {
    places: Box<[Place]>,
    before: Option<Sort>,
}

/// Not known yet.
const UNKNOWN: u32 = u32::MAX;
/// It has matched.
const MATCHED: u32 = u32::MAX - 1;
/// It cannot match any more.
const LOST: u32 = u32::MAX - 2;

/// So much is remembered, in entries of four bytes; then all of it is forgotten.
pub(super) const MEMORY: usize = 64 << 10;

impl<'a> Seek<'a> {
    pub(super) fn new(program: &'a Program, text: &'a [u8]) -> Self {
        let closure = Closure { met: vec![0; program.steps.len()], round: 0, left: Vec::new() };
        let alphabet = Alphabet::of(program);
        let (states, numbers, table) = (Vec::new(), HashMap::new(), Vec::new());
        let mut seek = Self { program, alphabet, text, at: 0, state: 0, states, numbers, table, places: 0, closure };
        seek.state = seek.number_of(State { places: Box::default(), before: None });
        seek
    }

    /// Goes on for about so many steps: whether there is a match, or nothing when it has not come to an end.
    pub fn go_on(&mut self, steps: usize) -> Option<bool> {
        let mut left = steps;
        while left > 0 {
            let (letter, length) = match character_at(self.text, self.at) {
                Some((character, length)) => (self.alphabet.letter(character), length),
                None => (self.alphabet.end(), 0),
            };
            let cell = self.state as usize * self.alphabet.size() + letter;
            let mut next = self.table[cell];
            if next == UNKNOWN {
                let cost;
                (next, cost) = self.explore(letter);
                left = left.saturating_sub(cost);
            }
            match next {
                MATCHED => return Some(true),
                LOST => return Some(false),
                next => self.state = next,
            }
            self.at += length;
            left = left.saturating_sub(1);
        }
        None
    }

    /// Where the present state goes on at a letter, which is remembered, and what it took to find out.
    fn explore(&mut self, letter: usize) -> (u32, usize) {
        let state = Arc::clone(&self.states[self.state as usize]);
        let character = self.alphabet.example(letter);
        let after = character.map(Sort::of);
        let program = self.program;
        self.closure.begin();
        self.closure.left.extend_from_slice(&state.places);
        if !program.is_anchored || state.before.is_none() {
            self.closure.left.push(program.start);
        }
        let (mut places, mut has_matched, mut cost) = (Vec::new(), false, 1);
        while let Some(place) = self.closure.next() {
            cost += 1;
            match &program.steps[place as usize] {
                Step::Match => has_matched = true,
                Step::Split { to, .. } => self.closure.left.extend_from_slice(to),
                Step::Goto(next) | Step::Mark(_, next) => self.closure.left.push(*next),
                Step::Look(look, next) if look.holds(state.before, after) => self.closure.left.push(*next),
                Step::Look(..) => {}
                step => places.extend(character.and_then(|character| program.takes(step, character))),
            }
        }
        cost += places.len();
        let is_at_end = character.is_none();
        let number = if has_matched {
            MATCHED
        } else if is_at_end || (places.is_empty() && program.is_anchored) {
            LOST
        } else {
            places.sort_unstable();
            places.dedup();
            // What stands before is told apart only where something looks at it.
            let before = if program.looks { after } else { Some(Sort::Other) };
            let next = State { places: places.into(), before };
            if self.places + self.table.len() > MEMORY {
                self.forget();
                return (self.number_of(next), cost);
            }
            self.number_of(next)
        };
        let cell = self.state as usize * self.alphabet.size() + letter;
        self.table[cell] = number;
        (number, cost)
    }

    fn number_of(&mut self, state: State) -> u32 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let state = Arc::new(state);
        let number = u32::try_from(self.states.len()).unwrap_or(0);
        self.places += state.places.len();
        self.table.resize(self.table.len() + self.alphabet.size(), UNKNOWN);
        self.states.push(Arc::clone(&state));
        self.numbers.insert(state, number);
        number
    }

    /// Entries that are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.places + self.table.len()
    }

    fn forget(&mut self) {
        self.states.clear();
        self.numbers.clear();
        self.table.clear();
        self.places = 0;
    }
}

impl fmt::Debug for Seek<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seek").field("at", &self.at).finish_non_exhaustive()
    }
}

/// The character at a place, and its length in bytes. What is no UTF-8 is U+FFFD, as `String::from_utf8_lossy` has it.
fn character_at(text: &[u8], at: usize) -> Option<(char, usize)> {
    let first = *text.get(at)?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let chunk = text[at..text.len().min(at + 4)].utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(character) => Some((character, character.len_utf8())),
        None => Some((char::REPLACEMENT_CHARACTER, chunk.invalid().len())),
    }
}

/// The steps that have been met in a round, and those that are still to be looked at.
struct Closure {
    met: Vec<u32>,
    round: u32,
    left: Vec<Place>,
}

impl Closure {
    fn begin(&mut self) {
        self.left.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.met.fill(0);
            self.round = 1;
        }
    }

    /// The next step that has not been met.
    fn next(&mut self) -> Option<Place> {
        while let Some(place) = self.left.pop() {
            let met = &mut self.met[place as usize];
            if *met != self.round {
                *met = self.round;
                return Some(place);
            }
        }
        None
    }
}

/// Letters: characters that a program does not tell apart are one.
struct Alphabet {
    /// The first character of each letter.
    firsts: Vec<char>,
    /// The letters of ASCII.
    ascii: Box<[u32; 128]>,
}

impl Alphabet {
    fn of(program: &Program) -> Self {
        let mut firsts = vec!['\0'];
        let mut range = |from: char, to: char| {
            firsts.push(from);
            firsts.extend(after(to));
        };
        for class in &program.classes {
            class.ranges().iter().for_each(|(from, to)| range(*from, *to));
        }
        for step in &program.steps {
            if let Step::Char(character, _) = step {
                range(*character, *character);
            }
        }
        if program.looks {
            for (from, to) in [('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z'), ('\n', '\n'), ('\r', '\r')] {
                range(from, to);
            }
        }
        firsts.sort_unstable();
        firsts.dedup();
        let mut alphabet = Self { firsts, ascii: Box::new([0; 128]) };
        for code in 0..128 {
            let letter = alphabet.search(char::from(code));
            alphabet.ascii[usize::from(code)] = u32::try_from(letter).unwrap_or(0);
        }
        alphabet
    }

    fn letter(&self, character: char) -> usize {
        match self.ascii.get(character as usize) {
            Some(letter) => *letter as usize,
            None => self.search(character),
        }
    }

    fn search(&self, character: char) -> usize {
        self.firsts.partition_point(|first| *first <= character) - 1
    }

    /// The letter for the end of a text.
    fn end(&self) -> usize {
        self.firsts.len()
    }

    /// How many letters there are, the end included.
    fn size(&self) -> usize {
        self.firsts.len() + 1
    }

    /// A character that is this letter; nothing for the end.
    fn example(&self, letter: usize) -> Option<char> {
        self.firsts.get(letter).copied()
    }
}
