//! Feeds `targets::group`.
#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code, reason = "each fuzz target calls one of them")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::group(data));
