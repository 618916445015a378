//! `sealift man`: manual pages, from the same source as the help.

use crate::cli::args::{Args, ManArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use clap::CommandFactory;
use serde::Serialize;
use std::fs;

#[derive(Serialize)]
struct Written {
    out: String,
}

/// Writes a page for the program and one for each command.
///
/// # Errors
/// A [`Failure`] if the folder cannot be written to.
pub fn run(args: &ManArgs, output: &Output) -> Result<Exit, Failure> {
    let unwritable =
        |error| Failure::failed(format!("cannot write to {}: {error}", args.out.display()));
    fs::create_dir_all(&args.out).map_err(unwritable)?;
    clap_mangen::generate_to(Args::command(), &args.out).map_err(unwritable)?;
    let out = args.out.display().to_string();
    let text = format!("wrote the pages to {out}; read one: man {out}/sealift.1\n");
    output.result(&Written { out }, || text)?;
    Ok(Exit::Done)
}
