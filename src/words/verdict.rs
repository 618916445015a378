//! Verdicts, findings and proofs: what is known of an archive, for programs and for people.

use crate::words::ids::ComponentName;
use serde::{Deserialize, Serialize};

/// Whether an archive can be trusted to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing was found against it.
    Sound,
    /// Something was; see the findings.
    Suspect,
}

impl Verdict {
    /// What some findings come to.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        if findings.iter().any(Finding::is_fault) {
            Self::Suspect
        } else {
            Self::Sound
        }
    }

    /// The word, as in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Suspect => "suspect",
        }
    }
}

/// Something that was found out about an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A word for programs; docs/FORMAT.md lists them.
    pub code: String,
    /// How much it matters.
    #[serde(default)]
    pub severity: Severity,
    /// The component it is about.
    pub component: ComponentName,
    /// A sentence for people.
    pub message: String,
}

/// How much a finding matters. A reader takes a word that it does not know for a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A restore works, but not in the way that one might try first, or not of every last thing.
    Note,
    /// A restore would fail, or nobody could say that it would not.
    #[default]
    #[serde(other)]
    Fault,
}

impl Finding {
    /// A finding that makes an archive suspect.
    #[must_use]
    pub fn fault(code: &str, component: ComponentName, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            severity: Severity::Fault,
            component,
            message: message.into(),
        }
    }

    /// A finding that does not.
    #[must_use]
    pub fn note(code: &str, component: ComponentName, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::fault(code, component, message)
        }
    }

    /// Whether it says of a dump that it must not be loaded.
    #[must_use]
    pub fn forbids_loading(&self, component: &ComponentName) -> bool {
        let codes = ["dump-unreadable", "dump-foreign"];
        codes.contains(&self.code.as_str()) && self.component == *component
    }

    /// Whether it makes an archive suspect.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.severity == Severity::Fault
    }
}

/// Whether a key of the env file was seen to open data in a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The key's name in the env file.
    pub key: String,
    /// What was seen.
    pub state: ProofState,
    /// How many values it opened.
    #[serde(default)]
    pub opened: u64,
    /// How many values it should have opened, and did not.
    #[serde(default)]
    pub failed: u64,
    /// The same in words, by table.
    #[serde(default)]
    pub evidence: String,
}

/// What trying a key on a dump has shown. A reader takes a word that it does not know for `unproven`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofState {
    /// It opens what is there.
    Proven,
    /// There is something that it should open, and it opens nothing.
    Refuted,
    /// There is nothing to try it on, or too little.
    #[serde(other)]
    Unproven,
}

impl ProofState {
    /// The word, as in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Unproven => "unproven",
            Self::Refuted => "refuted",
        }
    }
}
