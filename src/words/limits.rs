//! The constants that bound memory, whatever the size of a dump.
//!
//! A push holds one blob that is being sealed, [`UPLOADS_IN_FLIGHT`] that are being stored, and
//! [`CHUNKS_IN_FLIGHT`] chunks between two threads. A fetch holds one blob's plain bytes and the
//! sealed bytes of that blob or of the next, besides one blob of recipes.

use jiff::SignedDuration;
use std::time::Duration;

/// The smallest chunk, but for the last of a component.
pub const CHUNK_MIN: usize = 16 * 1024;
/// The size that chunks have on average.
pub const CHUNK_AVERAGE: usize = 64 * 1024;
/// The largest chunk.
pub const CHUNK_MAX: usize = 256 * 1024;

/// A blob closes before it would hold more plain bytes than this.
pub const BLOB_TARGET: usize = 12 * 1024 * 1024;
/// No blob of the format holds more plain bytes than this.
pub const BLOB_PLAIN_MAX: u64 = 32 * 1024 * 1024;
/// No blob of the format is larger than this when sealed.
pub const BLOB_SEALED_MAX: u64 = 34 * 1024 * 1024;

/// The capacity of every buffer that holds a blob, so that none ever grows.
///
/// It is above 32 MiB on purpose: from there on the GNU allocator always maps memory of its own and
/// gives it back when it is freed; below, it would keep it for later, in each thread. Pages that
/// were never written to take no memory.
pub const BLOB_BUFFER: usize = 35 * 1024 * 1024;

/// No manifest is larger than this: about 100,000 blobs, or 1.5 TiB in one archive.
pub const MANIFEST_MAX: u64 = 16 * 1024 * 1024;
/// No record is larger than this: a retirement of about 200,000 blobs.
pub const RECORD_MAX: u64 = 16 * 1024 * 1024;
/// No signature is larger than this.
pub const SIGNATURE_MAX: u64 = 16 * 1024;
/// No line of a recipe is longer than this.
pub const RECIPE_LINE_MAX: usize = 160;
/// So many extents of a recipe are put into the order of blobs at a time; 24 bytes each.
pub const RECIPE_WINDOW: usize = 256 * 1024;

/// Chunks on their way from the reader to the sealer.
pub const CHUNKS_IN_FLIGHT: usize = 16;
/// So long all in all a push waits for a store that is slower than the others: a blob in memory
/// cannot wait for it any longer, so it is filled from another store afterwards.
pub const PATIENCE_WITH_SLOW: Duration = Duration::from_secs(30);
/// Sealed blobs on their way to the stores, besides the one being sealed.
pub const UPLOADS_IN_FLIGHT: usize = 1;
/// A copy from store to store holds so many bytes of blobs at once, but one blob at least.
pub const COPY_BYTES_IN_FLIGHT: u64 = 20 * 1024 * 1024;
/// So many small objects are read or copied at once.
pub const READS_IN_FLIGHT: usize = 8;

/// What no archive needs stays in the stores for so long, unless the operator says otherwise: twice what
/// a push may take.
pub const GRACE: SignedDuration = SignedDuration::from_hours(24);
/// A push uses a blob again that no archive needs, if it was stored less than this ago.
pub const UNNEEDED_REUSE: SignedDuration = SignedDuration::from_hours(12);

/// The env file is read whole, up to this size.
pub const ENV_FILE_MAX: u64 = 1024 * 1024;
/// No dump has more tables than this; each takes about 1 KiB at most while a dump is read.
pub const DUMP_TABLES_MAX: usize = 10_000;
/// Longer rows of a dump are counted, but not looked into.
pub const DUMP_ROW_MAX: usize = 1024 * 1024;
/// No string in a dump's table of contents is longer than this.
pub const DUMP_STRING_MAX: u64 = 64 * 1024 * 1024;
/// No detail of a journal's entry has more characters than this.
pub const JOURNAL_DETAIL_MAX: usize = 1000;
/// So many faults of a journal are told; the first says enough.
pub const JOURNAL_FAULTS_MAX: usize = 100;
/// So many entries of the journal are read at a time.
pub const JOURNAL_PAGE: u32 = 256;
/// An index that is rebuilt knows the chunks of so many archives, the newest.
pub const REBUILT_ARCHIVES: usize = 3;
