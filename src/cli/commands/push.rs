//! `sealift push`: the command for `BACKUP_OFFSITE_CMD`.

use crate::cli::args::PushArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fields::{key_states, note_faults, verdict};
use crate::cli::output::{Output, human, note};
use crate::cli::session::{Session, Stores};
use crate::cli::settings::Settings;
use crate::cli::store_states::{StoreState, bring_up_to_date};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use sealift::{
    ArchiveId, AuthMode, BackupsError, Context, Finding, Half, Instance, LeftOut, Pair, Proof,
    PushError, PushKeys, PushRequest, Pushed, Secret, Sequence, Timestamp, Verdict, pair_up,
    pairs_of, push, scan, shell_word, unarchived,
};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Document {
    archives: Vec<Line>,
    stores: Vec<StoreState>,
}

#[derive(Serialize)]
struct Line {
    id: ArchiveId,
    sequence: Sequence,
    instance: Instance,
    captured_at: Timestamp,
    created_at: Timestamp,
    label: String,
    verdict: Verdict,
    findings: Vec<Finding>,
    proofs: Vec<Proof>,
    already_archived: bool,
    plain_bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
}

/// Archives the pairs.
///
/// # Errors
/// The first [`Failure`]; the pairs before it are archived, and stdout tells which.
pub async fn run(session: &Session, args: PushArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let keys = settings.push_keys()?;
    let env = settings.env()?;
    let auth_mode = settings.auth_mode(env.as_ref())?;
    let (stores, _lock) = session.writing(&settings).await?;
    let (pairs, newest, unclear) = choose_pairs(
        session,
        &settings,
        &args,
        auth_mode,
        &stores.contexts,
        output,
    )
    .await?;
    let mut pusher = Pusher {
        settings,
        keys,
        auth_mode,
        env,
        stores,
        every_pair: args.dumps.is_empty(),
        newest,
        accept_new_keys: args.accept_new_keys,
    };
    let mut document = Document {
        archives: Vec::new(),
        stores: Vec::new(),
    };
    let pushed = pusher.push_all(pairs, &mut document, output).await;
    // One bad dump must not keep the stores from what others have archived.
    let caught_up = bring_up_to_date(&pusher.stores).await;
    if let Ok(states) = &caught_up {
        document.stores.clone_from(states);
    }
    output.result(&document, String::new)?;
    pushed?;
    caught_up?;
    unclear.map_or(Ok(()), Err)?;
    let is_suspect = |line: &Line| line.verdict == Verdict::Suspect;
    Ok(if document.archives.iter().any(is_suspect) {
        Exit::Suspect
    } else if document.stores.iter().any(StoreState::is_behind) {
        Exit::Behind
    } else {
        Exit::Done
    })
}

/// The pairs to archive, the stamp of the newest there is, and what is not certain, for the end.
async fn choose_pairs(
    session: &Session,
    settings: &Settings,
    args: &PushArgs,
    auth_mode: AuthMode,
    stores: &[Context],
    output: &Output,
) -> Result<(Vec<Pair>, Option<DateTime>, Option<Failure>), Failure> {
    let (mut pairs, mut unclear) = (Vec::new(), None);
    if args.dumps.is_empty() {
        (pairs, unclear) = pending_pairs(&settings.backups, auth_mode, session)?;
    } else {
        pairs.extend(pairs_of(&args.dumps, auth_mode, args.allow_half)?);
    }
    if pairs.is_empty() {
        let why = if args.dumps.is_empty() {
            format!(
                "there is no complete pair in {}",
                settings.backups.display()
            )
        } else {
            "sign-in is local, so zitadel dumps are not archived".into()
        };
        output.line(&format!("nothing to archive: {why}"))?;
    }
    let newest = pairs.last().map(Pair::stamp);
    if args.dumps.is_empty() {
        let all = pairs.len();
        pairs = unarchived(stores, pairs).await?;
        if pairs.is_empty() && all > 0 {
            output.line("nothing to archive: every complete pair is archived already")?;
        }
    }
    Ok((pairs, newest, unclear))
}

/// Every certain pair in the backups folder, and the first that is not certain, for the end.
fn pending_pairs(
    backups: &Path,
    auth_mode: AuthMode,
    session: &Session,
) -> Result<(Vec<Pair>, Option<Failure>), Failure> {
    let pairing = pair_up(scan(backups)?, auth_mode, &[]);
    // Where sign-in is local, a zitadel dump is left over from before, and nobody's half.
    let expected = |_: &&Half| auth_mode == AuthMode::Oidc;
    for lone in pairing.lone.iter().filter(expected) {
        session
            .monitor
            .warn(&format!("{} is half a pair, so far", lone.path.display()));
    }
    let ambiguous = pairing.ambiguous.into_iter().next();
    Ok((
        pairing.pairs,
        ambiguous.map(|found| BackupsError::from(found).into()),
    ))
}

struct Pusher {
    settings: Settings,
    keys: PushKeys,
    auth_mode: AuthMode,
    env: Option<Secret>,
    stores: Stores,
    /// No dump was named: one that is still being written is left for the next time, and a bad one
    /// does not hold up the others.
    every_pair: bool,
    newest: Option<DateTime>,
    accept_new_keys: bool,
}

impl Pusher {
    async fn push_all(
        &mut self,
        pairs: Vec<Pair>,
        document: &mut Document,
        output: &Output,
    ) -> Result<(), Failure> {
        let mut bad = None;
        for pair in pairs {
            let is_newest = self.newest == Some(pair.stamp());
            let dump = pair.halves().next().map(|half| half.path.clone());
            match self.push(pair).await {
                Ok(None) => {}
                // A suspect pair of an older night, which is as it was, has been told of before.
                Ok(Some(pushed)) if self.every_pair && pushed.already_archived && !is_newest => {
                    let sequence = pushed.sequence;
                    let line = format!("archive {sequence} of an older pair is still suspect");
                    output.line(&line)?;
                }
                Ok(Some(pushed)) => {
                    self.leave_out(&pushed.left_out);
                    let line = Line::from(pushed);
                    output.line(&text(&line))?;
                    explain(&line, dump.as_deref());
                    document.archives.push(line);
                }
                // One bad dump that nobody removes must not keep every later night on the host.
                Err(NotPushed::ThisPair(failure)) if self.every_pair => {
                    if bad.is_some() {
                        note("warning", &failure.message);
                    }
                    bad.get_or_insert(failure);
                }
                Err(NotPushed::ThisPair(failure) | NotPushed::Any(failure)) => return Err(failure),
            }
        }
        bad.map_or(Ok(()), Err)
    }

    async fn push(&self, pair: Pair) -> Result<Option<Pushed>, NotPushed> {
        let stamp = pair.stamp();
        let captured_at = self
            .settings
            .time_zone()
            .map_err(NotPushed::Any)?
            .to_timestamp(stamp)
            .map_err(|error| {
                NotPushed::ThisPair(Failure::failed(format!(
                    "the stamp {stamp} is no time here: {error}"
                )))
            })?;
        let reuse_max_age = self.settings.reuse_max_age.map(SignedDuration::try_from);
        let request = PushRequest {
            pair,
            captured_at,
            auth_mode: self.auth_mode,
            env: self.env.clone(),
            includes: self.settings.includes.clone(),
            accept_new_keys: self.accept_new_keys,
            reuse_max_age: reuse_max_age.transpose().map_err(|_| {
                NotPushed::Any(Failure::usage("the setting reuse_max_age: it is too long"))
            })?,
            tool: concat!("sealift ", env!("CARGO_PKG_VERSION")).into(),
        };
        match push(
            &self.stores.contexts,
            &self.stores.left_out,
            &self.keys,
            request,
        )
        .await
        {
            Ok(pushed) => Ok(Some(pushed)),
            Err(PushError::Backups(error @ BackupsError::Growing(_))) if self.every_pair => {
                note("warning", &format!("{error}; it is left for the next push"));
                Ok(None)
            }
            Err(
                error @ (PushError::Backups(_)
                | PushError::ChangedSinceArchived { .. }
                | PushError::ChangedWhileRead(_)),
            ) => Err(NotPushed::ThisPair(error.into())),
            Err(error) => Err(NotPushed::Any(error.into())),
        }
    }
}

impl Pusher {
    /// What has failed is not waited for again.
    fn leave_out(&mut self, left_out: &[LeftOut]) {
        for out in left_out.iter().filter(|out| out.has_failed) {
            let is_it = |context: &Context| *context.store.url() == out.store;
            if self.stores.contexts.iter().any(is_it) {
                self.stores.contexts.retain(|context| !is_it(context));
                self.stores.left_out.push(out.clone());
            }
        }
    }
}

/// Why a pair was not pushed.
enum NotPushed {
    /// Another may be.
    ThisPair(Failure),
    /// No other would be.
    Any(Failure),
}

impl From<Pushed> for Line {
    fn from(pushed: Pushed) -> Self {
        Self {
            id: pushed.id,
            sequence: pushed.sequence,
            instance: pushed.instance,
            captured_at: pushed.captured_at,
            created_at: pushed.created_at,
            label: pushed.label,
            verdict: pushed.verdict,
            findings: pushed.findings,
            proofs: pushed.proofs,
            already_archived: pushed.already_archived,
            plain_bytes: pushed.plain_bytes,
            new_bytes: pushed.new_bytes,
            stored_bytes: pushed.stored_bytes,
        }
    }
}

/// Says what is wrong with a suspect archive, and what to do when it is mended.
fn explain(line: &Line, dump: Option<&Path>) {
    note_faults(&line.findings);
    let Some(dump) = dump.filter(|_| line.verdict == Verdict::Suspect) else {
        return;
    };
    let has = |code: &str| {
        line.findings
            .iter()
            .any(|finding| finding.is_fault() && finding.code == code)
    };
    let of_dumps = [
        "dump-unreadable",
        "dump-foreign",
        "halves-apart",
        "system-key-missing",
    ];
    if of_dumps.into_iter().any(has) {
        return note(
            "hint",
            "make new dumps; these names are taken now, so give them others",
        );
    }
    let dump = shell_word(&dump.display().to_string());
    if has("key-changed") && !has("key-refuted") {
        let why = "only if this is another instance's data with keys of its own";
        note(
            "hint",
            &format!("{why}: sealift push --accept-new-keys {dump}"),
        );
    }
    let when = "once that is mended, archive the pair anew";
    note("hint", &format!("{when}: sealift push {dump}"));
}

/// One line, which reads well in a log and ends in the id.
fn text(line: &Line) -> String {
    let mut verdict = verdict(line.verdict, &line.findings);
    if !line.proofs.is_empty() {
        verdict = format!("{verdict}, keys: {}", key_states(&line.proofs));
    }
    let Line {
        sequence,
        captured_at,
        label,
        id,
        ..
    } = line;
    if line.already_archived {
        return format!(
            "already archived: {label} of {captured_at}, {verdict}, nothing stored, archive {sequence} {id}"
        );
    }
    format!(
        "archived {label} of {captured_at}: {} plain, {} new, {} stored, {verdict}, archive {sequence} {id}",
        human(line.plain_bytes),
        human(line.new_bytes),
        human(line.stored_bytes),
    )
}
