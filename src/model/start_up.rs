//! The start-up of the app's container: since when it counts, and how kubelet's questions tell that a new one begins.
//!
//! Kubelet asks `/startupz` only while a container has not started. So a question after a pause, once the endpoint had
//! opened, is the news of a new container, of which nothing that was seen before tells anything.

use std::time::Duration;

use crate::base::clock::Moment;

/// A question that comes this long after the last one tells of a new container.
pub const PAUSE: Duration = Duration::from_secs(30);

/// How often a question within the pause raises a doubt. Kubelet asks no container again after the answer that it
/// has started; who goes on asking is none, and must not keep a dead app alive.
const MOST_DOUBTS: u8 = 3;

/// In place of a count: nothing was asked yet, and the start-up was taken over.
const TAKEN_OVER: u8 = 7;

/// A start-up is given this long. After that a failing check closes `/livez` although it has never passed. While
/// kubelet watches over a start-up it does not ask `/livez`; but it may not know of this one: the daemon was restarted
/// beside an app that hangs, or a person asked.
pub const LONGEST_START: Duration = Duration::from_secs(300);

/// The present start-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartUp {
    /// When it began: with the daemon, or with kubelet's first question about a new container.
    pub began: Moment,
    /// `/startupz` has been open in it.
    pub opened: bool,
}

/// What a question of kubelet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerNews {
    /// Nothing.
    None,
    /// Perhaps the container is a new one: the app is to be looked at, and if it fails a start-up has begun.
    Doubt,
    /// A start-up begins.
    StartUp,
}

/// Kubelet's questions about `/startupz`, as far as they tell of new containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartupzTracker {
    last: Moment,
    /// The last question came after a pause, and none has followed it.
    alone: bool,
    /// How many questions were answered that the start-up is over, up to one more than there are doubts; or
    /// [`TAKEN_OVER`].
    told: u8,
}

impl StartupzTracker {
    /// No question yet. A daemon that starts at `now` is told of its first container by no question: the pause is
    /// counted from its start.
    #[must_use]
    pub const fn since(now: Moment) -> Self {
        Self { last: now, alone: false, told: 0 }
    }

    /// The daemon took over a start-up that had opened before it began: no question is known of, and the next one tells
    /// of a new container however soon it comes.
    #[must_use]
    pub const fn after_a_restart() -> Self {
        Self { last: Moment::at(Duration::ZERO), alone: false, told: TAKEN_OVER }
    }

    /// A question at `now`, and what it tells where `/startupz` had `opened` in the present start-up.
    ///
    /// Within the pause a question is no proof. But kubelet, once it was told that a container has started, asks again
    /// only about another one: that of an app which died young. So the app is looked at.
    ///
    /// A client that asks more rarely than every [`PAUSE`] is not kubelet beside a starting container: its second
    /// question alone, and every later one, begins nothing.
    #[must_use = "the start-up has to begin"]
    pub fn asked(&mut self, now: Moment, opened: bool) -> ContainerNews {
        let taken_over = self.told == TAKEN_OVER;
        let paused = taken_over || now.since(self.last) >= PAUSE;
        let slow_poller = paused && self.alone;
        let news = match (opened, paused) {
            // Whatever this daemon has seen by now: what it took over was seen of a container that may be gone.
            _ if taken_over => ContainerNews::StartUp,
            (true, true) if !slow_poller => ContainerNews::StartUp,
            (true, false) if (1..=MOST_DOUBTS).contains(&self.told) => ContainerNews::Doubt,
            _ => ContainerNews::None,
        };
        let told = if opened && news != ContainerNews::StartUp { (self.told + 1).min(MOST_DOUBTS + 1) } else { 0 };
        *self = Self { last: now, alone: paused, told };
        news
    }

    /// As one number, for an atomic: milliseconds on the boot clock, then three bits of how many were told, and whether
    /// the last one stands alone.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        let millis = u64::try_from(self.last.since_boot().as_millis()).unwrap_or(u64::MAX >> 4);
        millis << 4 | u64::from(self.told) << 1 | u64::from(self.alone)
    }

    /// What [`to_bits`](Self::to_bits) made.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let last = Moment::at(Duration::from_millis(bits >> 4));
        Self { last, alone: bits & 1 == 1, told: (bits >> 1 & 7) as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the questions at these seconds begin a start-up, while `/startupz` has been open all along.
    fn beginnings(mut asks: StartupzTracker, seconds: &[u64]) -> Vec<u64> {
        let begins = |second: &&u64| {
            let news = asks.asked(Moment::at(Duration::from_secs(**second)), true);
            asks = StartupzTracker::from_bits(asks.to_bits());
            news == ContainerNews::StartUp
        };
        seconds.iter().filter(begins).copied().collect()
    }

    #[test]
    fn a_question_after_a_pause_tells_of_a_new_container() {
        let start = StartupzTracker::since(Moment::at(Duration::from_secs(1000)));
        assert_eq!(beginnings(start, &[1002, 1004, 1006]), [0u64; 0], "the container that starts with the daemon");
        assert_eq!(beginnings(start, &[1002, 1004, 1040, 1042, 1044, 1100, 1102]), [1040, 1100]);
        assert_eq!(beginnings(start, &[1002, 1031]), [0u64; 0], "29 s later");
        assert_eq!(beginnings(start, &[1002, 1032]), [1032]);
        assert_eq!(beginnings(start, &[1300]), [1300], "the app restarted, and nobody had asked before");
        assert_eq!(beginnings(StartupzTracker::after_a_restart(), &[5, 7, 9]), [5]);
        assert_eq!(
            StartupzTracker::after_a_restart().asked(Moment::at(Duration::from_secs(5)), false),
            ContainerNews::StartUp
        );
    }

    #[test]
    fn a_slow_poller_begins_one_start_up_at_most() {
        let start = StartupzTracker::since(Moment::at(Duration::from_secs(1000)));
        assert_eq!(beginnings(start, &[1060, 1120, 1180, 1240]), [1060]);
        assert_eq!(beginnings(start, &[1060, 1120, 1122, 1200, 1202]), [1060, 1200], "kubelet after it");
    }

    #[test]
    fn while_the_first_start_up_is_under_way_no_other_begins() {
        let mut asks = StartupzTracker::since(Moment::at(Duration::from_secs(1000)));
        assert_eq!(asks.asked(Moment::at(Duration::from_secs(1100)), false), ContainerNews::None);
    }

    #[test]
    fn a_question_after_the_answer_that_it_has_started_is_a_doubt_three_times_at_most() {
        let mut asks = StartupzTracker::since(Moment::at(Duration::from_secs(1000)));
        let mut ask = |second, opened| {
            let news = asks.asked(Moment::at(Duration::from_secs(second)), opened);
            asks = StartupzTracker::from_bits(asks.to_bits());
            news
        };
        assert_eq!([ask(1002, false), ask(1004, false)], [ContainerNews::None; 2], "it is starting");
        assert_eq!(ask(1006, true), ContainerNews::None, "kubelet is told that it has started");
        assert_eq!([ask(1014, true), ask(1022, true), ask(1024, true)], [ContainerNews::Doubt; 3]);
        assert_eq!([ask(1034, true), ask(1044, true)], [ContainerNews::None; 2], "somebody who goes on asking");
        assert_eq!(ask(1080, true), ContainerNews::StartUp);
        assert_eq!(ask(1082, false), ContainerNews::None);
        assert_eq!([ask(1084, true), ask(1090, true)], [ContainerNews::None, ContainerNews::Doubt]);
    }
}
