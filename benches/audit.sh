#!/bin/sh
# Measures audit, verify and prune on stores of many archives.
#
# Usage: benches/audit.sh [ARCHIVES] [WORK_DIR]
#
# A store of ARCHIVES (10,000 unless said otherwise), twelve hours apart; the same of which all but 60 days were
# retired, each archive by a prune of its own; a bucket of 200 instances with 100 archives each; and
# stores of 1,000, 2,000, 4,000 and 8,000, which a prune plans for. Needs GNU time as /usr/bin/time, and
# about 3 KiB of disk and seven files for each archive. Ends with 1 if a bound is missed.
set -eu

archives=${1:-10000}
work=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/sealift-audit.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$(cd "$(dirname "$0")/.." && pwd)
cargo build --release --quiet --manifest-path "$root/Cargo.toml" --bins --example audit_store
sealift=$root/target/release/sealift
nights=$root/fixtures/nights

cd "$work"
mkdir backups
cp "$nights/.env.prod" .env.prod
cp -r "$nights/zitadel-secrets" zitadel-secrets
for night in 20260102-030000 20260103-030000; do
    cp "$nights/app-$night.dump" "$nights/zitadel-$night.dump" backups
done
touch -d '1 hour ago' backups/*
"$sealift" init --store store --env-file .env.prod --include zitadel-secrets=zitadel-secrets >init.txt
"$sealift" push >push.txt
# What lies on this host is no part of what is measured.
rm backups/*

# fill TARGET COUNT [KIND]
fill() {
    "$root/target/release/examples/audit_store" store lazyit sealift-signing-key "$@"
}

missed=0
# measure NAME ARCHIVES SECONDS MIB COMMAND...: one line, and a word if a bound is missed. 5 is an answer, too.
measure() {
    name=$1 count=$2 seconds=$3 mib=$4
    shift 4
    # Once to warm the caches: it is not the disk that is measured.
    "$@" >out.txt 2>err.txt || true
    code=0
    /usr/bin/time -q -f '%M %e %U %S' -o time.txt "$@" >out.txt 2>err.txt || code=$?
    case $code in 0 | 5) ;; *)
        cat err.txt >&2
        exit 1
        ;;
    esac
    read -r peak wall user system <time.txt
    echo "$name $count $peak $wall $user $system $seconds $mib" | awk '{
        printf "| %s | %d | %.1f | %.2f | %.2f | %.0f |", $1, $2, $3 / 1024, $4, $5 + $6, $4 * 1e6 / $2
        missed = $4 > $7 || $3 / 1024 > $8
        print missed ? " MISSED" : ""
        exit missed
    }' || missed=1
}

echo "| what | archives | peak MiB | seconds | CPU seconds | microseconds each |"
echo "| --- | --- | --- | --- | --- | --- |"
fill big "$archives"
measure audit "$archives" 10 64 "$sealift" audit --store big
measure audit-json "$archives" 10 64 "$sealift" audit --store big --json
measure audit-page "$archives" 10 64 "$sealift" audit --store big --html page.html
measure audit-policy "$archives" 10 64 "$sealift" audit --store big --keep-daily 30 --keep-monthly 12
measure verify "$archives" 10 64 "$sealift" verify --store big
rm -r big
fill retired "$archives" retired
measure audit-retired "$archives" 10 64 "$sealift" audit --store retired --keep-within 60d
# What every prune did was called for.
grep -q '^lazyit: ' out.txt && ! grep -q 'retirement-uncalled' out.txt
rm -r retired
for count in 1000 2000 4000 8000; do
    fill "plan-$count" "$count"
    measure prune-plan "$count" 10 64 "$sealift" prune --store "plan-$count" --keep-daily 30 --keep-monthly 12
    rm -r "plan-$count"
done
fill fleet 100 200
measure audit-fleet 20000 60 64 "$sealift" audit --store fleet --all-instances
measure fleet-json 20000 60 64 "$sealift" audit --store fleet --all-instances --json
exit "$missed"
