//! temporary
pub mod formats;
pub mod operations;
pub mod ports;
pub mod words;
