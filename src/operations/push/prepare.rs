//! Before anything is stored: what will be in the archive, and what is known against it.

use super::PushRequest;
use super::error::PushError;
use super::source::{Content, Source};
use crate::formats::envkeys::key_findings;
use crate::formats::manifest::{Finding, Kind, is_plain_file_name};
use crate::formats::pgdump::{DumpError, DumpReport, Unreadable, inspect};
use crate::operations::context::Context;
use crate::ports::backups::{AuthMode, BackupsError, Half, wait_until_settled};
use crate::ports::files::FileError;
use crate::ports::includes::Include;
use crate::words::class::Class;
use crate::words::clock::Timestamp;
use crate::words::ids::ComponentName;
use std::fs::File;
use std::io::{self, BufReader, Read};

/// What is archived, and what was found.
pub(super) struct Prepared {
    pub(super) sources: Vec<Source>,
    pub(super) about: About,
}

/// What the manifest says of the pair as a whole.
pub(super) struct About {
    pub(super) captured_at: Timestamp,
    pub(super) label: String,
    pub(super) tool: String,
    pub(super) findings: Vec<Finding>,
}

/// Chooses the sources: data before secrets, so that a class is written in one go.
pub(super) fn prepare(request: PushRequest, context: &Context) -> Result<Prepared, PushError> {
    let mut findings = missing(&request);
    let mut sources = Vec::new();
    for half in request.pair.halves() {
        sources.push(dump(half, &mut findings, context)?);
    }
    for include in request.includes {
        sources.push(included(include)?);
    }
    if let Some(env) = request.env {
        if !env.expose().is_empty() {
            findings.extend(key_findings(
                env.expose(),
                request.auth_mode == AuthMode::Oidc,
            ));
        }
        sources.push(Source {
            name: ComponentName::env(),
            kind: Kind::Env,
            class: Class::Secrets,
            file: ".env.prod".into(),
            dump: None,
            content: Content::Secret(env),
        });
    }
    sources.sort_by_key(|source| source.class);
    let about = About {
        captured_at: request.captured_at,
        label: request.pair.label().to_owned(),
        tool: request.tool,
        findings,
    };
    Ok(Prepared { sources, about })
}

fn dump(half: &Half, findings: &mut Vec<Finding>, context: &Context) -> Result<Source, PushError> {
    let state = wait_until_settled(&half.path, &context.cancel);
    context.cancel.check()?;
    let state = state?;
    let facts = match read_to_the_end(half, state.bytes, context)? {
        Ok(report) => Some(report.facts),
        Err(found) => {
            let component = half.name.component.clone();
            let message = format!("the {component} dump cannot be restored: {}", found.error);
            findings.push(Finding {
                code: "dump-unreadable".into(),
                component,
                message,
            });
            found.facts
        }
    };
    Ok(Source {
        name: half.name.component.clone(),
        kind: Kind::Dump,
        class: Class::Data,
        file: file_name(half)?,
        dump: facts,
        content: Content::File(half.path.clone(), state),
    })
}

/// A dump that is damaged is archived all the same; what is no dump at all, is not.
fn read_to_the_end(half: &Half, bytes: u64, context: &Context) -> Result<Inspected, PushError> {
    let unreadable = || FileError::new("read", &half.path);
    let file = File::open(&half.path).map_err(unreadable())?;
    context.monitor.begin("inspect", Some(bytes));
    let watched = Watched {
        inner: file,
        context,
    };
    let inspected = inspect(BufReader::with_capacity(256 * 1024, watched));
    context.monitor.end();
    context.cancel.check()?;
    let found = match inspected {
        Err(found) => *found,
        Ok(report) => return Ok(Ok(report)),
    };
    match found.error {
        DumpError::Io(error) => Err(unreadable()(error).into()),
        source if source.is_foreign() => {
            let path = half.path.clone();
            Err(BackupsError::NotADump { path, source }.into())
        }
        error => Ok(Err(Unreadable { error, ..found })),
    }
}

type Inspected = Result<DumpReport, Unreadable>;

/// Tells of progress, and ends early if it is to stop.
struct Watched<'a> {
    inner: File,
    context: &'a Context,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.context.cancel.check().map_err(io::Error::other)?;
        let read = self.inner.read(buffer)?;
        self.context.monitor.advance(read as u64);
        Ok(read)
    }
}

/// The pattern of a dump's name leaves no other, so this is a check and not a policy.
fn file_name(half: &Half) -> Result<String, PushError> {
    let name = half.path.file_name().and_then(|name| name.to_str());
    match name.filter(|name| is_plain_file_name(name)) {
        Some(name) => Ok(name.to_owned()),
        None => Err(BackupsError::ForeignName(half.path.clone()).into()),
    }
}

fn included(include: Include) -> Result<Source, PushError> {
    let kind = if include.is_folder()? {
        Kind::Tree
    } else {
        Kind::File
    };
    let file = include.path.file_name().and_then(|name| name.to_str());
    let file = file.filter(|name| is_plain_file_name(name));
    Ok(Source {
        name: include.name.clone(),
        kind,
        class: include.class,
        file: file.map_or_else(|| include.name.to_string(), str::to_owned),
        dump: None,
        content: Content::Include(include),
    })
}

/// What should be there and is not.
fn missing(request: &PushRequest) -> Vec<Finding> {
    let finding = |code: &str, component: ComponentName, message: &str| Finding {
        code: code.into(),
        component,
        message: message.into(),
    };
    let mut findings = Vec::new();
    if request.pair.app.is_none() {
        let message = "there is no app dump, so the application cannot be restored";
        findings.push(finding("app-missing", ComponentName::app(), message));
    }
    if request.pair.zitadel.is_none() && request.auth_mode == AuthMode::Oidc {
        let message = "there is no zitadel dump, so nobody can log in after a restore";
        findings.push(finding(
            "zitadel-missing",
            ComponentName::zitadel(),
            message,
        ));
    }
    if request
        .env
        .as_ref()
        .is_none_or(|env| env.expose().is_empty())
    {
        let message =
            "there is no env file, or it is empty, so nothing that is encrypted can be opened";
        findings.push(finding("env-missing", ComponentName::env(), message));
    }
    let has_secrets = request
        .includes
        .iter()
        .any(|i| i.name.as_str() == ZITADEL_SECRETS);
    if request.auth_mode == AuthMode::Oidc && !has_secrets {
        let message = "the volume zitadel_secrets is not included, so on a rebuilt host the \
                       bootstrap stops and nobody can log in";
        if let Ok(name) = ZITADEL_SECRETS.parse() {
            findings.push(finding("zitadel-secrets-missing", name, message));
        }
    }
    findings
}

/// The include without which a rebuilt host has no OIDC client secret.
const ZITADEL_SECRETS: &str = "zitadel-secrets";
