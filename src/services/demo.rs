//! The demo: three nights of an instance, the loss of everything, and the way back.
//!
//! Promise: it is the real thing. The dumps were made by real servers, the operations are those of
//! every other command, and each claim it makes was checked a moment before.

use crate::formats::recipients::{
    KeyError, Recipients, Unwrapper, generate_identity, read_identities,
};
use crate::formats::signature::{SignatureError, SigningKey, TrustedSigners};
use crate::operations::catalog::{Catalog, load};
use crate::operations::choice::{NoSuchArchive, Selector, Trust};
use crate::operations::context::{Context, SharedIndex};
use crate::operations::fetch::{FetchError, FetchRequest, fetch};
use crate::operations::push::{PushError, PushKeys, PushRequest, Pushed, push};
use crate::operations::verify::{VerifyError, verify};
use crate::ports::backups::{AuthMode, BackupsError, pairs_of};
use crate::ports::files::{self, FileError};
use crate::ports::includes::Include;
use crate::ports::index::{Index, IndexError};
use crate::ports::plugins;
use crate::ports::store::{Network, NetworkSettings, Store, StoreError, StoreUrl};
use crate::words::cancel::Cancel;
use crate::words::class::Class;
use crate::words::clock::Clock;
use crate::words::ids::{BadName, Instance};
use crate::words::limits::ENV_FILE_MAX;
use crate::words::monitor::Monitor;
use age::secrecy::ExposeSecret;
use jiff::tz::TimeZone;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file of the demo cannot be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A pair was not archived.
    #[error(transparent)]
    Push(#[from] PushError),
    /// An archive was not fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The store was not verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys could not be made.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The signing key could not be made.
    #[error(transparent)]
    Signing(#[from] SignatureError),
    /// The index could not be made.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The archive that was pushed is not there.
    #[error(transparent)]
    Gone(#[from] NoSuchArchive),
    /// Something is not as it should be.
    #[error("the demo went wrong: {0}")]
    Wrong(String),
}

impl From<BadName> for DemoError {
    fn from(error: BadName) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl From<BackupsError> for DemoError {
    fn from(error: BackupsError) -> Self {
        Self::Push(error.into())
    }
}

/// A file that is part of this program.
type Sample = (&'static str, &'static [u8]);

macro_rules! sample {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../fixtures/nights/", $name)),
        )
    };
}

const NIGHTS: [[Sample; 2]; 3] = [
    [
        sample!("app-20260101-030000.dump"),
        sample!("zitadel-20260101-030000.dump"),
    ],
    [
        sample!("app-20260102-030000.dump"),
        sample!("zitadel-20260102-030000.dump"),
    ],
    [
        sample!("app-20260103-030000.dump"),
        sample!("zitadel-20260103-030000.dump"),
    ],
];

const OTHERS: [Sample; 4] = [
    sample!(".env.prod"),
    sample!("zitadel-secrets/bootstrap-key.json"),
    sample!("zitadel-secrets/oidc-client.json"),
    sample!("zitadel-secrets/sa-key.json"),
];

/// Runs the demo in an empty folder; `tell` is given each line for the operator.
///
/// # Errors
/// [`DemoError`] as soon as something is not as it should be.
pub async fn demo(
    folder: &Path,
    clock: Arc<dyn Clock>,
    monitor: Arc<dyn Monitor>,
    cancel: Cancel,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), DemoError> {
    let host = Host::set_up(folder)?;
    tell(format!(
        "An instance with its dumps and keys is in {}",
        host.folder.display()
    ));
    let context = host.context(clock, monitor, cancel).await?;
    for night in NIGHTS {
        tell(host.push_night(&context, night).await?);
    }
    let report = verify(&context).await?;
    if let Some(violation) = report.violations.first() {
        return Err(DemoError::Wrong(violation.message.clone()));
    }
    tell(format!(
        "verify: {} archives, {} blobs, all there and signed",
        report.archives, report.blobs
    ));
    host.lose_everything()?;
    tell("The host is lost. Left are the store and the identity in the recovery kit.".into());
    let out = folder.join("recovered");
    host.recover(&context, &out).await?;
    tell(format!(
        "fetch: everything is back, byte for byte, in {}",
        out.display()
    ));
    tell(format!(
        "       the commands that bring the instance back are in {}",
        out.join("RESTORE.md").display()
    ));
    host.damage_one_blob(&context).await?;
    let refused = host.recover(&context, &folder.join("refused")).await;
    let Err(DemoError::Fetch(FetchError::Open { component, source })) = refused else {
        return Err(DemoError::Wrong("a damaged blob was taken".into()));
    };
    tell(format!(
        "One bit was flipped in the store; fetch refuses the component {component}: {source}"
    ));
    Ok(())
}

/// The host of the demo, and its keys.
struct Host {
    folder: PathBuf,
    store: PathBuf,
    keys: PushKeys,
    signers: TrustedSigners,
    identity: age::secrecy::SecretString,
}

impl Host {
    fn set_up(folder: &Path) -> Result<Self, DemoError> {
        let (host, store) = (folder.join("host"), folder.join("store"));
        files::create_private_folder(&host.join("backups"))?;
        files::create_private_folder(&host.join("zitadel-secrets"))?;
        files::create_private_folder(&store)?;
        for (name, bytes) in OTHERS {
            files::write_new(&host.join(name), 0o600, bytes)?;
        }
        let (identity, recipient) = generate_identity();
        let recipients = || -> Result<Recipients, DemoError> {
            let resolved = plugins::resolve(std::slice::from_ref(&recipient))?;
            resolved.ok_or_else(|| DemoError::Wrong("no recipient".into()))
        };
        let signing = SigningKey::generate("sealift demo")?;
        let signers = TrustedSigners::parse(&signing.allowed_signers_line()?, None)?;
        let keys = PushKeys::new(recipients()?, recipients()?, signing)?;
        Ok(Self {
            folder: host,
            store,
            keys,
            signers,
            identity,
        })
    }

    /// A dump that was complete long before anybody looked.
    fn write_dump(&self, (name, bytes): Sample) -> Result<(), DemoError> {
        let path = self.folder.join("backups").join(name);
        files::write_new(&path, 0o600, bytes)?;
        let aged = fs::File::options().write(true).open(&path);
        let aged = aged.and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH));
        Ok(aged.map_err(FileError::new("write", &path))?)
    }

    async fn context(
        &self,
        clock: Arc<dyn Clock>,
        monitor: Arc<dyn Monitor>,
        cancel: Cancel,
    ) -> Result<Context, DemoError> {
        let url: StoreUrl =
            self.store.display().to_string().parse().map_err(
                |error: crate::ports::store::BadUrl| DemoError::Wrong(error.to_string()),
            )?;
        let instance: Instance = "demo".parse()?;
        let network = Network::new(
            NetworkSettings::default(),
            Arc::clone(&monitor),
            cancel.clone(),
        );
        let network = network.map_err(|error| DemoError::Wrong(error.to_string()))?;
        Ok(Context {
            store: Store::open(&url, &instance, &network).await?,
            index: SharedIndex::new(Index::in_memory()?, Arc::clone(&monitor)),
            signers: self.signers.clone(),
            clock,
            monitor,
            cancel,
        })
    }

    async fn push_night(&self, context: &Context, night: [Sample; 2]) -> Result<String, DemoError> {
        for dump in night {
            self.write_dump(dump)?;
        }
        let dump = self.folder.join("backups").join(night[0].0);
        let mut pairs = pairs_of(&[dump], AuthMode::Oidc, false)?;
        let pair = pairs
            .pop()
            .ok_or_else(|| DemoError::Wrong("no pair".into()))?;
        let captured_at = pair.stamp().to_zoned(TimeZone::UTC);
        let request = PushRequest {
            captured_at: captured_at
                .map_err(|e| DemoError::Wrong(e.to_string()))?
                .timestamp(),
            pair,
            auth_mode: AuthMode::Oidc,
            env: Some(files::read_secret(
                &self.folder.join(".env.prod"),
                ENV_FILE_MAX,
            )?),
            includes: vec![Include {
                name: "zitadel-secrets".parse()?,
                class: Class::Secrets,
                path: self.folder.join("zitadel-secrets"),
                skip: Vec::new(),
            }],
            accept_new_keys: false,
            reuse_max_age: None,
            tool: "sealift demo".into(),
        };
        let Pushed {
            sequence,
            plain_bytes,
            new_bytes,
            stored_bytes,
            captured_at,
            ..
        } = push(std::slice::from_ref(context), &[], &self.keys, request).await?;
        Ok(format!(
            "push: archive {sequence}, captured {captured_at}: {plain_bytes} bytes, of which \
             {new_bytes} are new; stored {stored_bytes}"
        ))
    }

    fn lose_everything(&self) -> Result<(), DemoError> {
        Ok(fs::remove_dir_all(&self.folder).map_err(FileError::new("remove", &self.folder))?)
    }

    /// Fetches the latest archive with nothing but the store and the identity.
    async fn recover(&self, context: &Context, out: &Path) -> Result<(), DemoError> {
        let catalog = Catalog::read(context).await?;
        let chosen = catalog.choose(&Selector::Latest, Trust::SoundOnly, "demo")?;
        let archive = load(context, chosen.archive.sequence).await;
        let archive = archive.map_err(|broken| DemoError::Wrong(broken.reason.to_string()))?;
        let identities: Vec<Unwrapper> = read_identities(self.identity.expose_secret().as_bytes())?;
        let request = FetchRequest {
            archive,
            identities,
            out: out.to_owned(),
            components: Vec::new(),
        };
        fetch(std::slice::from_ref(context), request).await?;
        for (name, bytes) in NIGHTS[2].into_iter().chain(OTHERS) {
            let path = out.join(name);
            if fs::read(&path).map_err(FileError::new("read", &path))? != bytes {
                return Err(DemoError::Wrong(format!("{name} is not what was archived")));
            }
        }
        Ok(())
    }

    async fn damage_one_blob(&self, context: &Context) -> Result<(), DemoError> {
        let catalog = Catalog::read(context).await?;
        let latest = catalog
            .choose(&Selector::Latest, Trust::SoundOnly, "demo")?
            .archive;
        let archive = load(context, latest.sequence).await;
        let archive = archive.map_err(|broken| DemoError::Wrong(broken.reason.to_string()))?;
        let blob = archive
            .components
            .first()
            .and_then(|component| component.blobs.first());
        let blob = blob.ok_or_else(|| DemoError::Wrong("an archive without blobs".into()))?;
        let path = self.store.join(context.store.blob_object(blob.id));
        let mut bytes = fs::read(&path).map_err(FileError::new("read", &path))?;
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
        }
        Ok(fs::write(&path, bytes).map_err(FileError::new("write", &path))?)
    }
}
