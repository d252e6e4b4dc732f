//! A connection that serves successive runs: reused while it is young and sound, replaced once within a run when it
//! turns out broken or dead, never used again after a run that was cut short.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::trace::Trace;
use crate::model::outcome::{Failure, ProbeResult};

/// A connection of some protocol.
pub trait Session: Send + Sized {
    /// Where to connect to, and how.
    type Target: Sync;
    /// What a run asks.
    type Question: Sync;

    /// Connects and logs in.
    fn connect(target: &Self::Target, trace: &Trace) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Asks, by talking to the server, and says how that leaves the connection.
    fn ask(&mut self, question: &Self::Question, trace: &Trace) -> impl Future<Output = (ProbeResult, After)> + Send;

    /// Where it shows that the server is there. What `ask` does first must be no work for the server.
    fn life(&self) -> &Life;

    /// Takes leave of the server in good order. It must not wait long for a server that is not there any more.
    fn close(self) -> impl Future<Output = ()> + Send;

    /// Does away with a connection on which something is under way, beside the run that replaces it and no longer than
    /// that takes.
    fn abandon(self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Shows whether anything has come from the server in this run.
#[derive(Clone, Debug, Default)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    /// Something has come.
    pub fn show(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// A run begins.
    fn hide(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Ends when nothing has come for a while since the beginning of the run. A server that was replaced behind its
    /// address, or a gateway that has forgotten a connection, drops what is sent without a word.
    async fn is_missed(&self) {
        tokio::time::sleep(PATIENCE).await;
        if self.0.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

/// How long a kept connection may be silent before it is given up: long for a server, short for a run.
const PATIENCE: Duration = Duration::from_millis(500);

/// How a run leaves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next run may use it.
    Idle,
    /// The server is in the middle of something.
    Unfinished,
    /// It had had its day: the result says nothing of the server if the connection was a kept one.
    Broken,
}

/// The place of a connection between runs.
pub struct Kept<S> {
    max_age: Duration,
    held: Option<Held<S>>,
}

struct Held<S> {
    session: S,
    born: Instant,
    /// Something is under way, or was when a run was cut short.
    busy: bool,
}

impl<S: Session> Kept<S> {
    /// No connection yet; each is used for no longer than `max_age`, zero for one run.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, held: None }
    }

    /// Asks over the kept connection, or over a fresh one.
    pub async fn run(&mut self, target: &S::Target, question: &S::Question, trace: &Trace) -> ProbeResult {
        let mut left_behind = None;
        match &mut self.held {
            Some(held) if held.busy => left_behind = self.held.take(),
            Some(held) if held.born.elapsed() >= self.max_age => self.retire().await,
            Some(held) => {
                let life = held.session.life().clone();
                life.hide();
                let asked = tokio::select! {
                    biased;
                    asked = self.ask(question, trace) => Some(asked),
                    () = life.is_missed() => None,
                };
                match asked {
                    Some((result, After::Idle | After::Unfinished)) => return result,
                    Some((_, After::Broken)) => {}
                    None => left_behind = self.held.take(),
                }
            }
            None => {}
        }
        let result = tokio::select! {
            biased;
            never = abandon(left_behind) => match never {},
            result = self.run_fresh(target, question, trace) => result,
        };
        if self.max_age.is_zero() && self.held.as_ref().is_some_and(|held| !held.busy) {
            self.retire().await;
        }
        result
    }

    async fn run_fresh(&mut self, target: &S::Target, question: &S::Question, trace: &Trace) -> ProbeResult {
        let session = S::connect(target, trace).await?;
        self.held = Some(Held { session, born: Instant::now(), busy: false });
        self.ask(question, trace).await.0
    }

    /// Asks over the connection that is held. One that turns out broken is dropped.
    async fn ask(&mut self, question: &S::Question, trace: &Trace) -> (ProbeResult, After) {
        let held = self.held.as_mut().expect("called only when one is held");
        held.busy = true;
        let (result, after) = held.session.ask(question, trace).await;
        held.busy = after != After::Idle;
        if after == After::Broken {
            self.held = None;
        }
        (result, after)
    }

    async fn retire(&mut self) {
        if let Some(held) = self.held.take() {
            held.session.close().await;
        }
    }
}

async fn abandon<S: Session>(left_behind: Option<Held<S>>) -> Infallible {
    if let Some(held) = left_behind {
        held.session.abandon().await;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::outcome::{FailureKind, Pass};

    /// What a question gets.
    #[derive(Clone, Copy)]
    enum Reply {
        /// An answer.
        Now(After),
        /// Signs of life and no answer.
        Busy,
        /// Nothing at all.
        Dead,
    }

    /// What happened, and what the coming questions get.
    #[derive(Default)]
    struct Script {
        log: Mutex<Vec<String>>,
        replies: Mutex<Vec<Reply>>,
    }

    struct Scripted<'a>(&'a Script, usize, Life);

    impl<'a> Session for Scripted<'a> {
        type Target = &'a Script;
        type Question = ();

        async fn connect(script: &&'a Script, _: &Trace) -> Result<Self, Failure> {
            let mut log = script.log.lock().unwrap();
            let number = log.iter().filter(|entry| entry.starts_with("connect")).count() + 1;
            log.push(format!("connect {number}"));
            Ok(Self(script, number, Life::default()))
        }

        async fn ask(&mut self, (): &(), _: &Trace) -> (ProbeResult, After) {
            self.0.log.lock().unwrap().push(format!("ask {}", self.1));
            let reply = self.0.replies.lock().unwrap().remove(0);
            match reply {
                Reply::Dead => std::future::pending().await,
                Reply::Busy => {
                    self.2.show();
                    std::future::pending().await
                }
                Reply::Now(After::Broken) => (Err(Failure::new(FailureKind::Connect, "broken")), After::Broken),
                Reply::Now(after) => (Ok(Pass::default()), after),
            }
        }

        fn life(&self) -> &Life {
            &self.2
        }

        async fn close(self) {
            self.0.log.lock().unwrap().push(format!("close {}", self.1));
        }

        async fn abandon(self) {
            self.0.log.lock().unwrap().push(format!("abandon {}", self.1));
        }
    }

    /// Plays one run every two seconds, each for at most one second, and gives what happened and how the runs ended.
    async fn play(max_age: Duration, replies: &[Reply], runs: usize) -> (String, String) {
        let script = Script { replies: Mutex::new(replies.to_vec()), ..Script::default() };
        let mut kept: Kept<Scripted<'_>> = Kept::new(max_age);
        let mut outcomes = String::new();
        for _ in 0..runs {
            let trace = Trace::default();
            let limit = Duration::from_secs(1);
            outcomes += match tokio::time::timeout(limit, kept.run(&&script, &(), &trace)).await {
                Ok(Ok(_)) => "+",
                Ok(Err(_)) => "-",
                Err(_) => "t",
            };
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let log = script.log.lock().unwrap().join(", ");
        (log, outcomes)
    }

    const IDLE: Reply = Reply::Now(After::Idle);
    const BROKEN: Reply = Reply::Now(After::Broken);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_until_it_is_too_old() {
        let (log, outcomes) = play(Duration::from_secs(4), &[IDLE, IDLE, IDLE], 3).await;
        assert_eq!(log, "connect 1, ask 1, ask 1, close 1, connect 2, ask 2");
        assert_eq!(outcomes, "+++");
    }

    #[tokio::test(start_paused = true)]
    async fn an_age_of_zero_is_a_fresh_one_for_every_run() {
        let (log, outcomes) = play(Duration::ZERO, &[IDLE, IDLE], 2).await;
        assert_eq!(log, "connect 1, ask 1, close 1, connect 2, ask 2, close 2");
        assert_eq!(outcomes, "++");
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_one_that_is_broken_is_replaced_once() {
        let (log, outcomes) = play(Duration::from_secs(60), &[IDLE, BROKEN, IDLE, BROKEN, BROKEN, IDLE], 4).await;
        assert_eq!(log, "connect 1, ask 1, ask 1, connect 2, ask 2, ask 2, connect 3, ask 3, connect 4, ask 4");
        assert_eq!(outcomes, "++-+");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_cut_short_is_abandoned() {
        let unfinished = Reply::Now(After::Unfinished);
        let (log, outcomes) = play(Duration::from_secs(60), &[IDLE, Reply::Busy, IDLE, unfinished, IDLE], 5).await;
        assert_eq!(log, "connect 1, ask 1, ask 1, abandon 1, connect 2, ask 2, ask 2, abandon 2, connect 3, ask 3");
        assert_eq!(outcomes, "+t+++");
    }
    #[tokio::test(start_paused = true)]
    async fn one_that_is_dead_is_replaced_within_the_run() {
        let (log, outcomes) = play(Duration::from_secs(60), &[IDLE, Reply::Dead, IDLE, IDLE], 3).await;
        assert_eq!(log, "connect 1, ask 1, ask 1, abandon 1, connect 2, ask 2, ask 2");
        assert_eq!(outcomes, "+++");
        let (log, outcomes) = play(Duration::from_secs(60), &[IDLE, Reply::Dead, Reply::Dead, IDLE], 3).await;
        assert_eq!(log, "connect 1, ask 1, ask 1, abandon 1, connect 2, ask 2, abandon 2, connect 3, ask 3");
        assert_eq!(outcomes, "+t+");
    }
}
