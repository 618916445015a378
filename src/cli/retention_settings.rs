//! stub
use crate::cli::args::retention::RetentionArgs;
use crate::cli::failure::Failure;
use crate::cli::settings::Settings;
pub fn policy(
    _: &RetentionArgs,
    settings: &Settings,
) -> Result<(sealift::Policy, jiff::tz::TimeZone), Failure> {
    Ok((sealift::Policy::default(), settings.time_zone()?))
}
