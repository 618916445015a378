//! The journal: what happened on this host, each entry chained to all before it.
//!
//! Promise: an entry that was changed, removed, put in between or moved shows, as long as the hashes
//! after it were not made anew; and if they were, it shows by the head that a signed manifest names.
//! What happened after the newest archive is as safe as the host alone. Memory: a line, and what the
//! archives name. docs/FORMAT.md is normative.

use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, Digest, Sequence};
use crate::words::limits::{JOURNAL_DETAIL_MAX, JOURNAL_FAULTS_MAX};
use crate::words::verdict::Severity;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The journal began: always the first entry, and no other.
    Begun,
    /// An archive was made.
    Pushed,
    /// A store was verified.
    Verified,
    /// An archive came back as files.
    Fetched,
    /// An archive was removed on purpose.
    Pruned,
    /// An archive was restored on trial.
    Drilled,
    /// An archive was exempted from retention.
    Held,
    /// It is no longer exempted.
    Released,
    /// A pair was not archived, for what it is.
    Refused,
    /// Archives were copied to another store.
    Replicated,
    /// The index was made anew from the stores.
    Rebuilt,
    /// Something that this program does not know, of a newer one.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begun => "begun",
            Self::Pushed => "pushed",
            Self::Verified => "verified",
            Self::Fetched => "fetched",
            Self::Pruned => "pruned",
            Self::Drilled => "drilled",
            Self::Held => "held",
            Self::Released => "released",
            Self::Refused => "refused",
            Self::Replicated => "replicated",
            Self::Rebuilt => "rebuilt",
            Self::Unknown => "unknown",
        })
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1, without a gap.
    pub number: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// The archive's place in the chain, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Sequence>,
    /// The archive's id, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveId>,
    /// A sentence for people; never a secret.
    pub detail: String,
}

impl Entry {
    /// The line that is hashed and kept, without its end.
    ///
    /// # Errors
    /// An error of `serde_json`, which no entry is known to cause.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// A detail as it may be in an entry: no control characters, and not longer than
/// [`JOURNAL_DETAIL_MAX`] characters.
#[must_use]
pub fn tidy(detail: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    detail.chars().map(clean).take(JOURNAL_DETAIL_MAX).collect()
}

/// An entry as it is kept: its line, and the hash of all up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The number it is kept under.
    pub number: u64,
    /// Its line.
    pub line: String,
    /// The hash of the line and of all before it.
    pub hash: Digest,
}

impl Recorded {
    /// The entry; none if a newer program wrote it, or somebody spoilt it.
    #[must_use]
    pub fn entry(&self) -> Option<Entry> {
        serde_json::from_str(&self.line).ok()
    }

    /// The line with the hash as its last member, as it is exported.
    #[must_use]
    pub fn to_export(&self) -> String {
        match self.line.strip_suffix('}') {
            Some(open) => format!("{open},\"hash\":\"{}\"}}", self.hash),
            None => self.line.clone(),
        }
    }
}

/// What the first entry follows: a digest of zeros.
#[must_use]
pub fn before_the_first() -> Digest {
    Digest::from_bytes([0; 32])
}

/// The hash of an entry: the SHA-256 of the hash before it in hexadecimal digits, a line feed, the
/// entry's line, and a line feed. The hash of the first entry is the journal's id.
#[must_use]
pub fn chain(before: Digest, line: &str) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(format!("{before}\n{line}\n").as_bytes());
    Digest::from_hasher(hasher)
}

/// How far a journal had come: what a manifest says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The journal's id: the hash of its first entry.
    pub journal: Digest,
    /// How many entries it had.
    pub entries: u64,
    /// The hash of the last of them.
    pub head: Digest,
}

/// What a verified manifest says of the journal of the host that signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedHead {
    /// The archive's place in the chain.
    pub sequence: Sequence,
    /// The archive.
    pub archive: ArchiveId,
    /// The journal's head before the archive's own entry.
    pub head: JournalHead,
}

/// Something that is not as it should be with a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalFault {
    /// A word for programs: `journal-edited`, `journal-cut`, `journal-begun-anew`.
    pub code: &'static str,
    /// Whether it is a violation, or only to be known.
    pub severity: Severity,
    /// The first entry that it is about, if it is about one.
    pub entry: Option<u64>,
    /// The archive whose manifest shows it, if one does.
    pub archive: Option<Sequence>,
    /// A sentence for people.
    pub message: String,
}

/// What a check of a journal came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalChecked {
    /// How many entries it has.
    pub entries: u64,
    /// Its head; none if it has no entry.
    pub head: Option<JournalHead>,
    /// When something of each kind was last written down.
    pub last: BTreeMap<Event, Timestamp>,
    /// What is not as it should be, the first 100.
    pub faults: Vec<JournalFault>,
}

/// Checks a journal, entry by entry, against what archives name of it.
#[derive(Debug)]
pub struct JournalCheck {
    /// Those of this journal that were not met yet, the one with the fewest entries last. Until the
    /// first entry has said which journal it is, all there are.
    due: Vec<NamedHead>,
    /// The other journals that are named, each with the newest archive that names it.
    others: BTreeMap<Digest, Sequence>,
    /// By archive: the journal that its manifest names.
    journals: HashMap<ArchiveId, Digest>,
    /// The entry up to which a manifest has confirmed everything.
    confirmed: u64,
    head_differs: bool,
    last_hash: Digest,
    done: JournalChecked,
}

/// Checks a whole journal, as [`JournalCheck`] does.
pub fn check(entries: impl IntoIterator<Item = Recorded>, heads: &[NamedHead]) -> JournalChecked {
    let mut check = JournalCheck::new(heads);
    for entry in entries {
        check.see(&entry);
    }
    check.finish()
}

impl JournalCheck {
    /// A check against the heads that verified manifests of this host name, in any order.
    #[must_use]
    pub fn new(heads: &[NamedHead]) -> Self {
        Self {
            due: heads.to_vec(),
            others: BTreeMap::new(),
            journals: heads
                .iter()
                .map(|named| (named.archive, named.head.journal))
                .collect(),
            confirmed: 0,
            head_differs: false,
            last_hash: before_the_first(),
            done: JournalChecked::default(),
        }
    }

    /// Takes the next entry, in the order of the numbers that they are kept under.
    pub fn see(&mut self, found: &Recorded) {
        let due = self.done.entries + 1;
        let entry = found.entry();
        if found.number > due {
            let last = found.number - 1;
            let which = if last == due {
                format!("entry {due} is missing")
            } else {
                format!("entries {due} to {last} are missing")
            };
            self.edited(due, None, which);
        } else if chain(self.last_hash, &found.line) != found.hash {
            let message = match found.number {
                1 => "entry 1 was changed".to_owned(),
                number => format!("entry {number}, or the one before it, was changed"),
            };
            self.edited(found.number, None, message);
        } else if entry.as_ref().is_some_and(|entry| entry.number != due) {
            self.edited(due, None, format!("entry {due} has another number"));
        }
        self.last_hash = found.hash;
        self.done.entries = found.number;
        let known = self.done.head.map(|head| head.journal);
        let journal = known.unwrap_or(found.hash);
        if known.is_none() {
            self.sort_out(Some(journal));
        }
        self.done.head = Some(JournalHead {
            journal,
            entries: found.number,
            head: found.hash,
        });
        if let Some(entry) = entry {
            self.compare_push(&entry, journal);
            let last = self.done.last.entry(entry.event).or_insert(entry.at);
            *last = entry.at.max(*last);
        }
        self.compare_heads(found);
    }

    /// What the check came to, once all entries were seen.
    #[must_use]
    pub fn finish(mut self) -> JournalChecked {
        let entries = self.done.entries;
        if self.done.head.is_none() {
            self.sort_out(None);
        }
        if let Some(named) = self.due.first().copied() {
            let message = format!(
                "the journal ends with entry {entries}, but had {} when archive {} was made: its \
                 end was removed, or an older index was put back",
                named.head.entries, named.sequence
            );
            let (first, archive) = (Some(entries + 1), Some(named.sequence));
            self.add("journal-cut", Severity::Fault, first, archive, message);
        }
        let others: BTreeSet<Sequence> = self.others.values().copied().collect();
        for newest in others {
            let message = format!(
                "the journal that archive {newest} names is not here: it was lost with its index, \
                 and another was begun"
            );
            self.add(
                "journal-begun-anew",
                Severity::Note,
                None,
                Some(newest),
                message,
            );
        }
        self.done
    }

    /// Sets the heads of other journals apart from those of this one.
    fn sort_out(&mut self, own: Option<Digest>) {
        let is_own = |named: &NamedHead| Some(named.head.journal) == own;
        let (due, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.due).into_iter().partition(is_own);
        self.due = due;
        self.due
            .sort_by_key(|named| (Reverse(named.head.entries), Reverse(named.sequence)));
        for named in others {
            let newest = self
                .others
                .entry(named.head.journal)
                .or_insert(named.sequence);
            *newest = named.sequence.max(*newest);
        }
    }

    /// A journal in which an archive was written down is the one that the archive names.
    fn compare_push(&mut self, entry: &Entry, journal: Digest) {
        let named = entry.archive.filter(|_| entry.event == Event::Pushed);
        let named = named.and_then(|archive| self.journals.get(&archive));
        if named.is_some_and(|named| *named != journal) {
            let message = format!(
                "entry {} tells of an archive that names another journal: this one was made \
                 afterwards",
                entry.number
            );
            self.edited(entry.number, entry.sequence, message);
        }
    }

    /// The heads with as many entries as were seen so far.
    fn compare_heads(&mut self, found: &Recorded) {
        while let Some(named) = self.due.pop_if(|named| named.head.entries <= found.number) {
            if named.head.entries == found.number && named.head.head == found.hash {
                self.confirmed = self.confirmed.max(found.number);
            } else if !self.head_differs {
                // Every later head differs, too, for this very reason.
                self.head_differs = true;
                let (first, last) = (self.confirmed + 1, named.head.entries);
                let message = format!(
                    "archive {} was made when the journal was another up to entry {last}: of the \
                     entries {first} to {last} one was changed",
                    named.sequence
                );
                self.edited(first, Some(named.sequence), message);
            }
        }
    }

    fn edited(&mut self, entry: u64, archive: Option<Sequence>, message: String) {
        self.add(
            "journal-edited",
            Severity::Fault,
            Some(entry),
            archive,
            message,
        );
    }

    fn add(
        &mut self,
        code: &'static str,
        severity: Severity,
        entry: Option<u64>,
        archive: Option<Sequence>,
        message: String,
    ) {
        if self.done.faults.len() < JOURNAL_FAULTS_MAX {
            self.done.faults.push(JournalFault {
                code,
                severity,
                entry,
                archive,
                message,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// A journal with so many entries, the third of which tells of archive 1.
    fn journal(entries: u64, seed: &str) -> Result<Vec<Recorded>, serde_json::Error> {
        let mut recorded = Vec::new();
        let mut hash = before_the_first();
        for number in 1..=entries {
            let event = match number {
                1 => Event::Begun,
                3 => Event::Pushed,
                _ => Event::Verified,
            };
            let line = Entry {
                number,
                at: Timestamp::UNIX_EPOCH,
                event,
                sequence: (number == 3).then_some(Sequence(1)),
                archive: (number == 3).then(|| ArchiveId::of(b"archive 1")),
                detail: format!("{seed} {number}"),
            }
            .to_line()?;
            hash = chain(hash, &line);
            recorded.push(Recorded { number, line, hash });
        }
        Ok(recorded)
    }

    fn head(journal: &[Recorded], entries: usize) -> JournalHead {
        JournalHead {
            journal: journal[0].hash,
            entries: entries as u64,
            head: journal[entries - 1].hash,
        }
    }

    fn named(sequence: u64, head: JournalHead) -> NamedHead {
        NamedHead {
            sequence: Sequence(sequence),
            archive: ArchiveId::of(format!("archive {sequence}").as_bytes()),
            head,
        }
    }

    /// The codes with their entries.
    fn faults(journal: &[Recorded], heads: &[NamedHead]) -> Vec<(&'static str, Option<u64>)> {
        let faults = check(journal.to_vec(), heads).faults;
        faults
            .iter()
            .map(|fault| (fault.code, fault.entry))
            .collect()
    }

    /// Makes the hashes anew from an entry on, as whoever edits with care would.
    fn hash_anew(journal: &mut [Recorded]) {
        let mut hash = before_the_first();
        for recorded in journal {
            hash = chain(hash, &recorded.line);
            recorded.hash = hash;
        }
    }

    #[test]
    fn the_line_and_the_hash_are_as_documented() -> Outcome {
        let journal = journal(3, "a")?;
        assert_eq!(
            journal[1].line,
            r#"{"number":2,"at":"1970-01-01T00:00:00Z","event":"verified","detail":"a 2"}"#
        );
        let text = format!("{}\n{}\n", journal[0].hash, journal[1].line);
        assert_eq!(journal[1].hash, Digest::of(text.as_bytes()));
        let exported: serde_json::Value = serde_json::from_str(&journal[1].to_export())?;
        assert_eq!(exported["hash"], journal[1].hash.to_string());
        Ok(())
    }

    #[test]
    fn a_journal_as_it_was_written_has_no_fault() -> Outcome {
        let journal = journal(9, "a")?;
        let heads = [named(1, head(&journal, 2)), named(2, head(&journal, 9))];
        let checked = check(journal.clone(), &heads);
        assert_eq!(checked.faults, []);
        assert_eq!(
            (checked.entries, checked.head),
            (9, Some(head(&journal, 9)))
        );
        assert!(checked.last.contains_key(&Event::Verified));
        Ok(())
    }

    #[test]
    fn an_entry_that_was_changed_is_named() -> Outcome {
        for edited in 0..9 {
            let mut journal = journal(9, "a")?;
            journal[edited].line = journal[edited].line.replace("a ", "b ");
            let number = edited as u64 + 1;
            assert_eq!(faults(&journal, &[]), [("journal-edited", Some(number))]);
        }
        Ok(())
    }

    #[test]
    fn entries_that_are_missing_or_moved_are_named() -> Outcome {
        let whole = journal(9, "a")?;
        let mut missing = whole.clone();
        missing.drain(3..5);
        assert_eq!(faults(&missing, &[]), [("journal-edited", Some(4))]);
        let mut moved = whole.clone();
        moved.swap(3, 5);
        (moved[3].number, moved[5].number) = (4, 6);
        assert!(faults(&moved, &[]).contains(&("journal-edited", Some(4))));
        let mut beheaded = whole.clone();
        beheaded.remove(0);
        assert!(faults(&beheaded, &[]).contains(&("journal-edited", Some(1))));
        let mut renumbered = whole;
        renumbered.remove(3);
        for (recorded, number) in renumbered.iter_mut().zip(1..) {
            recorded.number = number;
        }
        hash_anew(&mut renumbered);
        assert!(faults(&renumbered, &[]).contains(&("journal-edited", Some(4))));
        Ok(())
    }

    #[test]
    fn what_was_hashed_anew_shows_by_the_archives() -> Outcome {
        let whole = journal(9, "a")?;
        let heads = [
            named(2, head(&whole, 3)),
            named(3, head(&whole, 5)),
            named(4, head(&whole, 9)),
        ];
        let mut edited = whole.clone();
        edited[4].line = edited[4].line.replace("a ", "b ");
        hash_anew(&mut edited);
        assert_eq!(faults(&edited, &[]), []);
        let found = check(edited, &heads).faults;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].entry, found[0].archive),
            (Some(4), Some(Sequence(3)))
        );
        assert_eq!(
            faults(&whole[..7], &heads),
            [("journal-cut", Some(8))],
            "the end is missing"
        );
        Ok(())
    }

    #[test]
    fn a_journal_that_was_lost_is_no_violation_and_one_that_was_made_up_is() -> Outcome {
        let old = journal(4, "old")?;
        let heads = [named(1, head(&old, 2)), named(7, head(&old, 4))];
        assert_eq!(faults(&[], &heads), [("journal-begun-anew", None)]);
        let new = journal(2, "new")?;
        let found = check(new, &heads).faults;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].severity, found[0].archive),
            (Severity::Note, Some(Sequence(7)))
        );
        // It tells of archive 1, whose manifest names the other.
        let made_up = journal(5, "new")?;
        assert!(faults(&made_up, &heads).contains(&("journal-edited", Some(3))));
        Ok(())
    }

    #[test]
    fn an_event_of_a_newer_program_is_not_known_and_no_fault() -> Outcome {
        let line = r#"{"number":1,"at":"1970-01-01T00:00:00Z","event":"sung","detail":""}"#;
        let recorded = Recorded {
            number: 1,
            line: line.into(),
            hash: chain(before_the_first(), line),
        };
        let entry = recorded.entry().ok_or("no entry")?;
        assert_eq!(entry.event, Event::Unknown);
        assert_eq!(faults(&[recorded], &[]), []);
        Ok(())
    }

    #[test]
    fn a_detail_is_one_line_and_has_an_end() {
        assert_eq!(tidy("a\nb\u{7f}"), "a b ");
        assert_eq!(tidy(&"é".repeat(5000)).chars().count(), JOURNAL_DETAIL_MAX);
    }
}
