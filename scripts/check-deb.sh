#!/bin/sh
# Installs the newest package of target/debian into a root of its own, runs what it brought, and removes it again:
# scripts/check-deb.sh. Nothing outside that root is changed. Needs dpkg.
set -eu
cd "$(dirname "$0")/.."
package=$(ls -t "${CARGO_TARGET_DIR:-target}"/debian/respite_*.deb | head -n 1)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
: >"$root/var/lib/dpkg/status"
: >"$root/var/lib/dpkg/available"

# Its dependencies are the machine's, which are in no root of their own.
dpkg --root="$root" --log=/dev/null --force-not-root --force-depends -i "$package" >"$root/said" 2>&1 || {
    cat "$root/said" >&2
    exit 1
}
dpkg --root="$root" -s respite | grep '^Version: '
"$root/usr/bin/respite" --version
"$root/usr/bin/respite" check-config "$root/etc/respite/respite.toml" >/dev/null
for file in usr/lib/systemd/system/respite.service usr/lib/systemd/system/respite.socket \
    usr/share/man/man1/respite.1.gz usr/share/bash-completion/completions/respite; do
    [ -s "$root/$file" ] || {
        echo "missing: $file" >&2
        exit 1
    }
done
dpkg --root="$root" --log=/dev/null --force-not-root --purge respite >>"$root/said" 2>&1
[ ! -e "$root/usr/bin/respite" ] && [ ! -e "$root/etc/respite/respite.toml" ]
echo "$package: installed, run, removed"
