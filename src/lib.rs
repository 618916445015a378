//! temporary
pub mod formats;
pub mod ports;
pub mod words;
