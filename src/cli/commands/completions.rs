//! `sealift completions`: completions for a shell, from the same source as the help.

use crate::cli::args::{Args, CompletionsArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::raw;
use clap::CommandFactory;

/// Prints the completions.
///
/// # Errors
/// A [`Failure`] if stdout cannot be written.
pub fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "sealift", &mut text);
    raw(&text)?;
    Ok(Exit::Done)
}
