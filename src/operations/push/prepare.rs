//! Before anything is stored: what will be in the archive, and what is known against it.

use super::PushRequest;
use super::error::PushError;
use super::source::{Content, Source};
use crate::formats::chunk::SecretDigestKey;
use crate::formats::envkeys::EnvKeys;
use crate::formats::manifest::{Kind, is_plain_file_name};
use crate::operations::context::Context;
use crate::operations::inspect::Inspection;
use crate::ports::backups::{AuthMode, BackupsError, Half, wait_until_settled};
use crate::ports::includes::Include;
use crate::words::class::Class;
use crate::words::clock::Timestamp;
use crate::words::ids::{ComponentName, Digest};
use crate::words::verdict::{Finding, Proof};
use std::collections::BTreeMap;

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
    pub(super) proofs: Vec<Proof>,
    pub(super) key_fingerprints: BTreeMap<String, Digest>,
}

/// Chooses the sources: data before secrets, so that a class is written in one go.
pub(super) fn prepare(
    request: PushRequest,
    digest_key: &SecretDigestKey,
    context: &Context,
) -> Result<Prepared, PushError> {
    let mut findings = missing(&request);
    let env = request.env.filter(|env| !env.expose().is_empty());
    let env_keys = env.as_ref().map_or_else(EnvKeys::default, |env| {
        EnvKeys::read(env.expose(), request.auth_mode == AuthMode::Oidc)
    });
    let mut inspection = Inspection::new(&env_keys, &*context.monitor, &context.cancel);
    let mut sources = Vec::new();
    for half in request.pair.halves() {
        sources.push(dump(half, &mut inspection, context)?);
    }
    let (found, proofs) = inspection.finish();
    findings.extend(found);
    for include in request.includes {
        sources.push(included(include)?);
    }
    if let Some(env) = env {
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
        proofs,
        key_fingerprints: env_keys.fingerprints(digest_key),
    };
    Ok(Prepared { sources, about })
}

fn dump(
    half: &Half,
    inspection: &mut Inspection<'_>,
    context: &Context,
) -> Result<Source, PushError> {
    let state = wait_until_settled(&half.path, &context.cancel);
    context.cancel.check()?;
    let state = state?;
    let component = half.name.component.clone();
    let read = inspection.dump(&half.path, Some(&half.name), state.bytes)?;
    Ok(Source {
        name: component,
        kind: Kind::Dump,
        class: Class::Data,
        file: file_name(half)?,
        dump: read.facts,
        content: Content::File(half.path.clone(), state),
    })
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
    let mut findings = Vec::new();
    if request.pair.app.is_none() {
        let message = "there is no app dump, so the application cannot be restored";
        findings.push(Finding::fault("app-missing", ComponentName::app(), message));
    }
    if request.pair.zitadel.is_none() && request.auth_mode == AuthMode::Oidc {
        let message = "there is no zitadel dump, so nobody can log in after a restore";
        findings.push(Finding::fault(
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
        findings.push(Finding::fault("env-missing", ComponentName::env(), message));
    }
    if request.auth_mode == AuthMode::Oidc {
        findings.extend(secrets_missing(&request.includes));
    }
    findings
}

/// Zitadel shows a client's secret once, so the files that have it are all there is.
fn secrets_missing(includes: &[Include]) -> Option<Finding> {
    let name: ComponentName = ZITADEL_SECRETS.parse().ok()?;
    let what = match includes.iter().find(|include| include.name == name) {
        None => "the volume zitadel_secrets is not included".into(),
        Some(include) => {
            let lacks = SECRET_FILES.iter().filter(|file| !include.has_file(file));
            let lacks: Vec<&str> = lacks.copied().collect();
            if lacks.is_empty() {
                return None;
            }
            format!("the include {name} has no {}", lacks.join(", and no "))
        }
    };
    let message = format!("{what}, so on a rebuilt host the bootstrap stops and nobody can log in");
    Some(Finding::fault("zitadel-secrets-missing", name, message))
}

/// The include without which a rebuilt host has no OIDC client secret.
const ZITADEL_SECRETS: &str = "zitadel-secrets";
/// What the bootstrap looks for in it.
const SECRET_FILES: [&str; 2] = ["oidc-client.json", "sa-key.json"];
