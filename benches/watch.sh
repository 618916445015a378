#!/bin/bash
# Measures what a watch takes: CPU time while nothing happens, and peak resident memory after many pairs.
#
# Usage: benches/watch.sh [PAIRS] [SECONDS] [WORK_DIR]
#
# A watch of PAIRS pairs (1000 unless said otherwise): half of them are there when it starts, the others
# come in tens. Then nothing happens for SECONDS (60). The pairs are those of the fixtures under other
# stamps, so nearly all of what they hold is archived already.
pairs=${1:-1000}
quiet=${2:-60}
set -- 1 "${3:-${TMPDIR:-/tmp}}"
. "$(dirname "$0")/night.sh"

# put FIRST LAST: pairs whose stamps are days apart.
put() {
    local number stamp half
    for number in $(seq "$1" "$2"); do
        stamp=$(date -u -d "2020-01-01 + $number days" +%Y%m%d)-030000
        for half in app zitadel; do
            cp "$nights/$half-2026010$((number % 3 + 1))-030000.dump" "backups/$half-$stamp.dump.partial"
            mv "backups/$half-$stamp.dump.partial" "backups/$half-$stamp.dump"
        done
    done
}

archived() { grep -c '^archived ' out.txt || true; }

# ticks: CPU time of the watch so far, in ticks of the kernel's clock.
ticks() { sed 's/.*) //' "/proc/$watch/stat" | awk '{ print $12 + $13 }'; }

put 1 $((pairs / 2))
start=$(date +%s)
"$sealift" watch >out.txt 2>err.txt &
watch=$!
trap 'kill "$watch"; rm -rf "$work"' EXIT
for first in $(seq $((pairs / 2 + 1)) 10 "$pairs"); do
    put "$first" $((first + 9 < pairs ? first + 9 : pairs))
    sleep 1
done
until [ "$(archived)" -ge "$pairs" ]; do
    kill -0 "$watch"
    sleep 1
done
took=$(($(date +%s) - start))
sleep 10
before=$(ticks)
sleep "$quiet"
after=$(ticks)
echo "| pairs | seconds | CPU seconds | peak MiB | resident MiB | idle CPU % over $quiet s |"
echo "| --- | --- | --- | --- | --- | --- |"
{
    echo "$(archived) $took $before $(getconf CLK_TCK) $((after - before)) $quiet"
    awk '/^VmHWM|^VmRSS/ { print $2 }' "/proc/$watch/status"
} | tr '\n' ' ' | awk '{
    printf "| %d | %d | %.1f | %.1f | %.1f | %.3f |\n", $1, $2, $3 / $4, $7 / 1024, $8 / 1024, $5 / $4 / $6 * 100
}'
if [ -s err.txt ]; then
    echo "it complained:"
    cat err.txt
fi
