//! Floor 5, the program: arguments, settings, output, exit codes.
//!
//! Promise: arguments are validated before anything is done; results go to stdout and everything
//! else to stderr; every failure is one line and, where one can help, a hint that can be run.

mod args;
mod commands;
mod exit;
mod failure;
mod fields;
mod heart;
mod kit;
mod messenger;
mod night;
mod output;
mod progress;
mod pushing;
mod recorder;
mod retention_failures;
mod retention_settings;
mod session;
mod settings;
mod settings_file;
mod sidecar_failures;
mod sidecar_settings;
mod signing_key;
mod stop;
mod store_check;
mod store_hints;
mod store_settings;
mod store_states;
mod telling;
mod values;
mod verify_output;
mod warnings;

use args::{Args, Command};
use clap::Parser;
use exit::Exit;
use failure::Failure;
use output::Output;
use sealift::{Cancelled, HoldKind};
use session::Session;
use std::process::ExitCode;
use stop::Stop;
use values::is_private_key;

/// Runs the program.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return misunderstood(&error).into(),
    };
    let output = Output::new(args.json);
    let exit = run(args, &output).unwrap_or_else(|failure| output::failure(&failure));
    exit.into()
}

/// Leaves the telling to clap, unless that would show a private key.
fn misunderstood(error: &clap::Error) -> Exit {
    if !is_private_key(&error.to_string()) {
        error.exit();
    }
    let failure = Failure::usage("an argument is a private key, which others on this host can see");
    output::failure(&failure.hint("make a new key; arguments take public keys, and paths of files"))
}

fn run(args: Args, output: &Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Each thread may hold on to memory of its own: what waits for a disk waits for one of these.
        .max_blocking_threads(6)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    // Before anything else: a signal that nobody waits for yet would end the process at once.
    let stop = {
        let _inside = runtime.enter();
        Stop::on_signals().map_err(|error| Failure::failed(format!("cannot start: {error}")))?
    };
    let session = Session::new(args.settings, stop.clone());
    let exit = runtime.block_on(async {
        match args.command {
            Command::Init => commands::init::run(&session, output),
            Command::Push(args) => commands::push::run(&session, args, output).await,
            Command::Inspect(args) => commands::inspect::run(&session, args, output).await,
            Command::Run(args) => commands::run::run(&session, &args, output).await,
            Command::Dump(args) => commands::dump::run(&session, &args, output).await,
            Command::List => commands::list::run(&session, output).await,
            Command::Show(args) => commands::show::run(&session, args, output).await,
            Command::Fetch(args) => commands::fetch::run(&session, args, output).await,
            Command::Verify(args) => commands::verify::run(&session, args, output).await,
            Command::Hold(args) => {
                commands::hold::run(&session, args, HoldKind::Hold, output).await
            }
            Command::Release(args) => {
                commands::hold::run(&session, args, HoldKind::Release, output).await
            }
            Command::Audit(args) => commands::audit::run(&session, args, output).await,
            Command::Prune(args) => commands::prune::run(&session, args, output).await,
            Command::Replicate(args) => commands::replicate::run(&session, args, output).await,
            Command::Watch => commands::watch::run(&session, output).await,
            Command::Health => commands::health::run(&session, output),
            Command::Doctor => commands::doctor::run(&session, output).await,
            Command::Demo(args) => commands::demo::run(&session, args, output).await,
            Command::Index(args) => commands::index::run(&session, args, output).await,
            Command::Completions(args) => commands::completions::run(&args),
            Command::Man(args) => commands::man::run(&args, output),
        }
    });
    // A download that was cut off must not hold up the end.
    runtime.shutdown_background();
    // Whatever a request says that was ended by a signal, the signal is why.
    exit.map_err(|failure| {
        if stop.cancel.is_cancelled() {
            Cancelled.into()
        } else {
            failure
        }
    })
}
