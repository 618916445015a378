//! What to do about failures of the sidecar.

use crate::cli::failure::{Failure, one_line};
use sealift::{DumpRunError, OffSiteError, PostgresError};

impl From<DumpRunError> for Failure {
    fn from(error: DumpRunError) -> Self {
        match error {
            DumpRunError::Backups(error) => error.into(),
            DumpRunError::File(error) => error.into(),
            DumpRunError::Cancelled(error) => error.into(),
            DumpRunError::Database { ref source, .. } => {
                let hint = database_hint(source);
                Self::failed(one_line(&error)).hint(hint)
            }
            DumpRunError::NoSpace { ref folder, .. } => {
                let hint = format!("df -h {}", folder.display());
                Self::failed(one_line(&error)).hint(hint)
            }
            DumpRunError::Damaged { .. } => Self::failed(one_line(&error))
                .hint("sealift dump makes another; if that is damaged too, look at the disk"),
            DumpRunError::NamesTaken(_) => Self::failed(one_line(&error)),
        }
    }
}

impl From<OffSiteError> for Failure {
    fn from(error: OffSiteError) -> Self {
        match error {
            OffSiteError::Backups(error) => error.into(),
            OffSiteError::Store(error) => error.into(),
            OffSiteError::Cancelled(error) => error.into(),
            OffSiteError::Worker(_) => Self::failed(one_line(&error)),
        }
    }
}

fn database_hint(error: &PostgresError) -> String {
    match error {
        PostgresError::NotInstalled(_) => {
            "install PostgreSQL's client programs, or name their folder: --postgres-programs".into()
        }
        PostgresError::TooOld { server, .. } => {
            format!("install the client programs of PostgreSQL {server} (on Debian: postgresql-client-{server})")
        }
        PostgresError::Run { program, .. } => format!("ls -l {program}"),
        PostgresError::Failed { says, .. } if says.contains("password") => {
            "the password is POSTGRES_PASSWORD or ZITADEL_DB_PASSWORD, or a file of that name with _FILE".into()
        }
        PostgresError::Failed { says, .. } if says.contains("connect") => {
            "is the database up, and on a network with this host? docker compose ps; --postgres-host, --zitadel-db-host".into()
        }
        PostgresError::Failed { .. } => "what the server says: docker compose logs db zitadel_db".into(),
        PostgresError::Locked(_) => {
            "see who: SELECT pid, query FROM pg_stat_activity WHERE wait_event_type = 'Lock'; or --lock-wait 1h".into()
        }
        PostgresError::Silent { .. } | PostgresError::Cancelled(_) => {
            "what the server says: docker compose logs db zitadel_db".into()
        }
    }
}
