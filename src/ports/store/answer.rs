//! What a server says in an error answer: its status, its headers and its words.
//!
//! Promise: what comes of it is one line, and names the place that the server names.

use super::http::header;
use super::refusal::{Answer, Refusal};
use jiff::Timestamp;
use reqwest::{Response, StatusCode};
use std::time::Duration;

/// Servers refuse requests whose date is farther from theirs than this.
const SKEW_MAX: Duration = Duration::from_mins(15);

/// What the head of an error answer says.
pub(super) struct AnswerHead {
    status: StatusCode,
    /// How far the clocks are apart.
    apart: Option<Duration>,
    /// The code, from a service that has a header for it.
    code: Option<String>,
    /// The region in which the bucket is.
    region: Option<String>,
    /// Where the server would rather be asked.
    location: Option<String>,
}

impl AnswerHead {
    pub(super) fn of(response: &Response) -> Self {
        Self {
            status: response.status(),
            apart: apart(response),
            code: header(response, "x-ms-error-code"),
            region: header(response, "x-amz-bucket-region"),
            location: header(response, "location"),
        }
    }

    /// What the answer means with its body; `None` if it says something of an object.
    pub(super) fn judge(self, text: &str) -> Option<Answer> {
        let status = self.status;
        let code = self.code.or_else(|| code(text)).unwrap_or_default();
        let refusal = match Refusal::of(status.as_u16(), &code)? {
            // Some servers call it a wrong signature.
            _ if status.as_u16() == 403 && self.apart.is_some_and(|by| by > SKEW_MAX) => {
                Refusal::ClockSkew
            }
            Refusal::Moved if self.region.is_some() => Refusal::WrongRegion,
            refusal => refusal,
        };
        let said = match message(text) {
            Some(message) if code.is_empty() => format!("{status}: {message}"),
            Some(message) => format!("{code}: {message}"),
            None if code.is_empty() => status.to_string(),
            None => format!("{status}: {code}"),
        };
        let named = |name| element(text, name).map(str::to_owned);
        let place = match refusal {
            Refusal::WrongRegion => self.region.or_else(|| named("Region")),
            Refusal::Moved => self.location,
            _ => None,
        };
        let place = place.or_else(|| named("Endpoint"));
        let said = match place {
            Some(place) if !said.contains(&place) => format!("{said}: {place}"),
            _ => said,
        };
        Some(Answer { refusal, said })
    }
}

/// How far the clock of a server is from this host's, in either direction.
fn apart(response: &Response) -> Option<Duration> {
    let date = header(response, "date")?;
    let date = jiff::fmt::rfc2822::parse(&date).ok()?.timestamp();
    Some(date.duration_until(Timestamp::now()).unsigned_abs())
}

/// What stands in an element of an XML answer, or in a field of a JSON one.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let between = |open: String, close: &str| {
        let (_, rest) = text.split_once(&open)?;
        Some(rest.split_once(close)?.0.trim())
    };
    between(format!("<{name}>"), "</")
        .or_else(|| between(format!("\"{name}\":"), "\n")?.split('"').nth(1))
}

fn code(text: &str) -> Option<String> {
    let code = element(text, "Code").or_else(|| element(text, "error"))?;
    Some(code.to_owned())
}

fn message(text: &str) -> Option<String> {
    let found = element(text, "Message").or_else(|| element(text, "error_description"))?;
    let line = found
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    (!line.is_empty()).then(|| line.chars().take(200).collect())
}
