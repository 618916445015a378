#!/usr/bin/env bash
# The servers that speak a store's protocol, for the tests: installed once, and then kept.
#
#   tests/servers.sh [FOLDER]         (default: servers in Cargo's target folder)
#
# Prints a line for each, a name and a path: `moto`, `s3s-fs`, `azurite`, and `python`, the one of
# moto's environment, which runs tests/moto_s3.py and tests/gcs_shim.py. Two of these may run at
# once: one of them installs, the other waits. Python's environments and npm's links name the place
# where they are made, so an installation is made where it will stay, and gets its mark last; what
# has no mark is removed by the next run.
set -euo pipefail

moto=5.2.5
s3s_fs=0.14.1
azurite=3.35.0 # The last for Node below 22, which Debian 12 and 13 do not have.
# Azurite names ranges of what it needs: this takes what there was on that day.
day=2026-06-01
# All that moto's S3 needs. Its own extra, `server`, takes twice as much, for other services.
python_packages=(
    moto==$moto blinker==1.9.0 boto3==1.44.5 botocore==1.44.5 certifi==2026.10.18 cffi==2.1.1
    charset-normalizer==3.5.2 click==8.5.1 cryptography==50.0.2 flask==3.1.3 flask-cors==6.0.5
    idna==3.20 itsdangerous==2.2.0 jinja2==3.1.6 jmespath==1.1.0 markupsafe==3.0.4
    py-partiql-parser==0.6.3 pycparser==3.12 python-dateutil==2.9.0.post0 pyyaml==6.0.3
    requests==2.34.2 responses==0.26.3 s3transfer==0.19.3 six==1.17.0 urllib3==2.8.0
    werkzeug==3.1.9 xmltodict==1.0.4
)

kept=${1:-${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/servers}
mkdir -p "$kept"
kept=$(cd "$kept" && pwd)
folder=$kept/moto-$moto,s3s-fs-$s3s_fs,azurite-$azurite
mark=$folder/whole

debian_packages() {
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" >&2
}

make_moto() {
    python3 -c 'import ensurepip' 2> /dev/null || debian_packages python3-venv
    python3 -m venv "$folder/venv" >&2
    "$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps \
        "${python_packages[@]}" >&2
}

make_s3s_fs() {
    # The build takes longest of all: so little of the optimiser. It has a folder of its own, for
    # the caller's may be locked by the very Cargo that waits for this script.
    env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET -u RUSTC_WRAPPER \
        CARGO_TARGET_DIR="$folder/build" \
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install -q s3s-fs --version "=$s3s_fs" --locked --features binary \
        --root "$folder/s3s-fs" >&2
    rm -rf "$folder/build"
}

make_azurite() {
    # Those of Debian 12, with Node 18, will do.
    command -v npm > /dev/null || debian_packages npm
    # No package's own script is run: the servers need none.
    npm install -q --no-audit --no-fund --no-update-notifier --ignore-scripts \
        --before "$day" --prefix "$folder/azurite" "azurite@$azurite" >&2
}

make() {
    exec 9> "$kept/lock"
    flock 9
    [ ! -e "$mark" ] || return 0 # another run has made them meanwhile
    rm -rf "$folder"
    mkdir "$folder"
    make_moto
    make_azurite
    make_s3s_fs
    # What does not run here must not be kept as if it did.
    "$folder/venv/bin/moto_server" --help > /dev/null
    "$folder/s3s-fs/bin/s3s-fs" --version | grep -qF "$s3s_fs"
    "$folder/azurite/node_modules/.bin/azurite-blob" --version | grep -qF "$azurite"
    : > "$mark"
}

[ -e "$mark" ] || make
echo "moto $folder/venv/bin/moto_server"
echo "s3s-fs $folder/s3s-fs/bin/s3s-fs"
echo "azurite $folder/azurite/node_modules/.bin/azurite-blob"
echo "python $folder/venv/bin/python"
