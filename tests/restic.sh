#!/usr/bin/env bash
# restic, which decides what a policy keeps, for the tests: the system's own if it is young enough, else
# that of Debian 13, unpacked once into a folder of its own, and then kept.
#
#   tests/restic.sh [FOLDER]          (default: restic in Cargo's target folder)
#
# Prints one line, `restic PROGRAM`. Since 0.16 restic keeps the oldest snapshot while a rule has places
# left; Debian 12 has 0.14. Two of these may run at once: one of them unpacks, the other waits. A folder
# that has its name is whole, since it gets its name last; what a killed run has left is removed by the
# next. Time zones are read from the system's files, which a small installation lacks.
set -euo pipefail

kept=${1:-${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/restic}
mkdir -p "$kept"
kept=$(cd "$kept" && pwd)
folder=$kept/debian-13

# Whether it knows that rule.
is_young() {
    local help
    help=$("$1" forget --help 2> /dev/null) && [[ $help == *'the oldest snapshot in the group is kept'* ]]
}

make() {
    exec 9> "$kept/lock"
    flock 9
    [ ! -d "$folder" ] || return 0 # another run has made it meanwhile
    rm -rf "$kept"/making.*
    making=$(mktemp -d "$kept/making.XXXXXX")
    trap 'rm -rf "$making"' EXIT
    mkdir -p "$making/lists/partial" "$making/cache/archives/partial" "$making/whole"
    # The mirror that this system is installed from, and what signs it.
    local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
        awk '/\/debian\/$/ { mirror = $0 } END { print mirror }')
    echo "deb [signed-by=$keys] $mirror trixie main" > "$making/sources.list"
    local there=(-q -o "Dir::Etc::sourcelist=$making/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$making/lists" -o "Dir::Cache=$making/cache" -o APT::Sandbox::User=root)
    apt-get update "${there[@]}" >&2
    (cd "$making" && apt-get download "${there[@]}" restic >&2)
    dpkg-deb -x "$making"/restic_*.deb "$making/whole"
    # What does not run here must not be kept as if it did.
    is_young "$making/whole/usr/bin/restic"
    mv -T "$making/whole" "$folder"
}

if [ ! -e /usr/share/zoneinfo/Europe/Vienna ]; then
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends tzdata >&2
fi
own=$(command -v restic || true)
if [ -n "$own" ] && is_young "$own"; then
    echo "restic $own"
    exit
fi
[ -d "$folder" ] || make
echo "restic $folder/usr/bin/restic"
