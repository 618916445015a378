//! Holds: what this host has said of holding archives, against what a store shows.
//!
//! Promise: a record that vanished is missed wherever this host wrote it, by the host's own journal; of
//! what another host wrote nothing is known here. A later word of another host overrules it.

use super::SeenArchive;
use crate::formats::journal::Event;
use crate::formats::record::HoldKind;
use crate::operations::context::Context;
use crate::operations::journal::last_words;
use crate::operations::records::Records;
use crate::words::ids::Sequence;

/// A hold or a release that the store does not show.
pub(super) struct MissingHold {
    /// The archive that it is about.
    pub(super) sequence: Sequence,
    /// A sentence for people.
    pub(super) message: String,
    /// What to do about it.
    pub(super) remedy: String,
}

/// The last words of this host about archives in the store, as far as the store does not show them.
/// The archives are in the order of the chain.
pub(super) fn missing_holds(
    context: &Context,
    verified: &[SeenArchive],
    records: &Records,
) -> Vec<MissingHold> {
    let mut missing = Vec::new();
    for ((sequence, id), (event, at)) in last_words(context) {
        let place = verified.binary_search_by_key(&sequence, |archive| archive.sequence);
        if !place.is_ok_and(|place| verified[place].id == id) {
            continue;
        }
        let last = records.holds.get(&sequence);
        let last = last.filter(|last| last.archive == id);
        if last.is_some_and(|last| last.at > at) {
            continue;
        }
        let is_held = last.is_some_and(|last| last.kind == HoldKind::Hold);
        let (was, again) = match event {
            Event::Held if !is_held => ("held", "hold"),
            Event::Released if is_held => ("released", "release"),
            _ => continue,
        };
        missing.push(MissingHold {
            sequence,
            message: format!(
                "archive {sequence} was {was} by this host at {at}, and {} does not show the record",
                context.store.url()
            ),
            remedy: format!(
                "find out who can delete there, and say it again: sealift {again} {sequence}"
            ),
        });
    }
    missing
}
