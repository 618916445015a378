//! The environment, as settings need it: nothing else in the program reads it.

use sealift::{Programs, Secret};
use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A variable of the environment, if it has a value.
pub fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A secret in a variable of the environment, which may be of any bytes.
pub fn secret(name: &str) -> Option<Secret> {
    let value = env::var_os(name).filter(|value| !value.is_empty())?;
    Some(Secret::new(value.into_vec()))
}

/// A path that a variable of the environment names.
pub fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Where the system keeps what is not needed for long.
pub fn temporary_folder() -> PathBuf {
    env::temp_dir()
}

/// The variables of cloud services' own tools that are not read by AWS's own library.
pub fn service_variables() -> Vec<(String, String)> {
    let is_theirs = |(name, _): &(String, String)| {
        let prefixes = [
            "AZURE_",
            "GOOGLE_",
            "AWS_ENDPOINT_URL",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
        ];
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    variables().filter(is_theirs).collect()
}

/// What of libpq's variables says how a connection is made. The others say to where, as whom and with
/// which rules a session starts; of these only the settings have a say, or a dump would be of
/// something else.
const CONNECTING: [&str; 8] = [
    "PGCHANNELBINDING",
    "PGCONNECT_TIMEOUT",
    "PGGSSDELEGATION",
    "PGGSSENCMODE",
    "PGKRBSRVNAME",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    // An old word for PGSSLMODE=require: whoever asks for encryption is to have it.
    "PGREQUIRESSL",
];

/// The variables of libpq that pass to `PostgreSQL`'s programs: those of TLS, and a few more.
pub fn postgres_variables() -> Vec<(String, String)> {
    let passes = |(name, _): &(String, String)| {
        name.starts_with("PGSSL") || CONNECTING.contains(&name.as_str())
    };
    variables().filter(passes).collect()
}

/// The folders of PATH, and those where `PostgreSQL`'s programs usually are.
pub fn program_folders() -> Vec<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&folders).filter(|folder| folder.is_absolute());
    folders.chain(Programs::usual_folders()).collect()
}

/// The folders of a list as PATH is one.
pub fn folders(list: &Path) -> Vec<PathBuf> {
    env::split_paths(list).collect()
}

/// The variables of the environment that are text.
fn variables() -> impl Iterator<Item = (String, String)> {
    let text =
        |(name, value): (OsString, OsString)| name.into_string().ok().zip(value.into_string().ok());
    env::vars_os().filter_map(text)
}
