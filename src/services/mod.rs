//! Floor 4, the services: operations put together into something that runs by itself.
//!
//! Promise: a service decides when an operation runs and with what, and nothing else; whatever
//! touches a store does so through the operations below.

pub mod catch_up;
pub mod demo;
#[cfg(test)]
mod rehearsal;
pub mod sidecar;
pub mod watch;
