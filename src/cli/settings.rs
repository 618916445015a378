//! Settings: flags over environment over file. The only reader of the environment.
//!
//! A path in the file is relative to the file's folder; a path in a flag or in the environment is
//! relative to the current folder.

use crate::cli::args::SettingsArgs;
use crate::cli::failure::Failure;
use sealift::{
    AuthMode, Class, ComponentName, ENV_FILE_MAX, Include, Instance, KeyError, PushKeys,
    Recipients, Secret, SigningKey, StoreUrl, TrustedSigners, Unwrapper, read_identities,
    read_secret, resolve_recipients,
};
use serde::Deserialize;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
    pub auth_mode: AuthMode,
    /// The time zone of the stamps.
    pub time_zone: jiff::tz::TimeZone,
    /// What else to archive.
    pub includes: Vec<Include>,
    /// The env file, if there is to be one.
    pub env_file: Option<PathBuf>,
    store: Option<StoreUrl>,
    recipients: Vec<String>,
    secret_recipients: Vec<String>,
    signing_key: Option<PathBuf>,
    trusted_signers: Option<PathBuf>,
    identity: Option<PathBuf>,
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "env_file is the setting's name")]
struct File {
    instance: Option<String>,
    store: Option<String>,
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

/// Attachments that are being uploaded; lazyit removes what stays here.
const ATTACHMENTS_SKIP: &str = "tmp";

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

    fn merge(args: &SettingsArgs, file: File, base: &Path) -> Result<Self, Failure> {
        let place = |flag: &Option<PathBuf>, name: &str, in_file: Option<PathBuf>| {
            flag.clone()
                .or_else(|| path(name))
                .or_else(|| in_file.map(|path| base.join(path)))
        };
        let word = |flag: &Option<String>, name: &str, in_file: Option<String>| {
            flag.clone().or_else(|| text(name)).or(in_file)
        };
        let store = match args.store.clone().or_else(|| text("SEALIFT_STORE")) {
            Some(url) => Some(parse("store", &url)?),
            None => file
                .store
                .map(|url| parse("store", &url))
                .transpose()?
                .map(|url: StoreUrl| url.resolve(base)),
        };
        let state = place(&args.state, "SEALIFT_STATE", file.state);
        let zone = args
            .time_zone
            .clone()
            .or_else(|| text("SEALIFT_TIME_ZONE"))
            .or(file.time_zone);
        let mode = word(&args.auth_mode, "AUTH_MODE", file.auth_mode);
        let instance = word(&args.instance, "SEALIFT_INSTANCE", file.instance);
        Ok(Self {
            instance: parse("instance", instance.as_deref().unwrap_or("lazyit"))?,
            backups: place(&args.backups, "SEALIFT_BACKUPS", file.backups)
                .unwrap_or_else(|| "backups".into()),
            state: state.unwrap_or_else(|| base.join("sealift-state")),
            auth_mode: parse_auth_mode(mode.as_deref())?,
            time_zone: parse_time_zone(zone.or_else(|| text("TZ")).as_deref())?,
            includes: includes(&args.includes, file.includes, base)?,
            env_file: place(&args.env_file, "SEALIFT_ENV_FILE", file.env_file),
            store,
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

    /// The store.
    ///
    /// # Errors
    /// A [`Failure`] if none is set.
    pub fn store(&self) -> Result<StoreUrl, Failure> {
        self.store.clone().ok_or_else(|| {
            Failure::usage("no store is set")
                .hint("sealift init --store URL; or --store, SEALIFT_STORE")
        })
    }

    /// The recipients that were set for data; none if none were.
    ///
    /// # Errors
    /// A [`Failure`] that names the recipient.
    pub fn data_recipients(&self) -> Result<Option<Recipients>, Failure> {
        Ok(resolve_recipients(&self.recipients)?)
    }

    /// What archives are made with.
    ///
    /// # Errors
    /// A [`Failure`] if recipients or signing key are missing or cannot be used.
    pub fn push_keys(&self) -> Result<PushKeys, Failure> {
        let missing = || {
            Failure::usage("no recipients are set, so nothing can be sealed").hint(
                "age-keygen -o identity.txt; then --recipients, SEALIFT_RECIPIENTS or sealift init",
            )
        };
        let data = self.data_recipients()?.ok_or_else(missing)?;
        let own = if self.secret_recipients.is_empty() {
            &self.recipients
        } else {
            &self.secret_recipients
        };
        let secrets = resolve_recipients(own)?.ok_or_else(missing)?;
        let signing = self.signing_key()?;
        if let Some(path) = &self.trusted_signers
            && !self.trusted_signers()?.trusts(&signing)
        {
            let key = self.signing_key.as_deref().unwrap_or(path).display();
            let list = path.display();
            return Err(Failure::usage(format!(
                "the signing key {key} is not among the trusted signers {list}, so nobody would \
                 believe the archive"
            ))
            .hint(format!(
                "printf 'sealift namespaces=\"sealift\" %s\\n' \"$(ssh-keygen -y -f {key})\" >> {list}"
            )));
        }
        Ok(PushKeys::new(data, secrets, signing)?)
    }

    /// Whose archives are believed.
    ///
    /// # Errors
    /// A [`Failure`] if nobody is named.
    pub fn trusted_signers(&self) -> Result<TrustedSigners, Failure> {
        let Some(path) = &self.trusted_signers else {
            return Ok(TrustedSigners::parse(
                &self.signing_key()?.allowed_signers_line()?,
            )?);
        };
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!(
                "cannot read the trusted signers {}: {error}",
                path.display()
            ))
        })?;
        TrustedSigners::parse(&text)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
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
            KeyError::Plugin { .. } => error.into(),
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

    /// The recipients that were set for secrets alone.
    pub fn secret_recipients(&self) -> &[String] {
        &self.secret_recipients
    }

    fn signing_key(&self) -> Result<SigningKey, Failure> {
        let path = self.signing_key.as_ref().ok_or_else(|| {
            Failure::usage("neither trusted signers nor a signing key are set")
                .hint("sealift init --store URL")
        })?;
        let key = SigningKey::parse(secret_file("signing key", path)?.expose());
        key.map_err(|error| {
            let failure = Failure::from(error);
            let message = format!("{}: {}", path.display(), failure.message);
            Failure { message, ..failure }
        })
    }
}

fn secret_file(setting: &str, path: &Path) -> Result<Secret, Failure> {
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

/// A secret that was given by mistake must not come back in an error.
fn is_private_key(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    text.contains("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY-----")
}

impl File {
    /// The file and its folder; an empty one if none was named and the default is not there.
    fn read(named: Option<&Path>) -> Result<(Self, PathBuf), Failure> {
        let path = named.unwrap_or(Path::new(DEFAULT_CONFIG));
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
                return Ok((Self::default(), PathBuf::new()));
            }
            text => text.map_err(|error| {
                Failure::usage(format!(
                    "cannot read the settings {}: {error}",
                    path.display()
                ))
            })?,
        };
        let file = toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            Failure::usage(format!(
                "line {line} of {}: {}",
                path.display(),
                if is_private_key(error.message()) {
                    "a private key has no place in the settings"
                } else {
                    error.message()
                }
            ))
        })?;
        Ok((file, path.parent().map(Path::to_owned).unwrap_or_default()))
    }
}

/// Where the system keeps what is not needed for long.
pub fn temporary_folder() -> PathBuf {
    env::temp_dir()
}

/// The settings file that was named, if one was.
pub fn named_config(args: &SettingsArgs) -> Option<PathBuf> {
    args.config.clone().or_else(|| path("SEALIFT_CONFIG"))
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn list(flags: &[String], name: &str, in_file: Vec<String>) -> Vec<String> {
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

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    setting: &str,
    text: &str,
) -> Result<T, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("the setting {setting}: {error}")))
}

fn parse_auth_mode(text: Option<&str>) -> Result<AuthMode, Failure> {
    match text {
        None | Some("oidc") => Ok(AuthMode::Oidc),
        Some("local") => Ok(AuthMode::Local),
        Some(other) => Err(Failure::usage(format!(
            "the setting auth_mode: {other:?} is neither oidc nor local"
        ))),
    }
}

fn parse_time_zone(text: Option<&str>) -> Result<jiff::tz::TimeZone, Failure> {
    let Some(name) = text else {
        return Ok(jiff::tz::TimeZone::UTC);
    };
    jiff::tz::TimeZone::get(name).map_err(|_| {
        Failure::usage(format!(
            "the setting time_zone: {name:?} is not a time zone"
        ))
        .hint("ls /usr/share/zoneinfo")
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

fn parse_include(text: &str) -> Result<Include, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "the setting include: {text:?} is not NAME=PATH or NAME:CLASS=PATH"
        ))
    };
    let (name, path) = text
        .split_once('=')
        .filter(|(_, path)| !path.is_empty())
        .ok_or_else(wrong)?;
    let (name, class) = match name.split_once(':') {
        None => (name, None),
        Some((name, "data")) => (name, Some(Class::Data)),
        Some((name, "secrets")) => (name, Some(Class::Secrets)),
        Some(_) => return Err(wrong()),
    };
    let name: ComponentName = parse("include", name)?;
    Ok(Include {
        class: class.unwrap_or_else(|| default_class(&name)),
        skip: default_skip(&name),
        path: path.into(),
        name,
    })
}

fn default_class(name: &ComponentName) -> Class {
    if name.as_str() == "zitadel-secrets" {
        Class::Secrets
    } else {
        Class::Data
    }
}

fn default_skip(name: &ComponentName) -> Vec<String> {
    if name.as_str() == "attachments" {
        vec![ATTACHMENTS_SKIP.into()]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_include_has_the_class_that_its_name_calls_for() {
        let case = |text: &str| parse_include(text).map(|i| (i.class, i.skip.len())).ok();
        assert_eq!(case("zitadel-secrets=/v"), Some((Class::Secrets, 0)));
        assert_eq!(case("attachments=/v"), Some((Class::Data, 1)));
        assert_eq!(case("more:secrets=/v=w"), Some((Class::Secrets, 0)));
        for bad in ["x", "x=", "=y", "x:public=/v", "X=/v"] {
            assert_eq!(case(bad), None, "{bad}");
        }
    }

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
