//! The scheduler is an actor: one task that owns the state machine, takes commands and observations from channels,
//! sends run requests to the workers, and is the one writer of the published snapshot.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::history_reporter::HistoryReporter;
use super::jump::{JumpWatch, KernelAccount};
use super::machine::{Machine, Transition};
use super::run_slot::RunRequest;
use super::transition_log;
use super::want_log::WantLog;
use super::worker::RunReport;
use super::workers::Workers;
use crate::base::alarm::Alarm;
use crate::base::clock::{Clock, Moment, Reading};
use crate::base::processor::Processor;
use crate::base::quantity::show_duration;
use crate::base::trace::Phase;
use crate::history::answer::SavedState;
use crate::model::outcome::{Observation, Outcome};
use crate::model::plan::{Definition, Origin, Plan};
use crate::model::snapshot::Snapshot;
use crate::model::start_up::ContainerNews;
use crate::model::state::CheckState;
use crate::model::verdict::{Judged, Judgement};
use crate::probe::{BuildContext, Spec};
use crate::store::Recorder;

/// It looks around at least this often, and shows that it makes progress.
const LONGEST_REST: Duration = Duration::from_secs(4);
/// The same while something is amiss or still to be saved.
const WATCHFUL_REST: Duration = Duration::from_secs(1);

/// What the scheduler is told while it works.
#[derive(Debug)]
pub enum SchedulerCommand {
    /// Begin a drain, or undo it: whichever was wanted last when this is obeyed. Where there is no room for one more of
    /// these, the ones that wait say the same.
    Drain(Arc<AtomicBool>),
    /// The process was asked to end: drain, and do not remember this drain or the one that a `preStop` hook began. If
    /// it is the sidecar's own container alone that ends, the next one has to take part again.
    End,
    /// What was saved before a restart, where it was not known at the start.
    Restore(Box<SavedState>),
    /// Use another plan.
    Reload(Box<Program>),
    /// The configuration was read again, and every check is as it was.
    Confirm,
    /// A new configuration could not be used.
    ReloadFailed(String),
    /// Begin no run any more. Those that are under way have a second to come to their end.
    Stop,
}

/// A plan with what it takes to run it.
#[derive(Debug)]
pub struct Program {
    /// What is declared.
    pub plan: Arc<Plan>,
    /// What each check observes, in the order of the plan.
    pub specs: Vec<Arc<dyn Spec>>,
    /// Where each check comes from, in the order of the plan.
    pub origins: Vec<Origin>,
}

/// Told of a snapshot, of the checks whose state it changed, and of the endpoints that opened or closed with it, or have
/// stayed closed since the start.
pub type OnChange = dyn Fn(&Snapshot, &[Transition], &[Judgement]) + Send;

/// Told how far the scheduler is.
pub type OnProgress = dyn Fn(SchedulerProgress) + Send;

/// How far the scheduler is: what was due has begun.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerProgress {
    /// The time.
    pub at: Moment,
    /// How long the first run that was scheduled had been due. What it slept through while the machine or the process was
    /// stopped does not count.
    pub late: Duration,
    /// When the next run is due, where one is.
    pub next_run: Option<Moment>,
    /// How many runs have been void so far because something of our own was used up.
    pub void_runs: u64,
}

/// What the scheduler works with.
pub struct Scheduler {
    /// The state of all checks.
    pub machine: Machine,
    /// The writer of the snapshot.
    pub recorder: Recorder,
    /// Tells history.
    pub reporter: HistoryReporter,
    /// Where the time comes from.
    pub clock: Clock,
    /// What probes are built with; the name is filled in for each.
    pub context: BuildContext,
    /// What kubelet's last question that told something told of the app's container.
    pub start_ups: watch::Receiver<(ContainerNews, Moment)>,
    /// Told whenever progress is made, at least every four seconds.
    pub progress: Box<OnProgress>,
    /// Called with each snapshot with which something has changed. It never waits.
    pub changed: Box<OnChange>,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl Scheduler {
    /// Works until it is told to stop, or every sender of `commands` is gone. `specs` are what the checks of the machine's plan observe.
    pub async fn run(mut self, specs: Vec<Arc<dyn Spec>>, mut commands: mpsc::Receiver<SchedulerCommand>) {
        let (ended, mut reports) = mpsc::channel(64);
        let mut workers = Workers::new(ended, self.clock, self.context.clone());
        workers.sync(&self.machine, &specs);
        self.reporter.declare(&self.machine, self.clock.read());
        let (clock, processor) = (self.clock, Processor::of_this_thread());
        let account = || KernelAccount { suspended: clock.suspended(), processor: processor.account() };
        let mut watch = JumpWatch::new(self.clock.read(), account());
        let mut wants = WantLog::new();
        let mut dated = self.clock.read();
        let beats = Arc::clone(&self.context.beats);
        let mut alarm = Alarm::new(self.clock);
        let mut due = None;
        loop {
            let now = self.clock.read();
            let stepped = now.stepped_since(&std::mem::replace(&mut dated, now));
            if stepped != 0 {
                self.machine.redate(stepped);
            }
            if let Some(lateness) = watch.look(now, || shortest_interval(&self.machine), account) {
                beats.excuse(lateness.deaf(), now.moment);
                beats.add_sleep(lateness.asleep(), now.moment);
                if lateness.is_jump() {
                    tracing::warn!("{}: all checks run now", lateness.shown());
                    self.machine.jumped(now);
                    due = None;
                } else {
                    wants.late(lateness, now.moment);
                }
            }
            let late = due.map_or(Duration::ZERO, |due| now.moment.since(due));
            for start in self.machine.due(now) {
                workers.request_run(start.key, RunRequest { throttled: start.throttled });
            }
            self.publish(now);
            due = self.machine.next_wake();
            (self.progress)(SchedulerProgress { at: now.moment, late, next_run: due, void_runs: wants.void_runs() });
            let next = self.rest(now.moment, due);
            watch.expect_after(now, next, account);
            // Most reports leave the next beat where it was, and the alarm with it.
            alarm.set(now.moment + next);
            tokio::select! {
                Some(report) = reports.recv() => self.take_in(report, &mut reports, &mut wants),
                command = commands.recv() => match command {
                    Some(SchedulerCommand::Stop) | None => {
                        // Nobody waits for room to report.
                        drop(reports);
                        return workers.finish().await;
                    }
                    Some(command) => self.obey(command, &mut workers),
                },
                Ok(()) = self.start_ups.changed() => {
                    let (news, at) = *self.start_ups.borrow_and_update();
                    match news {
                        ContainerNews::None => {}
                        ContainerNews::Doubt => self.machine.doubt_start(at, self.clock.read()),
                        ContainerNews::StartUp => self.machine.begin_start_up(at, self.clock.read()),
                    }
                }
                checks = beats.news() => {
                    for check in checks {
                        self.machine.hear(&check, self.clock.read());
                    }
                    self.reporter.beats_have_news();
                }
                () = alarm.rings() => {}
            }
        }
    }

    /// How long there is nothing to do, where nobody says anything: until the next run, which is `due`, or until a result
    /// becomes stale.
    fn rest(&self, now: Moment, due: Option<Moment>) -> Duration {
        let is_calm = self.machine.is_calm(now) && !self.reporter.has_unsaved_news();
        let longest = now + if is_calm { LONGEST_REST } else { WATCHFUL_REST };
        let wakes = [due, self.machine.next_stale()].into_iter().flatten();
        wakes.fold(longest, Moment::min).since(now)
    }

    fn take_in(&mut self, first: RunReport, reports: &mut mpsc::Receiver<RunReport>, wants: &mut WantLog) {
        let mut next = Some(first);
        while let Some(RunReport { key, observation, phases }) = next {
            if let (Outcome::Void(why), Some((definition, _))) = (&observation.outcome, self.machine.check(key)) {
                wants.void(definition, why, observation.ended);
            }
            let told = tracing::enabled!(tracing::Level::DEBUG).then(|| observation.clone());
            self.machine.finished(key, observation, self.clock.read());
            if let (Some(observation), Some((definition, state))) = (told, self.machine.check(key)) {
                log_run(definition, state, &observation, &phases);
            }
            next = reports.try_recv().ok();
        }
    }

    fn obey(&mut self, command: SchedulerCommand, workers: &mut Workers) {
        match command {
            // Whoever drains a process that ends would have it remembered.
            SchedulerCommand::Drain(_) if self.machine.is_ending() => {}
            SchedulerCommand::Drain(wanted) => {
                let draining = wanted.load(Ordering::Relaxed);
                self.machine.set_draining(draining);
                self.reporter.drain(draining, self.clock.now());
            }
            SchedulerCommand::End => {
                self.machine.end();
                self.reporter.drain(false, self.clock.now());
            }
            SchedulerCommand::Restore(latches) => {
                self.reporter.restore(*latches, &mut self.machine, self.clock.read());
            }
            // Whoever is told so obeys nothing any more.
            SchedulerCommand::Stop => {}
            SchedulerCommand::Confirm => self.machine.confirm(self.clock.read()),
            SchedulerCommand::ReloadFailed(reason) => self.machine.reload_failed(reason),
            SchedulerCommand::Reload(program) => {
                let Program { plan, specs, origins } = *program;
                let now = self.clock.read();
                for (check, origin) in plan.checks.iter().zip(&origins) {
                    let before = origin.before().map(|before| &self.machine.plan().checks[before].name);
                    if let Some(former) = before.filter(|before| **before != check.name) {
                        self.context.beats.rename(former.as_str(), check.name.as_str());
                    }
                }
                self.machine.reload(plan, &origins, now);
                self.reporter.declare(&self.machine, now);
                workers.sync(&self.machine, &specs);
            }
        }
    }

    fn publish(&mut self, now: Reading) {
        // Before its transitions, which follow from it.
        if self.machine.take_start_up() {
            tracing::info!("the app's container starts anew: what was seen before counts for nothing");
        }
        let transitions = self.machine.take_transitions();
        let snapshot = self.machine.snapshot(now);
        let before = self.recorder.latest();
        let judged = Judged::new(&snapshot, snapshot.at);
        transition_log::log(&transitions, &before, &judged);
        self.reporter.write(&mut self.machine, &snapshot, &transitions);
        // Most wakes change something; the quiet ones (a rest of a second) publish nothing.
        let endpoints = self.recorder.publish(snapshot);
        if !(transitions.is_empty() && endpoints.is_empty()) {
            (self.changed)(&self.recorder.latest(), &transitions, &endpoints);
        }
    }
}

fn shortest_interval(machine: &Machine) -> Duration {
    machine.plan().checks.iter().map(|check| check.interval).min().unwrap_or(LONGEST_REST)
}

/// Each run, for somebody who debugs a check.
fn log_run(definition: &Definition, state: &CheckState, observation: &Observation, phases: &[(Phase, Duration)]) {
    let (outcome, failure) = match &observation.outcome {
        Outcome::Pass(_) => ("pass", None),
        Outcome::Fail(failure) => ("fail", Some(failure)),
        Outcome::Void(failure) => ("void", Some(failure)),
        Outcome::Skip => ("skip", None),
    };
    // To the microsecond, as a number that reads well.
    let ms = (observation.took().as_secs_f64() * 1e6).round() / 1e3;
    let phase = |(phase, took): &(Phase, Duration)| format!("{} {}", phase.label(), show_duration(*took));
    let phases = phases.iter().map(phase).collect::<Vec<_>>().join(", ");
    let reason = failure.map(|failure| failure.kind.label());
    let error = failure.map(|failure| failure.message.as_str());
    let (state, passes, failures) = (state.state.label(), state.passes, state.failures);
    tracing::debug!(check = %definition.name, outcome, ms, reason, error, state, passes, failures, phases, "run");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::answer::Keep;
    use crate::history::{History, Settings};
    use crate::model::index::CheckIndex;
    use crate::model::outcome::{FailureKind, Pass, ProbeResult};
    use crate::model::plan::testing::{check, plan};
    use crate::model::snapshot::Snapshot;
    use crate::model::state::State;
    use crate::probe::BoxFuture;
    use crate::scheduler::testing::{FakeRun, fails, hangs, panics, passes, specs};
    use crate::store::{Board, board};

    /// A scheduler at work, its commands and a reader of what it publishes.
    fn running_scheduler(checks: Vec<Definition>, targets: &[FakeRun]) -> (mpsc::Sender<SchedulerCommand>, Board) {
        watched_scheduler(checks, targets, Box::new(|_| {}))
    }

    /// The same, which tells `progress` when it makes some.
    fn watched_scheduler(
        checks: Vec<Definition>,
        targets: &[FakeRun],
        progress: Box<OnProgress>,
    ) -> (mpsc::Sender<SchedulerCommand>, Board) {
        let clock = Clock::tokio();
        let mut machine = Machine::new(plan(checks), "pod", clock.read());
        let (recorder, board) = board(machine.snapshot(clock.read()));
        let keep = Keep { retention: Duration::from_secs(3600), max_size: 1 << 20, max_memory: 1 << 20 };
        let history = History::start(Settings { path: None, keep, pod: None, boot: None }, clock.read().wall);
        let context = context(clock);
        let reporter = HistoryReporter::new(history, Arc::clone(&context.beats), clock.read());
        let start_ups = watch::channel((ContainerNews::None, Moment::default())).1;
        let changed = Box::new(|_: &Snapshot, _: &[Transition], _: &[Judgement]| {});
        let scheduler = Scheduler { machine, recorder, reporter, clock, context, progress, changed, start_ups };
        let (sender, receiver) = mpsc::channel(8);
        tokio::spawn(scheduler.run(specs(targets), receiver));
        (sender, board)
    }

    fn context(clock: Clock) -> BuildContext {
        let check = crate::base::name::CheckName::new("any").unwrap();
        BuildContext { check, network: Arc::default(), clock, beats: Arc::default() }
    }

    async fn wait_for(board: &mut Board, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        loop {
            let snapshot = board.latest();
            if wanted(&snapshot) {
                return snapshot;
            }
            board.next().await.expect("the conductor works");
        }
    }

    fn states(snapshot: &Snapshot) -> Vec<&'static str> {
        snapshot.checks.iter().map(|check| check.state.label()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_check_and_a_broken_one_delay_no_other() {
        let checks = vec![check("hung"), check("broken"), check("well"), check("down")];
        let (_commands, mut board) = running_scheduler(checks, &[hangs, panics, passes, fails]);
        let snapshot = wait_for(&mut board, |snapshot| states(snapshot)[1..] == ["error", "ok", "error"]).await;
        assert_eq!(snapshot.checks[0].state, State::Pending);
        assert!(snapshot.at.since_boot() < Duration::from_millis(50));
        let reasons = |check: &crate::model::state::CheckState| check.last.as_ref().and_then(|last| last.reason);
        let snapshot = wait_for(&mut board, |snapshot| states(snapshot)[0] == "error").await;
        assert_eq!(reasons(&snapshot.checks[0]), Some(FailureKind::Timeout));
        assert_eq!(reasons(&snapshot.checks[1]), Some(FailureKind::Bug));
    }

    #[tokio::test(start_paused = true)]
    async fn two_hundred_hung_targets_keep_nobody_from_beginning_for_long() {
        let mut checks: Vec<_> = (0..200).map(|index| check(&format!("hung-{index}"))).collect();
        checks.push(check("well"));
        let mut targets: Vec<FakeRun> = vec![hangs; 200];
        targets.push(passes);
        let (_commands, mut board) = running_scheduler(checks, &targets);
        let snapshot = wait_for(&mut board, |snapshot| snapshot.checks[200].state == State::Ok).await;
        assert!(snapshot.at.since_boot() < Duration::from_millis(1500), "{:?}", snapshot.at);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_never_overlaps_the_next_and_skips_beats_that_it_overruns() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        fn slow() -> BoxFuture<'static, ProbeResult> {
            Box::pin(async {
                assert_eq!(RUNNING.fetch_add(1, Ordering::SeqCst), 0);
                tokio::time::sleep(Duration::from_millis(250)).await;
                RUNNING.fetch_sub(1, Ordering::SeqCst);
                RUNS.fetch_add(1, Ordering::SeqCst);
                Ok(Pass::default())
            })
        }
        let definition = Definition { interval: Duration::from_millis(100), ..check("slow") };
        let (_commands, mut board) = running_scheduler(vec![definition], &[slow]);
        wait_for(&mut board, |snapshot| snapshot.at.since_boot() > Duration::from_secs(3)).await;
        let runs = RUNS.load(Ordering::SeqCst);
        assert!((9..=11).contains(&runs), "{runs} runs of 250 ms on beats of 100 ms in 3 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_is_published_and_can_be_undone() {
        let (commands, mut board) = running_scheduler(vec![check("well")], &[passes]);
        commands.send(SchedulerCommand::Drain(Arc::new(true.into()))).await.unwrap();
        wait_for(&mut board, |snapshot| snapshot.draining).await;
        commands.send(SchedulerCommand::Drain(Arc::new(false.into()))).await.unwrap();
        wait_for(&mut board, |snapshot| !snapshot.draining).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_runs_new_checks_and_forgets_those_that_are_gone() {
        let (commands, mut board) = running_scheduler(vec![check("hung"), check("stays")], &[hangs, passes]);
        let before = wait_for(&mut board, |snapshot| states(snapshot)[1] == "ok").await;
        let program = Program {
            plan: plan(vec![check("stays"), check("new")]),
            specs: specs(&[passes, passes]),
            origins: vec![Origin::Kept(CheckIndex::new(1)), Origin::Added],
        };
        commands.send(SchedulerCommand::Reload(Box::new(program))).await.unwrap();
        let after =
            wait_for(&mut board, |snapshot| states(snapshot) == ["ok", "ok"] && snapshot.checks.len() == 2).await;
        assert_eq!(after.checks[0].since, before.checks[1].since);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_whose_check_is_gone_or_whose_daemon_ends_comes_to_its_end_unless_it_takes_long() {
        use std::sync::Mutex;
        static ENDS: Mutex<Vec<(u64, bool)>> = Mutex::new(Vec::new());
        /// Notes how long it takes, and whether it came to its end.
        struct Run(u64, bool);
        impl Drop for Run {
            fn drop(&mut self) {
                ENDS.lock().unwrap().push((self.0, self.1));
            }
        }
        fn takes(millis: u64) -> BoxFuture<'static, ProbeResult> {
            Box::pin(async move {
                let mut run = Run(millis, false);
                tokio::time::sleep(Duration::from_millis(millis)).await;
                run.1 = true;
                Ok(Pass::default())
            })
        }
        let origins = vec![Origin::Kept(CheckIndex::new(0))];
        let reload = Program { plan: plan(vec![check("stays")]), specs: specs(&[passes]), origins };
        for command in [SchedulerCommand::Reload(Box::new(reload)), SchedulerCommand::Stop] {
            let checks = vec![check("stays"), check("logs-in"), check("hung")];
            let (commands, mut board) = running_scheduler(checks, &[passes, || takes(800), || takes(2_000)]);
            wait_for(&mut board, |snapshot| states(snapshot)[0] == "ok").await;
            let begun = tokio::time::Instant::now();
            commands.send(command).await.unwrap();
            // Who is told to stop has stopped, and hears nothing more, after a second.
            let _ = tokio::time::timeout(Duration::from_secs(2), commands.closed()).await;
            assert!(begun.elapsed() >= Duration::from_millis(800), "{:?}", begun.elapsed());
            assert_eq!(std::mem::take(&mut *ENDS.lock().unwrap()), [(800, true), (2_000, false)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_to_stop_begins_no_run_that_waits_for_others() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        fn hangs_counted() -> BoxFuture<'static, ProbeResult> {
            BEGUN.fetch_add(1, Ordering::Relaxed);
            hangs()
        }
        let checks: Vec<_> = (0..40).map(|index| check(&format!("hung-{index}"))).collect();
        let (commands, _board) = running_scheduler(checks, &[hangs_counted as FakeRun; 40]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = BEGUN.load(Ordering::Relaxed);
        assert_eq!(begun, crate::scheduler::worker::MAX_CONCURRENT_THROTTLED);
        commands.send(SchedulerCommand::Stop).await.unwrap();
        commands.closed().await;
        assert_eq!(BEGUN.load(Ordering::Relaxed), begun);
    }

    #[tokio::test(start_paused = true)]
    async fn how_late_it_begins_what_is_due_is_told_but_for_what_it_slept_through() {
        let (clock, (sender, mut told)) = (Clock::tokio(), mpsc::unbounded_channel::<SchedulerProgress>());
        let progress = Box::new(move |progress| sender.send(progress).unwrap_or_default());
        let (_commands, mut board) = watched_scheduler(vec![check("well"), check("hung")], &[passes, hangs], progress);
        wait_for(&mut board, |snapshot| snapshot.at.since_boot() > Duration::from_secs(30)).await;
        let mut told = || -> Vec<SchedulerProgress> { std::iter::from_fn(|| told.try_recv().ok()).collect() };
        let mut next_run = told().last().unwrap().next_run;
        for (held, least, most) in [(0, 0, 20), (1500, 1400, 1500), (60_000, 0, 20)] {
            // It is held from just before the run is due.
            let before = next_run.unwrap().since(clock.now()).saturating_sub(Duration::from_millis(50));
            tokio::time::sleep(before).await;
            tokio::time::advance(Duration::from_millis(held)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let progress = told();
            let late = progress.iter().map(|progress| progress.late).max().unwrap();
            assert!((least..=most).contains(&late.as_millis()), "{late:?} when held for {held} ms");
            next_run = progress.last().unwrap().next_run;
        }
    }

    /// At what times after the first two runs a scheduler with this one check looks around for a minute, in seconds.
    async fn looks_in_a_minute(definition: Definition, target: FakeRun) -> Vec<f64> {
        let (sender, mut looks) = mpsc::unbounded_channel();
        let progress = Box::new(move |progress: SchedulerProgress| sender.send(progress.at).unwrap_or_default());
        let (commands, _board) = watched_scheduler(vec![definition], &[target], progress);
        tokio::time::sleep(Duration::from_secs(62)).await;
        drop(commands);
        let mut all = Vec::new();
        while let Some(look) = looks.recv().await {
            all.push(look);
        }
        let seconds = all.iter().map(|look| look.since(all[0]).as_secs_f64());
        seconds.filter(|second| (2.0..62.0).contains(second)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_rests_for_longer_while_all_is_well_and_looks_when_a_result_becomes_stale() {
        let hourly = || Definition { interval: Duration::from_secs(3600), ..check("db") };
        let well = looks_in_a_minute(Definition { stale_after: Duration::from_secs(7200), ..hourly() }, passes).await;
        assert!((15..20).contains(&well.len()), "{well:?}");
        let down = looks_in_a_minute(hourly(), fails).await;
        assert!((60..80).contains(&down.len()), "{down:?}");
        let stale =
            looks_in_a_minute(Definition { stale_after: Duration::from_millis(20_300), ..hourly() }, passes).await;
        assert!(stale.iter().any(|second| (21.3..21.31).contains(second)), "after the second run, {stale:?}");
        assert!((15 / 3 + 35..60).contains(&stale.len()), "{stale:?}");
    }
}
