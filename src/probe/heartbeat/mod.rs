//! The kind `heartbeat`: the app proves that its main loop turns, by touching a file or by a request to the sidecar.
//!
//! The age of a beat is counted on the boot clock from when it was seen, so that neither a stepped wall clock nor a
//! file with a time of its own makes an app look alive; time in which the app slept with its machine does not count.
//! Before the first beat there is no verdict, for as long as one may take to come.

mod beats;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::beats::Beats;
use self::beats::{Sleep, Slot, TakenBeat};
use super::blocking::Blocking;
use super::{BoxFuture, BuildContext, Evidence, Probe, ProbeKind, RunContext, Spec};
use crate::base::clock::{Clock, Moment};
use crate::base::field::{Field, ValueType};
use crate::base::quantity::show_duration;
use crate::base::redact;
use crate::base::token::Token;
use crate::base::trace::Phase;
use crate::base::value::Section;
use crate::model::beat::{Beat, BeatStatus};
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::probe::exhausted;

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "heartbeat",
    doc: "The app proves that its main loop turns: it touches a file, or sends `PUT /v1/heartbeats/<check>`.",
    fields: FIELDS,
    read,
    component_type: "component",
    bare_tcp: None,
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::optional("file", ValueType::Text, "A change of this file's modification time is a beat."),
    Field::with_default(
        "push",
        ValueType::Bool,
        "false",
        "The beat is `PUT /v1/heartbeats/<check>` from the same pod, for a check: no step of a workflow can have it. A body \
         is optional, at most 1 KiB: \
         `{\"status\": \"ok\"|\"degraded\"|\"error\", \"message\": \"…\"}`. `degraded` is a degraded pass, `error` a failure. \
         The first beat, `degraded`, `error`, and `ok` after one of these or after `max_age` count at once, not at the \
         next run, at most once a second; of what is said within one second the last word counts. A restart of the \
         sidecar's container remembers a beat that said `ok` if the daemon had a second to save it.",
    ),
    Field::optional(
        "token",
        ValueType::Text,
        "With `push`: a beat with `Authorization: Bearer <token>` is taken from anywhere, also from a cron job or another \
         host: `${file:/run/secrets/beat}`. Without that header it still has to come from this pod.",
    ),
    Field::required(
        "max_age",
        ValueType::Duration { min: Duration::from_millis(100) },
        "No beat for this long is a failure. Before the first beat the check is pending, and fails after this time from \
         the daemon's start.",
    ),
];

#[derive(Debug)]
struct Heartbeat {
    /// Nothing where beats are pushed.
    file: Option<PathBuf>,
    target: Option<String>,
    max_age: Duration,
    /// With what a beat is taken from anywhere.
    token: Option<Token>,
}

fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    let file = fields.text("file");
    let push = fields.flag("push").unwrap_or(false);
    if file.is_some() == push {
        let (key, message) = if push {
            ("push", "both `file` and `push` are given")
        } else {
            ("file", "neither `file` nor `push` is given")
        };
        fields.error(key, "invalid-value", message, Some("write one: `file: /run/app/alive` or `push: true`".into()));
        return None;
    }
    let path = file.and_then(crate::base::value::Text::fixed);
    if path.as_deref() == Some("") {
        fields.error("file", "invalid-value", "the path is empty", Some("write it as `/run/app/alive`".into()));
        return None;
    }
    Some(Box::new(Heartbeat {
        file: path.map(PathBuf::from),
        target: file.map(|file| redact::target(&file.written)),
        max_age: fields.duration("max_age")?,
        token: token(fields, push)?,
    }))
}

/// The token of pushed beats, if there is one; nothing where it cannot be one.
fn token(fields: &Section, push: bool) -> Option<Option<Token>> {
    let Some(text) = fields.text("token") else { return Some(None) };
    let token = text.fixed()?;
    let (message, help) = if !push {
        ("a token is for beats that are pushed".to_owned(), "write `push: true`, or remove the token")
    } else if let Some(flaw) = Token::flaw(&token) {
        (format!("the token {flaw}"), Token::HELP)
    } else {
        return Some(Some(Token::new(&token)));
    };
    fields.error("token", "invalid-value", message, Some(help.into()));
    None
}

impl Spec for Heartbeat {
    fn target(&self) -> Option<String> {
        self.target.clone()
    }

    fn max_age(&self) -> Duration {
        self.max_age
    }

    fn verdict_takes(&self) -> Evidence {
        if self.file.is_some() { Evidence::SeveralRuns } else { Evidence::Daemon }
    }

    fn beat_token(&self) -> Option<Token> {
        self.token
    }

    fn build(&self, context: &BuildContext) -> Box<dyn Probe> {
        let source = match &self.file {
            Some(path) => BeatSource::File(WatchedFile {
                path: path.clone(),
                looked: Blocking::default(),
                looked_at: None,
                found: None,
                modified: None,
            }),
            None => BeatSource::Push(context.beats.register(context.check.as_str(), self.max_age)),
        };
        let started = context.clock.now();
        Box::new(HeartbeatProbe {
            source,
            max_age: self.max_age,
            clock: context.clock,
            started,
            beats: Arc::clone(&context.beats),
            sleep: context.beats.sleep(),
            last: None,
            as_of: None,
        })
    }
}

struct HeartbeatProbe {
    source: BeatSource,
    max_age: Duration,
    clock: Clock,
    started: Moment,
    beats: Arc<Beats>,
    /// What is known of the app's sleep: `started`, and the last beat of a file, are no older for it.
    sleep: Sleep,
    /// The last beat, and when it was seen.
    last: Option<TakenBeat>,
    /// The earliest moment at which it can have been.
    as_of: Option<Moment>,
}

enum BeatSource {
    File(WatchedFile),
    Push(Arc<Slot>),
}

struct WatchedFile {
    path: PathBuf,
    looked: Blocking<io::Result<FileLook>>,
    /// When the last look began.
    looked_at: Option<Moment>,
    /// What the last look found. Nothing before the first: the time that a file has then may be from another life of the
    /// app, and is no beat.
    found: Option<FileLook>,
    /// The modification time that was seen last. A file that goes and comes back with it has not changed.
    modified: Option<SystemTime>,
}

/// What a look at the file finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileLook {
    Modified(SystemTime),
    NoFile,
    NoFolder,
}

impl FileLook {
    /// Looks at the file at `path`. It blocks.
    fn at(path: &Path) -> io::Result<Self> {
        match std::fs::metadata(path).and_then(|metadata| metadata.modified()) {
            Ok(time) => Ok(Self::Modified(time)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let has_folder = path.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.exists());
                Ok(if has_folder { Self::NoFile } else { Self::NoFolder })
            }
            Err(error) => Err(error),
        }
    }
}

impl Probe for HeartbeatProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            self.wake();
            match &mut self.source {
                BeatSource::Push(slot) => {
                    self.last = slot.look();
                    self.as_of = self.last.as_ref().map(|last| last.came);
                }
                BeatSource::File(watched) => {
                    run.trace.enter(Phase::Disk);
                    let last_look = watched.looked_at.replace(self.clock.now());
                    if watched.has_changed().await? {
                        self.last = Some(TakenBeat::new(self.clock.now(), Beat::default()));
                        self.as_of = last_look;
                    }
                }
            }
            let obstacle = self.source.obstacle();
            judge(self.last.as_ref(), self.started, self.clock.now(), self.max_age, obstacle)
                .map(|pass| Pass { as_of: self.as_of, ..pass })
        })
    }
}

impl HeartbeatProbe {
    /// What the app slept since the last look makes nothing older.
    fn wake(&mut self) {
        let sleep = self.beats.sleep();
        let before = std::mem::replace(&mut self.sleep, sleep);
        self.started = sleep.excuse(before, self.started);
        if let Some(last) = &mut self.last {
            last.at = sleep.excuse(before, last.at);
        }
    }
}

impl WatchedFile {
    async fn has_changed(&mut self) -> Result<bool, Failure> {
        let path = self.path.clone();
        let found = match self.looked.call("heartbeat", move || FileLook::at(&path)).await? {
            Ok(found) => found,
            Err(error) if let Some(used_up) = exhausted::of_io(&error) => return Err(used_up),
            Err(error) => {
                let message = format!("the time of the file cannot be read: {}", error.kind());
                return Err(Failure::new(FailureKind::Mismatch, message));
            }
        };
        let is_first_look = self.found.replace(found).is_none();
        let FileLook::Modified(time) = found else { return Ok(false) };
        Ok(self.modified.replace(time) != Some(time) && !is_first_look)
    }
}

impl BeatSource {
    /// What keeps a first beat from being seen, as the end of a message.
    fn obstacle(&self) -> &'static str {
        match self {
            Self::File(WatchedFile { found: Some(FileLook::NoFile), .. }) => ": there is no such file",
            Self::File(WatchedFile { found: Some(FileLook::NoFolder), .. }) => {
                ": there is no such file, nor its folder"
            }
            _ => "",
        }
    }
}

/// An old beat is none, whatever the app said with it.
fn judge(last: Option<&TakenBeat>, started: Moment, now: Moment, max_age: Duration, obstacle: &str) -> ProbeResult {
    let age = now.since(last.map_or(started, |last| last.at));
    let shown = show_duration(age);
    match (last, age > max_age) {
        (Some(TakenBeat { beat, .. }), false) => said(beat, &shown),
        (None, false) => {
            Err(Failure::new(FailureKind::Void, format!("no beat yet, {shown} after the start{obstacle}")))
        }
        (Some(_), true) => {
            let message = format!("no beat for {shown}, more than {}", show_duration(max_age));
            Err(Failure::new(FailureKind::Mismatch, message))
        }
        (None, true) => {
            Err(Failure::new(FailureKind::Mismatch, format!("no beat since the start {shown} ago{obstacle}")))
        }
    }
}

/// What the app said of itself `ago`.
fn said(Beat { status, message }: &Beat, ago: &str) -> ProbeResult {
    let more = message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    match status {
        BeatStatus::Ok => Ok(Pass::saying(format!("last beat {ago} ago{more}"))),
        BeatStatus::Degraded => {
            Ok(Pass { degraded: true, ..Pass::saying(format!("the app said degraded {ago} ago{more}")) })
        }
        BeatStatus::Error => Err(Failure::new(FailureKind::Mismatch, format!("the app said error {ago} ago{more}"))),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Heartbeats for the tests of the floors above.

    use super::*;

    /// Beats that are pushed.
    pub(crate) fn pushed(max_age: Duration) -> impl Spec {
        Heartbeat { file: None, target: None, max_age, token: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::CheckName;

    fn context(clock: Clock) -> BuildContext {
        let check = CheckName::new("main_loop").unwrap();
        BuildContext { check, network: Arc::default(), clock, beats: Arc::default() }
    }

    fn spec(file: Option<PathBuf>) -> Heartbeat {
        Heartbeat { file, target: None, max_age: Duration::from_secs(30), token: None }
    }

    async fn says(probe: &mut dyn Probe) -> String {
        match probe.observe(&RunContext::default()).await {
            Ok(pass) => pass.message.unwrap(),
            Err(failure) => format!("{}: {}", failure.kind.label(), failure.message),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pushed_beats_age_from_when_they_came() {
        let clock = Clock::tokio();
        let context = context(clock);
        let mut probe = spec(None).build(&context);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(says(probe.as_mut()).await, "void: no beat yet, 10s after the start");
        tokio::time::advance(Duration::from_secs(21)).await;
        assert_eq!(says(probe.as_mut()).await, "mismatch: no beat since the start 31s ago");
        assert!(context.beats.beat("main_loop", Beat::default(), clock.now()));
        tokio::time::advance(Duration::from_secs(12)).await;
        assert_eq!(says(probe.as_mut()).await, "last beat 12s ago");
        tokio::time::advance(Duration::from_secs(35)).await;
        assert_eq!(says(probe.as_mut()).await, "mismatch: no beat for 47s, more than 30s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_app_says_of_itself_counts_until_it_says_something_else_or_nothing_any_more() {
        let clock = Clock::tokio();
        let context = context(clock);
        let mut probe = spec(None).build(&context);
        let beat = |status, message: &str| {
            let message = Some(message.to_owned()).filter(|message| !message.is_empty());
            assert!(context.beats.beat("main_loop", Beat { status, message }, clock.now()));
        };
        beat(BeatStatus::Degraded, "queue is long");
        tokio::time::advance(Duration::from_secs(3)).await;
        let pass = probe.observe(&RunContext::default()).await.unwrap();
        assert_eq!(
            (pass.degraded, pass.message.as_deref()),
            (true, Some("the app said degraded 3s ago: queue is long"))
        );
        assert!(context.beats.last().is_empty(), "after a restart it would be a beat that all is well");
        beat(BeatStatus::Error, "");
        assert_eq!(says(probe.as_mut()).await, "mismatch: the app said error 0ms ago");
        assert!(context.beats.last().is_empty(), "no sign of life to remember");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(says(probe.as_mut()).await, "mismatch: no beat for 31s, more than 30s");
        beat(BeatStatus::Ok, "warm");
        assert_eq!(says(probe.as_mut()).await, "last beat 0ms ago: warm");
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_from_before_a_restart_counts_until_there_is_a_newer_one() {
        let clock = Clock::tokio();
        let context = context(clock);
        tokio::time::advance(Duration::from_secs(100)).await;
        context.beats.restore("main_loop", clock.now() - Duration::from_secs(7));
        assert_eq!(context.beats.last(), [("main_loop".to_owned(), Moment::at(Duration::from_secs(93)))]);
        let mut probe = spec(None).build(&context);
        assert_eq!(says(probe.as_mut()).await, "last beat 7s ago");
        assert!(context.beats.beat("main_loop", Beat::default(), clock.now()));
        context.beats.restore("main_loop", clock.now() - Duration::from_secs(7));
        assert_eq!(says(probe.as_mut()).await, "last beat 0ms ago");
        assert_eq!(context.beats.last(), [("main_loop".to_owned(), Moment::at(Duration::from_secs(100)))]);
    }

    fn touch(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_file_s_time_is_a_beat_and_its_first_sight_is_none() {
        let path = std::env::temp_dir().join(format!("probelet-heartbeat-{}", std::process::id()));
        touch(&path, 2_000);
        let mut probe = spec(Some(path.clone())).build(&context(Clock::tokio()));
        assert_eq!(says(probe.as_mut()).await, "void: no beat yet, 0ms after the start");
        touch(&path, 1_000);
        assert_eq!(says(probe.as_mut()).await, "last beat 0ms ago", "also when the time goes back");
        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(says(probe.as_mut()).await, "last beat 1s ago", "the file is gone, the beat was");
        touch(&path, 1_000);
        assert_eq!(says(probe.as_mut()).await, "last beat 1s ago", "it is back, and nobody touched it");
        std::fs::remove_file(&path).unwrap();
        says(probe.as_mut()).await;
        touch(&path, 3_000);
        assert_eq!(says(probe.as_mut()).await, "last beat 0ms ago");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_whose_time_could_not_be_read_for_a_while_has_not_changed_by_that() {
        let folder = std::env::temp_dir().join(format!("probelet-heartbeat-moved-{}", std::process::id()));
        let moved = folder.with_extension("away");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("alive");
        touch(&path, 1_000);
        let mut probe = spec(Some(path.clone())).build(&context(Clock::tokio()));
        says(probe.as_mut()).await;
        tokio::time::advance(Duration::from_secs(31)).await;
        std::fs::rename(&folder, &moved).unwrap();
        assert_eq!(
            says(probe.as_mut()).await,
            "mismatch: no beat since the start 31s ago: there is no such file, nor its folder"
        );
        std::fs::write(&folder, "").unwrap();
        assert_eq!(says(probe.as_mut()).await, "mismatch: the time of the file cannot be read: not a directory");
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&moved, &folder).unwrap();
        assert_eq!(says(probe.as_mut()).await, "mismatch: no beat since the start 31s ago");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_was_never_there_is_said_to_be_missing_until_it_beats() {
        let path = std::env::temp_dir().join(format!("probelet-heartbeat-never-{}", std::process::id()));
        let mut probe = spec(Some(path.clone())).build(&context(Clock::tokio()));
        assert_eq!(says(probe.as_mut()).await, "void: no beat yet, 0ms after the start: there is no such file");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(says(probe.as_mut()).await, "mismatch: no beat since the start 31s ago: there is no such file");
        touch(&path, 1_000);
        assert_eq!(says(probe.as_mut()).await, "last beat 0ms ago", "it was made: that is a change");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_app_slept_makes_neither_a_file_s_beat_nor_the_wait_for_a_first_one_older() {
        let path = std::env::temp_dir().join(format!("probelet-heartbeat-slept-{}", std::process::id()));
        touch(&path, 1_000);
        let clock = Clock::tokio();
        let context = context(clock);
        let (mut file, mut push) = (spec(Some(path.clone())).build(&context), spec(None).build(&context));
        assert_eq!(says(file.as_mut()).await, "void: no beat yet, 0ms after the start");
        touch(&path, 2_000);
        assert_eq!(says(file.as_mut()).await, "last beat 0ms ago");
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::advance(Duration::from_secs(3600)).await;
        context.beats.add_sleep(Duration::from_secs(3600), clock.now());
        tokio::time::advance(Duration::from_secs(5)).await;
        context.beats.add_sleep(Duration::ZERO, clock.now());
        assert_eq!(says(file.as_mut()).await, "last beat 15s ago");
        assert_eq!(says(push.as_mut()).await, "void: no beat yet, 15s after the start");
        tokio::time::advance(Duration::from_secs(16)).await;
        assert_eq!(says(file.as_mut()).await, "mismatch: no beat for 31s, more than 30s");
        assert_eq!(says(push.as_mut()).await, "mismatch: no beat since the start 31s ago");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_that_is_no_older_for_a_sleep_came_no_later() {
        let clock = Clock::tokio();
        let context = context(clock);
        let mut probe = spec(None).build(&context);
        let came = clock.now();
        assert!(context.beats.beat("main_loop", Beat::default(), came));
        tokio::time::advance(Duration::from_secs(3600)).await;
        context.beats.excuse(Duration::from_secs(3600), clock.now());
        assert_eq!(probe.observe(&RunContext::default()).await.unwrap().as_of, Some(came));
    }
}
