//! Runs that came to nothing because something of our own was used up: they say nothing about the target, and are void.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

use crate::base::descriptors;
use crate::base::quantity::show_duration;
use crate::model::outcome::{Failure, FailureKind};

/// What was used up, if it is that which `error` of a system call tells of.
#[must_use]
pub fn of_io(error: &io::Error) -> Option<Failure> {
    let message = match Errno::from_raw_os_error(error.raw_os_error()?) {
        Errno::MFILE => "no file descriptor was left for the run: raise the limit of the sidecar (`ulimit -n`)",
        Errno::NFILE => "the machine had no file descriptor left for the run",
        Errno::NOBUFS | Errno::NOMEM => "the machine had no memory left for the run",
        Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => "no local port was left for the run",
        _ => return None,
    };
    Some(Failure::new(FailureKind::Exhausted, message).with_detail(error.to_string()))
}

/// The system has started no thread, and says why.
#[must_use]
pub fn of_thread(error: &io::Error) -> Failure {
    let message = "no thread could be started for the run: raise the limit on processes, or on memory";
    Failure::new(FailureKind::Exhausted, message).with_detail(error.to_string())
}

/// For so much of the run the process was starved, throttled, stopped or asleep; the run's own `failure` may come of that.
#[must_use]
pub fn of_processor(lost: Duration, failure: &Failure) -> Failure {
    let message = format!("the sidecar itself had no processor time for {} of the run", show_duration(lost));
    Failure::new(FailureKind::Exhausted, message).with_detail(&failure.message)
}

/// The same of a failure from which the system does not let us see why: a file or a socket that could not be opened may
/// be behind it. Nothing where there are descriptors.
#[must_use]
pub fn of_descriptors() -> Option<Failure> {
    if descriptors::are_short() { of_io(&Errno::MFILE.into()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_is_named_and_anything_else_is_the_targets() {
        for (errno, is_ours) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOBUFS, true),
            (Errno::NOMEM, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::NETUNREACH, false),
            (Errno::NOSPC, false),
            (Errno::ACCESS, false),
        ] {
            let found = of_io(&io::Error::from(errno));
            assert_eq!(found.is_some(), is_ours, "{errno:?}");
            assert!(found.is_none_or(|failure| failure.kind == FailureKind::Exhausted));
        }
        assert!(of_io(&io::ErrorKind::AddrNotAvailable.into()).is_none());
    }
}
