//! Any bytes as the certificates of a server.
#![no_main]

#[path = "../counted.rs"]
mod counted;
#[path = "../properties/lines.rs"]
#[expect(dead_code, reason = "each target takes its part of the rules")]
mod lines;
#[path = "../properties/certificate.rs"]
mod property;

thread_local!(static WORLD: property::World = property::World::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| WORLD.with(|world| property::any_certificate(
    world,
    bytes,
    counted::allocated
)));
