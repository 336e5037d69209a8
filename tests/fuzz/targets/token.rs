//! See `checks/token.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::token::check(data));
