//! The arguments of what judges archives by a policy.
#![allow(
    clippy::doc_markdown,
    rustdoc::invalid_html_tags,
    reason = "these comments are the help, shown on a terminal"
)]

/// The settings of retention: lines of the table `retention` in `sealift.toml`, where labels can have
/// rules of their own. Of each rule 0 is none; without any rule everything is kept.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings of retention")]
#[expect(clippy::struct_field_names, reason = "they are the settings' names")]
pub struct RetentionArgs {
    /// Keep the newest so many archives [env: SEALIFT_KEEP_LAST]
    #[arg(long, value_name = "COUNT")]
    pub keep_last: Option<String>,
    /// Keep what is not further back from the newest than this, in years, months, days and hours, as
    /// 1y6m or 30d; backup-retention-days: as many days as BACKUP_RETENTION_DAYS says
    /// [env: SEALIFT_KEEP_WITHIN]
    #[arg(long, value_name = "SPAN")]
    pub keep_within: Option<String>,
    /// Keep the newest of each of so many hours that have one [env: SEALIFT_KEEP_HOURLY]
    #[arg(long, value_name = "COUNT")]
    pub keep_hourly: Option<String>,
    /// Likewise for days, which are those of the time zone [env: SEALIFT_KEEP_DAILY]
    #[arg(long, value_name = "COUNT")]
    pub keep_daily: Option<String>,
    /// Likewise for weeks, from Monday to Sunday [env: SEALIFT_KEEP_WEEKLY]
    #[arg(long, value_name = "COUNT")]
    pub keep_weekly: Option<String>,
    /// Likewise for months [env: SEALIFT_KEEP_MONTHLY]
    #[arg(long, value_name = "COUNT")]
    pub keep_monthly: Option<String>,
    /// Likewise for years [env: SEALIFT_KEEP_YEARLY]
    #[arg(long, value_name = "COUNT")]
    pub keep_yearly: Option<String>,
    /// Keep the newest so many sound archives, whatever the rules say [env: SEALIFT_KEEP_SOUND]
    /// [default: 1]
    #[arg(long, value_name = "COUNT")]
    pub keep_sound: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    #[test]
    fn the_readme_lists_every_flag_and_variable() {
        let readme = include_str!("../../../README.md");
        let command = RetentionArgs::augment_args(clap::Command::new("prune"));
        let flags = command.get_arguments().filter_map(clap::Arg::get_long);
        let mut found = 0;
        for flag in flags {
            let setting = flag.replace('-', "_");
            let variable = format!("SEALIFT_{}", setting.to_uppercase());
            let row = format!("| `{setting}` | `{variable}` | `--{flag}` |");
            assert!(readme.contains(&row), "the README lacks {row}");
            found += 1;
        }
        assert_eq!(found, 8);
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string);
            let name = argument.get_id().as_str().to_uppercase();
            let variable = format!("[env: SEALIFT_{name}]");
            assert!(help.is_some_and(|help| help.contains(&variable)), "{name}");
        }
    }
}
