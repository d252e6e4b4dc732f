//! What the control routes do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, watch};

use super::shutdown::Termination;
use crate::base::clock::{Clock, Moment};
use crate::model::beat::Beat;
use crate::model::start_up::ContainerNews;
use crate::probe::heartbeat::Beats;
use crate::scheduler::actor::SchedulerCommand;
use crate::server;

/// Tells the scheduler what the control routes were asked for, without waiting.
pub(super) struct Controls {
    commands: mpsc::Sender<SchedulerCommand>,
    termination: Termination,
    clock: Clock,
    beats: Arc<Beats>,
    /// Whether a drain is wanted.
    drain: Arc<AtomicBool>,
    /// What kubelet last told of the app's container.
    start_ups: watch::Sender<(ContainerNews, Moment)>,
}

impl Controls {
    pub(super) fn new(
        commands: mpsc::Sender<SchedulerCommand>,
        termination: Termination,
        clock: Clock,
        beats: Arc<Beats>,
        start_ups: watch::Sender<(ContainerNews, Moment)>,
    ) -> Self {
        Self { commands, termination, clock, beats, drain: Arc::default(), start_ups }
    }

    fn want(&self, drain: bool) {
        self.drain.store(drain, Ordering::Relaxed);
        // Where there is no room, enough of the same wait: they look at what is wanted when their turn comes.
        let _ = self.commands.try_send(SchedulerCommand::Drain(Arc::clone(&self.drain)));
    }
}

impl server::Control for Controls {
    fn drain(&self) {
        self.termination.begin(self.clock.now());
        self.want(true);
    }

    fn undrain(&self) -> bool {
        let may_be = self.termination.undo();
        if may_be {
            self.want(false);
        }
        may_be
    }

    fn wants_drain(&self) -> bool {
        self.drain.load(Ordering::Relaxed)
    }

    fn start_up(&self, news: ContainerNews, at: Moment) {
        self.start_ups.send_replace((news, at));
    }

    fn beat(&self, check: &str, beat: Beat) -> bool {
        self.beats.beat(check, beat, self.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Control;

    #[tokio::test]
    async fn what_is_wanted_last_is_done_however_many_ask() {
        let (commands, mut orders) = mpsc::channel(2);
        let controls = Controls::new(
            commands,
            Termination::default(),
            Clock::tokio(),
            Arc::default(),
            watch::channel((ContainerNews::None, Moment::default())).0,
        );
        for _ in 0..100 {
            controls.drain();
        }
        assert!(controls.undrain());
        drop(controls);
        let mut last = None;
        while let Some(SchedulerCommand::Drain(wanted)) = orders.recv().await {
            last = Some(wanted.load(Ordering::Relaxed));
        }
        assert_eq!(last, Some(false));
    }
}
