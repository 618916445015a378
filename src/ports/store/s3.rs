//! Requests to S3 that `object_store` has no words for: those about versions.
//!
//! Promise: they go to the same bucket, with the same credentials and over the same client as all others,
//! so that the same limits, the same patience and the same refusals hold for them.

use super::aws::Chain;
use super::http::Http;
use object_store::CredentialProvider;
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody, HttpResponse, HttpService};
use reqwest::{Method, Url};
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

/// A bucket, and what signs requests to it.
#[derive(Debug)]
pub(super) struct S3 {
    pub(super) bucket: Url,
    pub(super) region: String,
    pub(super) credentials: Arc<Chain>,
    pub(super) http: Http,
}

impl S3 {
    /// Asks for something about the bucket, or about the object of a whole name. Names without a value
    /// are questions, as `versions`.
    ///
    /// # Errors
    /// That there are no credentials, or whatever stands in the way; a refusal is one.
    pub(super) async fn ask(
        &self,
        method: Method,
        object: Option<&str>,
        query: &[(&str, &str)],
    ) -> object_store::Result<HttpResponse> {
        let credential = self.credentials.get_credential().await?;
        let mut request = http::Request::builder()
            .method(method)
            .uri(self.address(object, query).as_str())
            .body(HttpRequestBody::empty())
            .map_err(generic)?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", &self.region);
        authorizer.try_authorize(&mut request, None)?;
        self.send(request).await
    }

    async fn send(&self, request: HttpRequest) -> object_store::Result<HttpResponse> {
        self.http.call(request).await.map_err(generic)
    }

    /// The address, encoded as signatures want it: once, and all but the unreserved characters.
    fn address(&self, object: Option<&str>, query: &[(&str, &str)]) -> Url {
        let mut url = self.bucket.clone();
        if let Some(object) = object {
            let folders: Vec<String> = object.split('/').map(encoded).collect();
            let bucket = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("{bucket}/{}", folders.join("/")));
        }
        let query = query.iter().map(|(name, value)| {
            if value.is_empty() {
                (*name).to_owned()
            } else {
                format!("{name}={}", encoded(value))
            }
        });
        url.set_query(Some(&query.collect::<Vec<_>>().join("&")));
        url
    }
}

/// An error of ours on its way through those of `object_store`.
pub(super) fn generic(
    error: impl Into<Box<dyn Error + Send + Sync + 'static>>,
) -> object_store::Error {
    object_store::Error::Generic {
        store: "",
        source: error.into(),
    }
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_unreserved_characters_are_encoded() {
        assert_eq!(encoded("a-b_c.d~9"), "a-b_c.d~9");
        assert_eq!(encoded("a/b +=é%2F"), "a%2Fb%20%2B%3D%C3%A9%252F");
    }
}
