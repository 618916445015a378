//! `sealift show`: one archive in full.

use crate::cli::args::ShowArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, human};
use crate::cli::session::Session;
use sealift::{ArchiveId, Catalog, Component, Manifest, Selector, Trust, Verified};
use serde::Serialize;
use std::fmt::Write;

#[derive(Serialize)]
struct Document<'a> {
    id: ArchiveId,
    signer: &'a str,
    manifest: &'a Manifest,
}

/// Shows an archive, read and verified anew.
///
/// # Errors
/// A [`Failure`] of the settings or the store, or if there is no such archive.
pub async fn run(session: &Session, args: ShowArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let context = session.reading(&settings)?;
    let catalog = Catalog::read(&context).await?;
    session.warn_about(&context, &catalog);
    let selector = Selector::Id(args.id);
    let chosen = catalog.choose(&selector, Trust::SuspectToo, settings.instance.as_str())?;
    let archive = session.load(&context, chosen.archive.sequence).await?;
    let document = Document {
        id: archive.id(),
        signer: archive.signer(),
        manifest: &archive,
    };
    output.result(&document, || text(&archive))?;
    Ok(Exit::Done)
}

fn text(archive: &Verified) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:12}{value}");
    };
    field("archive", archive.id().to_string());
    field("instance", archive.instance.to_string());
    field("sequence", archive.sequence.to_string());
    field("captured", archive.captured_at.to_string());
    field("created", archive.created_at.to_string());
    field("label", archive.label.clone());
    field("tool", archive.tool.clone());
    field("signer", archive.signer().to_owned());
    field("verdict", archive.verdict.as_str().to_owned());
    for finding in &archive.findings {
        field(
            "finding",
            format!(
                "{} ({}): {}",
                finding.code, finding.component, finding.message
            ),
        );
    }
    for (class, recipients) in &archive.recipients {
        for recipient in recipients {
            field("recipient", format!("{class}: {recipient}"));
        }
    }
    field("size", size(archive.plain_bytes()));
    field(
        "stored",
        format!(
            "{} in {} blobs",
            size(archive.stored_bytes()),
            archive.blobs().len()
        ),
    );
    for component in &archive.components {
        text.push('\n');
        text.push_str(&component_text(component));
    }
    text
}

fn component_text(component: &Component) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:12}{value}");
    };
    field(
        "component",
        format!("{} ({})", component.name, component.class),
    );
    field("  file", component.file.clone());
    field("  size", size(component.bytes));
    if let Some(digest) = component.sha256 {
        field("  sha256", digest.to_string());
    }
    if let Some(facts) = &component.dump {
        field(
            "  database",
            format!("{:?}, {} tables with data", facts.database, facts.tables),
        );
        field("  server", format!("PostgreSQL {}", facts.server_version));
        field(
            "  dump",
            format!(
                "pg_dump {}, archive version {}, {}; read by pg_restore {} and newer",
                facts.pg_dump_version,
                facts.archive_version,
                facts.compression,
                facts.oldest_pg_restore()
            ),
        );
    }
    text
}

fn size(bytes: u64) -> String {
    format!("{} ({bytes} bytes)", human(bytes))
}
