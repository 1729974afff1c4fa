//! What Respites that share a fleet leave in the backing, see `src/app/fuzzed.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use respite::parts::fuzzed;

fuzz_target!(|data: &[u8]| fuzzed::shared_fleet(data));
