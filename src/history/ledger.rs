//! The ledger of one check: a gapless sequence of intervals, and the events that they make up. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::model::state::State;

/// How a check stood during an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Availability {
    /// It passed.
    Up,
    /// It passed, with something to worry about.
    Degraded,
    /// It failed.
    Down,
    /// Nothing is known: it was skipped, pending or stale, or no daemon ran.
    Unknown,
}

impl From<State> for Availability {
    fn from(state: State) -> Self {
        match state {
            State::Ok => Self::Up,
            State::Degraded => Self::Degraded,
            State::Error => Self::Down,
            State::Skipped | State::Pending => Self::Unknown,
        }
    }
}

impl Availability {
    /// All of them; the place of each is its number in a file.
    pub const ALL: [Self; 4] = [Self::Up, Self::Degraded, Self::Down, Self::Unknown];

    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    /// The event that it is a part of.
    #[must_use]
    pub const fn event(self) -> EventKind {
        match self {
            Self::Up | Self::Degraded => EventKind::Uptime,
            Self::Down => EventKind::Downtime,
            Self::Unknown => EventKind::Unknown,
        }
    }
}

/// What an event is: one or more intervals in a row that are up, or down, or unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the words of the contract
pub enum EventKind {
    Uptime,
    Downtime,
    Unknown,
}

impl EventKind {
    /// The word for it in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uptime => "uptime",
            Self::Downtime => "downtime",
            Self::Unknown => "unknown",
        }
    }
}

/// A stretch of time in which a check stood the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Its number; a later interval has a greater one, whatever its check.
    pub id: u64,
    /// The number of its event, which is that of the event's first interval.
    pub event: u64,
    /// How the check stood.
    pub availability: Availability,
    /// When it began.
    pub from: Timestamp,
    /// When it ended, which is when the next one began; nothing while it lasts.
    pub to: Option<Timestamp>,
}

impl Interval {
    /// How long it lasted, until `now` where it has not ended.
    #[must_use]
    pub fn length(&self, now: Timestamp) -> Duration {
        self.to.unwrap_or(now).since(self.from)
    }

    /// The same, so many microseconds later.
    #[must_use]
    pub fn moved(self, micros: i64) -> Self {
        Self { from: self.from.moved(micros), to: self.to.map(|to| to.moved(micros)), ..self }
    }
}

/// A span of time in which a check was up, or down, or in which its state is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number; a later event has a greater one.
    pub id: u64,
    /// What it is.
    pub kind: EventKind,
    /// When it began.
    pub from: Timestamp,
    /// When it ended; nothing while it lasts.
    pub to: Option<Timestamp>,
}

impl Event {
    /// The same, so many microseconds later.
    #[must_use]
    pub fn moved(self, micros: i64) -> Self {
        Self { from: self.from.moved(micros), to: self.to.map(|to| to.moved(micros)), ..self }
    }
}

/// The events that `intervals` of one check (oldest first) make up, oldest first.
#[must_use]
pub fn events(intervals: impl IntoIterator<Item = Interval>) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for interval in intervals {
        match events.last_mut().filter(|last| last.id == interval.event) {
            Some(last) => last.to = interval.to,
            None => events.push(Event {
                id: interval.event,
                kind: interval.availability.event(),
                from: interval.from,
                to: interval.to,
            }),
        }
    }
    events
}

/// The last of several sources wins where they know the same thing: `stored` with what is `waiting` to be stored laid
/// over it, both oldest first.
#[must_use]
pub fn overlay<T>(stored: Vec<T>, waiting: Vec<T>, id: impl Fn(&T) -> u64, merge: impl Fn(T, T) -> T) -> Vec<T> {
    let mut all: BTreeMap<u64, T> = stored.into_iter().map(|item| (id(&item), item)).collect();
    for newer in waiting {
        let key = id(&newer);
        let item = match all.remove(&key) {
            Some(older) => merge(older, newer),
            None => newer,
        };
        all.insert(key, item);
    }
    all.into_values().collect()
}

/// Hands out numbers in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers(u64);

impl Numbers {
    /// The next number will be `next`.
    #[must_use]
    pub const fn from(next: u64) -> Self {
        Self(next)
    }

    /// The number that comes next, without taking it.
    #[must_use]
    pub const fn peek(self) -> u64 {
        self.0
    }

    /// Takes the next number.
    #[must_use]
    pub const fn take(&mut self) -> u64 {
        let number = self.0;
        self.0 += 1;
        number
    }
}

/// The open end of one check's sequence of intervals. Each interval that ends is returned, to be kept by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    open: Interval,
    /// When the event that `open` is a part of began.
    event_from: Timestamp,
}

impl Ledger {
    /// The ledger of a check that is new: nothing is known from `at` on.
    pub fn begin(at: Timestamp, numbers: &mut Numbers) -> Self {
        let id = numbers.take();
        Self {
            open: Interval { id, event: id, availability: Availability::Unknown, from: at, to: None },
            event_from: at,
        }
    }

    /// The ledger as it was left, with the beginning of its last event.
    #[must_use]
    pub const fn left(open: Interval, event_from: Timestamp) -> Self {
        Self { open, event_from }
    }

    /// The interval that lasts.
    #[must_use]
    pub const fn open(&self) -> Interval {
        self.open
    }

    /// The event that lasts.
    #[must_use]
    pub const fn current(&self) -> Event {
        Event { id: self.open.event, kind: self.open.availability.event(), from: self.event_from, to: None }
    }

    /// From `at` on the check has this availability. Returns the interval that this ends, or nothing when it had it
    /// already.
    pub fn enter(&mut self, availability: Availability, at: Timestamp, numbers: &mut Numbers) -> Option<Interval> {
        if availability == self.open.availability {
            return None;
        }
        let at = at.max(self.open.from);
        let closed = Interval { to: Some(at), ..self.open };
        let id = numbers.take();
        let same_event = availability.event() == closed.availability.event();
        let event = if same_event { closed.event } else { id };
        self.open = Interval { id, event, availability, from: at, to: None };
        if !same_event {
            self.event_from = at;
        }
        Some(closed)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    /// The intervals of a check that moves like this, the open one included.
    pub fn played(moves: &[(Availability, i64)]) -> Vec<Interval> {
        let mut numbers = Numbers::from(1);
        let mut ledger = Ledger::begin(at(0), &mut numbers);
        let mut intervals: Vec<Interval> =
            moves.iter().filter_map(|(to, seconds)| ledger.enter(*to, at(*seconds), &mut numbers)).collect();
        intervals.push(ledger.open());
        intervals
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::figures::Times;
    use super::testing::{at, played};
    use super::*;

    #[test]
    fn each_state_is_an_event_of_the_contract() {
        let of = |state: State| Availability::from(state).event().label();
        assert_eq!(State::ALL.map(of), ["uptime", "uptime", "downtime", "unknown", "unknown"]);
    }

    #[test]
    fn a_worry_splits_an_interval_and_not_the_event() {
        let intervals = played(&[
            (Availability::Up, 6),
            (Availability::Degraded, 20),
            (Availability::Up, 30),
            (Availability::Down, 40),
        ]);
        let event = |id, kind, from, to: Option<i64>| Event { id, kind, from: at(from), to: to.map(at) };
        assert_eq!(
            events(intervals),
            [
                event(1, EventKind::Unknown, 0, Some(6)),
                event(2, EventKind::Uptime, 6, Some(40)),
                event(5, EventKind::Downtime, 40, None)
            ]
        );
    }

    #[test]
    fn the_same_availability_again_is_no_new_interval() {
        assert_eq!(played(&[(Availability::Up, 6), (Availability::Up, 7), (Availability::Up, 8)]).len(), 2);
    }

    #[test]
    fn what_waits_is_laid_over_what_is_stored() {
        let merged = overlay(vec![(1, 'a'), (2, 'b')], vec![(2, 'c'), (3, 'd')], |item| item.0, |_, newer| newer);
        assert_eq!(merged, [(1, 'a'), (2, 'c'), (3, 'd')]);
    }

    fn availabilities() -> impl Strategy<Value = Availability> {
        prop::sample::select(Availability::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn intervals_are_gapless_do_not_overlap_and_add_up(
            moves in prop::collection::vec((availabilities(), -50i64..500), 0..60),
            from in 0i64..400,
            span in 0i64..400,
        ) {
            let intervals = played(&moves);
            for pair in intervals.windows(2) {
                prop_assert_eq!(pair[0].to, Some(pair[1].from));
                prop_assert!(pair[0].from <= pair[1].from && pair[0].id < pair[1].id && pair[0].event <= pair[1].event);
                prop_assert_ne!(pair[0].availability, pair[1].availability);
            }
            let open = intervals[intervals.len() - 1];
            prop_assert!(open.to.is_none());
            let times = Times::within(intervals.clone(), at(from), at(from + span));
            prop_assert_eq!(times.total(), at(from + span).since(at(from)));
            let now = at(from + span).max(open.from);
            let by_event: Duration = events(intervals).iter().map(|event| event.to.unwrap_or(now).since(event.from)).sum();
            prop_assert_eq!(by_event, now.since(at(0)));
        }
    }
}
