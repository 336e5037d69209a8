//! See `checks/settings.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::settings::check(data));
