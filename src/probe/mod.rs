//! One observation of one target: the trait, the table of kinds, and one file per kind.
//!
//! A probe never logs, never times itself, never retries (but once over a fresh connection, where a kept one brings
//! no good news), and knows nothing of thresholds or of who asks. It does not know YAML either: its keys are a table of
//! [`Field`]s, and it reads its section as [`Section`].
//!
//! To add a kind: a file with its `FIELDS`, its spec (`read`) and its probe; then a line in [`KINDS`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::capture::Capture;
use self::cookies::CookieJar;
use crate::base::clock::Clock;
use crate::base::field::{Field, is_same_key};
use crate::base::name::CheckName;
use crate::base::token::Token;
use crate::base::trace::Trace;
use crate::base::value::Section;
use crate::model::outcome::ProbeResult;
use crate::workflow::captures::Captures;

pub mod amqp;
mod blocking;
pub mod capture;
mod cell;
pub mod cookies;
pub mod disk;
mod endpoint;
pub mod exhausted;
pub mod farewell;
pub mod grpc;
pub mod heartbeat;
pub mod http;
pub mod http2;
pub mod net;
pub mod postgres;
pub mod redis;
mod reuse;
mod search;
pub mod simulated;
pub mod tcp;
pub mod workflow;

/// A kind of probe: its word in the file, its keys, and how its section is read.
#[derive(Debug)]
pub struct ProbeKind {
    /// The key of its section, and its name in answers and metrics.
    pub name: &'static str,
    /// What it observes, in a sentence for the reference.
    pub doc: &'static str,
    /// The keys of its section.
    pub fields: &'static [Field],
    /// Reads the section. Problems are reported through it; nothing is returned when it cannot be used.
    pub read: fn(&Section) -> Option<Box<dyn Spec>>,
    /// What `application/health+json` calls such a target: `component`, `datastore` or `system`.
    pub component_type: &'static str,
    /// The default port, and what is wrong with a bare TCP connection to it; nothing where that is no mistake.
    pub bare_tcp: Option<(u16, &'static str)>,
    /// The built-in interval and timeout of a check of this kind where they differ from the general ones.
    pub cadence: Option<(&'static str, &'static str)>,
}

/// All kinds, in the order of the reference.
pub static KINDS: &[&ProbeKind] = &[
    &http::KIND,
    &tcp::KIND,
    &grpc::KIND,
    &postgres::KIND,
    &redis::KIND,
    &amqp::KIND,
    &disk::KIND,
    &heartbeat::KIND,
    &workflow::KIND,
    &simulated::KIND,
];

/// The kind called `name`.
#[must_use]
pub fn kind(name: &str) -> Option<&'static ProbeKind> {
    KINDS.iter().copied().find(|kind| is_same_key(kind.name, name))
}

/// A target as declared and validated, from which probes are built. It holds secrets: its `Debug` shows none.
pub trait Spec: fmt::Debug + Send + Sync {
    /// The target as written in the file, without user, password and query; nothing where there is none to show.
    fn target(&self) -> Option<String> {
        None
    }

    /// The hosts that the target is on: none for a kind that crosses no network, more than one where it is a path
    /// through several.
    fn hosts(&self) -> Vec<&str> {
        Vec::new()
    }

    /// How long one connection may serve successive runs; nothing but zero where each run has its own.
    fn max_connection_age(&self) -> Duration {
        Duration::ZERO
    }

    /// The hosts of which whoever answers there, or listens on the way, may get to know a password although the target
    /// could be declared so that they do not.
    fn hosts_told_the_password(&self) -> Vec<&str> {
        Vec::new()
    }

    /// How old what a run finds may be and still pass; zero where a run sees the target as it is.
    fn max_age(&self) -> Duration {
        Duration::ZERO
    }

    /// What it takes to come to a verdict.
    fn verdict_takes(&self) -> Evidence {
        Evidence::OneRun
    }

    /// With what a beat for it is taken from anywhere.
    fn beat_token(&self) -> Option<Token> {
        None
    }

    /// Each run is to have a connection of its own, unless the file says otherwise, where `where_to` says so of the
    /// hosts that a connection leads to; of none, where it leads to no other host.
    fn prefer_fresh_connections(&mut self, _where_to: &dyn Fn(&[&str]) -> bool) {}

    /// A probe of this target. Nothing is dialled before its first run.
    fn build(&self, context: &BuildContext) -> Box<dyn Probe>;
}

/// What it takes to come to a verdict, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Each run has one.
    OneRun,
    /// It is a change that one run sees and the run before did not.
    SeveralRuns,
    /// It is brought to the daemon.
    Daemon,
}

/// What a probe is built with.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// The name of the check, for messages.
    pub check: CheckName,
    /// What all network probes share: name resolution and trust.
    pub network: Arc<net::Network>,
    /// Where the time comes from, for a probe that ages what it saw.
    pub clock: Clock,
    /// Where pushed heartbeats arrive.
    pub beats: Arc<heartbeat::Beats>,
}

/// Something that can be observed, again and again. It may keep a connection between runs.
pub trait Probe: Send {
    /// Observes the target once. The caller drops the future when the run's time is up; the probe must then be ready
    /// for the next run (a connection in the middle of something is not to be used again).
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult>;
}

/// A future that a probe returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What one run is given.
#[derive(Debug)]
pub struct RunContext {
    /// The time that the run has in all, from the first poll of its future. The caller ends the run when it is up; a
    /// probe that has something to say by then (which of its steps hangs) must come before.
    pub budget: Duration,
    /// What the steps before this one captured; empty outside a workflow.
    pub captured: Captures,
    /// The cookies that servers have set in the steps before this one, and then in this one too.
    pub cookies: Mutex<CookieJar>,
    /// What is captured from the answer.
    pub captures: Arc<[Capture]>,
    /// Where the probe says which phase it is in.
    pub trace: Arc<Trace>,
}

impl RunContext {
    /// Whether the answer is to be kept in the result, for captures.
    #[must_use]
    pub fn keeps_answer(&self) -> bool {
        !self.captures.is_empty()
    }
}

/// A run with all the time there is, for a check outside a workflow.
impl Default for RunContext {
    fn default() -> Self {
        Self {
            budget: Duration::MAX,
            captured: Captures::default(),
            cookies: Mutex::default(),
            captures: Arc::default(),
            trace: Arc::default(),
        }
    }
}
