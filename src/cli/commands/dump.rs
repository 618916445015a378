//! `sealift dump`: a run of the sidecar, now.

use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::night::run_night;
use crate::cli::output::{Output, note};
use crate::cli::session::{Session, SystemClock};
use sealift::Clock;

/// Dumps, archives and tidies up.
///
/// # Errors
/// The first [`Failure`], after all the rest was done.
pub async fn run(session: &Session, args: &SidecarArgs, output: &Output) -> Result<Exit, Failure> {
    let now = SystemClock.now().to_zoned(session.settings()?.time_zone()?);
    let name = now.strftime("%Y%m%d-%H%M%S").to_string();
    let tonight = run_night(session, args, output, &name).await;
    output.result(&tonight.document, String::new)?;
    let mut failures = tonight.failures.into_iter();
    let first = failures.next();
    for other in failures {
        note("warning", &other.message);
    }
    first.map_or(Ok(Exit::Done), Err)
}
