//! sealift: off-site backups for a lazyit instance, and the whole way back.
//!
//! A pair of dumps and an env file become one signed archive in a store; an archive becomes the
//! same files again. The host that pushes cannot open what it pushed.
//!
//! Floors, each of which knows only those below it (docs/ARCHITECTURE.md):
//!
//! | floor | module | what it is |
//! | --- | --- | --- |
//! | 0 | `words` | the vocabulary: ids, limits, time, cancellation, progress |
//! | 1 | `formats` | bytes in, bytes out: dumps, chunks, blobs, recipes, manifests, signatures; schedules, retention |
//! | 2 | `ports` | the world: the backups folder, servers, the store, the index, files |
//! | 3 | `operations` | dump, push, expire, fetch, verify, and the catalog they share |
//! | 4 | `services` | operations put together: the watch, the sidecar, the demo |
//! | 5 | the program | arguments, settings, output; not part of the library |
//!
//! The library never prints, exits or reads the environment.

mod formats;
mod operations;
mod ports;
mod services;
mod words;

pub use formats::chunk::{ChunkKey, ChunkWriter};
pub use formats::envfile::{EnvFile, EnvFileError};
pub use formats::guide::output_name;
pub use formats::journal::{
    Entry, Event, JournalCheck, JournalChecked, JournalFault, JournalHead, NamedHead, Recorded,
    check as check_entries,
};
pub use formats::manifest::{BlobEntry, Component, Kind, Manifest, Verified};
pub use formats::pgdump::{
    DumpError, DumpFacts, DumpReport, Row, RowVisitor, Table, Unreadable, Wanted,
    inspect as inspect_dump,
};
pub use formats::recipients::{
    KeyError, Recipients, Unwrapper, generate_identity, read_identities,
};
pub use formats::record::{HoldKind, REASON_MAX};
pub use formats::report::{
    ArchiveReport, AuditReport, Checked as AuditChecked, JournalReport, Plain, RetirementReport,
    StoreReport, Violation as AuditViolation, html as audit_html, line as audit_line,
    prometheus as audit_prometheus, text as audit_text,
};
pub use formats::restore_command::{DC, Load, shell_word};
pub use formats::retention::{
    BadLabelPattern, BadWithin, Decision, Kept, LabelPattern, Period, Point, Policy, Rules, Within,
    plan as plan_retention,
};
pub use formats::schedule::{BadSchedule, Schedule, Ticks};
pub use formats::seal::{BlobWriter, Checked, SealError, Sealed, Unchecked, open as open_blob};
pub use formats::signature::{SignatureError, SigningKey, TrustedSigners};
pub use operations::audit::{AuditRequest, audit};
pub use operations::catalog::{Broken, Catalog, ComponentSummary, Summary, load};
pub use operations::choice::{Chosen, NoSuchArchive, Selector, Trust};
pub use operations::context::{Context, SharedIndex};
pub use operations::dump::{
    DumpRequest, DumpRunError, Dumped, DumpedHalf, dump, remove_leftovers, space_needed,
};
pub use operations::expire::{
    Expiry, ExpiryPlan, LocalDump, Reason, Removal, plan as plan_expiry, remove as remove_dump,
};
pub use operations::fetch::{FetchError, FetchRequest, Fetched, FetchedFile, fetch};
pub use operations::hold::{HoldError, HoldOutcome, hold};
pub use operations::inspect::{
    InspectError, InspectRequest, Inspected, InspectedDump, inspect, inspection_sets,
};
pub use operations::journal::{ExportError, check_journal, export_journal};
pub use operations::needs::Amount;
pub use operations::off_site::{Compare, OffSiteError, local_dumps};
pub use operations::pipeline::blocking;
pub use operations::prune::{
    Finishing, Leaving, PruneError, PrunePlan, PruneRequest, Pruned, StorePlan, StorePruned,
    execute as execute_prune, plan as plan_prune,
};
pub use operations::push::{
    PushError, PushKeys, PushRequest, Pushed, never_archived, push, unarchived,
};
pub use operations::rebuild::{ChunkKeys, RebuildError, Rebuilt, rebuild};
pub use operations::records::{BrokenRecord, LastHold, RecordWriteError, Records, Retired};
pub use operations::replicate::{Emptied, ReplicateError, Replicated, replicate};
pub use operations::standing::{LeftOut, Reached, Standing};
pub use operations::verify::{
    ComponentState, Damaged, Healed, Opening, Remains, Restorable, SeenArchive, Share, State,
    VerifyError, VerifyOptions, VerifyReport, Violation, restorable, verify, verify_with,
};
pub use operations::warnings::{Situation, Warning, warnings};
pub use ports::backups::{
    AuthMode, BackupsError, FileState, FolderEvents, Half, NoEvents, Pair, Pairing, Seen, look,
    pair_up, pairs_of, scan,
};
pub use ports::command::{CommandError, call};
pub use ports::files::{
    FileError, HostLock, create_private_folder, free_space, read_secret, write_new,
};
pub use ports::heartbeat::{Heartbeat, Pulse};
pub use ports::includes::{Include, IncludeError};
pub use ports::index::{
    ChunkPlace, Extract, Index, IndexError, NewBlob, Note, Opened, Place, ReadRun, Repair, Run,
    StoreState,
};
pub use ports::plugins::resolve as resolve_recipients;
pub use ports::postgres::{Connection, DumpLimits, PgDump, PostgresError, Programs, Unusable};
pub use ports::store::{
    BadBundle, BadUrl, BucketOptions, BucketUrl, Checksums, Creation, Deletion, Exclusivity, Lock,
    Network, NetworkSettings, Ping, PingError, Probe, Refusal, Service, Store, StoreError,
    StoreUrl, check_ping_address,
};
pub use ports::systemd::Systemd;
pub use services::catch_up::{CaughtUp, catch_up};
pub use services::demo::{DemoError, demo};
pub use services::sidecar::{Came, DueRun, Night, NightReport, Sidecar, night, serve};
pub use services::watch::{
    Complaint, Due, End, News, Outcome, Round, Sight, Step, Waiting, WakeOn, World, watch,
};
pub use words::cancel::{Cancel, Cancelled};
pub use words::cause::with_cause;
pub use words::class::Class;
pub use words::clock::{Clock, Timestamp};
pub use words::ids::{
    ArchiveId, BadName, BlobId, ChunkId, ComponentName, Digest, Instance, Sequence,
};
pub use words::limits::{ENV_FILE_MAX, GRACE};
pub use words::monitor::{Monitor, Unwatched};
pub use words::quantity::{count, human};
pub use words::secret::Secret;
pub use words::verdict::{Finding, Proof, ProofState, Severity, Verdict};
