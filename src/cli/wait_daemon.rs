//! `probelet wait --url`: a running daemon is asked until it says yes, and then until it has said so for long enough.

use std::time::Duration;

use super::Exit;
use super::ask::{AskResult, about};
use super::client::{ClientError, DaemonClient, DaemonUrl, Deadline};
use super::output::Output;
use super::selection::until_interrupted;
use super::terminal::ProgressLine;
use crate::base::clock::{Clock, Moment};
use crate::base::quantity::show_duration;
use crate::base::thread::{apart, why_refused};
use crate::config::source::Environment;
use crate::model::outcome::one_line;

/// From one question to the next while it is waited for.
const PACE: Duration = Duration::from_secs(1);
/// And while it must stay as it is: it is told at once when it closes.
const WATCH: Duration = Duration::from_millis(250);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many questions in a row without an answer are more than a blink of the network.
const MOST_UNANSWERED: u32 = 3;
/// The stack of the thread that asks.
const STACK: usize = 512 * 1024;

/// Waits for what `subject` names at the daemon that is meant, for `timeout` at most; then it must stay for `hold`.
pub(super) fn wait(
    url: &DaemonUrl,
    subject: String,
    timeout: Duration,
    hold: Duration,
    environment: &Environment,
) -> Exit {
    let daemon = match url.daemon(environment, Deadline::after(timeout)) {
        // It is no probe of kubelet's, whatever it asks.
        Ok(daemon) => daemon.called_by("probelet-wait"),
        Err(exit) => return exit,
    };
    let output = Output::start();
    let progress = ProgressLine::new(output.clone(), environment);
    let waiter = DaemonWaiter { daemon, subject, begun: Clock::Machine.now(), said: String::new(), progress };
    until_interrupted(&output, waiter.wait(timeout, hold, &output))
}

/// What one question came to.
enum PollResult {
    /// It is open, or the check passes.
    Yes(String),
    /// It is not, and why.
    No(String),
    /// Nobody answered, or nobody who could, and why.
    Nobody(String),
    /// It is no use to ask again.
    Never(String, Exit),
}

struct DaemonWaiter {
    daemon: DaemonClient,
    subject: String,
    begun: Moment,
    /// The line that was told last.
    said: String,
    progress: ProgressLine,
}

impl DaemonWaiter {
    async fn wait(mut self, timeout: Duration, hold: Duration, output: &Output) -> Exit {
        let name = one_line(&self.subject);
        self.progress.line(&format!("waiting for {name} of {} (at most {})", self.daemon, show_duration(timeout)));
        let opened = tokio::time::timeout(timeout, self.opens()).await;
        match opened {
            Ok(Ok(())) => {}
            Ok(Err((why, exit))) => {
                output.complain(format!("error: {why}\n"));
                return exit;
            }
            Err(_) => {
                let last = if self.said.is_empty() { "it has not answered".into() } else { self.said.clone() };
                output
                    .complain(format!("error: timed out after {}; the last answer: {last}\n", show_duration(timeout)));
                return Exit::TimedOut;
            }
        }
        let took = show_duration(Clock::Machine.now().since(self.begun));
        if hold.is_zero() {
            output.print_until(format!("{name} is open after {took}\n"), self.begun + timeout).await;
            return Exit::Fine;
        }
        self.progress.line(&format!("{name} is open after {took}; it must stay so for {}", show_duration(hold)));
        self.begun = Clock::Machine.now();
        match self.stays(self.begun + hold).await {
            Err((why, exit)) => {
                let after = show_duration(Clock::Machine.now().since(self.begun));
                let (why, help) = why.split_at(why.find('\n').unwrap_or(why.len()));
                output.complain(format!("error: {why} (after {after} of {}){help}\n", show_duration(hold)));
                exit
            }
            Ok(()) => {
                output
                    .print_until(format!("{name} has been open for {}\n", show_duration(hold)), self.begun + hold)
                    .await;
                Exit::Fine
            }
        }
    }

    /// Asks until it is open; why it is no use to go on.
    async fn opens(&mut self) -> Result<(), (String, Exit)> {
        loop {
            let next = Clock::Machine.now() + PACE;
            match self.ask().await {
                PollResult::Yes(line) => {
                    self.tell(line);
                    return Ok(());
                }
                PollResult::No(line) | PollResult::Nobody(line) => self.tell(line),
                PollResult::Never(why, exit) => return Err((why, exit)),
            }
            pause_until(next).await;
        }
    }

    /// Asks until it has been open at `end`; why it was not, and what that means. Where nobody answers just then, the
    /// questions go on until somebody does, or too many were in vain.
    async fn stays(&mut self, end: Moment) -> Result<(), (String, Exit)> {
        let mut unanswered = 0;
        loop {
            let begun = Clock::Machine.now();
            // The last question is asked when the time is up, not before.
            let next = if begun < end { end.min(begun + WATCH) } else { begun + WATCH };
            match self.ask().await {
                PollResult::Yes(line) => {
                    if begun >= end {
                        return Ok(());
                    }
                    unanswered = 0;
                    self.tell(line);
                }
                PollResult::No(line) => return Err((line, Exit::Unhealthy)),
                PollResult::Never(why, exit) => return Err((why, exit)),
                PollResult::Nobody(why) => {
                    unanswered += 1;
                    if unanswered == MOST_UNANSWERED {
                        return Err((why, Exit::Unreachable));
                    }
                    self.tell(why);
                    // A blink of the network may take longer than the next look.
                    pause_until(next + PACE).await;
                }
            }
            pause_until(next).await;
        }
    }

    async fn ask(&self) -> PollResult {
        let (daemon, subject) = (self.daemon.clone(), self.subject.clone());
        let asked = apart("wait", STACK, move || about(&daemon, &subject, Deadline::after(PATIENCE)));
        match asked.await {
            Ok(Ok(AskResult::Line(line, Exit::Fine))) => PollResult::Yes(line),
            Ok(Ok(AskResult::Line(line, _))) => PollResult::No(line),
            // The next version may have it. With the line of help.
            Ok(Ok(AskResult::UnknownCheck(complaint))) => {
                PollResult::No(complaint.trim_start_matches("error: ").trim_end().to_owned())
            }
            Ok(Err(ClientError::Unreachable(why))) => PollResult::Nobody(why),
            Ok(Err(error @ ClientError::Refused(_))) => PollResult::Never(error.why().to_owned(), error.exit()),
            Err(error) => PollResult::Nobody(format!("the system refuses {}", why_refused(&error))),
        }
    }

    /// Says in a line that stays what is new.
    fn tell(&mut self, line: String) {
        // How long something took or takes is not news.
        let without_figures = |line: &str| line.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        if without_figures(&line) != without_figures(&self.said) {
            self.progress.line(&line);
        }
        self.said = line;
    }
}

async fn pause_until(moment: Moment) {
    tokio::time::sleep(moment.since(Clock::Machine.now())).await;
}
