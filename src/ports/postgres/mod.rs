//! Postgres: the programs `psql` and `pg_dump`, and what they say.
//!
//! Promise: nothing else starts them. A password reaches a program in the environment of that one
//! process, never in its arguments, and nobody's `.pgpass`, `.psqlrc` or environment has a say in what
//! it does. A program that is not waited for any more is killed, with all that it has started; what it
//! says is kept up to a bound.
//!
//! There is one way in which a program outlives its caller: the caller is killed by a signal that it
//! cannot see, or by a second one that leaves it no time to end the program. Then `pg_dump` goes on to the end of its dump, in a file that has no dump's name. The
//! lock that it was given with its output tells so.

mod child;
mod connection;
mod programs;
mod server;
mod write;

pub use connection::Connection;
pub use programs::{Programs, Unusable};
pub use write::{DumpLimits, PgDump};

use crate::words::cancel::Cancelled;
use std::io;
use std::time::Duration;

/// A program of `PostgreSQL` did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There is no `pg_dump`.
    #[error("no pg_dump is installed{}", unusable(.0))]
    NotInstalled(Vec<Unusable>),
    /// No `pg_dump` is new enough for the server.
    #[error(
        "the server is PostgreSQL {server}, and the newest pg_dump here, {newest}, cannot dump it"
    )]
    TooOld {
        /// The server's major.
        server: u32,
        /// The newest that is installed.
        newest: u32,
    },
    /// A program cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// Its path.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{program}: {says}")]
    Failed {
        /// Its name, and its major where there could be several.
        program: String,
        /// Its own words, in one line.
        says: String,
    },
    /// A table was locked by somebody else.
    #[error("a table was locked by somebody else for more than {} s", .0.as_secs())]
    Locked(Duration),
    /// A program did nothing for so long that it was given up.
    #[error("{program} made no progress for {} s", silence.as_secs())]
    Silent {
        /// Its name, and its major where there could be several.
        program: String,
        /// How long.
        silence: Duration,
    },
    /// It was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn unusable(programs: &[Unusable]) -> String {
    programs.iter().map(|found| format!("; {found}")).collect()
}
