//! Output that nobody reads: it holds up neither the runs of the checks nor the end.

use std::io::{PipeReader, PipeWriter, Write};
use std::net::TcpListener;
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;

use crate::command::{Config, Run, probelet, start, start_with};
use crate::fakes::free_port;

/// A pipe that holds as much as it can: who writes into it waits.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("the system has pipes");
    let flags = fcntl_getfl(&writer).expect("it is open");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("it is open");
    while writer.write(&[b'.'; 4096]).is_ok() {}
    while writer.write(b".").is_ok() {}
    fcntl_setfl(&writer, flags).expect("it is open");
    (reader, writer)
}

const FINE: &str = "checks: [{ name: cache, simulated: { latency: 0s } }]\n";
const DOWN: &str = "checks: [{ name: cache, simulated: { error_rate: 1, error_message: gone } }]\n";

#[test]
fn a_signal_ends_once_and_wait_while_their_answer_cannot_be_written() {
    for arguments in [["once", "--verbose"], ["wait", "--check=cache"]] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let config = Config::of(FINE);
            let (_nobody_reads, writer) = full_pipe();
            let mut command = config.command(arguments[0], &arguments[1..]);
            command.stdout(writer).stderr(Stdio::piped());
            let mut run = start_with(command);
            run.complains("cache: ok");
            run.signal(signal);
            assert_eq!(run.ends().code, code, "{arguments:?}");
        }
    }
}

#[test]
fn the_checks_are_run_while_their_progress_cannot_be_written() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    let config = Config::of(&format!(
        "checks:\n  - {{ name: cache, simulated: {{ latency: 0s }} }}\n  - {{ name: orders, tcp: {{ address: '{address}' }}, depends_on: [cache] }}\n"
    ));
    let (nobody_reads, writer) = full_pipe();
    let mut command = config.command("once", &[]);
    command.stdout(Stdio::piped()).stderr(writer);
    let mut run = start_with(command);
    // The line of the first check cannot be written.
    listener.accept().expect("the second is run");
    drop(nobody_reads);
    run.says("healthy: all 2 checks passed\n");
    assert_eq!(run.ends().code, 0);
}

#[test]
fn once_has_a_line_of_each_check_however_late_it_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    let names: Vec<String> = (0..2000).map(|number| format!("c{number}")).collect();
    let check = |name| format!("  - {{ name: {name}, simulated: {{ latency: 0s, ok_message: '${{SAID}}' }} }}\n");
    let config = Config::of(&format!(
        "checks:\n{}  - {{ name: last, tcp: {{ address: '{address}' }}, depends_on: [{}] }}\n",
        names.iter().map(check).collect::<String>(),
        names.join(", ")
    ));
    let (mut reader, writer) = full_pipe();
    let mut command = config.command("once", &[]);
    // More than a MiB in all.
    command.env("SAID", "語".repeat(200)).stdout(Stdio::null()).stderr(writer);
    let run = start_with(command);
    listener.accept().expect("the last one is run");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut reader, &mut said).expect("it is text");
    assert!(said.len() > 1 << 20 && said.lines().count() == names.len() + 1, "{}", said.lines().count());
    assert_eq!(run.ends().code, 0);
}

#[test]
fn wait_ends_in_time_while_nothing_can_be_written() {
    let timeout = "--timeout=300ms";
    let nowhere = format!("--url=http://127.0.0.1:{}", free_port());
    let (fine, down) = (Config::of(FINE), Config::of(DOWN));
    let cases = [
        (fine.command("wait", &["--check=cache", timeout]), 0),
        (down.command("wait", &["--check=cache", timeout]), 124),
        (probelet(&["wait", &nowhere, timeout]), 124),
    ];
    for (mut command, code) in cases {
        let (_nobody_reads, writer) = full_pipe();
        command.stdout(writer.try_clone().expect("it is open")).stderr(writer);
        let run = start_with(command);
        assert_eq!(run.ends(), Run { code, stdout: String::new(), stderr: String::new() });
    }
}

#[test]
fn what_was_held_up_is_all_there_once_somebody_reads() {
    let config = Config::of(DOWN);
    let once = start(config.command("once", &["--format=json"])).ends();
    let (mut reader, writer) = full_pipe();
    let mut command = config.command("once", &["--format=json"]);
    command.stdout(writer).stderr(Stdio::null());
    let run = start_with(command);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut reader, &mut said).expect("it is text");
    assert_eq!((run.ends().code, once.code), (1, 1));
    let fields = |text: &str| {
        let answer: serde_json::Value = serde_json::from_str(text).expect("all of it is there");
        answer["checks"][0]["message"].clone()
    };
    assert_eq!(fields(said.trim_start_matches('.')), fields(&once.stdout));
}
