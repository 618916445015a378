//! Proofs: whether the keys of an env file open what is in a dump.
//!
//! Promise: `proven` is said only of a key that opened a value which a wrong key cannot open but by
//! odds that are stated; `refuted` of every key that leaves a value closed which it should open. It
//! is found out from the rows as they stream by, without a server. No plaintext outlives the look at
//! it: it is wiped, and nothing of it is in a result.

mod application;
mod tally;
mod zitadel;

pub use tally::Tally;

use crate::formats::envkeys::{EnvKeys, KeyName};
use crate::formats::pgdump::{Row, RowVisitor, Table, Wanted};
use crate::words::ids::ComponentName;
use crate::words::verdict::{Finding, Proof, ProofState, Severity};
use application::Application;
use std::collections::BTreeMap;
use zitadel::Zitadel;

/// Tries keys on the rows of one dump: those that it finds in the dump's own tables.
pub struct Prover<'k> {
    zitadel: Zitadel<'k>,
    application: Application<'k>,
    tables: Vec<Target>,
}

/// What a wanted table is looked into for.
#[derive(Clone, Copy)]
enum Target {
    Zitadel(zitadel::Target),
    Application(application::Target),
}

/// No dump is looked into for more tables than this.
const TABLES_MAX: usize = 64;

impl<'k> Prover<'k> {
    /// Somebody who tries these keys.
    #[must_use]
    pub fn new(keys: &'k EnvKeys) -> Self {
        Self {
            zitadel: Zitadel::new(keys.get(KeyName::Zitadel)),
            application: Application::new(keys),
            tables: Vec::new(),
        }
    }

    /// What each key came to, once the dump was read; keys that the dump has no place for are absent.
    #[must_use]
    pub fn finish(self) -> BTreeMap<KeyName, Tally> {
        let mut tallies = self.application.finish();
        tallies.extend(self.zitadel.finish().map(|tally| (KeyName::Zitadel, tally)));
        tallies
    }
}

impl RowVisitor for Prover<'_> {
    fn wants(&mut self, table: &Table<'_>) -> Option<Wanted> {
        if self.tables.len() == TABLES_MAX {
            return None;
        }
        let zitadel = self.zitadel.wants(table).map(Target::Zitadel);
        let target = zitadel.or_else(|| self.application.wants(table).map(Target::Application))?;
        self.tables.push(target);
        Some(Wanted {
            table: self.tables.len() - 1,
            containing: match target {
                Target::Zitadel(target) => target.containing(),
                Target::Application(_) => b"",
            },
        })
    }

    fn row(&mut self, table: usize, row: Row<'_>) {
        match self.tables.get(table) {
            Some(Target::Zitadel(target)) => self.zitadel.row(*target, row),
            Some(Target::Application(target)) => self.application.row(*target, row),
            None => {}
        }
    }

    fn too_long(&mut self, table: usize) {
        match self.tables.get(table) {
            Some(Target::Zitadel(target)) => self.zitadel.too_long(*target),
            Some(Target::Application(target)) => self.application.too_long(*target),
            None => {}
        }
    }
}

/// The proofs of keys, and what is to be said against them, once all dumps were read.
#[must_use]
pub fn judge(keys: &EnvKeys, tallies: &BTreeMap<KeyName, Tally>) -> (Vec<Proof>, Vec<Finding>) {
    let (mut proofs, mut findings) = (Vec::new(), Vec::new());
    let mut find = |code: &str, message| {
        findings.push(Finding {
            code: code.into(),
            severity: Severity::Fault,
            component: ComponentName::env(),
            message,
        });
    };
    for name in KeyName::ALL {
        let key = name.as_str();
        let tally = tallies.get(&name);
        if keys.get(name).is_some() {
            let proof = tally.map_or_else(|| no_place(name), |tally| tally.proof(name));
            if proof.state == ProofState::Refuted {
                let evidence = &proof.evidence;
                find(
                    "key-refuted",
                    format!("{key} is not the key of this data: it {evidence}"),
                );
            }
            proofs.push(proof);
        } else if let Some(tally) = tally.filter(|tally| tally.values() > 0)
            && keys.lacks(name)
            && !name.is_vital()
        {
            let tables = tally.tables().collect::<Vec<_>>().join(", ");
            let what =
                format!("the env file has no {key}, and there are values under it in {tables}");
            find("key-missing", what);
        }
    }
    (proofs, findings)
}

fn no_place(name: KeyName) -> Proof {
    Proof {
        evidence: "no dump here has a table for what it encrypts".into(),
        ..Tally::default().proof(name)
    }
}
