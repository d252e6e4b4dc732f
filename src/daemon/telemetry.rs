//! What the daemon logs, and how: lines leave the process through a queue, so that a reader which stops reading
//! standard error stops nobody else.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};
use crate::model::plan::Service;

/// Lines that wait for standard error; more than these are dropped.
const QUEUE: usize = 1024;

/// The way to the log: dropping it writes what is still queued, for as long as standard error takes it.
pub struct Telemetry {
    lines: LineQueue,
    written: Receiver<()>,
    directives: Option<String>,
    instance: String,
    filter: reload::Handle<Targets, Registry>,
    format: reload::Handle<Lines, Filtered>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("directives", &self.directives).finish_non_exhaustive()
    }
}

/// Who speaks, in every JSON line.
#[derive(Clone, Copy, Debug)]
struct About<'a> {
    /// Whom the sidecar speaks for, and its version.
    service: &'a Service,
    /// The pod, else the host.
    instance: &'a str,
}

impl About<'_> {
    /// The begin of a JSON object with these members.
    fn members(&self) -> Arc<[u8]> {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let version = self.service.version.as_deref().map_or_else(|| "null".to_owned(), text);
        let (service, instance) = (text(&self.service.name), text(self.instance));
        format!("{{\"service\":{service},\"version\":{version},\"instance\":{instance},").into_bytes().into()
    }
}

/// What lines are made of: text or JSON.
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;
type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;

/// Starts logging as `log` says; `directives` (the content of `$RUST_LOG`) wins over its level. Only the first call in
/// a process has an effect.
#[must_use]
pub fn start(log: Log, instance: String, directives: Option<String>) -> Telemetry {
    let (lines, waiting) = sync_channel(QUEUE);
    let (done, written) = sync_channel(1);
    let writer = thread::Builder::new().name("log".into()).stack_size(128 * 1024);
    // Without the thread (no more threads allowed) lines are dropped, and the daemon goes on.
    let _ = writer.spawn(move || write_lines(&waiting, &done));
    let lines = LineQueue { lines, about: None };
    // Until a configuration says for whom it speaks.
    let service = Service { name: instance.clone(), version: None };
    let about = &About { service: &service, instance: &instance };
    let (filter, filter_handle) = reload::Layer::new(targets(log.level, directives.as_deref()));
    let (format, format_handle) = reload::Layer::new(format(log.format, &lines, about));
    let _ = tracing_subscriber::registry().with(filter).with(format).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a panic: this is a defect of probelet, please report it");
    }));
    Telemetry { lines, written, directives, instance, filter: filter_handle, format: format_handle }
}

impl Telemetry {
    /// Logs as `log` says from now on.
    pub fn change(&self, log: Log, service: &Service) {
        let about = &About { service, instance: &self.instance };
        let _ = self.filter.reload(targets(log.level, self.directives.as_deref()));
        let _ = self.format.reload(format(log.format, &self.lines, about));
    }
}

fn format(format: LogFormat, lines: &LineQueue, about: &About<'_>) -> Lines {
    let terminal = io::stderr().is_terminal();
    let is_json = format == LogFormat::Json || (format == LogFormat::Auto && !terminal);
    let writer = LineQueue { about: is_json.then(|| about.members()), ..lines.clone() };
    let plain = fmt::layer().with_writer(writer).with_target(false);
    match format {
        LogFormat::Text => plain.with_ansi(terminal).boxed(),
        LogFormat::Auto if terminal => plain.with_ansi(true).boxed(),
        LogFormat::Auto | LogFormat::Json => {
            plain.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    }
}

/// Our own events at `level` and none of the libraries (a broken connection is a result to us, not an error); or whatever `directives` say, where they can be read.
fn targets(level: &str, directives: Option<&str>) -> Targets {
    let ours = || {
        let level = level.parse().unwrap_or(LevelFilter::INFO);
        Targets::new().with_target("probelet", level).with_default(LevelFilter::OFF)
    };
    directives.and_then(|directives| directives.parse().ok()).unwrap_or_else(ours)
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let _ = self.lines.lines.try_send(Line::End);
        let _ = self.written.recv_timeout(Duration::from_millis(500));
    }
}

enum Line {
    Text(Vec<u8>),
    End,
}

fn write_lines(lines: &Receiver<Line>, done: &SyncSender<()>) {
    for line in lines {
        match line {
            // Nobody can be told that standard error does not take the line.
            Line::Text(text) => drop(io::stderr().lock().write_all(&text)),
            Line::End => drop(done.try_send(())),
        }
    }
}

/// Hands each line to the writing thread, or drops it when that lags behind.
#[derive(Clone, Debug)]
struct LineQueue {
    lines: SyncSender<Line>,
    /// What each JSON line begins with: who speaks.
    about: Option<Arc<[u8]>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Write for LineQueue {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // The formatter hands over whole lines.
        let line = match (&self.about, text.strip_prefix(b"{")) {
            (Some(about), Some(rest)) => [about, rest].concat(),
            _ => text.to_vec(),
        };
        match self.lines.try_send(Line::Text(line)) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Ok(text.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}
