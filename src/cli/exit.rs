//! Exit codes: a public contract, listed in `sealift --help` and in the README.

use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All was done.
    Done,
    /// It was not.
    Failed,
    /// Arguments or settings are wrong.
    Usage,
    /// Archived, but suspect.
    Suspect,
    /// Archived, but not in every store.
    Behind,
    /// Verify, audit or replicate found violations, or prune will not work on what it found.
    Violations,
    /// There is no such archive.
    NoArchive,
    /// A signal stopped it.
    Interrupted,
}

impl Exit {
    /// The number that the caller sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Suspect => 3,
            Self::Behind => 4,
            Self::Violations => 5,
            Self::NoArchive => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
