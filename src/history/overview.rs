//! The past as a page shows it: how it went lately with every check, and one check over spans of time in slices.

use std::time::Duration;

use super::History;
use super::WINDOW_INTERVALS;
use super::answer::{Away, Recall, Recent, Span};
use super::figures::slices;
use super::question::Question;

impl History {
    /// How it went lately with each of the checks with these numbers, in their order: one question, however many.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn recent(&self, checks: &[u32], recall: Recall) -> Result<Vec<Recent>, Away> {
        let in_memory = self.in_memory(|registry, memory| {
            let mut recent = memory.recent(checks, recall);
            for (check, recent) in checks.iter().zip(&mut recent) {
                recent.intervals.extend(registry.record(*check).map(|record| record.ledger.open()));
            }
            recent
        })?;
        let mut recent = match in_memory {
            Some(recent) => recent,
            None => self.ask(|reply| Question::Recent(checks.to_vec(), recall, reply)).await?,
        };
        let ahead = self.ahead();
        for interval in recent.iter_mut().flat_map(|recent| &mut recent.intervals) {
            *interval = interval.moved(ahead);
        }
        Ok(recent)
    }

    /// The check with the number `check` over the last `span`, and in `parts` slices of it.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn span(&self, check: u32, span: Duration, parts: u32) -> Result<Span, Away> {
        let window = self.window_of_the_ledger(check, span).await?;
        let intervals = self.intervals_since(check, window.from, WINDOW_INTERVALS).await?;
        let slices = slices(&intervals, window.from, window.to, parts);
        Ok(Span { window: window.moved(self.ahead()), slices })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Settings;
    use super::super::answer::{Keep, Run};
    use super::super::ledger::{Availability, Interval};
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::name::CheckName;
    use crate::model::plan::testing::{check, plan};
    use crate::model::state::OutcomeKind;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("probelet-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_000_000 + seconds)
    }

    /// Two checks over a minute: `db` fails at 20 and 30, `app` is skipped then.
    async fn story(path: Option<PathBuf>) -> History {
        let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20 };
        let history = History::start(Settings { path, keep, pod: None, boot: None }, at(0));
        history.latches(Duration::from_secs(60)).await;
        history.declare(&plan(vec![check("db"), check("app")]), at(0));
        for seconds in [0, 10, 20, 30, 40, 50] {
            let fails = [20, 30].contains(&seconds);
            for name in ["db", "app"] {
                let (outcome, availability) = match (fails, name) {
                    (false, _) => (OutcomeKind::Pass, Availability::Up),
                    (true, "db") => (OutcomeKind::Fail, Availability::Down),
                    (true, _) => (OutcomeKind::Skip, Availability::Unknown),
                };
                let took = (outcome != OutcomeKind::Skip).then(|| at(seconds).since(at(0)) / 1000);
                let check = &CheckName::new(name).unwrap();
                history.record(&Run { check, at: at(seconds), outcome, reason: None, took, message: "" });
                history.transition(check, availability, at(seconds));
            }
        }
        history.alive(at(60));
        patiently(async || history.settle().await).await;
        history
    }

    fn told(recent: &Recent) -> (Vec<(Availability, bool)>, Vec<Option<u128>>) {
        let interval = |interval: &Interval| (interval.availability, interval.to.is_none());
        let times = recent.response_times.iter().map(|time| time.map(|time| time.as_millis()));
        (recent.intervals.iter().map(interval).collect(), times.collect())
    }

    /// The answer, however long a busy machine takes for it.
    async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Away>) -> T {
        let asking = async {
            loop {
                if let Ok(answer) = ask().await {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asking).await.unwrap()
    }

    async fn tells_the_story(history: &History) {
        use Availability::{Down, Unknown, Up};
        let services = history.services().unwrap();
        let ids: Vec<u32> = services.iter().map(|service| service.id).rev().collect();
        let recent = patiently(async || history.recent(&ids, Recall { intervals: 3, runs: 4 }).await).await;
        let recent: Vec<_> = recent.iter().map(told).collect();
        let app = (vec![(Up, false), (Unknown, false), (Up, true)], vec![Some(0), Some(10), Some(40), Some(50)]);
        let db = (vec![(Up, false), (Down, false), (Up, true)], vec![None, None, Some(40), Some(50)]);
        assert_eq!(recent, [app, db]);
        let span = patiently(async || history.span(ids[1], Duration::from_secs(80), 8).await).await;
        let down: Vec<u64> = span.slices.iter().map(|slice| slice.of(Down).as_secs()).collect();
        assert_eq!(down, [0, 0, 0, 0, 10, 10, 0, 0]);
        assert_eq!(span.window.response_times.p90, Some(Duration::from_millis(50)));
    }

    #[tokio::test]
    async fn the_last_intervals_and_runs_of_many_checks_are_one_question() {
        tells_the_story(&story(None).await).await;
        let folder = Folder::new("overview");
        let history = story(Some(folder.0.join("history.db"))).await;
        tells_the_story(&history).await;
        history.close(Duration::from_secs(60)).await;
    }
}
