//! Commands of Respite's own, with any arguments, see `src/app/fuzzed.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use respite::parts::fuzzed;

fuzz_target!(|data: &[u8]| fuzzed::family(data));
