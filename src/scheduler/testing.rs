//! Targets whose runs are whatever a test wants of them.

use std::sync::Arc;

use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::probe::{BoxFuture, BuildContext, Probe, RunContext, Spec};

/// What a run of a fake target comes to.
pub(crate) type FakeRun = fn() -> BoxFuture<'static, ProbeResult>;

/// A target whose runs are whatever a function returns.
#[derive(Clone, Copy, Debug)]
struct FakeTarget(FakeRun);

impl Spec for FakeTarget {
    fn build(&self, _context: &BuildContext) -> Box<dyn Probe> {
        Box::new(*self)
    }
}

impl Probe for FakeTarget {
    fn observe<'a>(&'a mut self, _run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        (self.0)()
    }
}

pub(crate) fn passes() -> BoxFuture<'static, ProbeResult> {
    Box::pin(async { Ok(Pass::default()) })
}

pub(crate) fn fails() -> BoxFuture<'static, ProbeResult> {
    Box::pin(async { Err(Failure::new(FailureKind::Connect, "connection refused")) })
}

pub(crate) fn hangs() -> BoxFuture<'static, ProbeResult> {
    Box::pin(std::future::pending())
}

pub(crate) fn panics() -> BoxFuture<'static, ProbeResult> {
    panic!("a defect")
}

pub(crate) fn specs(targets: &[FakeRun]) -> Vec<Arc<dyn Spec>> {
    targets.iter().map(|target| Arc::new(FakeTarget(*target)) as Arc<dyn Spec>).collect()
}
