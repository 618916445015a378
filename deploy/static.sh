#!/usr/bin/env bash
# One program that needs nothing of the system it runs on: no C library, no folder, no certificates.
#
#   deploy/static.sh [x86_64|aarch64] [musl|gnu]     (default: this machine, musl)
#
# Prints the path of the program. What is built with musl runs anywhere; it needs Debian's musl-tools and
# `rustup target add MACHINE-unknown-linux-musl`. What is built with gnu needs neither, and is for containers: on a
# host whose /etc/nsswitch.conf names more for `hosts` than `files` and `dns` (systemd's `resolve` and `myhostname`,
# for instance) the GNU C library loads the host's own modules when the first name is looked up, and ends with
# "Floating point exception" if they are of another version. For the other machine there is gnu alone; it needs
# Rust's library and Debian's linker for it, as gcc-aarch64-linux-gnu.
set -euo pipefail

here=$(uname -m)
machine=${1:-$here}
library=${2:-musl}
case $machine-$library in
x86_64-gnu | aarch64-gnu | "$here-musl") ;;
*) echo "error: there is no static build for $machine with $library here" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/.."
target=$machine-unknown-linux-$library
name=$(tr a-z- A-Z_ <<< "$target")

# Flags of all targets would replace those of this one, and the program would not be static.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
export "CARGO_TARGET_${name}_RUSTFLAGS=-C target-feature=+crt-static"
[ "$machine" = "$here" ] || export "CARGO_TARGET_${name}_LINKER=$machine-linux-gnu-gcc"
cargo build --release --locked --target "$target" >&2

program=$(realpath "${CARGO_TARGET_DIR:-target}")/$target/release/sealift
# A program that asks for a loader or a library is of no use where neither is.
headers=$(readelf --wide --program-headers --dynamic "$program")
if grep -E 'INTERP|\(NEEDED\)' <<< "$headers" >&2; then
    echo "error: $program is not static" >&2
    exit 1
fi
[ "$machine" != "$here" ] || "$program" --version >&2
echo "$program"
