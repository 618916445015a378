//! `sealift list`: archives, newest first.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fields::{key_states, verdict};
use crate::cli::output::Output;
use crate::cli::session::Session;
use sealift::{
    ArchiveId, ComponentName, Finding, Proof, Sequence, Standing, Summary, Timestamp, Verdict,
    human,
};
use serde::Serialize;
use std::fmt::Write;

#[derive(Serialize)]
struct Document {
    archives: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    id: ArchiveId,
    sequence: Sequence,
    captured_at: Timestamp,
    created_at: Timestamp,
    label: String,
    verdict: Verdict,
    findings: Vec<Finding>,
    proofs: Vec<Proof>,
    held: bool,
    plain_bytes: u64,
    stored_bytes: u64,
    components: Vec<Part>,
    stores: Vec<String>,
}

#[derive(Serialize)]
struct Part {
    name: ComponentName,
    bytes: u64,
}

/// Lists the archives of the store.
///
/// # Errors
/// A [`Failure`] of the settings or the store.
pub async fn run(session: &Session, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let stores = session.reading(&settings).await?;
    let standing = session.standing(&stores).await?;
    let merged = standing.merged();
    let archives = merged.archives.iter();
    let mut archives: Vec<Line> = archives
        .map(|archive| Line {
            held: merged.held(archive).is_some(),
            ..line(&standing, archive)
        })
        .collect();
    archives.reverse();
    let document = Document { archives };
    let reached = standing.reached.len();
    let places = standing
        .reached
        .iter()
        .map(|store| store.context.store.url().to_string());
    let place = format!(
        "{} in {}",
        settings.instance,
        places.collect::<Vec<_>>().join(", ")
    );
    output.result(&document, || text(&document, reached, &place))?;
    Ok(Exit::Done)
}

fn line(standing: &Standing, archive: &Summary) -> Line {
    let parts = archive.components.iter();
    Line {
        id: archive.id,
        sequence: archive.sequence,
        captured_at: archive.captured_at,
        created_at: archive.created_at,
        label: archive.label.to_string(),
        verdict: archive.verdict,
        findings: archive.findings.to_vec(),
        proofs: archive.proofs.to_vec(),
        held: false,
        plain_bytes: archive.plain_bytes,
        stored_bytes: archive.stored_bytes,
        components: parts
            .map(|part| Part {
                name: part.name.clone(),
                bytes: part.bytes,
            })
            .collect(),
        stores: standing
            .holders(archive.id)
            .map(|context| context.store.url().to_string())
            .collect(),
    }
}

fn text(document: &Document, stores: usize, place: &str) -> String {
    if document.archives.is_empty() {
        return format!("no archives yet of {place}; make one: sealift push\n");
    }
    let width = document
        .archives
        .iter()
        .map(|line| line.label.len())
        .max()
        .unwrap_or(0)
        .max(5);
    let mut text = format!(
        "{:>8}  {:20}  {:width$}  {:>10}  {:>10}  {:12}  VERDICT\n",
        "SEQUENCE", "CAPTURED", "LABEL", "SIZE", "STORED", "ID"
    );
    for line in &document.archives {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:>8}  {:20}  {:width$}  {:>10}  {:>10}  {:12}  {}",
            line.sequence.0,
            line.captured_at.to_string(),
            line.label,
            human(line.plain_bytes),
            human(line.stored_bytes),
            line.id.short(),
            judged(line, stores)
        );
    }
    text
}

/// The verdict, what speaks against it, what the keys came to, and where it is not.
fn judged(line: &Line, stores: usize) -> String {
    let mut judged = verdict(line.verdict, &line.findings);
    if line.held {
        judged += "; held";
    }
    if !line.proofs.is_empty() {
        judged = format!("{judged}; keys: {}", key_states(&line.proofs));
    }
    match line.stores.len() {
        all if all == stores => judged,
        some => format!("{judged}; in {some} of {stores} stores"),
    }
}
