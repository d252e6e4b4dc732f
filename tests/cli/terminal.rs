//! The live displays, on a pseudo-terminal of 80 columns.

use std::process::{Command, Stdio};

use crate::command::{Config, assert_golden, timeless};

/// What a terminal of 80 columns shows of `probelet <arguments>`, run by a shell: every byte of it, and the exit code.
/// What follows the arguments may redirect.
fn on_terminal(arguments: &str, environment: &[(&str, &str)]) -> (i32, String) {
    let binary = env!("CARGO_BIN_EXE_probelet");
    let output = Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--command",
            &format!("stty cols 80 rows 24; exec {binary} {arguments}"),
            "/dev/null",
        ])
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh"), ("TERM", "xterm-256color")])
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("script is part of every Debian");
    let shown = String::from_utf8(output.stdout).expect("it writes text");
    (output.status.code().expect("it ended"), shown.replace("\r\n", "\n"))
}

/// What is left on the screen: each line as it was last rewritten.
fn screen(shown: &str) -> String {
    shown.split('\n').map(|line| line.rsplit("\r\x1b[2K").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

const SHOP: &str = "defaults: { timeout: 2s }\nchecks:\n  - name: database\n    simulated: { error_rate: 1, error_message: the quick brown fox jumps over the lazy dog and then it jumps back again to where it came from }\n  - name: orders\n    depends_on: [database]\n    simulated: {}\n  - name: hung\n    simulated: { timeout_rate: 1 }\n";

#[test]
fn once_shows_what_runs_and_leaves_a_table() {
    let config = Config::of(SHOP);
    let (code, shown) = on_terminal(&format!("once -c {}", config.path()), &[]);
    assert_eq!(code, 1);
    assert!(shown.contains("\r\x1b[2K2 of 3 done; running: hung"), "{shown:?}");
    assert!(shown.contains("; running: hung (1s)"), "{shown:?}");
    assert_golden("terminal-once.txt", &timeless(&screen(&shown)).replace('\x1b', "<esc>"));
    for line in screen(&shown).lines() {
        let plain = line.replace("\x1b[1;31m", "").replace("\x1b[33m", "").replace("\x1b[0m", "");
        assert!(plain.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_live_line_leaves_standard_output_clean() {
    let config = Config::of(SHOP);
    let file = config.path().replace("config.yaml", "out.json");
    let (code, shown) = on_terminal(&format!("once -c {} --format json > {file}", config.path()), &[]);
    assert_eq!((code, screen(&shown).as_str()), (1, ""), "{shown:?}");
    assert!(shown.contains("running: hung"), "{shown:?}");
    let written = std::fs::read_to_string(file).expect("it was written");
    let json: serde_json::Value = serde_json::from_str(&written).expect("it is JSON and nothing else");
    assert_eq!(json["status"], "error");
}

#[test]
fn without_colours_or_cursor_it_is_plain() {
    let config = Config::of(SHOP);
    let (_, shown) = on_terminal(&format!("once -c {}", config.path()), &[("NO_COLOR", "1")]);
    assert!(shown.contains("running: hung") && !shown.replace("\x1b[2K", "").contains('\x1b'), "{shown:?}");
    let (_, shown) = on_terminal(&format!("once -c {}", config.path()), &[("NO_COLOR", "1"), ("TERM", "dumb")]);
    assert!(!shown.contains('\x1b') && !shown.contains("running"), "{shown:?}");
}

#[test]
fn wait_shows_what_is_missing_and_since_when() {
    let config = Config::of(SHOP);
    let (code, shown) = on_terminal(&format!("wait -c {} --check orders --timeout 2500ms", config.path()), &[]);
    assert_eq!(code, 124);
    assert!(shown.contains("\r\x1b[2K1s of 2.5s; missing: database: the quick brown fox"), "{shown:?}");
    assert_golden("terminal-wait.txt", &timeless(&screen(&shown)).replace('\x1b', "<esc>"));
    let rewritten = shown.split("\r\x1b[2K").skip(1).map(|piece| piece.split('\n').next().unwrap_or_default());
    for line in rewritten.filter(|line| line.contains("missing")) {
        assert!(line.chars().count() < 80, "{line}");
    }
}
