//! A place in a store of some kind, and all that tells one kind from another.

use crate::support::Outcome;
use crate::support::servers::{Bucket, Protocol, shared};
use sealift::{
    BlobEntry, BlobId, Cancel, Exclusivity, Instance, Network, NetworkSettings, Sealed, Store,
    StoreUrl, Unwatched,
};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(super) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The instance of the checks that need only one.
pub(super) const INSTANCE: &str = "lazyit";

/// For so many days moto locks what is written to a bucket with a lock.
pub(super) const LOCKED_DAYS: u32 = 30;

/// The profiles of AWS that [`write_profiles`] writes.
pub(super) const WRONG_KEY: &str = "wrong-key";
pub(super) const WRONG_SECRET: &str = "wrong-secret";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    Directory,
    Moto,
    MotoVersions,
    MotoLocked,
    S3sFs,
    Gcs,
    Azure,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Memory,
        Self::Directory,
        Self::Moto,
        Self::MotoVersions,
        Self::MotoLocked,
        Self::S3sFs,
        Self::Gcs,
        Self::Azure,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Directory => "directory",
            Self::Moto => "moto",
            Self::MotoVersions => "moto with versions",
            Self::MotoLocked => "moto with a lock",
            Self::S3sFs => "s3s-fs",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }

    pub(super) fn named(name: &str) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        Ok(all.find(|kind| kind.name() == name).ok_or("no such kind")?)
    }

    /// A fresh bucket of this kind; `None` for what is none.
    pub(super) fn bucket(self) -> Result<Option<Bucket>> {
        Ok(Some(match self {
            Self::Memory | Self::Directory => return Ok(None),
            Self::Moto => shared(Protocol::Moto)?.bucket()?,
            Self::MotoVersions => shared(Protocol::Moto)?.bucket_versioned()?,
            Self::MotoLocked => shared(Protocol::Moto)?.bucket_locked(LOCKED_DAYS)?,
            Self::S3sFs => shared(Protocol::S3sFs)?.bucket()?,
            Self::Gcs => shared(Protocol::Gcs)?.bucket()?,
            Self::Azure => shared(Protocol::Azure)?.bucket()?,
        }))
    }

    pub(super) fn is_bucket(self) -> bool {
        !matches!(self, Self::Memory | Self::Directory)
    }

    pub(super) fn is_moto(self) -> bool {
        matches!(self, Self::Moto | Self::MotoVersions | Self::MotoLocked)
    }

    /// What keeps a place in the chain: `s3s-fs` looks whether an object is there, and then writes.
    pub(super) fn exclusivity(self) -> Exclusivity {
        match self {
            Self::S3sFs => Exclusivity::ByCheck,
            _ => Exclusivity::ByStore,
        }
    }

    /// Whether a second look at the same store is a look at another: memory is its opener's alone.
    pub(super) fn is_lasting(self) -> bool {
        self != Self::Memory
    }

    /// One more than a listing shows on its first page.
    pub(super) fn page(self) -> usize {
        match self {
            Self::Azure => 5_001,
            _ => 1_001,
        }
    }
}

/// A place that only one check writes to.
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) url: StoreUrl,
    /// Where the check may keep files.
    pub(super) folder: PathBuf,
    pub(super) environment: Vec<(String, String)>,
}

impl Place {
    /// A place in this process, or in a folder.
    pub(super) fn here(kind: Kind, folder: &Path) -> Result<Self> {
        let url = match kind {
            Kind::Memory => StoreUrl::Memory,
            _ => StoreUrl::Directory(folder.join("store/prefix")),
        };
        if let Some(store) = url.folder() {
            fs::create_dir_all(store)?;
        }
        Self::of(kind, url, folder)
    }

    /// A place with the environment of this process.
    pub(super) fn of(kind: Kind, url: StoreUrl, folder: &Path) -> Result<Self> {
        Ok(Self {
            kind,
            url,
            folder: fs::canonicalize(folder)?,
            environment: std::env::vars().collect(),
        })
    }

    /// The store, for the usual instance.
    pub(super) async fn open(&self) -> Result<Store> {
        self.open_for(INSTANCE).await
    }

    /// The store, for an instance.
    pub(super) async fn open_for(&self, instance: &str) -> Result<Store> {
        self.open_at(&self.url, instance).await
    }

    /// The store below another prefix of the same bucket, or folder.
    pub(super) async fn open_below(&self, prefix: &str, instance: &str) -> Result<Store> {
        let mut url = self.url.clone();
        match &mut url {
            StoreUrl::Directory(folder) => {
                folder.set_file_name(prefix);
                fs::create_dir_all(folder)?;
            }
            StoreUrl::Bucket(bucket) => prefix.clone_into(&mut bucket.prefix),
            StoreUrl::Memory => {}
        }
        self.open_at(&url, instance).await
    }

    /// A store that is not quite this one.
    pub(super) async fn open_at(&self, url: &StoreUrl, instance: &str) -> Result<Store> {
        let instance: Instance = instance.parse()?;
        Ok(Store::open(url, &instance, &self.network()?).await?)
    }

    fn network(&self) -> Result<Network> {
        let settings = NetworkSettings {
            deadline: Duration::from_secs(20),
            environment: self.environment.clone(),
            ..NetworkSettings::default()
        };
        Ok(Network::new(
            settings,
            Arc::new(Unwatched),
            Cancel::default(),
        )?)
    }

    /// The same place, with another value of a variable.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut environment = self.environment.clone();
        environment.retain(|(known, _)| known != name);
        environment.push((name.to_owned(), value.to_owned()));
        Self {
            environment,
            url: self.url.clone(),
            folder: self.folder.clone(),
            kind: self.kind,
        }
    }

    /// The same place, with another profile of AWS.
    pub(super) fn with_profile(&self, profile: &str) -> Self {
        let mut place = self.with("", "");
        if let StoreUrl::Bucket(bucket) = &mut place.url {
            bucket.options.profile = Some(profile.to_owned());
        }
        place
    }
}

/// The environment of a process that works on a bucket.
pub(super) fn environment(bucket: &Bucket, folder: &Path) -> Vec<(String, String)> {
    let mut environment = bucket.env.clone();
    for (name, file) in [
        ("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS),
        ("AWS_CONFIG_FILE", "no-such-file"),
    ] {
        let path = folder.join(file).display().to_string();
        environment.push((name.to_owned(), path));
    }
    environment.push(("PATH".into(), std::env::var("PATH").unwrap_or_default()));
    // Whatever the machine knows of clouds, and the cloud that it may stand in, is out of reach.
    let nowhere = format!("127.0.0.1:{NOBODY}");
    environment.extend([
        ("HOME".into(), folder.display().to_string()),
        ("GCE_METADATA_HOST".into(), nowhere.clone()),
        ("GCE_METADATA_IP".into(), nowhere.clone()),
        ("AZURE_MSI_ENDPOINT".into(), format!("http://{nowhere}")),
    ]);
    environment
}

/// A port on which nobody listens: it is the first that no server gets by chance.
const NOBODY: u16 = 1;

const CREDENTIALS: &str = "aws-credentials";

/// Writes profiles for AWS that no server knows.
pub(super) fn write_profiles(folder: &Path) -> Outcome {
    let right = crate::support::servers::ACCESS_KEY;
    let mut text = String::new();
    for (profile, key) in [(WRONG_KEY, "nobody"), (WRONG_SECRET, right)] {
        text += &format!(
            "[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = not-the-secret\n"
        );
    }
    Ok(fs::write(folder.join(CREDENTIALS), text)?)
}

/// A blob whose bytes are noise that depends on the seed.
pub(super) fn blob(seed: u64, bytes: usize) -> Sealed {
    let mut noise = fastrand::Rng::with_seed(seed);
    let bytes: Vec<u8> = (0..bytes).map(|_| noise.u8(..)).collect();
    Sealed {
        id: BlobId::of(&bytes),
        bytes: bytes.into(),
        plain_bytes: 0,
    }
}

/// The blob, as a manifest names it.
pub(super) fn entry(blob: &Sealed) -> BlobEntry {
    BlobEntry {
        id: blob.id,
        sealed_bytes: blob.bytes.len() as u64,
        plain_bytes: blob.plain_bytes,
    }
}
