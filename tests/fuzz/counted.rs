//! Counts what is allocated, so that work and memory have a bound that no clock has a part in.

#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

/// How many bytes were ever allocated.
pub fn allocated() -> usize {
    ALLOCATOR.total_allocated()
}
