#!/bin/sh
# Stands in for docker: a command in the container of a database is run, with that server's programs,
# its socket and its variables, and nothing else of the environment. All the rest does nothing.
#
# A container is a file beside this script, SERVICE.env: one assignment a line.
set -eu

[ "$1" = compose ] || exit 0
shift

env_file=.env
while :; do
    case $1 in
    --env-file) env_file=$2 && shift 2 ;;
    -p) shift 2 ;;
    *) break ;;
    esac
done
[ -f "$env_file" ] || { echo "couldn't find env file: $env_file" >&2 && exit 1; }

case $1 in
exec) ;;
up | stop | rm | run) exit 0 ;;
*) echo "docker.sh does not know $1" >&2 && exit 1 ;;
esac
[ "$2" = -T ] || { echo "the input device is not a TTY" >&2 && exit 1; }
container=${0%/*}/$3.env
[ -f "$container" ] || { echo "service \"$3\" is not running" >&2 && exit 1; }
shift 3
while read -r assignment; do
    set -- "$assignment" "$@"
done < "$container"
exec env -i "$@"
