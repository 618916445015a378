#!/usr/bin/env bash
# Feeds the readers hostile bytes: tests/fuzz/run.sh [SECONDS [TARGET...]]
#
# Each target runs for SECONDS, 600 if not given; the end is an error if one of them found anything.
# It needs a nightly toolchain, cargo-fuzz (cargo install cargo-fuzz --locked) and python3. All that
# it makes is under target/fuzz: corpus/ is kept for the next run, artifacts/ has the findings.
#
# The limits are promises of the readers, as small as they hold. The dump reader never allocates 17
# MiB at once: the window of zstd is 16 MiB at most, and three of its blocks come with it; lz4
# takes less, twice. The env file and its values are bounded by 1 and 4 MiB, and a buffer that grows has
# twice its length at most, so 8 MiB are never reached.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-600}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(env_file dump)

here=tests/fuzz
out=target/fuzz
fuzz() {
    cargo +nightly fuzz "$1" --fuzz-dir "$here" --target-dir "$out" "${@:2}"
}

python3 "$here/seeds.py" "$out/seeds"
# None that is longer than -max_len below: what is cut is no dump.
find fixtures/majors fixtures/fresh fixtures/nights -name '*.dump' -size -65537c \
    -exec cp {} "$out/seeds/dump" \;
cp fixtures/nights/.env.prod "$out/seeds/env_file/nights"

# Freed memory is kept back, to be found if it is used; with the 256 MiB that are usual, what the
# readers themselves hold could not be seen.
export ASAN_OPTIONS=quarantine_size_mb=8

failed=()
for target in "${targets[@]}"; do
    case $target in
        dump) limits=(-max_len=65536 -malloc_limit_mb=17 -rss_limit_mb=256) ;;
        env_file) limits=(-max_len=8192 -malloc_limit_mb=8 -rss_limit_mb=256) ;;
        *) echo "$target is not a target" >&2 && exit 2 ;;
    esac
    mkdir -p "$out/corpus/$target" "$out/artifacts/$target"
    fuzz run "$target" "$out/corpus/$target" "$out/seeds/$target" -- "${limits[@]}" \
        -max_total_time="$seconds" -timeout=10 -dict="$here/$target.dict" \
        -artifact_prefix="$out/artifacts/$target/" -print_final_stats=1 || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "findings in ${failed[*]}: see $out/artifacts" >&2
    exit 1
fi
