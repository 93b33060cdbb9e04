//! Feeds `afterglow_wire_fuzz::display_down`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afterglow_wire_fuzz::display_down(data));
