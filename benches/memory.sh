#!/bin/sh
# Measures peak resident memory and throughput of push, fetch and verify on a large dump.
#
# Usage: benches/memory.sh [SIZE_MIB] [WORK_DIR]
#
# The dump is a real one with incompressible bytes behind it: the worst case for the size of blobs.
# Needs GNU time as /usr/bin/time, and about four times SIZE_MIB of disk.
set -eu

size=${1:-2048}
work=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/sealift-memory.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$(cd "$(dirname "$0")/.." && pwd)
cargo build --release --quiet --manifest-path "$root/Cargo.toml"
sealift=$root/target/release/sealift
nights=$root/fixtures/nights

cd "$work"
mkdir backups
cp "$nights/.env.prod" .env.prod
cp -r "$nights/zitadel-secrets" zitadel-secrets
"$sealift" init --store store --env-file .env.prod --include zitadel-secrets=zitadel-secrets >init.txt

# night STAMP SEED: a pair whose app dump has SIZE_MIB of noise that depends on the seed.
night() {
    cp "$nights/app-20260101-030000.dump" "backups/app-$1.dump"
    cp "$nights/zitadel-20260101-030000.dump" "backups/zitadel-$1.dump"
    openssl enc -aes-128-ctr -K 00000000000000000000000000000000 -iv "000000000000000000000000000000$2" \
        -in /dev/zero 2>/dev/null | head -c "${size}M" >>"backups/app-$1.dump"
    touch -d '1 hour ago' "backups/app-$1.dump" "backups/zitadel-$1.dump"
}

# measure NAME COMMAND...: one line with peak memory and time.
measure() {
    name=$1
    shift
    /usr/bin/time -f '%M %e %U %S' -o time.txt "$@" >out.txt 2>err.txt || {
        cat err.txt >&2
        exit 1
    }
    read -r peak wall user system <time.txt
    echo "$name $peak $wall $user $system" | awk -v size="$size" '{
        printf "| %s | %.1f | %.1f | %.1f | %.0f |\n", $1, $2 / 1024, $3, $4 + $5, size / $3
    }'
}

echo "| $size MiB | peak MiB | seconds | CPU seconds | MiB/s |"
echo "| --- | --- | --- | --- | --- |"
night 20260101-030000 01
measure first-push "$sealift" push
night 20260102-030000 01
dd if=/dev/urandom of=backups/app-20260102-030000.dump bs=1M count=64 seek=$((size / 2)) conv=notrunc 2>/dev/null
touch -d '1 hour ago' backups/app-20260102-030000.dump
measure second-push "$sealift" push
measure repeated-push "$sealift" push backups/app-20260102-030000.dump
measure verify "$sealift" verify
measure fetch "$sealift" fetch --latest --identity recovery-kit/identity.txt --out fetched
cmp backups/app-20260102-030000.dump fetched/app-20260102-030000.dump
