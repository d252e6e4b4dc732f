//! Stands for a section that cannot be read away from the pod, because a variable or a file is missing that only the
//! pod has: enough to explain and to play what the check does, which does not depend on its target.

use crate::model::outcome::{Failure, FailureKind, ProbeResult};
use crate::probe::{BoxFuture, BuildContext, Probe, RunContext, Spec};

/// A target of which nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct Unread;

impl Spec for Unread {
    fn build(&self, _setting: &BuildContext) -> Box<dyn Probe> {
        Box::new(*self)
    }
}

impl Probe for Unread {
    fn observe<'a>(&'a mut self, _run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async { Err(Failure::new(FailureKind::Bug, "its target is known in the pod alone")) })
    }
}
