//! What a push leaves in the journal: an entry for each archive that was made, and for each refusal.

use super::{PushError, Pushed};
use crate::formats::journal::Event;
use crate::operations::context::Context;
use crate::ports::backups::{BackupsError, Pair};
use crate::words::cause::with_cause;

/// Writes down what became of a pair. A store that was down is no refusal: the pair is tried again.
pub(super) fn record(context: &Context, pair: &Pair, outcome: &Result<Pushed, PushError>) {
    let names = names(pair);
    match outcome {
        Ok(pushed) if !pushed.already_archived => {
            let (verdict, new) = (pushed.verdict.as_str(), pushed.new_bytes);
            let left_out = pushed.left_out.iter().map(|out| out.store.to_string());
            let left_out: Vec<String> = left_out.collect();
            let without = match left_out[..] {
                [] => String::new(),
                _ => format!("; not in {}", left_out.join(", ")),
            };
            let detail = format!("{names}: {verdict}, {new} new bytes{without}");
            let archive = Some((pushed.sequence, pushed.id));
            context.record(Event::Pushed, archive, detail);
        }
        Err(error) if is_refusal(error, pair) => {
            let detail = format!("{names}: {}", with_cause(error));
            context.record(Event::Refused, None, detail);
        }
        Ok(_) | Err(_) => {}
    }
}

/// Whether the pair is refused for what it is. One that is still being written comes again.
fn is_refusal(error: &PushError, pair: &Pair) -> bool {
    match error {
        PushError::Backups(BackupsError::Growing(_)) => false,
        PushError::Backups(_)
        | PushError::ChangedSinceArchived { .. }
        | PushError::ChangedWhileRead(_) => true,
        PushError::File(file) => pair.holds(&file.path),
        _ => false,
    }
}

fn names(pair: &Pair) -> String {
    let halves = [pair.app.as_ref(), pair.zitadel.as_ref()];
    let names = halves.into_iter().flatten().filter_map(|half| {
        let name = half.path.file_name()?;
        Some(name.to_string_lossy().into_owned())
    });
    names.collect::<Vec<_>>().join(", ")
}
