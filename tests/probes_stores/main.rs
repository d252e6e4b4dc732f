//! The kinds `postgres`, `redis` and `amqp` against real servers and against servers that misbehave.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

#[path = "../support"]
mod support {
    pub mod certs;
    pub mod fake;
    pub mod postgres;
    pub mod rabbitmq;
    pub mod redis;
    pub mod section;
    #[expect(dead_code)] // other tests use more of it
    pub mod servers;
}

mod amqp;
mod families;
mod floods;
mod held;
#[path = "../support/meter.rs"]
mod meter;
mod outages;
mod postgres;
mod postgres_liars;
mod postgres_tls;
mod redis;
mod scenarios;
mod sections;

use std::time::Duration;

use probelet::model::outcome::{Failure, Pass};
use probelet::probe::Probe;

use support::section::observe;

/// More time than any run of these tests needs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the probe, which passes.
async fn pass(probe: &mut dyn Probe) -> Pass {
    observe(probe, LIMIT).await.expect("it answers in time").expect("it passes")
}

/// Runs the probe, which fails.
async fn failure(probe: &mut dyn Probe) -> Failure {
    observe(probe, LIMIT).await.expect("it answers in time").expect_err("it fails")
}

/// Waits until nothing runs on this test's runtime but the test itself.
async fn until_no_task_is_left() {
    let metrics = tokio::runtime::Handle::current().metrics();
    for _ in 0..500 {
        if metrics.num_alive_tasks() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} tasks are left", metrics.num_alive_tasks());
}
