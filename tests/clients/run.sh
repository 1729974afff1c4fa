#!/bin/sh
# Runs one client script against RESPITE_HOST:RESPITE_PORT: run.sh redis_py|redis_cluster_py|bus|bus_node|discovery_py|node_redis|ioredis|ioredis_cluster, or one of
# restart/, run.sh restart/rq_worker
# Sets up what is missing: python3 and node by the package manager, the client libraries in a cache
# directory (RESPITE_CLIENTS_CACHE, target/clients by default).
set -eu

name=$1
here=$(cd "$(dirname "$0")" && pwd -P)
cache=${RESPITE_CLIENTS_CACHE:-$here/../../target/clients}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd -P)

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

case $name in
redis_py | redis_cluster_py | bus | discovery_py | restart/redis_py | restart/rq_worker | restart/celery_worker | kubernetes)
    stamp=$cache/venv/requirements.txt
    if ! cmp -s "$here/requirements.txt" "$stamp"; then
        command -v python3 >/dev/null || install python3 python3-venv
        rm -rf "$cache/venv"
        python3 -m venv "$cache/venv" 2>/dev/null || {
            install python3-venv
            python3 -m venv --clear "$cache/venv"
        }
        "$cache/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt" >&2
        cp "$here/requirements.txt" "$stamp"
    fi
    flock -u 9
    # run.sh kubernetes VERSION MANIFEST
    [ "$name" != kubernetes ] || exec "$cache/venv/bin/kubernetes-validate" --strict -k "$2" "$3"
    exec "$cache/venv/bin/python" "$here/$name.py"
    ;;
bus_node | node_redis | ioredis | ioredis_cluster | restart/node_redis | restart/ioredis | restart/bullmq_worker)
    stamp=$cache/node/installed.json
    if ! cmp -s "$here/package-lock.json" "$stamp"; then
        command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
        mkdir -p "$cache/node"
        cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$cache/node/"
        (cd "$cache/node" && npm ci --silent >&2)
        cp "$here/package-lock.json" "$stamp"
    fi
    # node looks for libraries beside the script
    mkdir -p "$cache/node/restart" "$cache/node/examples"
    for script in "$here"/*.mjs "$here"/restart/*.mjs "$here"/../../examples/bus/*.mjs; do
        case $script in
        "$here"/../*) copy=$cache/node/examples/${script##*/} ;;
        *) copy=$cache/node/${script#"$here"/} ;;
        esac
        # another script may be reading it
        cmp -s "$script" "$copy" || { cp "$script" "$copy.new" && mv "$copy.new" "$copy"; }
    done
    flock -u 9
    exec node "$cache/node/$name.mjs"
    ;;
*)
    echo "no such script: $name" >&2
    exit 2
    ;;
esac
