//! What only this host knows: its journal, and when it verified.

use super::Audit;
use super::gather::Gathered;
use super::rules::found;
use crate::formats::journal::{Event, JournalFault, NamedHead};
use crate::formats::report::JournalReport;
use crate::operations::context::Context;
use crate::operations::journal::check_journal;
use crate::words::cause::with_cause;
use crate::words::clock::Timestamp;
use crate::words::verdict::Severity;
use jiff::SignedDuration;
use std::collections::HashSet;

/// So long a store may go without being verified.
const VERIFY_EVERY: SignedDuration = SignedDuration::from_hours(35 * 24);

impl Audit<'_> {
    /// What the journal says of itself, and archives of it.
    pub(super) fn journal(
        &mut self,
        contexts: &[Context],
        read: &[(String, &Gathered)],
    ) -> Journal {
        let mut journal = Journal {
            report: JournalReport {
                entries: 0,
                head: None,
                state: "that of another host is not looked at".to_owned(),
            },
            last_verify: None,
        };
        let (Some(context), Some(_)) = (contexts.first(), self.request.signer) else {
            return journal;
        };
        // Each store has the same archives; those that only one has count, too.
        let mut heads: Vec<NamedHead> = Vec::new();
        let mut seen = HashSet::new();
        for head in read.iter().flat_map(|(_, store)| &store.heads) {
            if seen.insert(head.archive) {
                heads.push(*head);
            }
        }
        match check_journal(context, &heads) {
            Ok(checked) => {
                journal.report.entries = checked.entries;
                journal.report.head = checked.head.map(|head| head.head);
                journal.last_verify = checked.last.get(&Event::Verified).copied();
                let is_fault = |it: &JournalFault| it.severity == Severity::Fault;
                let state = if checked.faults.is_empty() {
                    "as it was written, as far as archives show"
                } else if checked.faults.iter().any(is_fault) {
                    "not as it was written"
                } else {
                    "begun anew: what archives name of an earlier one is not here"
                };
                state.clone_into(&mut journal.report.state);
                for fault in checked.faults {
                    let remedy = "compare it with an export from before: sealift audit --journal";
                    let it = found(fault.code, fault.archive, None, fault.message, remedy);
                    match fault.severity {
                        Severity::Fault => self.violations.push(it),
                        Severity::Note => self.notes.push(it),
                    }
                }
            }
            Err(error) => {
                let reason = with_cause(&error);
                journal.report.state = format!("it cannot be read: {reason}");
                let message = format!("this host's journal cannot be read: {reason}");
                let remedy = "a new index takes over what can be read of it: sealift index rebuild";
                self.violation("journal-unreadable", None, None, message, remedy);
            }
        }
        journal
    }

    /// Stores that nobody has looked at for long.
    pub(super) fn age(&mut self, last_verify: Option<Timestamp>) {
        let Some(first) = self.merged.archives.first() else {
            return;
        };
        if self.request.signer.is_none() {
            return;
        }
        let since = last_verify.unwrap_or(first.created_at);
        if self.request.now.duration_since(since) > VERIFY_EVERY {
            let message = match last_verify {
                Some(at) => format!("the stores were last verified at {at}"),
                None => "the stores were never verified by this host".to_owned(),
            };
            let remedy = "every night: sealift verify --read-data=10%";
            self.violation("verify-overdue", None, None, message, remedy);
        }
    }
}

/// What was found of the journal.
pub(super) struct Journal {
    pub(super) report: JournalReport,
    /// When this host verified a store last.
    pub(super) last_verify: Option<Timestamp>,
}
