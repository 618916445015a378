//! The names of dumps.
//!
//! Promise: a name either says which component, which kind and which time it is of, or it is
//! nobody's. Patterns, as lazyit writes them, with a stamp `YYYYMMDD-HHMMSS` in the container's
//! local time:
//!
//! - `app-<stamp>.dump`, `zitadel-<stamp>.dump`: nightly and manual backups
//! - `pre-update-<version>-<sha12>-<stamp>-app.dump`, `…-zitadel.dump`: before an update

use crate::words::ids::ComponentName;
use jiff::civil::DateTime;
use std::path::PathBuf;

/// A dump's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpName {
    /// Which database it is of.
    pub component: ComponentName,
    /// What kind of dump it is: `nightly`, or `pre-update-` and a version.
    pub label: String,
    /// The local time in the name.
    pub stamp: DateTime,
    /// For a dump made before an update: what both halves start with.
    pub prefix: Option<String>,
}

/// A dump in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Half {
    /// What its name says.
    pub name: DumpName,
    /// Where it is.
    pub path: PathBuf,
}

impl DumpName {
    /// Takes a file's name apart; `None` if it is not a dump's.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(".dump")?;
        if let Some(rest) = stem.strip_prefix("pre-update-") {
            return Self::parse_pre_update(stem, rest);
        }
        let (component, stamp) = if let Some(stamp) = stem.strip_prefix("app-") {
            (ComponentName::app(), stamp)
        } else {
            (ComponentName::zitadel(), stem.strip_prefix("zitadel-")?)
        };
        Some(Self::nightly(component, parse_stamp(stamp)?))
    }

    /// The name of a dump that is made now, as the sidecar gives it.
    #[must_use]
    pub fn nightly(component: ComponentName, stamp: DateTime) -> Self {
        Self {
            component,
            label: "nightly".into(),
            stamp,
            prefix: None,
        }
    }

    /// The file of a dump that has the name of a nightly one.
    #[must_use]
    pub fn nightly_file(&self) -> String {
        let stamp = self.stamp.strftime("%Y%m%d-%H%M%S");
        format!("{}-{stamp}.dump", self.component)
    }

    /// The component of the other half.
    #[must_use]
    pub fn partner(&self) -> ComponentName {
        if self.component == ComponentName::app() {
            ComponentName::zitadel()
        } else {
            ComponentName::app()
        }
    }

    fn parse_pre_update(stem: &str, rest: &str) -> Option<Self> {
        let (prefix, component) = if let Some(prefix) = stem.strip_suffix("-app") {
            (prefix, ComponentName::app())
        } else {
            (stem.strip_suffix("-zitadel")?, ComponentName::zitadel())
        };
        let rest = rest.get(..rest.len() - component.as_str().len() - 1)?;
        let (rest, time) = rest.rsplit_once('-')?;
        let (rest, date) = rest.rsplit_once('-')?;
        let (version, commit) = rest.rsplit_once('-')?;
        let is_commit = commit.len() == 12 && commit.bytes().all(|b| b.is_ascii_hexdigit());
        if version.is_empty() || !is_commit {
            return None;
        }
        Some(Self {
            component,
            label: format!("pre-update-{version}"),
            stamp: parse_stamp(&format!("{date}-{time}"))?,
            prefix: Some(prefix.into()),
        })
    }
}

fn parse_stamp(text: &str) -> Option<DateTime> {
    let digits = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let (date, time) = text.split_once('-')?;
    if !digits(date, 8) || !digits(time, 6) {
        return None;
    }
    let number = |part: &str| part.parse::<i16>().ok();
    let small = |part: &str| part.parse::<i8>().ok();
    DateTime::new(
        number(&date[..4])?,
        small(&date[4..6])?,
        small(&date[6..])?,
        small(&time[..2])?,
        small(&time[2..4])?,
        small(&time[4..])?,
        0,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(file: &str) -> Option<(String, String, String)> {
        let name = DumpName::parse(file)?;
        Some((
            name.component.to_string(),
            name.label,
            name.stamp.to_string(),
        ))
    }

    #[test]
    fn the_patterns_are_known() {
        let case = |file: &str, component: &str, label: &str| {
            let expected = (component.into(), label.into(), "2026-01-31T03:04:05".into());
            assert_eq!(parts(file), Some(expected), "{file}");
        };
        case("app-20260131-030405.dump", "app", "nightly");
        case("zitadel-20260131-030405.dump", "zitadel", "nightly");
        let update = "pre-update-1.4.0-rc.1-0123456789ab-20260131-030405";
        case(
            &format!("{update}-app.dump"),
            "app",
            "pre-update-1.4.0-rc.1",
        );
        case(
            &format!("{update}-zitadel.dump"),
            "zitadel",
            "pre-update-1.4.0-rc.1",
        );
    }

    #[test]
    fn a_nightly_name_reads_as_it_was_written() {
        for file in ["app-20260131-030405.dump", "zitadel-09991231-235959.dump"] {
            let name = DumpName::parse(file);
            assert_eq!(name.map(|name| name.nightly_file()).as_deref(), Some(file));
        }
    }

    #[test]
    fn everything_else_is_foreign() {
        for foreign in [
            "app-20260131-030405.dump.partial",
            "app-20260131-030405.sql",
            "app-20260231-030405.dump",
            "app-20260131-250000.dump",
            "app-2026013-030405.dump",
            "app-+2026131-030405.dump",
            "other-20260131-030405.dump",
            "pre-update-1.4.0-20260131-030405-app.dump",
            "pre-update--0123456789ab-20260131-030405-app.dump",
            "pre-update-1.4.0-0123456789ab-20260131-030405.dump",
            ".dump",
            "app-é0260131-030405.dump",
        ] {
            assert_eq!(parts(foreign), None, "{foreign}");
        }
    }
}
