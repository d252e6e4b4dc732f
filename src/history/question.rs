//! What the clerk is asked, and how it is answered from the file, with what waits to be written laid over it.

use std::time::Duration;

use tokio::sync::oneshot;

use super::answer::{Away, Page, Part, Recall, Recent, Tick};
use super::desk::Desk;
use super::file::{Fault, File};
use super::ledger::{Event, Interval, events, overlay};
use crate::base::clock::Timestamp;

/// What the clerk is asked.
#[derive(Debug)]
pub enum Question {
    /// The events of a check.
    Events(u32, Page, oneshot::Sender<Part<Event>>),
    /// The runs of a check.
    Ticks(u32, Page, oneshot::Sender<Part<Tick>>),
    /// The newest intervals of a check that last beyond a time, oldest first, at most so many.
    Intervals(u32, Timestamp, usize, oneshot::Sender<Vec<Interval>>),
    /// How long the runs of a check took since a time, of the newest so many.
    ResponseTimes(u32, Timestamp, usize, oneshot::Sender<Vec<Duration>>),
    /// How it went lately with each of these checks.
    Recent(Vec<u32>, Recall, oneshot::Sender<Vec<Recent>>),
    /// Whether everything told before is in the file now.
    Settle(oneshot::Sender<Result<(), Away>>),
    /// To write everything, close the file and end.
    Close(oneshot::Sender<()>),
}

impl Question {
    /// Answers from the file. Whoever asks may have gone by now, which is fine.
    ///
    /// # Errors
    /// What went wrong with the file; there is no answer then.
    pub async fn answer(self, file: &mut File, desk: &Desk) -> Result<(), Fault> {
        match self {
            Self::Events(check, page, reply) => {
                let stored = file.events(check, page).await?;
                let _ = reply.send(with_waiting(stored, events(desk.waiting(check)), page));
            }
            Self::Ticks(check, page, reply) => {
                let ticks = file.ticks(check, page).await?;
                let _ = reply.send(Part::of(ticks, page.limit, |tick| tick.id));
            }
            Self::Intervals(check, since, most, reply) => {
                let _ = reply.send(intervals(file, desk, check, since, most).await?);
            }
            Self::ResponseTimes(check, since, most, reply) => {
                let _ = reply.send(file.response_times(check, since, most).await?);
            }
            Self::Recent(checks, recall, reply) => {
                let mut recent = Vec::with_capacity(checks.len());
                for check in checks {
                    let always = Timestamp::from_unix_micros(i64::MIN);
                    let intervals = intervals(file, desk, check, always, recall.intervals).await?;
                    recent.push(Recent { intervals, response_times: file.latest_times(check, recall.runs).await? });
                }
                let _ = reply.send(recent);
            }
            // The clerk itself sees to these.
            Self::Settle(_) | Self::Close(_) => {}
        }
        Ok(())
    }
}

/// The intervals of a check, whether they are in the file or wait for it.
async fn intervals(
    file: &mut File,
    desk: &Desk,
    check: u32,
    since: Timestamp,
    most: usize,
) -> Result<Vec<Interval>, Fault> {
    let stored = file.intervals(check, since, most).await?;
    let mut all = overlay(stored, desk.waiting(check), |interval| interval.id, |_, newer| newer);
    all.retain(|interval| interval.to.is_none_or(|to| to > since));
    all.drain(..all.len().saturating_sub(most));
    Ok(all)
}

fn with_waiting(stored: Vec<Event>, waiting: Vec<Event>, page: Page) -> Part<Event> {
    let all = overlay(stored, waiting, |event| event.id, |older, newer| Event { from: older.from, ..newer });
    let is_wanted = |event: &Event| page.before.is_none_or(|before| event.id < before);
    let wanted = all.into_iter().rev().filter(is_wanted).take(page.limit.saturating_add(1)).collect();
    Part::of(wanted, page.limit, |event| event.id)
}
