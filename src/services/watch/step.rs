//! Step: what is known of the folder, and what follows from one more look at it.
//!
//! Promise: a pair is due when both of its halves are there, belong together without a doubt, have not
//! changed for [`SETTLE`], and did not come to an end looking just like this before. Whatever a push
//! comes to, the same pair is not due again at once: it is done, or it waits for its files to change or
//! for a pause to pass. So steps that lead to nothing are as rare as what wakes them. All of it is
//! decided from arguments: there is no clock here, and no file system.

use super::backoff::{Backoff, Pauses};
use crate::ports::backups::{Ambiguity, AuthMode, FileState, Half, Pair, Pairing, Seen, pair_up};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// A file that has not changed for so long is complete.
pub const SETTLE: Duration = Duration::from_secs(5);

/// A push is given so many pairs at most, the oldest; the others come right after it. So however many
/// there are, it takes no more memory, and the hook has its turn in between.
const BATCH: usize = 50;

/// After a push that failed as a whole.
const FAILED: Pauses = Pauses {
    first: Duration::from_secs(30),
    longest: Duration::from_mins(15),
};
/// For a pair that cannot be archived as it is, and for a store that lacks archives.
const WANTING: Pauses = Pauses {
    first: Duration::from_mins(1),
    longest: Duration::from_hours(1),
};
/// A failure that stays the same is told again after so long.
const TELL_AGAIN: Duration = Duration::from_hours(1);

/// What a look at the folder showed.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Every half in it, in no order.
    pub files: Vec<Seen>,
    /// What a pair is.
    pub mode: AuthMode,
}

/// Something that is wrong, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong, in one line.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

/// What is to be pushed now. It may be no pair at all: then it is for stores that lack archives.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// Pairs whose name and size say enough, if they are those of a sound archive.
    pub pairs: Vec<Pair>,
    /// Pairs that changed after they were archived.
    pub anew: Vec<Pair>,
    seen: BTreeMap<Key, Vec<FileState>>,
}

/// What became of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in a sound archive.
    Sound,
    /// It is in a suspect archive.
    Suspect,
    /// Somebody is still writing to it, or it is gone.
    Unsettled,
    /// It cannot be archived as it is.
    Bad(Complaint),
}

/// How a push ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every store has every archive.
    Done,
    /// A store lacks some, or cannot be asked.
    Behind,
    /// It failed as a whole: pairs without an outcome were not reached.
    Failed(Complaint),
}

/// What a push came to.
#[derive(Clone, Debug)]
pub struct Round {
    /// What became of each pair that was reached.
    pub pairs: Vec<(Pair, Outcome)>,
    /// How it ended.
    pub end: End,
}

/// A half whose partner is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The half.
    pub half: Half,
    /// When it was seen first, on the watch's own clock.
    pub since: Duration,
}

/// What is told of, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A pair cannot be archived as it is.
    Bad(Complaint),
    /// A push failed as a whole; it is tried again after so long.
    Failed(Complaint, Duration),
    /// Pushes work again.
    Works,
    /// The folder cannot be read.
    Blind(Complaint),
    /// The folder can be read again.
    Sees,
    /// A half could belong to more than one other.
    Unclear(Ambiguity),
}

/// What follows from a look.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// What is to be pushed now, if anything is.
    pub due: Option<Due>,
    /// When to look again at the latest; none if only a change of the folder is waited for.
    pub again: Option<Duration>,
    /// How many pairs there are.
    pub pairs: usize,
    /// How many of them are not archived.
    pub pending: usize,
    /// Halves whose partner is not there, oldest first.
    pub waiting: Vec<Waiting>,
    /// Since when nothing could be stored.
    pub failing_since: Option<Duration>,
    /// Whether the folder cannot be read.
    pub is_blind: bool,
    /// What is to be told.
    pub news: Vec<News>,
}

/// What is known between two looks: something of each file that is there, and of nothing else.
#[derive(Debug, Default)]
pub struct State {
    files: BTreeMap<PathBuf, Known>,
    pairs: BTreeMap<Key, Entry>,
    has_pushed: bool,
    failing: Option<Failing>,
    behind: Option<Backoff>,
    blind: Option<Complaint>,
    unclear: BTreeSet<PathBuf>,
}

/// The paths of a pair's halves.
type Key = Vec<PathBuf>;

#[derive(Debug)]
struct Known {
    state: FileState,
    /// It looks like this since then.
    since: Duration,
    first_seen: Duration,
    /// It was old when it was seen first, and has not changed since.
    is_old: bool,
}

#[derive(Debug)]
struct Entry {
    /// What it looked like when it came to this.
    states: Vec<FileState>,
    /// Whether it was archived at some time, as it is now or as it was.
    was_archived: bool,
    came_to: CameTo,
}

#[derive(Debug)]
enum CameTo {
    Sound,
    Suspect,
    Bad(Complaint, Backoff),
}

#[derive(Debug)]
struct Failing {
    backoff: Backoff,
    told: (Complaint, Duration),
}

impl State {
    /// Takes in what a look showed, and says what follows. Times are those of one clock that never
    /// goes back.
    pub fn step(&mut self, now: Duration, sight: Result<Sight, Complaint>) -> Step {
        let mut step = Step::default();
        let mode = sight.as_ref().ok().map(|sight| sight.mode);
        let pairing = match sight {
            Ok(sight) => {
                if self.blind.take().is_some() {
                    step.news.push(News::Sees);
                }
                self.take_in(now, sight, &mut step.news)
            }
            Err(complaint) => {
                step.is_blind = true;
                if self.blind.as_ref() != Some(&complaint) {
                    step.news.push(News::Blind(complaint.clone()));
                    self.blind = Some(complaint);
                }
                Pairing::default()
            }
        };
        // Where sign-in is local, a zitadel dump is left over from before, and waits for nobody.
        if mode == Some(AuthMode::Oidc) {
            step.waiting = self.waiting(pairing.lone);
        }
        step.pairs = pairing.pairs.len();
        let mut wanted = Wanted::default();
        for pair in pairing.pairs {
            step.pending += usize::from(self.want(now, pair, &mut wanted));
        }
        // The first push is made in any case: a store that cannot be used is told of at once.
        let is_first = mode.is_some() && !self.has_pushed;
        let retry = self.failing.as_ref().map(|failing| failing.backoff.again);
        let behind = self.behind.map(|behind| behind.again);
        let is_past = |time: Option<Duration>| time.is_some_and(|time| time <= now);
        let is_due = is_first || !wanted.is_empty() || is_past(retry) || is_past(behind);
        step.failing_since = self.failing.as_ref().map(|failing| failing.backoff.since);
        if is_due && retry.is_none_or(|retry| retry <= now) {
            step.due = Some(wanted.into_due());
        } else {
            let first = [retry, behind, wanted.again].into_iter().flatten().min();
            // While pushes fail nothing is tried before the next attempt.
            step.again = retry.or(first);
        }
        step
    }

    /// Takes in what the push of what was due came to, and says what is to be told.
    pub fn pushed(&mut self, now: Duration, mut due: Due, round: Round) -> Vec<News> {
        self.has_pushed = true;
        let mut news = Vec::new();
        for (pair, outcome) in round.pairs {
            let key = key(&pair);
            let Some(states) = due.seen.remove(&key) else {
                continue;
            };
            self.take_outcome(now, key, states, outcome, &mut news);
        }
        match round.end {
            End::Failed(complaint) => news.extend(self.failed(now, complaint)),
            end => {
                // Nothing that was due stays due without a pause, whatever is not said of it.
                for key in due.seen.into_keys() {
                    self.unsettle(now, &key);
                }
                if self.failing.take().is_some() {
                    news.push(News::Works);
                }
                let is_behind = end == End::Behind;
                self.behind = is_behind.then(|| Backoff::after(self.behind, now, WANTING));
            }
        }
        news
    }

    fn take_in(&mut self, now: Duration, sight: Sight, news: &mut Vec<News>) -> Pairing {
        let mut before = std::mem::take(&mut self.files);
        let mut halves = Vec::new();
        for Seen {
            half,
            state,
            is_old,
        } in sight.files
        {
            let known = match before.remove(&half.path) {
                Some(known) if known.state == state => known,
                other => Known {
                    state,
                    since: now,
                    first_seen: other.as_ref().map_or(now, |known| known.first_seen),
                    is_old: is_old && other.is_none(),
                },
            };
            self.files.insert(half.path.clone(), known);
            halves.push(half);
        }
        let files = &self.files;
        self.pairs
            .retain(|key, _| key.iter().all(|path| files.contains_key(path)));
        let pairing = pair_up(halves, sight.mode, &[]);
        news.extend(self.unclear(now, &pairing.ambiguous));
        pairing
    }

    /// What is new of what is not clear; both of two halves that are at odds are told of by one.
    fn unclear(&mut self, now: Duration, found: &[Ambiguity]) -> Vec<News> {
        let is_there = |path: &PathBuf| found.iter().any(|one| one.half == *path);
        self.unclear.retain(is_there);
        let mut news: Vec<&Ambiguity> = Vec::new();
        for one in found {
            let known = self.files.get(&one.half);
            if known.is_none_or(|known| !known.is_settled(now)) {
                continue;
            }
            let is_told = news.iter().any(|told| told.disputed == one.disputed);
            if self.unclear.insert(one.half.clone()) && !is_told {
                news.push(one);
            }
        }
        news.into_iter().cloned().map(News::Unclear).collect()
    }

    fn waiting(&self, lone: Vec<Half>) -> Vec<Waiting> {
        let since = |half: &Half| self.files.get(&half.path).map(|known| known.first_seen);
        let waiting = lone.into_iter().filter_map(|half| {
            let since = since(&half)?;
            Some(Waiting { half, since })
        });
        waiting.collect()
    }

    /// Adds a pair to what is wanted, now or later; says whether it is not archived.
    fn want(&self, now: Duration, pair: Pair, wanted: &mut Wanted) -> bool {
        let key = key(&pair);
        let known: Vec<&Known> = key.iter().filter_map(|path| self.files.get(path)).collect();
        let states: Vec<FileState> = known.iter().map(|known| known.state).collect();
        let entry = self.pairs.get(&key);
        let same = entry.filter(|entry| entry.states == states);
        match same.map(|entry| &entry.came_to) {
            Some(CameTo::Sound) => return false,
            Some(CameTo::Suspect) => {
                wanted.suspect.push((key, states, pair));
                return false;
            }
            Some(CameTo::Bad(_, backoff)) if backoff.again > now => {
                wanted.at(backoff.again);
                return true;
            }
            _ => {}
        }
        if known.iter().all(|known| known.is_settled(now)) {
            if wanted.due.seen.len() == BATCH {
                wanted.is_more = true;
                return true;
            }
            wanted.due.seen.insert(key, states);
            if entry.is_some_and(|entry| entry.was_archived) {
                wanted.due.anew.push(pair);
            } else {
                wanted.due.pairs.push(pair);
            }
        } else if let Some(since) = known.iter().map(|known| known.since).max() {
            wanted.at(since + SETTLE);
        }
        true
    }

    fn take_outcome(
        &mut self,
        now: Duration,
        key: Key,
        states: Vec<FileState>,
        outcome: Outcome,
        news: &mut Vec<News>,
    ) {
        let before = self.pairs.remove(&key);
        let mut was_archived = before.as_ref().is_some_and(|entry| entry.was_archived);
        let came_to = match outcome {
            Outcome::Unsettled => {
                self.unsettle(now, &key);
                if let Some(before) = before {
                    self.pairs.insert(key, before);
                }
                return;
            }
            Outcome::Bad(complaint) => {
                let same = before.filter(|entry| entry.states == states);
                let bad = same.and_then(|entry| match entry.came_to {
                    CameTo::Bad(told, backoff) => Some((told, backoff)),
                    CameTo::Sound | CameTo::Suspect => None,
                });
                if bad.as_ref().is_none_or(|(told, _)| *told != complaint) {
                    news.push(News::Bad(complaint.clone()));
                }
                let backoff = bad.map(|(_, backoff)| backoff);
                CameTo::Bad(complaint, Backoff::after(backoff, now, WANTING))
            }
            archived => {
                was_archived = true;
                if archived == Outcome::Sound {
                    CameTo::Sound
                } else {
                    CameTo::Suspect
                }
            }
        };
        let entry = Entry {
            states,
            was_archived,
            came_to,
        };
        self.pairs.insert(key, entry);
    }

    /// The files are watched for as long again as if they had changed just now.
    fn unsettle(&mut self, now: Duration, key: &Key) {
        for path in key {
            if let Some(known) = self.files.get_mut(path) {
                (known.since, known.is_old) = (now, false);
            }
        }
    }

    fn failed(&mut self, now: Duration, complaint: Complaint) -> Option<News> {
        let before = self.failing.take();
        let backoff = before.as_ref().map(|failing| failing.backoff);
        let backoff = Backoff::after(backoff, now, FAILED);
        let told = before.map(|failing| failing.told);
        let told = told.filter(|(told, at)| *told == complaint && now < *at + TELL_AGAIN);
        let is_news = told.is_none();
        self.failing = Some(Failing {
            backoff,
            told: told.unwrap_or((complaint.clone(), now)),
        });
        is_news.then(|| News::Failed(complaint, backoff.again.saturating_sub(now)))
    }
}

impl Known {
    fn is_settled(&self, now: Duration) -> bool {
        self.is_old || now >= self.since + SETTLE
    }
}

/// What pairs call for.
#[derive(Default)]
struct Wanted {
    due: Due,
    /// Archived, but suspect: looked at again when there is a push anyway, which is the last for now.
    suspect: Vec<(Key, Vec<FileState>, Pair)>,
    /// There are more that are due.
    is_more: bool,
    /// When the first of the others is due.
    again: Option<Duration>,
}

impl Wanted {
    fn at(&mut self, time: Duration) {
        self.again = Some(self.again.map_or(time, |again| again.min(time)));
    }

    fn is_empty(&self) -> bool {
        self.due.seen.is_empty()
    }

    fn into_due(self) -> Due {
        let mut due = self.due;
        let suspect = if self.is_more {
            Vec::new()
        } else {
            self.suspect
        };
        for (key, states, pair) in suspect {
            due.seen.insert(key, states);
            due.pairs.push(pair);
        }
        due
    }
}

fn key(pair: &Pair) -> Key {
    pair.halves().map(|half| half.path.clone()).collect()
}

#[cfg(test)]
mod tests;
