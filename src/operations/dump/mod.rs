//! Dump: both databases become a pair in the backups folder.
//!
//! Promise: a pair appears whole or not at all. Each half is written beside its name, read to its last
//! row, and on the disk, before either gets its name; whatever fails, no half of the night has one, and
//! nothing that was in the folder is touched. A name that is taken is never written to.
//!
//! When one database cannot be dumped, the other's dump is not kept either: half a pair restores to an
//! application that nobody can sign in to, and a failure that leaves nothing behind is told in one line
//! and repeated by the next run, while a half would be pruned, paired and warned of for weeks.

mod partial;
mod space;
mod stamp;

pub use partial::remove_leftovers;
pub use space::space_needed;

use crate::formats::envkeys::EnvKeys;
use crate::formats::pgdump::DumpFacts;
use crate::operations::inspect::{InspectError, Inspection};
use crate::ports::backups::BackupsError;
use crate::ports::files::{FileError, free_space};
use crate::ports::postgres::{Connection, DumpLimits, PgDump, PostgresError, Programs};
use crate::words::cancel::{Cancel, Cancelled};
use crate::words::clock::Timestamp;
use crate::words::ids::ComponentName;
use crate::words::monitor::Monitor;
use crate::words::verdict::Finding;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use partial::Partial;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is to be dumped, and to where.
#[derive(Clone, Debug)]
pub struct DumpRequest {
    /// The folder that gets the pair.
    pub backups: PathBuf,
    /// The application's database.
    pub app: Connection,
    /// Zitadel's; none where sign-in is local.
    pub zitadel: Option<Connection>,
    /// What is installed.
    pub programs: Programs,
    /// The time zone of the names.
    pub time_zone: TimeZone,
    /// The time in the names.
    pub now: Timestamp,
    /// How long a dump may wait.
    pub limits: DumpLimits,
}

/// A pair that is in the folder now.
#[derive(Clone, Debug)]
pub struct Dumped {
    /// The local time in its names.
    pub stamp: DateTime,
    /// Its halves, app first.
    pub halves: Vec<DumpedHalf>,
    /// What is worth knowing, or wrong though the dumps are whole: as a database that is not lazyit's.
    pub findings: Vec<Finding>,
}

/// One dump.
#[derive(Clone, Debug)]
pub struct DumpedHalf {
    /// What it is of.
    pub component: ComponentName,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What it says of itself.
    pub facts: DumpFacts,
    /// The rows of each table, by schema and name.
    pub rows: BTreeMap<String, u64>,
    /// The major of the server.
    pub server_major: u32,
    /// The major of the program.
    pub pg_dump_major: u32,
    /// How long the program took.
    pub duration: Duration,
}

/// Why there is no new pair.
#[derive(Debug, thiserror::Error)]
pub enum DumpRunError {
    /// A database was not dumped.
    #[error("cannot dump the {component} database ({connection})")]
    Database {
        /// Which.
        component: ComponentName,
        /// Where it is.
        connection: String,
        /// What the program said.
        source: PostgresError,
    },
    /// A dump was written, and cannot be restored.
    #[error("the dump of the {component} database that was just made is of no use: {reason}")]
    Damaged {
        /// Which.
        component: ComponentName,
        /// What is wrong.
        reason: String,
    },
    /// The disk is too small for what is expected.
    #[error(
        "the dumps may take {} MiB, of which 64 are to spare, and {} has {} MiB free",
        needed.div_ceil(MIB), folder.display(), free / MIB
    )]
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// What is expected, in bytes.
        needed: u64,
        /// What there is, in bytes.
        free: u64,
    },
    /// Every name that the time gives is taken.
    #[error("no name is free in {} for a dump of this time", .0.display())]
    NamesTaken(PathBuf),
    /// The folder cannot be used.
    #[error(transparent)]
    Backups(#[from] BackupsError),
    /// A file in it cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

const MIB: u64 = 1024 * 1024;

/// Dumps the databases and returns the pair, durable and read to its last row. It blocks.
///
/// # Errors
/// [`DumpRunError`]; the folder is then as it was, but for what a killed run had left behind.
pub fn dump(
    request: &DumpRequest,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<Dumped, DumpRunError> {
    remove_leftovers(&request.backups, monitor)?;
    let names: Vec<_> = request
        .databases()
        .map(|(component, _)| component)
        .collect();
    check_space(request, &names)?;
    // All servers are asked before the first is dumped, which may take hours.
    let mut runs = Vec::new();
    for (component, connection) in request.databases() {
        let program = choose(request, connection, cancel);
        let (server_major, program) = program.map_err(named(&component, connection))?;
        runs.push(DatabaseRun {
            component,
            connection,
            server_major,
            program,
        });
    }
    let (stamp, partials) = partial::reserve(request, &names)?;
    let mut durations = Vec::new();
    for (run, partial) in runs.iter().zip(&partials) {
        durations.push(run.write(partial, request.limits, monitor, cancel)?);
    }
    // Afterwards, so that the two are of one moment as nearly as possible.
    let (mut halves, mut findings) = verify(&runs, &partials, monitor, cancel)?;
    findings.extend(runs.iter().filter_map(DatabaseRun::newer_program));
    cancel.check()?;
    let (stamp, paths) = partial::promote(partials, &request.backups, stamp)?;
    for ((half, path), duration) in halves.iter_mut().zip(paths).zip(durations) {
        (half.path, half.duration) = (path, duration);
    }
    Ok(Dumped {
        stamp,
        halves,
        findings,
    })
}

impl DumpRequest {
    /// The databases, app first.
    fn databases(&self) -> impl Iterator<Item = (ComponentName, &Connection)> {
        let zitadel = self.zitadel.iter();
        let zitadel = zitadel.map(|connection| (ComponentName::zitadel(), connection));
        std::iter::once((ComponentName::app(), &self.app)).chain(zitadel)
    }
}

fn check_space(request: &DumpRequest, components: &[ComponentName]) -> Result<(), DumpRunError> {
    let needed = space_needed(&request.backups, components)?;
    let free = free_space(&request.backups)?;
    if free >= needed {
        return Ok(());
    }
    Err(DumpRunError::NoSpace {
        folder: request.backups.clone(),
        needed,
        free,
    })
}

fn choose<'a>(
    request: &'a DumpRequest,
    connection: &Connection,
    cancel: &Cancel,
) -> Result<(u32, &'a PgDump), PostgresError> {
    let major = request.programs.server_major(connection, cancel)?;
    Ok((major, request.programs.for_server(major)?))
}

/// Says which database it was.
fn named(
    component: &ComponentName,
    connection: &Connection,
) -> impl FnOnce(PostgresError) -> DumpRunError {
    |error| match error {
        PostgresError::Cancelled(cancelled) => cancelled.into(),
        source => DumpRunError::Database {
            component: component.clone(),
            connection: connection.to_string(),
            source,
        },
    }
}

/// One database, and the program for it.
struct DatabaseRun<'a> {
    component: ComponentName,
    connection: &'a Connection,
    server_major: u32,
    program: &'a PgDump,
}

impl DatabaseRun<'_> {
    fn write(
        &self,
        partial: &Partial,
        limits: DumpLimits,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Duration, DumpRunError> {
        let started = Instant::now();
        monitor.begin(&format!("dump {}", self.component), None);
        let target = partial.target();
        let written = self
            .program
            .write(self.connection, target, limits, monitor, cancel);
        monitor.end();
        if let Some(says) = written.map_err(named(&self.component, self.connection))? {
            let PgDump { major, .. } = self.program;
            monitor.warn(&format!(
                "pg_dump {major} of the {} database: {says}",
                self.component
            ));
        }
        Ok(started.elapsed())
    }

    /// A newer program writes what the server's own `pg_restore` may not read.
    fn newer_program(&self) -> Option<Finding> {
        let (own, used) = (self.server_major, self.program.major);
        let message = format!(
            "the server is PostgreSQL {own}, and no pg_dump {own} is installed, so pg_dump {used} was used"
        );
        (own != used).then(|| Finding::note("pg-dump-newer", self.component.clone(), message))
    }
}

/// Reads the new dumps to their last byte, and makes them durable.
fn verify(
    runs: &[DatabaseRun<'_>],
    partials: &[Partial],
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<(Vec<DumpedHalf>, Vec<Finding>), DumpRunError> {
    let keys = EnvKeys::default();
    let mut inspection = Inspection::new(&keys, monitor, cancel);
    let (mut halves, mut damaged) = (Vec::new(), None);
    for (run, partial) in runs.iter().zip(partials) {
        let bytes = partial.bytes()?;
        let read = inspection.dump(partial.path(), Some(&partial.name), bytes);
        let read = read.map_err(|error| match error {
            InspectError::Backups(error) => DumpRunError::from(error),
            InspectError::Cancelled(cancelled) => cancelled.into(),
        })?;
        let Some((facts, rows)) = read.facts.zip(read.rows) else {
            damaged = Some(run.component.clone());
            break;
        };
        partial.sync()?;
        halves.push(DumpedHalf {
            component: run.component.clone(),
            path: partial.path().to_owned(),
            bytes,
            facts,
            rows,
            server_major: run.server_major,
            pg_dump_major: run.program.major,
            duration: Duration::ZERO,
        });
    }
    let (findings, _) = inspection.finish();
    let Some(component) = damaged else {
        return Ok((halves, findings));
    };
    let is_it = |finding: &&Finding| finding.forbids_loading(&component);
    let reason = findings
        .iter()
        .find(is_it)
        .map(|finding| finding.message.clone());
    Err(DumpRunError::Damaged {
        component,
        reason: reason.unwrap_or_default(),
    })
}
