//! What holds for every file that is read as a configuration, whatever its bytes.

use std::io;
use std::path::Path;
use std::time::Duration;

use probelet::base::clock::Moment;
use probelet::config::diff::ConfigDiff;
use probelet::config::source::Environment;
use probelet::config::{Config, Loaded, read};
use probelet::metrics::{Format, Vitals, scrape};
use probelet::model::outcome::{Failure, FailureKind, Pass};
use probelet::model::verdict::{Endpoint, Judged, Verdict};
use probelet::scheduler::machine::Machine;
use probelet::scheduler::playback::{Playback, reading};

/// There is a configuration exactly when there is no error; every problem has a known code and lies in the file; it can
/// be shown; and a configuration can be run.
pub fn any_file(bytes: &[u8]) {
    let loaded = load(bytes);
    assert_eq!(loaded.config.is_some(), loaded.report.is_valid());
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    for diagnostic in loaded.report.diagnostics() {
        let problem = &diagnostic.problem;
        assert!(probelet::config::CODES.iter().any(|code| code.name == problem.code), "{problem:?}");
        let place = &problem.place;
        assert!(place.line >= 1 && place.column >= 1 && place.line as usize <= lines, "{problem:?}");
        assert!(!problem.message.contains('\n'), "{problem:?}");
    }
    let text = loaded.report.text(false);
    assert!(text.len() < 4 << 20, "{} bytes of report", text.len());
    drop((loaded.report.text(true), loaded.report.json().to_string(), loaded.report.first_error()));
    if let Some(config) = &loaded.config {
        runs(config);
        let again = load(bytes).config.expect("the same file gives the same");
        assert!(ConfigDiff::between(config, &again).keeps_every_check(), "a file differs from itself");
    }
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

/// Plays a few seconds of it, in which every other run fails, and judges what would be published.
fn runs(config: &Config) {
    if config.plan.checks.len() > 8 {
        return;
    }
    let start = Moment::at(Duration::from_secs(1000));
    let machine = Machine::new(std::sync::Arc::clone(&config.plan), "pod", reading(start));
    let mut run = 0;
    let world = move |_: usize, _: Moment| {
        run += 1;
        let result = match run % 2 {
            0 => Ok(Pass::default()),
            _ => Err(Failure::new(FailureKind::Connect, "connection refused")),
        };
        (result, Duration::from_millis(run % 7 * 100))
    };
    let vitals = Vitals::default();
    let mut playback = Playback::new(machine, world, start);
    playback.play_until(start + Duration::from_secs(3), |snapshot| {
        let judged = Judged::new(&snapshot, snapshot.at);
        for endpoint in Endpoint::ALL {
            let judgement = judged.endpoint(endpoint);
            assert_eq!(judgement.open, judgement.verdict != Verdict::Error, "{judgement:?}");
        }
    });
    let snapshot = playback.machine.snapshot(reading(playback.now()));
    let judged = Judged::new(&snapshot, playback.now());
    assert!(!scrape(&judged, &vitals, Format::Text).is_empty());
    assert!(scrape(&judged, &vitals, Format::OpenMetrics).ends_with(b"# EOF\n"));
}
