//! `sealift prune`: retention, as a plan or carried out.

use crate::cli::args::PruneArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, note};
use crate::cli::retention_settings::policy;
use crate::cli::session::Session;
use crate::cli::values::parse_duration;
use sealift::{
    ArchiveId, Decision, GRACE, PrunePlan, PruneRequest, Pruned, Sequence, StorePlan, Summary,
    Timestamp, Verdict, count, execute_prune, human, plan_prune, with_cause,
};
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Serialize)]
struct Document {
    executed: bool,
    at: Timestamp,
    time_zone: String,
    policy: Vec<String>,
    archives: Vec<Line>,
    stores: Vec<StoreLine>,
}

#[derive(Serialize)]
struct Line {
    sequence: Sequence,
    id: ArchiveId,
    captured_at: Timestamp,
    label: String,
    verdict: Verdict,
    keep: bool,
    why: Vec<String>,
}

#[derive(Serialize)]
struct StoreLine {
    store: String,
    /// Archives that go, or went.
    retired: Vec<Sequence>,
    /// Archives that had been retired before, here or in another store.
    finished: Vec<Sequence>,
    /// What those archives alone need: it is deleted by a prune after the grace period.
    released_bytes: u64,
    blobs: u64,
    bytes: u64,
    waiting_blobs: u64,
    waiting_bytes: u64,
    /// What is locked, or not this host's to delete.
    kept: Vec<String>,
    failed: Vec<String>,
}

/// Shows the plan, and carries it out if asked to.
///
/// # Errors
/// A [`Failure`] of the settings or of every store, or if something speaks against removing anything.
pub async fn run(session: &Session, args: PruneArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let (policy, zone) = policy(&args.retention, &settings)?;
    let grace = match &args.grace {
        None => GRACE,
        Some(grace) => parse_duration("grace", grace)?.try_into().unwrap_or(GRACE),
    };
    let request = PruneRequest {
        policy: &policy,
        zone: &zone,
        grace,
    };
    let (plan, pruned, left_out) = if args.execute {
        let signing = settings.trusted_signing_key()?;
        let (stores, _lock) = session.writing(&settings).await?;
        let plan = plan_prune(&stores.contexts, &request).await?;
        let pruned = execute_prune(&plan, &signing).await?;
        (plan, Some(pruned), !stores.left_out.is_empty())
    } else {
        let stores = session.reading(&settings).await?;
        let plan = plan_prune(&stores.contexts, &request).await?;
        (plan, None, !stores.left_out.is_empty())
    };
    warn(&plan);
    let document = Document {
        executed: pruned.is_some(),
        at: plan.at,
        time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        policy: policy.describe(),
        archives: plan
            .archives
            .iter()
            .map(|(it, why)| line(it, why))
            .collect(),
        stores: stores(&plan, pruned.as_ref()),
    };
    let failures = document.stores.iter().flat_map(|store| &store.failed);
    let has_failed = failures.inspect(|line| note("error", line)).count() > 0;
    output.result(&document, || text(&document))?;
    Ok(if has_failed {
        Exit::Failed
    } else if left_out || !plan.failed.is_empty() {
        Exit::Behind
    } else if !plan.damaged.is_empty() {
        Exit::Violations
    } else {
        Exit::Done
    })
}

/// What the operator should know of stores and archives before the result.
fn warn(plan: &PrunePlan) {
    for (context, error) in &plan.failed {
        let store = context.store.url();
        note(
            "warning",
            &format!("going on without {store}: {}", with_cause(error)),
        );
    }
    for (sequence, object) in &plan.damaged {
        note(
            "warning",
            &format!(
                "archive {sequence} lacks {object}, or it is damaged, so it counts as suspect: \
                 sealift verify"
            ),
        );
    }
}

fn line(archive: &Summary, decision: &Decision) -> Line {
    Line {
        sequence: archive.sequence,
        id: archive.id,
        captured_at: archive.captured_at,
        label: archive.label.to_string(),
        verdict: archive.verdict,
        keep: !decision.is_removal(),
        why: why(decision),
    }
}

fn why(decision: &Decision) -> Vec<String> {
    match decision {
        Decision::Keep(rules) => rules.iter().map(ToString::to_string).collect(),
        Decision::Remove(reason) => vec![reason.clone()],
    }
}

fn stores(plan: &PrunePlan, pruned: Option<&Pruned>) -> Vec<StoreLine> {
    let planned = plan.stores.iter().enumerate();
    planned
        .map(
            |(number, store)| match pruned.map(|it| &it.stores[number]) {
                None => planned_store(store),
                Some(done) => StoreLine {
                    retired: done.retired.clone(),
                    finished: done.finished.clone(),
                    blobs: done.collected.objects,
                    bytes: done.collected.bytes,
                    kept: done.kept.clone(),
                    failed: done.failed.clone(),
                    ..planned_store(store)
                },
            },
        )
        .collect()
}

fn planned_store(store: &StorePlan) -> StoreLine {
    let released = store.retire.iter().map(|leaving| leaving.released_bytes);
    StoreLine {
        store: store.context.store.url().to_string(),
        retired: store.retire.iter().map(|it| it.archive.sequence).collect(),
        finished: store.finish.iter().map(|it| it.sequence).collect(),
        released_bytes: released.sum(),
        blobs: store.collect.len() as u64,
        bytes: store.collect.iter().map(|(_, bytes)| bytes).sum(),
        waiting_blobs: store.waiting.objects,
        waiting_bytes: store.waiting.bytes,
        kept: Vec::new(),
        failed: Vec::new(),
    }
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    for line in &document.policy {
        let _ = writeln!(text, "policy     {line}");
    }
    let _ = writeln!(text, "time zone  {}\n", document.time_zone);
    for line in document.archives.iter().rev() {
        let Line {
            sequence,
            captured_at,
            ..
        } = line;
        let what = if line.keep { "keep  " } else { "remove" };
        let id = &line.id.to_string()[..12];
        let suspect = if line.verdict == Verdict::Suspect {
            "suspect; "
        } else {
            ""
        };
        let why = line.why.join(", ");
        let _ = writeln!(
            text,
            "{what}  {sequence:>6}  {id}  {captured_at}  {}  {suspect}{why}",
            line.label
        );
    }
    let going = document.archives.iter().filter(|line| !line.keep).count();
    let staying = document.archives.len() - going;
    let _ = writeln!(
        text,
        "\n{} kept, {going} removed by this policy",
        count(staying as u64, "archive")
    );
    for store in &document.stores {
        store_text(&mut text, store, document.executed);
    }
    if !document.executed {
        text += "nothing was changed; to do it: sealift prune --execute, with the same options\n";
    }
    text
}

fn store_text(text: &mut String, store: &StoreLine, executed: bool) {
    let (retire, delete) = if executed {
        ("retired", "deleted")
    } else {
        ("to retire:", "to delete:")
    };
    let retired = store.retired.len() + store.finished.len();
    let retired = count(retired as u64, "archive");
    let blobs = count(store.blobs, "blob");
    let waiting = count(store.waiting_blobs, "blob");
    let _ = writeln!(
        text,
        "{}: {retire} {retired}; {delete} {blobs} ({}); {waiting} ({}) not needed, and waiting for the grace period",
        store.store,
        human(store.bytes),
        human(store.waiting_bytes)
    );
    if !store.kept.is_empty() {
        let kept = count(store.kept.len() as u64, "object");
        let _ = writeln!(
            text,
            "{}: {kept} locked or not this host's to delete; tried again the next time",
            store.store
        );
    }
}
