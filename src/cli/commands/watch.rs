//! `sealift watch`: pairs are archived as they appear, until somebody asks for a stop.

use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::heart::{Beat, Heart, ago};
use crate::cli::messenger::Messenger;
use crate::cli::output::{Output, failure, note};
use crate::cli::pushing::{Became, Job, Line, Report, Told, Which, push_pairs};
use crate::cli::session::Session;
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::Routine;
use crate::cli::store_states::StoreState;
use crate::cli::telling::{archive_line, tell_archive};
use crate::cli::warnings::Warner;
use sealift::{
    AuthMode, BackupsError, Complaint, Due, End, FileState, FolderEvents, News, Outcome, Pair,
    Ping, Round, Sequence, Sight, Step, Verdict, WakeOn, World, count, create_private_folder, look,
    watch, with_cause,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often it looks around for what is about to be lost.
const OFTEN: Duration = Duration::from_hours(1);
/// The service's name, to those who watch over it.
const SERVICE: &str = "watch";

#[derive(Serialize)]
struct Document<'a> {
    archives: Vec<&'a Line>,
    stores: &'a [StoreState],
}

/// Watches the backups folder.
///
/// # Errors
/// A [`Failure`] if the settings are wrong from the start.
pub async fn run(session: &Session, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    settings.stores()?;
    settings.push_keys()?;
    settings.must_have_env_file()?;
    let nobody = SidecarArgs::default();
    Routine::read(&nobody, &settings)?.schedule(settings.time_zone()?)?;
    let mode = mode(&settings)?;
    create_private_folder(&settings.state)?;
    let changed = Arc::new(Notify::new());
    let mut watcher = Watcher {
        session,
        output,
        backups: settings.backups.clone(),
        mode,
        events: FolderEvents::new(&settings.backups, {
            let changed = Arc::clone(&changed);
            move || changed.notify_one()
        }),
        changed,
        started: Instant::now(),
        heart: Heart::new(SERVICE, &settings.state),
        has_begun: false,
        complaints: BTreeSet::new(),
        suspects: BTreeSet::new(),
        archived: 0,
        nobody,
        warner: Warner::every(OFTEN),
        failing: None,
    };
    watch(&mut watcher, settings.poll).await;
    watcher.heart.stop();
    let archives = count(watcher.archived, "archive");
    output.line(&format!("stopped watching, after {archives}"))?;
    Ok(Exit::Done)
}

fn mode(settings: &Settings) -> Result<AuthMode, Failure> {
    settings.auth_mode(settings.env()?.as_ref())
}

/// The world, as the watch sees it.
struct Watcher<'a> {
    session: &'a Session,
    output: &'a Output,
    backups: PathBuf,
    /// What a pair is, as the settings said last.
    mode: AuthMode,
    events: FolderEvents,
    changed: Arc<Notify>,
    started: Instant,
    heart: Heart,
    has_begun: bool,
    /// What is wrong with settings and events, as it was told.
    complaints: BTreeSet<String>,
    /// The suspect archives that were told of, and are looked at again by each push.
    suspects: BTreeSet<Sequence>,
    /// How many archives were made.
    archived: u64,
    /// The flags of the sidecar, of which there are none here: environment and files have the settings.
    nobody: SidecarArgs,
    warner: Warner,
    /// Why the last push failed, which was told then.
    failing: Option<String>,
}

impl World for Watcher<'_> {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_stopping(&self) -> bool {
        self.session.cancel.is_cancelled()
    }

    fn look(&mut self, renew: bool) -> Result<Sight, Complaint> {
        let renewed = if renew { self.events.renew() } else { Ok(()) };
        let files = look(&self.backups).map_err(|error| complaint(error.into()))?;
        let mut complaints = BTreeSet::new();
        // A folder that is not there has no events, and is complained of already.
        if let Err(error) = renewed {
            let what = "so it is looked at now and then instead (--poll)";
            complaints.insert(format!("{}, {what}", with_cause(&error)));
        }
        let settings = self.session.settings();
        match settings.and_then(|settings| mode(&settings)) {
            Ok(mode) => self.mode = mode,
            Err(failure) => {
                complaints.insert(failure.message);
            }
        }
        // What was told stays told until a look at everything does not show it any more.
        for complaint in complaints.difference(&self.complaints) {
            note("warning", complaint);
        }
        if !renew {
            complaints.append(&mut self.complaints);
        }
        self.complaints = complaints;
        Ok(Sight {
            files,
            mode: self.mode,
        })
    }

    fn tell(&mut self, news: News) {
        match news {
            News::Bad(complaint) | News::Blind(complaint) => tell(complaint),
            News::Failed(complaint, again) => {
                tell(complaint);
                let again = count(again.as_secs(), "second");
                note(
                    "note",
                    &format!("this is tried again in {again}, and so on"),
                );
            }
            News::Works => note("note", "pushes work again"),
            News::Sees => {
                let backups = self.backups.display();
                note("note", &format!("{backups} can be read again"));
            }
            News::Unclear(found) => {
                failure(&BackupsError::from(found).into());
            }
        }
    }

    fn beat(&mut self, step: &Step, next: Duration) {
        let pairs = count(step.pairs as u64, "pair");
        if !std::mem::replace(&mut self.has_begun, true) {
            let backups = self.backups.display();
            let line = format!("watching {backups}, where {pairs} can be seen");
            // A stdout that is closed ends no watch.
            let _ = self.output.line(&line);
        }
        let since = |since: Duration| ago(self.now().saturating_sub(since));
        let mut status = format!("{pairs}, {} of them not archived", step.pending);
        let waiting = step.waiting.len() as u64;
        if waiting > 0 {
            let halves = count(waiting, "dump");
            status += &format!("; without its other half: {halves}");
        }
        if step.is_blind {
            status = format!("{} cannot be read", self.backups.display());
        }
        let beat = Beat {
            status,
            is_blind: step.is_blind,
            pending: step.pending as u64,
            failing_since: step.failing_since.and_then(since),
        };
        self.heart.beat(beat, next);
    }

    async fn push(&mut self, due: &Due) -> Round {
        let seen = states(due);
        let job = Job {
            which: Which::These {
                pairs: due.pairs.clone(),
                anew: due.anew.clone(),
            },
            accept_new_keys: false,
        };
        let (output, told_of) = (self.output, &self.suspects);
        let mut tell = |told: Told<'_>| match told {
            Told::Pair(pair, Became::Archived(line)) if is_news(line, told_of) => {
                tell_archive(output, pair, line)
            }
            _ => Ok(()),
        };
        let session = self.session;
        let push = Box::pin(async {
            let settings = session.settings()?;
            push_pairs(session, settings, job, &mut tell).await
        });
        let done = self.heart.during("archiving", push).await;
        let report = match done {
            Ok(report) => report,
            Err(failure) => {
                let round = Round {
                    pairs: Vec::new(),
                    end: End::Failed(complaint(failure)),
                };
                self.send_word(&round, &[], None).await;
                return round;
            }
        };
        self.remember(&report);
        let document = Document {
            archives: report.archives().collect(),
            stores: &report.stores,
        };
        let printed = self.output.one_of_many(&document);
        let made = report.archives().filter(|line| !line.already_archived);
        let (mut log, mut suspect) = (Vec::new(), None);
        for line in made {
            log.push(archive_line(line));
            if line.verdict == Verdict::Suspect {
                suspect = Some(format!("archive {} is suspect", line.sequence));
            }
        }
        let round = round(report, printed.err(), &seen);
        self.send_word(&round, &log, suspect).await;
        round
    }

    async fn wait(&mut self, until: Duration, on: WakeOn) {
        if self.warner.is_due() {
            let look = Box::pin(self.warner.look(self.session, &self.nobody));
            let found = self.heart.during("looking around", look).await;
            for warning in found {
                let line = format!("WARNING: {}", warning.message);
                let messenger = Messenger::new(self.session, &self.nobody);
                messenger.ping(Ping::Failure, &line).await;
                messenger.call_for_help(&line).await;
            }
        }
        let rest = tokio::time::sleep(until.saturating_sub(self.now()));
        let event = Arc::clone(&self.changed);
        let changed = async {
            match on {
                WakeOn::Events => event.notified().await,
                WakeOn::TimeAlone => std::future::pending().await,
            }
        };
        let stop = &self.session.stop;
        let rest = async {
            tokio::select! {
                () = rest => {}
                () = changed => {}
                () = stop.asked() => {}
            }
        };
        self.heart.resting(rest).await;
    }
}

impl Watcher<'_> {
    /// Tells whoever waits for a word of new archives, and of a push that fails for another reason than
    /// the one before.
    async fn send_word(&mut self, round: &Round, log: &[String], suspect: Option<String>) {
        let bad = round.pairs.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Bad(complaint) => Some(complaint.message.clone()),
            _ => None,
        });
        let ended = match &round.end {
            End::Failed(complaint) => Some(complaint.message.clone()),
            _ => None,
        };
        let words: Vec<String> = ended.into_iter().chain(bad).chain(suspect).collect();
        let failure = (!words.is_empty()).then(|| words.join("; and "));
        let messenger = Messenger::new(self.session, &self.nobody);
        let before = std::mem::replace(&mut self.failing, failure.clone());
        match failure {
            Some(_) if failure == before => {}
            Some(failure) => {
                let line = format!("FAILED watch: {failure}");
                messenger.call_for_help(&line).await;
                messenger.ping(Ping::Failure, &line).await;
            }
            None if log.is_empty() => {}
            None => messenger.ping(Ping::Success, &log.join("\n")).await,
        }
    }

    fn remember(&mut self, report: &Report) {
        let made = report.archives().filter(|line| !line.already_archived);
        self.archived += made.count() as u64;
        let suspects = report.pairs.iter().filter_map(|(_, became)| match became {
            Became::Archived(line) if line.verdict == Verdict::Suspect => Some(line.sequence),
            Became::StillSuspect(sequence) => Some(*sequence),
            _ => None,
        });
        self.suspects = suspects.collect();
    }
}

/// Whether an archive is to be told of: not one that was there already, unless it is suspect and
/// nobody was told so.
fn is_news(line: &Line, told_of: &BTreeSet<Sequence>) -> bool {
    let is_suspect = line.verdict == Verdict::Suspect;
    !line.already_archived || is_suspect && !told_of.contains(&line.sequence)
}

/// What the files of all that is due look like now.
fn states(due: &Due) -> BTreeMap<PathBuf, FileState> {
    let pairs = due.pairs.iter().chain(&due.anew);
    let states = pairs.flat_map(Pair::halves).filter_map(|half| {
        let state = FileState::of(&half.path).ok()?;
        Some((half.path.clone(), state))
    });
    states.collect()
}

fn round(report: Report, printed: Option<Failure>, seen: &BTreeMap<PathBuf, FileState>) -> Round {
    let is_behind = report.is_behind();
    let pairs = report.pairs.into_iter().filter_map(|(pair, became)| {
        let outcome = match became {
            Became::Held => Outcome::Sound,
            Became::Archived(line) if line.verdict == Verdict::Sound => Outcome::Sound,
            Became::Archived(_) | Became::StillSuspect(_) => Outcome::Suspect,
            Became::Growing(_) => Outcome::Unsettled,
            // It changed or went away while it was looked at: that is no fault of the pair.
            Became::Bad(_) if !is_as_seen(&pair, seen) => Outcome::Unsettled,
            Became::Bad(failure) => Outcome::Bad(complaint(failure)),
            Became::NotReached => return None,
        };
        Some((pair, outcome))
    });
    let pairs = pairs.collect();
    let failure = report.ended.or(report.interrupted).or(printed);
    let end = match failure {
        Some(failure) => End::Failed(complaint(failure)),
        None if is_behind => End::Behind,
        None => End::Done,
    };
    Round { pairs, end }
}

fn is_as_seen(pair: &Pair, seen: &BTreeMap<PathBuf, FileState>) -> bool {
    let mut halves = pair.halves();
    halves.all(|half| FileState::of(&half.path).ok().as_ref() == seen.get(&half.path))
}

fn complaint(failure: Failure) -> Complaint {
    let Failure { message, hint, .. } = failure;
    Complaint { message, hint }
}

fn tell(complaint: Complaint) {
    failure(&Failure {
        hint: complaint.hint,
        ..Failure::failed(complaint.message)
    });
}
