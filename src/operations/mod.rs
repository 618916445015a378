//! Floor 3, the operations: what a command does, from the first read to the last fsync.
//!
//! Promise: an operation returns success only for what is durable and was checked, and an error
//! leaves the store, the index and the output folder as they were, or better. It is given
//! everything it needs and prints nothing.

pub mod audit;
pub mod catalog;
pub mod choice;
pub mod context;
pub mod download;
pub mod dump;
pub mod expire;
pub mod fetch;
pub mod hold;
pub mod inspect;
pub mod journal;
pub mod needs;
pub mod off_site;
pub mod pipeline;
pub mod place;
pub mod prune;
pub mod push;
pub mod rebuild;
pub mod records;
pub mod replicate;
pub mod standing;
pub mod verify;
pub mod warnings;
