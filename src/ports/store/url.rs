//! Where a store is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address of a store: a path, or a `file://` URL with an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl(PathBuf);

/// An address that is none of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// The address is empty.
    #[error("the address of a store is empty")]
    Empty,
    /// There is more than one.
    #[error("{0:?} is more than one store, and this sealift writes to one")]
    Several(String),
    /// This program has no store of the kind.
    #[error("{0:?} is not a store that this sealift can use (a path or file:///path)")]
    Unsupported(String),
}

impl StoreUrl {
    /// The folder of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same store, with a relative path taken from a folder.
    #[must_use]
    pub fn resolve(self, base: &Path) -> Self {
        Self::normal(&base.join(self.0))
    }

    /// One store has one address, whatever slashes and dots it was written with.
    fn normal(path: &Path) -> Self {
        Self(path.components().collect())
    }
}

impl FromStr for StoreUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if text.is_empty() {
            return Err(BadUrl::Empty);
        }
        if text.contains(',') {
            return Err(BadUrl::Several(text.to_owned()));
        }
        let path = match text.split_once("://") {
            None => text,
            Some(("file", path)) if path.starts_with('/') => path,
            Some(_) => return Err(BadUrl::Unsupported(text.to_owned())),
        };
        Ok(Self::normal(Path::new(path)))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.0.is_absolute() { "file://" } else { "" };
        write!(f, "{scheme}{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_url_are_one_store() {
        let path: Result<StoreUrl, _> = "/mnt//./backup/".parse();
        assert_eq!(path, "file:///mnt/backup".parse());
        assert_eq!(
            path.map(|url| url.to_string()),
            Ok("file:///mnt/backup".into())
        );
    }

    #[test]
    fn other_schemes_are_named() {
        for bad in ["ftp://host/x", "/a,/b", "file://relative", ""] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad:?} was taken");
        }
    }
}
