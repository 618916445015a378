//! The integration tests: the house, and the program as people run it.
#![allow(
    clippy::too_many_lines,
    reason = "a scenario is told from start to end"
)]

mod audit;
mod buckets;
mod contract;
mod crash;
mod crash_matrix;
mod credentials;
mod cycle;
mod database_settings;
mod deploy;
mod distrust;
mod dumping;
mod dumps;
mod faults;
mod fetch;
mod hold;
mod house;
mod includes;
mod journal;
mod kept;
mod pings;
mod proof_places;
mod proofs;
mod prune;
mod readme;
mod rebuild;
mod recipients;
mod recovery;
mod refusals;
mod report_page;
mod restore_commands;
mod retention;
mod reuse;
mod setup;
mod several;
mod sidecar;
mod signers;
mod store_errors;
mod support;
mod truncation;
mod two_hosts;
mod upstream;
mod verify;
mod watch;
