//! Configurations from standard input, and inside of manifests.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::command::{Config, Run, probelet, run, runs};

const SHOP: &str = "apiVersion: v1
kind: ConfigMap
metadata: { name: shop }
data:
  config.yaml: |
    checks:
      - name: cache
        simulated: { ok_message: Redis is connected }
---
apiVersion: v1
kind: Pod
metadata: { name: shop }
spec:
  containers:
    - name: app
      readinessProbe: { httpGet: { path: /readyz, port: 10240 } }
";

/// Runs `probelet` with `file` as its standard input.
fn fed(file: &Path, arguments: &[&str]) -> Run {
    let mut command = probelet(arguments);
    command.stdin(File::open(file).expect("the file is there"));
    run(command)
}

#[test]
fn a_manifest_is_taken_for_the_configuration_in_it_by_every_command() {
    let shop = Config::of(SHOP);
    let path = Path::new(shop.path());
    let validated = fed(path, &["validate", "--config", "-"]);
    assert_eq!(
        (validated.code, validated.stdout.as_str()),
        (0, "standard input (ConfigMap shop, data.config.yaml) is valid\n")
    );
    let once = fed(path, &["once", "--config", "-", "--format", "json"]);
    assert!(once.code == 0 && once.stdout.contains("Redis is connected"), "{once:?}");
    let wait = fed(path, &["wait", "--config", "-", "--check", "cache"]);
    assert!(wait.code == 0 && wait.stdout.starts_with("cache passes after "), "{wait:?}");
    let alone = fed(Path::new(Config::of("checks: [{ nam: a }]\n").path()), &["once", "--config", "-"]);
    assert!(alone.code == 2 && alone.stderr.contains("--> standard input:1:12\n"), "{alone:?}");
}

#[test]
fn explain_and_simulate_find_the_pod_in_the_same_stream() {
    let shop = Config::of(SHOP);
    let path = Path::new(shop.path());
    let explained = fed(path, &["explain", "--config", "-"]);
    assert_eq!((explained.code, explained.stderr.as_str()), (0, ""));
    assert_eq!(explained.stdout, shop.runs("explain", &["--pod", shop.path()]).stdout);
    assert_eq!(explained, fed(path, &["explain", "--config", "-", "--pod", "-"]));

    let scenario = Config::of("for: 1m\nfaults: [{ check: cache, from: 10s, to: 50s, outcome: fail }]\n");
    let played = fed(path, &["simulate", "--config", "-", "--scenario", scenario.path()]);
    assert_eq!((played.code, played.stderr.as_str()), (0, ""));
    assert_eq!(played.stdout, shop.runs("simulate", &["--scenario", scenario.path(), "--pod", shop.path()]).stdout);
    assert!(played.stdout.contains("kubelet"), "{}", played.stdout);
}

#[test]
fn a_configuration_alone_has_no_pod_beside_it() {
    let alone = Config::of("checks: [{ name: a, simulated: {} }]\n");
    let explained = fed(&PathBuf::from(alone.path()), &["explain", "--config", "-"]);
    assert_eq!(explained, alone.runs("explain", &[]));
    let refused = fed(&PathBuf::from(alone.path()), &["explain", "--config", "-", "--pod", "-"]);
    assert_eq!((refused.code, refused.stderr.lines().next()), (2, Some("error: standard input holds no pod")));
}

#[test]
fn a_variable_that_is_empty_is_as_one_that_is_not_set() {
    for arguments in [&["validate"][..], &["explain"], &["once"], &["run"], &["ask", "--url=http://127.0.0.1:1"]] {
        let mut with = probelet(arguments);
        for name in ["PROBELET_CONFIG", "PROBELET_URL", "PROBELET_STATE", "PROBELET_TOKEN"] {
            with.env(name, "");
        }
        assert_eq!(run(with), runs(arguments), "{arguments:?}");
    }
}

#[test]
fn a_variable_that_is_no_text_is_an_error_that_names_it() {
    let config = Config::of("checks: []\n");
    let (file, scenario) = (["-c", config.path()], ["-s", config.path()]);
    let cases: [(&str, &[&[&str]]); 4] = [
        (
            "PROBELET_CONFIG",
            &[
                &["validate"],
                &["once"],
                &["wait"],
                &["explain"],
                &["run"],
                &["ask"],
                &["simulate", scenario[0], scenario[1]],
            ],
        ),
        ("PROBELET_STATE", &[&["run", file[0], file[1]]]),
        ("PROBELET_URL", &[&["ask"], &["drain"]]),
        ("PROBELET_TOKEN", &[&["ask"], &["drain"], &["wait", "--url=http://127.0.0.1:1"]]),
    ];
    for (name, commands) in cases {
        for arguments in commands {
            let mut command = probelet(arguments);
            command.env(name, OsStr::from_bytes(b"\xff"));
            let stderr = format!("error: ${name} is not UTF-8 text\n  help: set it to text, or unset it\n");
            assert_eq!(run(command), Run { code: 2, stdout: String::new(), stderr }, "{arguments:?}");
        }
    }
    // What is not asked for is not looked at.
    let mut named = config.command("validate", &[]);
    named.env("PROBELET_CONFIG", OsStr::from_bytes(b"\xff"));
    assert_eq!(run(named).code, 0);
    let url = "--url=http://127.0.0.1:1";
    for arguments in [&["ask", url][..], &["drain", url], &["wait", url, "--timeout=10ms"]] {
        let mut named = probelet(arguments);
        named.env("PROBELET_CONFIG", OsStr::from_bytes(b"\xff"));
        let timeless = |run: Run| (run.code, run.stdout, run.stderr.lines().next().map(str::to_owned));
        assert_eq!(timeless(run(named)), timeless(runs(arguments)), "{arguments:?}");
    }
}

#[test]
fn a_rendered_chart_may_be_larger_than_a_configuration() {
    let definitions = format!("apiVersion: v1\nkind: Secret\ndata: {{ a: {} }}\n---\n", "x".repeat(2 << 20));
    let (shop, chart) = (Config::of(SHOP), Config::of(&(definitions + SHOP)));
    let path = Path::new(chart.path());
    let scenario = Config::of("for: 1m\nfaults: [{ check: cache, from: 10s, to: 50s, outcome: fail }]\n");
    let commands =
        [&["validate"][..], &["explain"], &["simulate", "--scenario", scenario.path()], &["once", "--format=junit"]];
    for arguments in commands {
        let arguments = [arguments, &["--config", "-"]].concat();
        let (alone, all) = (fed(Path::new(shop.path()), &arguments), fed(path, &arguments));
        if arguments[0] == "once" {
            assert_eq!((all.code, alone.code), (0, 0), "{}", all.stderr);
        } else {
            assert_eq!(all, alone);
        }
    }
    let explained = shop.runs("explain", &["--pod", chart.path()]);
    assert_eq!(explained, shop.runs("explain", &["--pod", shop.path()]));
}

#[test]
fn the_scenario_cannot_come_from_the_stream_of_the_configuration_or_the_pod() {
    let config = Config::of("checks: [{ name: cache, simulated: {} }]\n");
    let path = Path::new(config.path());
    let refused = |option: &str, stream: &str| {
        format!(
            "error: {stream} is named by --scenario and by {option}, and can be read once\n  help: give the scenario as a file of its own\n"
        )
    };
    let simulated = |arguments: &[&str]| {
        let run = fed(path, &[&["simulate"], arguments].concat());
        assert_eq!((run.code, run.stdout.as_str()), (2, ""));
        run.stderr
    };
    assert_eq!(simulated(&["-c", "-", "-s", "-"]), refused("--config", "standard input"));
    assert_eq!(simulated(&["-c", config.path(), "-s", "-", "--pod", "-"]), refused("--pod", "standard input"));
    // A file can be read again.
    assert!(simulated(&["-c", config.path(), "-s", config.path()]).contains("unknown key `checks`"));
}

#[test]
fn a_negative_duration_is_told_as_one() {
    for (arguments, option) in [
        (&["wait", "--timeout", "-5s"][..], "timeout"),
        (&["wait", "--url=http://127.0.0.1:1", "--hold", "-5s"], "hold"),
        (&["ask", "--timeout", "-5s"], "timeout"),
        (&["ask", "--timeout=-5s"], "timeout"),
    ] {
        let run = runs(arguments);
        let first = format!(
            "error: invalid value '-5s' for '--{option} <DURATION>': a duration is never negative: did you mean `5s`?"
        );
        assert_eq!((run.code, run.stderr.lines().next()), (2, Some(first.as_str())), "{arguments:?}");
    }
    let missing = runs(&["wait", "--timeout", "--check", "db"]);
    let first =
        "error: invalid value '--check' for '--timeout <DURATION>': not a duration: write it as `800ms`, `30s` or `2m`";
    assert_eq!((missing.code, missing.stderr.lines().next()), (2, Some(first)));
}
