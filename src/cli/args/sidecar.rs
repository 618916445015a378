//! The arguments of what makes dumps by itself.
#![allow(
    clippy::doc_markdown,
    rustdoc::invalid_html_tags,
    reason = "these comments are the help, shown on a terminal"
)]

use std::path::PathBuf;

/// The settings of the sidecar: lines of the table `sidecar` in `sealift.toml`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings of the sidecar")]
pub struct SidecarArgs {
    /// When to dump: minute, hour, day of the month, month, day of the week, in the time zone
    /// [env: BACKUP_CRON] [default: 0 3 * * *]
    #[arg(long, value_name = "CRON")]
    pub schedule: Option<String>,
    /// Remove dumps from the backups folder that are more days old than this, once they are off-site
    /// in a sound archive [env: BACKUP_RETENTION_DAYS] [default: remove none, unless there is no room]
    #[arg(long, value_name = "DAYS")]
    pub retention_days: Option<String>,
    /// Run this by the shell when a run fails, with one line that says why as "$1"
    /// [env: BACKUP_ON_FAILURE_CMD]
    #[arg(long, value_name = "COMMAND")]
    pub on_failure: Option<String>,
    /// Tell this address of each run, as healthchecks.io does it: URL/start, URL, URL/fail
    /// [env: SEALIFT_PING_URL]
    #[arg(long, value_name = "URL")]
    pub ping_url: Option<String>,
    /// Wait so long for tables that somebody else has locked [env: SEALIFT_LOCK_WAIT] [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub lock_wait: Option<String>,
    /// Folders with pg_dump and psql of the servers' majors, separated by colons
    /// [env: SEALIFT_POSTGRES_PROGRAMS] [default: PATH, and where systems usually have them]
    #[arg(long, value_name = "DIRS", value_delimiter = ':')]
    pub postgres_programs: Vec<PathBuf>,
    /// Where the app database is: a name, an address, or the folder of a socket [env: POSTGRES_HOST]
    /// [default: db]
    #[arg(long, value_name = "HOST")]
    pub postgres_host: Option<String>,
    /// Its port [env: POSTGRES_PORT] [default: 5432]
    #[arg(long, value_name = "PORT")]
    pub postgres_port: Option<String>,
    /// Its user [env: POSTGRES_USER] [default: what the env file says]
    #[arg(long, value_name = "USER")]
    pub postgres_user: Option<String>,
    /// Its name [env: POSTGRES_DB] [default: what the env file says]
    #[arg(long, value_name = "NAME")]
    pub postgres_db: Option<String>,
    /// A file with the user's password [env: POSTGRES_PASSWORD itself, or POSTGRES_PASSWORD_FILE]
    /// [default: what the env file says]
    #[arg(long, value_name = "FILE")]
    pub postgres_password_file: Option<PathBuf>,
    /// Where Zitadel's database is, likewise [env: ZITADEL_DB_HOST] [default: zitadel_db]
    #[arg(long, value_name = "HOST")]
    pub zitadel_db_host: Option<String>,
    /// Its port [env: ZITADEL_DB_PORT] [default: 5432]
    #[arg(long, value_name = "PORT")]
    pub zitadel_db_port: Option<String>,
    /// Its user [env: ZITADEL_DB_USER] [default: what the env file says]
    #[arg(long, value_name = "USER")]
    pub zitadel_db_user: Option<String>,
    /// Its name [env: ZITADEL_DB_NAME] [default: what the env file says]
    #[arg(long, value_name = "NAME")]
    pub zitadel_db_name: Option<String>,
    /// A file with the user's password [env: ZITADEL_DB_PASSWORD itself, or ZITADEL_DB_PASSWORD_FILE]
    /// [default: what the env file says]
    #[arg(long, value_name = "FILE")]
    pub zitadel_db_password_file: Option<PathBuf>,
}

/// What the flags say of one database.
#[derive(Clone, Debug)]
pub struct DatabaseArgs {
    pub host: Option<String>,
    pub port: Option<String>,
    pub user: Option<String>,
    pub database: Option<String>,
    pub password_file: Option<PathBuf>,
}

impl SidecarArgs {
    /// Those of the app database and those of Zitadel's.
    pub fn databases(&self) -> (DatabaseArgs, DatabaseArgs) {
        let app = DatabaseArgs {
            host: self.postgres_host.clone(),
            port: self.postgres_port.clone(),
            user: self.postgres_user.clone(),
            database: self.postgres_db.clone(),
            password_file: self.postgres_password_file.clone(),
        };
        let zitadel = DatabaseArgs {
            host: self.zitadel_db_host.clone(),
            port: self.zitadel_db_port.clone(),
            user: self.zitadel_db_user.clone(),
            database: self.zitadel_db_name.clone(),
            password_file: self.zitadel_db_password_file.clone(),
        };
        (app, zitadel)
    }
}
