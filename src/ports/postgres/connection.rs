//! Connections: where a database is, and how a program is told so.
//!
//! Promise: every character of a name or a password arrives as it is, and the password is in no argument.

use crate::words::secret::Secret;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

/// So long a server may take to answer a connection, unless `PGCONNECT_TIMEOUT` says otherwise; seconds.
const CONNECT_TIMEOUT: &str = "20";

/// A database, and whoever may dump it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The name or address of the server, or the folder of its socket.
    pub host: String,
    /// Its port, which is part of the name of a socket too.
    pub port: u16,
    /// Who connects.
    pub user: String,
    /// The name of the database.
    pub database: String,
    /// The password; empty if none is needed.
    pub password: Secret,
    /// Variables that libpq reads, by name, about how it connects (PGSSLMODE and the like). One that says
    /// to where would count, too.
    pub variables: Vec<(String, String)>,
}

impl Connection {
    /// Has a program speak to the database, with an environment of its own.
    pub(super) fn tell(&self, command: &mut Command) {
        command
            .arg("--no-password")
            .arg(format!("--dbname={}", self.parameters()))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT)
            .env("PGAPPNAME", "sealift")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            // Errors are told from one another by their words.
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command.env_remove("PGPASSWORD");
        if !self.password.expose().is_empty() {
            command.env("PGPASSWORD", OsStr::from_bytes(self.password.expose()));
        }
    }

    /// The parameters of the connection in one argument: the other arguments would take a database's
    /// name with `=` in it for such a list.
    fn parameters(&self) -> String {
        let port = self.port.to_string();
        let parameters = [
            ("host", self.host.as_str()),
            ("port", &port),
            ("user", &self.user),
            ("dbname", &self.database),
            // Without a home libpq would look for the password file in the one of the user's account.
            ("passfile", "/dev/null/none"),
            // A server that is gone without a word is noticed in minutes.
            ("keepalives_idle", "60"),
            ("keepalives_interval", "20"),
            ("keepalives_count", "6"),
        ];
        let parameters = parameters.map(|(name, value)| format!("{name}={}", quoted(value)));
        parameters.join(" ")
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            database,
            ..
        } = self;
        write!(f, "{database} at {host}:{port}")
    }
}

/// A value as libpq's lists of parameters have it.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection {
            host: "/run/it's".into(),
            port: 5433,
            user: "a b".into(),
            database: "x=y\\z".into(),
            password: Secret::new(b"s3cr3t=' ".to_vec()),
            variables: vec![
                ("PGSSLMODE".into(), "verify-full".into()),
                ("PGCONNECT_TIMEOUT".into(), "3".into()),
                ("PGPASSWORD".into(), "other".into()),
            ],
        }
    }

    fn value<'a>(command: &'a Command, name: &str) -> Option<&'a OsStr> {
        command.get_envs().find(|(found, _)| *found == name)?.1
    }

    #[test]
    fn names_arrive_as_they_are_and_the_password_is_in_no_argument() {
        let mut command = Command::new("pg_dump");
        connection().tell(&mut command);
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let arguments = arguments.join("\n");
        assert!(arguments.contains(r"host='/run/it\'s' port='5433' user='a b' dbname='x=y\\z'"));
        assert!(
            !arguments.contains("s3cr3t") && !arguments.contains("other"),
            "{arguments}"
        );
        assert_eq!(value(&command, "PGPASSWORD"), Some(OsStr::new("s3cr3t=' ")));
    }

    #[test]
    fn variables_of_the_operator_pass_and_change_no_password() {
        let mut command = Command::new("pg_dump");
        let open = Connection {
            password: Secret::new(Vec::new()),
            ..connection()
        };
        open.tell(&mut command);
        assert_eq!(
            value(&command, "PGSSLMODE"),
            Some(OsStr::new("verify-full"))
        );
        assert_eq!(value(&command, "PGCONNECT_TIMEOUT"), Some(OsStr::new("3")));
        assert_eq!(value(&command, "PGPASSWORD"), None);
    }
}
