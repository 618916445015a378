//! Settings: flags over environment over file. The only reader of the environment.
//!
//! A path in the file is relative to the file's folder; a path in a flag or in the environment is
//! relative to the current folder.

mod environment;

pub use environment::{
    folders, path, postgres_variables, program_folders, secret, service_variables,
    temporary_folder, text,
};

use crate::cli::args::SettingsArgs;
use crate::cli::failure::Failure;
use crate::cli::retention_settings::RetentionFile;
use crate::cli::sidecar_settings::{SidecarFile, instance_variables};
use crate::cli::signing_key::unusable;
use crate::cli::store_settings::{NetworkFile, OneOrMore, network_settings, resolved, stores};
use crate::cli::values::{
    check_include, default_class, default_skip, is_private_key, parse, parse_auth_mode,
    parse_duration, parse_include, parse_time_zone,
};
use sealift::{
    AuthMode, Class, ComponentName, ENV_FILE_MAX, Include, Instance, KeyError, NetworkSettings,
    PushKeys, Recipients, Secret, SigningKey, StoreUrl, Timestamp, TrustedSigners, Unwrapper,
    read_identities, read_secret, resolve_recipients,
};
use serde::Deserialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every setting, from wherever it came.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The instance.
    pub instance: Instance,
    /// The folder of dumps.
    pub backups: PathBuf,
    /// The folder of the index and the lock.
    pub state: PathBuf,
    /// How people sign in.
    pub auth_mode: Option<AuthMode>,
    /// What else to archive.
    pub includes: Vec<Include>,
    /// The env file, if there is to be one.
    pub env_file: Option<PathBuf>,
    /// The folder of the index and the lock, if it is not the default.
    pub own_state: Option<PathBuf>,
    /// The key that signs.
    pub signing_key: Option<PathBuf>,
    /// The list of those whose archives are believed.
    pub trusted_signers: Option<PathBuf>,
    /// Whoever can open archives.
    pub identity: Option<PathBuf>,
    /// Blobs that are older are not used again.
    pub reuse_max_age: Option<Duration>,
    /// How often the folder of dumps is looked at in any case.
    pub poll: Duration,
    /// How stores are reached.
    pub network: NetworkSettings,
    /// What the file says of the sidecar, and the folder that paths in it are relative to.
    pub sidecar: (SidecarFile, PathBuf),
    /// What the file says of retention.
    pub retention: RetentionFile,
    stores: Vec<StoreUrl>,
    recipients: Vec<String>,
    secret_recipients: Vec<String>,
    /// Where the time zone comes from, and the time zone.
    time_zone: Option<(&'static str, String)>,
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "env_file is the setting's name")]
struct File {
    instance: Option<String>,
    #[serde(default)]
    store: OneOrMore,
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    secret_recipients: Vec<String>,
    env_file: Option<PathBuf>,
    backups: Option<PathBuf>,
    state: Option<PathBuf>,
    signing_key: Option<PathBuf>,
    trusted_signers: Option<PathBuf>,
    identity: Option<PathBuf>,
    auth_mode: Option<String>,
    time_zone: Option<String>,
    reuse_max_age: Option<String>,
    poll: Option<String>,
    limit_upload: Option<String>,
    limit_download: Option<String>,
    timeout: Option<String>,
    deadline: Option<String>,
    ca_bundle: Option<PathBuf>,
    #[serde(default)]
    sidecar: SidecarFile,
    #[serde(default)]
    retention: RetentionFile,
    #[serde(default, rename = "include")]
    includes: Vec<FileInclude>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileInclude {
    name: ComponentName,
    path: PathBuf,
    class: Option<Class>,
    skip: Option<Vec<String>>,
}

/// The settings file that is read if none is named.
pub const DEFAULT_CONFIG: &str = "sealift.toml";
/// Unless it is said otherwise.
const POLL: Duration = Duration::from_mins(1);

impl Settings {
    /// Reads flags, environment and file.
    ///
    /// # Errors
    /// A [`Failure`] that names the setting.
    pub fn load(args: &SettingsArgs) -> Result<Self, Failure> {
        let (file, base) = File::read(named_config(args).as_deref())?;
        Self::merge(args, file, &base)
    }

    /// Reads flags and environment alone.
    ///
    /// # Errors
    /// A [`Failure`] that names the setting.
    pub fn load_without_file(args: &SettingsArgs) -> Result<Self, Failure> {
        Self::merge(args, File::default(), Path::new(""))
    }

    fn merge(args: &SettingsArgs, mut file: File, base: &Path) -> Result<Self, Failure> {
        let network = file.network(base);
        let place = |flag: &Option<PathBuf>, name: &str, in_file: Option<PathBuf>| {
            flag.clone()
                .or_else(|| path(name))
                .or_else(|| in_file.map(|path| base.join(path)))
        };
        let word = |flag: &Option<String>, name: &str, in_file: Option<String>| {
            flag.clone().or_else(|| text(name)).or(in_file)
        };
        let reuse_max_age = word(
            &args.reuse_max_age,
            "SEALIFT_REUSE_MAX_AGE",
            file.reuse_max_age,
        );
        let poll = word(&args.poll, "SEALIFT_POLL", file.poll);
        let state = place(&args.state, "SEALIFT_STATE", file.state);
        let zone = word(&args.time_zone, "SEALIFT_TIME_ZONE", file.time_zone);
        let mode = word(&args.auth_mode, "AUTH_MODE", file.auth_mode);
        let instance = word(&args.instance, "SEALIFT_INSTANCE", file.instance);
        Ok(Self {
            instance: parse("instance", instance.as_deref().unwrap_or("lazyit"))?,
            backups: place(&args.backups, "SEALIFT_BACKUPS", file.backups)
                .unwrap_or_else(|| "backups".into()),
            state: state.clone().unwrap_or_else(|| base.join("sealift-state")),
            own_state: state,
            auth_mode: mode.as_deref().map(parse_auth_mode).transpose()?,
            time_zone: zone
                .map(|zone| ("the setting time_zone", zone))
                .or_else(|| text("TZ").map(|zone| ("the environment variable TZ", zone))),
            includes: includes(&args.includes, file.includes, base)?,
            env_file: place(&args.env_file, "SEALIFT_ENV_FILE", file.env_file),
            stores: stores(&args.stores, file.store, base)?,
            reuse_max_age: reuse_max_age
                .map(|age| parse_duration("reuse_max_age", &age))
                .transpose()?,
            poll: poll.map_or(Ok(POLL), |poll| parse_duration("poll", &poll))?,
            network: network_settings(&args.network, network)?,
            sidecar: (file.sidecar, base.to_owned()),
            retention: file.retention,
            recipients: list(&args.recipients, "SEALIFT_RECIPIENTS", file.recipients),
            secret_recipients: list(
                &args.secret_recipients,
                "SEALIFT_SECRET_RECIPIENTS",
                file.secret_recipients,
            ),
            signing_key: place(&args.signing_key, "SEALIFT_SIGNING_KEY", file.signing_key),
            trusted_signers: place(
                &args.trusted_signers,
                "SEALIFT_TRUSTED_SIGNERS",
                file.trusted_signers,
            ),
            identity: place(&args.identity, "SEALIFT_IDENTITY", file.identity),
        })
    }

    /// The stores, in the order in which they were named.
    ///
    /// # Errors
    /// A [`Failure`] if none is set.
    pub fn stores(&self) -> Result<Vec<StoreUrl>, Failure> {
        if self.stores.is_empty() {
            return Err(Failure::usage("no store is set")
                .hint("if there is a sealift.toml elsewhere: --config FILE; else --store URL, or sealift init --store URL"));
        }
        resolved(&self.stores)
    }

    /// The time zone of the stamps. It is understood only where it is needed: what somebody else
    /// has put into `TZ` must not stand in the way of a fetch.
    ///
    /// # Errors
    /// A [`Failure`] if there is no such time zone.
    pub fn time_zone(&self) -> Result<jiff::tz::TimeZone, Failure> {
        let Some((source, text)) = &self.time_zone else {
            return Ok(jiff::tz::TimeZone::UTC);
        };
        parse_time_zone(text).ok_or_else(|| {
            Failure::usage(format!("{source}: {text:?} is not a time zone"))
                .hint("ls /usr/share/zoneinfo; then --time-zone, as Europe/Vienna")
        })
    }

    /// The time zone as it was set, unless it is UTC.
    ///
    /// # Errors
    /// A [`Failure`] if there is no such time zone.
    pub fn own_time_zone(&self) -> Result<Option<&str>, Failure> {
        let is_utc = self.time_zone()?.iana_name() == Some("UTC");
        let text = self.time_zone.as_ref().map(|(_, text)| text.as_str());
        Ok(text.filter(|_| !is_utc))
    }

    /// The recipients that were set for data; none if none were.
    ///
    /// # Errors
    /// A [`Failure`] that names the recipient.
    pub fn data_recipients(&self) -> Result<Option<Recipients>, Failure> {
        Ok(resolve_recipients(&self.recipients)?)
    }

    /// What archives are made with. Includes are looked for first: a wrong setting is to be told
    /// before anything is done.
    ///
    /// # Errors
    /// A [`Failure`] if recipients, signing key or an include are missing or cannot be used.
    pub fn push_keys(&self) -> Result<PushKeys, Failure> {
        self.includes.iter().try_for_each(check_include)?;
        let missing = || {
            Failure::usage("no recipients are set, so nothing can be sealed").hint(
                "if there is a sealift.toml elsewhere: --config FILE; else --recipients, or sealift init",
            )
        };
        let data = self.data_recipients()?.ok_or_else(missing)?;
        let own = if self.secret_recipients.is_empty() {
            &self.recipients
        } else {
            &self.secret_recipients
        };
        let secrets = resolve_recipients(own)?.ok_or_else(missing)?;
        let signing = self.trusted_signing_key()?;
        Ok(PushKeys::new(data, secrets, signing)?)
    }

    /// Whose archives are believed.
    ///
    /// # Errors
    /// A [`Failure`] if nobody is named.
    pub fn trusted_signers(&self) -> Result<TrustedSigners, Failure> {
        let Some(path) = &self.trusted_signers else {
            let own = self.signing_key()?.allowed_signers_line()?;
            return Ok(TrustedSigners::parse(&own, None)?);
        };
        let text = read_text("trusted signers", path)?;
        // Only a time that is not in UTC needs a zone; what is wrong with the zone is no reason to refuse others.
        let zone = self.time_zone().ok();
        TrustedSigners::parse(&text, zone.as_ref()).map_err(|error| {
            Failure::usage(format!("{}: {error}", path.display()))
                .hint(format!("cat {}", path.display()))
        })
    }

    /// Whether what this key signs now is believed.
    ///
    /// # Errors
    /// As of [`Self::trusted_signers`].
    pub fn trusts(&self, signing: &SigningKey) -> Result<bool, Failure> {
        Ok(self.trusted_signers()?.trusts(signing, Timestamp::now()))
    }

    /// Whoever can open archives.
    ///
    /// # Errors
    /// A [`Failure`] if no identity is set, or if it cannot be used.
    pub fn identities(&self) -> Result<Vec<Unwrapper>, Failure> {
        let path = self.identity.as_ref().ok_or_else(|| {
            Failure::usage("no identity is set, so nothing can be opened")
                .hint("it is in the recovery kit: --identity recovery-kit/identity.txt")
        })?;
        let file = secret_file("identity", path)?;
        read_identities(file.expose()).map_err(|error| match error {
            KeyError::Plugin(_) => error.into(),
            error => Failure::usage(format!("{}: {error}", path.display())),
        })
    }

    /// The env file's bytes; none if it is not set or not there, which makes an archive suspect.
    ///
    /// # Errors
    /// A [`Failure`] if it is there and cannot be read.
    pub fn env(&self) -> Result<Option<Secret>, Failure> {
        let Some(path) = &self.env_file else {
            return Ok(None);
        };
        match read_secret(path, ENV_FILE_MAX) {
            Ok(env) => Ok(Some(env)),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::usage(format!(
                "cannot read the env file {}: {}",
                path.display(),
                error.source
            ))
            .hint(format!("ls -l {}", path.display()))),
        }
    }

    /// Refuses an env file that was named and is not there: what runs for years must not begin without.
    ///
    /// # Errors
    /// A [`Failure`] that names it.
    pub fn must_have_env_file(&self) -> Result<(), Failure> {
        match &self.env_file {
            Some(path) if self.env()?.is_none() => {
                let path = path.display();
                let failure = Failure::usage(format!("there is no env file {path}"));
                Err(failure.hint(format!("ls -l {path}")))
            }
            _ => Ok(()),
        }
    }

    /// How people sign in: as it was set, else as the env file says, else through Zitadel.
    ///
    /// # Errors
    /// A [`Failure`] if the env file names another way.
    pub fn auth_mode(&self, env: Option<&Secret>) -> Result<AuthMode, Failure> {
        if let Some(mode) = self.auth_mode {
            return Ok(mode);
        }
        // An env file that cannot be understood says nothing about this; then a missing zitadel
        // dump is an error, which is the safe side.
        let env = instance_variables(env);
        match env.as_ref().and_then(|env| env.get("AUTH_MODE")) {
            Some(mode) if !mode.expose().is_empty() => {
                parse_auth_mode(&String::from_utf8_lossy(mode.expose()))
            }
            _ => Ok(AuthMode::default()),
        }
    }

    /// The recipients that were set for secrets alone.
    pub fn secret_recipients(&self) -> &[String] {
        &self.secret_recipients
    }

    /// The key that signs, which has to be one that is believed.
    ///
    /// # Errors
    /// A [`Failure`] if it is missing, cannot be used, or is not among the trusted signers.
    pub fn trusted_signing_key(&self) -> Result<SigningKey, Failure> {
        let signing = self.signing_key()?;
        if let Some(path) = &self.trusted_signers
            && !self.trusts(&signing)?
        {
            let key = self.signing_key.as_deref().unwrap_or(path);
            let failure = Failure::usage(format!(
                "the signing key {} is not among the trusted signers {} (or not valid now), so \
                 nobody would believe what it signs",
                key.display(),
                path.display()
            ));
            return Err(failure.hint(trust_command(key, path)));
        }
        Ok(signing)
    }

    /// The key that signs.
    ///
    /// # Errors
    /// A [`Failure`] if none is set, or if it cannot sign unattended.
    pub fn signing_key(&self) -> Result<SigningKey, Failure> {
        let path = self.signing_key.as_ref().ok_or_else(|| {
            Failure::usage("neither trusted signers nor a signing key are set").hint(
                "run it in the folder of the recovery kit, or name its list: --trusted-signers \
                 recovery-kit/allowed_signers; on a new host: sealift init --store URL",
            )
        })?;
        let text = secret_file("signing key", path)?;
        SigningKey::parse(text.expose()).map_err(|_| unusable(path, text.expose()))
    }
}

/// The command that puts a key on a list of trusted signers.
pub fn trust_command(key: &Path, list: &Path) -> String {
    format!(
        "printf 'sealift namespaces=\"sealift\" %s\\n' \"$(ssh-keygen -y -f {})\" >> {}",
        key.display(),
        list.display()
    )
}

/// The text of a file that a setting names.
///
/// # Errors
/// A [`Failure`] that names the setting and the file.
pub fn read_text(setting: &str, path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "cannot read the {setting} {}: {error}",
            path.display()
        ))
        .hint(format!("ls -ld {}", path.display()))
    })
}

/// The bytes of a file with a secret that a setting names.
///
/// # Errors
/// A [`Failure`] that names the setting and the file.
pub fn secret_file(setting: &str, path: &Path) -> Result<Secret, Failure> {
    if !path.exists() && is_private_key(&path.to_string_lossy()) {
        let message = format!("the setting {setting}: this is a private key, not the path of one");
        return Err(Failure::usage(message).hint("put it into a file with mode 0600"));
    }
    read_secret(path, 64 * 1024).map_err(|error| {
        Failure::usage(format!(
            "cannot read the {setting} {}: {}",
            path.display(),
            error.source
        ))
        .hint(format!("ls -l {}", path.display()))
    })
}

impl File {
    /// The file and its folder; an empty one if none was named and the default is not there.
    fn read(named: Option<&Path>) -> Result<(Self, PathBuf), Failure> {
        let path = named.unwrap_or(Path::new(DEFAULT_CONFIG));
        if named.is_none() && !path.try_exists().unwrap_or(true) {
            return Ok((Self::default(), PathBuf::new()));
        }
        let text = read_text("settings", path)?;
        let file = toml::from_str(&text).map_err(|error| not_understood(path, &text, &error))?;
        Ok((file, path.parent().map(Path::to_owned).unwrap_or_default()))
    }

    /// What it says of the way to stores.
    fn network(&mut self, base: &Path) -> NetworkFile {
        NetworkFile {
            limit_upload: self.limit_upload.take(),
            limit_download: self.limit_download.take(),
            timeout: self.timeout.take(),
            deadline: self.deadline.take(),
            ca_bundle: self.ca_bundle.take().map(|path| base.join(path)),
        }
    }
}

fn not_understood(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let span = error.span().unwrap_or_default();
    let line = text[..span.start].matches('\n').count() + 1;
    let what = match error.message() {
        message if is_private_key(message) => "a private key has no place in the settings".into(),
        // The one message that leaves out what it is about.
        "duplicate key" => format!("duplicate key {}", &text[span]),
        message => message.to_owned(),
    };
    Failure::usage(format!("line {line} of {}: {what}", path.display()))
}

/// The settings file that was named, if one was.
pub fn named_config(args: &SettingsArgs) -> Option<PathBuf> {
    args.config.clone().or_else(|| path("SEALIFT_CONFIG"))
}

/// A list of words: flags over environment over file.
pub fn list(flags: &[String], name: &str, in_file: Vec<String>) -> Vec<String> {
    let trimmed = |text: &str| text.trim().to_owned();
    if !flags.is_empty() {
        return flags.iter().map(|text| trimmed(text)).collect();
    }
    text(name).map_or(in_file, |text| {
        text.split(',')
            .map(trimmed)
            .filter(|item| !item.is_empty())
            .collect()
    })
}

fn includes(
    flags: &[String],
    in_file: Vec<FileInclude>,
    base: &Path,
) -> Result<Vec<Include>, Failure> {
    let mut includes = Vec::new();
    let listed = list(flags, "SEALIFT_INCLUDES", Vec::new());
    for text in &listed {
        includes.push(parse_include(text)?);
    }
    if listed.is_empty() {
        includes.extend(in_file.into_iter().map(|include| {
            Include {
                class: include
                    .class
                    .unwrap_or_else(|| default_class(&include.name)),
                skip: include.skip.unwrap_or_else(|| default_skip(&include.name)),
                path: base.join(include.path),
                name: include.name,
            }
        }));
    }
    for (place, include) in includes.iter().enumerate() {
        let twice = includes[..place]
            .iter()
            .any(|other| other.name == include.name);
        if twice || include.name.is_reserved() {
            return Err(Failure::usage(format!(
                "the setting include: the name {} is taken",
                include.name
            )));
        }
    }
    Ok(includes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_used_once() {
        for taken in [["app=/x", "b=/y"], ["b=/x", "b=/y"]] {
            let flags = taken.map(str::to_owned);
            assert!(
                includes(&flags, Vec::new(), Path::new("")).is_err(),
                "{taken:?}"
            );
        }
    }
}
