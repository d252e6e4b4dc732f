//! The signals that the daemon attends to, and how they end it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How the daemon came to its end.
pub(super) struct DaemonEnd {
    /// The first signal.
    pub(super) signal: &'static str,
    /// There was a second one.
    pub(super) is_hurried: bool,
}

/// The signals that are attended to.
pub(super) struct Signals {
    pub(super) terminate: [Signal; 2],
    pub(super) hang_up: Signal,
    /// A file has grown to the limit that the process has (`ulimit -f`): the write that wanted more fails instead.
    _file_too_large: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves.
    pub(super) fn catch() -> std::io::Result<Self> {
        let terminate = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let file_too_large = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Self { terminate, hang_up: signal(SignalKind::hangup())?, _file_too_large: file_too_large })
    }
}

/// The next of them, by its name.
pub(super) async fn any(signals: &mut [Signal; 2]) -> &'static str {
    let [first, second] = signals;
    tokio::select! {
        _ = first.recv() => "SIGTERM",
        _ = second.recv() => "SIGINT",
    }
}
