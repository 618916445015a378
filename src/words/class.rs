//! The two classes of bytes, which decide who may open them and whether they are deduplicated.

use serde::{Deserialize, Serialize};

/// Who a component is for.
///
/// The classes never share a blob, so that the recipients of one cannot open the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Dumps and attachments: large, deduplicated.
    Data,
    /// The env file and other keys: small, never deduplicated, no digest of theirs is public.
    Secrets,
}

impl Class {
    /// The word used in settings and manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Secrets => "secrets",
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
