//! The sections of the top level but for the checks.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::token::Token;
use crate::base::value::{Section, SourceSpan, Value};
use crate::config::expansion::is_only_expansions;
use crate::config::quote::shown;
use crate::config::read::HELP_WITH_PLAIN_SECRET;
use crate::config::source::{Environment, host_name};
use crate::config::{HistoryConfig, Listen, Listener, LogConfig, LogFormat, ServerConfig};
use crate::model::durations::DurationBuckets;
use crate::model::outcome::one_line;
use crate::model::plan::{Answers, Details, MetricsLevel, Service};
use crate::model::route::RouteSet;

/// What the top level says, checks apart. Where something could not be read, the report says so and a default stands.
#[derive(Clone, Debug)]
pub struct Top {
    /// The section `service`.
    pub service: Service,
    /// What answers say.
    pub answers: Answers,
    /// How the durations of runs are counted.
    pub duration_buckets: Arc<DurationBuckets>,
    /// The section `server`.
    pub server: ServerConfig,
    /// The section `defaults`.
    pub defaults: Defaults,
    /// The section `history`.
    pub history: HistoryConfig,
    /// `reload.watch`.
    pub watch: bool,
    /// The section `log`.
    pub log: LogConfig,
}

/// What every check takes that does not say otherwise.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// From start to start.
    pub interval: Option<Duration>,
    /// The hard limit of one run.
    pub timeout: Option<Duration>,
    /// Where the file says how long a run may take, or else how often there is one.
    pub timing: Option<SourceSpan>,
    /// Failures that make it `error`.
    pub failure_threshold: Option<NonZeroU32>,
    /// Passes that make it `ok`.
    pub success_threshold: Option<NonZeroU32>,
}

/// Reads the top level.
pub fn read(top: &Section, environment: &Environment) -> Top {
    let server = top.section("server");
    let (metrics, duration_buckets) = super::metrics::read(top.section("metrics"));
    Top {
        service: service(top.section("service"), environment),
        answers: Answers { metrics, ..server.map(answers).unwrap_or_default() },
        duration_buckets,
        server: ServerConfig { listen: server.map(listen).unwrap_or_default() },
        defaults: top.section("defaults").map(defaults).unwrap_or_default(),
        history: history(top.section("history")),
        watch: top.section("reload").and_then(|reload| reload.flag("watch")).unwrap_or(true),
        log: log(top.section("log")),
    }
}

/// A positive number of runs.
pub fn threshold(fields: &Section, key: &str) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(fields.integer(key)?).ok()?)
}

/// A text for people: one line.
pub fn line(fields: &Section, key: &str) -> Option<String> {
    fields.text(key)?.fixed().map(|text| one_line(&text)).filter(|text| !text.is_empty())
}

fn service(service: Option<&Section>, environment: &Environment) -> Service {
    let pod_name = || environment.get("POD_NAME").map(one_line).filter(|name| !name.is_empty());
    let instance = pod_name().or_else(host_name).unwrap_or_else(|| "app".into());
    Service {
        name: service.and_then(|service| line(service, "name")).unwrap_or_else(|| instance.clone()),
        instance,
        version: service.and_then(|service| line(service, "version")),
        labels: service.map(super::labels::read).unwrap_or_default(),
    }
}

fn answers(server: &Section) -> Answers {
    Answers {
        details: match server.word("details") {
            Some("names") => Details::Names,
            Some("none") => Details::None,
            _ => Details::Full,
        },
        down_status: if server.word("down_status") == Some("500") { 500 } else { 503 },
        control: server.flag("control").unwrap_or(true),
        token: token(server),
        cors_origins: super::origins::read(server),
        metrics: MetricsLevel::default(),
        drain: server.duration("drain").unwrap_or_default(),
    }
}

fn token(server: &Section) -> Option<Token> {
    let text = server.text("token")?;
    let token = text.fixed()?;
    if let Some(flaw) = Token::flaw(&token) {
        server.error("token", "invalid-value", format!("the token {flaw}"), Some(Token::HELP.into()));
        return None;
    }
    if !is_only_expansions(&text.written) {
        let message = "the token stands in the file in plain text";
        server.warning("token", "plain-secret", message, Some(HELP_WITH_PLAIN_SECRET.into()));
    }
    Some(Token::new(&token))
}

const EXAMPLES: &str = "write `\":10240\"`, an address such as `127.0.0.1:10240`, or a list of these";

fn listen(server: &Section) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    let given = server.list("listen");
    if given.is_empty() {
        server.error("listen", "invalid-address", "there is no address to listen on", Some(EXAMPLES.into()));
    }
    for spanned in given {
        let (text, span, routes) = match &spanned.value {
            Value::Text(text) => (text, &spanned.span, RouteSet::All),
            Value::Section(item) => {
                let (Some(text), Some(address)) = (item.text("address"), item.get("address")) else { continue };
                (text, &address.span, item.word("routes").and_then(RouteSet::named).unwrap_or_default())
            }
            _ => continue,
        };
        match text.fixed().unwrap_or_default().parse::<Listen>() {
            Ok(address) => {
                refuse_overlap(server, span, address, &listeners);
                listeners.push(Listener { address, routes });
            }
            Err(_) if text.is_expanded() => {
                let message = format!("what `{}` stands for is not an address to listen on", shown(&text.written));
                server.report_at(span, "invalid-address", message, Some(EXAMPLES.into()));
            }
            Err(error) => server.report_at(span, "invalid-address", error.message, Some(error.help)),
        }
    }
    listeners
}

/// An address that is listened on already, by itself or with all others, cannot be bound again.
fn refuse_overlap(server: &Section, span: &SourceSpan, address: Listen, before: &[Listener]) {
    let Some(other) = before.iter().map(|listener| listener.address).find(|other| other.overlaps(address)) else {
        return;
    };
    if other == address {
        let message = format!("`{address}` is there twice");
        server.report_at(span, "repeated-item", message, Some("keep one of them".into()));
        return;
    }
    let (part, whole) = if address.is_all() { (other, address) } else { (address, other) };
    let message = format!("`{part}` is part of `{whole}`: only one of them can be listened on");
    let help = "give them ports of their own, or keep one of them";
    server.report_at(span, "overlapping-address", message, Some(help.into()));
}

fn defaults(defaults: &Section) -> Defaults {
    Defaults {
        interval: defaults.duration("interval"),
        timeout: defaults.duration("timeout"),
        timing: defaults.get("timeout").or(defaults.get("interval")).map(|spanned| spanned.span.clone()),
        failure_threshold: threshold(defaults, "failure_threshold"),
        success_threshold: threshold(defaults, "success_threshold"),
    }
}

fn history(history: Option<&Section>) -> HistoryConfig {
    let path = history.and_then(|history| history.text("path")?.fixed()).filter(|path| !path.is_empty());
    HistoryConfig {
        path: path.map(PathBuf::from),
        retention: history.and_then(|history| history.duration("retention")).unwrap_or_default(),
        max_size: history.and_then(|history| history.size("max_size")).unwrap_or_default(),
        max_memory: history
            .and_then(|history| history.size("max_memory"))
            .map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
    }
}

fn log(log: Option<&Section>) -> LogConfig {
    LogConfig {
        format: match log.and_then(|log| log.word("format")) {
            Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            _ => LogFormat::Auto,
        },
        level: log.and_then(|log| log.word("level")).unwrap_or("info"),
    }
}
