//! The beats that the app pushes: the server hands them in, the probes look at the last one of their check.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::clock::Moment;
use crate::model::beat::{Beat, BeatStatus};

/// The beats that the app pushes, by check. One for the whole daemon.
#[derive(Default)]
pub struct Beats {
    register: Mutex<Register>,
    told: Notify,
    /// So often it was locked.
    #[cfg(test)]
    locks: std::sync::atomic::AtomicUsize,
}

/// The beats of so many checks that are gone are kept, the latest: one that comes back goes on with its own.
const MOST_GONE: usize = 256;

/// So many checks are looked at before the next beat has its turn: beats are taken where the gates are answered.
const SLICE: usize = 64;

#[derive(Default)]
struct Register {
    slots: BTreeMap<String, Weak<Slot>>,
    /// What was heard for each check, also while a reload replaces its probe.
    heard: BTreeMap<String, Arc<Mutex<Heard>>>,
    /// Beats from before a restart, of checks that do not look yet.
    remembered: BTreeMap<String, Moment>,
    /// The checks with news that the scheduler has not been told of.
    news: BTreeSet<String>,
    sleep: Sleep,
}

/// How long the app may have slept in all, with the machine or its pod, and when it was last found to be awake again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sleep {
    total: Duration,
    until: Moment,
}

/// The last beat of one check.
#[derive(Debug)]
pub(crate) struct Slot {
    max_age: Duration,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    last: Option<TakenBeat>,
    /// It is news that no run has seen.
    is_unseen: bool,
}

/// A beat, and when it came.
#[derive(Clone, Debug)]
pub(super) struct TakenBeat {
    pub(super) came: Moment,
    /// When it would have come to be as old as it counts.
    pub(super) at: Moment,
    pub(super) beat: Beat,
}

impl TakenBeat {
    pub(super) const fn new(came: Moment, beat: Beat) -> Self {
        Self { came, at: came, beat }
    }
}

impl Sleep {
    /// The moment since which something ages that began to at `at`, where it knew of the sleep `before`.
    pub(super) fn excuse(self, before: Self, at: Moment) -> Moment {
        excused(at, self.total.saturating_sub(before.total), self.until)
    }
}

/// What is no older at `until` for a span before it.
fn excused(at: Moment, span: Duration, until: Moment) -> Moment {
    at.max((at + span).min(until))
}

impl Beats {
    /// Takes a beat for `check` at `now`. Whether there is a check of that name that takes beats.
    pub fn beat(&self, check: &str, beat: Beat, now: Moment) -> bool {
        let mut register = self.lock();
        let Some(slot) = register.slots.get(check).and_then(Weak::upgrade) else { return false };
        if slot.take(TakenBeat::new(now, beat)) {
            register.news.insert(check.to_owned());
            self.told.notify_one();
        }
        true
    }

    /// Waits for beats with which their checks would say something else than before, and names these checks. However
    /// many such beats come, a check is named once until a run has seen the last of them.
    pub async fn news(&self) -> BTreeSet<String> {
        self.told.notified().await;
        std::mem::take(&mut self.lock().news)
    }

    /// The last beat of `check` from before a restart, which counts unless there is a newer one.
    pub fn restore(&self, check: &str, at: Moment) {
        let mut register = self.lock();
        match register.slots.get(check).and_then(Weak::upgrade) {
            Some(slot) => {
                let last = &mut slot.lock().last;
                if last.as_ref().is_none_or(|last| last.at < at) {
                    *last = Some(TakenBeat::new(at, Beat::default()));
                }
            }
            None => {
                register.remembered.insert(check.to_owned(), at);
            }
        }
    }

    /// Nobody could send a beat, or take one, for so long until `now`: what came before is no older for that.
    pub fn excuse(&self, span: Duration, now: Moment) {
        self.retain(
            |register| &mut register.heard,
            |_, heard| {
                if let Some(last) = &mut lock(heard).last {
                    last.at = excused(last.at, span, now);
                }
                true
            },
        );
    }

    /// The app may have slept for so long until `now`: what its probes wait for since before that is no older either.
    pub fn add_sleep(&self, span: Duration, now: Moment) {
        let sleep = &mut self.lock().sleep;
        *sleep = Sleep { total: sleep.total + span, until: if span.is_zero() { sleep.until } else { now } };
    }

    /// How long the app may have slept so far.
    pub(super) fn sleep(&self) -> Sleep {
        self.lock().sleep
    }

    /// The last beat of every check that has had one, but for those with which the app said that it does not work, or not
    /// well: what is kept of a beat over a restart is its time, and it would count as one that all is well.
    #[must_use]
    pub fn last(&self) -> Vec<(String, Moment)> {
        let mut beats = BTreeMap::new();
        // First those that wait for their check: it may come meanwhile, and has its own then.
        self.retain(
            |register| &mut register.remembered,
            |check, at| {
                beats.insert(check.to_owned(), *at);
                true
            },
        );
        self.retain(
            |register| &mut register.slots,
            |check, slot| {
                let last = slot.upgrade().and_then(|slot| slot.lock().last.clone());
                if let Some(last) = last {
                    beats.remove(check);
                    if last.beat.status == BeatStatus::Ok {
                        beats.insert(check.to_owned(), last.at);
                    }
                }
                true
            },
        );
        beats.into_iter().collect()
    }

    /// The slot of `check`, for as long as its probe holds on to it; a beat older than `max_age` is none. A new probe of
    /// the same name goes on with the last beat: a token that is rotated makes no check pending until the next one, which
    /// may be a day away.
    pub(crate) fn register(&self, check: &str, max_age: Duration) -> Arc<Slot> {
        let mut register = self.lock();
        let remembered = register.remembered.remove(check).map(|at| TakenBeat::new(at, Beat::default()));
        let heard = Arc::clone(register.heard.entry(check.to_owned()).or_default());
        {
            let mut heard = lock(&heard);
            heard.last = heard.last.take().or(remembered);
            heard.is_unseen = false;
        }
        let slot = Arc::new(Slot { max_age, heard });
        register.slots.insert(check.to_owned(), Arc::downgrade(&slot));
        slot
    }

    /// What was heard for `former` is what was heard for `check`, its name from now on; the former probe takes beats for
    /// it until it ends. One that is called `former` again goes on with what was heard until now.
    pub(crate) fn rename(&self, former: &str, check: &str) {
        let mut register = self.lock();
        if let Some(at) = register.remembered.remove(former) {
            register.remembered.insert(check.to_owned(), at);
        }
        let Some(heard) = register.heard.get(former).cloned() else { return };
        let last = lock(&heard).last.clone();
        if last.is_none() && register.heard.contains_key(check) {
            return;
        }
        register.heard.insert(check.to_owned(), heard);
        register.heard.insert(former.to_owned(), Arc::new(Mutex::new(Heard { last, is_unseen: false })));
    }

    /// Forgets the checks that are gone, but for the [`MOST_GONE`] that had a beat last. Whoever replaces probes calls
    /// it while each check still has its own.
    pub(crate) fn tidy(&self) {
        self.retain(|register| &mut register.slots, |_, slot| slot.strong_count() > 0);
        let is_gone = |heard: &Arc<Mutex<Heard>>| Arc::strong_count(heard) == 1;
        let mut gone = Vec::new();
        self.retain(
            |register| &mut register.heard,
            |check, heard| {
                let last = lock(heard).last.as_ref().map(|last| last.at);
                if is_gone(heard) {
                    gone.extend(last.map(|at| (at, check.to_owned())));
                }
                last.is_some() || !is_gone(heard)
            },
        );
        gone.sort_unstable();
        gone.truncate(gone.len().saturating_sub(MOST_GONE));
        for (_, check) in gone {
            let mut register = self.lock();
            // Unless it has come back meanwhile.
            if register.heard.get(&check).is_some_and(is_gone) {
                register.heard.remove(&check);
            }
        }
    }

    /// Keeps what `keeps` wants of a map in the register, and lets a beat have its turn after a few of thousands.
    fn retain<T>(&self, map: fn(&mut Register) -> &mut BTreeMap<String, T>, mut keeps: impl FnMut(&str, &T) -> bool) {
        let mut from = None;
        loop {
            let mut register = self.lock();
            let map = map(&mut register);
            let behind = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let slice: Vec<_> = map.range::<str, _>((behind, Bound::Unbounded)).take(SLICE).collect();
            let last = slice.last().map(|(check, _)| (*check).clone());
            let gone = slice.into_iter().filter(|(check, entry)| !keeps(check, entry));
            let gone: Vec<String> = gone.map(|(check, _)| check.clone()).collect();
            for check in gone {
                map.remove(&check);
            }
            drop(register);
            if last.is_none() {
                return;
            }
            from = last;
            std::thread::yield_now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Register> {
        #[cfg(test)]
        self.locks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        lock(&self.register)
    }
}

impl Slot {
    /// The last beat, which has been seen from now on.
    pub(super) fn look(&self) -> Option<TakenBeat> {
        let mut heard = self.lock();
        heard.is_unseen = false;
        heard.last.clone()
    }

    /// Takes a beat. Whether it is news, and the first of what no run has seen.
    fn take(&self, next: TakenBeat) -> bool {
        let mut heard = self.lock();
        let is_well = |beat: &TakenBeat| beat.beat.status == BeatStatus::Ok;
        let goes_on = |last: &TakenBeat| is_well(last) && next.at.since(last.at) <= self.max_age;
        let is_news = !is_well(&next) || !heard.last.as_ref().is_some_and(goes_on);
        heard.last = Some(next);
        is_news && !std::mem::replace(&mut heard.is_unseen, true)
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }
}

/// Held while memory is looked at, and never across a wait.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Beats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beats")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_AGE: Duration = Duration::from_secs(30);

    fn at(second: u64) -> Moment {
        Moment::at(Duration::from_secs(second))
    }

    #[test]
    fn a_beat_for_nobody_is_told() {
        let beats = Beats::default();
        assert!(!beats.beat("main_loop", Beat::default(), at(1)));
        let slot = beats.register("main_loop", MAX_AGE);
        assert!(beats.beat("main_loop", Beat::default(), at(1)));
        assert!(!beats.beat("other", Beat::default(), at(1)));
        drop(slot);
        assert!(!beats.beat("main_loop", Beat::default(), at(1)));
    }

    #[test]
    fn a_beat_is_no_older_for_a_time_in_which_nobody_could_take_one() {
        let beats = Beats::default();
        let slot = beats.register("main_loop", MAX_AGE);
        beats.excuse(MAX_AGE, at(60));
        assert!(slot.look().is_none());
        for (span, now, then) in [(20, 60, 30), (40, 45, 45)] {
            assert!(beats.beat("main_loop", Beat::default(), at(10)));
            beats.excuse(Duration::from_secs(span), at(now));
            assert_eq!(slot.look().unwrap().at, at(then));
        }
    }

    #[test]
    fn a_reload_that_replaces_a_probe_keeps_the_last_beat_of_its_check() {
        let beats = Beats::default();
        let slot = beats.register("nightly", MAX_AGE);
        let degraded = Beat { status: BeatStatus::Degraded, message: Some("slow".into()) };
        assert!(beats.beat("nightly", degraded.clone(), at(1)));
        // As the scheduler may do it: the old probe goes first, or last.
        drop(slot);
        let _other = beats.register("other", MAX_AGE);
        let second = beats.register("nightly", MAX_AGE);
        let third = beats.register("nightly", MAX_AGE);
        drop(second);
        let last = third.look().unwrap();
        assert_eq!((last.at, last.beat), (at(1), degraded));
        assert!(beats.beat("nightly", Beat::default(), at(2)));
        assert_eq!(beats.last(), [("nightly".to_owned(), at(2))]);
    }

    #[test]
    fn a_check_that_is_renamed_goes_on_with_the_last_beat_and_so_does_one_that_is_called_as_before_again() {
        let beats = Beats::default();
        let former = beats.register("old", MAX_AGE);
        assert!(beats.beat("old", Beat::default(), at(1)));
        beats.rename("old", "new");
        // As long as the former probe is there, it takes beats of the same app.
        assert!(beats.beat("old", Beat::default(), at(2)));
        drop(former);
        let slot = beats.register("new", MAX_AGE);
        assert_eq!(slot.look().unwrap().at, at(2));
        assert_eq!(beats.last(), [("new".to_owned(), at(2))]);
        assert!(beats.beat("new", Beat::default(), at(3)));
        let back = beats.register("old", MAX_AGE);
        assert_eq!(back.look().unwrap().at, at(1), "it is another check since");
        // Before its probe was there, and where nothing was heard by either name or by the former.
        beats.restore("remembered", at(4));
        for (former, name, then) in [("remembered", "known", Some(4)), ("a", "b", None), ("unheard", "new", Some(3))] {
            drop(beats.register("unheard", MAX_AGE));
            beats.rename(former, name);
            assert_eq!(beats.register(name, MAX_AGE).look().map(|last| last.at), then.map(at), "{former}");
        }
    }

    #[test]
    fn of_checks_that_are_gone_the_latest_beats_are_kept() {
        let beats = Beats::default();
        let _stays = beats.register("stays", MAX_AGE);
        // As reloads do that rename a check each.
        for second in 0..2000 {
            beats.tidy();
            let check = format!("job-{second}");
            let slot = beats.register(&check, MAX_AGE);
            assert!(beats.beat(&check, Beat::default(), at(second)));
            drop(slot);
            drop(beats.register(&format!("unheard-{second}"), MAX_AGE));
            let register = beats.lock();
            assert!(register.heard.len().max(register.slots.len()) <= MOST_GONE + 3);
        }
        assert!(beats.register(&format!("job-{}", 2000 - MOST_GONE), MAX_AGE).look().is_some());
        assert!(beats.register("job-1", MAX_AGE).look().is_none());
    }

    #[test]
    fn a_reload_that_replaces_thousands_of_probes_keeps_the_beat_of_each() {
        let beats = Beats::default();
        let names: Vec<String> = (0..4 * MOST_GONE).map(|number| format!("job-{number}")).collect();
        let register = || names.iter().map(|name| beats.register(name, MAX_AGE)).collect::<Vec<_>>();
        let slots = register();
        names.iter().for_each(|name| assert!(beats.beat(name, Beat::default(), at(1))));
        beats.tidy();
        // All old ones go before the first new one comes.
        drop(slots);
        assert!(register().iter().all(|slot| slot.look().is_some()));
    }

    #[test]
    fn a_beat_has_its_turn_while_thousands_of_others_are_looked_at() {
        let beats = Beats::default();
        let slots: Vec<_> = (0..2000).map(|number| beats.register(&format!("job-{number}"), MAX_AGE)).collect();
        (0..2000).for_each(|number| assert!(beats.beat(&format!("job-{number}"), Beat::default(), at(1))));
        let turns = |look: &dyn Fn()| {
            let before = beats.locks.load(std::sync::atomic::Ordering::Relaxed);
            look();
            beats.locks.load(std::sync::atomic::Ordering::Relaxed) - before
        };
        let least = 2000 / SLICE;
        assert!(turns(&|| assert_eq!(beats.last().len(), 2000)) >= least);
        assert!(turns(&|| beats.excuse(MAX_AGE, at(9))) >= least);
        assert!(slots.iter().all(|slot| slot.look().unwrap().at == at(9)));
        assert!(turns(&|| beats.tidy()) >= 2 * least);
        drop(slots);
        assert!(turns(&|| beats.tidy()) >= 2000 - MOST_GONE);
        assert_eq!(beats.lock().heard.len(), MOST_GONE);
    }

    #[test]
    fn news_is_what_makes_a_check_say_something_else_once_until_it_is_seen() {
        use BeatStatus::{Degraded, Error, Ok};
        let slot = Beats::default().register("main_loop", MAX_AGE);
        let cases = [
            (0, Ok, true, "the first"),
            (30, Ok, false, "in time"),
            (61, Ok, true, "it was missed"),
            (62, Degraded, true, "not well"),
            (63, Degraded, true, "it may say why in other words"),
            (64, Error, true, "worse"),
            (65, Ok, true, "well again"),
            (66, Ok, false, "as before"),
        ];
        for (second, status, expected, why) in cases {
            let beat = TakenBeat::new(at(second), Beat { status, message: None });
            assert_eq!(slot.take(beat.clone()), expected, "{why}");
            assert!(!slot.take(beat), "{why}, and nobody has looked since");
            assert_eq!(slot.look().unwrap().beat.status, status);
        }
    }

    #[tokio::test]
    async fn the_scheduler_is_told_of_news_once() {
        let beats = Beats::default();
        let slots = ["a", "b"].map(|check| beats.register(check, MAX_AGE));
        for check in ["a", "b", "a"] {
            assert!(beats.beat(check, Beat::default(), at(1)));
        }
        assert_eq!(beats.news().await, ["a", "b"].map(str::to_owned).into());
        slots[0].look();
        let error = || Beat { status: BeatStatus::Error, message: None };
        assert!(beats.beat("b", error(), at(2)), "b has not been looked at");
        assert!(beats.beat("a", error(), at(2)));
        assert_eq!(beats.news().await, ["a".to_owned()].into());
    }
}
