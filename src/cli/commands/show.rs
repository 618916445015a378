//! `sealift show`: one archive in full.

use crate::cli::args::ShowArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fields::{Fields, dump_fields, finding_fields, load_commands, load_fields};
use crate::cli::output::Output;
use crate::cli::session::{Session, load_chosen};
use sealift::{
    ArchiveId, Component, ComponentName, Load, Manifest, Selector, Trust, Verified, count, human,
    shell_word,
};
use serde::Serialize;

#[derive(Serialize)]
struct Document<'a> {
    id: ArchiveId,
    signer: &'a str,
    manifest: &'a Manifest,
    restore: Vec<WayBack<'a>>,
}

/// How one dump gets back into its server.
#[derive(Serialize)]
struct WayBack<'a> {
    component: &'a ComponentName,
    oldest_pg_restore: u32,
    commands: Vec<String>,
}

/// Shows an archive, read and verified anew.
///
/// # Errors
/// A [`Failure`] of the settings or the store, or if there is no such archive.
pub async fn run(session: &Session, args: ShowArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let stores = session.reading(&settings).await?;
    let standing = session.standing(&stores).await?;
    let selector = Selector::Id(args.id);
    let catalog = standing.merged();
    let chosen = catalog.choose(&selector, Trust::SuspectToo, settings.instance.as_str())?;
    let archive = load_chosen(&standing, &chosen).await?;
    let components = archive.components.iter();
    let document = Document {
        id: archive.id(),
        signer: archive.signer(),
        manifest: &archive,
        restore: components
            .filter_map(|one| way_back(&archive, one))
            .collect(),
    };
    output.result(&document, || text(&archive))?;
    Ok(Exit::Done)
}

/// For a dump: the commands that load it, none if it must not be loaded.
fn way_back<'a>(archive: &'a Verified, component: &'a Component) -> Option<WayBack<'a>> {
    let facts = component.dump.as_ref()?;
    let load = Load {
        component: &component.name,
        facts: Some(facts),
        app: archive.dump_facts(&ComponentName::app()),
        dump: &shell_word(&component.file),
        script: &format!("{}.sql", component.name),
    };
    Some(WayBack {
        component: &component.name,
        oldest_pg_restore: facts.oldest_pg_restore(),
        commands: load_commands(&load, &archive.findings),
    })
}

fn text(archive: &Verified) -> String {
    let mut fields = Fields::default();
    fields.add("archive", &archive.id().to_string());
    fields.add("instance", archive.instance.as_str());
    fields.add("sequence", &archive.sequence.to_string());
    fields.add("captured", &archive.captured_at.to_string());
    fields.add("created", &archive.created_at.to_string());
    fields.add("label", &archive.label);
    fields.add("tool", &archive.tool);
    fields.add("signer", archive.signer());
    fields.add("verdict", archive.verdict.as_str());
    finding_fields(&mut fields, &archive.findings, &archive.proofs);
    for (class, recipients) in &archive.recipients {
        for recipient in recipients {
            fields.add("recipient", &format!("{class}: {recipient}"));
        }
    }
    fields.add("size", &size(archive.plain_bytes()));
    let blobs = count(archive.blobs().len() as u64, "blob");
    let stored = size(archive.stored_bytes());
    fields.add("stored", &format!("{stored} in {blobs}"));
    for component in &archive.components {
        fields.gap();
        component_fields(&mut fields, component, way_back(archive, component));
    }
    fields.into_text()
}

fn component_fields(fields: &mut Fields, component: &Component, way_back: Option<WayBack<'_>>) {
    let name = format!("{} ({})", component.name, component.class);
    fields.add("component", &name);
    fields.add("  file", &component.file);
    fields.add("  size", &size(component.bytes));
    if let Some(digest) = component.sha256 {
        fields.add("  sha256", &digest.to_string());
    }
    if let (Some(facts), Some(way_back)) = (&component.dump, way_back) {
        fields.add("  data in", &count(facts.tables, "table"));
        dump_fields(fields, facts);
        load_fields(fields, &way_back.commands);
    }
}

fn size(bytes: u64) -> String {
    format!("{} ({bytes} bytes)", human(bytes))
}
