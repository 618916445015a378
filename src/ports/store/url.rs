//! Where a store is: one text that says everything about it but secrets.
//!
//! Promise: a store has one address, however it was written; what an address asks for is checked
//! before anything is opened, and what it does not ask for, plain HTTP above all, is not done.

use reqwest::Url;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// The address of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A folder: a path, or a `file://` URL with an absolute path.
    Directory(PathBuf),
    /// A bucket or container of a service.
    Bucket(Box<BucketUrl>),
    /// The memory of this process, for tests.
    Memory,
}

/// A place in a bucket: `s3://bucket/prefix?option=value&…`, likewise `gs://` and `az://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketUrl {
    /// The protocol that is spoken.
    pub service: Service,
    /// The bucket's or container's name.
    pub bucket: String,
    /// The folder in it; empty for its root.
    pub prefix: String,
    /// What is not as usual about it.
    pub options: BucketOptions,
}

/// What an address may say about a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketOptions {
    /// The server, if it is not the service's own.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whether the bucket is a folder of the server and not a host name in front of it.
    pub path_style: Option<bool>,
    /// Whether uploads go without a SHA-256 of their own, for servers that refuse it.
    pub without_checksums: bool,
    /// Whether the connection may be in the clear.
    pub allow_http: bool,
    /// The profile in AWS's settings that has the credentials.
    pub profile: Option<String>,
    /// The storage account of Azure.
    pub account: Option<String>,
}

/// Where AWS's tools look for a server that is not Amazon's.
pub(super) const ENDPOINT_VARIABLES: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
/// Where they look for the region.
pub(super) const REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The protocols of object stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3 and its look-alikes.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// An address that is none of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// The address is empty.
    #[error("the address of a store is empty")]
    Empty,
    /// This program has no store of the kind.
    #[error(
        "{0:?} is not a store that this sealift can use (a path, file:///path, s3://bucket/prefix, \
         gs://bucket/prefix or az://container/prefix)"
    )]
    Unsupported(String),
    /// It names no bucket, or more than a bucket and a folder.
    #[error("{0:?} does not name a bucket and a folder in it, as {1}://bucket/prefix")]
    NoBucket(String, Service),
    /// An option that this kind of store does not have.
    #[error("{address:?} has the option {option:?}; {service} has {known}")]
    UnknownOption {
        /// The address, without its options.
        address: String,
        /// The option.
        option: String,
        /// The kind of store.
        service: Service,
        /// Those that it has.
        known: String,
    },
    /// An option with a value that it cannot have.
    #[error("the option {option} cannot be {value:?}; it is {expected}")]
    BadValue {
        /// The option.
        option: String,
        /// The value.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// The server is spoken to in the clear, which nobody has asked for.
    #[error("{0} is plain HTTP, which anybody on the way can read and change")]
    PlainHttp(String),
}

impl Service {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &[
                "endpoint",
                "region",
                "path_style",
                "checksums",
                "allow_http",
                "profile",
            ],
            Self::Gcs => &["endpoint", "allow_http"],
            Self::Azure => &["account", "endpoint", "allow_http"],
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        })
    }
}

impl StoreUrl {
    /// The folder of the store, if it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Bucket(_) | Self::Memory => None,
        }
    }

    /// The same store, with a relative path taken from a folder.
    #[must_use]
    pub fn resolve(self, base: &Path) -> Self {
        match self {
            Self::Directory(path) => Self::normal(&base.join(path)),
            other => other,
        }
    }

    /// The same store, with what the environment says of it in the address: elsewhere the environment
    /// is another.
    ///
    /// # Errors
    /// [`BadUrl`] if the environment names a server that is spoken to in the clear.
    pub fn completed(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadUrl> {
        if let Self::Bucket(bucket) = &mut self {
            let BucketUrl {
                service, options, ..
            } = &mut **bucket;
            let first = |names: [&str; 2]| names.iter().find_map(|name| variable(name));
            if *service == Service::S3 {
                let endpoint = || first(ENDPOINT_VARIABLES);
                options.endpoint = options.endpoint.take().or_else(endpoint);
                options.region = options.region.take().or_else(|| first(REGION_VARIABLES));
            }
            if *service == Service::Azure {
                let account = || variable("AZURE_STORAGE_ACCOUNT_NAME");
                options.account = options.account.take().or_else(account);
            }
            options.check_endpoint()?;
        }
        Ok(self)
    }

    /// The same store, on a machine that does not have this one's profiles.
    #[must_use]
    pub fn without_profile(mut self) -> Self {
        if let Self::Bucket(bucket) = &mut self {
            bucket.options.profile = None;
        }
        self
    }

    /// What makes it this store and no other: of two addresses with one identity, one at most says
    /// more about how to get there.
    #[must_use]
    pub fn identity(&self) -> String {
        match self {
            Self::Bucket(bucket) => {
                let mut bucket = bucket.clone();
                bucket.options = BucketOptions {
                    endpoint: bucket.options.endpoint,
                    account: bucket.options.account,
                    ..BucketOptions::default()
                };
                bucket.to_string()
            }
            other => other.to_string(),
        }
    }

    /// One folder has one address, whatever slashes and dots it was written with.
    fn normal(path: &Path) -> Self {
        let is_real = |part: &Component<'_>| *part != Component::CurDir;
        Self::Directory(path.components().filter(is_real).collect())
    }
}

impl FromStr for StoreUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if text.is_empty() {
            return Err(BadUrl::Empty);
        }
        let service = match text.split_once("://") {
            None => return Ok(Self::normal(Path::new(text))),
            Some(("file", path)) if path.starts_with('/') => {
                return Ok(Self::normal(Path::new(path)));
            }
            Some(("s3", _)) => Service::S3,
            Some(("gs", _)) => Service::Gcs,
            Some(("az", _)) => Service::Azure,
            Some(_) => return Err(BadUrl::Unsupported(shown(text))),
        };
        BucketUrl::parse(service, text).map(|bucket| Self::Bucket(Box::new(bucket)))
    }
}

/// An address as it may be repeated: without options, and without what stands before an `@`, either
/// of which may be a secret in the wrong place.
fn shown(text: &str) -> String {
    let address = text.split(['?', '#']).next().unwrap_or_default();
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => address.to_owned(),
    }
}

impl BucketUrl {
    fn parse(service: Service, text: &str) -> Result<Self, BadUrl> {
        let address = &shown(text);
        let no_bucket = || BadUrl::NoBucket(address.to_owned(), service);
        let url = Url::parse(text).map_err(|_| no_bucket())?;
        let bucket = url.host_str().unwrap_or_default().to_owned();
        let prefix = url.path().trim_matches('/').to_owned();
        let is_odd = !url.username().is_empty()
            || url.password().is_some()
            || url.port().is_some()
            || url.fragment().is_some()
            || prefix.contains("//")
            || prefix.contains('%');
        if bucket.is_empty() || is_odd {
            return Err(no_bucket());
        }
        let mut options = BucketOptions::default();
        for (option, value) in url.query_pairs() {
            if !service.options().contains(&option.as_ref()) {
                return Err(BadUrl::UnknownOption {
                    address: address.to_owned(),
                    option: option.into_owned(),
                    service,
                    known: service.options().join(", "),
                });
            }
            options.set(&option, &value)?;
        }
        options.check_endpoint()?;
        Ok(Self {
            service,
            bucket,
            prefix,
            options,
        })
    }
}

impl BucketOptions {
    fn set(&mut self, option: &str, value: &str) -> Result<(), BadUrl> {
        let bad = |expected| BadUrl::BadValue {
            option: option.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let switch = || match value {
            "true" | "on" => Ok(true),
            "false" | "off" => Ok(false),
            _ => Err(bad("true or false")),
        };
        if value.is_empty() {
            return Err(bad("not empty"));
        }
        match option {
            "endpoint" => self.endpoint = Some(value.trim_end_matches('/').to_owned()),
            "region" => self.region = Some(value.to_owned()),
            "path_style" => self.path_style = Some(switch()?),
            "checksums" => self.without_checksums = !switch()?,
            "allow_http" => self.allow_http = switch()?,
            "profile" => self.profile = Some(value.to_owned()),
            _ => self.account = Some(value.to_owned()),
        }
        Ok(())
    }

    /// The server's address must be one, and encrypted unless that was waived.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub(super) fn check_endpoint(&self) -> Result<(), BadUrl> {
        let Some(endpoint) = &self.endpoint else {
            return Ok(());
        };
        let bad = || BadUrl::BadValue {
            option: "endpoint".into(),
            value: shown(endpoint),
            expected: "a URL without a user, as https://host:port",
        };
        let url = Url::parse(endpoint).map_err(|_| bad())?;
        let is_number = url.host_str().is_some_and(|host| {
            host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
        });
        if self.path_style == Some(false) && is_number {
            return Err(BadUrl::BadValue {
                option: "path_style".into(),
                value: "false".into(),
                expected: "true for an endpoint in numbers, which no name can stand in front of",
            });
        }
        match url.scheme() {
            _ if !url.has_host() || url.password().is_some() || !url.username().is_empty() => {
                Err(bad())
            }
            "https" => Ok(()),
            "http" if self.allow_http => Ok(()),
            "http" => Err(BadUrl::PlainHttp(endpoint.clone())),
            _ => Err(bad()),
        }
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let switch = |name, on: Option<bool>| on.map(|on| (name, on.to_string()));
        let text = |name, text: &Option<String>| text.clone().map(|text| (name, text));
        let pairs = [
            text("account", &self.account),
            text("endpoint", &self.endpoint),
            text("region", &self.region),
            switch("path_style", self.path_style),
            switch("checksums", self.without_checksums.then_some(false)),
            switch("allow_http", self.allow_http.then_some(true)),
            text("profile", &self.profile),
        ];
        pairs.into_iter().flatten().collect()
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service, self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        for (place, (option, value)) in self.options.pairs().into_iter().enumerate() {
            let mark = if place == 0 { '?' } else { '&' };
            // What would end a value, or the address in a list of several.
            let value = value
                .replace('%', "%25")
                .replace('&', "%26")
                .replace('#', "%23")
                .replace('+', "%2B")
                .replace(',', "%2C");
            write!(f, "{mark}{option}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) if path.is_absolute() => write!(f, "file://{}", path.display()),
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Bucket(bucket) => bucket.fmt(f),
            Self::Memory => f.write_str("memory"),
        }
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
    fn a_bucket_is_written_as_it_was_read() {
        for same in [
            "s3://bucket",
            "s3://My_Bucket.x/a/b",
            "s3://b/p?endpoint=https://minio.example:9000&region=eu-1&path_style=false&checksums=false&profile=a%26b%2Cc",
            "gs://b/p",
            "az://c/p?account=me&endpoint=http://127.0.0.1:1/me&allow_http=true",
        ] {
            let url: Result<StoreUrl, _> = same.parse();
            assert_eq!(url.map(|url| url.to_string()), Ok(same.to_owned()));
        }
        let slash: Result<StoreUrl, _> = "s3://bucket/p/?endpoint=https://x/".parse();
        assert_eq!(
            slash.map(|url| url.to_string()),
            Ok("s3://bucket/p?endpoint=https://x".into())
        );
    }

    #[test]
    fn how_to_get_there_is_no_part_of_what_a_store_is() -> Result<(), BadUrl> {
        let one: StoreUrl = "s3://b/p?endpoint=https://x&region=eu-1&checksums=off".parse()?;
        let same: StoreUrl = "s3://b/p?endpoint=https://x&profile=y".parse()?;
        let other: StoreUrl = "s3://b/p?endpoint=https://z&region=eu-1".parse()?;
        assert_eq!(one.identity(), same.identity());
        assert_ne!(one.identity(), other.identity());
        Ok(())
    }

    #[test]
    fn what_the_environment_says_becomes_part_of_the_address() -> Result<(), BadUrl> {
        let variable = |name: &str| match name {
            "AWS_ENDPOINT_URL" => Some("https://minio.example".to_owned()),
            "AWS_REGION" => Some("eu-9".to_owned()),
            "AZURE_STORAGE_ACCOUNT_NAME" => Some("me".to_owned()),
            _ => None,
        };
        for (given, complete) in [
            (
                "s3://b/p",
                "s3://b/p?endpoint=https://minio.example&region=eu-9",
            ),
            (
                "s3://b/p?endpoint=https://x&region=y",
                "s3://b/p?endpoint=https://x&region=y",
            ),
            ("az://c/p", "az://c/p?account=me"),
            ("gs://b", "gs://b"),
        ] {
            let url: StoreUrl = given.parse()?;
            assert_eq!(url.completed(variable)?.to_string(), complete);
        }
        Ok(())
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "ftp://host/x",
            "file://relative",
            "s3://",
            "s3:///prefix",
            "s3://key:secret@bucket/p",
            "s3://bucket:9000/p",
            "s3://bucket/p#x",
            "s3://bucket/a//b",
            "s3://bucket?secret_access_key=x",
            "gs://bucket?region=x",
            "s3://bucket?path_style=perhaps",
            "s3://bucket?region=",
            "s3://bucket?endpoint=minio.example",
            "s3://bucket?endpoint=ftp://minio.example",
            "s3://bucket?endpoint=http://minio.example",
            "s3://bucket?endpoint=https://10.0.0.1:9000&path_style=false",
        ] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad:?} was taken");
        }
    }
}
