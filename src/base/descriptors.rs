//! The file descriptors of this process: how many there may be, and whether any is left.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many have to be left for a name to be looked up: a socket, the system's own files, and one more.
const SPARE: usize = 3;

/// Raises the limit as far as the system lets an unprivileged process do so. Where it does not, the limit stays.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// How many there may be.
#[must_use]
pub fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Whether none is left, or hardly any: what could not be opened then says nothing of what it is.
#[must_use]
pub fn are_short() -> bool {
    let mut opened = Vec::with_capacity(SPARE);
    for _ in 0..SPARE {
        match socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None) {
            Ok(socket) => opened.push(socket),
            Err(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_limit_and_something_left() {
        raise_limit();
        assert!(limit() > SPARE);
        assert!(!are_short());
    }
}
