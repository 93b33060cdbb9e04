//! Feeds `afterglow_wire_fuzz::group`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afterglow_wire_fuzz::group(data));
