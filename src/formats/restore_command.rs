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

/// A dump that is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// What it is of.
    pub component: &'a ComponentName,
    /// What it says of itself.
    pub facts: Option<&'a DumpFacts>,
    /// What the app dump says of itself, if there is one: its server is lazyit's newer one.
    pub app: Option<&'a DumpFacts>,
    /// The dump, as a word of a shell.
    pub dump: &'a str,
    /// A file that may be written beside it, likewise.
    pub script: &'a str,
}

impl Load<'_> {
    /// The commands, a line each.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let Self { dump, script, .. } = self;
        let service = service(self.component);
        // Inside its own container each server has the same variables.
        let login = "-U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\"";
        let too_old = |facts: &&DumpFacts| facts.pg_restore_too_old().is_some();
        let Some(facts) = self.facts.filter(too_old) else {
            return vec![format!(
                "$DC exec -T {service} sh -c 'pg_restore {login} --clean --if-exists --no-owner --single-transaction' < {dump}"
            )];
        };
        let (start, newer) = self.newer_pg_restore(facts);
        let edits = edits(facts);
        start
            .into_iter()
            .chain([
                format!(
                    "(umask 077; {newer} --clean --if-exists --no-owner -f - < {dump} > {script}) &&"
                ),
                format!("  sed -i {edits} {script} &&"),
                format!(
                    "  $DC exec -T {service} sh -c 'psql -q -v ON_ERROR_STOP=1 --single-transaction {login}' < {script} &&"
                ),
                format!("  rm {script}"),
            ])
            .collect()
    }

    /// A `pg_restore` that reads the dump, and what must run for it: that of the application's server,
    /// if it is newer, or else one in an image.
    fn newer_pg_restore(&self, facts: &DumpFacts) -> (Option<String>, String) {
        let oldest = facts.oldest_pg_restore();
        let reads = |app: &DumpFacts| app.server_major().is_none_or(|major| major >= oldest);
        let is_zitadel = *self.component == ComponentName::zitadel();
        if is_zitadel && self.app.is_none_or(reads) {
            let start = "$DC up -d --wait db".to_owned();
            return (Some(start), "$DC exec -T db pg_restore".into());
        }
        (
            None,
            format!("docker run --rm -i postgres:{oldest} pg_restore"),
        )
    }
}

/// What an older server, or its psql, does not know. The lines cannot be a row: COPY writes a
/// backslash as two.
fn edits(facts: &DumpFacts) -> &'static str {
    if knows_restrict(&facts.server_version) {
        "'1,60{/^SET transaction_timeout = 0;$/d;}'"
    } else {
        "'1,60{/^SET transaction_timeout = 0;$/d;/^\\\\restrict [0-9A-Za-z]*$/d;};/^\\\\unrestrict [0-9A-Za-z]*$/d'"
    }
}

/// Whether psql of a server's version knows `\restrict`, which `pg_restore` writes since August 2025.
fn knows_restrict(version: &str) -> bool {
    let number = version.split(' ').next().unwrap_or_default();
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    let first = match major {
        "13" => 22,
        "14" => 19,
        "15" => 14,
        "16" => 10,
        "17" => 6,
        major => return major.parse().is_ok_and(|major: u32| major >= 18),
    };
    minor.parse().is_ok_and(|minor: u32| minor >= first)
}

/// A text as one word of a shell, in quotes if it needs them.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&b);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(server: &str) -> DumpFacts {
        DumpFacts {
            archive_version: "1.16".into(),
            server_version: server.into(),
            pg_dump_version: "18.4".into(),
            compression: "gzip".into(),
            database: "x".into(),
            tables: 1,
        }
    }

    fn commands(component: &ComponentName, server: &str) -> String {
        let load = Load {
            component,
            facts: Some(&facts(server)),
            app: Some(&facts("18.4")),
            dump: "d.dump",
            script: "s.sql",
        };
        load.commands().join("\n")
    }

    #[test]
    fn a_dump_takes_the_way_that_its_server_can_go() {
        let (app, zitadel) = (ComponentName::app(), ComponentName::zitadel());
        let own = commands(&app, "18.4 (Debian 18.4-1)");
        assert!(
            own.starts_with("$DC exec -T db sh -c 'pg_restore "),
            "{own}"
        );
        let script = commands(&zitadel, "16.14 (Debian 16.14-1)");
        assert!(script.contains("$DC exec -T db pg_restore"), "{script}");
        assert!(!script.contains("restrict"), "{script}");
        for old in ["16.9", "15.13", "17.5", "12.1"] {
            let facts = commands(&zitadel, old);
            assert_eq!(
                facts.contains("unrestrict"),
                !old.starts_with("17"),
                "{facts}"
            );
        }
        // The service db has no newer pg_restore than its own.
        let app = commands(&app, "16.14");
        let image = "docker run --rm -i postgres:17 pg_restore";
        assert!(app.contains(image), "{app}");
        let both_old = Load {
            component: &zitadel,
            facts: Some(&facts("16.14")),
            app: Some(&facts("16.14")),
            dump: "d.dump",
            script: "s.sql",
        };
        assert!(both_old.commands()[0].contains(image));
    }

    #[test]
    fn a_word_is_quoted_if_it_must_be() {
        assert_eq!(shell_word("backups/app-1.dump"), "backups/app-1.dump");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
