//! Any bytes as the certificates of a server.
#![no_main]

#[path = "../counted.rs"]
mod counted;
#[path = "../properties/lines.rs"]
mod lines;
#[path = "../properties/certificate.rs"]
mod property;

thread_local!(static WORLD: property::World = property::World::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| WORLD.with(|world| property::any_certificate(
    world,
    bytes,
    counted::allocated
)));
