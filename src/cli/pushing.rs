//! Pushing: what every command that archives pairs does with them, and what became of each.
//!
//! Promise: the stores are open and the host's lock is held for one push only, and settings and env
//! file are those of the call, so that it works beside other commands that do the same. Of every pair
//! that was to be archived the report says what became of it.

use crate::cli::failure::Failure;
use crate::cli::output::note;
use crate::cli::session::{Session, Stores};
use crate::cli::settings::Settings;
use crate::cli::store_states::{StoreState, bring_up_to_date};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use sealift::{
    ArchiveId, AuthMode, BackupsError, Context, Finding, Instance, LeftOut, Pair, Proof, PushError,
    PushKeys, PushRequest, Pushed, Secret, Sequence, Timestamp, Verdict, never_archived, pair_up,
    pairs_of, push, scan, unarchived,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is to be pushed.
pub struct Job {
    /// Which pairs.
    pub which: Which,
    /// Whether keys that changed are the right ones.
    pub accept_new_keys: bool,
}

/// Which pairs are to be pushed.
pub enum Which {
    /// Those that these dumps belong to; the first that cannot be archived ends the push. After them
    /// those of nights on which the hook came to no good end: certain pairs in the same folder that are
    /// older, and in no archive at all.
    Of {
        /// The dumps, at least one.
        dumps: Vec<PathBuf>,
        /// Whether a half without its partner is a pair.
        allow_half: bool,
    },
    /// Every certain pair in the backups folder that is not archived yet; a bad one does not hold up
    /// the others.
    Pending,
    /// These, if they are not archived yet; a bad one does not hold up the others.
    These {
        /// Pairs whose name and size say enough, if they are those of a sound archive.
        pairs: Vec<Pair>,
        /// Pairs that are compared with their archives to the last byte.
        anew: Vec<Pair>,
    },
}

/// What became of a pair.
#[derive(Debug)]
pub enum Became {
    /// It has an archive, which this push made or found.
    Archived(Box<Line>),
    /// It is archived soundly, by name and size, so that nobody has read it again.
    Held,
    /// It has a suspect archive, and is not the newest pair, and nothing was mended since.
    StillSuspect(Sequence),
    /// Somebody is still writing to it.
    Growing(Failure),
    /// It cannot be archived as it is; another pair may be.
    Bad(Failure),
    /// The push ended before it was its turn.
    NotReached,
}

/// What is told while a push runs.
#[derive(Clone, Copy)]
pub enum Told<'a> {
    /// There is nothing to archive, and why.
    Nothing(&'a str),
    /// A half has no partner so far.
    Lone(&'a Path),
    /// What became of a pair. [`Became::NotReached`] is not told.
    Pair(&'a Pair, &'a Became),
}

/// What a push came to.
#[derive(Debug, Default)]
pub struct Report {
    /// What became of each pair.
    pub pairs: Vec<(Pair, Became)>,
    /// What became of the pairs of nights before: what is wrong with those is no failure of this push.
    pub missed: Vec<(Pair, Became)>,
    /// How the stores stand.
    pub stores: Vec<StoreState>,
    /// Why the push ended early: no pair after this could have been archived.
    pub ended: Option<Failure>,
    /// Why the stores could not be brought up to date.
    pub interrupted: Option<Failure>,
    /// A half in the backups folder that belongs to no certain pair.
    pub unclear: Option<Failure>,
}

/// An archive, as it is told of.
#[derive(Debug, Serialize)]
pub struct Line {
    pub id: ArchiveId,
    pub sequence: Sequence,
    pub instance: Instance,
    pub captured_at: Timestamp,
    pub created_at: Timestamp,
    pub label: String,
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
    pub proofs: Vec<Proof>,
    pub already_archived: bool,
    pub plain_bytes: u64,
    pub new_bytes: u64,
    pub stored_bytes: u64,
}

impl Report {
    /// The archives that were made or found.
    pub fn archives(&self) -> impl Iterator<Item = &Line> {
        self.pairs.iter().filter_map(|(_, became)| match became {
            Became::Archived(line) => Some(&**line),
            _ => None,
        })
    }

    /// Whether a store lacks an archive, or cannot be asked.
    pub fn is_behind(&self) -> bool {
        self.stores.iter().any(StoreState::is_behind)
    }
}

/// Archives pairs in every store, and brings the stores up to date. `tell` hears of each pair at once.
///
/// # Errors
/// A [`Failure`] if nothing could be tried at all: of the settings, of every store, of `tell`.
pub async fn push_pairs(
    session: &Session,
    settings: Settings,
    job: Job,
    tell: &mut impl FnMut(Told<'_>) -> Result<(), Failure>,
) -> Result<Report, Failure> {
    let keys = settings.push_keys()?;
    let env = settings.env()?;
    let auth_mode = settings.auth_mode(env.as_ref())?;
    let (stores, _lock) = session.writing(&settings).await?;
    let every_pair = !matches!(job.which, Which::Of { .. });
    let chosen = choose(&settings.backups, job.which, auth_mode, &stores, tell).await?;
    let mut report = Report {
        unclear: chosen.unclear,
        ..Report::default()
    };
    let is_partial = !stores.left_out.is_empty();
    let mut pusher = Pusher {
        settings,
        keys,
        auth_mode,
        env,
        stores,
        every_pair,
        newest: chosen.newest,
        accept_new_keys: job.accept_new_keys,
        is_partial,
    };
    for pair in chosen.held {
        report.pairs.push((pair, Became::Held));
    }
    pusher.push_all(chosen.pairs, &mut report, tell).await?;
    // A store that is left out may have what those that are here lack.
    if report.ended.is_none() && !pusher.is_partial {
        pusher.make_up(chosen.older, &mut report, tell).await?;
    }
    // One bad dump must not keep the stores from what others have archived.
    match bring_up_to_date(&pusher.stores).await {
        Ok(states) => report.stores = states,
        Err(failure) => report.interrupted = Some(failure),
    }
    Ok(report)
}

/// The pairs of a push.
struct Chosen {
    /// To be archived, oldest first.
    pairs: Vec<Pair>,
    /// In the same folder, and older.
    older: Vec<Pair>,
    /// Archived already.
    held: Vec<Pair>,
    /// The pair that is told of even if it is known to be suspect.
    newest: Option<DateTime>,
    unclear: Option<Failure>,
}

async fn choose(
    backups: &Path,
    which: Which,
    auth_mode: AuthMode,
    stores: &Stores,
    tell: &mut impl FnMut(Told<'_>) -> Result<(), Failure>,
) -> Result<Chosen, Failure> {
    let mut older = Vec::new();
    let (all, anew, unclear) = match which {
        Which::Of { dumps, allow_half } => {
            let pairs = pairs_of(&dumps, auth_mode, allow_half)?;
            older = older_than(&pairs, &dumps, auth_mode)?;
            if pairs.is_empty() {
                let why = "sign-in is local, so zitadel dumps are not archived";
                tell(Told::Nothing(why))?;
            }
            (Vec::new(), pairs, None)
        }
        Which::Pending => {
            let (pairs, unclear) = pending(backups, auth_mode, tell)?;
            if pairs.is_empty() {
                let why = format!("there is no complete pair in {}", backups.display());
                tell(Told::Nothing(&why))?;
            }
            (pairs, Vec::new(), unclear)
        }
        Which::These { pairs, anew } => (pairs, anew, None),
    };
    let newest = all.iter().chain(&anew).map(Pair::stamp).max();
    let mut held = all.clone();
    let mut pairs = unarchived(&stores.contexts, all).await?;
    held.retain(|pair| !pairs.contains(pair));
    pairs.extend(anew);
    pairs.sort_by_key(Pair::stamp);
    if pairs.is_empty() && !held.is_empty() {
        tell(Told::Nothing("every complete pair is archived already"))?;
    }
    Ok(Chosen {
        pairs,
        older,
        held,
        newest,
        unclear,
    })
}

/// The certain pairs that are older than some others, in the folder of the first dump.
fn older_than(pairs: &[Pair], dumps: &[PathBuf], mode: AuthMode) -> Result<Vec<Pair>, Failure> {
    let oldest = pairs.iter().map(Pair::stamp).min();
    let folder = dumps.first().and_then(|dump| dump.parent());
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    let mut older = pair_up(scan(folder.unwrap_or(Path::new(".")))?, mode, &[]).pairs;
    older.retain(|pair| oldest.is_some_and(|oldest| pair.stamp() < oldest));
    Ok(older)
}

/// Every certain pair in the backups folder, and the first that is not certain, for the end.
fn pending(
    backups: &Path,
    auth_mode: AuthMode,
    tell: &mut impl FnMut(Told<'_>) -> Result<(), Failure>,
) -> Result<(Vec<Pair>, Option<Failure>), Failure> {
    let pairing = pair_up(scan(backups)?, auth_mode, &[]);
    // Where sign-in is local, a zitadel dump is left over from before, and nobody's half.
    if auth_mode == AuthMode::Oidc {
        for lone in &pairing.lone {
            tell(Told::Lone(&lone.path))?;
        }
    }
    let ambiguous = pairing.ambiguous.into_iter().next();
    let unclear = ambiguous.map(|found| BackupsError::from(found).into());
    Ok((pairing.pairs, unclear))
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
    /// Not every store took part.
    is_partial: bool,
}

impl Pusher {
    async fn push_all(
        &mut self,
        pairs: Vec<Pair>,
        report: &mut Report,
        tell: &mut impl FnMut(Told<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for pair in pairs {
            if report.ended.is_some() {
                report.pairs.push((pair, Became::NotReached));
                continue;
            }
            let became = match self.push(pair.clone()).await {
                Ok(pushed) => self.pushed(&pair, pushed),
                Err(NotPushed::Growing(failure)) if self.every_pair => Became::Growing(failure),
                Err(NotPushed::ThisPair(failure)) if self.every_pair => Became::Bad(failure),
                Err(
                    NotPushed::Growing(failure)
                    | NotPushed::ThisPair(failure)
                    | NotPushed::Any(failure),
                ) => {
                    report.ended = Some(failure);
                    report.pairs.push((pair, Became::NotReached));
                    continue;
                }
            };
            tell(Told::Pair(&pair, &became))?;
            report.pairs.push((pair, became));
        }
        Ok(())
    }

    /// Archives what nights before could not: a hook is called for each dump once only.
    async fn make_up(
        &mut self,
        older: Vec<Pair>,
        report: &mut Report,
        tell: &mut impl FnMut(Told<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Ok(missed) = never_archived(&self.stores.contexts, older).await else {
            return Ok(());
        };
        for pair in missed {
            let became = match self.push(pair.clone()).await {
                Ok(pushed) => self.pushed(&pair, pushed),
                Err(NotPushed::Growing(failure)) => Became::Growing(failure),
                Err(NotPushed::ThisPair(failure) | NotPushed::Any(failure)) => Became::Bad(failure),
            };
            let stays = match &became {
                Became::Bad(failure) => Some(format!(
                    "an older pair is not archived: {}",
                    failure.message
                )),
                _ => None,
            };
            match stays {
                Some(stays) => note("warning", &stays),
                None => tell(Told::Pair(&pair, &became))?,
            }
            report.missed.push((pair, became));
        }
        Ok(())
    }

    fn pushed(&mut self, pair: &Pair, pushed: Pushed) -> Became {
        self.is_partial |= !pushed.left_out.is_empty();
        // A suspect pair of an older night, which is as it was, has been told of before.
        let is_newest = self.newest == Some(pair.stamp());
        if self.every_pair && pushed.already_archived && !is_newest {
            return match pushed.verdict {
                Verdict::Sound => Became::Held,
                Verdict::Suspect => Became::StillSuspect(pushed.sequence),
            };
        }
        self.leave_out(&pushed.left_out);
        Became::Archived(Box::new(pushed.into()))
    }

    async fn push(&self, pair: Pair) -> Result<Pushed, NotPushed> {
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
        let halves = pair.clone();
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
        let Stores {
            contexts, left_out, ..
        } = &self.stores;
        push(contexts, left_out, &self.keys, request)
            .await
            .map_err(|error| match error {
                PushError::Backups(BackupsError::Growing(_)) => NotPushed::Growing(error.into()),
                PushError::Backups(_)
                | PushError::ChangedSinceArchived { .. }
                | PushError::ChangedWhileRead(_) => NotPushed::ThisPair(error.into()),
                PushError::File(ref file) if halves.holds(&file.path) => {
                    NotPushed::ThisPair(error.into())
                }
                error => NotPushed::Any(error.into()),
            })
    }

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
    /// Somebody is still writing to it.
    Growing(Failure),
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
