//! Floor 0, the words every other floor speaks.
//!
//! Promise: nothing here touches a file, the environment, a clock or the network, so every floor
//! may use it and every test may build it from literals. The types are small and closed: a value
//! of one of them is valid, because it can only be made by a function that checked it.

pub mod cancel;
pub mod cause;
pub mod class;
pub mod clock;
pub mod ids;
pub mod limits;
pub mod monitor;
pub mod quantity;
pub mod secret;
pub mod verdict;
