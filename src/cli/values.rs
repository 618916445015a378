//! Single values of settings: what a text stands for, and what it must not be.

use crate::cli::failure::Failure;
use jiff::tz::TimeZone;
use sealift::{AuthMode, BadUrl, Class, ComponentName, Include, StoreUrl};
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

/// Attachments that are being uploaded; lazyit removes what stays here.
const ATTACHMENTS_SKIP: &str = "tmp";

/// Whether a text shows a secret that was given by mistake.
pub fn is_private_key(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    text.contains("SECRET-KEY-") || text.contains("PRIVATE KEY-----")
}

/// A setting's value.
///
/// # Errors
/// A [`Failure`] that names the setting.
pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    setting: &str,
    text: &str,
) -> Result<T, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("the setting {setting}: {error}")))
}

/// The address of a store.
///
/// # Errors
/// A [`Failure`] that names the setting.
pub fn parse_store(setting: &str, text: &str) -> Result<StoreUrl, Failure> {
    text.parse().map_err(|error| {
        let failure = bad_store(error);
        Failure {
            message: format!("the setting {setting}: {}", failure.message),
            ..failure
        }
    })
}

/// What is wrong with the address of a store.
pub fn bad_store(error: BadUrl) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        BadUrl::PlainHttp(endpoint) => failure.hint(plain_http(&endpoint)),
        _ => failure,
    }
}

/// What to do about a server that is spoken to in the clear.
pub fn plain_http(endpoint: &str) -> String {
    format!(
        "use https://; or, on a network that is yours alone: --store \
         's3://bucket/prefix?endpoint={endpoint}&allow_http=true'"
    )
}

/// A time, as a number of seconds or with one of the units s, m, h and d.
///
/// # Errors
/// A [`Failure`] that names the setting.
pub fn parse_duration(setting: &str, text: &str) -> Result<Duration, Failure> {
    let (number, unit) = split_unit(text);
    let seconds = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(24 * 60 * 60),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok().filter(|number| *number > 0);
    let found = seconds.and_then(|unit| number?.checked_mul(unit));
    found.map(Duration::from_secs).ok_or_else(|| {
        Failure::usage(format!(
            "the setting {setting}: {text:?} is not a time, as 90s, 5m, 2h or 30d"
        ))
    })
}

/// Bytes a second, as a number or with one of the units k, M and G (1000) or Ki, Mi and Gi (1024); a B
/// may follow.
///
/// # Errors
/// A [`Failure`] that names the setting.
pub fn parse_rate(setting: &str, text: &str) -> Result<NonZeroU64, Failure> {
    let (number, unit) = split_unit(text);
    let bytes = match unit.strip_suffix('B').unwrap_or(unit) {
        "" => Some(1),
        "k" | "K" => Some(1000),
        "M" => Some(1_000_000),
        "G" => Some(1_000_000_000),
        "Ki" => Some(1 << 10),
        "Mi" => Some(1 << 20),
        "Gi" => Some(1 << 30),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    let found = bytes.and_then(|unit| number?.checked_mul(unit));
    found.and_then(NonZeroU64::new).ok_or_else(|| {
        Failure::usage(format!(
            "the setting {setting}: {text:?} is not a number of bytes a second, as 500k or 2M"
        ))
    })
}

/// A number and its unit.
fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

/// How people sign in.
///
/// # Errors
/// A [`Failure`] if it is neither of the two ways.
pub fn parse_auth_mode(text: &str) -> Result<AuthMode, Failure> {
    match text {
        "oidc" => Ok(AuthMode::Oidc),
        "local" => Ok(AuthMode::Local),
        other => Err(Failure::usage(format!(
            "the setting auth_mode: {other:?} is neither oidc nor local"
        ))),
    }
}

/// A time zone, as `TZ` takes it: a name, a file, or the rule itself; a colon may stand before it.
pub fn parse_time_zone(text: &str) -> Option<TimeZone> {
    let name = text.strip_prefix(':').unwrap_or(text);
    if name.is_empty() {
        return Some(TimeZone::UTC);
    }
    if Path::new(name).is_absolute() {
        return TimeZone::tzif(name, &fs::read(name).ok()?).ok();
    }
    TimeZone::get(name).or_else(|_| TimeZone::posix(name)).ok()
}

/// One include, as a flag or the environment names it.
///
/// # Errors
/// A [`Failure`] that repeats the text.
pub fn parse_include(text: &str) -> Result<Include, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "the setting include: {text:?} is not NAME=PATH or NAME:CLASS=PATH"
        ))
    };
    let (name, path) = text
        .split_once('=')
        .filter(|(_, path)| !path.is_empty())
        .ok_or_else(wrong)?;
    let (name, class) = match name.split_once(':') {
        None => (name, None),
        Some((name, "data")) => (name, Some(Class::Data)),
        Some((name, "secrets")) => (name, Some(Class::Secrets)),
        Some(_) => return Err(wrong()),
    };
    let name: ComponentName = parse("include", name)?;
    Ok(Include {
        class: class.unwrap_or_else(|| default_class(&name)),
        skip: default_skip(&name),
        path: path.into(),
        name,
    })
}

/// The class of an include that names none.
pub fn default_class(name: &ComponentName) -> Class {
    if name.as_str() == "zitadel-secrets" {
        Class::Secrets
    } else {
        Class::Data
    }
}

/// What is left out of an include that does not say.
pub fn default_skip(name: &ComponentName) -> Vec<String> {
    if name.as_str() == "attachments" {
        vec![ATTACHMENTS_SKIP.into()]
    } else {
        Vec::new()
    }
}

/// Refuses an include that is not there, or is neither a file nor a folder.
///
/// # Errors
/// A [`Failure`] that names the include and its path.
pub fn check_include(include: &Include) -> Result<(), Failure> {
    let (name, path) = (&include.name, include.path.display());
    let wrong = |what: &str| Err(Failure::usage(format!("the include {name} {what}: {path}")));
    match fs::symlink_metadata(&include.path).map(|found| found.file_type()) {
        Err(error) => Err(Failure::usage(format!(
            "cannot read the include {name}, {path}: {error}"
        ))
        .hint(format!("ls -ld {path}"))),
        Ok(kind) if kind.is_symlink() => wrong("is a symbolic link").map_err(|failure: Failure| {
            failure.hint(format!("name what it points to: readlink -f {path}"))
        }),
        Ok(kind) if !kind.is_file() && !kind.is_dir() => wrong("is a special file"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn an_include_has_the_class_that_its_name_calls_for() {
        let case = |text: &str| parse_include(text).map(|i| (i.class, i.skip.len())).ok();
        assert_eq!(case("zitadel-secrets=/v"), Some((Class::Secrets, 0)));
        assert_eq!(case("attachments=/v"), Some((Class::Data, 1)));
        assert_eq!(case("more:secrets=/v=w"), Some((Class::Secrets, 0)));
        for bad in ["x", "x=", "=y", "x:public=/v", "X=/v"] {
            assert_eq!(case(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_and_rates_have_units() {
        let time = |text| parse_duration("x", text).ok().map(|time| time.as_secs());
        assert_eq!(
            ["90", "90s", "5m", "2h", "30d"].map(time),
            [90, 90, 300, 7200, 2_592_000].map(Some)
        );
        let rate = |text| parse_rate("x", text).ok().map(NonZeroU64::get);
        assert_eq!(
            ["7", "500k", "2M", "1Mi"].map(rate),
            [7, 500_000, 2_000_000, 1 << 20].map(Some)
        );
        for bad in [
            "",
            "0",
            "-1",
            "5x",
            "m",
            "1.5h",
            "99999999999999999999",
            "9999999999999999G",
        ] {
            assert_eq!((time(bad), rate(bad)), (None, None), "{bad}");
        }
    }

    #[test]
    fn a_time_zone_is_a_name_or_a_rule() {
        let noon = date(2026, 7, 1).at(12, 0, 0, 0);
        let case = |text: &str| {
            let zone = parse_time_zone(text)?;
            Some(zone.to_timestamp(noon).ok()?.to_string())
        };
        for (text, time) in [
            ("UTC", "2026-07-01T12:00:00Z"),
            (":", "2026-07-01T12:00:00Z"),
            ("UTC0", "2026-07-01T12:00:00Z"),
            ("Europe/Vienna", "2026-07-01T10:00:00Z"),
            (":Europe/Vienna", "2026-07-01T10:00:00Z"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-07-01T10:00:00Z"),
            ("<+03>-3", "2026-07-01T09:00:00Z"),
        ] {
            assert_eq!(case(text).as_deref(), Some(time), "{text}");
        }
        for bad in ["Mars/Olympus", "/no/such/file", ":/etc", "x"] {
            assert_eq!(case(bad), None, "{bad}");
        }
    }
}
