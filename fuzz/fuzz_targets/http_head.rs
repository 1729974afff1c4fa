//! A client's bytes to the gateway, see `src/app/fuzzed.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use respite::parts::fuzzed;

fuzz_target!(|data: &[u8]| fuzzed::http_head(data));
