//! Options: what a line of `allowed_signers` says of a key besides the key itself.
//!
//! Promise: an option is kept as ssh-keygen(1) keeps it, or the line is refused: one that is ignored
//! would be a restriction that nobody holds to. A time that the calendar does not have is refused,
//! where ssh-keygen takes the next that there is.

use super::NAMESPACE;
use crate::words::clock::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// What a line restricts a key to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    namespaces: Option<String>,
    /// The span of time that the key signs in.
    pub(super) period: Period,
}

/// A span of time, both ends included; without an end it is open there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Period {
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Options {
    /// Whether the key may sign what sealift signs.
    pub(super) fn has_namespace(&self) -> bool {
        let is_own = |names: &String| names.split(',').any(|name| name == NAMESPACE);
        self.namespaces.as_ref().is_none_or(is_own)
    }

    /// Takes an option; each is there once.
    fn set(
        &mut self,
        name: &str,
        value: &str,
        zone: Option<&TimeZone>,
    ) -> Result<(), &'static str> {
        let is_again = match name.to_ascii_lowercase().as_str() {
            "namespaces" => self.namespaces.replace(value.to_owned()).is_some(),
            "valid-after" => self.period.after.replace(time(value, zone)?).is_some(),
            "valid-before" => self.period.before.replace(time(value, zone)?).is_some(),
            _ => return Err(UNKNOWN),
        };
        if is_again {
            Err("an option is there twice")
        } else {
            Ok(())
        }
    }
}

impl Period {
    /// Whether a moment lies in it.
    pub(super) fn has(self, at: Timestamp) -> bool {
        self.after.is_none_or(|after| at >= after) && self.before.is_none_or(|before| at <= before)
    }
}

const UNKNOWN: &str = "only the options namespaces, valid-after and valid-before are known";

/// The options before a key, and the key.
pub(super) fn read<'a>(
    mut rest: &'a str,
    zone: Option<&TimeZone>,
) -> Result<(Options, &'a str), &'static str> {
    let mut options = Options::default();
    if rest.starts_with("ssh-") || rest.starts_with("sk-") || rest.starts_with("ecdsa-") {
        return Ok((options, rest));
    }
    loop {
        let (name, value) = rest.split_once("=\"").ok_or(UNKNOWN)?;
        let (value, after) = value.split_once('"').ok_or("a quote is not closed")?;
        options.set(name, value, zone)?;
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None => break check(options, after),
        };
    }
}

fn check(options: Options, after: &str) -> Result<(Options, &str), &'static str> {
    let Period {
        after: from,
        before,
    } = options.period;
    if from
        .zip(before)
        .is_some_and(|(from, before)| before <= from)
    {
        return Err("valid-before is not after valid-after");
    }
    let key = after.strip_prefix([' ', '\t']).ok_or(UNKNOWN)?;
    Ok((options, key.trim_start()))
}

/// A time as `YYYYMMDD`, with `HHMM` or `HHMMSS` behind it, and `Z` or `UTC` at its end.
fn time(text: &str, zone: Option<&TimeZone>) -> Result<Timestamp, &'static str> {
    const BAD: &str = "a time is not one as 20260131, 202601310300Z or 20260131030000Z";
    let text = text.to_ascii_uppercase();
    let digits = text.strip_suffix('Z').or(text.strip_suffix("UTC"));
    let is_utc = digits.is_some();
    let digits = digits.unwrap_or(&text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BAD);
    }
    let whole = format!("{digits:0<14}");
    let local = DateTime::strptime("%Y%m%d%H%M%S", &whole).map_err(|_| BAD)?;
    let zone = match zone {
        _ if is_utc => &TimeZone::UTC,
        Some(zone) => zone,
        None => {
            return Err("the time zone of a time is not known; write the time in UTC, with a Z");
        }
    };
    let offset = standard_offset(zone, local).ok_or(BAD)?;
    offset.to_timestamp(local).map_err(|_| BAD)
}

/// The offset of a zone's standard time then: ssh-keygen asks the C library for a time that is not
/// daylight saving's, all the year.
fn standard_offset(zone: &TimeZone, local: DateTime) -> Option<Offset> {
    let at = zone
        .to_ambiguous_zoned(local)
        .compatible()
        .ok()?
        .timestamp();
    let now = zone.to_offset_info(at);
    if !now.dst().is_dst() {
        return Some(now.offset());
    }
    let mut earlier = zone.preceding(at);
    let standard = earlier.find(|transition| !transition.dst().is_dst());
    Some(standard.map_or(now.offset(), |transition| transition.offset()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// The period of a line with these options, as seconds since 1970.
    fn period(options: &str, zone: &str) -> Result<(Option<i64>, Option<i64>), String> {
        let zone = TimeZone::get(zone).map_err(|error| error.to_string())?;
        let line = format!("{options} ssh-ed25519 AAAA");
        let (options, key) = read(&line, Some(&zone))?;
        assert_eq!(key, "ssh-ed25519 AAAA");
        let second = |time: Option<Timestamp>| time.map(Timestamp::as_second);
        Ok((second(options.period.after), second(options.period.before)))
    }

    #[test]
    fn a_time_is_of_the_zone_and_with_a_z_of_none() -> Outcome {
        let noon: Timestamp = "2026-01-15T12:00:00Z".parse()?;
        let noon = noon.as_second();
        let of = |text: &str, zone| period(&format!("valid-after=\"{text}\""), zone);
        for text in ["20260115120000Z", "202601151200z", "202601151200UTC"] {
            assert_eq!(of(text, "Europe/Vienna")?, (Some(noon), None), "{text}");
        }
        assert_eq!(of("202601151300", "Europe/Vienna")?, (Some(noon), None));
        assert_eq!(of("20260115", "UTC")?, (Some(noon - 12 * 3600), None));
        // In summer, too, it is the standard time.
        let july: Timestamp = "2026-07-01T11:00:00Z".parse()?;
        assert_eq!(
            of("20260701120000", "Europe/Vienna")?,
            (Some(july.as_second()), None)
        );
        Ok(())
    }

    #[test]
    fn both_ends_belong_to_a_period() -> Outcome {
        let line = "Valid-After=\"20260101Z\",valid-before=\"20260201Z\" ssh-ed25519 AAAA";
        let (options, _) = read(line, None)?;
        for (time, is_in) in [
            ("2025-12-31T23:59:59Z", false),
            ("2026-01-01T00:00:00Z", true),
            ("2026-02-01T00:00:00Z", true),
            ("2026-02-01T00:00:01Z", false),
        ] {
            assert_eq!(options.period.has(time.parse()?), is_in, "{time}");
        }
        Ok(())
    }

    #[test]
    fn an_option_that_is_not_understood_is_refused() {
        for options in [
            "valid-before=20260101Z",
            "valid-before=\"2026010Z\"",
            "valid-before=\"20260231Z\"",
            "valid-before=\"20260101Z",
            "valid-before=\"20260101Z\",valid-before=\"20260102Z\"",
            "valid-after=\"20260102Z\",valid-before=\"20260102Z\"",
            "valid-before=\"20260101Z\", namespaces=\"sealift\"",
            "cert-authority",
            "namespaces=\"sealift\",cert-authority",
            "valid-before=\"20260101\u{661}00Z\"",
        ] {
            assert!(period(options, "UTC").is_err(), "{options}");
        }
        // Without a zone, a time must say that it is UTC.
        assert!(read("valid-before=\"20260101\" ssh-ed25519 AAAA", None).is_err());
    }
}
