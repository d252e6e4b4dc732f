//! The configuration: a YAML file in, a validated [`Config`] or every problem of it out.
//!
//! Only this floor knows YAML, and only [`source`] reads the environment. A `Config` value has been validated; nothing
//! else builds a scheduler.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::value::{ParseSession, Problem, ReadFile, Severity, SourceSpan, why_unreadable};
use crate::model::plan::Plan;
use crate::model::route::RouteSet;
use crate::probe::Spec;
pub use codes::CODES;
pub use diagnostic::Report;
use hook::HookConfig;
use source::{Environment, Input};

mod ahead;
pub mod codes;
pub mod diagnostic;
pub mod diff;
pub mod document;
mod expansion;
pub mod hook;
pub mod listen;
pub mod manifest;
mod mask;
pub(crate) mod nodes;
pub(crate) mod path;
pub(crate) mod read;
mod quote;
pub mod reference;
mod render;
mod rules;
mod scan;
pub mod schema;
mod shows;
mod similar;
pub mod source;
mod syntax;
pub(crate) mod text;
pub(crate) mod tree;
mod vocabulary;

pub use rules::hosts::{is_external, is_own_host};
pub use rules::listen::InvalidAddress;
pub use text::MAX_BYTES;

/// What became of a configuration file.
#[derive(Clone)]
pub struct Loaded {
    /// The configuration, when there are no errors.
    pub config: Option<Config>,
    /// Every problem, warnings included.
    pub report: Report,
    /// Every file that the configuration consists of or names, with its content when it was read (nothing where it
    /// could not be): when one of them changes, loading again may give something else.
    pub files: BTreeMap<PathBuf, Arc<[u8]>>,
    /// The configuration as it is written, expansions unexpanded; empty where it could not be read as text. It may hold
    /// a password that somebody wrote out.
    pub written: String,
}

/// Loads the configuration file at `path` (`-`: standard input), or the one configuration in a manifest.
#[must_use]
pub fn load(path: &Path, environment: &Environment) -> Loaded {
    load_input(&Input::read(path), environment)
}

/// Loads the configuration in `input`, or the one configuration in a manifest.
#[must_use]
pub fn load_input(input: &Input, environment: &Environment) -> Loaded {
    load_after(input, environment, None)
}

/// The same; the checks that `before` declares in the same way are those of `before`, so that both have them once.
#[must_use]
pub fn load_after(input: &Input, environment: &Environment, before: Option<&Config>) -> Loaded {
    let name = input.name();
    match &input.content {
        Ok(text) => {
            let mut loaded = read_after((&name, text, input.most), environment, Box::new(source::read_file), before);
            let known = before.and_then(|before| before.files.get(&input.path)).filter(|known| known[..] == text[..]);
            let content: Arc<[u8]> = known.map_or_else(|| text.as_slice().into(), Arc::clone);
            if let Some(config) = &mut loaded.config {
                config.files.insert(input.path.clone(), Arc::clone(&content));
            }
            loaded.files.insert(input.path.clone(), content);
            loaded
        }
        Err(error) => Loaded {
            config: None,
            report: Report::new(
                &name,
                vec![unreadable(
                    "configuration file",
                    "check the path and that it is mounted into the sidecar",
                    &name,
                    error,
                )],
                None,
                None,
            ),
            files: BTreeMap::from([(input.path.clone(), Arc::default())]),
            written: String::new(),
        },
    }
}

/// Reads the configuration in `bytes`, which reports call `file_name`, or the one configuration in a manifest. Files
/// that it names are read by `read_file`.
#[must_use]
pub fn read(file_name: &str, bytes: &[u8], environment: &Environment, read_file: Box<ReadFile>) -> Loaded {
    read_after((file_name, bytes, text::MAX_MANIFESTS), environment, read_file, None)
}

/// Reads what is called so, and was cut off behind so many bytes.
fn read_after(
    (file_name, bytes, most): (&str, &[u8], usize),
    environment: &Environment,
    read_file: Box<ReadFile>,
    before: Option<&Config>,
) -> Loaded {
    let session = ParseSession::with(read_file, environment.is_offline());
    manifest::load(file_name, bytes, most, environment, &session).unwrap_or_else(|| {
        let reader = read::Reader::new(environment, session).after(before);
        read_alone(file_name, bytes, &reader)
    })
}

/// Reads the configuration in `bytes`, which is no manifest.
fn read_alone(file_name: &str, bytes: &[u8], reader: &read::Reader<'_>) -> Loaded {
    let session = reader.session();
    let text = text::decode(bytes).map_err(|problem| session.report(*problem)).ok();
    let root = text.and_then(|text| tree::parse(text, &mut |problem| session.report(problem)));
    let config = root.and_then(|root| rules::apply(root, reader));
    let shown = text.map(Cow::Borrowed).or_else(|| text::as_far_as_shown(bytes));
    let problems = session.problems();
    // The tree is gone by now: it is made once more where there is something to tell.
    let root = text.filter(|_| !problems.is_empty()).and_then(|text| tree::parse(text, &mut |_| {}));
    let report = Report::new(file_name, problems, shown.as_deref(), root.as_deref());
    let mut config = config.filter(|_| report.is_valid());
    if let Some(config) = &mut config {
        Arc::make_mut(&mut config.plan).hash = Some(hash(bytes));
    }
    let written = text.unwrap_or_default().to_owned();
    Loaded { config, report, files: session.files(), written }
}

/// What two sidecars can be compared by: the first 16 digits that `sha256sum` shows for the file.
fn hash(bytes: &[u8]) -> Box<str> {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// Why a file that the command line names cannot be read; `absent` is what helps when there is no such file.
pub(crate) fn unreadable(what: &str, absent: &str, name: &str, error: &io::Error) -> Problem {
    let help = match error.kind() {
        io::ErrorKind::NotFound => absent,
        io::ErrorKind::PermissionDenied => "check that the sidecar's user may read it",
        io::ErrorKind::IsADirectory => "name the file in it",
        io::ErrorKind::Unsupported => "give a regular file; commands that read it once take a pipe as well, or `-`",
        _ => "check the path",
    };
    Problem {
        severity: Severity::Error,
        code: "unreadable-file",
        message: format!("cannot read the {what} {name}: {}", why_unreadable(error.kind())),
        help: Some(help.into()),
        span: SourceSpan { path: "".into(), line: 1, column: 1, width: 1 },
    }
}

/// A configuration as used: validated, every default filled in.
#[derive(Clone)]
pub struct Config {
    /// The checks and what answers say.
    pub plan: Arc<Plan>,
    /// What each check of the plan observes, in the same order.
    pub targets: Vec<CheckTarget>,
    /// Where the server listens.
    pub server: ServerConfig,
    /// Where and how long history is kept.
    pub history: HistoryConfig,
    /// Whether a change of the content of any of `files` reloads.
    pub watch: bool,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Who is told of transitions.
    pub hooks: Vec<HookConfig>,
    /// Every file that the configuration consists of or names, with its content when it was read.
    pub files: BTreeMap<PathBuf, Arc<[u8]>>,
}

/// Names the files and shows nothing of what they hold, which may be secrets.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.keys().collect();
        f.debug_struct("Loaded")
            .field("config", &self.config)
            .field("report", &self.report)
            .field("files", &files)
            .finish()
    }
}

/// Names the files and shows nothing of what they hold, which may be secrets.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.keys().collect();
        f.debug_struct("Config")
            .field("plan", &self.plan)
            .field("targets", &self.targets)
            .field("server", &self.server)
            .field("history", &self.history)
            .field("watch", &self.watch)
            .field("log", &self.log)
            .field("hooks", &self.hooks)
            .field("files", &files)
            .finish()
    }
}

/// What a check observes.
#[derive(Clone, Debug)]
pub struct CheckTarget {
    /// The declared target, from which probes are built.
    pub spec: Arc<dyn Spec>,
    /// Two checks with the same fingerprint and the same definition are the same check: nothing has changed between
    /// two loads. It covers the expanded values of the section and the content of the files it names.
    pub fingerprint: u64,
}

/// The section `server`, as far as it is not part of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where to listen, and what is answered there.
    pub listen: Vec<Listener>,
}

impl ServerConfig {
    /// Whether it listens where `other` does, in whatever order they are named and whatever is answered there.
    #[must_use]
    pub fn listens_where(&self, other: &Self) -> bool {
        let has_all = |server: &Self, of: &Self| of.listen.iter().all(|listener| server.listens_at(listener.address));
        has_all(self, other) && has_all(other, self)
    }

    fn listens_at(&self, address: Listen) -> bool {
        self.listen.iter().any(|listener| listener.address == address)
    }

    /// The port that kubelet's probes should ask: the first at an address that it can reach. All of them have the
    /// gates.
    #[must_use]
    pub fn kubelet_port(&self) -> u16 {
        let reached = self.listen.iter().find(|listener| !listener.address.is_loopback());
        reached.or(self.listen.first()).map_or(10240, |listener| listener.address.port())
    }
}

/// An item of `server.listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: Listen,
    /// What is answered there.
    pub routes: RouteSet,
}

impl From<Listen> for Listener {
    fn from(address: Listen) -> Self {
        Self { address, routes: RouteSet::All }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// All addresses, IPv6 and IPv4, on this port; IPv4 alone where the kernel has no IPv6.
    All(u16),
    /// One address.
    One(SocketAddr),
}

/// The section `history`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// The SQLite file; in memory without one.
    pub path: Option<PathBuf>,
    /// How long single runs are kept.
    pub retention: Duration,
    /// The bound on the file, in bytes.
    pub max_size: u64,
    /// The bound on runs and changes in memory, in bytes.
    pub max_memory: usize,
}

impl HistoryConfig {
    /// A file of fewer bytes has hardly any room for the past of so many checks: its tables are in it, a log beside it, and
    /// of each check what lasts.
    #[must_use]
    pub const fn least_max_size(checks: usize) -> u64 {
        const STEP: u64 = 64 * 1024;
        const OF_A_CHECK: u64 = 1024;
        (2 * STEP + checks as u64 * OF_A_CHECK).next_multiple_of(STEP)
    }
}

/// The section `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Text or JSON.
    pub format: LogFormat,
    /// The least level that is logged: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
}

impl Listen {
    /// Whether it is all addresses.
    #[must_use]
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All(_)) || matches!(self, Self::One(address) if address.ip().is_unspecified())
    }

    /// Whether no two sockets can listen on both. Port 0 is another one each time.
    #[must_use]
    pub fn overlaps(&self, other: Self) -> bool {
        let is_ipv4 = |listen: &Self| matches!(listen, Self::One(address) if address.is_ipv4());
        if self.port() != other.port() || self.port() == 0 {
            return false;
        }
        match (self, &other) {
            (Self::One(one), Self::One(another)) if !self.is_all() && !other.is_all() => one == another,
            // All addresses of IPv4, and one or all of IPv6: `[::]` means both families.
            (Self::One(one), Self::One(another)) if is_ipv4(self) != is_ipv4(&other) => {
                [one, another].into_iter().any(|address| address.is_ipv6() && address.ip().is_unspecified())
            }
            _ => true,
        }
    }

    /// Whether only this pod can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self, Self::One(address) if address.ip().is_loopback())
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::All(port) => *port,
            Self::One(address) => address.port(),
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}
