//! What history keeps in memory, weighed by an allocator that counts: never more than `history.max_memory`, and little for
//! each check.

use std::sync::Arc;
use std::time::Duration;

use probelet::base::clock::{Timestamp, thread_cpu_time};
use probelet::config;
use probelet::config::source::Environment;
use probelet::history::answer::Tick;
use probelet::history::ledger::{Availability, Interval};
use probelet::history::memory::Memory;
use probelet::history::registry::{Marks, Registry};
use probelet::history::storage::Storage;
use probelet::model::outcome::FailureKind;
use probelet::model::plan::Plan;
use probelet::model::state::OutcomeKind;

use crate::alone;

/// What the harness may allocate on its own thread meanwhile, in bytes: on a busy machine it notes that a test runs when
/// that has long begun, and that it takes long.
const HARNESS: usize = 8 * 1024;

/// Alone in a process, so that its memory tells.
#[test]
fn what_is_kept_in_memory_takes_no_more_than_it_may() {
    alone::run("memory_bound::weighs_what_is_kept");
}

/// The child of [`what_is_kept_in_memory_takes_no_more_than_it_may`]; nothing without it.
#[test]
fn weighs_what_is_kept() {
    if !alone::is("memory_bound::weighs_what_is_kept") {
        return;
    }
    for (checks, limit) in [(1u32, 1 << 18), (7, 1 << 20), (300, 1 << 20), (10_000, 8 << 20)] {
        let before = crate::ALLOCATOR.allocated();
        let mut memory = Memory::within(limit);
        let mut most = 0;
        for id in 0..100_000 + 8 * u64::from(checks) {
            let check = if id % 4 == 0 { 0 } else { u32::try_from(id % u64::from(checks)).unwrap() };
            let message = "connection refused ".repeat(usize::try_from(id % 11).unwrap()).into_boxed_str();
            let (at, reason) = (Timestamp::from_unix_micros(i64::try_from(id).unwrap()), Some(FailureKind::Connect));
            let outcome = OutcomeKind::Fail;
            memory.tick(Tick { id, check, at, outcome, reason, response_time: None, message });
            if id % 5 == 0 {
                let availability = Availability::Down;
                memory.interval(check, Interval { id, event: id, availability, from: at, to: Some(at) });
            }
            // A bound that is lowered for a while, as by a reload.
            match id {
                70_000 => memory.set_limit(limit / 2),
                80_000 => memory.set_limit(limit),
                _ => {}
            }
            if id % 50 == 0 {
                most = most.max(crate::ALLOCATOR.allocated().saturating_sub(before));
            }
        }
        assert!(most <= limit, "{most} bytes of {limit} for {checks} checks");
        assert!(most > limit / 2, "{most} bytes of {limit} for {checks} checks: there is more room");
        println!("{checks} checks: at most {most} bytes of {limit}");
        drop(memory);
        let left = crate::ALLOCATOR.allocated().saturating_sub(before);
        assert!(left < HARNESS, "{left} bytes are left of {most}");
    }
}

/// A plan of so many checks, the first of which is the one numbered `from`.
fn plan(from: usize, count: usize) -> Arc<Plan> {
    let checks = (from..from + count).map(|number| format!("  - {{ name: check-{number}, simulated: {{}} }}\n"));
    let text = format!("checks:\n{}", checks.collect::<String>());
    let files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let loaded =
        config::read("config.yaml", text.as_bytes(), &Environment::of([("POD_NAME", "shop-0")]), Box::new(files));
    loaded.config.expect("it is valid").plan
}

/// The least processor time that it takes to declare so many checks, and then as many others, half of which are known.
fn work_of_declaring(count: usize) -> Duration {
    let (first, second) = (plan(0, count), plan(count / 2, count));
    let declare = || {
        let mut memory = Memory::within(1 << 20);
        let mut registry = Registry::open([], Marks::EMPTY, &mut memory);
        let before = thread_cpu_time();
        registry.declare(&first, Timestamp::from_unix_seconds(1), &mut memory);
        registry.declare(&second, Timestamp::from_unix_seconds(2), &mut memory);
        for check in &second.checks {
            assert!(registry.find(check.name.as_str()).is_some());
        }
        thread_cpu_time() - before
    };
    (0..5).map(|_| declare()).min().unwrap()
}

#[test]
fn to_declare_eight_times_as_many_checks_is_about_eight_times_the_work() {
    let (few, many) = (work_of_declaring(500), work_of_declaring(4000));
    assert!(many < few * 24, "{few:?} for 500, {many:?} for 4,000: it was 64 times as much once");
}
