#!/bin/sh
# The gateway beside HAProxy: the same two backends, the same load, one core for the proxy.
#
#   benches/gateway/run.sh [ROUNDS] [SECONDS]      5 rounds of 5 s unless told
#
# The proxy that is measured has the first core to itself and one thread; wrk and the backends (an
# HAProxy that answers by itself) have the second. Within a round the systems run directly after one
# another. Printed are medians: requests per second, p99 of the response time, and processor time of
# the proxy per request, which does not depend on how fast the load comes.
#
# RESPITE names the program, target/release/respite unless told. `scripts/setup.sh bench` installs
# wrk and HAProxy.
set -eu

rounds=${1:-5}
seconds=${2:-5}
PATH=$PATH:/usr/sbin
here=$(cd "$(dirname "$0")/../.." && pwd)
respite=${RESPITE:-${CARGO_TARGET_DIR:-$here/target}/release/respite}
for program in wrk haproxy taskset curl "$respite"; do
    command -v "$program" >/dev/null || {
        echo "gateway: no $program: run scripts/setup.sh bench, or make it with cargo build --release" >&2
        exit 1
    }
done
dir=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT INT TERM

base=${BASE_PORT:-18100}
one=$((base + 1)) two=$((base + 2)) through_haproxy=$((base + 3)) through_respite=$((base + 4))
redis=$((base + 5)) admin=$((base + 6))

large=$(head -c 10240 /dev/zero | tr '\0' x)
printf '%s' "$large" >"$dir/large"
common='
global
    nbthread 1
    maxconn 4000
    tune.bufsize 32768
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout check 5s
'
cat >"$dir/backend.cfg" <<END
$common
frontend one
    bind 127.0.0.1:$one
    bind 127.0.0.1:$two
    http-request return status 200 content-type text/plain file $dir/large if { path /large }
    http-request return status 200 content-type text/plain string ok
END
cat >"$dir/haproxy.cfg" <<END
$common
    option forwardfor
    http-reuse always
    option httpchk GET /health
frontend f
    bind 127.0.0.1:$through_haproxy
    default_backend b
backend b
    balance leastconn
    server one 127.0.0.1:$one check inter 1s
    server two 127.0.0.1:$two check inter 1s
END
cat >"$dir/services.yaml" <<END
app:
  servers: ['127.0.0.1:$one', '127.0.0.1:$two']
  polling: {method: health, endpoint: /health, frequency: 1}
  apis: [/]
END

start() {
    core=$1
    shift
    taskset -c "$core" "$@" >>"$dir/log" 2>&1 &
    pid=$!
    pids="$pids $pid"
}
start 1 haproxy -db -f "$dir/backend.cfg"
start 0 haproxy -db -f "$dir/haproxy.cfg"
haproxy_pid=$pid
RESPITE_GATEWAY__LISTEN=127.0.0.1:$through_respite RESPITE_GATEWAY__SERVICES=$dir/services.yaml \
    RESPITE_GATEWAY__THREADS=1 start 0 "$respite" serve --workers 1 --listen "127.0.0.1:$redis" \
    --http "127.0.0.1:$admin" --log-level warn
respite_pid=$pid

# Until each answers with 200.
for port in $one $through_haproxy $through_respite; do
    tries=0
    until curl -sf -o "$dir/answer" "http://127.0.0.1:$port/"; do
        tries=$((tries + 1))
        if [ $tries = 100 ]; then
            echo "gateway: nothing on port $port" >&2
            cat "$dir/log" >&2
            exit 1
        fi
        sleep 0.1
    done
done

# Processor time of a process and its threads, in clock ticks.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
hertz=$(getconf CLK_TCK)

# One run: name, port, pid of the proxy or 0, connections, path.
measure() {
    before=0
    if [ "$3" != 0 ]; then before=$(ticks "$3"); fi
    taskset -c 1 wrk -t1 -c"$4" -d"${seconds}s" --latency "http://127.0.0.1:$2$5" >"$dir/wrk"
    after=0
    if [ "$3" != 0 ]; then after=$(ticks "$3"); fi
    awk -v name="$1" -v load="$4 $5" -v ticks=$((after - before)) -v hertz="$hertz" '
        / requests in / { requests = $1 }
        /Requests\/sec/ { rate = $2 }
        /99%/ { p99 = $2 }
        /Non-2xx|Socket errors/ { print "gateway: " name ", " load ":" $0 > "/dev/stderr" }
        END {
            unit = p99 ~ /us$/ ? 0.001 : p99 ~ /ms$/ ? 1 : 1000
            printf "%s %s %.0f %.3f %.2f\n", name, load, rate, p99 * unit, ticks / hertz * 1e6 / requests
        }' "$dir/wrk" >>"$dir/results"
}

for connections in 16 64 256; do
    for path in /small /large; do
        if [ $path = /large ] && [ $connections != 64 ]; then continue; fi
        measure warm $through_respite 0 $connections $path
        measure warm $through_haproxy 0 $connections $path
        round=0
        while [ $round -lt "$rounds" ]; do
            measure direct $one 0 $connections $path
            measure haproxy $through_haproxy $haproxy_pid $connections $path
            measure respite $through_respite $respite_pid $connections $path
            round=$((round + 1))
        done
    done
done

awk '
function median(list, n,    i, j, t) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
        t = list[j]; list[j] = list[j - 1]; list[j - 1] = t
    }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
function of(name, load, field,    i, n, list) {
    for (i = 1; i <= count[name, load]; i++) list[++n] = value[name, load, field, i]
    return median(list, n)
}
$1 != "warm" {
    load = $2 " " $3
    if (!(load in known)) { known[load]; order[++loads] = load }
    n = ++count[$1, load]
    value[$1, load, "rate", n] = $4
    value[$1, load, "p99", n] = $5
    value[$1, load, "cpu", n] = $6
    if ($1 == "respite") value["ratio", load, "rate", n] = $4 / value["haproxy", load, "rate", n]
    if ($1 == "respite") count["ratio", load] = n
}
END {
    print "| connections, path | | requests/s | p99 ms | processor time per request |"
    print "|---|---|---|---|---|"
    for (l = 1; l <= loads; l++) {
        load = order[l]
        title = load
        sub(" ", ", ", title)
        printf "| %s | backend alone | %d | %.2f | |\n", title, of("direct", load, "rate"), of("direct", load, "p99")
        printf "| | HAProxy | %d | %.2f | %.1f us |\n", of("haproxy", load, "rate"), of("haproxy", load, "p99"), of("haproxy", load, "cpu")
        printf "| | Respite | %d | %.2f | %.1f us |\n", of("respite", load, "rate"), of("respite", load, "p99"), of("respite", load, "cpu")
        printf "| | **ratio of the rates** | **%.2f** | | |\n", of("ratio", load, "rate")
    }
}' "$dir/results"
