//! Where the first match has its group: a search that follows all ways at once, in the order in which they count (Pike's).

use std::borrow::Cow;
use std::fmt;

use super::program::{Place, Program, Sort, Step};

/// A search. It goes on from slice to slice.
pub struct Find<'a> {
    program: &'a Program,
    text: Cow<'a, str>,
    at: usize,
    before: Option<Sort>,
    now: Ways,
    next: Ways,
    found: Option<Marks>,
    /// Steps still to be looked at, and marks to be taken back.
    left: Vec<Errand>,
}

/// Where the group begins and ends, as far as that has been seen.
type Marks = [Option<usize>; 2];

/// The ways under way at one character, the first first.
struct Ways {
    order: Vec<Place>,
    /// Where in `order` a step is, if it is there.
    positions: Vec<u32>,
    marks: Vec<Marks>,
}

enum Errand {
    Visit(Place),
    Restore(u8, Option<usize>),
}

impl<'a> Find<'a> {
    pub(super) fn new(program: &'a Program, text: Cow<'a, str>) -> Self {
        let ways = || Ways {
            order: Vec::new(),
            positions: vec![0; program.steps.len()],
            marks: vec![[None; 2]; program.steps.len()],
        };
        let (now, next) = (ways(), ways());
        Self { program, text, at: 0, before: None, now, next, found: None, left: Vec::new() }
    }

    /// Goes on for about so many steps: the group's text where there is one, or nothing when it has not come to an end.
    pub fn go_on(&mut self, steps: usize) -> Option<Option<&str>> {
        let mut left = steps;
        while left > 0 {
            let (is_over, cost) = self.advance();
            if is_over {
                let [from, to] = self.found.unwrap_or_default();
                return Some(from.zip(to).and_then(|(from, to)| self.text.get(from..to)));
            }
            left = left.saturating_sub(cost);
        }
        None
    }

    /// Looks at one character: whether that was the last, and how many steps it took.
    fn advance(&mut self) -> (bool, usize) {
        let mut characters = self.text[self.at..].chars();
        let character = characters.next();
        let (here, behind) = (character.map(Sort::of), characters.next().map(Sort::of));
        let program = self.program;
        let mut cost = 1;
        if self.found.is_none() && (!program.is_anchored || self.at == 0) {
            let between = Between { at: self.at, before: self.before, after: here };
            cost += self.now.add(program, program.start, [None; 2], &between, &mut self.left);
        }
        if self.now.order.is_empty() && (self.found.is_some() || program.is_anchored) {
            return (true, cost);
        }
        let length = character.map_or(0, char::len_utf8);
        let between = Between { at: self.at + length, before: here, after: behind };
        for index in 0..self.now.order.len() {
            cost += 1;
            let place = self.now.order[index] as usize;
            let step = &program.steps[place];
            if matches!(step, Step::Match) {
                self.found = Some(self.now.marks[place]);
                // What comes behind counts less.
                break;
            }
            if let Some(next) = character.and_then(|character| program.takes(step, character)) {
                cost += self.next.add(program, next, self.now.marks[place], &between, &mut self.left);
            }
        }
        self.now.order.clear();
        std::mem::swap(&mut self.now, &mut self.next);
        (self.at, self.before) = (self.at + length, here);
        (character.is_none(), cost)
    }
}

/// A place between two characters.
struct Between {
    at: usize,
    before: Option<Sort>,
    after: Option<Sort>,
}

impl Ways {
    /// Adds all ways that go on from `place` without a character, and says how many steps that took.
    fn add(
        &mut self,
        program: &Program,
        place: Place,
        mut marks: Marks,
        between: &Between,
        left: &mut Vec<Errand>,
    ) -> usize {
        let mut cost = 0;
        left.push(Errand::Visit(place));
        while let Some(errand) = left.pop() {
            cost += 1;
            let place = match errand {
                Errand::Visit(place) => place,
                Errand::Restore(mark, at) => {
                    marks[usize::from(mark)] = at;
                    continue;
                }
            };
            if !self.insert(place) {
                continue;
            }
            match &program.steps[place as usize] {
                Step::Goto(next) => left.push(Errand::Visit(*next)),
                Step::Look(look, next) if look.holds(between.before, between.after) => {
                    left.push(Errand::Visit(*next));
                }
                Step::Look(..) => {}
                Step::Split { to: [first, second], second_first, .. } => {
                    let [sooner, later] = if *second_first { [second, first] } else { [first, second] };
                    left.push(Errand::Visit(*later));
                    left.push(Errand::Visit(*sooner));
                }
                Step::Mark(mark, next) => {
                    left.push(Errand::Restore(*mark, marks[usize::from(*mark)]));
                    marks[usize::from(*mark)] = Some(between.at);
                    left.push(Errand::Visit(*next));
                }
                Step::Char(..) | Step::Class(..) | Step::Match => self.marks[place as usize] = marks,
            }
        }
        cost
    }

    /// Adds a step at the end; false where it is there.
    fn insert(&mut self, place: Place) -> bool {
        let position = &mut self.positions[place as usize];
        if self.order.get(*position as usize) == Some(&place) {
            return false;
        }
        *position = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        self.order.push(place);
        true
    }
}

impl fmt::Debug for Find<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Find").field("at", &self.at).finish_non_exhaustive()
    }
}
