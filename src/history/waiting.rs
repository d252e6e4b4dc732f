//! What is told while the file is being opened, in order, to be written into the registry when they are open. Bounded.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Run;
use super::calendar::Calendar;
use super::ledger::Availability;
use super::registry::{Registry, Storage};
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::outcome::{FailureKind, one_line};
use crate::model::plan::Plan;
use crate::model::state::OutcomeKind;

/// More runs than this do not wait.
const RUNS: usize = 2048;
/// From so many words on, a check's transitions before the last one become one to `unknown`.
const WORDS: usize = 8192;

/// The words that wait.
#[derive(Debug, Default)]
pub struct Waiting {
    words: Vec<Word>,
    runs: usize,
}

#[derive(Debug)]
enum Word {
    Declare(Arc<Plan>, Timestamp),
    Enter(CheckName, Availability, Timestamp),
    Record(OwnedRun),
    See(Timestamp),
}

#[derive(Debug)]
struct OwnedRun {
    check: CheckName,
    at: Timestamp,
    outcome: OutcomeKind,
    reason: Option<FailureKind>,
    took: Option<Duration>,
    message: String,
}

impl Waiting {
    /// The checks of `plan` are watched from `at` on.
    pub fn declare(&mut self, plan: &Arc<Plan>, at: Timestamp) {
        self.words.push(Word::Declare(Arc::clone(plan), at));
    }

    /// The check stands like this from `at` on.
    pub fn enter(&mut self, check: &CheckName, availability: Availability, at: Timestamp) {
        if self.words.len() >= WORDS {
            self.make_room(check);
        }
        self.words.push(Word::Enter(check.clone(), availability, at));
    }

    /// One more run; whether it waits now.
    pub fn record(&mut self, run: &Run<'_>) -> bool {
        if self.runs == RUNS {
            return false;
        }
        self.runs += 1;
        let Run { check, at, outcome, reason, took, message } = *run;
        let message = one_line(message);
        self.words.push(Word::Record(OwnedRun { check: check.clone(), at, outcome, reason, took, message }));
        true
    }

    /// A sign of life.
    pub fn see(&mut self, at: Timestamp) {
        self.words.push(Word::See(at));
        // Of several in a row the first and the last say as much, unless there is a gap between.
        if let [.., Word::See(first), Word::See(second), Word::See(third)] = &self.words[..]
            && first <= second
            && third.since(*first) < Duration::from_secs(5)
        {
            let last = self.words.len() - 1;
            self.words.swap_remove(last - 1);
        }
    }

    /// Writes everything into the registry, in the time of the ledger.
    pub fn tell(self, registry: &mut Registry, storage: &mut dyn Storage, calendar: &Calendar) {
        for word in self.words {
            match word {
                Word::Declare(plan, at) => registry.declare(&plan, calendar.ledger(at), storage),
                Word::Enter(check, availability, at) => {
                    registry.enter(&check, availability, calendar.ledger(at), storage);
                }
                Word::See(at) => registry.see(calendar.ledger(at), storage),
                Word::Record(run) => {
                    let OwnedRun { check, at, outcome, reason, took, message } = &run;
                    let (at, outcome, reason, took) = (calendar.ledger(*at), *outcome, *reason, *took);
                    registry.record_run(&Run { check, at, outcome, reason, took, message }, storage);
                }
            }
        }
    }

    /// Of this check only the first transition stays, as one to `unknown`.
    fn make_room(&mut self, check: &CheckName) {
        let mut is_first = true;
        self.words.retain_mut(|word| match word {
            Word::Enter(of, availability, _) if of == check => {
                *availability = Availability::Unknown;
                std::mem::take(&mut is_first)
            }
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::EventKind;
    use super::super::memory::Memory;
    use super::super::registry::Marks;
    use super::*;
    use crate::model::plan::testing::{check, plan};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn what_waits_is_bounded_and_ends_as_it_was_told() {
        let (mut waiting, name) = (Waiting::default(), CheckName::new("db").unwrap());
        let plan = plan(vec![check("db")]);
        waiting.declare(&plan, at(0));
        let mut kept = 0;
        for second in 1..20_001 {
            waiting.enter(&name, if second % 2 == 0 { Availability::Up } else { Availability::Down }, at(second));
            waiting.see(at(second));
            let run =
                Run { check: &name, at: at(second), outcome: OutcomeKind::Pass, reason: None, took: None, message: "" };
            kept += u64::from(waiting.record(&run));
        }
        assert_eq!(kept, RUNS as u64);
        let mut memory = Memory::default();
        let mut registry = Registry::open([], Marks::EMPTY, &mut memory);
        waiting.tell(&mut registry, &mut memory, &Calendar::default());
        let service = registry.find("db").unwrap().service(registry.marks().seen);
        assert_eq!((service.current_status.kind, service.current_status.from), (EventKind::Uptime, at(20_000)));
        assert_eq!(service.metric.tick_count, RUNS as u64);
    }

    #[test]
    fn signs_of_life_in_a_row_take_the_place_of_two_and_a_gap_stays_one() {
        let mut waiting = Waiting::default();
        (0..4).chain(100..104).for_each(|second| waiting.see(at(second)));
        let seen = waiting.words.iter().map(|word| if let Word::See(at) = word { at.whole_seconds() } else { -1 });
        assert_eq!(seen.collect::<Vec<_>>(), [0, 3, 100, 103]);
    }
}
