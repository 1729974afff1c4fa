#!/bin/sh
# Runs one scenario against the dashboard at RESPITE_HTTP in a real Chromium: run.sh SCENARIO
# Chromium and node come by the package manager, as with scripts/setup.sh test; what drives them is installed under
# target/, pinned.
set -eu

here=$(cd "$(dirname "$0")" && pwd -P)
cache=${RESPITE_BROWSER_CACHE:-$here/../../target/browser}
mkdir -p "$cache"

# install PACKAGE…: by apt, as root
install() {
    command -v apt-get >/dev/null || { echo "please install: $*" >&2; exit 1; }
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    $root apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Tests run side by side: one sets up, the others wait.
exec 9>"$cache/lock"
flock 9
command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
command -v chromium >/dev/null || install chromium
if ! cmp -s "$here/package-lock.json" "$cache/installed.json"; then
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$cache/"
    (cd "$cache" && npm ci --silent >&2)
    cp "$here/package-lock.json" "$cache/installed.json"
fi
# node looks for libraries beside the script
for script in "$here"/*.mjs; do
    copy=$cache/${script##*/}
    cmp -s "$script" "$copy" || { cp "$script" "$copy.new" && mv "$copy.new" "$copy"; }
done
flock -u 9
CHROMIUM=$(command -v chromium)
export CHROMIUM
exec node "$cache/dashboard.mjs" "$1"
