//! Settings of the sidecar: when it dumps what, how long dumps stay, and who is told.
//!
//! What neither a flag nor the environment nor the settings file says of a database is read from the env
//! file of the instance, which has it. A password is never a flag: everybody on the host sees those.

use crate::cli::args::sidecar::{DatabaseArgs, SidecarArgs};
use crate::cli::failure::Failure;
use crate::cli::settings::{
    Settings, folders, path, postgres_variables, program_folders, secret, secret_file, text,
};
use crate::cli::values::{parse, parse_duration};
use jiff::tz::TimeZone;
use sealift::{
    AuthMode, Connection, DumpLimits, EnvFile, Programs, Schedule, Secret, check_ping_address,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Every night at three, unless something else is set.
const DEFAULT_SCHEDULE: &str = "0 3 * * *";
/// The port of `PostgreSQL`, unless something else is set.
const DEFAULT_PORT: u16 = 5432;

/// Those settings in the settings file: its table `sidecar`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SidecarFile {
    schedule: Option<String>,
    retention_days: Option<u32>,
    on_failure: Option<String>,
    ping_url: Option<String>,
    lock_wait: Option<String>,
    #[serde(default)]
    postgres_programs: Vec<PathBuf>,
    #[serde(default)]
    app: DatabaseFile,
    #[serde(default)]
    zitadel: DatabaseFile,
}

/// A database in the settings file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseFile {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    database: Option<String>,
    password_file: Option<PathBuf>,
}

/// When something is to be done, and who is told how it went.
#[derive(Clone, Debug)]
pub struct Routine {
    /// The pattern of the schedule, if one was set.
    pub pattern: Option<String>,
    /// Dumps that are older go once they are off-site.
    pub retention_days: Option<u32>,
    /// A command that is called with one line.
    pub on_failure: Option<String>,
    /// An address that is told of each run.
    pub ping_url: Option<String>,
}

impl Routine {
    /// What holds now.
    ///
    /// # Errors
    /// A [`Failure`] that names the setting.
    pub fn read(args: &SidecarArgs, settings: &Settings) -> Result<Self, Failure> {
        let variables = instance_variables(settings.env()?.as_ref());
        Self::of(args, &settings.sidecar.0, variables.as_ref())
    }

    /// Flags over environment over file over the instance's env file.
    ///
    /// # Errors
    /// A [`Failure`] that names the setting.
    pub fn of(
        args: &SidecarArgs,
        file: &SidecarFile,
        env: Option<&EnvFile>,
    ) -> Result<Self, Failure> {
        let word = |flag: &Option<String>, name: &str, in_file: &Option<String>| {
            let flag = flag.clone().or_else(|| text(name));
            flag.or_else(|| in_file.clone())
                .or_else(|| in_env_file(env, name))
        };
        let days = file.retention_days.map(|days| days.to_string());
        let days = word(&args.retention_days, "BACKUP_RETENTION_DAYS", &days);
        let days = days.map(|days| {
            let wrong = format!("the setting retention_days: {days:?} is no number of days, as 14");
            days.parse().map_err(|_| Failure::usage(wrong))
        });
        let ping_url = word(&args.ping_url, "SEALIFT_PING_URL", &file.ping_url);
        Ok(Self {
            pattern: word(&args.schedule, "BACKUP_CRON", &file.schedule),
            retention_days: days.transpose()?,
            on_failure: word(&args.on_failure, "BACKUP_ON_FAILURE_CMD", &file.on_failure),
            ping_url: ping_url.map(checked_url).transpose()?,
        })
    }

    /// The schedule, which has a default.
    ///
    /// # Errors
    /// A [`Failure`] if what was set is none.
    pub fn schedule(&self, zone: TimeZone) -> Result<Schedule, Failure> {
        let pattern = self.pattern.as_deref().unwrap_or(DEFAULT_SCHEDULE);
        Schedule::parse(pattern, zone).map_err(|error| {
            let failure = Failure::usage(format!("the setting schedule: {error}"));
            failure.hint("minute, hour, day of the month, month, day of the week: '0 3 * * *'")
        })
    }
}

/// The address of a ping, which is not shown, since whoever knows it can use it.
fn checked_url(url: String) -> Result<String, Failure> {
    match check_ping_address(&url) {
        Ok(()) => Ok(url),
        Err(_) => Err(Failure::usage(
            "the setting ping_url: it is no http:// or https:// address",
        )),
    }
}

/// The databases, and with what they are dumped.
#[derive(Clone, Debug)]
pub struct Databases {
    /// The application's.
    pub app: Connection,
    /// Zitadel's, where people sign in through it.
    pub zitadel: Option<Connection>,
    /// The programs of `PostgreSQL` that are installed.
    pub programs: Programs,
    /// How long a dump may wait.
    pub limits: DumpLimits,
}

impl Databases {
    /// Flags over environment over file over the instance's env file; the settings file's paths are
    /// relative to `base`.
    ///
    /// # Errors
    /// A [`Failure`] that names the setting.
    pub fn of(
        args: &SidecarArgs,
        file: &SidecarFile,
        base: &Path,
        env: Option<&EnvFile>,
        auth_mode: AuthMode,
    ) -> Result<Self, Failure> {
        let connection = |names, flags, file| connection(names, flags, file, base, env);
        let (app, zitadel) = args.databases();
        let folders = match (
            args.postgres_programs.as_slice(),
            path("SEALIFT_POSTGRES_PROGRAMS"),
        ) {
            ([], None) => file
                .postgres_programs
                .iter()
                .map(|path| base.join(path))
                .collect(),
            ([], Some(paths)) => folders(&paths),
            (flags, _) => flags.to_vec(),
        };
        let folders = if folders.is_empty() {
            program_folders()
        } else {
            folders
        };
        let lock_wait = args.lock_wait.clone().or_else(|| text("SEALIFT_LOCK_WAIT"));
        let lock_wait = lock_wait.or_else(|| file.lock_wait.clone());
        let limits = DumpLimits::default();
        let lock_wait = lock_wait.map(|time| parse_duration("lock_wait", &time));
        Ok(Self {
            app: connection(&APP, &app, &file.app)?,
            zitadel: (auth_mode == AuthMode::Oidc)
                .then(|| connection(&ZITADEL, &zitadel, &file.zitadel))
                .transpose()?,
            programs: Programs::find(&folders),
            limits: DumpLimits {
                lock_wait: lock_wait.transpose()?.unwrap_or(limits.lock_wait),
                ..limits
            },
        })
    }
}

/// A database's variables, in the environment and in the instance's env file alike.
struct Names {
    what: &'static str,
    host: &'static str,
    default_host: &'static str,
    port: &'static str,
    user: &'static str,
    database: &'static str,
    password: &'static str,
    password_file: &'static str,
}

const APP: Names = Names {
    what: "app",
    host: "POSTGRES_HOST",
    default_host: "db",
    port: "POSTGRES_PORT",
    user: "POSTGRES_USER",
    database: "POSTGRES_DB",
    password: "POSTGRES_PASSWORD",
    password_file: "POSTGRES_PASSWORD_FILE",
};

const ZITADEL: Names = Names {
    what: "zitadel",
    host: "ZITADEL_DB_HOST",
    default_host: "zitadel_db",
    port: "ZITADEL_DB_PORT",
    user: "ZITADEL_DB_USER",
    database: "ZITADEL_DB_NAME",
    password: "ZITADEL_DB_PASSWORD",
    password_file: "ZITADEL_DB_PASSWORD_FILE",
};

/// The instance's env file, if it can be understood; it need not be there for this.
pub fn instance_variables(env: Option<&Secret>) -> Option<EnvFile> {
    let no_environment = |_: &str| None;
    env.and_then(|env| EnvFile::parse(env.expose(), &no_environment).ok())
}

fn in_env_file(env: Option<&EnvFile>, name: &str) -> Option<String> {
    let value = env?.get(name)?.expose().to_vec();
    let value = String::from_utf8(value).ok();
    value.filter(|value| !value.is_empty())
}

fn connection(
    names: &Names,
    flags: &DatabaseArgs,
    file: &DatabaseFile,
    base: &Path,
    env: Option<&EnvFile>,
) -> Result<Connection, Failure> {
    let word = |flag: &Option<String>, name: &str, in_file: Option<&String>| {
        let flag = flag.clone().or_else(|| text(name));
        flag.or_else(|| in_file.cloned())
            .or_else(|| in_env_file(env, name))
    };
    let needed = |value: Option<String>, what: &str, name: &str| {
        let unset = format!("the {what} of the {} database is not set", names.what);
        let hint = format!("{name} in the environment or in the env file: --env-file .env.prod");
        value.ok_or_else(|| Failure::usage(unset).hint(hint))
    };
    let port = word(
        &flags.port,
        names.port,
        file.port.map(|port| port.to_string()).as_ref(),
    );
    let port = port.map(|port| parse(&names.port.to_lowercase(), &port));
    let user = word(&flags.user, names.user, file.user.as_ref());
    let database = word(&flags.database, names.database, file.database.as_ref());
    let host = word(&flags.host, names.host, file.host.as_ref());
    Ok(Connection {
        host: host.unwrap_or_else(|| names.default_host.to_owned()),
        port: port.transpose()?.unwrap_or(DEFAULT_PORT),
        user: needed(user, "user", names.user)?,
        database: needed(database, "name", names.database)?,
        password: password(names, flags, file, base, env)?,
        variables: postgres_variables(),
    })
}

/// The password: what is nearer to whoever gave the command comes first.
fn password(
    names: &Names,
    flags: &DatabaseArgs,
    file: &DatabaseFile,
    base: &Path,
    env: Option<&EnvFile>,
) -> Result<Secret, Failure> {
    let read = |path: &Path| Ok(first_line(&secret_file("password file", path)?));
    if let Some(path) = &flags.password_file {
        return read(path);
    }
    if let Some(password) = secret(names.password) {
        return Ok(password);
    }
    if let Some(path) = path(names.password_file) {
        return read(&path);
    }
    if let Some(path) = &file.password_file {
        return read(&base.join(path));
    }
    let found = env.and_then(|env| env.get(names.password)).cloned();
    Ok(found.unwrap_or_else(|| Secret::new(Vec::new())))
}

/// A file of one line, as most editors leave it.
fn first_line(file: &Secret) -> Secret {
    let line = file
        .expose()
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .next();
    Secret::new(line.unwrap_or_default().to_vec())
}
