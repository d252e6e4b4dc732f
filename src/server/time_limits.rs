//! How much time a client has for what it does.

use std::time::Duration;

/// How long the head of a request may take, from its first byte; also how long a fresh connection may be silent.
pub(super) const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of an answer.
pub(super) const STUCK_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may be at taking a long answer.
pub(super) const TAKE_LIMIT: Duration = Duration::from_secs(60);
/// Keep-alive: how long a connection may be kept without a request. Longer than the intervals of load balancers, which
/// report a failure when a kept connection is closed under a request.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(330);
