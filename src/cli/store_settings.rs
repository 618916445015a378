//! Settings of stores: where they are, and of the way there limits, patience, and whom to trust.

use crate::cli::args::NetworkArgs;
use crate::cli::failure::Failure;
use crate::cli::settings::{list, path, service_variables, text};
use crate::cli::values::{parse_duration, parse_rate, parse_store};
use sealift::{NetworkSettings, StoreUrl};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Those settings in the settings file.
pub struct NetworkFile {
    pub limit_upload: Option<String>,
    pub limit_download: Option<String>,
    pub timeout: Option<String>,
    pub deadline: Option<String>,
    /// Relative to the current folder.
    pub ca_bundle: Option<PathBuf>,
}

/// Flags over environment over file.
///
/// # Errors
/// A [`Failure`] that names the setting.
pub fn network_settings(args: &NetworkArgs, file: NetworkFile) -> Result<NetworkSettings, Failure> {
    let word = |flag: &Option<String>, name: &str, in_file: Option<String>| {
        flag.clone().or_else(|| text(name)).or(in_file)
    };
    let rate = |setting, value: Option<String>| {
        let value = value.as_deref().map(|value| parse_rate(setting, value));
        value.transpose()
    };
    let duration = |setting, value: Option<String>, default| {
        value.map_or(Ok(default), |value| parse_duration(setting, &value))
    };
    let up = word(
        &args.limit_upload,
        "SEALIFT_LIMIT_UPLOAD",
        file.limit_upload,
    );
    let down = word(
        &args.limit_download,
        "SEALIFT_LIMIT_DOWNLOAD",
        file.limit_download,
    );
    let timeout = word(&args.timeout, "SEALIFT_TIMEOUT", file.timeout);
    let deadline = word(&args.deadline, "SEALIFT_DEADLINE", file.deadline);
    let bundle = args
        .ca_bundle
        .clone()
        .or_else(|| path("SEALIFT_CA_BUNDLE"))
        .or(file.ca_bundle)
        .or_else(|| path("AWS_CA_BUNDLE"));
    let default = NetworkSettings::default();
    Ok(NetworkSettings {
        limit_upload: rate("limit_upload", up)?,
        limit_download: rate("limit_download", down)?,
        timeout: duration("timeout", timeout, default.timeout)?,
        deadline: duration("deadline", deadline, default.deadline)?,
        ca_bundle: bundle.map(|path| read_bundle(&path)).transpose()?,
        environment: service_variables(),
    })
}

fn read_bundle(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        let message = format!("cannot read the ca_bundle {}: {error}", path.display());
        Failure::usage(message).hint(format!("ls -l {}", path.display()))
    })
}

/// The store's address or addresses, as a line of the file has them.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    #[default]
    None,
    One(String),
    More(Vec<String>),
}

/// The stores: flags over environment over file, whose paths are taken from its folder.
///
/// # Errors
/// A [`Failure`] that names the setting.
pub fn stores(flags: &[String], in_file: OneOrMore, base: &Path) -> Result<Vec<StoreUrl>, Failure> {
    let in_file = match in_file {
        OneOrMore::None => Vec::new(),
        OneOrMore::One(urls) => urls.split(',').map(str::to_owned).collect(),
        OneOrMore::More(urls) => urls,
    };
    let mut stores: Vec<StoreUrl> = Vec::new();
    let given = list(flags, "SEALIFT_STORE", Vec::new());
    let base = if given.is_empty() {
        base
    } else {
        Path::new("")
    };
    for url in if given.is_empty() { in_file } else { given } {
        stores.push(parse_store("store", url.trim())?.resolve(base));
    }
    Ok(stores)
}

/// The stores as they are called from everywhere, each once.
///
/// # Errors
/// A [`Failure`] if two of them are one.
pub fn resolved(stores: &[StoreUrl]) -> Result<Vec<StoreUrl>, Failure> {
    let here = std::path::absolute(".")?;
    let mut resolved: Vec<StoreUrl> = Vec::new();
    for url in stores {
        let url = url.clone().resolve(&here);
        if resolved.iter().any(|other| is_same(other, &url)) {
            let message = format!("the setting store: {url} is named twice");
            return Err(Failure::usage(message).hint("name each store once, by one name"));
        }
        resolved.push(url);
    }
    Ok(resolved)
}

/// Whether two addresses are one store, by name or by a link.
fn is_same(one: &StoreUrl, other: &StoreUrl) -> bool {
    let place = |url: &StoreUrl| url.folder().and_then(|folder| folder.canonicalize().ok());
    let places = place(one).zip(place(other));
    one.identity() == other.identity() || places.is_some_and(|(one, other)| one == other)
}
