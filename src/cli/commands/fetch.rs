//! `sealift fetch`: an archive comes back as files.

use crate::cli::args::{FetchArgs, WhichArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fields::{note_faults, verdict};
use crate::cli::output::Output;
use crate::cli::session::{Session, load_chosen};
use sealift::{
    ArchiveId, ComponentName, Context, Digest, FetchRequest, Fetched, Finding, Selector, Timestamp,
    Trust, Verdict, fetch, human,
};
use serde::Serialize;
use std::fmt::Write;

#[derive(Serialize)]
struct Document {
    id: ArchiveId,
    verdict: Verdict,
    findings: Vec<Finding>,
    out: String,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    component: ComponentName,
    path: String,
    bytes: u64,
    sha256: Digest,
}

/// Fetches an archive.
///
/// # Errors
/// A [`Failure`]; there is no output then.
pub async fn run(session: &Session, args: FetchArgs, output: &Output) -> Result<Exit, Failure> {
    let selector = selector(args.which)?;
    let trust = if args.allow_suspect {
        Trust::SuspectToo
    } else {
        Trust::SoundOnly
    };
    let components = args.components.iter().map(|name| {
        name.parse()
            .map_err(|error| Failure::usage(format!("--component: {error}")))
    });
    let components = components.collect::<Result<Vec<ComponentName>, _>>()?;
    let settings = session.settings()?;
    let identities = settings.identities()?;
    let stores = session.reading(&settings).await?;
    let standing = session.standing(&stores).await?;
    let catalog = standing.merged();
    let chosen = catalog.choose(&selector, trust, settings.instance.as_str())?;
    for skipped in &chosen.skipped {
        session.monitor.warn(&format!(
            "skipped the newer archive {} ({}), which is {}",
            skipped.sequence,
            skipped.captured_at,
            verdict(skipped.verdict, &skipped.findings)
        ));
    }
    let archive = load_chosen(&standing, &chosen).await?;
    let holders: Vec<Context> = standing.holders(archive.id()).cloned().collect();
    let title = format!("archive {} of {}", archive.sequence, archive.captured_at);
    let id = archive.id();
    let (judged, findings) = (archive.verdict, archive.findings.clone());
    if judged == Verdict::Suspect {
        note_faults(&findings);
        session
            .monitor
            .warn("this archive is SUSPECT; prefer a sound one: sealift list");
    }
    let request = FetchRequest {
        archive,
        identities,
        out: args.out,
        components,
    };
    let fetched = fetch(&holders, request).await;
    let fetched = fetched.map_err(|error| Failure::fetching(id, error))?;
    let document = document(fetched, judged, findings);
    output.result(&document, || text(&title, &document))?;
    Ok(Exit::Done)
}

fn selector(which: WhichArgs) -> Result<Selector, Failure> {
    match which {
        WhichArgs { id: Some(id), .. } => Ok(Selector::Id(id)),
        WhichArgs { at: Some(time), .. } => {
            let time: Timestamp = time.parse().map_err(|_| {
                Failure::usage(format!(
                    "--at: {time:?} is not a time as 2026-01-31T03:00:00Z"
                ))
            })?;
            Ok(Selector::At(time))
        }
        WhichArgs { .. } => Ok(Selector::Latest),
    }
}

fn document(fetched: Fetched, verdict: Verdict, findings: Vec<Finding>) -> Document {
    let files = fetched.files.into_iter().map(|file| File {
        component: file.component,
        path: file.path.display().to_string(),
        bytes: file.bytes,
        sha256: file.sha256,
    });
    Document {
        id: fetched.id,
        verdict,
        findings,
        out: fetched.out.display().to_string(),
        files: files.collect(),
    }
}

fn text(title: &str, document: &Document) -> String {
    let mut text = format!("fetched {title} ({})\n", document.id.short());
    for file in &document.files {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>12}  {}", human(file.bytes), file.path);
    }
    let _ = writeln!(text, "what to do with them: {}/RESTORE.md", document.out);
    text
}
