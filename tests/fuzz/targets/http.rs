//! See `checks/http.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::http::check(data));
