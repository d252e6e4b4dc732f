//! A keep-alive connection that serves successive runs. A pass on it counts; a failure does not: the query is hedged,
//! sent once more over a fresh connection, and that result counts. However it ends, the connection is closed in good
//! order.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::RunContext;
use super::farewell::{self, Farewell};
use crate::base::trace::Trace;
use crate::model::outcome::{Failure, ProbeResult};

/// A connection of some protocol.
pub trait Session: Send + Sized + 'static {
    /// Where to connect to, and how.
    type Target: Sync;
    /// What a run asks.
    type Query: Sync;

    /// Connects and logs in.
    fn connect(target: &Self::Target, trace: &Trace) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Asks, by talking to the server, and says how that leaves the connection.
    fn query(
        &mut self,
        query: &Self::Query,
        run: &RunContext,
    ) -> impl Future<Output = (ProbeResult, Disposition)> + Send;

    /// Whether asking may change something: then it is asked over a fresh connection and never twice, because nobody
    /// knows what a server has done that hangs up.
    fn may_have_effect(_question: &Self::Query) -> bool {
        false
    }

    /// Whether it still stands, as far as that can be seen without waiting.
    fn is_open(&mut self) -> bool {
        true
    }

    /// Where it shows that the server is there, if the first word of an answer comes without work for the server.
    fn activity(&self) -> Option<&Activity> {
        None
    }

    /// Takes leave of the server in good order, as long as that takes: the caller sets a limit.
    fn close(self) -> impl Future<Output = ()> + Send + 'static;

    /// Does away with a connection on which something is under way.
    fn abandon(self) {}
}

/// Whether any byte has come from the server in this run.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<AtomicBool>);

impl Activity {
    /// Something has come.
    pub fn show(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// A run begins.
    fn hide(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_shown(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long a server may take for its first word on a kept connection, where that is no work: long for a server, short
/// for a run.
const FIRST_WORD: Duration = Duration::from_millis(500);

/// How long a connection that is replaced may take for its farewell, so that the server has room for the next.
const FAREWELL: Duration = Duration::from_millis(250);

/// The time for a farewell within a run that has so much time in all.
fn farewell_limit(budget: Duration) -> Duration {
    FAREWELL.min(budget / 8)
}

/// In which state a run leaves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The next run may use it.
    Idle,
    /// The server is in the middle of something.
    Unfinished,
    /// It is of no more use, not even for a farewell.
    Broken,
}

/// The connection that is reused from run to run, if there is one.
pub struct Reused<S: Session> {
    max_age: Duration,
    held: Option<OwnedSession<S>>,
}

impl<S: Session> Reused<S> {
    /// No connection yet; each is used for no longer than `max_age`, zero for one run.
    pub const fn new(max_age: Duration) -> Self {
        Self { max_age, held: None }
    }

    /// Asks over the kept connection, if there is one, and over a fresh one unless that passes.
    pub async fn run(&mut self, target: &S::Target, query: &S::Query, run: &RunContext) -> ProbeResult {
        let (held, result) = match self.usable(query, run.budget).await {
            Some(kept) => query_hedged(kept, target, query, run).await,
            None => query_fresh(target, query, run).await,
        };
        // After a failure the next run begins with a fresh one, and so need not ask twice.
        if result.is_ok() && !self.max_age.is_zero() && !S::may_have_effect(query) {
            self.held = held.filter(|held| !held.busy);
        }
        result
    }

    /// The kept connection, where this question may be asked over it.
    async fn usable(&mut self, query: &S::Query, budget: Duration) -> Option<OwnedSession<S>> {
        let mut held = self.held.take()?;
        if S::may_have_effect(query) || held.born.elapsed() >= self.max_age {
            held.part().answered(farewell_limit(budget)).await;
            return None;
        }
        held.is_open().then_some(held)
    }
}

/// Asks over a kept connection. Unless good news have come by then, a fresh one is asked when the kept one has failed,
/// and beside it when it has been silent for long: a server that was replaced behind its address, or a gateway that has
/// forgotten the connection, drops what is sent without a word, while one that is slow today still has all of its time.
async fn query_hedged<S: Session>(
    mut kept: OwnedSession<S>,
    target: &S::Target,
    query: &S::Query,
    run: &RunContext,
) -> (Option<OwnedSession<S>>, ProbeResult) {
    let (activity, has_failed) = (kept.activity(), Notify::new());
    let good_news = async {
        let result = kept.query(query, run).await;
        if result.is_err() {
            kept.part().answered(farewell_limit(run.budget)).await;
            has_failed.notify_one();
            std::future::pending::<()>().await;
        }
        result
    };
    let second_opinion = async {
        tokio::select! {
            () = has_failed.notified() => {}
            () = hedging_delay(activity, run.budget) => {}
        }
        run.trace.note(|| "the kept connection brings no good news: once more over a fresh one".into());
        query_fresh(target, query, run).await
    };
    let fresh = tokio::select! {
        biased;
        result = good_news => Err(result),
        fresh = second_opinion => Ok(fresh),
    };
    fresh.unwrap_or_else(|result| (Some(kept), result))
}

/// Ends when a kept connection has been silent for so long that a fresh one should be tried beside it: at half of the
/// run's time, and earlier where not even a first word has come.
async fn hedging_delay(activity: Option<Activity>, budget: Duration) {
    let half = budget / 2;
    let Some(activity) = activity else { return sleep(half).await };
    let first_word = FIRST_WORD.min(budget / 4);
    sleep(first_word).await;
    if activity.is_shown() {
        sleep(half - first_word).await;
    }
}

async fn query_fresh<S: Session>(
    target: &S::Target,
    query: &S::Query,
    run: &RunContext,
) -> (Option<OwnedSession<S>>, ProbeResult) {
    match S::connect(target, &run.trace).await {
        Ok(session) => {
            let mut held = OwnedSession { session: Some(session), born: Instant::now(), busy: false };
            let result = held.query(query, run).await;
            (Some(held), result)
        }
        Err(failure) => (None, Err(failure)),
    }
}

/// A connection that is closed in good order when it is dropped.
struct OwnedSession<S: Session> {
    /// Gone once it has parted.
    session: Option<S>,
    born: Instant,
    /// Something is under way.
    busy: bool,
}

impl<S: Session> OwnedSession<S> {
    async fn query(&mut self, query: &S::Query, run: &RunContext) -> ProbeResult {
        self.busy = true;
        let session = self.session.as_mut().expect("asked only before it parts");
        // In a future of its own: those around it have room for two, and are moved when a run begins.
        let (result, disposition) = Box::pin(session.query(query, run)).await;
        self.busy = disposition != Disposition::Idle;
        if disposition == Disposition::Broken {
            self.session = None;
        }
        result
    }

    fn is_open(&mut self) -> bool {
        self.session.as_mut().is_some_and(S::is_open)
    }

    fn activity(&self) -> Option<Activity> {
        let activity = self.session.as_ref()?.activity()?;
        activity.hide();
        Some(activity.clone())
    }

    fn part(&mut self) -> Farewell {
        match self.session.take() {
            Some(session) if self.busy => {
                session.abandon();
                Farewell::default()
            }
            Some(session) => farewell::say(session.close()),
            None => Farewell::default(),
        }
    }
}

impl<S: Session> Drop for OwnedSession<S> {
    fn drop(&mut self) {
        drop(self.part());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::outcome::{FailureKind, Pass};

    /// What a question gets, and after how many milliseconds.
    #[derive(Clone, Copy)]
    enum Reply {
        /// Good news.
        Yes(u64),
        /// Bad news.
        No(Disposition),
        /// A first word, and the answer later.
        Slow(u64),
        /// Nothing at all.
        Dead,
    }

    /// What happened, and what the coming questions get.
    #[derive(Default)]
    struct ScriptedServer {
        log: Mutex<Vec<String>>,
        replies: Mutex<Vec<Reply>>,
        shows_life: bool,
    }

    impl ScriptedServer {
        fn note(&self, entry: String) {
            self.log.lock().unwrap().push(entry);
        }
    }

    struct ScriptedSession(Arc<ScriptedServer>, usize, Activity);

    impl Session for ScriptedSession {
        type Target = Arc<ScriptedServer>;
        /// Whether it may have an effect.
        type Query = bool;

        async fn connect(script: &Arc<ScriptedServer>, _: &Trace) -> Result<Self, Failure> {
            let connects = |log: &Vec<String>| log.iter().filter(|entry| entry.starts_with("connect")).count();
            let number = connects(&script.log.lock().unwrap()) + 1;
            script.note(format!("connect {number}"));
            Ok(Self(Arc::clone(script), number, Activity::default()))
        }

        async fn query(&mut self, _: &bool, _: &RunContext) -> (ProbeResult, Disposition) {
            self.0.note(format!("ask {}", self.1));
            let reply = self.0.replies.lock().unwrap().remove(0);
            match reply {
                Reply::Yes(_) => {}
                Reply::No(disposition) => return (Err(Failure::new(FailureKind::Connect, "no")), disposition),
                Reply::Slow(_) => self.2.show(),
                Reply::Dead => std::future::pending().await,
            }
            if let Reply::Yes(millis @ 1..) | Reply::Slow(millis @ 1..) = reply {
                sleep(Duration::from_millis(millis)).await;
            }
            (Ok(Pass::default()), Disposition::Idle)
        }

        fn may_have_effect(query: &bool) -> bool {
            *query
        }

        fn activity(&self) -> Option<&Activity> {
            self.0.shows_life.then_some(&self.2)
        }

        async fn close(self) {
            self.0.note(format!("close {}", self.1));
        }

        fn abandon(self) {
            self.0.note(format!("abandon {}", self.1));
        }
    }

    /// Plays as many runs as there are signs in `outcomes` (`+` pass, `-` fail, `t` time is up), one every two seconds,
    /// each for at most one second, and gives what happened.
    async fn play(script: ScriptedServer, max_age: u64, query: bool, outcomes: &str) -> String {
        let script = Arc::new(script);
        let mut kept: Reused<ScriptedSession> = Reused::new(Duration::from_secs(max_age));
        let mut ended = String::new();
        for _ in outcomes.chars() {
            let run = RunContext { budget: Duration::from_secs(1), ..RunContext::default() };
            ended += match tokio::time::timeout(run.budget, kept.run(&script, &query, &run)).await {
                Ok(Ok(_)) => "+",
                Ok(Err(_)) => "-",
                Err(_) => "t",
            };
            sleep(Duration::from_secs(2)).await;
        }
        script.note("end".into());
        drop(kept);
        assert_eq!(ended, outcomes);
        script.log.lock().unwrap().join(", ")
    }

    fn script(replies: &[Reply]) -> ScriptedServer {
        ScriptedServer { replies: Mutex::new(replies.to_vec()), ..ScriptedServer::default() }
    }

    const YES: Reply = Reply::Yes(0);
    const NO: Reply = Reply::No(Disposition::Idle);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_until_it_is_too_old() {
        let log = play(script(&[YES, YES, YES]), 4, false, "+++").await;
        assert_eq!(log, "connect 1, ask 1, ask 1, close 1, connect 2, ask 2, end, close 2");
    }

    #[tokio::test(start_paused = true)]
    async fn an_age_of_zero_is_a_fresh_one_for_every_run() {
        let log = play(script(&[YES, NO]), 0, false, "+-").await;
        assert_eq!(log, "connect 1, ask 1, close 1, connect 2, ask 2, close 2, end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_one_that_fails_is_not_believed_however_it_does() {
        for (disposition, goodbye) in
            [(Disposition::Idle, "close 1, "), (Disposition::Unfinished, "abandon 1, "), (Disposition::Broken, "")]
        {
            let log = play(script(&[YES, Reply::No(disposition), YES, YES]), 60, false, "+++").await;
            let expected = format!("connect 1, ask 1, ask 1, {goodbye}connect 2, ask 2, ask 2, end, close 2");
            assert_eq!(log, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_one_that_fails_counts_and_the_next_run_begins_with_a_fresh_one() {
        let log = play(script(&[YES, NO, NO, NO, YES]), 60, false, "+--+").await;
        assert_eq!(
            log,
            "connect 1, ask 1, ask 1, close 1, connect 2, ask 2, close 2, connect 3, ask 3, close 3, connect 4, ask 4, end, close 4"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_one_leaves_time_for_a_fresh_one() {
        for shows_life in [true, false] {
            let replies = [YES, Reply::Dead, Reply::Yes(400), YES];
            let log = play(ScriptedServer { shows_life, ..script(&replies) }, 60, false, "+++").await;
            assert_eq!(log, "connect 1, ask 1, ask 1, connect 2, ask 2, abandon 1, ask 2, end, close 2");
        }
        let log = play(script(&[YES, Reply::Dead, Reply::Dead, YES]), 60, false, "+t+").await;
        let both = "ask 1, connect 2, ask 2, abandon 2, abandon 1";
        let log = log.replace("abandon 1, abandon 2", "abandon 2, abandon 1");
        assert_eq!(log, format!("connect 1, ask 1, {both}, connect 3, ask 3, end, close 3"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_has_all_of_its_time() {
        let log = play(script(&[YES, Reply::Yes(900), Reply::Dead, YES]), 60, false, "+++").await;
        assert_eq!(log, "connect 1, ask 1, ask 1, connect 2, ask 2, abandon 2, ask 1, end, close 1");
        // A first word says that the server is there: then a fresh one is not tried before half of the time.
        let replies = [YES, Reply::Slow(490), Reply::Yes(490), Reply::Dead, YES];
        let log = play(ScriptedServer { shows_life: true, ..script(&replies) }, 60, false, "++++").await;
        assert_eq!(log, "connect 1, ask 1, ask 1, ask 1, connect 2, ask 2, abandon 2, ask 1, end, close 1");
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_an_effect_is_asked_once_and_over_a_fresh_one() {
        let log = play(script(&[YES, Reply::No(Disposition::Broken), NO]), 60, true, "+--").await;
        assert_eq!(log, "connect 1, ask 1, close 1, connect 2, ask 2, connect 3, ask 3, close 3, end");
    }

    /// A session whose query needs much room.
    struct Roomy;

    impl Session for Roomy {
        type Target = ();
        type Query = ();

        async fn connect((): &(), _: &Trace) -> Result<Self, Failure> {
            Ok(Self)
        }

        async fn query(&mut self, (): &(), _: &RunContext) -> (ProbeResult, Disposition) {
            let room = [0_u8; 4096];
            tokio::task::yield_now().await;
            assert_eq!(room.len(), 4096);
            (Ok(Pass::default()), Disposition::Idle)
        }

        async fn close(self) {}
    }

    #[tokio::test]
    async fn a_run_takes_the_room_of_a_query_when_it_asks_and_not_for_each_way_to_ask() {
        let (mut reused, run) = (Reused::<Roomy>::new(Duration::ZERO), RunContext::default());
        let asking = reused.run(&(), &(), &run);
        assert!(size_of_val(&asking) < 4096, "{} bytes are moved with each run", size_of_val(&asking));
        assert!(asking.await.is_ok());
    }
}
