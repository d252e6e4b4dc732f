//! The decision matrix: what happens to a service, and what every endpoint says of it. The service declares its checks
//! the documented way: its own endpoint behind what it needs, its load as a figure of its readiness, the rest beside.

use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::fake::{Act, Fake, http};

/// The parts of a small world, each of which can be made to misbehave.
struct World {
    app: Fake,
    database: Fake,
    mandatory: Fake,
    leader: Fake,
    daemon: Daemon,
}

fn well() -> Act {
    Act::serve(|_, request| {
        let load = if request.starts_with("GET /ready") { r#"{"load":"normal"}"# } else { "" };
        Some(http(200, &[("Content-Type", "application/json")], load))
    })
}

fn overloaded() -> Act {
    Act::serve(|_, _| Some(http(200, &[("Content-Type", "application/json")], r#"{"load":"heavy"}"#)))
}

/// Answers after a while, as a server does that is busy.
fn slow() -> Act {
    Act::serve(|_, request| {
        std::thread::sleep(Duration::from_millis(120));
        let load = if request.starts_with("GET /ready") { r#"{"load":"normal"}"# } else { "" };
        Some(http(200, &[("Content-Type", "application/json")], load))
    })
}

impl World {
    async fn new(app: Act, min_free: &str) -> Self {
        let (app, database) = (Fake::start(app).await, Fake::start(well()).await);
        let (mandatory, leader) = (Fake::start(well()).await, Fake::start(well()).await);
        let config = format!(
            "
defaults: {{ interval: 200ms, timeout: 1s }}
server: {{ drain: 1h }}
checks:
  - name: database
    http: {{ url: \"http://{}/\" }}
    degraded_above: 100ms
  - name: mandatory_service
    http: {{ url: \"http://{}/\" }}
  - name: leader
    http: {{ url: \"http://{}/\" }}
  - name: volume
    disk: {{ path: /, min_free: {min_free} }}
  - name: app
    http: {{ url: \"http://{}/\" }}
    gates: [live]
    depends_on: [database, mandatory_service]
    failure_threshold: 2
    degraded_above: 100ms
  - name: app_load
    http: {{ url: \"http://{}/ready\", expect: {{ json: {{ /load: normal }} }} }}
    gates: [ready]
    depends_on: [app]
    degraded_above: 100ms
",
            database.address(),
            mandatory.address(),
            leader.address(),
            app.address(),
            app.address(),
        );
        let daemon = Daemon::start(&config).await;
        Self { app, database, mandatory, leader, daemon }
    }

    /// A world in which all is well, and has been seen to be.
    async fn at_work() -> Self {
        let world = Self::new(well(), "0%").await;
        world.becomes("200 200 200 true true 200").await;
        world
    }

    /// What `/livez /readyz /startupz /alive /ready /healthz` say.
    async fn says(&self) -> String {
        let mut words = Vec::new();
        for path in ["/livez", "/readyz", "/startupz", "/alive", "/ready", "/healthz"] {
            let reply = self.daemon.get(path).await;
            words.push(match path {
                "/alive" | "/ready" => {
                    let word = reply.json()[&path[1..]].clone();
                    assert_eq!(reply.status == 200, word == true, "{path}: {reply:?}");
                    word.to_string()
                }
                _ => reply.status.to_string(),
            });
        }
        words.join(" ")
    }

    /// Waits until the endpoints say this, and checks that they go on saying it.
    async fn becomes(&self, expected: &str) {
        let wait = async {
            while self.says().await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), wait).await.is_err() {
            let table = self.daemon.get("/healthz").await.body;
            panic!("it says {}, not {expected}\n{table}", self.says().await);
        }
        for _ in 0..10 {
            assert_eq!(self.says().await, expected, "{}", self.daemon.get("/healthz").await.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn is_degraded(&self) {
        let degraded = |reply: &crate::support::daemon::Reply| reply.header("x-health-status") == Some("degraded");
        let reply = self.daemon.until("/readyz", degraded).await;
        assert_eq!((reply.status, reply.header("x-envoy-degraded")), (200, Some("true")));
    }
}

//                                     livez readyz startupz alive ready healthz
const ALL_IS_WELL: &str = "200 200 200 true true 200";
const STARTING: &str = "200 503 503 false false 503";
const DEADLOCK: &str = "503 503 503 false false 503";
const ALIVE_NOT_READY: &str = "200 503 200 true false 503";

#[tokio::test(flavor = "multi_thread")]
async fn starting_up() {
    // It accepts, and does not answer yet: the first run is still going on.
    let world = World::new(Act::Silent, "0%").await;
    assert_eq!(world.says().await, STARTING);
    world.app.act(well()).await;
    world.becomes(ALL_IS_WELL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlock() {
    let world = World::at_work().await;
    world.app.act(Act::Silent).await;
    world.becomes(DEADLOCK).await;
    let body = world.daemon.get("/livez").await.body;
    assert!(body.ends_with("livez check failed: root cause app\n"), "{body}");
    world.app.act(well()).await;
    world.becomes(ALL_IS_WELL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_load() {
    let world = World::at_work().await;
    world.app.act(overloaded()).await;
    world.becomes(ALIVE_NOT_READY).await;
    let body = world.daemon.get("/readyz").await.body;
    assert!(body.ends_with("readyz check failed: root cause app_load\n"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn database_away() {
    let world = World::at_work().await;
    // The app fails because its database is away, and is a little later to come back.
    world.database.act(Act::Refuse).await;
    world.app.act(Act::Silent).await;
    world.becomes(ALIVE_NOT_READY).await;
    let body = world.daemon.get("/readyz").await.body;
    assert!(body.ends_with("readyz check failed: root cause database\n"), "{body}");
    world.database.act(well()).await;
    world.app.act(well()).await;
    world.becomes(ALL_IS_WELL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn database_back_and_the_app_still_broken() {
    let world = World::at_work().await;
    world.database.act(Act::Refuse).await;
    world.app.act(Act::Silent).await;
    world.becomes(ALIVE_NOT_READY).await;
    world.database.act(well()).await;
    world.becomes(DEADLOCK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mandatory_service_away() {
    let world = World::at_work().await;
    world.mandatory.act(Act::Answer(http(500, &[], ""))).await;
    world.becomes(ALIVE_NOT_READY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_unreachable() {
    let world = World::at_work().await;
    world.leader.act(Act::Refuse).await;
    world.becomes(ALIVE_NOT_READY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volume_full() {
    let world = World::new(well(), "100%").await;
    world.becomes(ALIVE_NOT_READY).await;
    let body = world.daemon.get("/readyz").await.body;
    assert!(body.ends_with("readyz check failed: root cause volume\n"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_from_the_service_or_the_database() {
    let world = World::at_work().await;
    world.app.act_without_cutting(slow());
    world.is_degraded().await;
    world.becomes(ALL_IS_WELL).await;
    // A slow answer that is under way still comes: to cut it would be a failure.
    world.app.act_without_cutting(well());
    world.database.act_without_cutting(slow());
    world.is_degraded().await;
    world.becomes(ALL_IS_WELL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining() {
    let world = World::at_work().await;
    world.daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await;
    world.becomes(ALIVE_NOT_READY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_broken_while_running_and_from_the_start() {
    let mut world = World::at_work().await;
    world.daemon.rewrite("checks: [");
    world.daemon.logs("cannot be used").await;
    world.becomes(ALL_IS_WELL).await;

    let folder = crate::support::certs::Folder::new();
    let path = folder.write("config.yaml", "checks: [");
    let daemon = Daemon::start_in(folder, path.into(), &["--config-error", "serve"], &[]).await;
    let world = World { daemon, ..world };
    world.becomes("200 503 200 true false 503").await;
}

/// The machine stands still: nothing is observed any more, and the last results grow old.
#[tokio::test(flavor = "multi_thread")]
async fn scheduler_stalled() {
    use std::sync::Arc;

    use probelet::base::clock::{Clock, Moment, Reading};
    use probelet::config::source::Environment;
    use probelet::model::outcome::{Observation, Outcome, Pass};
    use probelet::scheduler::machine::Machine;
    use probelet::server::{self, App, Control};

    struct Nobody;
    impl Control for Nobody {
        fn drain(&self) {}
        fn undrain(&self) -> bool {
            true
        }
        fn start_up(&self, _news: probelet::model::start_up::ContainerNews, _at: Moment) {}
        fn beat(&self, _check: &str, _beat: probelet::model::beat::Beat) -> bool {
            false
        }
    }

    let text = "checks:\n  - { name: app, simulated: {}, gates: [live, ready], stale_after: 1s }\n";
    let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let loaded = probelet::config::read("test", text.as_bytes(), &Environment::default(), Box::new(no_files));
    // The last run ended ten seconds ago, and nothing has happened since.
    let now = Clock::Machine.read();
    let then = Reading { moment: now.moment - Duration::from_secs(10), ..now };
    let mut machine = Machine::new(loaded.config.expect("it is valid").plan, "pod", then);
    let start = machine.due(then)[0];
    let ended = then.moment + Duration::from_millis(1);
    let pass = Observation {
        outcome: Outcome::Pass(Pass::default()),
        began: then.moment,
        ended,
        wall: then.wall,
        dialled: None,
    };
    machine.finished(start.key, pass, Reading { moment: ended, ..then });
    let (_recorder, board) = probelet::store::board(machine.snapshot(Reading { moment: ended, ..then }));
    let liveness = Arc::new(probelet::metrics::SchedulerLiveness::default());
    liveness.beat(Moment::at(ended.since_boot()));
    let keep = probelet::history::answer::Keep {
        retention: Duration::from_secs(86_400),
        max_size: 1 << 20,
        max_memory: 1 << 20,
    };
    let kept = probelet::history::Settings { path: None, keep, pod: None, boot: None };
    let history = probelet::history::History::start(kept, now.wall);
    let start_ups = Arc::new(server::StartUps::new(now.moment));
    let control = Box::new(Nobody);
    let app =
        App { board, clock: Clock::Machine, daemon_metrics: Arc::default(), liveness, history, start_ups, control };
    let listeners = server::bind(&[probelet::config::Listen::One(([127, 0, 0, 1], 0).into())]).expect("a free port");
    let address = listeners[0].local_addr().expect("it is bound");
    let serving = tokio::spawn(server::serve(listeners, Arc::new(app), std::future::pending()));

    let mut says = Vec::new();
    for path in ["/livez", "/readyz", "/startupz", "/alive", "/ready", "/healthz", "/-/healthy"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        says.push(crate::support::daemon::exchange(address, request.as_bytes()).await.status);
    }
    assert_eq!(says, [200, 503, 503, 200, 503, 503, 503], "not a stale green, and no restart for it");
    serving.abort();
}
