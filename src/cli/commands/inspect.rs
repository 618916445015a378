//! `sealift inspect`: dumps on the disk, read to their last byte.

use crate::cli::args::InspectArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fields::{Fields, finding_fields, restore_fields};
use crate::cli::output::{self, Output, count, human};
use crate::cli::session::Session;
use crate::cli::settings::Settings;
use sealift::{
    AuthMode, ComponentName, DumpFacts, Finding, InspectError, InspectRequest, Inspected,
    InspectedDump, Proof, Secret, Verdict, blocking, inspect, inspection_sets,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Serialize)]
struct Document {
    verdict: Verdict,
    dumps: Vec<Dump>,
    findings: Vec<Finding>,
    proofs: Vec<Proof>,
}

#[derive(Serialize)]
struct Dump {
    path: PathBuf,
    component: ComponentName,
    bytes: u64,
    #[serde(rename = "dump")]
    facts: Option<DumpFacts>,
    /// Rows by table, if the dump is whole.
    tables: Option<BTreeMap<String, u64>>,
    oldest_pg_restore: Option<u32>,
}

/// Inspects dumps, pair by pair; the store and the index are not looked at.
///
/// # Errors
/// A [`Failure`] of the settings, or for the first file that is no dump, once the others are inspected.
pub async fn run(session: &Session, args: InspectArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let env = env(&settings)?;
    if env.is_none() {
        session
            .monitor
            .warn("no env file is set, so no key is tried; say where it is: --env-file FILE");
    }
    let auth_mode = auth_mode(&settings, env.as_ref())?;
    let mut document = Document::default();
    let mut failed = None;
    for dumps in inspection_sets(&args.dumps) {
        let request = InspectRequest {
            dumps,
            auth_mode,
            env: env.clone(),
        };
        let (monitor, cancel) = (Arc::clone(&session.monitor), session.cancel.clone());
        let inspected = blocking(move || inspect(&request, &*monitor, &cancel)).await;
        match inspected.map_err(|error| Failure::failed(error.to_string()))? {
            Ok(inspected) => {
                output.line(text(&inspected, env.is_some()).trim_end_matches('\n'))?;
                document.add(inspected);
            }
            Err(error @ InspectError::Cancelled(_)) => return Err(error.into()),
            Err(error) => {
                let failure = Failure::from(error);
                if let Some(before) = failed.replace(failure) {
                    output::failure(&before);
                }
            }
        }
    }
    output.result(&document, String::new)?;
    match failed {
        Some(failure) => Err(failure),
        None if document.verdict == Verdict::Suspect => Ok(Exit::Suspect),
        None => Ok(Exit::Done),
    }
}

/// The env file. One that is named and not there is a mistake: nothing would be proven, silently.
fn env(settings: &Settings) -> Result<Option<Secret>, Failure> {
    let env = settings.env()?;
    match &settings.env_file {
        Some(path) if env.is_none() => {
            let path = path.display();
            Err(Failure::usage(format!("there is no env file {path}"))
                .hint("say where it is: --env-file FILE"))
        }
        _ => Ok(env),
    }
}

/// Without an env file no key is tried, and it does not matter how people sign in.
fn auth_mode(settings: &Settings, env: Option<&Secret>) -> Result<AuthMode, Failure> {
    match env {
        Some(env) => settings.auth_mode(Some(env)),
        None => Ok(AuthMode::default()),
    }
}

impl Default for Document {
    fn default() -> Self {
        Self {
            verdict: Verdict::Sound,
            dumps: Vec::new(),
            findings: Vec::new(),
            proofs: Vec::new(),
        }
    }
}

impl Document {
    fn add(&mut self, inspected: Inspected) {
        self.dumps
            .extend(inspected.dumps.into_iter().map(Dump::from));
        self.findings.extend(inspected.findings);
        self.proofs.extend(inspected.proofs);
        self.verdict = Verdict::of(&self.findings);
    }
}

impl From<InspectedDump> for Dump {
    fn from(dump: InspectedDump) -> Self {
        Self {
            oldest_pg_restore: dump.facts.as_ref().map(DumpFacts::oldest_pg_restore),
            path: dump.path,
            component: dump.component,
            bytes: dump.bytes,
            facts: dump.facts,
            tables: dump.rows,
        }
    }
}

fn text(inspected: &Inspected, has_env: bool) -> String {
    let mut fields = Fields::default();
    for dump in &inspected.dumps {
        dump_fields(&mut fields, dump);
        fields.gap();
    }
    finding_fields(&mut fields, &inspected.findings, &inspected.proofs);
    let verdict = Verdict::of(&inspected.findings).as_str();
    if has_env {
        fields.add("verdict", verdict);
    } else {
        fields.add(
            "verdict",
            &format!("{verdict}, as far as can be said without the keys"),
        );
    }
    fields.gap();
    fields.into_text()
}

fn dump_fields(fields: &mut Fields, dump: &InspectedDump) {
    fields.add("dump", &dump.path.display().to_string());
    fields.add("  component", dump.component.as_str());
    fields.add("  size", &human(dump.bytes));
    match &dump.rows {
        None => fields.add("  rows", "unknown: it cannot be read to its end"),
        Some(tables) => {
            let rows = tables.values().sum();
            let (rows, tables) = (count(rows, "row"), count(tables.len() as u64, "table"));
            fields.add(
                "  rows",
                &format!("{rows} in {tables}, read to the last byte"),
            );
        }
    }
    if let Some(facts) = &dump.facts {
        restore_fields(
            fields,
            facts,
            &dump.component,
            &dump.path.display().to_string(),
            dump.rows.is_none(),
        );
    }
}
