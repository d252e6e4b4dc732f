//! Room for what is read, taken ahead.

use std::hint::black_box;

/// So much is there at once: less than glibc gives back as soon as it is free.
const ROOM: usize = 96 << 10;

/// Sees to it that what comes next has room. Whoever reads a configuration asks for it about as often as that takes so much:
/// in a thread other than the first, glibc has its room grow by a page at a time, each by a call of the system, of which ten
/// thousand checks took six thousand. What is asked for at once and given back untouched takes no memory.
pub fn take_room() {
    if cfg!(target_env = "gnu") {
        drop(black_box(Vec::<u8>::with_capacity(ROOM)));
    }
}
