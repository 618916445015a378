//! What `verify` prints: a document for programs, and lines for people.

use sealift::{
    ArchiveId, ComponentName, Healed, Remains, Restorable, SeenArchive, Sequence, Timestamp,
    VerifyReport, count, human,
};
use serde::Serialize;
use std::fmt::Write;

/// The document.
#[derive(Serialize)]
pub struct Document {
    /// Nothing is wrong.
    pub ok: bool,
    /// What was looked at.
    pub checked: Checked,
    violations: Vec<Violation>,
    /// What can still be had back.
    pub restorable: RestorableDocument,
    healed: Vec<HealedObject>,
}

/// What was looked at.
#[derive(Default, Serialize)]
pub struct Checked {
    stores: usize,
    /// Archives in all of them.
    pub archives: u64,
    blobs: u64,
    blobs_read: u64,
    bytes_read: u64,
    read_before: u64,
    components_opened: u64,
    components_unopened: u64,
}

#[derive(Serialize)]
struct Violation {
    store: String,
    code: &'static str,
    archive: Option<Sequence>,
    message: String,
}

#[derive(Serialize)]
struct HealedObject {
    store: String,
    object: String,
    was: &'static str,
    from: String,
}

/// What can still be had back.
#[derive(Default, Serialize)]
pub struct RestorableDocument {
    whole: u64,
    newest: Option<Named>,
    damaged: Vec<DamagedArchive>,
}

#[derive(Serialize)]
struct Named {
    sequence: Sequence,
    id: ArchiveId,
    captured_at: Timestamp,
}

#[derive(Serialize)]
struct DamagedArchive {
    #[serde(flatten)]
    archive: Named,
    whole: Vec<ComponentName>,
    lost: Vec<ComponentName>,
}

impl From<SeenArchive> for Named {
    fn from(seen: SeenArchive) -> Self {
        Self {
            sequence: seen.sequence,
            id: seen.id,
            captured_at: seen.captured_at,
        }
    }
}

impl From<Restorable> for RestorableDocument {
    fn from(restorable: Restorable) -> Self {
        let damaged = |remains: Remains| DamagedArchive {
            archive: remains.archive.into(),
            whole: remains.whole,
            lost: remains.lost,
        };
        Self {
            whole: restorable.whole,
            newest: restorable.newest.map(Named::from),
            damaged: restorable.damaged.into_iter().map(damaged).collect(),
        }
    }
}

impl Document {
    /// Nothing is wrong so far in so many stores.
    pub fn new(stores: usize) -> Self {
        Self {
            ok: true,
            checked: Checked {
                stores,
                ..Checked::default()
            },
            violations: Vec::new(),
            restorable: RestorableDocument::default(),
            healed: Vec::new(),
        }
    }

    /// Something is wrong.
    pub fn add(
        &mut self,
        store: &str,
        code: &'static str,
        archive: Option<Sequence>,
        message: String,
    ) {
        self.ok = false;
        self.violations.push(Violation {
            store: store.to_owned(),
            code,
            archive,
            message,
        });
    }

    /// Takes over what one store came to.
    pub fn report(&mut self, store: &str, report: &mut VerifyReport) {
        let checked = &mut self.checked;
        checked.archives += report.archives;
        checked.blobs += report.blobs;
        checked.blobs_read += report.blobs_read;
        checked.bytes_read += report.bytes_read;
        checked.read_before += report.read_before;
        checked.components_opened += report.opened;
        checked.components_unopened += report.unopened;
        for found in std::mem::take(&mut report.violations) {
            self.add(store, found.code, found.archive, found.in_full());
        }
        let healed = report.healed.drain(..);
        self.healed.extend(healed.map(|healed| {
            let Healed {
                object, was, from, ..
            } = healed;
            HealedObject {
                store: store.to_owned(),
                object,
                was,
                from,
            }
        }));
    }
}

/// The same for people. Writing to a String cannot fail.
pub fn text(document: &Document) -> String {
    let mut text = String::new();
    for healed in &document.healed {
        let HealedObject {
            store,
            object,
            was,
            from,
        } = healed;
        let _ = writeln!(
            text,
            "healed: {object} in {store} was {was}; the good copy is from {from}"
        );
    }
    for violation in &document.violations {
        let _ = writeln!(text, "{}: {}", violation.code, violation.message);
    }
    if !document.ok {
        text.push_str(&remains(&document.restorable));
    }
    let checked = &document.checked;
    let verdict = match document.violations.len() {
        0 => "no violations".to_owned(),
        found => count(found as u64, "violation"),
    };
    let archives = count(checked.archives, "archive");
    let stores = match checked.stores {
        1 => String::new(),
        several => format!(" in {several} stores"),
    };
    let _ = writeln!(
        text,
        "{archives}{stores}: signatures and chain checked, {} looked for{}: {verdict}",
        count(checked.blobs, "blob"),
        more(checked),
    );
    text
}

/// What was looked at besides names and sizes.
fn more(checked: &Checked) -> String {
    let mut text = String::new();
    if checked.blobs_read + checked.read_before > 0 {
        let read = count(checked.blobs_read, "blob");
        let _ = write!(text, ", {read} read ({})", human(checked.bytes_read));
    }
    if checked.read_before > 0 {
        let before = count(checked.read_before, "blob");
        let _ = write!(text, ", {before} read before it was interrupted");
    }
    if checked.components_opened > 0 {
        let opened = count(checked.components_opened, "component");
        let _ = write!(text, ", {opened} decrypted");
    }
    if checked.components_unopened > 0 {
        let closed = count(checked.components_unopened, "component");
        let _ = write!(
            text,
            ", {closed} NOT decrypted, which this identity does not open"
        );
    }
    text
}

fn remains(restorable: &RestorableDocument) -> String {
    let mut text = String::new();
    let list = |names: &[ComponentName]| {
        let names: Vec<&str> = names.iter().map(ComponentName::as_str).collect();
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    };
    for damaged in &restorable.damaged {
        let DamagedArchive {
            archive,
            whole,
            lost,
        } = damaged;
        let _ = writeln!(
            text,
            "still to be had of archive {} ({}): {}; damaged: {}",
            archive.sequence,
            archive.id.short(),
            list(whole),
            list(lost)
        );
    }
    let whole = count(restorable.whole, "archive");
    let _ = match &restorable.newest {
        Some(newest) => writeln!(
            text,
            "{whole} whole, as far as was looked; the newest that is sound is {} of {}: sealift \
             fetch --id {} --identity FILE --out DIR",
            newest.sequence,
            newest.captured_at,
            newest.id.short()
        ),
        None => writeln!(
            text,
            "{whole} whole, as far as was looked; none of them is sound"
        ),
    };
    text
}
