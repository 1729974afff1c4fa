//! A cluster's map, `CLUSTER SHARDS` and `CLUSTER SLOTS`, see `src/app/fuzzed.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use respite::parts::fuzzed;

fuzz_target!(|data: &[u8]| fuzzed::cluster_map(data));
