//! `sealift inspect`: dumps on the disk, read to their last byte.

use crate::cli::args::InspectArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fields::{Fields, dump_fields, finding_fields, load_commands, load_fields};
use crate::cli::output::{self, Output};
use crate::cli::session::Session;
use crate::cli::settings::Settings;
use sealift::{
    AuthMode, ComponentName, DumpFacts, Finding, InspectError, InspectRequest, Inspected,
    InspectedDump, Load, Proof, Secret, Verdict, blocking, count, human, inspect, inspection_sets,
    shell_word,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Serialize)]
struct Document {
    verdict: Verdict,
    dumps: Vec<Dump>,
    findings: Vec<Of<Finding>>,
    proofs: Vec<Of<Proof>>,
}

/// Something that was found of some dumps.
#[derive(Serialize)]
struct Of<T> {
    #[serde(flatten)]
    what: T,
    dumps: Vec<PathBuf>,
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
/// A [`Failure`] of the settings, or for the first file that is no dump, once all others are inspected.
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
    let mut failed = Vec::new();
    for dumps in inspection_sets(&args.dumps) {
        let request = InspectRequest {
            dumps,
            auth_mode,
            env: env.clone(),
        };
        let (monitor, cancel) = (Arc::clone(&session.monitor), session.cancel.clone());
        let inspected = blocking(move || inspect(&request, &*monitor, &cancel)).await;
        let inspected = inspected.map_err(|error| Failure::failed(error.to_string()))?;
        let mut inspected = inspected.map_err(InspectError::from)?;
        failed.append(&mut inspected.failed);
        if !inspected.dumps.is_empty() {
            output.line(text(&inspected, env.is_some()).trim_end_matches('\n'))?;
            document.add(inspected);
        }
    }
    if !failed.is_empty() {
        document.verdict = Verdict::Suspect;
    }
    output.result(&document, String::new)?;
    let mut failures = failed.into_iter().map(Failure::from);
    if let Some(first) = failures.next() {
        failures.for_each(|failure| _ = output::failure(&failure));
        return Err(first);
    }
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
        if Verdict::of(&inspected.findings) == Verdict::Suspect {
            self.verdict = Verdict::Suspect;
        }
        let dumps = inspected.dumps;
        let paths: Vec<PathBuf> = dumps.iter().map(|dump| dump.path.clone()).collect();
        let findings = inspected.findings.into_iter();
        self.findings
            .extend(findings.map(|finding| Of::new(finding, &paths)));
        let proofs = inspected.proofs.into_iter();
        self.proofs
            .extend(proofs.map(|proof| Of::new(proof, &paths)));
        self.dumps.extend(dumps.into_iter().map(Dump::from));
    }
}

impl<T> Of<T> {
    fn new(what: T, dumps: &[PathBuf]) -> Self {
        let dumps = dumps.to_vec();
        Self { what, dumps }
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
    let is_app = |dump: &&InspectedDump| dump.component == ComponentName::app();
    let app = inspected.dumps.iter().find(is_app);
    let app = app.and_then(|dump| dump.facts.as_ref());
    for dump in &inspected.dumps {
        fields.add("dump", &dump.path.display().to_string());
        fields.add("  component", dump.component.as_str());
        fields.add("  size", &human(dump.bytes));
        fields.add("  rows", &rows(dump));
        if let Some(facts) = &dump.facts {
            dump_fields(&mut fields, facts);
            let load = Load {
                component: &dump.component,
                facts: Some(facts),
                app,
                dump: &shell_word(&dump.path.display().to_string()),
                script: &format!("{}.sql", dump.component),
            };
            load_fields(&mut fields, &load_commands(&load, &inspected.findings));
        }
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

fn rows(dump: &InspectedDump) -> String {
    let Some(tables) = &dump.rows else {
        return "unknown: it cannot be read to its end".into();
    };
    let rows = count(tables.values().sum(), "row");
    let tables = count(tables.len() as u64, "table");
    format!("{rows} in {tables}, read to the last byte")
}
