//! Bytes that must not be seen: wiped when dropped, never shown by `Debug`.

use std::fmt;
use zeroize::Zeroizing;

/// The bytes of a key or of the env file.
///
/// The allocation is wiped when it is dropped; growing it would leave copies behind, so it is made
/// from a finished vector and never grows.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for as long as they are needed.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_alone() {
        let shown = format!("{:?}", Secret::new(b"hunter2".to_vec()));
        assert_eq!(shown, "Secret(7 bytes)");
    }
}
