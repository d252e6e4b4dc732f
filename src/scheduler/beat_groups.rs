//! Which checks share a beat. Pure.
//!
//! A processor that rested has cold caches, and what it does first costs several times what follows: runs that follow
//! each other closely cost a fraction of the same runs one by one. Their number is bounded, so that none waits for the
//! others. Of those that ask the same of one server few are together where it is on this pod, and none where it is not: one
//! that many ask may let each client ask only so often.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::model::definition::Definition;

/// So many checks of one interval share a beat at most: a bit of a byte for each.
const CHECKS: u8 = 8;
/// So many of them are of one kind and ask one server of this pod at most: no more than a kubelet does whose probes happen
/// to coincide.
const OF_THE_POD: u8 = 3;
/// The same where the server is another's.
const ELSEWHERE: u8 = 1;

/// The groups of checks of one pod. The checks of a group have the same interval and begin right after each other.
#[derive(Debug, Default)]
pub struct BeatGroups {
    intervals: HashMap<Duration, IntervalGroups>,
}

/// The place of a check among the groups of its interval; by default that of a check that is alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BeatPlace {
    group: u32,
    slot: u8,
    server: Option<ServerHash>,
}

/// The server that a check asks and the kind of check, by a hash of how the file calls them: where two share it, they share
/// one bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct ServerHash(u64);

/// The groups of one interval.
#[derive(Debug, Default)]
struct IntervalGroups {
    /// The slots of each that are taken, a bit each.
    taken: Vec<u8>,
    /// All before this one are full.
    first_with_room: u32,
    /// How many checks of a server each has.
    askers: HashMap<(ServerHash, u32), u8>,
    /// Those before this one have no room for the server.
    first_for: HashMap<ServerHash, u32>,
}

impl BeatGroups {
    /// A place for `check`: in the first group of its interval with room for it.
    pub fn join(&mut self, check: &Definition) -> BeatPlace {
        let server = check.target.as_deref().map(|target| ServerHash(hash(check.kind, server_of(target))));
        let groups = self.intervals.entry(check.interval).or_default();
        let group = groups.room_for(server, if check.of_pod { OF_THE_POD } else { ELSEWHERE });
        let place = BeatPlace { group, slot: groups.first_free_slot(group), server };
        groups.take(place);
        place
    }

    /// The `check` keeps the place that it had.
    pub fn keep(&mut self, check: &Definition, place: BeatPlace) {
        self.intervals.entry(check.interval).or_default().take(place);
    }
}

impl BeatPlace {
    /// The group, counted from zero among those of the interval.
    #[must_use]
    pub const fn group(self) -> u32 {
        self.group
    }

    /// How many steps after the beat of its group it begins, from 0 to 7. Who asks nobody begins with it.
    #[must_use]
    pub const fn steps(self) -> u8 {
        if self.server.is_some() { self.slot } else { 0 }
    }
}

impl IntervalGroups {
    /// The first group where fewer than `most` ask the server.
    fn room_for(&mut self, server: Option<ServerHash>, most: u8) -> u32 {
        while !self.has_room(self.first_with_room) {
            self.first_with_room += 1;
        }
        let first = self.first_with_room;
        let Some(server) = server else { return first };
        let first = self.first_for.get(&server).map_or(first, |of_server| first.max(*of_server));
        let fits = |group: &u32| self.has_room(*group) && self.asks(server, *group) < most;
        // There are fewer groups than checks, and the last one is empty.
        let group = (first..).find(fits).unwrap_or(u32::MAX);
        self.first_for.insert(server, group);
        group
    }

    fn take(&mut self, place: BeatPlace) {
        let index = place.group as usize;
        if self.taken.len() <= index {
            self.taken.resize(index + 1, 0);
        }
        self.taken[index] |= 1 << place.slot;
        if let Some(server) = place.server {
            let askers = self.askers.entry((server, place.group)).or_default();
            *askers = askers.saturating_add(1);
        }
    }

    fn has_room(&self, group: u32) -> bool {
        self.first_free_slot(group) < CHECKS
    }

    /// As many as there are slots where all are taken.
    fn first_free_slot(&self, group: u32) -> u8 {
        self.taken.get(group as usize).map_or(0, |taken| taken.trailing_ones() as u8)
    }

    fn asks(&self, server: ServerHash, group: u32) -> u8 {
        self.askers.get(&(server, group)).copied().unwrap_or_default()
    }
}

/// The part of a target that names the server: what is before the path of a URL, else all of it.
fn server_of(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://") else { return target };
    rest.split('/').next().unwrap_or(rest)
}

fn hash(kind: &str, server: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, server).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::check;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn asking(kind: &'static str, target: Option<&str>, of_pod: bool) -> Definition {
        Definition { kind, target: target.map(str::to_owned), of_pod, interval: INTERVAL, ..check("any") }
    }

    fn joined(groups: &mut BeatGroups, kind: &'static str, targets: &[&str]) -> Vec<u32> {
        let own = |target: &str| target.contains("127.0.0.1");
        targets.iter().map(|target| groups.join(&asking(kind, Some(target), own(target))).group()).collect()
    }

    #[test]
    fn checks_share_a_beat_up_to_eight_of_them_and_three_that_ask_the_same_of_the_pod() {
        let mut groups = BeatGroups::default();
        let app =
            ["http://127.0.0.1:8080/live", "http://127.0.0.1:8080/ready", "127.0.0.1:8080", "http://127.0.0.1:8080"];
        assert_eq!(joined(&mut groups, "http", &app), [0, 0, 0, 1]);
        assert_eq!(joined(&mut groups, "http", &["a:1", "b:1", "c:1", "redis://d:1/0", "/var"]), [0; 5]);
        assert_eq!(joined(&mut groups, "tcp", &["127.0.0.1:8080"; 2]), [1, 1], "the first group is full");
        assert_eq!(joined(&mut groups, "http", &["e:1", "http://127.0.0.1:8080/x"]), [1, 1]);
        let simulated = asking("simulated", None, false);
        assert_eq!(groups.join(&simulated).group(), 1);
        let slower = Definition { interval: INTERVAL * 2, ..simulated };
        assert_eq!(groups.join(&slower).group(), 0, "each interval has its own");
        assert_eq!(joined(&mut groups, "http", &["http://127.0.0.1:8080/y", "http://127.0.0.1:8080/z"]), [1, 2]);
    }

    #[test]
    fn those_that_ask_the_same_of_somebody_else_are_apart() {
        let mut groups = BeatGroups::default();
        let targets = [
            "https://api.example.com/a",
            "https://api.example.com/b?c",
            "https://www.example.com",
            "https://api.example.com",
        ];
        assert_eq!(joined(&mut groups, "http", &targets), [0, 1, 0, 2]);
    }

    #[test]
    fn what_is_of_no_server_fills_groups_one_after_the_other() {
        let mut groups = BeatGroups::default();
        let simulated = asking("simulated", None, false);
        let places: Vec<_> = (0..10_000).map(|_| groups.join(&simulated)).collect();
        assert!(places.iter().enumerate().all(|(index, place)| {
            (place.group() as usize, place.slot, place.steps()) == (index / 8, index as u8 % 8, 0)
        }));
    }

    #[test]
    fn who_stays_keeps_the_place_and_who_comes_takes_one_that_was_left() {
        let mut groups = BeatGroups::default();
        let tcp = asking("tcp", Some("127.0.0.1:5432"), true);
        let places: Vec<_> = (0..7).map(|_| groups.join(&tcp)).collect();
        assert_eq!(places.iter().map(|place| place.group()).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 2]);
        let mut after = BeatGroups::default();
        for place in places.iter().skip(1).step_by(2) {
            after.keep(&tcp, *place);
        }
        let places: Vec<_> = (0..5).map(|_| after.join(&tcp)).collect();
        let places: Vec<_> = places.iter().map(|place| (place.group(), place.steps())).collect();
        assert_eq!(places, [(0, 0), (0, 2), (1, 1), (2, 0), (2, 1)]);
    }
}
