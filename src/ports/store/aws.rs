//! Credentials for S3: the chain of AWS's own tools (environment, profile with single sign-on and
//! roles, web identity, ECS, instance metadata), over this program's one HTTP client.

use super::http::{Http, causes};
use super::patience::Patience;
use super::refusal::{Answer, Refusal};
use async_trait::async_trait;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use jiff::{SignedDuration, Timestamp};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Credentials are renewed this long before they expire: a request may take its time.
const BEFORE_EXPIRY: SignedDuration = SignedDuration::from_mins(5);
/// Credentials without an end are asked for again after this time: a file may have changed.
const RENEWAL: SignedDuration = SignedDuration::from_mins(15);

/// What the environment and the profile say of AWS.
pub(super) async fn load(http: &Http, profile: Option<&str>, region: Option<&str>) -> SdkConfig {
    let (client, direct) = (http.client.clone(), http.direct.clone());
    let http = http_client_fn(move |settings: &HttpConnectorSettings, _| {
        SharedHttpConnector::new(Adapter {
            client: client.clone(),
            direct: direct.clone(),
            timeout: match (settings.connect_timeout(), settings.read_timeout()) {
                (None, None) => None,
                (connect, read) => Some(connect.unwrap_or_default() + read.unwrap_or_default()),
            },
        })
    });
    let defaults = aws_config::defaults(BehaviorVersion::v2026_01_12());
    let mut loader = defaults.http_client(http.clone());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        // Else the chain asks for it, up to the metadata of an instance that is none.
        loader = loader.region(aws_config::Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    let Some(profile) = profile else {
        return config;
    };
    // The chain takes keys from the environment before those of a profile, even of one that was
    // asked for by name.
    let provider_config = ProviderConfig::default()
        .with_http_client(http)
        .with_region(config.region().cloned());
    let provider = ProfileFileCredentialsProvider::builder()
        .profile_name(profile)
        .configure(&provider_config)
        .build();
    config
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .build()
}

/// The chain, and what it gave last.
#[derive(Debug)]
pub(super) struct Chain {
    provider: Option<SharedCredentialsProvider>,
    /// The profile that was asked for.
    profile: Option<String>,
    /// A program that gives out credentials may never come back.
    patience: Patience,
    last: Mutex<Option<(Arc<AwsCredential>, Timestamp)>>,
}

impl Chain {
    pub(super) fn new(config: &SdkConfig, profile: Option<&str>, patience: Patience) -> Self {
        Self {
            patience,
            provider: config.credentials_provider(),
            profile: profile.map(str::to_owned),
            last: Mutex::default(),
        }
    }
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        let now = Timestamp::now();
        if let Some((credential, until)) = &*last
            && now < *until
        {
            return Ok(Arc::clone(credential));
        }
        let provider = self.provider.as_ref().ok_or_else(|| self.refused(None))?;
        let found = self.patience.with(provider.provide_credentials()).await;
        let found = found.map_err(|error| object_store::Error::Generic {
            store: "the credentials",
            source: Box::new(error),
        })?;
        let found = found.map_err(|error| self.refused(Some(&error)))?;
        let parts = [
            Some(found.access_key_id()),
            Some(found.secret_access_key()),
            found.session_token(),
        ];
        let is_odd =
            |part: &str| part.is_empty() || part.bytes().any(|byte| !byte.is_ascii_graphic());
        if parts.into_iter().flatten().any(is_odd) {
            return Err(self.refusal(
                Refusal::WrongCredentials,
                "a key is empty or has a character that no key has, such as the end of a line",
            ));
        }
        let expiry = found.expiry().and_then(|at| Timestamp::try_from(at).ok());
        let until = expiry.map_or(now + RENEWAL, |at| at - BEFORE_EXPIRY);
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *last = Some((Arc::clone(&credential), until));
        Ok(credential)
    }
}

impl Chain {
    fn refused(&self, error: Option<&(dyn Error + 'static)>) -> object_store::Error {
        let last = error.and_then(|error| causes(error).last());
        let said = last.map_or_else(|| "no way to them is set up".into(), ToString::to_string);
        // What follows is a report of every link of the chain.
        let (said, report) = said.split_once(". Attempted:").unwrap_or((&said, ""));
        let has_expired = [said, report].iter().any(|text| text.contains("xpired"));
        let refusal = if has_expired {
            Refusal::Expired
        } else {
            Refusal::NoCredentials
        };
        self.refusal(refusal, said)
    }

    fn refusal(&self, refusal: Refusal, said: &str) -> object_store::Error {
        let said = match &self.profile {
            Some(profile) => format!("{said} (the address names the profile {profile:?})"),
            None => said.to_owned(),
        };
        object_store::Error::Unauthenticated {
            path: String::new(),
            source: Box::new(Answer { refusal, said }),
        }
    }
}

/// This program's HTTP client, as AWS's chain takes one.
#[derive(Clone, Debug)]
struct Adapter {
    client: reqwest::Client,
    /// Past any proxy.
    direct: reqwest::Client,
    timeout: Option<Duration>,
}

impl HttpConnector for Adapter {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let adapter = self.clone();
        HttpConnectorFuture::new(async move { adapter.send(request).await })
    }
}

impl Adapter {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let user = |error: Box<dyn Error + Send + Sync>| ConnectorError::user(error);
        let request = request
            .try_into_http1x()
            .map_err(|error| user(error.into()))?;
        // What the chain sends is small, and in memory.
        let request = request.map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
        let mut request =
            reqwest::Request::try_from(request).map_err(|error| user(error.into()))?;
        *request.timeout_mut() = self.timeout;
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                ConnectorError::timeout(error.into())
            } else {
                ConnectorError::io(error.into())
            }
        };
        let client = if request.url().scheme() == "http" {
            // Only a machine's or a container's own metadata is asked for in the clear.
            &self.direct
        } else {
            &self.client
        };
        let response = client.execute(request).await.map_err(failed)?;
        let mut answer = http::Response::builder().status(response.status());
        for (name, value) in response.headers() {
            answer = answer.header(name, value);
        }
        let body = response.bytes().await.map_err(failed)?;
        let answer = answer.body(SdkBody::from(body));
        let answer = answer.map_err(|error| ConnectorError::other(error.into(), None))?;
        HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::cancel::Cancel;
    use aws_credential_types::Credentials;
    use aws_credential_types::credential_fn::provide_credentials_fn;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::SystemTime;

    /// How often the chain is asked for two requests, with credentials that last so long.
    async fn asked(lasts: Option<Duration>) -> Result<u32, object_store::Error> {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let provider = provide_credentials_fn(move || {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            let expiry = lasts.map(|lasts| SystemTime::now() + lasts);
            let key = format!("key-{number}");
            std::future::ready(Ok(Credentials::new(key, "secret", None, expiry, "test")))
        });
        let chain = Chain {
            provider: Some(SharedCredentialsProvider::new(provider)),
            profile: None,
            patience: Patience {
                limit: Duration::from_mins(1),
                cancel: Cancel::default(),
            },
            last: Mutex::default(),
        };
        assert_eq!(chain.get_credential().await?.key_id, "key-0");
        chain.get_credential().await?;
        Ok(asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn credentials_are_renewed_before_they_expire() -> Result<(), object_store::Error> {
        assert_eq!(asked(None).await?, 1);
        assert_eq!(asked(Some(Duration::from_mins(6))).await?, 1);
        assert_eq!(asked(Some(Duration::from_mins(4))).await?, 2);
        Ok(())
    }
}
