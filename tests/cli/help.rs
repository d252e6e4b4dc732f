//! What the commands say of themselves.

use std::path::Path;

use crate::command::{assert_golden, probelet, run, runs};
use crate::support::certs::Folder;

/// The lines in which `probelet --help` lists the commands.
fn listed(help: &str) -> Vec<&str> {
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
    list.expect("there is a list").lines().collect()
}

fn commands() -> Vec<String> {
    let help = runs(&["--help"]).stdout;
    let names = listed(&help).into_iter().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_lists_each_command_in_one_line() {
    let help = runs(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert_golden("help.txt", &help.stdout);
    assert!(help.stdout.lines().all(|line| line.chars().count() <= 80), "{}", help.stdout);
    assert!(listed(&help.stdout).iter().all(|line| !line.starts_with("   ")), "{}", help.stdout);
}

#[test]
fn the_help_of_each_command_fits_80_columns_and_has_an_example() {
    for command in commands() {
        let help = runs(&[&command, "--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{command}");
        assert!(help.stdout.contains("Example"), "{command} has no example");
        for line in help.stdout.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
        assert_golden(&format!("help-{command}.txt"), &help.stdout);
    }
}

#[test]
fn the_version_is_told() {
    let version = runs(&["--version"]);
    assert_eq!((version.code, version.stderr.as_str()), (0, ""));
    assert!(version.stdout.starts_with(concat!("probelet ", env!("CARGO_PKG_VERSION"))), "{}", version.stdout);
}

#[test]
fn wrong_usage_is_told_on_standard_error_with_2() {
    for (arguments, complaint) in [
        (&["onc"][..], "error: unrecognized subcommand 'onc'"),
        (&["once", "--formt", "json"], "error: unexpected argument '--formt' found"),
        (&["once", "--format", "xml"], "error: invalid value 'xml' for '--format <FORMAT>'"),
        (
            &["wait", "--timeout", "5"],
            "error: invalid value '5' for '--timeout <DURATION>': a duration needs a unit: did you mean `5s`?",
        ),
        (
            &["ask", "--timeout", "soon"],
            "error: invalid value 'soon' for '--timeout <DURATION>': not a duration: write it as `800ms`, `30s` or \
             `2m`",
        ),
        (&["completions", "tcsh"], "error: invalid value 'tcsh' for '<SHELL>'"),
    ] {
        let run = runs(arguments);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().next()), (2, "", Some(complaint)));
    }
}

#[test]
fn a_file_without_its_option_is_told_which_one_it_needs() {
    for command in ["validate", "once", "wait", "run", "simulate", "explain"] {
        let run = runs(&[command, "config.yaml"]);
        let told = format!("`probelet {command} --config config.yaml`");
        // `wait` takes the name of a check there, and wants `--url` with it.
        let expected = if command == "wait" { "--url" } else { told.as_str() };
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{command}");
        assert!(run.stderr.contains(expected), "{command}: {}", run.stderr);
    }
    assert_golden("validate-file.txt", &runs(&["validate", "config.yaml"]).stderr);
}

#[test]
fn the_scenario_in_the_help_is_valid_as_it_stands() {
    let help = runs(&["simulate", "--help"]).stdout;
    let scenario = help.split("Example of a scenario:\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let folder = Folder::new();
    let checks = ["db_connection", "cache", "queue"].map(|name| format!("  - {{ name: {name}, simulated: {{}} }}\n"));
    let config = folder.write("config.yaml", format!("checks:\n{}", checks.concat()));
    let file = folder.write("outage.yaml", scenario);
    let run = runs(&["simulate", "--config", &config, "--scenario", &file]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{scenario}");
}

#[test]
fn there_are_completions_for_every_common_shell() {
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef probelet"), ("fish", "complete -c probelet")] {
        let run = runs(&["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert!(run.stdout.contains(word), "{shell}: {}", run.stdout);
        for command in commands() {
            assert!(run.stdout.contains(&command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn the_schema_in_the_repository_is_the_one_that_is_printed() {
    let run = runs(&["schema"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(run.stdout == kept, "config/schema.json is not the one that is printed");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = probelet(&["schema"]);
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    drop(reader);
    command.stdout(writer);
    let run = run_with_own_stdout(command);
    assert_eq!((run.0, run.1.as_str()), (0, ""));
}

/// The exit code and standard error of a command whose standard output is set already.
fn run_with_own_stdout(mut command: std::process::Command) -> (i32, String) {
    let output = command.stderr(std::process::Stdio::piped()).spawn().expect("it is built").wait_with_output();
    let output = output.expect("it is our child");
    (output.status.code().expect("it ended by itself"), String::from_utf8(output.stderr).expect("it writes text"))
}

#[test]
fn nothing_is_coloured_where_nobody_looks() {
    let mut command = probelet(&["once", "--config", "/does/not/exist.yaml"]);
    command.env("TERM", "xterm-256color");
    let run = run(command);
    assert_eq!(run.code, 2);
    assert!(!run.stderr.contains('\x1b') && run.stdout.is_empty(), "{}", run.stderr);
}
