//! What the daemon logs, and how: lines leave the process through a queue, so that a reader which stops reading
//! standard error stops nobody else.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::base::plain::{is_plain, plain};
use crate::config::{LogConfig, LogFormat};
use crate::model::plan::Service;

/// Lines that wait for standard error; more than these are dropped.
const QUEUE: usize = 1024;

/// What a pipe takes in one piece, whoever else writes to it: `PIPE_BUF`.
const PIECE: usize = 4096;
/// A line that follows another within this time waits as long, for those behind it.
const CLOSE_TOGETHER: Duration = Duration::from_millis(2);

/// The way to the log: dropping it writes what is still queued, for as long as standard error takes it.
#[must_use = "dropping it ends the log"]
pub struct Telemetry {
    lines: LineQueue,
    directives: Option<String>,
    instance: String,
    filter: reload::Handle<Targets, Registry>,
    format: reload::Handle<LineLayer, Filtered>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("directives", &self.directives).finish_non_exhaustive()
    }
}

/// The service and the instance, for every JSON line.
#[derive(Clone, Copy, Debug)]
struct LogIdentity<'a> {
    /// Whom the sidecar speaks for, and its version.
    service: &'a Service,
    /// The pod, else the host.
    instance: &'a str,
}

impl LogIdentity<'_> {
    /// The begin of a JSON object with these members.
    fn members(&self) -> Arc<[u8]> {
        let text = |text: &str| serde_json::Value::from(&*plain(text)).to_string();
        let version = self.service.version.as_deref().map_or_else(|| "null".to_owned(), text);
        let (service, instance) = (text(&self.service.name), text(self.instance));
        format!("{{\"service\":{service},\"version\":{version},\"instance\":{instance},").into_bytes().into()
    }
}

/// What lines are made of: text or JSON.
type LineLayer = Box<dyn Layer<Filtered> + Send + Sync>;
type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;

/// Starts logging as `log` says; `directives` (the content of `$RUST_LOG`) wins over its level. Only the first call in
/// a process has an effect.
pub fn start(log: LogConfig, instance: String, directives: Option<String>) -> Telemetry {
    let (lines, waiting) = sync_channel(QUEUE);
    let lines = LineQueue { lines, writer: Arc::new(LogWriter::of(waiting)), about: None, escapes: false };
    // Until a configuration says for whom it speaks.
    let service = Service { name: instance.clone(), ..Service::default() };
    let about = &LogIdentity { service: &service, instance: &instance };
    let (filter, filter_handle) = reload::Layer::new(targets(log.level, directives.as_deref()));
    let (format, format_handle) = reload::Layer::new(format(log.format, &lines, about));
    let _ = tracing_subscriber::registry().with(filter).with(format).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a panic: this is a defect of probelet, please report it");
    }));
    Telemetry { lines, directives, instance, filter: filter_handle, format: format_handle }
}

impl Telemetry {
    /// Whether what was logged so far comes out: a daemon that cannot say anything is of no use at the start.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn check(&self) -> io::Result<()> {
        self.lines.writer.check()
    }

    /// Logs as `log` says from now on.
    pub fn change(&self, log: LogConfig, service: &Service) {
        let about = &LogIdentity { service, instance: &self.instance };
        let _ = self.filter.reload(targets(log.level, self.directives.as_deref()));
        let _ = self.format.reload(format(log.format, &self.lines, about));
    }
}

fn format(format: LogFormat, lines: &LineQueue, about: &LogIdentity<'_>) -> LineLayer {
    let terminal = io::stderr().is_terminal();
    let is_json = format == LogFormat::Json || (format == LogFormat::Auto && !terminal);
    let about = is_json.then(|| about.members());
    let writer = LineQueue { about, escapes: terminal && !is_json, ..lines.clone() };
    let plain = fmt::layer().with_writer(writer).with_target(false);
    match format {
        LogFormat::Text => plain.with_ansi(terminal).boxed(),
        LogFormat::Auto if terminal => plain.with_ansi(true).boxed(),
        LogFormat::Auto | LogFormat::Json => {
            plain.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    }
}

/// Our own events at `level` and none of the libraries (a broken connection is a result to us, not an error); or
/// whatever `directives` say, where they can be read.
fn targets(level: &str, directives: Option<&str>) -> Targets {
    let ours = || {
        let level = level.parse().unwrap_or(LevelFilter::INFO);
        Targets::new().with_target("probelet", level).with_default(LevelFilter::OFF)
    };
    directives.and_then(|directives| directives.parse().ok()).unwrap_or_else(ours)
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if !self.lines.writer.is_started() {
            // Nothing has ever been logged, or there was no thread for it.
            return;
        }
        let (done, written) = sync_channel(1);
        let _ = self.lines.lines.try_send(LogLine::End(done));
        let _ = written.recv_timeout(Duration::from_millis(500));
    }
}

enum LogLine {
    Text(Vec<u8>),
    End(SyncSender<()>),
}

fn write_lines(lines: &Receiver<LogLine>) {
    let mut written: Option<Instant> = None;
    while let Ok(first) = lines.recv() {
        // A wake for each of thousands costs more than they do.
        if written.is_some_and(|at| at.elapsed() < CLOSE_TOGETHER) {
            thread::sleep(CLOSE_TOGETHER);
        }
        let mut next = Some(first);
        while let Some(line) = next.take() {
            match line {
                LogLine::Text(text) => {
                    let (text, then) = together(text, lines);
                    // Nobody can be told that standard error does not take them.
                    let _ = io::stderr().lock().write_all(&text);
                    next = then;
                }
                LogLine::End(done) => drop(done.try_send(())),
            }
            next = next.or_else(|| lines.try_recv().ok());
        }
        written = Some(Instant::now());
    }
}

/// The line with those that wait behind it, as many as the kernel takes in one piece; and what comes then.
fn together(mut text: Vec<u8>, lines: &Receiver<LogLine>) -> (Vec<u8>, Option<LogLine>) {
    let mut next = lines.try_recv().ok();
    while let Some(LogLine::Text(more)) = next.take_if(|line| line.fits_behind(&text)) {
        text.extend_from_slice(&more);
        next = lines.try_recv().ok();
    }
    (text, next)
}

impl LogLine {
    /// Whether what others write to the same pipe cannot come between.
    fn fits_behind(&self, text: &[u8]) -> bool {
        matches!(self, Self::Text(more) if text.len() + more.len() <= PIECE)
    }
}

/// The thread that writes lines. It is started for the first one: many a daemon has nothing to say for days.
#[derive(Debug)]
struct LogWriter {
    is_started: AtomicBool,
    /// There has been a line.
    is_wanted: AtomicBool,
    /// The lines, until they have a thread.
    waiting: Mutex<Option<Receiver<LogLine>>>,
}

impl LogWriter {
    fn of(lines: Receiver<LogLine>) -> Self {
        Self { is_started: AtomicBool::new(false), is_wanted: AtomicBool::new(false), waiting: Mutex::new(Some(lines)) }
    }

    fn is_started(&self) -> bool {
        self.is_started.load(Ordering::Relaxed)
    }

    /// There is a line: starts it, unless it is. Where the system gives us none, lines wait until there is one more.
    fn want(&self) {
        if self.is_started() {
            return;
        }
        self.is_wanted.store(true, Ordering::Relaxed);
        // Whoever has it is about to do this.
        if let Ok(mut waiting) = self.waiting.try_lock() {
            let _ = self.start(&mut waiting);
        }
    }

    /// Starts it where it is wanted and is not there.
    fn check(&self) -> io::Result<()> {
        if self.is_started() || !self.is_wanted.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.start(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start(&self, waiting: &mut Option<Receiver<LogLine>>) -> io::Result<()> {
        if waiting.is_none() {
            return Ok(());
        }
        let (give, given) = sync_channel::<Receiver<LogLine>>(1);
        let writer = thread::Builder::new().name("log".into()).stack_size(128 * 1024);
        writer.spawn(move || given.recv().map(|lines| write_lines(&lines)))?;
        if let Some(lines) = waiting.take() {
            let _ = give.send(lines);
            self.is_started.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Hands each line to the writing thread, or drops it when that lags behind.
#[derive(Clone, Debug)]
struct LineQueue {
    lines: SyncSender<LogLine>,
    writer: Arc<LogWriter>,
    /// What each JSON line begins with: who speaks.
    about: Option<Arc<[u8]>>,
    /// Lines are coloured, by escape sequences.
    escapes: bool,
}

impl LineQueue {
    /// The line as it leaves: whatever others have sent, it is one line, and shows what it holds.
    fn harmless<'l>(&self, line: &'l [u8]) -> Cow<'l, [u8]> {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        if content.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
            return line.into();
        }
        let is_kept = |c: char| is_plain(c) || (self.escapes && c == '\u{1b}');
        let mut harmless = String::with_capacity(line.len());
        for character in String::from_utf8_lossy(content).chars() {
            match (is_kept(character), &self.about) {
                (true, _) => harmless.push(character),
                // JSON has a way to write every character.
                (false, Some(_)) => {
                    let units = character
                        .encode_utf16(&mut [0; 2])
                        .iter()
                        .map(|unit| format!("\\u{unit:04x}"))
                        .collect::<String>();
                    harmless.push_str(&units);
                }
                (false, None) => harmless.push('\u{fffd}'),
            }
        }
        harmless.push('\n');
        harmless.into_bytes().into()
    }
}

impl std::fmt::Debug for LogLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Write for LineQueue {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // The formatter hands over whole lines.
        let harmless = self.harmless(text);
        let line = match (&self.about, harmless.strip_prefix(b"{")) {
            (Some(about), Some(rest)) => [about, rest].concat(),
            _ => harmless.into_owned(),
        };
        // Where there is no room it is dropped.
        let _ = self.lines.try_send(LogLine::Text(line));
        self.writer.want();
        Ok(text.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str, json: bool, escapes: bool) -> String {
        let (lines, waiting) = sync_channel(1);
        let (writer, about) = (Arc::new(LogWriter::of(waiting)), json.then(|| Arc::from(b"{".as_slice())));
        let queue = LineQueue { lines, writer, about, escapes };
        String::from_utf8(queue.harmless(line.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn lines_that_wait_leave_together_whole_and_in_pieces_that_nothing_comes_between() {
        let (lines, waiting) = sync_channel(QUEUE);
        let line = |number: usize| format!("{number:>width$}\n", width = 10 + number).into_bytes();
        (0..200).for_each(|number| lines.try_send(LogLine::Text(line(number))).unwrap());
        lines.try_send(LogLine::Text(vec![b'x'; 2 * PIECE])).unwrap();
        lines.try_send(LogLine::End(sync_channel(1).0)).unwrap();
        let (mut next, mut pieces) = (waiting.recv().ok(), Vec::new());
        while let Some(LogLine::Text(text)) = next {
            let (text, then) = together(text, &waiting);
            pieces.push(text);
            next = then.or_else(|| waiting.try_recv().ok());
        }
        assert!(matches!(next, Some(LogLine::End(_))));
        assert_eq!(pieces.pop().map(|long| long.len()), Some(2 * PIECE), "a long line is a piece of its own");
        assert!(pieces.len() < 10 && pieces.iter().all(|piece| piece.len() <= PIECE && piece.ends_with(b"\n")));
        assert_eq!(pieces.concat(), (0..200).flat_map(line).collect::<Vec<u8>>());
    }

    #[test]
    fn a_line_is_one_line_and_shows_what_it_holds() {
        for hostile in ["\u{202e}", "\u{2066}", "\u{200b}", "\u{2028}", "\u{9b}", "\u{7f}", "\u{e0041}", "a\nb"] {
            let line = written(&format!("{{\"error\":\"{hostile}é\"}}\n"), true, false);
            assert!(line.strip_suffix('\n').unwrap().chars().all(is_plain), "{line:?}");
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["error"], format!("{hostile}é"), "nothing is lost");
        }
        assert_eq!(written("a\u{202e}b\u{1b}[1m\nc\n", false, false), "a\u{fffd}b\u{fffd}[1m\u{fffd}c\n");
        assert_eq!(written("\u{1b}[1mé\u{202e}\n", false, true), "\u{1b}[1mé\u{fffd}\n");
        assert_eq!(written("plain\n", false, false), "plain\n");
    }
}
