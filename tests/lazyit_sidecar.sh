#!/bin/sh
# One night of lazyit's backup sidecar, as far as its behaviour is known: dumps beside their names,
# a look at their tables of contents, their names, local retention, and then the hook, once a dump.
# The first call that fails ends the night.
#
# Beside lazyit's own variables: BACKUPS, the folder; POSTGRES_HOST and ZITADEL_DB_HOST, the servers.
set -eu

stamp=$(date +%Y%m%d-%H%M%S)

failed() {
    echo "[lazyit-backup] FAILED run $stamp: $1" >&2
    [ -z "${BACKUP_ON_FAILURE_CMD:-}" ] || sh -c "$BACKUP_ON_FAILURE_CMD" _ "FAILED run $stamp: $1" || :
    exit 1
}

# dump NAME HOST USER PASSWORD DATABASE
dump() {
    partial=$BACKUPS/$1-$stamp.dump.partial
    PGPASSWORD=$4 pg_dump -Fc -h "$2" -U "$3" -d "$5" > "$partial" || failed "pg_dump of $1"
    pg_restore -l "$partial" > /dev/null || failed "the dump of $1 is not one"
    mv "$partial" "$BACKUPS/$1-$stamp.dump"
}

offsite() {
    sh -c "$BACKUP_OFFSITE_CMD \"\$1\"" _ "$BACKUPS/$1-$stamp.dump" || failed "the off-site command, for $1"
}

dump app "$POSTGRES_HOST" "$POSTGRES_USER" "$POSTGRES_PASSWORD" "$POSTGRES_DB"
if [ "${AUTH_MODE:-oidc}" = oidc ]; then
    dump zitadel "$ZITADEL_DB_HOST" "$ZITADEL_DB_USER" "$ZITADEL_DB_PASSWORD" "$ZITADEL_DB_NAME"
fi
find "$BACKUPS" -name '*.dump' -mtime "+$BACKUP_RETENTION_DAYS" -delete
offsite app
[ "${AUTH_MODE:-oidc}" != oidc ] || offsite zitadel
