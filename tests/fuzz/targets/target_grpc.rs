//! Any bytes as what a target says that is looked at by a check of the kind `grpc`.
#![no_main]

#[path = "../counted.rs"]
mod counted;
#[path = "../properties/lines.rs"]
mod lines;
#[path = "../properties/target.rs"]
#[expect(dead_code, reason = "each target is of one kind")]
mod property;

thread_local!(static WORLD: property::World = property::World::new(property::Kind::Grpc));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| WORLD.with(|world| property::any_answer(world, bytes, counted::allocated)));
