//! What only this host knows: its journal, and when it verified.

use super::Audit;
use super::gather::Gathered;
use super::rules::found;
use crate::formats::journal::{Event, NamedHead};
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
                let is_whole = checked
                    .faults
                    .iter()
                    .all(|it| it.severity != Severity::Fault);
                journal.report.state = if is_whole {
                    "as it was written, as far as archives show".to_owned()
                } else {
                    "not as it was written".to_owned()
                };
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
                journal.report.state = format!("it cannot be read: {}", with_cause(&error));
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
            let remedy = "sealift verify --read-data=10%, every night";
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
