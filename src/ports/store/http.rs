//! The way to a server: the one place where bytes go over a network.
//!
//! Promise: nothing is sent or received faster than the limits allow; a request during which nothing
//! moves for too long ends; a large one that moves does not, however long it takes; and an error
//! answer becomes a [`Refusal`] with what the server said. There is one TLS stack, rustls with ring,
//! for stores and for the services that give out credentials.

use super::answer::AnswerHead;
use super::limiter::Limiter;
use super::patience::{Moved, Patience};
use super::refusal::{Answer, Refusal};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use reqwest::{Response, Url};
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};

/// A server that cannot be connected to by then is not there.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes go out in pieces of this size, so that a limit is a rate and not a burst.
const PIECE: usize = 16 * 1024;
/// No error answer is read any further.
const ANSWER_MAX: usize = 16 * 1024;

/// Uploads that are to be under way together wait so long for each other.
const TOGETHER: Duration = Duration::from_secs(2);
/// A server has read the head of a request by then.
const HEADS: Duration = Duration::from_millis(100);
/// The headers that the metadata servers of Google and of Azure ask for: the last place to get
/// credentials from, which most hosts do not have.
const METADATA: [&str; 2] = ["metadata-flavor", "metadata"];

/// An HTTP client with limits.
#[derive(Clone, Debug)]
pub(super) struct Http {
    pub(super) client: reqwest::Client,
    upload: Arc<Limiter>,
    download: Arc<Limiter>,
    pub(super) patience: Patience,
    /// The same client past any proxy, for what gives out the credentials of this very machine.
    pub(super) direct: reqwest::Client,
    /// Whether the store may be spoken to in the clear.
    may_be_clear: bool,
    /// Where those that are to be under way together wait for each other.
    start: Option<Arc<Barrier>>,
}

impl Http {
    /// A client that trusts the authorities of this machine, and those of a bundle.
    ///
    /// # Errors
    /// The text of what is wrong with the bundle.
    pub(super) fn new(
        ca_bundle: Option<&[u8]>,
        upload: Arc<Limiter>,
        download: Arc<Limiter>,
        patience: Patience,
    ) -> Result<Self, String> {
        let tls = tls(ca_bundle)?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(CONNECT)
                .tcp_user_timeout(patience.limit)
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
        };
        let built =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|error| error.to_string());
        Ok(Self {
            client: built(builder())?,
            direct: built(builder().no_proxy())?,
            may_be_clear: false,
            upload,
            download,
            patience,
            start: None,
        })
    }

    /// The same client for a store that may be spoken to in the clear, or not.
    pub(super) fn for_store(&self, may_be_clear: bool) -> Self {
        Self {
            may_be_clear,
            ..self.clone()
        }
    }

    /// The same client for so many uploads that are under way together: none of them sends its body
    /// before the server has had a look at the heads of all.
    pub(super) fn together(&self, uploads: usize) -> Self {
        let start = Some(Arc::new(Barrier::new(uploads)));
        Self {
            start,
            ..self.clone()
        }
    }

    /// Sends a request without a body, and takes whatever is answered.
    ///
    /// # Errors
    /// What stands in the way to the server.
    pub(super) async fn ask(&self, request: reqwest::Request) -> Result<Response, HttpError> {
        if request.url().scheme() == "http" && !self.may_be_clear {
            return Err(in_the_clear(request.url()));
        }
        let sent = self.patience.with(self.client.execute(request)).await?;
        sent.map_err(from_reqwest)
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// What `reqwest` says, or that nothing moved.
    async fn send(&self, request: HttpRequest) -> Result<Response, HttpError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let of_machine = METADATA
            .iter()
            .any(|name| parts.headers.contains_key(*name));
        if url.scheme() == "http" && !self.may_be_clear && !of_machine {
            return Err(in_the_clear(&url));
        }
        let client = if of_machine {
            &self.direct
        } else {
            &self.client
        };
        let moved = Moved::default();
        let wanted = Arc::new(());
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        if body.content_length() > 0 {
            // A body in pieces has no length of its own, and not every server takes one without.
            let length = HeaderValue::from(body.content_length());
            request
                .headers_mut()
                .entry(CONTENT_LENGTH)
                .or_insert(length);
            let body = self.paced(body, moved.clone(), Arc::downgrade(&wanted));
            *request.body_mut() = Some(reqwest::Body::wrap_stream(body));
        }
        let sent = self.patience.watching(&moved, client.execute(request));
        sent.await?.map_err(from_reqwest)
    }

    /// A body in small pieces, each of which is let through by the limit. It ends once nobody wants
    /// it any more: the connection would hold it in memory until a slow server has all of it.
    fn paced(
        &self,
        body: object_store::client::HttpRequestBody,
        moved: Moved,
        wanted: Weak<()>,
    ) -> impl Stream<Item = Result<Bytes, HttpError>> + use<> {
        let upload = Arc::clone(&self.upload);
        let frames = BodyStream::new(body)
            .filter_map(|frame| async { frame.map(|frame| frame.into_data().ok()).transpose() });
        let pieces = frames.flat_map(|bytes| {
            stream::iter(match bytes {
                Ok(bytes) => pieces(bytes).map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            })
        });
        let patience = self.patience.clone();
        let (mut sent, mut start) = (0, self.start.clone());
        pieces.then(move |piece| {
            let (upload, moved) = (Arc::clone(&upload), moved.clone());
            let start = start.take();
            sent += piece.as_ref().map_or(0, Bytes::len);
            let in_buffers = patience.in_buffers(sent);
            let is_wanted = wanted.strong_count() > 0;
            async move {
                let piece: Bytes = piece?;
                if !is_wanted {
                    return Err(unwanted());
                }
                moved.wait_for_us();
                if let Some(start) = start {
                    // Not for ever: one of them may have been refused.
                    let _ = timeout(TOGETHER, start.wait()).await;
                    sleep(HEADS).await;
                }
                upload.pass(piece.len()).await;
                moved.wait_for_them(in_buffers);
                Ok(piece)
            }
        })
    }

    /// The answer's body, let through by the limit, which ends if nothing comes any more.
    fn received(&self, response: Response) -> HttpResponse {
        let (download, patience) = (Arc::clone(&self.download), self.patience.clone());
        let response: http::Response<reqwest::Body> = response.into();
        let (parts, body) = response.into_parts();
        let frames = stream::try_unfold(body, move |mut body| {
            let (download, patience) = (Arc::clone(&download), patience.clone());
            async move {
                let Some(frame) = patience.with(body.frame()).await? else {
                    return Ok(None);
                };
                let frame = frame.map_err(from_reqwest)?;
                if let Some(bytes) = frame.data_ref() {
                    download.pass(bytes.len()).await;
                }
                Ok(Some((frame, body)))
            }
        });
        let body = HttpResponseBody::new(StreamBody::new(Box::pin(frames)));
        HttpResponse::from_parts(parts, body)
    }
}

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut headers = METADATA.iter();
        if !headers.any(|name| request.headers().contains_key(*name)) {
            return self.exchange(request).await;
        }
        match self.exchange(request).await {
            Ok(response) if response.status().is_success() => Ok(response),
            Ok(response) => Err(no_metadata(&response.status())),
            Err(error) => Err(lasting(&error).unwrap_or(error)),
        }
    }
}

impl Http {
    /// Sends a request, and makes an error of an answer that is one.
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(self.received(response));
        }
        let head = AnswerHead::of(&response);
        let response: http::Response<reqwest::Body> = response.into();
        let (parts, body) = response.into_parts();
        let body = read_answer(body, &self.patience).await?;
        match head.judge(&String::from_utf8_lossy(&body)) {
            None => Ok(HttpResponse::from_parts(parts, body.into())),
            Some(answer) => Err(HttpError::new(HttpErrorKind::Unknown, answer)),
        }
    }
}

impl HttpConnector for Http {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// A header of an answer, if it is text.
pub(super) fn header(response: &Response, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

fn pieces(bytes: Bytes) -> impl Iterator<Item = Bytes> {
    (0..bytes.len())
        .step_by(PIECE)
        .map(move |at| bytes.slice(at..bytes.len().min(at + PIECE)))
}

async fn read_answer(mut body: reqwest::Body, patience: &Patience) -> Result<Vec<u8>, HttpError> {
    let mut answer = Vec::new();
    while answer.len() < ANSWER_MAX {
        match patience.with(body.frame()).await? {
            Some(Ok(frame)) => answer.extend_from_slice(frame.data_ref().map_or(&[], |b| b)),
            // What was said so far will do.
            Some(Err(_)) | None => break,
        }
    }
    Ok(answer)
}

fn unwanted() -> HttpError {
    let (refusal, said) = (Refusal::Interrupted, "nobody waits for it any more".into());
    HttpError::new(HttpErrorKind::Interrupted, Answer { refusal, said })
}

fn in_the_clear(url: &Url) -> HttpError {
    let said = format!("{} is plain HTTP", url.origin().ascii_serialization());
    let refusal = Refusal::InTheClear;
    HttpError::new(HttpErrorKind::Unknown, Answer { refusal, said })
}

/// What it means that a metadata server failed, unless it is there and only busy.
fn lasting(error: &HttpError) -> Option<HttpError> {
    let answer = causes(error).find_map(|cause| cause.downcast_ref::<Answer>())?;
    (answer.refusal != Refusal::Unavailable).then(|| no_metadata(answer))
}

fn no_metadata(said: &dyn fmt::Display) -> HttpError {
    let said = format!("none are set, and there is no metadata server that has some: {said}");
    let refusal = Refusal::NoCredentials;
    HttpError::new(HttpErrorKind::Unknown, Answer { refusal, said })
}

fn from_reqwest(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let said = root(&error).to_string();
    let tls = causes(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    let refusal = if let Some(tls) = tls {
        match tls {
            rustls::Error::InvalidCertificate(_) => Refusal::Untrusted,
            _ if error.is_connect() => Refusal::NoTls,
            // TLS sees what has changed on its way.
            _ => Refusal::Corrupted,
        }
    } else if error.is_timeout() && !error.is_connect() {
        Refusal::Stalled
    } else if error.is_connect() {
        Refusal::Unreachable
    } else if error.is_builder() {
        Refusal::Other
    } else {
        Refusal::Interrupted
    };
    HttpError::new(HttpErrorKind::Unknown, Answer { refusal, said })
}

/// An error, what caused it, what caused that, and so on.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    // An I/O error hides the error that it was made of from `source`.
    let deeper = |error: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let error: &'a (dyn Error + 'static) = *error;
        let hidden = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match hidden {
            Some(hidden) => Some(hidden),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), deeper)
}

fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

/// The authorities that this machine trusts, or those of the browsers where it has none.
fn tls(ca_bundle: Option<&[u8]>) -> Result<rustls::ClientConfig, String> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(bundle) = ca_bundle {
        let mut found = 0;
        for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(bundle) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
            found += 1;
        }
        if found == 0 {
            return Err("it has no certificate in PEM format".into());
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
