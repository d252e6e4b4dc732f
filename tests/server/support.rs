//! A server on a free loopback port, in a thread of its own, with a snapshot made by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use probelet::base::clock::{Clock, Moment, Timestamp};
use probelet::base::lane;
use probelet::base::name::CheckName;
use probelet::config::{Listen, Listener};
use probelet::history::answer::Keep;
use probelet::history::{History, Settings};
use probelet::metrics::{DaemonMetrics, SchedulerLiveness};
use probelet::model::beat::{Beat, BeatStatus};
use probelet::model::outcome::Facts;
use probelet::model::plan::{Answers, Definition, Plan, Service};
use probelet::model::snapshot::{Configuration, Snapshot};
use probelet::model::start_up::{ContainerNews, StartUp};
use probelet::model::state::{CheckState, LastRun, OutcomeKind, State};
use probelet::server::{App, BoundListener, Control, StartUps, bind, serve, serve_on_one_thread};
use probelet::store::{Recorder, board};
use tokio::sync::oneshot;

use crate::meter::{Held, held};

/// A running server; it ends when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub recorder: Recorder,
    pub told: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Option<Held>>>,
}

/// Which lanes a server has, and whether that of the gates is measured.
enum Lanes {
    AsInTheDaemon,
    Measured,
    OneMeasured,
}

fn some<T>((served, held): (T, Held)) -> (T, Option<Held>) {
    (served, Some(held))
}

struct Teller(Arc<Mutex<Vec<String>>>);

/// A beat as it was told: its check, and what the app says of itself where it says something.
fn told_of(check: &str, beat: &Beat) -> String {
    match (beat.status, &beat.message) {
        (BeatStatus::Ok, None) => format!("beat {check}"),
        (status, message) => format!("beat {check} {}: {}", status.label(), message.as_deref().unwrap_or_default()),
    }
}

impl Control for Teller {
    fn start_up(&self, _news: ContainerNews, _at: Moment) {}

    fn drain(&self) {
        self.0.lock().unwrap().push("drain".into());
    }

    fn undrain(&self) -> bool {
        self.0.lock().unwrap().push("undrain".into());
        true
    }

    fn beat(&self, check: &str, beat: Beat) -> bool {
        self.0.lock().unwrap().push(told_of(check, &beat));
        true
    }
}

impl Server {
    /// A server of `snapshot` on 127.0.0.1.
    pub fn of(snapshot: Snapshot) -> Self {
        Self::listening(Listen::One("127.0.0.1:0".parse().unwrap()), snapshot)
    }

    pub fn listening(listen: impl Into<Listener>, snapshot: Snapshot) -> Self {
        Self::on(bind(&[listen.into()]).unwrap(), snapshot, Lanes::AsInTheDaemon)
    }

    /// The same, where [`end`](Self::end) tells how long the lane of the gates was held.
    pub fn measured(snapshot: Snapshot) -> Self {
        Self::on(bind(&[Listen::One("127.0.0.1:0".parse().unwrap())]).unwrap(), snapshot, Lanes::Measured)
    }

    /// The same without a lane for long answers.
    pub fn measured_on_one_thread(snapshot: Snapshot) -> Self {
        Self::on(bind(&[Listen::One("127.0.0.1:0".parse().unwrap())]).unwrap(), snapshot, Lanes::OneMeasured)
    }

    /// The same, where the system keeps little of what is written and not yet read.
    pub fn with_small_buffers(snapshot: Snapshot) -> Self {
        let listeners = bind(&[Listen::One("127.0.0.1:0".parse().unwrap())]).unwrap();
        // A connection has them of its listener.
        rustix::net::sockopt::set_socket_send_buffer_size(&listeners[0], 8192).unwrap();
        Self::on(listeners, snapshot, Lanes::AsInTheDaemon)
    }

    fn on(listeners: Vec<BoundListener>, snapshot: Snapshot, lanes: Lanes) -> Self {
        let address = listeners[0].local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (app, recorder) = app(snapshot, Clock::Machine, Arc::clone(&told));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = lane::runtime().unwrap();
            let stopped = async { drop(stopped.await) };
            let (served, held) = match lanes {
                Lanes::AsInTheDaemon => (runtime.block_on(serve(listeners, app, stopped)), None),
                Lanes::Measured => some(runtime.block_on(held(serve(listeners, app, stopped)))),
                Lanes::OneMeasured => some(runtime.block_on(held(serve_on_one_thread(listeners, app, stopped)))),
            };
            served.unwrap();
            held
        });
        Self { address, recorder, told, stop: Some(stop), thread: Some(thread) }
    }

    /// Connects to it. Nothing waits for it without end.
    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Sends `request` and reads until the server closes.
    pub fn talk(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        rest(&mut stream)
    }

    /// Sends `request` and reads the head of the answer.
    pub fn head(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    }

    /// `GET path` on a connection of its own: the status line's code and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        parts(&self.talk(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")))
    }

    /// Asks the server to end and waits until it has.
    pub fn end(&mut self) -> Option<Held> {
        drop(self.stop.take());
        self.thread.take().and_then(|thread| thread.join().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn app(snapshot: Snapshot, clock: Clock, told: Arc<Mutex<Vec<String>>>) -> (Arc<App>, Recorder) {
    let (recorder, board) = board(snapshot);
    let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };
    let app = App {
        board,
        clock,
        daemon_metrics: Arc::new(DaemonMetrics::default()),
        history: History::start(Settings { path: None, keep, pod: None, boot: None }, clock.read().wall),
        liveness: Arc::new(SchedulerLiveness::default()),
        start_ups: Arc::new(StartUps::new(Moment::default())),
        control: Box::new(Teller(told)),
    };
    (Arc::new(app), recorder)
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    // An answer may have to wait for others that are made before it and that nobody takes.
    stream.set_read_timeout(Some(Duration::from_secs(240))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Reads until the server closes.
pub fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("the server closes in time");
    String::from_utf8(text).unwrap()
}

/// Reads one answer with a `Content-Length`.
pub fn one(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    let length = header(std::str::from_utf8(&text).unwrap(), "content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8([text, body].concat()).unwrap()
}

/// The code and the body of an answer.
pub fn parts(answer: &str) -> (u16, String) {
    let code = answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap();
    (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// The value of a header.
pub fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// An answer without its date.
pub fn undated(answer: &str) -> String {
    let date = header(answer, "date").map(|date| format!("date: {date}\r\n")).unwrap_or_default();
    answer.replace(&date, "")
}

pub fn definition(name: &str) -> Definition {
    let name = CheckName::new(name).unwrap();
    Definition { stale_after: Duration::from_secs(3600), ..Definition::simulated(name) }
}

/// A check that has just passed or failed.
pub fn state(state: State, message: &str) -> CheckState {
    let now = Clock::Machine.read();
    let outcome = if state == State::Error { OutcomeKind::Fail } else { OutcomeKind::Pass };
    CheckState {
        state,
        since: now.moment,
        since_wall: now.wall,
        passes: 0,
        failures: 0,
        last: Some(Arc::new(LastRun {
            outcome,
            reason: None,
            message: message.into(),
            at: now.moment,
            wall: now.wall,
            began: now.moment,
            took: Some(Duration::from_millis(1)),
            facts: Facts::default(),
        })),
        no_verdict: None,
        fresh_at: Some(now.moment),
        held: false,
        passed_once: true,
        seen_once: true,
        unproven: false,
        recovery: None,
        probation: None,
        counters: Arc::default(),
    }
}

pub fn snapshot(checks: Vec<(Definition, CheckState)>) -> Snapshot {
    let (definitions, states): (Vec<_>, Vec<_>) = checks.into_iter().unzip();
    Snapshot {
        generation: 1,
        at: Moment::default(),
        wall: Timestamp::default(),
        plan: Arc::new(Plan {
            service: Service { name: "shop".into(), instance: "shop-0".into(), ..Service::default() },
            answers: Answers::default(),
            checks: definitions.into_iter().map(Arc::new).collect(),
            disabled: Vec::new(),
            hash: None,
        }),
        checks: states.into_iter().map(Arc::new).collect(),
        draining: false,
        ready_once: false,
        start_up: StartUp::default(),
        configuration: Configuration::default(),
        endpoint_transitions: Default::default(),
    }
}

/// One check that passes, one that worries.
pub fn worried() -> Snapshot {
    snapshot(vec![
        (definition("internal_api/user"), state(State::Ok, "fine")),
        (definition("cache"), state(State::Degraded, "slow")),
    ])
}

/// One check that fails.
pub fn ill() -> Snapshot {
    snapshot(vec![(definition("db"), state(State::Error, "connection refused"))])
}
