//! Rules: what counts as a violation, what is worth a note, and what to do about either.

use super::gather::Gathered;
use super::{Audit, nothing_of};
use crate::formats::report::{StoreReport, Violation};
use crate::formats::retention::{Decision, Point};
use crate::operations::catalog::{Catalog, Summary};
use crate::operations::prune::{decide, point};
use crate::operations::records::Retired;
use crate::operations::verify;
use crate::words::clock::Timestamp;
use crate::words::ids::Sequence;
use crate::words::quantity::count;
use crate::words::verdict::{ProofState, Verdict};
use jiff::SignedDuration;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// An archive that should have gone before so long ago has been forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(48);
/// So many archives and retirements are gone through for retirements that nobody called for.
const JUDGED_MAX: usize = 20_000_000;

impl Audit<'_> {
    pub(super) fn violation(
        &mut self,
        code: &str,
        archive: Option<Sequence>,
        store: Option<&str>,
        message: String,
        remedy: &str,
    ) {
        self.violations
            .push(found(code, archive, store, message, remedy));
    }

    pub(super) fn note(
        &mut self,
        code: &str,
        archive: Option<Sequence>,
        store: Option<&str>,
        message: String,
        remedy: &str,
    ) {
        self.notes
            .push(found(code, archive, store, message, remedy));
    }

    /// A store that cannot be read.
    pub(super) fn unreadable(&mut self, store: &str, reason: &str) -> StoreReport {
        let message = format!("the store cannot be read: {reason}");
        self.violation(
            "store-unreadable",
            None,
            Some(store),
            message,
            "sealift doctor",
        );
        StoreReport {
            error: Some(reason.to_owned()),
            ..nothing_of(store)
        }
    }

    /// What is wrong with one store.
    pub(super) fn store(&mut self, url: &str, store: &Gathered) -> StoreReport {
        for it in &store.report.violations {
            self.verified(url, it);
        }
        if let Some(place) = store.catalog.differs_from(self.merged) {
            let message =
                format!("the store has another archive {place} than the one that was named first");
            let remedy = "find out which host wrote it: sealift list";
            self.violation("store-at-odds", Some(place), Some(url), message, remedy);
        }
        let lacks = self.lacks(store);
        if lacks > 0 {
            let message = format!(
                "the store lacks {} that another has",
                count(lacks, "archive")
            );
            self.violation("store-behind", None, Some(url), message, "sealift push");
        }
        if store.exclusive == Some(false) {
            let message =
                "the store does not refuse to overwrite: of two hosts that push at the same \
                           moment one could lose its archive there"
                    .to_owned();
            let remedy = "let one host alone push, or use a store that has conditional writes";
            self.note("create-not-exclusive", None, Some(url), message, remedy);
        }
        self.lock(url, store);
        if store.unneeded.objects > 0 {
            let message = format!(
                "the store has {} ({} bytes) that no archive needs",
                count(store.unneeded.objects, "blob"),
                store.unneeded.bytes
            );
            let remedy = if store.report.violations.is_empty() {
                "sealift prune --execute"
            } else {
                "they may belong to what is missing or damaged: mend that first"
            };
            self.note("blobs-unneeded", None, Some(url), message, remedy);
        }
        StoreReport {
            archives: store.catalog.archives.len() as u64,
            retired: store.catalog.records.retired.len() as u64,
            behind: lacks,
            blobs: store.blobs.objects,
            stored_bytes: store.blobs.bytes,
            unreferenced_blobs: store.unneeded.objects,
            unreferenced_bytes: store.unneeded.bytes,
            exclusive_create: store.exclusive,
            lock: store
                .lock
                .as_ref()
                .map(|lock| format!("{} for {:#}", lock.mode, lock.lasts)),
            read_share: store.read.map(|(_, share)| share),
            ..nothing_of(url)
        }
    }

    fn verified(&mut self, url: &str, it: &verify::Violation) {
        let message = it.message.clone();
        self.violation(it.code, it.archive, Some(url), message, &it.remedy);
    }

    /// How many archives are elsewhere and not here; one that is damaged here is told by itself.
    fn lacks(&self, store: &Gathered) -> u64 {
        let broken: HashSet<Sequence> = store.broken.iter().copied().collect();
        let is_here = |sequence| store.catalog.at(sequence).is_some() || broken.contains(&sequence);
        let merged = self.merged.archives.iter();
        merged.filter(|it| !is_here(it.sequence)).count() as u64
    }

    /// A lock that ends before retention does protects what is about to go, and not what is to stay.
    fn lock(&mut self, url: &str, store: &Gathered) {
        let (Some(lock), Some(within)) = (&store.lock, &self.request.policy.rules.within) else {
            return;
        };
        let now = self.request.now;
        let kept_for = now.duration_since(within.before(now, self.request.zone));
        if lock.lasts < kept_for {
            let message = format!(
                "the store locks objects for {:#}, and the policy keeps archives for {kept_for:#}: whoever may \
                 delete there can remove the older ones",
                lock.lasts
            );
            let remedy = "set the bucket's default retention to the policy's time";
            self.violation("lock-short", None, Some(url), message, remedy);
        }
    }

    /// What is wrong with archives: with none, with the newest, with those that should be gone.
    pub(super) fn archives(&mut self, decided: &[(Arc<Summary>, Decision)]) {
        let is_sound = |it: &&Arc<Summary>| it.verdict == Verdict::Sound;
        let newest_sound = self.merged.archives.iter().filter(is_sound);
        let newest_sound = newest_sound.max_by_key(|it| it.captured_at).cloned();
        let remedy = "sealift push";
        match (&newest_sound, self.merged.archives.last()) {
            (_, None) => {
                let message = format!("there is no archive of {}", self.request.instance);
                self.violation("no-archive", None, None, message, remedy);
            }
            (None, Some(_)) => {
                let message = "there is no sound archive; all are suspect".to_owned();
                self.violation("no-sound-archive", None, None, message, "sealift list");
            }
            (Some(_), Some(_)) => {}
        }
        self.suspects(newest_sound.as_deref());
        if let Some(newest) = &newest_sound {
            let unproven = newest.proofs.iter();
            let unproven = unproven.filter(|proof| proof.state == ProofState::Unproven);
            let keys: Vec<&str> = unproven.map(|proof| proof.key.as_str()).collect();
            if !keys.is_empty() {
                let message = format!(
                    "nothing in archive {} proves {}: there is nothing that it encrypts",
                    newest.sequence,
                    keys.join(", ")
                );
                let remedy =
                    "it comes by itself with use; until then keep the env file elsewhere, too";
                self.note("key-unproven", Some(newest.sequence), None, message, remedy);
            }
        }
        self.key_changes();
        self.forgotten(decided);
    }

    fn suspects(&mut self, newest_sound: Option<&Summary>) {
        let merged = self.merged;
        for archive in &merged.archives {
            if archive.verdict != Verdict::Suspect {
                continue;
            }
            let sequence = archive.sequence;
            let codes: Vec<&str> = archive.findings.iter().map(|it| it.code.as_str()).collect();
            let message = format!("archive {sequence} is suspect: {}", codes.join(", "));
            let remedy = format!("sealift show {sequence}");
            let is_news = newest_sound.is_none_or(|sound| archive.captured_at > sound.captured_at);
            if is_news {
                self.violation("newest-suspect", Some(sequence), None, message, &remedy);
            } else {
                self.note("archive-suspect", Some(sequence), None, message, &remedy);
            }
        }
    }

    /// Keys that can never be made again, and are not what they were: the host that pushed has found it.
    fn key_changes(&mut self) {
        let merged = self.merged;
        for archive in &merged.archives {
            let findings = archive.findings.iter();
            for finding in findings.filter(|finding| finding.code == "key-changed") {
                let message = finding.message.clone();
                let remedy = "if nobody changed it on purpose, put the old env file back";
                self.note("key-changed", Some(archive.sequence), None, message, remedy);
            }
        }
    }

    /// Archives that the policy has let go for a while, and that are still there.
    fn forgotten(&mut self, decided: &[(Arc<Summary>, Decision)]) {
        if decided.iter().all(|(_, decision)| !decision.is_removal()) {
            return;
        }
        let then = self.request.now - FORGOTTEN;
        let earlier = self.doubted.archives.iter();
        let earlier = earlier.filter(|it| it.created_at <= then).cloned();
        let earlier = Catalog {
            archives: earlier.collect(),
            records: Arc::clone(&self.merged.records),
            ..Catalog::default()
        };
        let gone = decide(&earlier, self.request.policy, self.request.zone, then);
        let gone = gone.iter().filter(|(_, decision)| decision.is_removal());
        let gone: HashSet<Sequence> = gone.map(|(it, _)| it.sequence).collect();
        for (archive, decision) in decided {
            let Decision::Remove(reason) = decision else {
                continue;
            };
            if gone.contains(&archive.sequence) {
                let sequence = archive.sequence;
                let message =
                    format!("archive {sequence} should have gone more than two days ago: {reason}");
                let remedy = "every night: sealift prune --execute";
                self.violation("archive-forgotten", Some(sequence), None, message, remedy);
            }
        }
    }

    /// Retirements that the policy did not call for, judged by what there was then.
    pub(super) fn retirements(&mut self) {
        let lines = super::policy_lines(self.request.policy, self.request.zone);
        let retired = &self.merged.records.retired;
        let mut by_time: BTreeMap<Timestamp, Vec<Sequence>> = BTreeMap::new();
        for (sequence, it) in retired {
            by_time.entry(it.at).or_default().push(*sequence);
        }
        let (mut judged, mut other_policy, mut unjudged) = (0, 0, 0);
        let mut uncalled = Vec::new();
        for (at, places) in by_time.iter().rev() {
            let is_by_it =
                |place: &&Sequence| retired.get(place).is_some_and(|it| *it.policy == *lines);
            let (ours, others): (Vec<&Sequence>, Vec<&Sequence>) =
                places.iter().partition(is_by_it);
            other_policy += others.len();
            if ours.is_empty() {
                continue;
            }
            judged += self.merged.archives.len() + retired.len();
            if judged > JUDGED_MAX {
                unjudged += ours.len();
                continue;
            }
            uncalled.extend(self.uncalled(*at, &ours));
        }
        for sequence in uncalled {
            let message = format!(
                "archive {sequence} was retired although the policy that was named for it keeps it"
            );
            let remedy = "find out who removed it, and compare with what this host has done: sealift audit --journal";
            self.violation("retirement-uncalled", Some(sequence), None, message, remedy);
        }
        if other_policy + unjudged > 0 {
            let message = format!(
                "{} not judged: made under another policy than this one, or too long ago",
                count((other_policy + unjudged) as u64, "retirement")
            );
            self.note(
                "retirement-unjudged",
                None,
                None,
                message,
                "sealift audit --json",
            );
        }
    }

    /// Of the places that were retired at a time, those that the policy would have kept.
    fn uncalled(&self, at: Timestamp, places: &[&Sequence]) -> Vec<Sequence> {
        let records = &self.merged.records;
        let then: Vec<(Sequence, &Retired)> = records
            .retired
            .iter()
            .filter(|(_, it)| it.at >= at)
            .map(|(sequence, it)| (*sequence, it))
            .collect();
        let there = self.merged.archives.iter();
        let there = there.filter(|it| it.created_at <= at);
        let mut points: Vec<Point<'_>> = there.map(|it| point(self.merged, it)).collect();
        points.extend(then.iter().map(|(sequence, it)| Point {
            sequence: *sequence,
            captured_at: it.captured_at.unwrap_or(it.at),
            label: &it.label,
            verdict: it.verdict.unwrap_or(Verdict::Sound),
            is_held: false,
            is_drilled: false,
        }));
        // What was not there yet cannot have displaced anything.
        points.retain(|point| point.captured_at <= at);
        let plan =
            crate::formats::retention::plan(self.request.policy, self.request.zone, at, &points);
        let kept = plan
            .into_iter()
            .filter(|(_, decision)| !decision.is_removal());
        let kept: HashSet<Sequence> = kept.map(|(sequence, _)| sequence).collect();
        places
            .iter()
            .copied()
            .copied()
            .filter(|place| kept.contains(place))
            .collect()
    }
}

/// A violation, or a note.
pub(super) fn found(
    code: &str,
    archive: Option<Sequence>,
    store: Option<&str>,
    message: String,
    remedy: &str,
) -> Violation {
    Violation {
        code: code.to_owned(),
        archive,
        store: store.map(str::to_owned),
        message,
        remedy: remedy.to_owned(),
    }
}
