//! Feeds `afterglow_wire_fuzz::control_up`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afterglow_wire_fuzz::control_up(data));
