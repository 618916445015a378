//! Servers: which major a server is of.
//!
//! Promise: the server itself is asked; nothing is concluded from what is installed.

use super::child::Running;
use super::{Connection, PostgresError, Programs};
use crate::formats::pgdump;
use crate::words::cancel::Cancel;
use std::process::{Command, Stdio};
use std::time::Duration;

/// So long a server may take to say its version, beyond the time for the connection.
const ANSWER_TIME: Duration = Duration::from_mins(3);

impl Programs {
    /// The major of a server: by `psql`, or else by a `pg_dump` of nothing, since that names it too.
    ///
    /// # Errors
    /// [`PostgresError`] if there is no program, or no connection.
    pub fn server_major(
        &self,
        connection: &Connection,
        cancel: &Cancel,
    ) -> Result<u32, PostgresError> {
        let newest = self.newest()?;
        let (name, program, options) = match self.psql() {
            Some(psql) => (
                "psql",
                psql,
                &["-XqAt", "-c", "SHOW server_version_num"][..],
            ),
            None => (
                "pg_dump",
                newest.path.clone(),
                &["-Fc", "--schema-only", "--exclude-schema=*"][..],
            ),
        };
        let mut command = Command::new(program);
        connection.tell(&mut command);
        command.args(options).stdout(Stdio::piped());
        let running = Running::start(name, &mut command)?;
        let ended = running.wait_for(ANSWER_TIME, cancel)?;
        let printed = ended.printed.clone();
        let major = match ended.well(name) {
            Ok(_) if name == "psql" => parse_number(&printed),
            Ok(_) => {
                let report = pgdump::inspect(&printed[..], &mut ()).ok();
                report.and_then(|report| report.facts.server_major())
            }
            Err(PostgresError::Failed { says, .. }) if refused_major(&says).is_some() => {
                refused_major(&says)
            }
            Err(error) => return Err(error),
        };
        major.ok_or_else(|| PostgresError::Failed {
            program: name.into(),
            says: "the server's version is not understood".into(),
        })
    }
}

/// The major in a number like 180004.
fn parse_number(printed: &[u8]) -> Option<u32> {
    let number: u32 = std::str::from_utf8(printed).ok()?.trim().parse().ok()?;
    Some(number / 10_000).filter(|major| *major > 0)
}

/// The major of a server that is too new for the `pg_dump` that complains of it.
fn refused_major(says: &str) -> Option<u32> {
    let (_, rest) = says.split_once("server version mismatch")?;
    let (_, version) = rest.split_once("server version: ")?;
    version
        .split(['.', ';', ' ', 'b', 'r', 'd'])
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_number(b"180004\n"), Some(18));
        assert_eq!(parse_number(b"90624\n"), Some(9));
        assert_eq!(parse_number(b"18.4\n"), None);
        assert_eq!(parse_number(b""), None);
        let says = "aborting because of server version mismatch; \
            server version: 18.4 (Debian 18.4-1); pg_dump version: 15.18";
        assert_eq!(refused_major(says), Some(18));
        assert_eq!(refused_major("server version: 18.4"), None);
    }
}
