//! What stands in the way of retention, with what to do about it.

use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, one_line};
use sealift::{HoldError, PruneError, RecordWriteError};

impl From<RecordWriteError> for Failure {
    fn from(error: RecordWriteError) -> Self {
        match error {
            RecordWriteError::Store(error) => error.into(),
            RecordWriteError::Taken(_) | RecordWriteError::Broken(_) => {
                Self::failed(one_line(&error)).hint("sealift audit")
            }
            other => Self::failed(one_line(&other)),
        }
    }
}

impl From<HoldError> for Failure {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Write(error) => error.into(),
            HoldError::TooOften(_) => Self::failed(one_line(&error)),
        }
    }
}

impl From<PruneError> for Failure {
    fn from(error: PruneError) -> Self {
        match error {
            PruneError::Store(error) => error.into(),
            PruneError::Cancelled(error) => error.into(),
            PruneError::Unsafe(_) => Self::failed(one_line(&error))
                .hint("sealift audit")
                .exit(Exit::Violations),
            PruneError::Clock { .. } => Self::failed(one_line(&error))
                .hint("set this host's clock: timedatectl set-ntp true"),
        }
    }
}
