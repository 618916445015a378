//! Stop: the first signal asks for it, the second does not ask.

use crate::cli::exit::Exit;
use sealift::Cancel;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A stop that a signal asks for.
#[derive(Clone, Debug)]
pub struct Stop {
    /// For work that looks at its safe points whether to go on.
    pub cancel: Cancel,
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Has SIGINT and SIGTERM ask for a stop at the next safe point; the second ends the process at
    /// once. Called inside the runtime; from its return on no signal is lost.
    ///
    /// # Errors
    /// An `io::Error` if the signals cannot be had.
    pub fn on_signals() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let cancel = Cancel::default();
        let (ask, asked) = watch::channel(false);
        tokio::spawn(wait(interrupt, terminate, cancel.clone(), ask));
        Ok(Self { cancel, asked })
    }

    /// Returns when a stop was asked for.
    pub async fn asked(&self) {
        // The other end lives as long as the runtime does; without it nobody could ask any more.
        let _ = self.asked.clone().wait_for(|asked| *asked).await;
    }
}

async fn wait(
    mut interrupt: Signal,
    mut terminate: Signal,
    cancel: Cancel,
    ask: watch::Sender<bool>,
) {
    for second in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if second {
            std::process::exit(Exit::Interrupted.code().into());
        }
        cancel.cancel();
        ask.send_replace(true);
    }
}
