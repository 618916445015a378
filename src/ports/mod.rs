//! Floor 2, the ports: everything that touches the world outside the process.
//!
//! Promise: each port is the only user of what it wraps (`store` of `object_store`, `index` of
//! `rusqlite`), so a fault of that world has one place where it becomes an error of ours.

pub mod backups;
pub mod command;
pub mod files;
pub mod heartbeat;
pub mod includes;
pub mod index;
pub mod plugins;
pub mod postgres;
pub mod store;
pub mod systemd;
