//! `sealift init`: settings, a signing key, and the recovery kit.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::kit::Kit;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::cli::settings::{DEFAULT_CONFIG, Settings, read_text, trust_command};
use crate::cli::settings_file::{SIGNERS, SIGNING_KEY, SettingsFile};
use crate::cli::values::bad_store;
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
    secret_recipients: Vec<String>,
    identity_in_kit: bool,
    /// What makes archives of this host believed, if they are not yet.
    #[serde(skip)]
    trust: Option<String>,
    #[serde(skip)]
    signing_key_made: bool,
}

/// Everything that will be written, before anything is.
struct Plan {
    config: PathBuf,
    folder: PathBuf,
    settings: Settings,
    stores: Vec<StoreUrl>,
    identity: Option<SecretString>,
    recipients: Vec<String>,
    secret_recipients: Vec<String>,
    signing: SigningKey,
    /// Whose archives the kit believes.
    signers: String,
}

/// Sets sealift up in the folder of the settings file.
///
/// # Errors
/// A [`Failure`] if something is there already, or cannot be written; nothing is replaced.
pub fn run(session: &Session, output: &Output) -> Result<Exit, Failure> {
    let plan = Plan::make(session)?;
    plan.write()?;
    let signing_key = plan.signing_key();
    let document = Document {
        config: plan.config.display().to_string(),
        signing_key: signing_key.display().to_string(),
        recovery_kit: plan.folder.join(KIT).display().to_string(),
        trust: plan.trust(&signing_key)?,
        signing_key_made: plan.settings.signing_key.is_none(),
        recipients: plan.recipients,
        secret_recipients: plan.secret_recipients,
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
        let settings = session.settings_without_file()?;
        refuse_identity(&settings)?;
        refuse_existing(&settings, &config, &folder)?;
        let variable = |name: &str| {
            let mut set = settings.network.environment.iter();
            let (_, value) = set.find(|(set, value)| set == name && !value.is_empty())?;
            Some(value.clone())
        };
        let stores = settings.stores()?.into_iter();
        let stores = stores.map(|url| url.completed(variable).map_err(bad_store));
        let stores = stores.collect::<Result<Vec<StoreUrl>, Failure>>()?;
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
        let signing = if settings.signing_key.is_some() {
            settings.signing_key()?
        } else {
            SigningKey::generate(&format!("sealift {}", settings.instance))?
        };
        let signers = signers(&settings, &signing)?;
        settings.time_zone()?;
        Ok(Self {
            config,
            folder,
            settings,
            stores,
            identity,
            recipients,
            secret_recipients,
            signing,
            signers,
        })
    }

    fn write(&self) -> Result<(), Failure> {
        for folder in self.stores.iter().filter_map(StoreUrl::folder) {
            create_private_folder(folder)?;
        }
        if !self.folder.as_os_str().is_empty() {
            create_private_folder(&self.folder)?;
        }
        let stores: Vec<StoreUrl> = self
            .stores
            .iter()
            .cloned()
            .map(StoreUrl::without_profile)
            .collect();
        let kit = Kit {
            folder: self.folder.join(KIT),
            stores: &stores,
            instance: self.settings.instance.to_string(),
            signers: &self.signers,
            identity: self.identity.as_ref().map(ExposeSecret::expose_secret),
            recipients: &self.recipients,
            secret_recipients: &self.secret_recipients,
        };
        kit.write()?;
        if self.settings.signing_key.is_none() {
            let key = self.signing.to_openssh()?;
            write_new(&self.signing_key(), 0o600, key.as_bytes())?;
        }
        if self.settings.trusted_signers.is_none() {
            let list = self.folder.join(SIGNERS);
            write_new(&list, 0o644, self.signers.as_bytes())?;
        }
        // Last, so that settings which are there are complete.
        let file = SettingsFile {
            settings: &self.settings,
            stores: &self.stores,
            recipients: &self.recipients,
            secret_recipients: &self.secret_recipients,
            folder: &self.folder,
        };
        Ok(write_new(&self.config, 0o644, file.text()?.as_bytes())?)
    }

    fn signing_key(&self) -> PathBuf {
        let own = || self.folder.join(SIGNING_KEY);
        self.settings.signing_key.clone().unwrap_or_else(own)
    }

    /// The command that is due if the list that was given leaves this host's key out. The list is
    /// somebody else's, so it is not changed here.
    fn trust(&self, signing_key: &Path) -> Result<Option<String>, Failure> {
        let Some(list) = &self.settings.trusted_signers else {
            return Ok(None);
        };
        let trusted = self.settings.trusts(&self.signing)?;
        Ok((!trusted).then(|| trust_command(signing_key, list)))
    }
}

/// An identity on the host would open what is sealed so that the host cannot open it.
fn refuse_identity(settings: &Settings) -> Result<(), Failure> {
    let Some(path) = &settings.identity else {
        return Ok(());
    };
    let failure = Failure::usage(
        "init takes no identity, since this host must not hold one; it takes the recipient that \
         belongs to it",
    );
    Err(failure.hint(format!(
        "sealift init --recipients \"$(age-keygen -y {})\"",
        path.display()
    )))
}

fn refuse_existing(settings: &Settings, config: &Path, folder: &Path) -> Result<(), Failure> {
    let made = [
        (SIGNING_KEY, settings.signing_key.is_none()),
        (SIGNERS, settings.trusted_signers.is_none()),
        (KIT, true),
    ];
    let made = made.into_iter().filter(|(_, made)| *made);
    let mut new = made
        .map(|(name, _)| folder.join(name))
        .chain([config.to_owned()]);
    match new.find(|path| path.exists()) {
        None => Ok(()),
        Some(there) => {
            let failure = Failure::usage(format!("{} is there already", there.display()));
            Err(failure.hint("keep it, or set up in another folder: --config DIR/sealift.toml"))
        }
    }
}

/// The signers that were given, and this host's own.
fn signers(settings: &Settings, signing: &SigningKey) -> Result<String, Failure> {
    let own = signing.allowed_signers_line()?;
    let Some(path) = &settings.trusted_signers else {
        return Ok(own);
    };
    let given = read_text("trusted signers", path)?;
    Ok(if settings.trusts(signing)? {
        given
    } else {
        format!("{}\n{own}", given.trim_end())
    })
}

fn summary(document: &Document) -> String {
    let Document {
        config,
        signing_key,
        recovery_kit: kit,
        ..
    } = document;
    let (opens, secrets) = if document.secret_recipients.is_empty() {
        ("the archives", "")
    } else {
        (
            "the dumps",
            " It does not open\nthe env file and other secrets: keep the identity that does with it.",
        )
    };
    let now = if document.identity_in_kit {
        format!(
            "NOW: move {kit}/ off this host. It holds the only identity that opens {opens};\n\
             this host needs none of it. Print {kit}/RECOVERY.md and keep it in a safe.{secrets}"
        )
    } else {
        format!("NOW: copy {kit}/ off this host, and keep your identity with it.")
    };
    let wrote = if document.signing_key_made {
        format!("wrote {config}, {signing_key} and {kit}/")
    } else {
        format!("wrote {config} and {kit}/, with the signing key {signing_key}")
    };
    let trust = match &document.trust {
        Some(command) => format!("Archives are believed only after this:\n{command}\n\n"),
        None => String::new(),
    };
    format!("{wrote}\n\n{now}\n\n{trust}Then: sealift doctor, and sealift push\n")
}
