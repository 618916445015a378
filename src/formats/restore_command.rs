//! The commands that load a dump into its server: those that work for this dump and this server.
//!
//! Promise: they end without an error, or the load has failed. A server's own `pg_restore` reads its
//! dump, unless a newer `pg_dump` wrote it in an archive version that the older program refuses. The
//! newer `pg_restore` reads it, but sets a parameter that the older server does not know, and reports
//! that as an error. So the newer program writes a script, and the server's own psql runs it without
//! that line. The script is whole before the server sees it: a pipe would hide that its writer failed
//! half-way.

use crate::formats::pgdump::DumpFacts;
use crate::words::ids::ComponentName;

/// The shorthand that lazyit's own runbook uses, and the commands here with it.
pub const DC: &str = "DC='docker compose --env-file .env.prod -p lazyit-prod'";

/// The service of lazyit's compose file that runs a component's server.
#[must_use]
pub fn service(component: &ComponentName) -> &'static str {
    if *component == ComponentName::zitadel() {
        "zitadel_db"
    } else {
        "db"
    }
}

/// The commands for a dump, a line each. `dump` and `script` are the dump and a file that may be
/// written beside it, as words of a shell.
#[must_use]
pub fn restore_commands(
    component: &ComponentName,
    facts: Option<&DumpFacts>,
    dump: &str,
    script: &str,
) -> Vec<String> {
    let service = service(component);
    // Inside its own container each server has the same variables.
    let login = "-U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\"";
    if facts.and_then(DumpFacts::pg_restore_too_old).is_none() {
        return vec![format!(
            "$DC exec -T {service} sh -c 'pg_restore {login} --clean --if-exists --no-owner --exit-on-error' < {dump}"
        )];
    }
    vec![
        "$DC up -d --wait db".into(),
        format!(
            "$DC exec -T db pg_restore --clean --if-exists --no-owner -f - < {dump} > {script} &&"
        ),
        format!("  sed '1,60{{/^SET transaction_timeout = 0;$/d;}}' {script} |"),
        format!("  $DC exec -T {service} sh -c 'psql -q -v ON_ERROR_STOP=1 {login}' &&"),
        format!("  rm {script}"),
    ]
}

/// A text as one word of a shell.
#[must_use]
pub fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
