#!/bin/bash
# Compares reading a whole dump: `sealift inspect`, keys and all, and `pg_restore -f /dev/null`.
#
# Usage: benches/inspect.sh [THOUSANDS_OF_ROWS]
#
# The dumps are those of the fixtures' databases, loaded into a real server, with so many thousand rows
# more in the table that grows, and dumped again: with gzip, as the sidecar does it, and uncompressed.
# Each pair of figures is the best of five runs that take turns. Needs root (the server runs as nobody)
# and GNU time as /usr/bin/time; PostgreSQL 18 comes from tests/postgres.sh.
set -euo pipefail

rows=${1:-1500}
root=$(cd "$(dirname "$0")/.." && pwd)
cargo build --release --quiet --manifest-path "$root/Cargo.toml"
sealift=$root/target/release/sealift
nights=$root/fixtures/nights
kept=$("$root/tests/postgres.sh" | awk '$1 == 18 { print $2 }')

work=$(mktemp -d "${TMPDIR:-/tmp}/sealift-inspect.XXXXXX")
chmod 755 "$work"
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
cleanup() {
    [ ! -e "$work/data/postmaster.pid" ] || kill -QUIT "$(head -n 1 "$work/data/postmaster.pid")" || true
    rm -rf "$work"
}
trap cleanup EXIT

# Nobody may not be let in where the project lies.
cp -r "$(dirname "$(dirname "$kept")")/.." "$work/builds"
bin=$(find "$work/builds" -path '*18/bin/pg_restore' -printf '%h\n')
export PATH=$bin:$PATH PGHOST=$work/socket PGUSER=postgres
mkdir "$work/data" "$work/socket"
chown 65534:65534 "$work/data" "$work/socket"
cd "$work"
as_nobody initdb -D data -U postgres -A trust --no-sync -E UTF8 --locale=C >log
as_nobody pg_ctl -D data -w -l socket/log start >log \
    -o "-k $work/socket -c listen_addresses= -c fsync=off -c max_wal_size=8GB"

for half in app zitadel; do
    createdb "$half"
    pg_restore -d "$half" --no-owner "$nights/$half-20260103-030000.dump"
done
psql -qd app -v rows="$rows" <<'SQL'
INSERT INTO system_audit_log (at, "actorId", action, before, after)
SELECT timestamptz '2026-01-01' + n * interval '1 second', md5((n % 500)::text), 'asset.updated',
    jsonb_build_object('name', md5(n::text), 'status', 'IN_USE', 'notes', repeat('as it was ', n % 30)),
    jsonb_build_object('name', md5((n + 1)::text), 'status', 'IN_STOCK', 'by', md5((n % 500)::text))
FROM generate_series(1, :rows * 1000) n;
SQL
psql -qd zitadel -v rows="$rows" <<'SQL'
INSERT INTO eventstore.events2
SELECT 'instance', 'user', md5((n % 5000)::text), 'user.token.added', 1000000 + n, 2,
    timestamptz '2026-01-01' + n * interval '1 second',
    jsonb_build_object('tokenId', md5(n::text), 'applicationId', md5('app'), 'userAgentId', md5((n % 900)::text),
        'audience', jsonb_build_array(md5('a'), md5('b')), 'scopes', jsonb_build_array('openid', 'profile', 'email')),
    'system', 'owner', 1700000000 + n, 0
FROM generate_series(1, :rows * 1000) n;
SQL
for half in app zitadel; do
    pg_dump -Fc "$half" >"$half-gzip.dump"
    pg_dump -Fc -Z0 "$half" >"$half-none.dump"
done

# run NAME COMMAND...: notes seconds and KiB of a run.
run() {
    local name=$1
    shift
    /usr/bin/time -f '%e %M' -o time.txt "$@" >out.txt 2>err.txt || {
        cat err.txt >&2
        exit 1
    }
    cat time.txt >>"runs-$name.txt"
}

fastest() { sort -n "runs-$1.txt" | sed -n 1p; }

echo "| dump | MB | pg_restore s | inspect s | ratio | pg_restore MiB | inspect MiB |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
for dump in app-gzip app-none zitadel-gzip zitadel-none; do
    rm -f runs-*.txt
    for _ in 1 2 3 4 5; do
        run pg_restore pg_restore -f /dev/null "$dump.dump"
        run inspect "$sealift" inspect "$dump.dump" --env-file "$nights/.env.prod"
    done
    grep -q 'is proven' out.txt # what was measured did its work
    echo "$dump $(stat -c %s "$dump.dump") $(fastest pg_restore) $(fastest inspect)" | awk '{
        printf "| %s | %.0f | %.2f | %.2f | %.2f | %.1f | %.1f |\n",
            $1, $2 / 1e6, $3, $5, $3 / $5, $4 / 1024, $6 / 1024
    }'
done
