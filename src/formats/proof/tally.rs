//! The tally of one key: what it opened, table by table, and what that comes to.

use crate::formats::envkeys::KeyName;
use crate::words::verdict::{Proof, ProofState};
use std::collections::BTreeMap;

/// What trying one key has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    tables: BTreeMap<String, Counts>,
}

/// Of one table, how many values there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Opened, to something that a wrong key cannot make.
    pub(super) opened: u64,
    /// Opened, to a short text, which a wrong key can make.
    pub(super) texts: u64,
    /// The printable bytes of those.
    pub(super) text_bytes: u64,
    /// Not opened.
    pub(super) failed: u64,
    /// Not tried.
    pub(super) untested: u64,
}

/// So many printable bytes prove a key: a wrong one makes them once in 2^45 tries.
const TEXT_BYTES_MIN: u64 = 32;

impl Tally {
    pub(super) fn table(&mut self, name: &str) -> &mut Counts {
        self.tables.entry(name.to_owned()).or_default()
    }

    /// How many values there are for the key, tried or not.
    #[must_use]
    pub fn values(&self) -> u64 {
        let all = self.total();
        all.opened + all.texts + all.failed + all.untested
    }

    /// The names of the tables with values for the key.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// Takes in what another dump has shown.
    pub fn merge(&mut self, other: Self) {
        for (name, counts) in other.tables {
            let total = self.table(&name);
            *total = total.plus(counts);
        }
    }

    /// The proof of the key.
    #[must_use]
    pub fn proof(&self, key: KeyName) -> Proof {
        let all = self.total();
        let state = if all.failed > 0 {
            ProofState::Refuted
        } else if all.opened > 0 || all.text_bytes >= TEXT_BYTES_MIN {
            ProofState::Proven
        } else {
            ProofState::Unproven
        };
        Proof {
            key: key.as_str().into(),
            state,
            opened: all.opened + all.texts,
            failed: all.failed,
            evidence: self.evidence(all),
        }
    }

    fn total(&self) -> Counts {
        self.tables
            .values()
            .fold(Counts::default(), |total, counts| total.plus(*counts))
    }

    fn evidence(&self, all: Counts) -> String {
        if self.values() == 0 {
            return "there is nothing in the dump yet that it could be tried on".into();
        }
        let listed = |intro: &str, of_table: &dyn Fn(&Counts) -> Option<String>| {
            let tables = self.tables.iter();
            let parts = tables.filter_map(|(name, counts)| Some(of_table(counts)? + " in " + name));
            let list = parts.collect::<Vec<_>>().join(", ");
            (!list.is_empty()).then(|| format!("{intro} {list}"))
        };
        let opened = listed("opens", &|counts| {
            let opened = counts.opened + counts.texts;
            let tried = opened + counts.failed;
            (tried > 0).then(|| format!("{opened} of {tried}"))
        });
        let untested = listed("does not count", &|counts| {
            (counts.untested > 0).then(|| counts.untested.to_string())
        });
        let weak = all.opened == 0 && all.failed == 0 && all.texts > 0;
        let odds = weak.then(|| {
            let (bytes, odds) = (all.text_bytes, log2_odds(all.text_bytes));
            format!("these are short texts, {bytes} bytes in all, which a wrong key makes once in 2^{odds} tries")
        });
        let parts: Vec<String> = [opened, odds, untested].into_iter().flatten().collect();
        parts.join("; ")
    }
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            opened: self.opened + other.opened,
            texts: self.texts + other.texts,
            text_bytes: self.text_bytes + other.text_bytes,
            failed: self.failed + other.failed,
            untested: self.untested + other.untested,
        }
    }
}

/// 95 of 256 bytes are printable: each has log2(256 / 95) = 1.430 bits.
fn log2_odds(text_bytes: u64) -> u64 {
    text_bytes * 143 / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: Counts) -> Proof {
        let tables = BTreeMap::from([("t".to_owned(), counts)]);
        Tally { tables }.proof(KeyName::Zitadel)
    }

    fn texts(text_bytes: u64) -> Counts {
        Counts {
            texts: 1,
            text_bytes,
            ..Counts::default()
        }
    }

    #[test]
    fn one_value_left_closed_refutes_whatever_else_was_opened() {
        let proof = tally(Counts {
            opened: 99,
            failed: 1,
            ..Counts::default()
        });
        assert_eq!(proof.state, ProofState::Refuted);
        assert_eq!(proof.evidence, "opens 99 of 100 in t");
    }

    #[test]
    fn short_texts_prove_nothing_until_there_are_enough_of_them() {
        let few = tally(texts(31));
        assert_eq!(few.state, ProofState::Unproven);
        assert!(
            few.evidence.ends_with("once in 2^44 tries"),
            "{}",
            few.evidence
        );
        assert_eq!(tally(texts(32)).state, ProofState::Proven);
    }

    #[test]
    fn nothing_to_try_is_said_plainly() {
        let proof = Tally::default().proof(KeyName::Smtp);
        assert_eq!(proof.state, ProofState::Unproven);
        assert!(proof.evidence.contains("nothing"), "{}", proof.evidence);
        let untested = tally(Counts {
            untested: 2,
            ..Counts::default()
        });
        assert_eq!(untested.state, ProofState::Unproven);
        assert_eq!(untested.evidence, "does not count 2 in t");
    }

    #[test]
    fn two_dumps_are_one_tally() {
        let mut one = Tally::default();
        one.table("a").opened = 1;
        let mut other = Tally::default();
        other.table("b").failed = 1;
        one.merge(other);
        let proof = one.proof(KeyName::Workflow);
        assert_eq!((proof.opened, proof.failed), (1, 1));
        assert_eq!(proof.evidence, "opens 1 of 1 in a, 0 of 1 in b");
    }
}
