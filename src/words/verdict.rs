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
        let is_fault = |finding: &Finding| finding.severity == Severity::Fault;
        if findings.iter().any(is_fault) {
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

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A restore would fail, or nobody could say that it would not.
    #[default]
    Fault,
    /// A restore works, but not in the way that one might try first.
    Note,
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

/// What trying a key on a dump has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofState {
    /// It opens what is there.
    Proven,
    /// There is nothing to try it on, or too little.
    Unproven,
    /// There is something that it should open, and does not.
    Refuted,
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
