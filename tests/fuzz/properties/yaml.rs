//! What holds for every file that is read as a configuration, whatever its bytes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use probelet::base::clock::{Clock, Moment};
use probelet::config::diff::ConfigDiff;
use probelet::config::source::Environment;
use probelet::config::{Config, Loaded, read};
use probelet::metrics::{DaemonMetrics, ExpositionFormat, scrape};
use probelet::model::index::CheckIndex;
use probelet::model::outcome::{Failure, FailureKind, Pass};
use probelet::model::verdict::{Endpoint, Judged, Verdict};
use probelet::probe::heartbeat::Beats;
use probelet::probe::net::{Network, literal};
use probelet::probe::{BuildContext, RunContext, Spec};
use probelet::scheduler::machine::Machine;
use probelet::server::healthz_json;
use probelet::simulation::playback::{Playback, reading};

/// What expansions bring in that is never to be shown, as it is and as it stands in a URL.
const SECRETS: [&str; 4] = ["hunter2", "hun@ter/2", "hun%40ter%2F2", "ter/2"];

/// There is a configuration exactly when there is no error; every problem has a known code and lies in the file; and it
/// can be shown, without a secret.
pub fn any_file(bytes: &[u8]) {
    let loaded = load(bytes);
    assert_eq!(loaded.config.is_some(), loaded.report.is_valid());
    let secrets = secrets_not_in(bytes);
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    for diagnostic in loaded.report.diagnostics() {
        let problem = &diagnostic.problem;
        assert!(probelet::config::CODES.iter().any(|code| code.name == problem.code), "{problem:?}");
        let place = &problem.span;
        assert!(place.line >= 1 && place.column >= 1 && place.line as usize <= lines, "{problem:?}");
        assert!(!problem.message.contains('\n'), "{problem:?}");
        if is_of_a_kind(&place.path.text()) {
            shows_none(&secrets, &(&problem.message, &problem.help));
        }
    }
    let text = loaded.report.text(false);
    assert!(text.len() < 4 << 20, "{} bytes of report", text.len());
    drop((loaded.report.json().to_string(), loaded.report.first_error()));
}

/// The same file gives the same, and a configuration can be run without showing a secret.
pub fn any_plan(bytes: &[u8]) {
    let (loaded, again) = (load(bytes), load(bytes));
    assert_eq!(loaded.report.text(true), again.report.text(true), "a second reading finds something else");
    assert_eq!(loaded.report.json().to_string(), again.report.json().to_string());
    assert_eq!(loaded.files, again.files);
    let (Some(config), Some(again)) = (&loaded.config, &again.config) else { return };
    assert!(ConfigDiff::between(config, again).keeps_every_check(), "a file differs from itself");
    builds(config, &secrets_not_in(bytes));
    runs(config, again);
}

/// A file that spells a secret out may show it.
fn secrets_not_in(bytes: &[u8]) -> Vec<&'static str> {
    let spelt_out = String::from_utf8_lossy(bytes);
    SECRETS.into_iter().filter(|secret| !spelt_out.contains(secret)).collect()
}

/// Whether the path is of a value in the section of a kind that is no name, which may be shown.
fn is_of_a_kind(path: &str) -> bool {
    let Some((_, below)) = path.strip_prefix("checks[").and_then(|rest| rest.split_once("].")) else { return false };
    let section = below.split(['.', '[']).next().unwrap_or_default();
    probelet::probe::kind(section).is_some() && below != section && !below.ends_with(".name")
}

fn shows_none(secrets: &[&str], shown: &impl std::fmt::Debug) {
    let shown = format!("{shown:?}");
    assert!(!secrets.iter().any(|secret| shown.contains(secret)), "a secret is shown: {shown}");
}

fn load(bytes: &[u8]) -> Loaded {
    let environment = Environment::of([
        ("POD_NAME", "shop-0"),
        ("DATABASE_URL", "postgres://orders:hunter2@db:5432/orders"),
        ("PASSWORD", "hun@ter/2"),
        ("EMPTY", ""),
        ("INTERVAL", "5s"),
        ("NUMBER", "3"),
        ("FLAG", "false"),
    ]);
    let files = |path: &Path| match path.to_str() {
        Some("/run/secret") => Ok(b"hun@ter/2\n".to_vec()),
        Some("/run/binary") => Ok(vec![0xff, 0x00]),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    read("config.yaml", bytes, &environment, Box::new(files))
}

/// Builds the probe of every check, and runs those that have to find out first where to connect to: there are no names
/// in this world. Nothing that is shown holds a secret.
fn builds(config: &Config, secrets: &[&str]) {
    thread_local! {
        static WORLD: (tokio::runtime::Runtime, Arc<Network>) = {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let nowhere = |_| -> probelet::probe::BoxFuture<'static, _> {
                Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
            };
            (runtime, Arc::new(Network::resolving_with(nowhere)))
        };
    }
    WORLD.with(|(runtime, network)| {
        let _inside = runtime.enter();
        for (target, definition) in config.targets.iter().zip(&config.plan.checks) {
            let spec: &dyn Spec = &*target.spec;
            shows_none(secrets, &(spec, spec.target(), &definition.target));
            let context = BuildContext {
                check: definition.name.clone(),
                network: Arc::clone(network),
                clock: Clock::Machine,
                beats: Arc::new(Beats::default()),
            };
            let mut probe = spec.build(&context);
            let dials = ["http", "tcp", "postgres", "redis", "amqp"].contains(&definition.kind);
            if dials && spec.hosts().iter().any(|host| literal(host).is_none()) {
                let run = RunContext::default();
                let observed = runtime.block_on(tokio::time::timeout(Duration::from_secs(5), probe.observe(&run)));
                if let Ok(Err(failure)) = observed {
                    assert!(failure.message.chars().count() <= 200 && !failure.message.contains('\n'), "{failure:?}");
                    assert_ne!(failure.kind, FailureKind::Bug, "{failure:?}");
                    shows_none(secrets, &failure);
                }
            }
        }
    });
}

/// Plays a few seconds of it, in which every other run fails, there is a drain, and the file is read again; and judges
/// what would be published.
fn runs(config: &Config, again: &Config) {
    if config.plan.checks.len() > 8 {
        return;
    }
    let start = Moment::at(Duration::from_secs(1000));
    let machine = Machine::new(Arc::clone(&config.plan), "pod", reading(start));
    let mut run = 0;
    let world = move |_: CheckIndex, _: Moment| {
        run += 1;
        let result = match run % 2 {
            0 => Ok(Pass::default()),
            _ => Err(Failure::new(FailureKind::Connect, "connection refused")),
        };
        (result, Duration::from_millis(run % 7 * 100))
    };
    let daemon_metrics = DaemonMetrics::default();
    let mut playback = Playback::new(machine, world, start);
    for second in 1..=3 {
        playback.play_until(start + Duration::from_secs(second), |snapshot| {
            let judged = Judged::new(&snapshot, snapshot.at);
            for endpoint in Endpoint::ALL {
                let judgement = judged.endpoint(endpoint);
                assert_eq!(judgement.open, judgement.verdict != Verdict::Error, "{judgement:?}");
                assert!(!snapshot.draining || endpoint != Endpoint::Readyz || !judgement.open, "{judgement:?}");
            }
        });
        let now = reading(playback.now());
        match second {
            1 => {
                let before: Vec<_> = playback.machine.states().map(|(_, state)| state).collect();
                let origins = ConfigDiff::between(config, again).origins;
                playback.machine.reload(Arc::clone(&again.plan), &origins, now);
                let after: Vec<_> = playback.machine.states().map(|(_, state)| state).collect();
                assert_eq!(before, after, "reading the file again changes a state");
                playback.machine.jumped(now);
            }
            _ => playback.machine.set_draining(true),
        }
    }
    let now = reading(playback.now());
    let snapshot = playback.machine.snapshot(now);
    let judged = Judged::new(&snapshot, playback.now());
    assert!(!scrape(&judged, &daemon_metrics, ExpositionFormat::Text).is_empty());
    assert!(scrape(&judged, &daemon_metrics, ExpositionFormat::OpenMetrics).ends_with(b"# EOF\n"));
    let json: serde_json::Value = serde_json::from_slice(&healthz_json(&snapshot, now)).expect("JSON is JSON");
    assert_eq!(json["status"], "error", "a drain closes it");
    assert_eq!(
        json["checks"].as_array().map(Vec::len),
        Some(match config.plan.answers.details {
            probelet::model::plan::Details::None => 0,
            _ => config.plan.checks.len(),
        })
    );
}
