#!/bin/bash
# Runs a static program where there is little: 256 MiB and half a core for it and pg_dump together, and a root
# directory that holds nothing else.
#
# Usage: benches/small_host.sh PROGRAM [SIZE_MIB] [WORK_DIR]
# PROGRAM is what deploy/static.sh has made. Needs root, cgroups of version 1 or 2 that may be made, and what
# tests/postgres.sh needs. No program sees the environment of whoever runs this, and every part has its time.
set -eu

program=$(realpath "$1")
size=${2:-512}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${3:-${TMPDIR:-/tmp}}/sealift-small.XXXXXX")
chmod 755 "$work"
limit=$((256 * 1024 * 1024))
groups=()
server=
watch=
finish() {
    [ -z "$watch" ] || kill -KILL "$watch" 2>/dev/null || true
    [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
    wait
    # What was given up may take a moment to end.
    for group in "${groups[@]}"; do
        for _ in 1 2 3 4 5; do
            xargs -r kill -KILL <"$group/cgroup.procs" 2>/dev/null || true
            ! rmdir "$group" 2>/dev/null || break
            sleep 1
        done
        [ ! -d "$group" ] || echo "warning: $group is left" >&2
    done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 143' TERM INT

fail() {
    echo "error: $1" >&2
    exit 1
}
clean="env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# part SECONDS WHAT COMMAND...: with nothing in its environment, and killed when its time is over.
part() {
    local seconds=$1 what=$2 code=0
    shift 2
    $clean timeout --kill-after=5 "$seconds" "$@" || code=$?
    case $code in
    0) ;;
    124) fail "$what did not end within $seconds s" ;;
    137) fail "$what was killed: too little memory, or $seconds s were over" ;;
    *) fail "$what ended with code $code" ;;
    esac
}
# come_true SECONDS WHAT COMMAND...: waits until the command succeeds.
come_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until $clean timeout --kill-after=5 10 "$@" >come_true.log 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { cat come_true.log >&2; fail "$what"; }
        sleep 0.2
    done
}

! readelf --program-headers "$program" | grep INTERP || { echo "error: $program is not static" >&2; exit 2; }

# within SECONDS WHAT COMMAND...: in 256 MiB and half a core, and how much memory that took at most.
if [ -w /sys/fs/cgroup/cgroup.procs ]; then
    group=/sys/fs/cgroup/sealift-small.$$
    mkdir "$group"
    groups=("$group")
    echo $limit >"$group/memory.max"
    echo 0 >"$group/memory.swap.max" 2>/dev/null || true
    echo "50000 100000" >"$group/cpu.max"
    peak() { cat "$group/memory.peak"; }
    killed() { awk '/^oom_kill /{print $2}' "$group/memory.events"; }
else
    groups=(/sys/fs/cgroup/memory/sealift-small.$$ /sys/fs/cgroup/cpu/sealift-small.$$)
    mkdir "${groups[@]}"
    echo $limit >"${groups[0]}/memory.limit_in_bytes"
    echo 100000 >"${groups[1]}/cpu.cfs_period_us"
    echo 50000 >"${groups[1]}/cpu.cfs_quota_us"
    peak() { cat "${groups[0]}/memory.max_usage_in_bytes"; }
    killed() { awk '/^oom_kill /{print $2}' "${groups[0]}/memory.oom_control"; }
fi
within() {
    (
        for group in "${groups[@]}"; do echo $BASHPID >"$group/cgroup.procs"; done
        seconds=$1 what=$2
        shift 2
        part "$seconds" "$what" /usr/bin/time -f '%e %M' -o "$work/time" "$@"
    )
}
tell() {
    read -r seconds resident <"$work/time"
    awk -v name="$1" -v seconds="$seconds" -v resident="$resident" -v peak="$(peak)" -v killed="$(killed)" 'BEGIN {
        printf "| %s | %.0f | %.1f | %.0f | %d |\n", name, seconds, resident / 1024, peak / 1048576, killed
    }'
}

# A server with SIZE_MIB of text that hardly compresses, beside the fixtures' own rows.
bin=$(timeout 900 "$root/tests/postgres.sh" "$root/target/postgres" | awk '$1 == 18 { print $2 }')
mkdir "$work/server"
chown nobody: "$work/server"
[ -x "$bin/postgres" ] || fail "tests/postgres.sh has no PostgreSQL 18"
as_nobody="setpriv --reuid=nobody --regid=nogroup --clear-groups --"
cd "$work"
part 120 initdb $as_nobody "$bin/initdb" -A trust -U lazyit --locale=C --encoding=UTF8 --no-sync -D server/data >/dev/null
$clean $as_nobody "$bin/postgres" -D server/data -k "$work/server" -c listen_addresses= -c fsync=off >server.log 2>&1 &
server=$!
come_true 60 "the server does not start" "$bin/psql" -Xq -h "$work/server" -U lazyit -d postgres -c 'SELECT 1'
psql() { part 600 psql "$bin/psql" -Xq -h "$work/server" -U lazyit "$@"; }
psql -d postgres -c 'CREATE DATABASE lazyit'
part 120 pg_restore "$bin/pg_restore" -h "$work/server" -U lazyit -d lazyit --no-owner "$root/fixtures/nights/app-20260101-030000.dump"
psql -d lazyit -c "CREATE TABLE noise AS SELECT i, (SELECT string_agg(encode(sha512((i::text || ' ' || j::text)::bytea), 'base64'), '')
    FROM generate_series(1, 12) j) AS text FROM generate_series(1, $size * 1024) i"

mkdir backups
cp "$root/fixtures/nights/.env.prod" .env.prod
part 60 init "$program" init --store store --env-file .env.prod --auth-mode local >init.txt
echo "| what | seconds | its resident MiB | MiB of all, caches included | killed |"
echo "| --- | --- | --- | --- | --- |"
within 1200 dump "$program" dump --postgres-host "$work/server" --postgres-user lazyit --postgres-db lazyit \
    --postgres-programs "$bin" >dump.txt
tell "dump (pg_dump beside it) and push, $(stat -c %s backups/*.dump | awk '{ printf "%d MiB", $1 / 1048576 }') of dump"

# An empty root: the program, the settings, and what it is to read and write.
mkdir empty
cp "$program" empty/sealift
cp .env.prod sealift.toml sealift-signing-key sealift-allowed-signers empty/
mv backups empty/backups
mkdir empty/store
sed -i 's|^store = .*|store = "/store"|' empty/sealift.toml
within 600 push chroot "$work/empty" /sealift push >push.txt
tell "push in an empty root"
within 300 verify chroot "$work/empty" /sealift verify >verify.txt
$clean chroot "$work/empty" /sealift watch --poll 1s >watch.txt 2>watch.err &
watch=$!
come_true 60 "watch shows no sign of life" chroot "$work/empty" /sealift health
mv come_true.log health.txt
kill -TERM $watch
come_true 60 "watch goes on after SIGTERM" sh -c "! kill -0 $watch"
wait $watch || fail "watch ended with code $?"
watch=
cat health.txt
mkdir empty/kit
cp recovery-kit/* empty/kit/
within 600 fetch chroot "$work/empty" /sealift fetch --latest --identity kit/identity.txt --out /out >fetch.txt
tell "fetch in an empty root"
cmp empty/backups/*.dump empty/out/app-*.dump
