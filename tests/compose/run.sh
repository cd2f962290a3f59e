#!/bin/sh
# Runs what docker-compose.yml runs, without containers: the same entry points with the same environment, in the same
# order, as processes of this machine. moto stands in the place of the object store, and hosts and ports are replaced.
# Checks docker-compose.yml first. What no image is built of here, no test covers: the Dockerfile.
#
#   TAMIS              the binary (default: target/debug/tamis)
#   TAMIS_TEST_PYTHON  a Python with moto[server], boto3, PyYAML and jsonschema (default: one is made in TAMIS_TEST_VENV)
#   TAMIS_TEST_VENV    where it is kept (default: ~/.cache/tamis-ci/compose)
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
. "$here/../venv.sh"
TAMIS=${TAMIS:-$root/target/debug/tamis}
if ! [ -x "$TAMIS" ]; then
    echo "there is no $TAMIS: cargo build --workspace makes it, or TAMIS names another" >&2
    exit 2
fi
TAMIS=$(realpath -- "$TAMIS")

python=${TAMIS_TEST_PYTHON:-}
if [ -z "$python" ]; then
    venv=${TAMIS_TEST_VENV:-$HOME/.cache/tamis-ci/compose}
    venv "$venv" 'moto[server]==5.2.5' boto3==1.44.8 PyYAML==6.0.4 jsonschema==4.26.0
    python=$venv/bin/python
fi

scratch=$(mktemp -d)
pids=''
finish() {
    status=$?
    trap - EXIT INT TERM
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || true
    done
    if [ "$status" -ne 0 ]; then
        for log in "$scratch"/*.log; do
            echo "== $log" >&2
            tail -n 20 "$log" >&2
        done
    fi
    rm -rf -- "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { printf '== %s\n' "$1"; }
fail() { echo "error: $1" >&2; exit 1; }

free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# in_service SERVICE BIND COMMAND...: runs a command with the environment that the service has, hosts and ports replaced.
in_service() {
    service=$1 bind=$2
    shift 2
    "$python" "$here/check.py" --environment "$service" | sed \
        -e "s|^TAMIS_CONFIG=.*|TAMIS_CONFIG=$root/docker/tamis.toml|" \
        -e "s|^TAMIS_BIND=.*|TAMIS_BIND=$bind|" \
        -e "s|//store:8333|//127.0.0.1:$store|" \
        -e "s|//scheduler:50050|//127.0.0.1:$scheduler|" > "$scratch/$service.env"
    # What this shell has set is not what a container has.
    # shellcheck disable=SC2016  # the inner shell expands it
    exec env -i PATH="$PATH" HOME="$scratch" TMPDIR="${own_tmp:-$scratch}" TAMIS_PROGRAM="$TAMIS" sh -c '
        while IFS= read -r line; do export "$line"; done < "$0"
        exec "$@"' "$scratch/$service.env" "$@"
}

until_answers() {
    for _ in $(seq 150); do
        if curl --silent --fail --max-time 2 --output /dev/null "$1"; then return 0; fi
        sleep 0.2
    done
    fail "$1 does not answer"
}

step 'the file'
"$python" "$here/check.py" | tail -n 1
if env -u TAMIS_CLUSTER_SECRET "$python" "$here/check.py" --environment scheduler 2> "$scratch/refused.log"; then
    fail 'a scheduler would start without a secret'
fi
grep -q TAMIS_CLUSTER_SECRET "$scratch/refused.log" || fail 'nothing tells that the secret is missing'

TAMIS_CLUSTER_SECRET=$("$python" -c 'import secrets; print(secrets.token_hex(32))')
export TAMIS_CLUSTER_SECRET
store=$(free_port) scheduler=$(free_port)

step 'store'
"$python" -c 'import sys; from moto.server import main; sys.exit(main(sys.argv[1:]))' -H 127.0.0.1 -p "$store" \
    > "$scratch/store.log" 2>&1 &
pids="$pids $!"
until_answers "http://127.0.0.1:$store/moto-api/"

step 'loader, twice: the second time changes nothing'
for _ in 1 2; do
    (in_service loader none env TAMIS_LOAD_FROM="$root/examples/corpus" "$python" "$root/docker/load.py")
done

step 'scheduler'
"$python" "$here/check.py" --command scheduler > "$scratch/command"
(in_service scheduler "127.0.0.1:$scheduler" sh "$root/docker/tamis.sh" "$(cat "$scratch/command")") \
    > "$scratch/scheduler.log" 2>&1 &
scheduler_pid=$!
pids="$pids $scheduler_pid"
until_answers "http://127.0.0.1:$scheduler/healthz"
TAMIS_BIND=127.0.0.1:$scheduler sh "$root/docker/health.sh"

step 'executors'
"$python" "$here/check.py" --command executor > "$scratch/command"
executor_pids=''
for n in 1 2; do
    port=$(free_port) own_tmp=$scratch/executor-$n
    mkdir -p "$own_tmp/tamis-executor-of-a-killed-one"
    # Every address, as in a container: the entry point finds out which one to advertise.
    (in_service executor "0.0.0.0:$port" sh "$root/docker/tamis.sh" "$(cat "$scratch/command")") \
        > "$scratch/executor-$n.log" 2>&1 &
    executor_pids="$executor_pids $!"
    pids="$pids $!"
    until_answers "http://127.0.0.1:$port/healthz"
    TAMIS_BIND=0.0.0.0:$port sh "$root/docker/health.sh"
    [ ! -e "$own_tmp/tamis-executor-of-a-killed-one" ] || fail 'what a killed executor left is still there'
done
own_tmp=''
for _ in $(seq 100); do
    ready=$(curl --silent "http://127.0.0.1:$scheduler/readyz")
    [ "$ready" = '2 executors' ] && break
    sleep 0.2
done
[ "$ready" = '2 executors' ] || fail "the scheduler has: $ready"

query() {
    # The service's command, an argument a line; the query is one of them.
    set --
    "$python" "$here/check.py" --command query > "$scratch/command"
    while IFS= read -r line || [ -n "$line" ]; do
        set -- "$@" "$(printf '%s' "$line" | sed "s|//scheduler:50050|//127.0.0.1:$scheduler|")"
    done < "$scratch/command"
    (in_service query none sh "$root/docker/tamis.sh" "$@")
}
uids() { sed -n 's/^| \([0-9a-f]\{32\}\) .*/\1/p' "$1"; }
counted() {
    curl --silent "http://127.0.0.1:$scheduler/api/progress" \
        | "$python" -c 'import json, sys; print(json.load(sys.stdin)["total"][sys.argv[1]])' "$1"
}

step 'the documented query'
query > "$scratch/first"
cat "$scratch/first"
# Ten rows between the frame and the heading.
[ "$(grep -c '^|' "$scratch/first")" -eq 11 ] || fail 'expected a heading and ten rows'
sleep 1.5
scored=$(counted rows_scored)
[ "$scored" -gt 0 ] || fail 'no row was scored'

step 'again, until all of it is remembered'
# An executor knows at once what it has scored itself; what another has scored is in the store within ten seconds, and is
# looked for there every thirty (docs/cache.md). Which of them gets which task is not fixed.
uids "$scratch/first" > "$scratch/uids"
before=$scored again=$((scored + 1)) began=$(date +%s)
while [ "$again" -gt "$before" ]; do
    [ $(($(date +%s) - began)) -lt 120 ] || fail 'rows are scored again and again'
    before=$(counted rows_scored)
    query > "$scratch/second"
    # A row that is scored again, in another batch, may get another last digit.
    uids "$scratch/second" | cmp - "$scratch/uids" || fail 'the second answer is another'
    sleep 1.5
    again=$(counted rows_scored)
    echo "scored $((again - before)) of $scored rows again"
done
[ "$(counted cache_hits)" -ge "$scored" ] || fail "only $(counted cache_hits) scores were remembered"

step 'a caller without the secret is no member'
status=$(curl --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$port/tamis/status")
[ "$status" = 401 ] || fail "an executor answered $status"

step 'SIGTERM, in the order in which compose stops services'
for pid in $executor_pids; do
    kill -TERM "$pid"
done
for pid in $executor_pids; do
    wait "$pid" || fail "an executor ended with $?"
done
for _ in $(seq 25); do
    ready=$(curl --silent "http://127.0.0.1:$scheduler/readyz")
    [ "$ready" = 'no executor' ] && break
    sleep 0.2
done
[ "$(grep -c 'it has left' "$scratch/scheduler.log")" -eq 2 ] || fail 'the executors did not say that they go'
kill -TERM "$scheduler_pid"
wait "$scheduler_pid" || fail "the scheduler ended with $?"
echo 'all ended with 0'
