//! Any bytes as the answer of those who are told of events.
#![no_main]

#[path = "../properties/hook.rs"]
mod property;
#[path = "../../support/meter.rs"]
mod meter;
#[path = "../../server/support.rs"]
#[expect(dead_code, reason = "only a snapshot is taken from it")]
mod server_support;

thread_local!(static WORLD: property::World = property::World::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| WORLD.with(|world| property::any_reply(world, bytes)));
