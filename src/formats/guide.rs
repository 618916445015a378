//! RESTORE.md: the way back for one archive, for somebody who has never seen it.
//!
//! Promise: every command names a file that the fetch has just written, in the order in which the
//! parts must return: env file, identity provider, application, includes.

use crate::formats::manifest::{Component, Kind, Manifest, Verdict, Verified};
use crate::formats::pgdump::DumpFacts;
use crate::words::ids::ComponentName;
use std::fmt::Write as _;

/// The guide for an archive of which these components were fetched.
#[must_use]
pub fn restore_guide(archive: &Verified, fetched: &[&Component]) -> String {
    let mut page = Page(String::new());
    page.title(archive);
    page.files(fetched);
    let has = |name: &ComponentName| fetched.iter().find(|component| component.name == *name);
    page.line("## In this order\n");
    page.line("Run these in the folder of lazyit's compose file. `$F` is this folder.\n");
    page.code(&["export F=/path/to/this/folder", DC]);
    page.step("Stop what writes");
    page.code(&["$DC stop api web"]);
    if let Some(env) = has(&ComponentName::env()) {
        page.env(env);
    }
    for component in fetched
        .iter()
        .filter(|c| matches!(c.kind, Kind::File | Kind::Tree))
    {
        page.include(component);
    }
    if let Some(zitadel) = has(&ComponentName::zitadel()) {
        page.database(zitadel, &ZITADEL);
    }
    if let Some(app) = has(&ComponentName::app()) {
        page.database(app, &APP);
    }
    page.step("Bring everything up");
    page.code(&["$DC up -d", "$DC run --rm migrate bun run reindex:all"]);
    page.line("Then sign in. Only that proves that people can.\n");
    page.traps();
    page.0
}

/// The shorthand that lazyit's own runbook uses.
const DC: &str = "DC='docker compose --env-file .env.prod -p lazyit-prod'";

/// One of the two databases, as lazyit's compose file calls its parts.
struct Database {
    title: &'static str,
    service: &'static str,
    user: &'static str,
    name: &'static str,
    volume: &'static str,
}

const APP: Database = Database {
    title: "The application database",
    service: "db",
    user: "$POSTGRES_USER",
    name: "$POSTGRES_DB",
    volume: "lazyit-prod_db_data",
};

/// Inside its own container the identity provider's database has the same variables.
const ZITADEL: Database = Database {
    title: "The identity provider's database",
    service: "zitadel_db",
    user: "$POSTGRES_USER",
    name: "$POSTGRES_DB",
    volume: "lazyit-prod_zitadel_db_data",
};

struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn step(&mut self, text: &str) {
        let number = self.0.matches("\n### ").count() + 1;
        self.line(&format!("### {number}. {text}\n"));
    }

    fn code(&mut self, lines: &[&str]) {
        self.line(&format!("```sh\n{}\n```\n", lines.join("\n")));
    }

    fn title(&mut self, archive: &Verified) {
        let manifest: &Manifest = archive;
        self.line(&format!(
            "# Restore {} as of {}\n",
            manifest.instance, manifest.captured_at
        ));
        self.line(&format!(
            "Archive {} (`{}`), {}.",
            manifest.sequence,
            archive.id(),
            manifest.label
        ));
        match manifest.verdict {
            Verdict::Sound => self.line("Verdict: sound.\n"),
            Verdict::Suspect => {
                self.line("Verdict: **SUSPECT**. Prefer a sound archive if there is one.\n")
            }
        }
        for finding in &manifest.findings {
            self.line(&format!(
                "- {} ({}): {}",
                finding.code, finding.component, finding.message
            ));
        }
    }

    fn files(&mut self, fetched: &[&Component]) {
        self.line("\n## What is here\n");
        for component in fetched {
            let name = output_name(component);
            let digest = component
                .sha256
                .map(|d| format!(", sha256 `{d}`"))
                .unwrap_or_default();
            self.line(&format!(
                "- `{name}`: {}, {} bytes{digest}",
                component.name, component.bytes
            ));
            if let Some(facts) = &component.dump {
                self.line(&format!(
                    "  - database {:?} of PostgreSQL {}, dumped by pg_dump {}, archive version {}, {}",
                    facts.database,
                    facts.server_version,
                    facts.pg_dump_version,
                    facts.archive_version,
                    facts.compression
                ));
            }
        }
        self.line("");
    }

    fn env(&mut self, env: &Component) {
        self.step("The env file, before anything starts");
        self.line(
            "It holds the master keys. Without exactly these keys nothing below can be opened.",
        );
        self.line("If an `.env.prod` is there, compare it first, and keep it.\n");
        self.code(&[&format!(
            "install -m 600 \"$F\"/'{}' .env.prod",
            output_name(env)
        )]);
    }

    fn include(&mut self, component: &Component) {
        let Some(volume) = volume_of(&component.name) else {
            self.step(&format!("The include {}", component.name));
            self.line(&format!(
                "Put `{}` back where it was.\n",
                output_name(component)
            ));
            return;
        };
        self.step(&format!("The volume {volume}"));
        self.code(&[
            &format!("docker volume create lazyit-prod_{volume}"),
            &format!(
                "docker run --rm -v lazyit-prod_{volume}:/to -v \"$F\"/'{}':/from:ro alpine cp -a /from/. /to/",
                output_name(component)
            ),
        ]);
    }

    fn database(&mut self, component: &Component, database: &Database) {
        self.step(database.title);
        self.code(&[&format!("$DC up -d --wait {}", database.service)]);
        match &component.dump {
            Some(facts) if needs_newer_pg_restore(facts) => {
                self.by_script(component, database, facts)
            }
            _ => self.by_pg_restore(component, database),
        }
        self.line("If the database cannot be used at all, remove its one volume and load it into a new one:\n");
        self.code(&[
            &format!("$DC stop {0} && $DC rm -f {0}", database.service),
            &format!("docker volume rm {}", database.volume),
        ]);
    }

    fn by_pg_restore(&mut self, component: &Component, database: &Database) {
        self.code(&[&format!(
            "$DC exec -T {} sh -c 'pg_restore -U \"{}\" -d \"{}\" --clean --if-exists --no-owner --exit-on-error' < \"$F\"/'{}'",
            database.service,
            database.user,
            database.name,
            output_name(component)
        )]);
    }

    /// An old server cannot read a new archive version, and a new `pg_restore` sets a parameter that
    /// the old server does not know. Its script without that line has no error at all.
    fn by_script(&mut self, component: &Component, database: &Database, facts: &DumpFacts) {
        self.line(&format!(
            "The server has PostgreSQL {}, whose own pg_restore refuses archive version {}. So the\napplication's newer pg_restore writes the script, and the server's own psql runs it:\n",
            facts.server_version, facts.archive_version
        ));
        self.code(&[
            "$DC up -d --wait db",
            &format!(
                "$DC exec -T db pg_restore --clean --if-exists --no-owner -f - < \"$F\"/'{}' \\",
                output_name(component)
            ),
            "  | sed '1,60{/^SET transaction_timeout = 0;$/d;}' \\",
            &format!(
                "  | $DC exec -T {} sh -c 'psql -q -v ON_ERROR_STOP=1 -U \"{}\" -d \"{}\"'",
                database.service, database.user, database.name
            ),
        ]);
    }

    fn traps(&mut self) {
        self.line("## Traps\n");
        self.line("- Never `down -v`: it removes every volume, the good ones too.");
        self.line("- Never make new keys: what was encrypted with the old ones is lost with them.");
        self.line("- `zitadel_secrets` missing: the bootstrap finds its application in the database, but not");
        self.line("  its secret, and stops; then nobody can log in. Put the volume back first.");
        self.line(
            "- `unsupported version (1.16) in file header`: this pg_restore is too old; see above.",
        );
        self.line("- `unrecognized configuration parameter \"transaction_timeout\"`: harmless, and gone with the");
        self.line("  `sed` above.");
    }
}

/// Whether the server's own `pg_restore` refuses the dump.
fn needs_newer_pg_restore(facts: &DumpFacts) -> bool {
    facts
        .server_major()
        .is_some_and(|major| major < facts.oldest_pg_restore())
}

fn volume_of(name: &ComponentName) -> Option<&'static str> {
    match name.as_str() {
        "zitadel-secrets" => Some("zitadel_secrets"),
        "attachments" => Some("attachments_data"),
        _ => None,
    }
}

/// Where a fetch puts a component, relative to its folder.
#[must_use]
pub fn output_name(component: &Component) -> String {
    match component.kind {
        Kind::Dump => component.file.clone(),
        Kind::Env => ".env.prod".into(),
        Kind::Tree => component.name.to_string(),
        Kind::File => format!("{}/{}", component.name, component.file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_that_its_own_server_cannot_read_is_told() {
        let facts = |archive: &str, server: &str| DumpFacts {
            archive_version: archive.into(),
            server_version: server.into(),
            pg_dump_version: "18.4".into(),
            compression: "gzip".into(),
            database: "zitadel".into(),
            tables: 1,
        };
        assert!(needs_newer_pg_restore(&facts(
            "1.16",
            "16.14 (Debian 16.14-1)"
        )));
        assert!(!needs_newer_pg_restore(&facts("1.16", "18.4")));
        assert!(!needs_newer_pg_restore(&facts("1.15", "16.14")));
    }
}
