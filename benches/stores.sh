#!/bin/sh
# Measures peak resident memory and throughput with stores that are S3 servers, one of them slow.
#
# Usage: benches/stores.sh [SIZE_MIB] [WORK_DIR] [SLOW_BYTES_A_SECOND]
#
# The server is s3s-fs on this host, which checks every signature and digest; the slow one is the same
# behind a link of so many bytes a second (1,000,000 unless said otherwise). It takes SIZE_MIB seconds and
# more. Needs GNU time as /usr/bin/time, python3, and about five times SIZE_MIB of disk.
. "$(dirname "$0")/night.sh"

rate=${3:-1000000}
servers=$("$root/tests/servers.sh" "$root/target/servers")
s3s_fs=$(echo "$servers" | sed -n 's/^s3s-fs //p')
export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench-secret AWS_EC2_METADATA_DISABLED=true
mkdir -p objects/fast objects/slow objects/alone
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$s3s_fs" --access-key bench --secret-key bench-secret --host 127.0.0.1 --port "$port" objects >server.txt 2>&1 &
server=$!
python3 "$root/benches/slow_link.py" "$port" "$rate" >link.txt &
link=$!
trap 'kill "$server" "$link"; rm -rf "$work"' EXIT
until [ -s link.txt ] && python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null; do
    sleep 0.2
done
alone="s3://alone/x?endpoint=http://127.0.0.1:$port&allow_http=true"
fast="s3://fast/x?endpoint=http://127.0.0.1:$port&allow_http=true"
slow="s3://slow/x?endpoint=http://127.0.0.1:$(cat link.txt)&allow_http=true"

heading
night 20260101-030000 0
measure first-push "$sealift" push --store "$alone"
measure verify "$sealift" verify --store "$alone"
measure fetch "$sealift" fetch --latest --identity recovery-kit/identity.txt --out fetched --store "$alone"
cmp backups/app-20260101-030000.dump fetched/app-20260101-030000.dump
rm -r fetched
measure replicate "$sealift" replicate --to store --store "$alone"
rm -r store objects/alone

# When the fast store has the archive, beside a slow one.
start=$(date +%s)
(
    until [ -e objects/fast/x/lazyit/archives/00000001.json ]; do sleep 0.1; done
    echo $(($(date +%s) - start)) >fast.txt
) &
measure fast-and-slow "$sealift" push --store "$fast,$slow" --state other
wait $!
echo
echo "in the fast store after $(cat fast.txt) s, in the slow one ($rate bytes a second) at the end"
"$sealift" verify --store "$fast,$slow" --state other
