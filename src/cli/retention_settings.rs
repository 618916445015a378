//! Settings of retention: which archives stay, and in which time zone a day is a day.
//!
//! `BACKUP_RETENTION_DAYS` says how long dumps stay on the host. That so many days are enough off-site,
//! too, nobody has said by setting it: it counts here only where `keep_within` names it.

use crate::cli::args::retention::RetentionArgs;
use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::failure::Failure;
use crate::cli::settings::{Settings, text};
use crate::cli::sidecar_settings::Routine;
use crate::cli::values::parse;
use jiff::tz::TimeZone;
use sealift::{LabelPattern, Policy, Rules, Within};
use serde::Deserialize;

/// The span that is as long as the sidecar's own.
const BACKUP_RETENTION_DAYS: &str = "backup-retention-days";

/// Those settings in the settings file: its table `retention`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionFile {
    keep_last: Option<u32>,
    keep_within: Option<String>,
    keep_hourly: Option<u32>,
    keep_daily: Option<u32>,
    keep_weekly: Option<u32>,
    keep_monthly: Option<u32>,
    keep_yearly: Option<u32>,
    keep_sound: Option<u32>,
    #[serde(default)]
    labels: Vec<LabelFile>,
}

/// The rules of a label in the settings file, where alone they can be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelFile {
    label: String,
    keep_last: Option<u32>,
    keep_within: Option<String>,
    keep_hourly: Option<u32>,
    keep_daily: Option<u32>,
    keep_weekly: Option<u32>,
    keep_monthly: Option<u32>,
    keep_yearly: Option<u32>,
}

/// The policy, by flags over environment over file, and the time zone that it is meant in. There is
/// none for the labels but in the file.
///
/// # Errors
/// A [`Failure`] that names the setting.
pub fn policy(args: &RetentionArgs, settings: &Settings) -> Result<(Policy, TimeZone), Failure> {
    let days = || Ok(Routine::read(&SidecarArgs::default(), settings)?.retention_days);
    let policy = of(args, &settings.retention, &text, &days)?;
    Ok((policy, settings.time_zone()?))
}

/// The same, with the environment, and with what the sidecar is told, as functions.
fn of(
    args: &RetentionArgs,
    file: &RetentionFile,
    variable: &dyn Fn(&str) -> Option<String>,
    days: &dyn Fn() -> Result<Option<u32>, Failure>,
) -> Result<Policy, Failure> {
    let word = |flag: &Option<String>, name: &str| flag.clone().or_else(|| variable(name));
    let count = |flag: &Option<String>, setting: &str, in_file: Option<u32>| {
        let name = format!("SEALIFT_{}", setting.to_uppercase());
        word(flag, &name).map_or(Ok(in_file), |text| number(setting, &text).map(Some))
    };
    let within = word(&args.keep_within, "SEALIFT_KEEP_WITHIN");
    let within = within.or_else(|| file.keep_within.clone());
    let rules = Rules {
        last: count(&args.keep_last, "keep_last", file.keep_last)?,
        within: span(within.as_deref(), days)?,
        hourly: count(&args.keep_hourly, "keep_hourly", file.keep_hourly)?,
        daily: count(&args.keep_daily, "keep_daily", file.keep_daily)?,
        weekly: count(&args.keep_weekly, "keep_weekly", file.keep_weekly)?,
        monthly: count(&args.keep_monthly, "keep_monthly", file.keep_monthly)?,
        yearly: count(&args.keep_yearly, "keep_yearly", file.keep_yearly)?,
    };
    let mut labels: Vec<(LabelPattern, Rules)> = Vec::new();
    for own in &file.labels {
        let pattern: LabelPattern = parse("label", &own.label)?;
        if labels.iter().any(|(other, _)| *other == pattern) {
            let twice = format!(
                "the setting label: {pattern:?} has rules twice",
                pattern = own.label
            );
            return Err(Failure::usage(twice));
        }
        labels.push((pattern, own.rules(days)?));
    }
    Ok(Policy {
        rules,
        labels,
        keep_sound: count(&args.keep_sound, "keep_sound", file.keep_sound)?,
    })
}

impl LabelFile {
    fn rules(&self, days: &dyn Fn() -> Result<Option<u32>, Failure>) -> Result<Rules, Failure> {
        Ok(Rules {
            last: self.keep_last,
            within: span(self.keep_within.as_deref(), days)?,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
        })
    }
}

fn number(setting: &str, text: &str) -> Result<u32, Failure> {
    text.trim().parse().map_err(|_| {
        Failure::usage(format!(
            "the setting {setting}: {text:?} is no number of archives, as 7"
        ))
    })
}

/// A span; a 0 is none, so that a flag can undo what the file says.
fn span(
    text: Option<&str>,
    days: &dyn Fn() -> Result<Option<u32>, Failure>,
) -> Result<Option<Within>, Failure> {
    match text.map(str::trim) {
        None | Some("0") => Ok(None),
        Some(BACKUP_RETENTION_DAYS) => {
            let found = days()?.and_then(Within::days);
            let unset = || {
                let failure = Failure::usage(
                    "the setting keep_within: BACKUP_RETENTION_DAYS is not set, or is no span",
                );
                failure.hint("say it in days: --keep-within 30d")
            };
            found.map(Some).ok_or_else(unset)
        }
        Some(text) => {
            let months = |failure: Failure| failure.hint("m is months: 6m is half a year");
            parse("keep_within", text).map(Some).map_err(months)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// The lines of the policy, or what is wrong with it.
    fn told(
        args: &RetentionArgs,
        file: &str,
        variables: &[(&str, &str)],
    ) -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let file: RetentionFile = toml::from_str(file)?;
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let days = || {
            number(
                "retention_days",
                &variable("BACKUP_RETENTION_DAYS").unwrap_or("0".into()),
            )
            .map(Some)
        };
        Ok(match of(args, &file, &variable, &days) {
            Ok(policy) => policy.describe(),
            Err(failure) => vec![failure.message],
        })
    }

    #[test]
    fn flags_override_variables_which_override_the_file() -> Outcome {
        let file =
            "keep_last = 1\nkeep_daily = 2\nkeep_weekly = 3\nkeep_within = \"4d\"\nkeep_sound = 5";
        let args = RetentionArgs {
            keep_last: Some("10".into()),
            keep_within: Some("0".into()),
            ..RetentionArgs::default()
        };
        let variables = [
            ("SEALIFT_KEEP_LAST", "100"),
            ("SEALIFT_KEEP_DAILY", "200"),
            ("SEALIFT_KEEP_WEEKLY", "0"),
        ];
        let minimum = "the newest 5 sound archives in any case".to_owned();
        assert_eq!(
            told(&args, file, &variables)?,
            ["archives: last 10, daily 200", &minimum]
        );
        assert_eq!(
            told(&RetentionArgs::default(), file, &[])?,
            ["archives: last 1, within 4d, daily 2, weekly 3", &minimum]
        );
        Ok(())
    }

    #[test]
    fn the_days_of_the_sidecar_count_only_where_they_are_named() -> Outcome {
        let variables = [("BACKUP_RETENTION_DAYS", "14")];
        let args = RetentionArgs::default();
        let nothing = ["no rules: everything is kept"];
        assert_eq!(told(&args, "", &variables)?, nothing);
        let file = "keep_within = \"backup-retention-days\"";
        assert_eq!(told(&args, file, &variables)?, ["archives: within 14d"]);
        let unset = "the setting keep_within: BACKUP_RETENTION_DAYS is not set, or is no span";
        assert_eq!(told(&args, file, &[])?, [unset]);
        Ok(())
    }

    #[test]
    fn a_label_has_its_rules_in_the_file() -> Outcome {
        let file = "keep_daily = 7\n[[labels]]\nlabel = \"pre-update-*\"\nkeep_last = 5\n\
                    [[labels]]\nlabel = \"manual\"\n";
        let expected = [
            "pre-update-*: last 5",
            "manual: all",
            "archives of any other label: daily 7",
        ];
        assert_eq!(told(&RetentionArgs::default(), file, &[])?, expected);
        Ok(())
    }

    #[test]
    fn what_is_no_rule_is_refused() -> Outcome {
        let within = Some("6w".to_owned());
        let last = Some("many".to_owned());
        let (none, default) = (String::new(), RetentionArgs::default());
        let twice = "[[labels]]\nlabel = \"a\"\n[[labels]]\nlabel = \"a\"\n".to_owned();
        for (args, file, message) in [
            (
                RetentionArgs {
                    keep_within: within,
                    ..default.clone()
                },
                &none,
                "the setting keep_within: \"6w\" is not a span of years, months, days and hours, as 30d, 1y6m or 48h",
            ),
            (
                RetentionArgs {
                    keep_last: last,
                    ..default.clone()
                },
                &none,
                "the setting keep_last: \"many\" is no number of archives, as 7",
            ),
            (
                default.clone(),
                &twice,
                "the setting label: \"a\" has rules twice",
            ),
            (
                default,
                &"[[labels]]\nlabel = \"\"".to_owned(),
                "the setting label: a pattern of labels is empty",
            ),
        ] {
            assert_eq!(told(&args, file, &[])?, [message]);
        }
        for unknown in [
            "keep_lats = 1",
            "keep_last = -1",
            "[[labels]]\nkeep_last = 1",
        ] {
            assert!(
                toml::from_str::<RetentionFile>(unknown).is_err(),
                "{unknown}"
            );
        }
        Ok(())
    }
}
