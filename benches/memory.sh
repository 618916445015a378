#!/bin/sh
# Measures peak resident memory and throughput of push, fetch and verify on a large dump.
#
# Usage: benches/memory.sh [SIZE_MIB] [WORK_DIR]
# Needs GNU time as /usr/bin/time, python3, and about four times SIZE_MIB of disk.
. "$(dirname "$0")/night.sh"

heading
night 20260101-030000 0
measure first-push "$sealift" push
night 20260102-030000 64
measure second-push "$sealift" push
measure repeated-push "$sealift" push backups/app-20260102-030000.dump
measure verify "$sealift" verify
measure fetch "$sealift" fetch --latest --identity recovery-kit/identity.txt --out fetched
cmp backups/app-20260102-030000.dump fetched/app-20260102-030000.dump
