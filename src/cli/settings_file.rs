//! The settings file that `init` writes: every line explained, nothing secret.

use crate::cli::failure::Failure;
use crate::cli::settings::Settings;
use sealift::{AuthMode, StoreUrl};
use std::path::{Path, PathBuf};

/// The key that signs archives, beside the settings file.
pub const SIGNING_KEY: &str = "sealift-signing-key";
/// The list of trusted signers, beside the settings file.
pub const SIGNERS: &str = "sealift-allowed-signers";

/// Retention, as a comment: what to remove is never decided by a default.
const RETENTION: &str = r#"
# Which archives stay in the store; without rules all do. Days are those of the time zone. A label
# can have rules of its own, in place of these.
#
# [retention]
# keep_daily = 14
# keep_weekly = 8
# keep_monthly = 12
# keep_sound = 7
#
# [[retention.labels]]
# label = "pre-update-*"
# keep_last = 5
"#;

/// What goes into the file.
pub struct SettingsFile<'a> {
    /// Flags and environment of `init`.
    pub settings: &'a Settings,
    /// The stores; folders with absolute paths.
    pub stores: &'a [StoreUrl],
    /// Who can open data.
    pub recipients: &'a [String],
    /// Who can open secrets, if that is somebody else.
    pub secret_recipients: &'a [String],
    /// The folder of the file; empty if it is the current one.
    pub folder: &'a Path,
}

impl SettingsFile<'_> {
    /// The text of the file.
    ///
    /// # Errors
    /// A [`Failure`] if a path cannot be made absolute.
    pub fn text(&self) -> Result<String, Failure> {
        let env_file = match &self.settings.env_file {
            Some(path) => format!("env_file = {}\n", self.place(path)?),
            None => "# env_file = \".env.prod\"\n".into(),
        };
        let time_zone = match self.settings.own_time_zone()? {
            Some(zone) => format!("time_zone = {}\n", quoted(zone)),
            None => String::new(),
        };
        let state = match &self.settings.own_state {
            Some(path) => format!("state = {}\n", self.place(path)?),
            None => String::new(),
        };
        let given = |path: &Option<PathBuf>, made| match path {
            Some(path) => self.place(path),
            None => Ok(quoted(made)),
        };
        let auth_mode = match self.settings.auth_mode {
            None => "# auth_mode = \"oidc\" or \"local\", if the env file does not say it\n",
            Some(AuthMode::Oidc) => "auth_mode = \"oidc\"\n",
            Some(AuthMode::Local) => "auth_mode = \"local\"\n",
        };
        let mut text = format!(
            "# Settings of sealift. Paths are relative to this file. A flag or an environment variable\n\
             # overrides a line: see sealift --help.\n\n\
             instance = {}\nstore = {}\nbackups = {}\n{env_file}{state}signing_key = {}\ntrusted_signers = {}\n{auth_mode}{time_zone}\n\
             # Who can open what is archived. Secrets are the env file and zitadel-secrets.\n\
             recipients = [\n{}]\n",
            quoted(self.settings.instance.as_str()),
            addresses(self.stores),
            self.place(&self.settings.backups)?,
            given(&self.settings.signing_key, SIGNING_KEY)?,
            given(&self.settings.trusted_signers, SIGNERS)?,
            list(self.recipients),
        );
        if !self.secret_recipients.is_empty() {
            text += &format!("secret_recipients = [\n{}]\n", list(self.secret_recipients));
        }
        text += "\n# What else belongs to the instance. Without zitadel-secrets nobody can log in on a rebuilt\n\
                 # host, so an archive without it is suspect.\n";
        text += &self.includes()?;
        text += "\n# The sidecar: sealift run and sealift dump. Where the databases are and who may dump them is read\n\
                 # from the environment or from the env file.\n#\n# [sidecar]\n# schedule = \"0 3 * * *\"\n\
                 # retention_days = 14\n";
        text += RETENTION;
        Ok(text)
    }

    fn includes(&self) -> Result<String, Failure> {
        if self.settings.includes.is_empty() {
            let volumes = PathBuf::from("/var/lib/docker/volumes");
            let volume = |name: &str| volumes.join(name).join("_data").display().to_string();
            return Ok(format!(
                "#\n# [[include]]\n# name = \"zitadel-secrets\"\n# path = \"{}\"\n#\n\
                 # [[include]]\n# name = \"attachments\"\n# path = \"{}\"\n",
                volume("lazyit-prod_zitadel_secrets"),
                volume("lazyit-prod_attachments_data")
            ));
        }
        let mut text = String::new();
        for include in &self.settings.includes {
            text += &format!(
                "\n[[include]]\nname = \"{}\"\nclass = \"{}\"\npath = {}\n",
                include.name,
                include.class,
                self.place(&include.path)?
            );
        }
        Ok(text)
    }

    /// A path as it is right in the file: relative ones only if they start at its folder.
    fn place(&self, path: &Path) -> Result<String, Failure> {
        let path = if self.folder.as_os_str().is_empty() {
            path.to_owned()
        } else {
            std::path::absolute(path)?
        };
        Ok(quoted(&path.display().to_string()))
    }
}

/// A string as TOML writes it.
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The addresses of stores: one as a string, several as a list.
pub fn addresses(stores: &[StoreUrl]) -> String {
    match stores {
        [store] => quoted(&store.to_string()),
        stores => {
            let stores: Vec<String> = stores.iter().map(ToString::to_string).collect();
            format!("[\n{}]", list(&stores))
        }
    }
}

fn list(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("    {},\n", quoted(name)))
        .collect()
}
