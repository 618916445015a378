//! `sealift init`: settings, a signing key, and the recovery kit.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::kit::Kit;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::cli::settings::{DEFAULT_CONFIG, Settings};
use crate::cli::settings_file::{SIGNERS, SIGNING_KEY, SettingsFile};
use age::secrecy::{ExposeSecret, SecretString};
use sealift::{
    SigningKey, StoreUrl, create_private_folder, generate_identity, resolve_recipients, write_new,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The kit's folder, beside the settings file.
const KIT: &str = "recovery-kit";

#[derive(Serialize)]
struct Document {
    config: String,
    signing_key: String,
    recovery_kit: String,
    recipients: Vec<String>,
    identity_in_kit: bool,
}

/// Everything that will be written, before anything is.
struct Plan {
    config: PathBuf,
    folder: PathBuf,
    settings: Settings,
    store: StoreUrl,
    identity: Option<SecretString>,
    recipients: Vec<String>,
    secret_recipients: Vec<String>,
    signing: SigningKey,
}

/// Sets sealift up in the folder of the settings file.
///
/// # Errors
/// A [`Failure`] if something is there already, or cannot be written; nothing is replaced.
pub fn run(session: &Session, output: &Output) -> Result<Exit, Failure> {
    let plan = Plan::make(session)?;
    plan.write()?;
    let document = Document {
        config: plan.config.display().to_string(),
        signing_key: plan.folder.join(SIGNING_KEY).display().to_string(),
        recovery_kit: plan.folder.join(KIT).display().to_string(),
        recipients: plan.recipients,
        identity_in_kit: plan.identity.is_some(),
    };
    output.result(&document, || summary(&document))?;
    Ok(Exit::Done)
}

impl Plan {
    fn make(session: &Session) -> Result<Self, Failure> {
        let config = session
            .config_path()
            .unwrap_or_else(|| DEFAULT_CONFIG.into());
        let folder = config.parent().map(Path::to_owned).unwrap_or_default();
        let new = [SIGNING_KEY, SIGNERS, KIT].map(|name| folder.join(name));
        if let Some(there) = new.iter().chain([&config]).find(|path| path.exists()) {
            let failure = Failure::usage(format!("{} is there already", there.display()));
            let hint = "keep it, or set up in another folder: --config DIR/sealift.toml";
            return Err(failure.hint(hint));
        }
        let settings = session.settings_without_file()?;
        // The kit is read from other folders than this one.
        let here = std::path::absolute(".")?;
        let store = settings.store()?.resolve(&here);
        let (identity, recipients) = if let Some(given) = settings.data_recipients()? {
            (None, given.names().to_vec())
        } else {
            let (identity, recipient) = generate_identity();
            (Some(identity), vec![recipient])
        };
        let secret = resolve_recipients(settings.secret_recipients())?;
        let secret_recipients = secret
            .map(|given| given.names().to_vec())
            .unwrap_or_default();
        let signing = SigningKey::generate(&format!("sealift {}", settings.instance))?;
        Ok(Self {
            config,
            folder,
            settings,
            store,
            identity,
            recipients,
            secret_recipients,
            signing,
        })
    }

    fn write(&self) -> Result<(), Failure> {
        let signers = self.signing.allowed_signers_line()?;
        create_private_folder(self.store.path())?;
        if !self.folder.as_os_str().is_empty() {
            create_private_folder(&self.folder)?;
        }
        let kit = Kit {
            folder: self.folder.join(KIT),
            store: self.store.to_string(),
            instance: self.settings.instance.to_string(),
            signers: signers.clone(),
            identity: self.identity.as_ref().map(ExposeSecret::expose_secret),
            recipients: &self.recipients,
        };
        kit.write()?;
        let key = self.signing.to_openssh()?;
        write_new(&self.folder.join(SIGNING_KEY), 0o600, key.as_bytes())?;
        write_new(&self.folder.join(SIGNERS), 0o644, signers.as_bytes())?;
        // Last, so that settings which are there are complete.
        let file = SettingsFile {
            settings: &self.settings,
            store: &self.store,
            recipients: &self.recipients,
            secret_recipients: &self.secret_recipients,
            folder: &self.folder,
        };
        Ok(write_new(&self.config, 0o644, file.text()?.as_bytes())?)
    }
}

fn summary(document: &Document) -> String {
    let Document {
        config,
        signing_key,
        recovery_kit: kit,
        ..
    } = document;
    let now = if document.identity_in_kit {
        format!(
            "NOW: move {kit}/ off this host. It holds the only identity that opens the archives;\n\
             this host needs none of it. Print {kit}/RECOVERY.md and keep it in a safe."
        )
    } else {
        format!("NOW: copy {kit}/ off this host, and keep your identity with it.")
    };
    format!("wrote {config}, {signing_key} and {kit}/\n\n{now}\n\nThen: sealift push\n")
}
