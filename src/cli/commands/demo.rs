//! `sealift demo`: the whole cycle on sample data.

use crate::cli::args::DemoArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::session::{Session, SystemClock};
use sealift::{create_private_folder, demo};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Serialize)]
struct Document {
    lines: Vec<String>,
}

/// Runs the demo in a folder of its own.
///
/// # Errors
/// A [`Failure`] as soon as something is not as it should be.
pub async fn run(session: &Session, args: DemoArgs, output: &Output) -> Result<Exit, Failure> {
    let kept = args.keep.is_some();
    let folder = args.keep.unwrap_or_else(temporary);
    if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        let failure = Failure::usage(format!("{} is not empty", folder.display()));
        return Err(failure.hint("give a new folder: --keep DIR"));
    }
    create_private_folder(&folder)?;
    let mut lines = Vec::new();
    let mut tell = |line: String| {
        // A reader that went away does not stop the demo.
        let _ = output.line(&line);
        lines.push(line);
    };
    let monitor = Arc::clone(&session.monitor);
    let done = demo(
        &folder,
        Arc::new(SystemClock),
        monitor,
        session.cancel.clone(),
        &mut tell,
    )
    .await;
    if kept {
        tell(format!("Everything is kept in {}", folder.display()));
    } else {
        // Nothing in it is needed, and it lies in the temporary folder.
        let _ = fs::remove_dir_all(&folder);
    }
    done?;
    output.result(&Document { lines }, String::new)?;
    Ok(Exit::Done)
}

fn temporary() -> PathBuf {
    crate::cli::settings::temporary_folder().join(format!("sealift-demo-{}", std::process::id()))
}
