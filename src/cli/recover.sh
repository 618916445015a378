#!/bin/sh
# Rebuilds the latest sound archive from a copy of the store, without sealift.
# Needs sha256sum, ssh-keygen, age, zstd, jq, tar, head and tail.
#
# Usage: sh recover.sh STORE_DIR IDENTITY OUT_DIR
#
# The instance and the trusted signers are read from the files beside this script.
set -eu
umask 077

die() {
    echo "recover.sh: $*" >&2
    exit 1
}

[ $# -eq 3 ] || die "usage: sh recover.sh STORE_DIR IDENTITY OUT_DIR"
store=$1
identity=$2
out=$3
kit=$(cd "$(dirname "$0")" && pwd)
signers=$kit/allowed_signers
for tool in sha256sum ssh-keygen age zstd jq tar head tail; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
done
instance=$(sed -n 's/^instance = "\([a-z0-9_-]*\)"$/\1/p' "$kit/sealift.toml")
[ -n "$instance" ] || die "$kit/sealift.toml names no instance"
root=$store/$instance
[ -d "$root/archives" ] || die "$root/archives is not there"
[ -r "$identity" ] || die "cannot read $identity"
[ ! -e "$out" ] || die "$out is there already"

work=$out.partial
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
mkdir -p "$work/blobs" "$work/files"

digest() {
    sha256sum <"$1" | cut -d ' ' -f 1
}

# Whether a trusted signer made this manifest.
verify() {
    sig=$root/signatures/$(digest "$1").sig
    [ -f "$sig" ] || return 1
    # A key that has a period must have been valid when it signed, not now.
    set -- "$1"
    if grep -qi '^[^#]*valid-' "$signers"; then
        at=$(jq -r .created_at "$1" | tr -d ':T-') || return 1
        set -- "$1" "-Overify-time=$at"
    fi
    who=$(ssh-keygen -Y find-principals -s "$sig" -f "$signers" ${2+"$2"} 2>/dev/null | head -n 1)
    [ -n "$who" ] || return 1
    ssh-keygen -Y verify -f "$signers" -I "$who" -n sealift -s "$sig" ${2+"$2"} <"$1" >/dev/null 2>&1
}

# Sound archives, the newest capture first.
for manifest in "$root"/archives/*.json; do
    jq -r --arg name "$(basename "$manifest")" \
        'select(.verdict == "sound") | "\(.captured_at) \($name)"' "$manifest" 2>/dev/null || true
done | sort -r >"$work/sound"
manifest=
while read -r _ name; do
    if verify "$root/archives/$name"; then
        manifest=$root/archives/$name
        break
    fi
    echo "recover.sh: $name has no signature of a trusted signer; trying the one before" >&2
done <"$work/sound"
[ -n "$manifest" ] || die "no sound archive with a signature of a trusted signer"
[ "$(jq -r .format "$manifest")" = 1 ] || die "$manifest is not of format 1"
[ "$(jq -r .instance "$manifest")" = "$instance" ] || die "$manifest is of another instance"
echo "archive $(jq -r '"\(.sequence), captured \(.captured_at)"' "$manifest")"

# Opens a blob, once, after its digest was checked.
open_blob() {
    plain=$work/blobs/$1
    [ ! -f "$plain" ] || return 0
    sealed=$root/blobs/$(printf %.2s "$1")/$1
    [ -f "$sealed" ] || die "blob $1 is missing"
    [ "$(digest "$sealed")" = "$1" ] || die "blob $1 is damaged"
    age -d -i "$identity" -o "$plain.zst" "$sealed" || die "blob $1 cannot be opened with $identity"
    zstd -dq --rm "$plain.zst" -o "$plain" || die "blob $1 cannot be decompressed"
}

# The run of LENGTH bytes from OFFSET of a blob: run BLOB OFFSET LENGTH
run() {
    open_blob "$1"
    tail -c +$(($2 + 1)) "$plain" | head -c "$3"
}

# One component: its recipe first, then the runs that the recipe lists.
rebuild() {
    component=$1
    target=$2
    get=".components[] | select(.name == \"$component\")"
    jq -r "$get | .recipe[] | \"\(.blob.id) \(.offset) \(.length)\"" "$manifest" >"$work/parts"
    jq -r "$get | .blobs[].id" "$manifest" >"$work/list"
    : >"$work/recipe"
    while read -r blob offset length; do
        run "$blob" "$offset" "$length" >>"$work/recipe"
    done <"$work/parts"
    [ "$(head -n 1 "$work/recipe")" = "sealift-recipe 1" ] || die "the recipe of $component is damaged"
    : >"$target"
    bytes=
    while read -r number offset length; do
        case $number in
        sealift-recipe) ;;
        end)
            bytes=$offset
            sha256=$length
            ;;
        *)
            blob=$(sed -n "$((number + 1))p" "$work/list")
            run "$blob" "$offset" "$length" >>"$target"
            ;;
        esac
    done <"$work/recipe"
    [ -n "$bytes" ] || die "the recipe of $component is cut off"
    [ "$(digest "$target")" = "$sha256" ] || die "$component does not have its digest"
}

jq -r '.components[] | "\(.name) \(.kind) \(.encoding) \(.file)"' "$manifest" >"$work/components"
while read -r name kind encoding file; do
    [ "$encoding" = raw ] || die "$name has the encoding $encoding, which this script does not know"
    case $file in */* | . | ..) die "$name has an illegal file name" ;; esac
    files=$work/files
    case $kind in
    dump) rebuild "$name" "$files/$file" ;;
    env) rebuild "$name" "$files/.env.prod" ;;
    file)
        mkdir "$files/$name"
        rebuild "$name" "$files/$name/$file"
        ;;
    tree)
        rebuild "$name" "$work/tree.tar"
        mkdir "$files/$name"
        tar -xpf "$work/tree.tar" -C "$files/$name"
        ;;
    *) die "$name is of the kind $kind, which this script does not know" ;;
    esac
    echo "rebuilt $name"
done <"$work/components"
mv "$work/files" "$out"
echo "everything is in $out"
