//! One file a command: arguments in, operation, result out. Commands do not know each other.

pub mod audit;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod dump;
pub mod fetch;
pub mod health;
pub mod hold;
pub mod index;
pub mod init;
pub mod inspect;
pub mod list;
pub mod man;
pub mod prune;
pub mod push;
pub mod replicate;
pub mod run;
pub mod show;
pub mod verify;
pub mod watch;
