//! `make instructions`: how many instructions the released daemon takes for one answer, one publication and one run of
//! each kind, with 10 and with 1,000 checks. They are the same on a busy machine as on a quiet one, so the file with them
//! (`instructions.md`, beside this) is checked in: a review sees what a change costs.
//!
//! The daemon runs below valgrind's callgrind, which is told to begin a new count before something is asked for many times
//! and after it. With words behind it only lines that hold one of them are counted anew:
//! `make instructions LINES="redis scrape"`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a report for people

#[expect(dead_code, clippy::unwrap_used)] // the tests use more of it
#[path = "../../tests/support"]
mod support {
    pub mod certs;
    pub mod postgres;
    pub mod rabbitmq;
    pub mod redis;
    pub mod servers;
}

#[expect(dead_code)] // `make bench` uses more of it
#[path = "../compare/client.rs"]
mod client;
mod counted;
mod ledger;
mod lines;
#[path = "../compare/log.rs"]
mod log;
#[path = "../compare/release.rs"]
mod release;
#[expect(dead_code)] // `make bench` uses more of it
#[path = "../compare/targets.rs"]
mod targets;

use std::process::ExitCode;
use std::sync::mpsc;

use ledger::Ledger;
use targets::Targets;

/// So many checks, a column each.
const SIZES: [usize; 2] = [10, 1_000];

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|failure| eprintln!("{failure}")));
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let binary = release::binary();
    say("starting nginx, PostgreSQL, Redis and RabbitMQ");
    let targets = Targets::start(&binary);
    let mut ledger = Ledger::read();
    // Side by side: a count does not depend on what else runs. Each is written as soon as it is known.
    let (sender, counts) = mpsc::channel();
    let is_whole = std::thread::scope(|scope| {
        let (binary, targets, wanted) = (&binary, &targets, &wanted);
        let sizes: Vec<_> = SIZES.into_iter().enumerate().zip(std::iter::repeat(sender)).collect();
        let sizes = sizes.into_iter().map(|((column, size), sender)| {
            let tell = move |line: &str, count: lines::Count| drop(sender.send((line.to_owned(), column, count)));
            scope.spawn(move || lines::count(binary, targets, size, wanted, &tell))
        });
        let sizes: Vec<_> = sizes.collect();
        let mut is_whole = true;
        for (line, column, count) in counts {
            match count {
                Ok(count) => ledger.enter(&line, column, count),
                Err(why) => {
                    is_whole = false;
                    say(&format!("{line}, {} checks: not counted: {why}", SIZES[column]));
                }
            }
            ledger.write();
        }
        sizes.into_iter().all(|size| size.join().is_ok()) && is_whole
    });
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says what is being done: the figures come at the end.
fn say(what: &str) {
    eprintln!("… {what}");
}
