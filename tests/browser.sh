#!/usr/bin/env bash
# What opens the audit's page and reads its metrics, for the tests: installed once, and then kept.
#
#   tests/browser.sh [FOLDER]         (default: browser in Cargo's target folder)
#
# Prints a line for each, a name and a path: `chromium`, `node`, `modules` (with puppeteer-core and
# axe-core), `python` (with prometheus_client) and `promtool`. Chromium is Debian's, without a window:
# it has what a page needs, and none of what a desktop does. Two of these may run at once: one of
# them installs, the other waits. What has no mark is removed by the next run.
set -euo pipefail

puppeteer=24.43.1 # The last major for Node below 22, which Debian 12 and 13 do not have.
axe=4.14.0
prometheus_client=0.26.0
# Puppeteer names ranges of what it needs: this takes what there was on that day.
day=2026-11-01

kept=${1:-${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/browser}
mkdir -p "$kept"
kept=$(cd "$kept" && pwd)
folder=$kept/puppeteer-$puppeteer,axe-$axe,client-$prometheus_client
mark=$folder/whole

updated=
debian_packages() {
    [ -n "$updated" ] || apt-get update -q >&2
    updated=yes
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qy \
        --no-install-recommends "$@" >&2
}

browser() {
    command -v chromium-headless-shell || command -v chromium
}

# The program alone: the package brings a server, its scripts for browsers and a user.
make_promtool() {
    command -v apt-get > /dev/null
    [ -n "$updated" ] || apt-get update -q >&2
    updated=yes
    mkdir "$folder/debian"
    # apt fetches as a user of its own, unless that may not write here.
    (cd "$folder/debian" && apt-get -o APT::Sandbox::User=root download -q prometheus >&2)
    dpkg-deb -x "$folder"/debian/prometheus_*.deb "$folder/debian/whole"
    mv "$folder/debian/whole/usr/bin/promtool" "$folder/promtool"
    rm -rf "$folder/debian"
}

make() {
    exec 9> "$kept/lock"
    flock 9
    [ ! -e "$mark" ] || [ -z "$(browser)" ] || return 0 # another run has made it meanwhile
    rm -rf "$folder"
    mkdir "$folder"
    # Without a font a page has no widths.
    [ -n "$(browser)" ] || debian_packages chromium-headless-shell fonts-dejavu-core
    command -v npm > /dev/null || debian_packages npm
    python3 -c 'import ensurepip' 2> /dev/null || debian_packages python3-venv
    # No package's own script is run: Puppeteer's would look for a browser of its own.
    npm install -q --no-audit --no-fund --no-update-notifier --ignore-scripts \
        --before "$day" --prefix "$folder" "puppeteer-core@$puppeteer" "axe-core@$axe" >&2
    python3 -m venv "$folder/venv" >&2
    "$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps \
        "prometheus_client==$prometheus_client" >&2
    make_promtool
    # What does not run here must not be kept as if it did.
    "$(browser)" --headless --no-sandbox --version > /dev/null
    "$folder/promtool" --version > /dev/null 2>&1
    (cd "$folder" && node -e 'require("axe-core"); import("puppeteer-core").catch(() => process.exit(1))')
    "$folder/venv/bin/python" -c 'import prometheus_client.parser'
    : > "$mark"
}

[ -e "$mark" ] && [ -n "$(browser)" ] || make
echo "chromium $(browser)"
echo "node $(command -v node)"
echo "modules $folder/node_modules"
echo "python $folder/venv/bin/python"
echo "promtool $folder/promtool"
