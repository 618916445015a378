//! RESTORE.md: the way back for one archive, for somebody who has never seen it.
//!
//! Promise: every command names a file that the fetch has just written, in the order in which the
//! parts must return: env file (without it docker compose does nothing at all), includes, identity
//! provider, application. What a manifest says is text and nothing else: it can neither plant a
//! command nor look like a part of the page.

use crate::formats::manifest::{Component, Kind, Manifest, Verified};
use crate::formats::restore_command::{Load, service, shell_word};
use crate::words::ids::{ArchiveId, ComponentName};
use crate::words::verdict::{Finding, Verdict};
use std::fmt::Write as _;

/// The guide for an archive of which these components were fetched into this folder.
#[must_use]
pub fn restore_guide(archive: &Verified, fetched: &[&Component], folder: &str) -> String {
    guide(archive, archive.id(), fetched, folder)
}

fn guide(manifest: &Manifest, id: ArchiveId, fetched: &[&Component], folder: &str) -> String {
    let mut page = Page(String::new());
    page.title(manifest, id);
    page.files(fetched);
    let found = |code: &str, name: &ComponentName| {
        let about = |finding: &&Finding| finding.code == code && finding.component == *name;
        manifest.findings.iter().find(about)
    };
    let has = |name: &ComponentName| fetched.iter().find(|component| component.name == *name);
    page.line("## In this order\n");
    page.line("Run these in a shell of root (`sudo bash`), one step after the other, in the folder of lazyit's");
    page.line("compose file; stop at the first error. `$F` is this folder, `$P` the compose project, with which the");
    page.line("names of its volumes begin. If this lazyit is run in another way, put that into `P` and `DC`.\n");
    page.code(&[&format!("F={}", shell_word(folder)), PROJECT, DC_OF_PROJECT]);
    match has(&ComponentName::env()) {
        Some(env) => {
            let changed = found("key-changed", &env.name).filter(|finding| finding.is_fault());
            page.env(env, found("key-refuted", &env.name).or(changed));
        }
        None if manifest.component(&ComponentName::env()).is_none() => page.no_env(),
        None => {}
    }
    page.stop(manifest);
    for component in fetched
        .iter()
        .filter(|c| matches!(c.kind, Kind::File | Kind::Tree))
    {
        page.include(component);
    }
    for (name, title) in [
        (ComponentName::zitadel(), "The identity provider's database"),
        (ComponentName::app(), "The application database"),
    ] {
        if let Some(dump) = has(&name) {
            let mut findings = manifest.findings.iter();
            let forbids = findings.find(|finding| finding.forbids_loading(&name));
            page.database(manifest, dump, title, forbids);
        } else if let Some(finding) = found(&format!("{name}-missing"), &name) {
            page.step(title);
            page.line(&format!(
                "**It is not in this archive**: {}.\n",
                span(&finding.message)
            ));
        }
    }
    page.step("Bring everything up");
    page.code(&["$DC up -d", "$DC run --rm migrate bun run reindex:all"]);
    page.line("Then sign in. Only that proves that people can.\n");
    page.traps();
    page.0
}

/// The compose project of lazyit, unless the operator gave it another name.
const PROJECT: &str = "P=lazyit-prod";
const DC_OF_PROJECT: &str = "DC=\"docker compose --env-file .env.prod -p $P\"";

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

    fn title(&mut self, manifest: &Manifest, id: ArchiveId) {
        self.line(&format!(
            "# Restore {} as of {}\n",
            manifest.instance, manifest.captured_at
        ));
        self.line(&format!(
            "Archive {} (`{id}`), {}.",
            manifest.sequence,
            span(&manifest.label)
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
                span(&finding.code),
                finding.component,
                span(&finding.message)
            ));
        }
        for proof in &manifest.proofs {
            self.line(&format!(
                "- {} is {}: {}",
                span(&proof.key),
                proof.state.as_str(),
                span(&proof.evidence)
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
                "- {}: {}, {} bytes{digest}",
                span(&name),
                component.name,
                component.bytes
            ));
            if let Some(facts) = &component.dump {
                self.line(&format!(
                    "  - database {} of PostgreSQL {}, dumped by pg_dump {}, archive version {}, {}",
                    span(&facts.database),
                    span(&facts.server_version),
                    span(&facts.pg_dump_version),
                    span(&facts.archive_version),
                    span(&facts.compression)
                ));
            }
        }
        self.line("");
    }

    /// What an archive was made without, it cannot bring back.
    fn no_env(&mut self) {
        self.step("The env file, before anything else");
        self.line("**It is not here.** Without it docker compose does nothing, and without its keys nothing that is");
        self.line("encrypted can be opened. Find it first: `sealift list` for an archive that has one, and");
        self.line("`sealift fetch --component env`; or a copy elsewhere. Never make new keys.\n");
    }

    fn env(&mut self, env: &Component, doubt: Option<&Finding>) {
        self.step("The env file, before anything else");
        if let Some(finding) = doubt {
            self.line(&format!(
                "**These may not be the keys of this data**: {}.",
                span(&finding.message)
            ));
            self.line("If an env file is there already, it may be the right one: keep it, and do not run this. Else look");
            self.line("for the right one in an older archive: `sealift list`, `sealift fetch --component env`.\n");
        }
        self.line(
            "It holds the master keys. Without exactly these keys nothing below can be opened.",
        );
        self.line("One that is there already is kept as `.env.prod.before`; compare the two.\n");
        self.code(&[
            "[ ! -e .env.prod ] || [ -e .env.prod.before ] || cp -p .env.prod .env.prod.before",
            &format!("install -m 600 {} .env.prod", path(env)),
        ]);
    }

    fn stop(&mut self, manifest: &Manifest) {
        self.step("Stop what writes");
        // The identity provider too: what it has in use cannot be dropped and loaded anew.
        self.code(&[match manifest.component(&ComponentName::zitadel()) {
            Some(_) => "$DC stop api web zitadel",
            None => "$DC stop api web",
        }]);
        self.line("And the sidecar, if there is one: it must not dump what is half restored.\n");
        self.code(&["$DC stop backup || true"]);
    }

    fn include(&mut self, component: &Component) {
        let Some(volume) = volume_of(component) else {
            self.step(&format!("The include {}", component.name));
            self.line(&format!(
                "Put {} back where it was.\n",
                span(&output_name(component))
            ));
            return;
        };
        self.step(&format!("The volume {volume}"));
        self.line("`cp -a` keeps owners, modes and times. They are those of the archive only if root ran the fetch: if");
        self.line("`ls -ln` shows your own number for all of them, fetch once more with `sudo` before you go on.\n");
        self.code(&[
            &format!("docker volume create \"$P\"_{volume}"),
            &format!(
                "docker run --rm -v \"$P\"_{volume}:/to -v {}:/from:ro alpine cp -a /from/. /to/",
                path(component)
            ),
        ]);
    }

    fn database(
        &mut self,
        manifest: &Manifest,
        component: &Component,
        title: &str,
        forbids: Option<&Finding>,
    ) {
        let service = service(&component.name);
        self.step(title);
        if let Some(finding) = forbids {
            self.line(&format!(
                "**Do not load this dump**: {}.",
                span(&finding.message)
            ));
            self.line("What is in the database now is better than a part of this. Fetch an older archive: `sealift list`.\n");
            return;
        }
        self.code(&[&format!("$DC up -d --wait {service}")]);
        let facts = component.dump.as_ref();
        if let Some(facts) = facts.filter(|facts| facts.pg_restore_too_old().is_some()) {
            self.line(&format!(
                "The server has PostgreSQL {}, whose own pg_restore refuses archive version {}. So a\nnewer pg_restore writes a script, and the server's own psql runs it:\n",
                span(&facts.server_version),
                span(&facts.archive_version)
            ));
        }
        let script = format!("\"$F\"/{service}.sql");
        let load = Load {
            component: &component.name,
            facts,
            app: manifest.dump_facts(&ComponentName::app()),
            dump: &path(component),
            script: &script,
        };
        self.code(
            &load
                .commands()
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
        );
        self.line("Only if that fails, for a database that cannot be used at all: remove its one volume, and do this");
        self.line("step once more.\n");
        self.code(&[
            &format!("$DC stop {service} && $DC rm -f {service}"),
            &format!("docker volume rm \"$P\"_{service}_data"),
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

fn volume_of(component: &Component) -> Option<&'static str> {
    match (component.kind, component.name.as_str()) {
        (Kind::Tree, "zitadel-secrets") => Some("zitadel_secrets"),
        (Kind::Tree, "attachments") => Some("attachments_data"),
        _ => None,
    }
}

/// Text as Markdown's code, which nothing in it can end.
fn span(text: &str) -> String {
    match harmless(text).replace('`', "?") {
        text if text.is_empty() => "`?`".into(),
        text => format!("`{text}`"),
    }
}

/// A fetched file as one word of a shell.
fn path(component: &Component) -> String {
    let name = harmless(&output_name(component));
    format!("\"$F\"/{}", shell_word(&name))
}

/// Text in which nothing moves a cursor, ends a line or turns the direction of writing.
fn harmless(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '?',
        letter if letter.is_control() => '?',
        letter => letter,
    };
    text.chars().map(shown).collect()
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

    /// A manifest whose every text is `text`.
    fn manifest(text: &str) -> Result<Manifest, serde_json::Error> {
        let time = "2026-01-01T03:00:00Z";
        let component = |name: &str, kind: &str, file: &str| {
            serde_json::json!({
                "name": name, "kind": kind, "class": "data", "file": file, "bytes": 1,
                "encoding": "raw", "recipe": [], "blobs": [],
                "dump": (kind == "dump").then(|| serde_json::json!({
                    "archive_version": "1.16",
                    "server_version": format!("{}{text}", if name == "app" { "18.4" } else { "16.14" }),
                    "pg_dump_version": text, "compression": text, "database": text, "tables": 1,
                })),
            })
        };
        serde_json::from_value(serde_json::json!({
            "format": 1, "instance": "lazyit", "sequence": 1, "previous": null,
            "created_at": time, "captured_at": time, "label": text, "tool": text,
            "recipients": {}, "verdict": "suspect",
            "proofs": [{"key": text, "state": "proven", "evidence": text}],
            "findings": [{"code": text, "component": "app", "message": text}],
            "components": [
                component("app", "dump", &format!("app{text}.dump")),
                component("zitadel", "dump", &format!("zitadel{text}.dump")),
                component("env", "env", ".env.prod"),
                component("zitadel-secrets", "tree", "secrets"),
                component("attachments", "file", &format!("file{text}")),
            ],
        }))
    }

    fn page(text: &str) -> Result<String, serde_json::Error> {
        let manifest = manifest(text)?;
        let fetched: Vec<&Component> = manifest.components.iter().collect();
        Ok(guide(
            &manifest,
            ArchiveId::of(b""),
            &fetched,
            "/srv/recovered",
        ))
    }

    #[test]
    fn the_parts_return_in_the_order_in_which_they_are_needed() -> Result<(), serde_json::Error> {
        let page = page("")?;
        let mut rest = &page[..];
        for next in [
            "DC=\"docker compose",
            "\"$F\"/.env.prod .env.prod",
            "$DC stop api web zitadel\n",
            "\"$F\"/zitadel-secrets:/from:ro",
            "Put `attachments/file` back",
            "$DC up -d --wait zitadel_db",
            "$DC up -d --wait db",
            "\"$F\"/zitadel.dump > \"$F\"/zitadel_db.sql) &&",
            "\"$F\"/app.dump",
            "$DC up -d\n",
        ] {
            let found = rest.find(next);
            assert!(found.is_some(), "{next} is not where it should be:\n{page}");
            rest = &rest[found.unwrap_or_default() + next.len()..];
        }
        Ok(())
    }

    #[test]
    fn a_text_of_the_manifest_is_no_command_and_no_markup() -> Result<(), serde_json::Error> {
        let evil = "'; rm -rf / `id`\n```\n# \u{1b}[2J\u{202e}$(id)";
        let (plain, hostile) = (page("x")?, page(evil)?);
        // Not one line, fence or heading more.
        assert_eq!(plain.lines().count(), hostile.lines().count());
        for mark in ["\n```", "\n#", "\n- "] {
            let count = |page: &str| page.matches(mark).count();
            assert_eq!(count(&plain), count(&hostile), "{mark:?}");
        }
        assert!(!hostile.contains(['\u{1b}', '\u{202e}']), "{hostile}");
        assert!(hostile.contains("\"$F\"/'app'\\''; rm -rf / `id`?```?# ?[2J?$(id).dump'"));
        assert!(hostile.contains("PostgreSQL `16.14'; rm -rf / ?id??????# ?[2J?$(id)`,"));
        Ok(())
    }
}
