#!/bin/sh
# Runs the fuzz targets that are named, or all, one after the other for FUZZ_SECONDS (60) each, from their seeds in
# fuzz/seeds and what was found before in fuzz/corpus. What breaks something is left in fuzz/artifacts; it becomes a
# seed together with the repair. It needs no nightly compiler: what is `unsafe` here needs no sanitizer.
set -eu

cd "$(dirname "$0")/.."
targets=${*:-$(ls fuzz/fuzz_targets | sed 's/\.rs$//')}
# shellcheck disable=SC2086
for target in $targets; do
    mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
    echo "fuzz: $target" >&2
    cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-60}" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -verbosity=1
done
