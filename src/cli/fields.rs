//! Fields: what several commands say of a verdict, a key or a dump, in the same words.

use crate::cli::output::note;
use sealift::{DC, DumpFacts, Finding, Load, Proof, ProofState, Severity, Verdict};

/// Lines of a label and a value, the values below each other.
#[derive(Debug, Default)]
pub struct Fields(String);

impl Fields {
    /// One more line; what would move the cursor of a terminal is shown as `?`.
    pub fn add(&mut self, label: &str, value: &str) {
        let value = value.replace(char::is_control, "?");
        self.0.push_str(format!("{label:12}{value}").trim_end());
        self.0.push('\n');
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.0.push('\n');
    }

    /// All lines.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// A finding in one line.
fn finding_text(finding: &Finding) -> String {
    let Finding {
        code,
        component,
        message,
        ..
    } = finding;
    format!("{code} ({component}): {message}")
}

/// Tells of everything that makes an archive suspect, a line each on stderr.
pub fn note_faults(findings: &[Finding]) {
    for finding in findings.iter().filter(|finding| finding.is_fault()) {
        note("finding", &finding_text(finding));
    }
}

/// What was found, and what the keys came to.
pub fn finding_fields(fields: &mut Fields, findings: &[Finding], proofs: &[Proof]) {
    for finding in findings {
        let label = match finding.severity {
            Severity::Fault => "finding",
            Severity::Note => "note",
        };
        fields.add(label, &finding_text(finding));
    }
    for proof in proofs {
        let Proof { key, evidence, .. } = proof;
        let state = proof.state.as_str();
        fields.add("proof", &format!("{key} is {state}: {evidence}"));
    }
}

/// What a dump says of itself.
pub fn dump_fields(fields: &mut Fields, facts: &DumpFacts) {
    let DumpFacts {
        database,
        server_version,
        pg_dump_version,
        archive_version,
        compression,
        ..
    } = facts;
    let server = format!("PostgreSQL {server_version}, database {database:?}");
    fields.add("  server", &server);
    let dump =
        format!("pg_dump {pg_dump_version}, archive version {archive_version}, {compression}");
    fields.add("  made by", &dump);
    let oldest = facts.oldest_pg_restore();
    fields.add("  read by", &format!("pg_restore {oldest} or newer"));
}

/// The commands that load a dump, unless it must not be loaded.
pub fn load_fields(fields: &mut Fields, commands: &[String]) {
    if commands.is_empty() {
        let why = "do not: what is in the database now is better than what is in this";
        return fields.add("  restore", why);
    }
    let when = "in the order that RESTORE.md gives (sealift fetch), when nobody writes:";
    fields.add("  restore", when);
    for command in commands {
        fields.add("", command);
    }
}

/// The commands for a dump, from the first; none if one of the findings forbids them.
pub fn load_commands(load: &Load<'_>, findings: &[Finding]) -> Vec<String> {
    if findings
        .iter()
        .any(|one| one.forbids_loading(load.component))
    {
        return Vec::new();
    }
    let mut commands = vec![DC.to_owned()];
    commands.extend(load.commands());
    commands
}

/// A verdict, with the codes of what speaks against it.
pub fn verdict(verdict: Verdict, findings: &[Finding]) -> String {
    let faults = findings.iter().filter(|finding| finding.is_fault());
    let codes: Vec<&str> = faults.map(|finding| finding.code.as_str()).collect();
    if codes.is_empty() {
        verdict.as_str().into()
    } else {
        format!("{} ({})", verdict.as_str(), codes.join(", "))
    }
}

/// How many keys are in which state, as `3 proven, 1 unproven`.
pub fn key_states(proofs: &[Proof]) -> String {
    let states = [
        ProofState::Proven,
        ProofState::Unproven,
        ProofState::Refuted,
    ];
    let counted = states.map(|state| {
        let in_it = |proof: &&Proof| proof.state == state;
        (proofs.iter().filter(in_it).count(), state.as_str())
    });
    let some = counted.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = some
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    parts.join(", ")
}
