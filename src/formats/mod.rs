//! Floor 1, the formats: bytes in, bytes out.
//!
//! Promise: pure and synchronous. No file system, environment, clock, tokio, store or SQL, so each
//! format is tested with literals alone, and reading hostile bytes can do no more than fail.

pub mod chunk;
pub mod envfile;
pub mod envkeys;
pub mod guide;
pub mod journal;
pub mod manifest;
pub mod pgdump;
pub mod proof;
pub mod recipe;
pub mod recipients;
pub mod record;
pub mod report;
pub mod restore_command;
pub mod retention;
pub mod schedule;
pub mod scratch;
pub mod seal;
pub mod signature;
pub mod tree;
