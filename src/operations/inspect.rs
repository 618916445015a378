//! Inspect: dumps are read to their last byte, and the keys of an env file tried on them.
//!
//! Promise: what is wrong with a dump is a finding, never an error, for a damaged dump must still be
//! archived; an error is said only of what is no dump at all or cannot be read here. Nothing is written.

use crate::formats::envkeys::{EnvKeys, KeyName};
use crate::formats::pgdump::{self, DumpError, DumpFacts, Unreadable};
use crate::formats::proof::{Prover, Tally, judge};
use crate::ports::backups::{
    AuthMode, BackupsError, DumpName, FileState, Half, PAIR_WINDOW, Pair, pair_up,
};
use crate::ports::files::FileError;
use crate::words::cancel::{Cancel, Cancelled};
use crate::words::ids::ComponentName;
use crate::words::monitor::Monitor;
use crate::words::secret::Secret;
use crate::words::verdict::{Finding, Proof, ProofState};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// What is to be inspected.
#[derive(Clone, Debug)]
pub struct InspectRequest {
    /// The dumps; what each is of is told by its name, or else by its tables.
    pub dumps: Vec<PathBuf>,
    /// The env file, whose keys are tried.
    pub env: Option<Secret>,
    /// Whether the instance has a Zitadel.
    pub auth_mode: AuthMode,
}

/// What was found out.
#[derive(Debug)]
pub struct Inspected {
    /// The dumps, in the order of the request.
    pub dumps: Vec<InspectedDump>,
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
    /// What the keys came to; none without an env file.
    pub proofs: Vec<Proof>,
    /// The files that are no dumps, or cannot be read.
    pub failed: Vec<BackupsError>,
}

/// One dump that was read.
#[derive(Clone, Debug)]
pub struct InspectedDump {
    /// The file.
    pub path: PathBuf,
    /// What it is of.
    pub component: ComponentName,
    /// Its size.
    pub bytes: u64,
    /// What it says of itself, if its table of contents is whole.
    pub facts: Option<DumpFacts>,
    /// The rows of each table, by schema and name, if it is whole.
    pub rows: Option<BTreeMap<String, u64>>,
}

/// Why something could not be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A file is no dump, or cannot be read.
    #[error(transparent)]
    Backups(#[from] BackupsError),
    /// It was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Some dumps, by what is to be inspected together: two are taken for a pair, unless their names say
/// that they are of one database; of more, those whose names make them one. A path counts once.
#[must_use]
pub fn inspection_sets(paths: &[PathBuf]) -> Vec<Vec<PathBuf>> {
    let mut left: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !left.contains(path) {
            left.push(path.clone());
        }
    }
    let half = |path: &PathBuf| {
        let name = DumpName::parse(path.file_name()?.to_str()?)?;
        let path = path.clone();
        Some(Half { name, path })
    };
    let halves: Vec<Half> = left.iter().filter_map(half).collect();
    let are_alike = matches!(&halves[..], [a, b] if a.name.component == b.name.component);
    if left.len() <= 2 && !are_alike {
        return vec![left];
    }
    let pairs = pair_up(halves, AuthMode::Oidc, &[]).pairs;
    let paths_of = |pair: Pair| {
        pair.halves()
            .map(|half| half.path.clone())
            .collect::<Vec<_>>()
    };
    let mut sets: Vec<_> = pairs.into_iter().map(paths_of).collect();
    left.retain(|path| !sets.iter().flatten().any(|known| known == path));
    sets.extend(left.into_iter().map(|path| vec![path]));
    sets
}

/// Inspects dumps as they lie on the disk.
///
/// # Errors
/// [`Cancelled`]. A file that is no dump does not hold up the others.
pub fn inspect(
    request: &InspectRequest,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<Inspected, Cancelled> {
    let keys = match &request.env {
        Some(env) => EnvKeys::read(env.expose(), request.auth_mode == AuthMode::Oidc),
        None => EnvKeys::default(),
    };
    let mut inspection = Inspection::new(&keys, monitor, cancel);
    let (mut dumps, mut failed) = (Vec::new(), Vec::new());
    for path in &request.dumps {
        match inspection.file(path) {
            Ok(dump) => dumps.push(dump),
            Err(InspectError::Cancelled(cancelled)) => return Err(cancelled),
            Err(InspectError::Backups(error)) => failed.push(error),
        }
    }
    let (findings, proofs) = inspection.finish();
    Ok(Inspected {
        dumps,
        findings,
        proofs,
        failed,
    })
}

/// Dumps that belong together, while they are read.
pub(super) struct Inspection<'a> {
    keys: &'a EnvKeys,
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
    findings: Vec<Finding>,
    tallies: BTreeMap<KeyName, Tally>,
    /// The names of those that have the name of a dump.
    names: Vec<DumpName>,
}

/// What reading one dump has shown.
pub(super) struct ReadDump {
    component: ComponentName,
    pub(super) facts: Option<DumpFacts>,
    pub(super) rows: Option<BTreeMap<String, u64>>,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(keys: &'a EnvKeys, monitor: &'a dyn Monitor, cancel: &'a Cancel) -> Self {
        Self {
            keys,
            monitor,
            cancel,
            findings: Vec::new(),
            tallies: BTreeMap::new(),
            names: Vec::new(),
        }
    }

    /// Reads a file as it is; its name may be any.
    fn file(&mut self, path: &Path) -> Result<InspectedDump, InspectError> {
        let state = FileState::of(path)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let named = name.and_then(DumpName::parse);
        let read = self.dump(path, named.as_ref(), state.bytes)?;
        if FileState::of(path)? != state {
            return Err(BackupsError::Growing(path.to_owned()).into());
        }
        Ok(InspectedDump {
            path: path.to_owned(),
            component: read.component,
            bytes: state.bytes,
            facts: read.facts,
            rows: read.rows,
        })
    }

    /// Reads a dump; `named` is what its name says, if it has the name of one.
    pub(super) fn dump(
        &mut self,
        path: &Path,
        named: Option<&DumpName>,
        bytes: u64,
    ) -> Result<ReadDump, InspectError> {
        let mut prover = Prover::new(self.keys);
        let report = self.read(path, bytes, &mut prover)?;
        let mut tallies = prover.finish();
        let by_tables = if tallies.contains_key(&KeyName::Zitadel) {
            ComponentName::zitadel()
        } else {
            ComponentName::app()
        };
        let component = named.map_or(by_tables, |name| name.component.clone());
        self.names.extend(named.cloned());
        let (facts, rows) = match report {
            Ok(report) => (Some(report.facts), Some(report.rows)),
            Err(found) => {
                tallies.values_mut().for_each(Tally::cut_short);
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                let message = format!("{file} cannot be restored: {}", found.error);
                self.findings.push(Finding::fault(
                    "dump-unreadable",
                    component.clone(),
                    message,
                ));
                (found.facts, None)
            }
        };
        if let Some(facts) = &facts {
            self.check_database(named.is_some(), &component, &tallies);
            self.check_pg_restore(&component, facts);
        }
        for (key, tally) in tallies {
            self.tallies.entry(key).or_default().merge(tally);
        }
        Ok(ReadDump {
            component,
            facts,
            rows,
        })
    }

    /// Everything that was found, faults first, and the proofs of the keys.
    pub(super) fn finish(mut self) -> (Vec<Finding>, Vec<Proof>) {
        self.check_stamps();
        self.findings.extend(self.keys.findings());
        let (mut proofs, findings) = judge(self.keys, &self.tallies);
        let is_cut = |finding: &Finding| finding.code == "dump-unreadable";
        if self.findings.iter().any(is_cut) {
            let is_open = |proof: &&mut Proof| proof.state == ProofState::Unproven;
            for proof in proofs.iter_mut().filter(is_open) {
                let so_far = "as far as the dumps could be read, ";
                proof.evidence.insert_str(0, so_far);
            }
        }
        self.findings.extend(findings);
        self.findings
            .sort_by_key(|finding| Reverse(finding.severity));
        (self.findings, proofs)
    }

    fn read(
        &self,
        path: &Path,
        bytes: u64,
        prover: &mut Prover<'_>,
    ) -> Result<Result<pgdump::DumpReport, Unreadable>, InspectError> {
        let unreadable = || FileError::new("read", path);
        let inner = File::open(path).map_err(|error| BackupsError::from(unreadable()(error)))?;
        let (monitor, cancel) = (self.monitor, self.cancel);
        monitor.begin("inspect", Some(bytes));
        let watched = Watched {
            inner,
            monitor,
            cancel,
        };
        let read = pgdump::inspect(BufReader::with_capacity(256 * 1024, watched), prover);
        monitor.end();
        cancel.check()?;
        let found = match read {
            Ok(report) => return Ok(Ok(report)),
            Err(found) => *found,
        };
        match found.error {
            DumpError::Io(error) => Err(BackupsError::from(unreadable()(error)).into()),
            source if source.is_foreign() => {
                let path = path.to_owned();
                Err(BackupsError::NotADump { path, source }.into())
            }
            error => Ok(Err(Unreadable { error, ..found })),
        }
    }

    /// A dump may be whole, and of the wrong database.
    fn check_database(
        &mut self,
        is_named: bool,
        component: &ComponentName,
        tallies: &BTreeMap<KeyName, Tally>,
    ) {
        let is_zitadels = tallies.contains_key(&KeyName::Zitadel);
        let message = match (*component == ComponentName::zitadel(), is_zitadels) {
            _ if !is_named => return,
            (true, false) => {
                "the zitadel dump is not of Zitadel's database: it has no table \
                 system.encryption_keys"
            }
            (false, true) => "the app dump is of Zitadel's database",
            (false, false) if !tallies.contains_key(&KeyName::Workflow) => {
                "the app dump is not of lazyit's database: it has no table workflow_secrets"
            }
            _ => return,
        };
        self.findings
            .push(Finding::fault("dump-foreign", component.clone(), message));
    }

    /// Halves of different times do not belong together, whoever named them as a pair: who signed up
    /// in between is in one, and not in the other.
    fn check_stamps(&mut self) {
        let [one, other] = &self.names[..] else {
            return;
        };
        let gap = one.stamp.duration_since(other.stamp).abs();
        if one.component != other.component && gap > PAIR_WINDOW {
            let message = format!(
                "the two dumps were made {} minutes apart, so they may not fit together",
                gap.as_mins()
            );
            self.findings.push(Finding::fault(
                "halves-apart",
                ComponentName::zitadel(),
                message,
            ));
        }
    }

    fn check_pg_restore(&mut self, component: &ComponentName, facts: &DumpFacts) {
        if let Some(own) = facts.pg_restore_too_old() {
            let message = format!(
                "pg_restore {own}, the server's own, cannot read archive version {}; it takes \
                 pg_restore {} or newer",
                facts.archive_version,
                facts.oldest_pg_restore()
            );
            self.findings.push(Finding::note(
                "pg-restore-too-old",
                component.clone(),
                message,
            ));
        }
    }
}

/// Tells of progress, and ends early if it is to stop.
struct Watched<'a> {
    inner: File,
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        let read = self.inner.read(buffer)?;
        self.monitor.advance(read as u64);
        Ok(read)
    }
}
