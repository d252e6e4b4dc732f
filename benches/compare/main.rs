//! `make bench`: what the released daemon costs, beside blackbox_exporter on the same machine in the same minutes.
//!
//! Everything runs on loopback, against servers that this starts and ends: nginx, PostgreSQL, Redis and RabbitMQ. The
//! two take turns, and each figure is the median of the rounds. It needs about eight minutes, less with the names of
//! parts behind it: `cargo bench --bench compare -- memory answers beside cost start`.
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

mod answers;
mod beside;
mod client;
mod contestants;
mod cost;
mod machine;
mod memory;
mod process;
mod start;
mod table;
mod targets;

use contestants::{Exporter, Sidecar};
use table::{Goal, Table};
use targets::Targets;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    let binary = contestants::release();
    let exporter = contestants::exporter();
    println!("{}", machine::describe(&binary, &exporter));
    say("starting nginx, PostgreSQL, Redis and RabbitMQ");
    let targets = Targets::start();
    let mut table = Table::new("probelet", "blackbox_exporter");
    table.heading("size");
    let [ours, theirs] = [&binary, &exporter].map(|file| std::fs::metadata(file).expect("it was just found").len());
    table.bytes("binary", ours, Some(theirs), Goal::None);
    if is_wanted("memory") || is_wanted("answers") || is_wanted("beside") {
        let seven = Sidecar::start(&binary, &targets.seven_checks());
        let rival = Exporter::start(&exporter);
        if is_wanted("memory") {
            memory::compare(&mut table, &seven, &rival, &targets);
        }
        if is_wanted("answers") {
            answers::compare(&mut table, &seven, &rival);
        }
        if is_wanted("beside") {
            beside::compare(&mut table, &seven, &rival);
        }
    }
    if is_wanted("cost") {
        cost::compare(&mut table, &binary, &exporter, &targets);
    }
    if is_wanted("start") {
        start::compare(&mut table, &binary, &exporter, &targets);
    }
}

/// Says what is being done: the figures come at the end.
fn say(what: &str) {
    eprintln!("… {what}");
}

/// The middle one of `values`.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
