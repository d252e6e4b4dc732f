//! `make bench`: what the released daemon costs beside others of its field, on the same machine in the same minutes, what
//! one run of each kind costs, and how it grows to ten thousand checks. It writes the tables of README.md.
//!
//! Everything runs on loopback, against servers that this starts and ends: nginx, PostgreSQL, Redis and RabbitMQ. All
//! take turns, and each figure is the median of the rounds; what is printed has the least and the largest as well. The
//! goals are in `figures.rs`. `make bench QUICK=1` looks once, and with the names of parts
//! (`make bench PARTS="standing answers cost kinds start growth"`) only those are measured; then README.md stays as it is.
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
mod client;
mod contestants;
mod cost;
mod figures;
mod growth;
mod loads;
mod log;
mod machine;
mod peers;
mod process;
mod readme;
mod release;
mod report;
mod sheet;
mod standing;
mod start;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use contestants::{Contestant, Job, Maker, Running};
use readme::Account;
use sheet::Sheet;
use targets::Targets;

/// How much is measured.
struct Effort {
    /// Times 15 s that all stand beside each other.
    scrapes: u32,
    /// Rounds of what takes turns.
    rounds: usize,
    /// Starts of each.
    starts: usize,
    growth: growth::Effort,
}

const FULL: Effort = Effort {
    scrapes: 6,
    rounds: 3,
    starts: 20,
    growth: growth::Effort { rounds: 2, most: 10_000, settle: Duration::from_secs(12), reloads: 5 },
};

const QUICK: Effort = Effort {
    scrapes: 1,
    rounds: 1,
    starts: 3,
    growth: growth::Effort { rounds: 1, most: 1_000, settle: Duration::from_secs(5), reloads: 1 },
};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|word| *word == part);
    let effort = if has("--quick") { QUICK } else { FULL };

    // What failed is told in a line each, and the figures come all the same.
    std::panic::set_hook(Box::new(|failure| eprintln!("{failure}")));
    let probelet = Contestant { maker: Maker::Probelet, binary: release::binary(), version: machine::revision() };
    let (peers, mut missing) = peers::find();
    say("starting nginx, PostgreSQL, Redis and RabbitMQ");
    let targets = Targets::start(&probelet.binary);
    let mut all = vec![probelet.clone()];
    let has_peers = ["start", "standing", "answers", "cost"].iter().any(|part| is_wanted(part));
    for peer in peers.into_iter().filter(|_| has_peers) {
        say(&format!("trying {} {}", peer.maker.name(), peer.version));
        match catch_unwind(AssertUnwindSafe(|| drop(peer.start(&Job::Seven, &targets)))) {
            Ok(()) => all.push(peer),
            Err(_) => missing.push(peer.maker),
        }
    }
    all.iter().for_each(|one| machine::forget(&one.binary));
    let account = Account { machine: machine::Machine::look(), all: &all, missing: &missing };
    println!("{}", account.text());

    let names = Maker::ALL.iter().map(|maker| maker.name().to_owned()).collect();
    let mut beside = Sheet::new("beside others", names, figures::BESIDE);
    let mut runs = Sheet::new("CPU time of one run", vec!["connection kept".into(), "fresh".into()], figures::RUNS);
    let sizes = growth::SIZES.iter().map(|size| report::thousands(*size as f64)).collect();
    let mut grown =
        Sheet::new("with so many checks (HTTP every 10 s, a tenth gates `live`, one core)", sizes, figures::GROWTH);

    let mut failed = Vec::new();
    let mut part = |name: &str, work: &mut dyn FnMut()| {
        if is_wanted(name) && catch_unwind(AssertUnwindSafe(work)).is_err() {
            failed.push(name.to_owned());
        }
    };
    for one in &all {
        beside.add("binary", one.maker.column(), std::fs::metadata(&one.binary).map_or(0, |file| file.len()) as f64);
    }
    part("growth", &mut || growth::measure(&mut grown, &probelet.binary, &targets, effort.growth));
    part("start", &mut || start::measure(&mut beside, &all, &targets, effort.starts));
    if is_wanted("standing") || is_wanted("answers") {
        let running: Vec<Running> = all.iter().map(|one| one.start(&Job::Seven, &targets)).collect();
        part("standing", &mut || standing::measure(&mut beside, &running, effort.scrapes));
        part("answers", &mut || answers::measure(&mut beside, &running, effort.rounds));
    }
    part("standing", &mut || standing::kinds(&mut beside, &probelet, &targets, effort.scrapes));
    part("cost", &mut || cost::beside(&mut beside, &all, &targets, effort.rounds));
    part("kinds", &mut || cost::kinds(&mut runs, &probelet, &targets, effort.rounds.min(2)));

    let sheets = [&beside, &runs, &grown];
    for sheet in sheets {
        println!("{}", report::text(sheet));
    }
    let is_whole = failed.is_empty() && wanted.is_empty() && !has("--quick");
    if is_whole || has("--write") {
        readme::write(&account, &sheets);
    } else {
        println!("\nREADME.md stays as it is: not everything was measured.");
    }
    for name in &failed {
        eprintln!("{name} failed, see above");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says what is being done: the figures come at the end.
fn say(what: &str) {
    eprintln!("… {what}");
}
