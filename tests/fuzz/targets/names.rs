//! Any bytes as what the resolver says of a name.
#![no_main]

#[path = "../properties/lines.rs"]
mod lines;
#[path = "../properties/names.rs"]
mod property;

thread_local!(static WORLD: property::World = property::World::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| WORLD.with(|world| property::any_addresses(world, bytes)));
