#!/bin/bash
# Runs a static program where there is little: 256 MiB and half a core for it and pg_dump together, and a root
# directory that holds nothing else.
#
# Usage: benches/small_host.sh PROGRAM [SIZE_MIB] [WORK_DIR]
# PROGRAM is what deploy/static.sh has made. Needs root, cgroups of version 1 or 2 that may be made, and what
# tests/postgres.sh needs.
set -eu

program=$(realpath "$1")
size=${2:-512}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${3:-${TMPDIR:-/tmp}}/sealift-small.XXXXXX")
chmod 755 "$work"
limit=$((256 * 1024 * 1024))
groups=()
server=
finish() {
    [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
    wait
    for group in "${groups[@]}"; do rmdir "$group" || true; done
    rm -rf "$work"
}
trap finish EXIT
! readelf --program-headers "$program" | grep INTERP || { echo "error: $program is not static" >&2; exit 2; }

# within COMMAND...: in 256 MiB and half a core, and how much memory that took at most.
if [ -w /sys/fs/cgroup/cgroup.procs ]; then
    group=/sys/fs/cgroup/sealift-small
    mkdir "$group"
    groups=("$group")
    echo $limit >"$group/memory.max"
    echo 0 >"$group/memory.swap.max" 2>/dev/null || true
    echo "50000 100000" >"$group/cpu.max"
    peak() { cat "$group/memory.peak"; }
    killed() { awk '/^oom_kill /{print $2}' "$group/memory.events"; }
else
    groups=(/sys/fs/cgroup/memory/sealift-small /sys/fs/cgroup/cpu/sealift-small)
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
        exec /usr/bin/time -f '%e %M' -o "$work/time" "$@"
    )
}
tell() {
    read -r seconds resident <"$work/time"
    awk -v name="$1" -v seconds="$seconds" -v resident="$resident" -v peak="$(peak)" -v killed="$(killed)" 'BEGIN {
        printf "| %s | %.0f | %.1f | %.0f | %d |\n", name, seconds, resident / 1024, peak / 1048576, killed
    }'
}

# A server with SIZE_MIB of text that hardly compresses, beside the fixtures' own rows.
bin=$("$root/tests/postgres.sh" "$root/target/postgres" | awk '$1 == 18 { print $2 }')
mkdir "$work/server"
chown nobody: "$work/server"
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups -- "$@"; }
cd "$work"
as_nobody "$bin/initdb" -A trust -U lazyit --locale=C --encoding=UTF8 --no-sync -D server/data >/dev/null
as_nobody "$bin/postgres" -D server/data -k "$work/server" -c listen_addresses= -c fsync=off >server.log 2>&1 &
server=$!
until grep -q 'ready to accept' server.log; do sleep 0.2; done
psql() { "$bin/psql" -Xq -h "$work/server" -U lazyit "$@"; }
psql -d postgres -c 'CREATE DATABASE lazyit'
"$bin/pg_restore" -h "$work/server" -U lazyit -d lazyit --no-owner "$root/fixtures/nights/app-20260101-030000.dump"
psql -d lazyit -c "CREATE TABLE noise AS SELECT i, (SELECT string_agg(encode(sha512((i::text || ' ' || j::text)::bytea), 'base64'), '')
    FROM generate_series(1, 12) j) AS text FROM generate_series(1, $size * 1024) i"

mkdir backups
cp "$root/fixtures/nights/.env.prod" .env.prod
"$program" init --store store --env-file .env.prod --auth-mode local >init.txt
echo "| what | seconds | its resident MiB | MiB of all, caches included | killed |"
echo "| --- | --- | --- | --- | --- |"
within "$program" dump --postgres-host "$work/server" --postgres-user lazyit --postgres-db lazyit \
    --postgres-programs "$bin" >dump.txt
tell "dump (pg_dump beside it) and push, $(stat -c %s backups/*.dump | awk '{ printf "%d MiB", $1 / 1048576 }') of dump"

# An empty root: the program, the settings, and what it is to read and write.
mkdir empty
cp "$program" empty/sealift
cp .env.prod sealift.toml sealift-signing-key sealift-allowed-signers empty/
mv backups empty/backups
mkdir empty/store
sed -i 's|^store = .*|store = "/store"|' empty/sealift.toml
within chroot "$work/empty" /sealift push >push.txt
tell "push in an empty root"
within chroot "$work/empty" /sealift verify >verify.txt
chroot "$work/empty" /sealift watch --poll 1s >watch.txt 2>watch.err &
watch=$!
until chroot "$work/empty" /sealift health >health.txt 2>/dev/null; do sleep 0.2; done
kill -TERM $watch
wait $watch
cat health.txt
mkdir empty/kit
cp recovery-kit/* empty/kit/
within chroot "$work/empty" /sealift fetch --latest --identity kit/identity.txt --out /out >fetch.txt
tell "fetch in an empty root"
cmp empty/backups/*.dump empty/out/app-*.dump
