//! The tally of one key: what it opened, table by table, and what that comes to.

use crate::formats::envkeys::KeyName;
use crate::words::verdict::{Proof, ProofState};
use std::collections::{BTreeMap, BTreeSet};

/// What trying one key has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    tables: BTreeMap<String, Counts>,
    /// The short texts that it opened, each once: what they are sealed as, and their printable bytes.
    texts: BTreeMap<[u8; 16], u64>,
    /// Tables of the right name that are not looked into: their columns are not known, or they are too many.
    strange: BTreeSet<String>,
}

/// Of one table, how many values there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Opened, to something that a wrong key cannot make.
    pub(super) opened: u64,
    /// Opened, to a short text, which a wrong key can make.
    pub(super) texts: u64,
    /// Not opened, by a key that has opened nothing at all.
    pub(super) failed: u64,
    /// Not opened, by a key that has opened others.
    pub(super) closed: u64,
    /// Sealed with a key that should be in the dump, and is not, or is not the right one.
    pub(super) orphaned: u64,
    /// Deleted, and not opened.
    pub(super) unused: u64,
    /// Not understood, of another version of the key, or too many to be tried.
    pub(super) untried: u64,
}

/// So many printable bytes prove a key: a wrong one makes them once in 2^45 tries.
const TEXT_BYTES_MIN: u64 = 32;

/// So many different texts are kept apart: each has a byte, so they are a proof by then.
const TEXTS_MAX: usize = 64;

/// So many tables with unknown columns are named.
const STRANGE_MAX: usize = 16;

impl Tally {
    pub(super) fn table(&mut self, name: &str) -> &mut Counts {
        self.tables.entry(name.to_owned()).or_default()
    }

    /// A text was opened. The same one in two places is one piece of evidence.
    pub(super) fn text(&mut self, table: &str, sealed_as: [u8; 16], printable: u64) {
        self.table(table).texts += 1;
        self.keep_text(sealed_as, printable);
    }

    fn keep_text(&mut self, sealed_as: [u8; 16], printable: u64) {
        if self.texts.len() < TEXTS_MAX {
            self.texts.insert(sealed_as, printable);
        }
    }

    pub(super) fn strange(&mut self, table: &str) {
        if self.strange.len() < STRANGE_MAX {
            self.strange.insert(table.to_owned());
        }
    }

    /// A key that opened something is right, so what it did not open is damaged, or older.
    pub(super) fn settle(&mut self) {
        if self.total().opened > 0 {
            for counts in self.tables.values_mut() {
                counts.closed += std::mem::take(&mut counts.failed);
            }
        }
    }

    /// The dump ended before its end, so what is not there may have been to come.
    pub fn cut_short(&mut self) {
        for counts in self.tables.values_mut() {
            counts.untried += std::mem::take(&mut counts.orphaned);
        }
    }

    /// How many values there are that somebody needs the key for.
    #[must_use]
    pub fn values(&self) -> u64 {
        let all = self.total();
        let tried = all.opened + all.texts + all.failed + all.closed;
        tried + all.orphaned + all.untried
    }

    /// The names of the tables with values for the key.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// Values that stay closed though the key opens others, by table; empty if there are none.
    #[must_use]
    pub fn closed(&self) -> String {
        self.list_some(|counts| counts.closed)
    }

    /// Values whose own key is not in the dump, by table; empty if there are none.
    #[must_use]
    pub fn orphaned(&self) -> String {
        self.list_some(|counts| counts.orphaned)
    }

    /// Takes in what another dump has shown.
    pub fn merge(&mut self, other: Self) {
        for (name, counts) in other.tables {
            let total = self.table(&name);
            *total = total.plus(counts);
        }
        for (sealed_as, printable) in other.texts {
            self.keep_text(sealed_as, printable);
        }
        for name in other.strange {
            self.strange(&name);
        }
    }

    /// The proof of the key.
    #[must_use]
    pub fn proof(&self, key: KeyName) -> Proof {
        let all = self.total();
        let text_bytes = self.text_bytes();
        let state = if all.failed > 0 {
            ProofState::Refuted
        } else if all.opened > 0 || self.texts_are_a_proof() {
            ProofState::Proven
        } else {
            ProofState::Unproven
        };
        Proof {
            key: key.as_str().into(),
            state,
            opened: all.opened + all.texts,
            failed: all.failed + all.closed,
            evidence: self.evidence(all, text_bytes),
        }
    }

    pub(super) fn texts_are_a_proof(&self) -> bool {
        self.text_bytes() >= TEXT_BYTES_MIN
    }

    fn text_bytes(&self) -> u64 {
        self.texts.values().sum()
    }

    fn total(&self) -> Counts {
        self.tables
            .values()
            .fold(Counts::default(), |total, counts| total.plus(*counts))
    }

    fn evidence(&self, all: Counts, text_bytes: u64) -> String {
        let opened = self.list(|counts| {
            let opened = counts.opened + counts.texts;
            let tried = opened + counts.failed + counts.closed;
            (tried > 0).then(|| format!("{opened} of {tried}"))
        });
        let weak = all.opened + all.failed == 0 && all.texts > 0;
        let strange: Vec<&str> = self.strange.iter().map(String::as_str).collect();
        let parts = [
            ("opens ", opened),
            (
                "",
                if weak {
                    odds(text_bytes)
                } else {
                    String::new()
                },
            ),
            ("lacks the system key of ", self.orphaned()),
            ("no longer in use: ", self.list_some(|counts| counts.unused)),
            (
                "not understood or not tried: ",
                self.list_some(|counts| counts.untried),
            ),
            (
                "not looked into, for their columns or their number: ",
                strange.join(", "),
            ),
        ];
        let said = parts.iter().filter(|(_, what)| !what.is_empty());
        let said: Vec<String> = said.map(|(intro, what)| format!("{intro}{what}")).collect();
        if said.is_empty() {
            "there is nothing in the dump yet that it could be tried on".into()
        } else {
            said.join("; ")
        }
    }

    /// Of each table a number, unless it is 0.
    fn list_some(&self, of: impl Fn(&Counts) -> u64) -> String {
        self.list(|counts| Some(of(counts)).filter(|n| *n > 0).map(|n| n.to_string()))
    }

    /// What is to be said of each table, as `3 in a, 4 in b`.
    fn list(&self, of: impl Fn(&Counts) -> Option<String>) -> String {
        let tables = self.tables.iter();
        let parts = tables.filter_map(|(name, counts)| Some(of(counts)? + " in " + name));
        parts.collect::<Vec<_>>().join(", ")
    }
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            opened: self.opened + other.opened,
            texts: self.texts + other.texts,
            failed: self.failed + other.failed,
            closed: self.closed + other.closed,
            orphaned: self.orphaned + other.orphaned,
            unused: self.unused + other.unused,
            untried: self.untried + other.untried,
        }
    }
}

/// 95 of 256 bytes are printable: each has log2(256 / 95) = 1.430 bits.
fn odds(text_bytes: u64) -> String {
    let bits = text_bytes * 143 / 100;
    format!(
        "these are short texts, {text_bytes} bytes in all, which a wrong key makes once in 2^{bits} tries"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: Counts) -> Tally {
        Tally {
            tables: BTreeMap::from([("t".to_owned(), counts)]),
            ..Tally::default()
        }
    }

    #[test]
    fn a_key_that_opens_nothing_is_refuted_and_one_that_opens_some_has_closed_values() {
        let case = |opened, failed| {
            let counts = Counts {
                opened,
                failed,
                ..Counts::default()
            };
            let mut tally = tally(counts);
            tally.settle();
            (tally.proof(KeyName::Zitadel), tally.closed())
        };
        let (proof, closed) = case(0, 3);
        assert_eq!((proof.state, closed.as_str()), (ProofState::Refuted, ""));
        let (proof, closed) = case(99, 1);
        assert_eq!(
            (proof.state, closed.as_str()),
            (ProofState::Proven, "1 in t")
        );
        assert_eq!((proof.opened, proof.failed), (99, 1));
        assert_eq!(proof.evidence, "opens 99 of 100 in t");
    }

    #[test]
    fn short_texts_prove_nothing_until_there_are_enough_different_ones() {
        let mut tally = Tally::default();
        for _ in 0..9 {
            tally.text("t", [1; 16], 31);
        }
        let few = tally.proof(KeyName::Zitadel);
        assert_eq!(few.state, ProofState::Unproven);
        assert!(few.evidence.ends_with("once in 2^44 tries"), "{few:?}");
        let mut other = Tally::default();
        other.text("u", [2; 16], 1);
        tally.merge(other);
        assert_eq!(tally.proof(KeyName::Zitadel).state, ProofState::Proven);
    }

    #[test]
    fn what_was_not_tried_is_said_plainly_and_by_its_reason() {
        let proof = Tally::default().proof(KeyName::Smtp);
        assert_eq!(proof.state, ProofState::Unproven);
        assert!(proof.evidence.contains("nothing"), "{}", proof.evidence);
        let mut tally = tally(Counts {
            orphaned: 1,
            unused: 2,
            untried: 3,
            ..Counts::default()
        });
        tally.strange("s");
        let proof = tally.proof(KeyName::Smtp);
        assert_eq!(proof.state, ProofState::Unproven);
        assert_eq!(
            proof.evidence,
            "lacks the system key of 1 in t; no longer in use: 2 in t; not understood or not tried: 3 in t; \
             not looked into, for their columns or their number: s"
        );
        assert_eq!(tally.values(), 4);
    }

    #[test]
    fn two_dumps_are_one_tally() {
        let mut one = Tally::default();
        one.table("a").opened = 1;
        let mut other = Tally::default();
        other.table("b").closed = 1;
        one.merge(other);
        let proof = one.proof(KeyName::Workflow);
        assert_eq!((proof.opened, proof.failed), (1, 1));
        assert_eq!(proof.evidence, "opens 1 of 1 in a, 0 of 1 in b");
    }
}
