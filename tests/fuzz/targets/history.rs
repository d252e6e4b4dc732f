//! Any bytes as what became of a history file.
#![no_main]

#[path = "../counted.rs"]
mod counted;
#[path = "../properties/lines.rs"]
#[expect(dead_code, reason = "each target takes its part of the rules")]
mod lines;
#[path = "../properties/history.rs"]
mod property;

thread_local!(static WORLD: property::World = property::World::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| WORLD.with(|world| property::any_edits(world, bytes, counted::allocated)));
