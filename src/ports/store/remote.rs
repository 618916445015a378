//! Stores that are a bucket of a service.
//!
//! Promise: what the address does not say comes from where the service's own tools look, and no
//! bucket is reached in the clear unless the address allows it. `object_store` retries nothing here:
//! attempts are counted in one place, for every service alike.

use super::aws;
use super::error::StoreError;
use super::network::Network;
use super::url::{
    BadUrl, BucketOptions, BucketUrl, ENDPOINT_VARIABLES, REGION_VARIABLES, Service, StoreUrl,
};
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{ObjectStore, RetryConfig};
use std::sync::Arc;

/// Where S3 keeps a bucket that nobody said a region of.
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket that can be used.
#[derive(Debug)]
pub(super) struct Remote {
    /// The objects below the prefix.
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The same, which deletes many objects with one request where the service can.
    pub(super) in_bulk: Arc<dyn ObjectStore>,
    /// Signs requests that `object_store` has no words for.
    pub(super) signer: Arc<dyn Signer>,
    prefix: ObjectPath,
}

impl Remote {
    /// An object's whole name in the bucket.
    pub(super) fn whole_name(&self, object: &str) -> ObjectPath {
        self.prefix
            .parts()
            .chain(ObjectPath::from(object).parts())
            .collect()
    }
}

/// Opens a bucket; nothing is asked of the service yet.
pub(super) async fn open(bucket: &BucketUrl, network: &Network) -> Result<Remote, StoreError> {
    let prefix = ObjectPath::from(bucket.prefix.as_str());
    let opened = match bucket.service {
        Service::S3 => s3(bucket, network).await,
        Service::Gcs => gcs(bucket, network),
        Service::Azure => azure(bucket, network),
    };
    let opened = opened.map_err(|reason| StoreError::Unusable {
        store: StoreUrl::Bucket(Box::new(bucket.clone())).to_string(),
        reason,
    })?;
    let below = |objects: Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
        if prefix.as_ref().is_empty() {
            objects
        } else {
            Arc::new(PrefixStore::new(objects, prefix.clone()))
        }
    };
    Ok(Remote {
        objects: below(opened.objects),
        in_bulk: below(opened.in_bulk),
        signer: opened.signer,
        prefix,
    })
}

/// A bucket, without a prefix so far.
struct Whole {
    objects: Arc<dyn ObjectStore>,
    in_bulk: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
}

type Opened = Result<Whole, String>;

fn both<S: ObjectStore + Signer>(built: object_store::Result<S>) -> Opened {
    let store = Arc::new(built.map_err(|error| match error {
        // Its own text says only whose error it is.
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    })?);
    Ok(Whole {
        objects: Arc::clone(&store) as _,
        in_bulk: Arc::clone(&store) as _,
        signer: store,
    })
}

/// An endpoint from elsewhere than the address has to be encrypted just as well.
fn endpoint(bucket: &BucketUrl, found: Option<&str>) -> Result<Option<String>, String> {
    let options = BucketOptions {
        endpoint: bucket.options.endpoint.clone().or(found.map(str::to_owned)),
        ..bucket.options.clone()
    };
    options
        .check_endpoint()
        .map_err(|error: BadUrl| error.to_string())?;
    Ok(options.endpoint)
}

fn no_retry() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

async fn s3(bucket: &BucketUrl, network: &Network) -> Opened {
    let options = &bucket.options;
    let variable = REGION_VARIABLES
        .iter()
        .find_map(|name| network.variable(name));
    let region = options.region.as_deref().or(variable);
    let own_server = ENDPOINT_VARIABLES
        .iter()
        .find_map(|name| network.variable(name));
    let is_elsewhere = options.endpoint.is_some() || own_server.is_some();
    // A server of one's own has no regions, but signatures need one.
    let region = region.or(is_elsewhere.then_some(DEFAULT_REGION));
    let config = aws::load(&network.http, options.profile.as_deref(), region).await;
    let region = config
        .region()
        .map_or(DEFAULT_REGION, |region| region.as_ref())
        .to_owned();
    let endpoint = endpoint(bucket, own_server.or(config.endpoint_url()))?;
    let path_style = options.path_style.unwrap_or(endpoint.is_some());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(!path_style)
        .with_credentials(Arc::new(aws::Chain::new(
            &config,
            options.profile.as_deref(),
            network.http.patience.clone(),
        )))
        .with_allow_http(options.allow_http)
        // An object that is deleted alone has an answer of its own, which says why not.
        .with_disable_bulk_delete(true)
        .with_retry(no_retry())
        .with_http_connector(network.http.for_store(options.allow_http));
    if let Some(endpoint) = endpoint {
        let endpoint = match endpoint.split_once("://") {
            Some((scheme, host)) if !path_style => format!("{scheme}://{}.{host}", bucket.bucket),
            _ => endpoint,
        };
        builder = builder.with_endpoint(endpoint);
    }
    if !options.without_checksums {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    let in_bulk = builder.clone().with_disable_bulk_delete(false);
    Ok(Whole {
        in_bulk: both(in_bulk.build())?.objects,
        ..both(builder.build())?
    })
}

fn gcs(bucket: &BucketUrl, network: &Network) -> Opened {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in network.variables("GOOGLE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = endpoint(bucket, None)? {
        builder = builder.with_base_url(&endpoint);
    }
    let builder = builder
        .with_bucket_name(&bucket.bucket)
        .with_retry(no_retry())
        .with_http_connector(network.http.for_store(bucket.options.allow_http));
    let account = network.variable("GOOGLE_APPLICATION_CREDENTIALS");
    both(builder.build()).map_err(|reason| match account {
        Some(file) if !reason.contains(file) => format!("{reason} in {file}"),
        _ => reason,
    })
}

fn azure(bucket: &BucketUrl, network: &Network) -> Opened {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in network.variables("AZURE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(account) = &bucket.options.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = endpoint(bucket, network.variable("AZURE_STORAGE_ENDPOINT"))? {
        builder = builder.with_endpoint(endpoint);
    }
    let builder = builder
        .with_container_name(&bucket.bucket)
        .with_allow_http(bucket.options.allow_http)
        .with_retry(no_retry())
        .with_http_connector(network.http.for_store(bucket.options.allow_http));
    both(builder.build())
}
