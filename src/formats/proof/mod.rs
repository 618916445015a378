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
use crate::words::verdict::{Finding, Proof, ProofState};
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
    for name in KeyName::ALL {
        let tally = tallies.get(&name);
        if keys.get(name).is_none() {
            let needed = tally.filter(|tally| tally.values() > 0);
            findings.extend(needed.and_then(|tally| without_key(keys, name, tally)));
        } else if let Some(tally) = tally {
            let proof = tally.proof(name);
            findings.extend(against(&proof, tally));
            proofs.push(proof);
        } else if keys.is_expected(name) {
            proofs.push(Proof {
                evidence: "no dump here has a table for what it encrypts".into(),
                ..Tally::default().proof(name)
            });
        }
    }
    (proofs, findings)
}

/// A key that may be absent, or no key at all, is missed when there is something under it.
fn without_key(keys: &EnvKeys, name: KeyName, tally: &Tally) -> Option<Finding> {
    let (code, what) = keys.lack(name)?;
    let tables = tally.tables().collect::<Vec<_>>().join(", ");
    let message = format!("{what}, and there are values under it in {tables}");
    Some(Finding::fault(code, ComponentName::env(), message))
}

/// What the proof of a key says against the archive.
fn against(proof: &Proof, tally: &Tally) -> Option<Finding> {
    let (env, zitadel) = (ComponentName::env(), ComponentName::zitadel());
    let Proof { key, evidence, .. } = proof;
    let (closed, orphaned) = (tally.closed(), tally.orphaned());
    if proof.state == ProofState::Refuted {
        let message = format!("{key} does not open what is in the dumps: it {evidence}");
        Some(Finding::fault("key-refuted", env, message))
    } else if !orphaned.is_empty() {
        let message = format!(
            "system.encryption_keys has not the right keys for {orphaned}, so nothing opens these values"
        );
        Some(Finding::fault("system-key-missing", zitadel, message))
    } else if !closed.is_empty() {
        let message = format!(
            "{key} opens {}, but not {closed}: these are damaged, or of an older key",
            proof.opened
        );
        Some(Finding::note("value-closed", env, message))
    } else {
        None
    }
}
