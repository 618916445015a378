# Sourced by the scripts beside it, with SIZE_MIB and WORK_DIR as arguments: a host with an empty backups folder,
# `night` to put a pair into it, and `measure` to run something.
#
# The dump is a real one with incompressible rows: the worst case for the size of blobs.
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

heading() {
    echo "| $size MiB | peak MiB | seconds | CPU seconds | MiB/s |"
    echo "| --- | --- | --- | --- | --- |"
}

# night STAMP: a pair whose app dump has SIZE_MIB of noise among its rows, the same each time, and
# CHANGED MiB in the middle of it that are new each time.
night() {
    cp "$nights/zitadel-20260101-030000.dump" "backups/zitadel-$1.dump"
    python3 - "$root/fixtures" "$size" "$2" "backups/app-$1.dump" <<'PYTHON'
import os
import random
import sys
from pathlib import Path

fixtures, size, changed, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
sys.path.insert(0, fixtures)
sys.dont_write_bytecode = True
import check

small = Path(fixtures, "majors/pg18-none-pipe.dump").read_bytes()
# One of its tables under a name of lazyit's, as far as names go.
named = lambda name: b"\0" + len(name).to_bytes(4, "little") + name
small = small.replace(named(b"child"), named(b"workflow_secrets"))
rows = check.Dump(small).blocks_at + 6  # behind the type of the first block and its entry's id
noise = random.Random(1)
with open(out, "wb") as file:
    file.write(small[:rows])
    for number in range(size):
        piece = noise.randbytes(1 << 20)
        if abs(number - size // 2) * 2 < changed:
            piece = os.urandom(1 << 20)
        file.write(b"\0" + len(piece).to_bytes(4, "little") + piece)
    file.write(small[rows:])
PYTHON
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

