//! `sealift inspect`: dumps on the disk, read to their last byte.

use crate::cli::args::InspectArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fields::{Fields, finding_fields, restore_fields};
use crate::cli::output::{Output, count, human};
use crate::cli::session::Session;
use crate::cli::settings::Settings;
use sealift::{
    AuthMode, ComponentName, DumpFacts, Finding, InspectRequest, Inspected, InspectedDump, Proof,
    Secret, Verdict, blocking, inspect,
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

/// Inspects dumps; the store and the index are not looked at.
///
/// # Errors
/// A [`Failure`] of the settings, or for a file that is no dump.
pub async fn run(session: &Session, args: InspectArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let env = env(&settings)?;
    let has_env = env.is_some();
    let request = InspectRequest {
        dumps: args.dumps,
        auth_mode: auth_mode(&settings, env.as_ref())?,
        env,
    };
    let (monitor, cancel) = (Arc::clone(&session.monitor), session.cancel.clone());
    let inspected = blocking(move || inspect(&request, &*monitor, &cancel)).await;
    let document = Document::from(inspected.map_err(|error| Failure::failed(error.to_string()))??);
    output.result(&document, || text(&document, has_env))?;
    Ok(match document.verdict {
        Verdict::Sound => Exit::Done,
        Verdict::Suspect => Exit::Suspect,
    })
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

impl From<Inspected> for Document {
    fn from(inspected: Inspected) -> Self {
        Self {
            verdict: Verdict::of(&inspected.findings),
            dumps: inspected.dumps.into_iter().map(Dump::from).collect(),
            findings: inspected.findings,
            proofs: inspected.proofs,
        }
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

fn text(document: &Document, has_env: bool) -> String {
    let mut fields = Fields::default();
    for dump in &document.dumps {
        dump_fields(&mut fields, dump);
        fields.gap();
    }
    if has_env {
        finding_fields(&mut fields, &document.findings, &document.proofs);
    } else {
        finding_fields(&mut fields, &document.findings, &[]);
        fields.add(
            "proof",
            "none: no env file is set, so no key was tried; --env-file FILE",
        );
    }
    fields.add("verdict", document.verdict.as_str());
    fields.into_text()
}

fn dump_fields(fields: &mut Fields, dump: &Dump) {
    fields.add("dump", &dump.path.display().to_string());
    fields.add("  component", dump.component.as_str());
    fields.add("  size", &human(dump.bytes));
    match &dump.tables {
        None => fields.add("  rows", "unknown: it cannot be read to its end"),
        Some(tables) => {
            let rows = tables.values().sum();
            let (rows, tables) = (count(rows, "row"), count(tables.len() as u64, "table"));
            fields.add("  rows", &format!("{rows} in {tables}"));
        }
    }
    if let Some(facts) = &dump.facts {
        restore_fields(
            fields,
            facts,
            &dump.component,
            &dump.path.display().to_string(),
        );
    }
}
