//! Pings: an address is told how a run went, by the protocol of healthchecks.io.
//!
//! `POST URL/start` when a run begins, `POST URL` when it came to a good end, `POST URL/fail` when it
//! failed; the body is the end of the log. Source: <https://healthchecks.io/docs/http_api/>.
//!
//! Promise: it takes a minute or two at most, and no message shows more of the address than its host: whoever
//! knows it can use it.

use super::network::Network;
use crate::words::cause::with_cause;
use reqwest::{Method, Request, Url};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What a ping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// A run begins.
    Start,
    /// It came to a good end.
    Success,
    /// It failed.
    Failure,
}

/// Nobody was told.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// The address is none.
    #[error("the address of the ping is none")]
    BadUrl,
    /// The server cannot be asked.
    #[error("cannot ping {host}: {reason}")]
    Unreachable {
        /// The server.
        host: String,
        /// Why.
        reason: String,
    },
    /// The server says that the address is another one.
    #[error(
        "{host} answers a ping with {status}, a redirect, which is not followed: \
         set the address that it leads to"
    )]
    Redirected {
        /// The server.
        host: String,
        /// Its answer.
        status: u16,
    },
    /// The server does not know the address.
    #[error("{host} answers a ping with {status}")]
    Refused {
        /// The server.
        host: String,
        /// Its answer.
        status: u16,
    },
}

/// It is tried so often.
const ATTEMPTS: u32 = 3;
/// An answer has to come by then.
const ANSWER: Duration = Duration::from_secs(20);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// Such services keep no more of a body than this, in bytes.
const BODY_MAX: usize = 10_000;

impl Network {
    /// Sends a ping, with the end of a log.
    ///
    /// # Errors
    /// [`PingError`].
    pub async fn ping(&self, url: &str, ping: Ping, log: &str) -> Result<(), PingError> {
        let url = address(url, ping)?;
        let mut attempt = 1;
        loop {
            let sent = self.send_ping(&url, tail(log)).await;
            let is_final = match &sent {
                Ok(()) | Err(PingError::Redirected { .. }) => true,
                Err(PingError::Refused { status, .. }) => *status < 500 && *status != 429,
                Err(_) => false,
            };
            if is_final || attempt == ATTEMPTS {
                return sent;
            }
            attempt += 1;
            sleep(PAUSE).await;
        }
    }

    async fn send_ping(&self, url: &Url, body: &str) -> Result<(), PingError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut request = Request::new(Method::POST, url.clone());
        *request.body_mut() = Some(body.to_owned().into());
        // What the operator wrote is what is meant, in the clear or not.
        let http = self.http.for_store(true);
        let answer = match timeout(ANSWER, http.ask(request)).await {
            Ok(Ok(answer)) => answer.status(),
            Ok(Err(error)) => {
                let reason = with_cause(&error);
                return Err(PingError::Unreachable { host, reason });
            }
            Err(_) => {
                let reason = format!("there was no answer within {} s", ANSWER.as_secs());
                return Err(PingError::Unreachable { host, reason });
            }
        };
        if answer.is_success() {
            return Ok(());
        }
        let (is_redirect, status) = (answer.is_redirection(), answer.as_u16());
        if is_redirect {
            return Err(PingError::Redirected { host, status });
        }
        Err(PingError::Refused { host, status })
    }
}

/// Whether pings can be sent to an address, as far as it says so itself.
///
/// # Errors
/// [`PingError::BadUrl`], which does not show the address.
pub fn check_ping_address(url: &str) -> Result<(), PingError> {
    address(url, Ping::Success).map(|_| ())
}

/// The address of what is to be said.
fn address(url: &str, ping: Ping) -> Result<Url, PingError> {
    let mut url = Url::parse(url).map_err(|_| PingError::BadUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(PingError::BadUrl);
    }
    let end = match ping {
        Ping::Start => Some("start"),
        Ping::Success => None,
        Ping::Failure => Some("fail"),
    };
    let mut path = url.path_segments_mut().map_err(|()| PingError::BadUrl)?;
    path.pop_if_empty().extend(end);
    drop(path);
    Ok(url)
}

/// The end of a text, of whole characters.
fn tail(text: &str) -> &str {
    let mut start = text.len().saturating_sub(BODY_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_protocol() -> Result<(), PingError> {
        let case = |url: &str, ping, expected: &str| -> Result<(), PingError> {
            assert_eq!(address(url, ping)?.as_str(), expected);
            Ok(())
        };
        let plain = "https://ping.example/1-2-3";
        case(plain, Ping::Start, "https://ping.example/1-2-3/start")?;
        case(plain, Ping::Success, plain)?;
        case(plain, Ping::Failure, "https://ping.example/1-2-3/fail")?;
        let more = "http://ping.example/key/name/?create=1";
        case(
            more,
            Ping::Failure,
            "http://ping.example/key/name/fail?create=1",
        )?;
        for none in [
            "",
            "mailto:x",
            "ftp://ping.example/1",
            "ping.example/1",
            "https://",
            "https://ping.example:port/1",
            "https://ping example/1",
        ] {
            let checked = check_ping_address(none);
            assert!(matches!(checked, Err(PingError::BadUrl)), "{none}");
        }
        check_ping_address(more)?;
        Ok(())
    }

    #[test]
    fn a_tail_is_of_whole_characters() {
        assert_eq!(tail("short"), "short");
        let long = "€".repeat(5000);
        assert!(tail(&long).len() <= BODY_MAX && tail(&long).len() > BODY_MAX - 3);
    }
}
