//! How requests are answered: each answer is a view of the one published snapshot, judged when asked.
//!
//! No request runs a probe or waits for one; those about health take no lock, and gates wait for nothing. Long answers
//! are made on a lane of their own (`long_answers`), in turns (`turns`) and once for all who ask the same
//! (`renderings`). A new route is a line in each table of [`Route`](crate::model::route::Route) and one in
//! `respond`.

mod access;
mod answer;
mod answer_memory;
mod atomic_moment;
mod audience;
mod badge;
mod body;
mod connection;
mod connection_state;
mod control;
mod cors;
mod daemon;
mod gate_cache;
mod grpc;
mod health;
mod http2;
mod kubelet;
mod listen;
mod long_answers;
mod narrowed;
mod negotiate;
pub mod openapi;
mod page;
mod query;
mod renderings;
mod reply;
mod request;
mod request_line;
mod respond;
mod sent_body;
mod serve;
mod shared;
mod start_up;
mod stream;
mod time_limits;
mod turns;
mod v1;
mod view;
mod warnings;

use std::fmt;
use std::sync::Arc;

pub use health::healthz_json;
pub use listen::{BoundListener, ListenError, ListenerRoutes, bind};
pub use serve::{FIRST_TURNS, MOST_CONNECTIONS, serve, serve_on_one_thread};
pub use start_up::StartUps;

use crate::base::clock::{Clock, Moment};
use crate::history::History;
use crate::metrics::{DaemonMetrics, SchedulerLiveness};
use crate::model::beat::Beat;
use crate::model::start_up::ContainerNews;
use crate::store::Board;

/// What answers are made from.
pub struct App {
    /// Where the snapshot is published.
    pub board: Board,
    /// The time.
    pub clock: Clock,
    /// What the daemon counts about itself.
    pub daemon_metrics: Arc<DaemonMetrics>,
    /// The scheduler's sign of life.
    pub liveness: Arc<SchedulerLiveness>,
    /// What was.
    pub history: History,
    /// What kubelet's questions about `/startupz` have begun.
    pub start_ups: Arc<StartUps>,
    /// What the control routes do.
    pub control: Box<dyn Control>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// What requests can bring about. It is called while a request is answered: none of it may block.
pub trait Control: Send + Sync {
    /// A drain begins.
    fn drain(&self);
    /// The drain is undone: whether it can be.
    fn undrain(&self) -> bool;
    /// Whether a drain is wanted, also where the scheduler has not published it yet.
    fn wants_drain(&self) -> bool {
        false
    }
    /// The app's container has started anew, or that is in doubt, as kubelet's question at that moment tells.
    fn start_up(&self, news: ContainerNews, at: Moment);
    /// The app beats for `check`. Whether that check exists and takes beats over HTTP.
    fn beat(&self, check: &str, beat: Beat) -> bool;
}

#[cfg(test)]
mod tests;
