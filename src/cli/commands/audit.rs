//! `sealift audit`: policy against stores against what this host remembers.

use crate::cli::args::AuditArgs;
use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, note, raw};
use crate::cli::retention_settings::policy;
use crate::cli::session::{Session, Stores, SystemClock};
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::Routine;
use crate::cli::warnings::known;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::tz::TimeZone;
use sealift::{
    AuditReport, AuditRequest, AuditViolation, Clock, ExportError, Instance, Policy, Warning,
    audit, audit_html, audit_line, audit_prometheus, audit_text, export_journal, with_cause,
};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// So many instances are audited at once.
const AT_ONCE: usize = 4;

#[derive(Serialize)]
struct Fleet<'a> {
    ok: bool,
    instances: &'a [AuditReport],
}

/// Audits the instance, or all of them.
///
/// # Errors
/// A [`Failure`] of the settings, or if no store can even be opened.
pub async fn run(session: &Session, args: AuditArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    if args.journal {
        return journal(session, &settings).await;
    }
    let (policy, zone) = policy(&args.retention, &settings)?;
    let by = By { policy, zone };
    let reports = if args.all_instances {
        by.all(session, &settings).await?
    } else {
        vec![by.own(session, &settings).await?]
    };
    if let (Some(path), [report]) = (&args.html, reports.as_slice()) {
        write_page(path, report, &by.zone).map_err(|error| {
            Failure::failed(format!("cannot write {}: {error}", path.display()))
        })?;
    }
    let ok = reports.iter().all(|report| report.ok);
    if args.prometheus {
        raw(&written(|out| audit_prometheus(&reports, out))?)?;
    } else if args.all_instances {
        let fleet = Fleet {
            ok,
            instances: &reports,
        };
        let lines = written(|out| reports.iter().try_for_each(|it| audit_line(it, out)))?;
        output.result(&fleet, || String::from_utf8_lossy(&lines).into_owned())?;
    } else {
        for report in &reports {
            let text = written(|out| audit_text(report, out))?;
            output.result(report, || String::from_utf8_lossy(&text).into_owned())?;
        }
    }
    Ok(if ok { Exit::Done } else { Exit::Violations })
}

/// What is audited by.
struct By {
    policy: Policy,
    zone: TimeZone,
}

impl By {
    /// The instance of the settings, with what only this host can know.
    async fn own(&self, session: &Session, settings: &Settings) -> Result<AuditReport, Failure> {
        let stores = session.reading(settings).await?;
        // Whoever has no signing key is not the host that pushes.
        let signer = settings.signing_key().ok().map(|key| key.fingerprint());
        let instance = &settings.instance;
        let mut report = self.one(&stores, instance, signer.as_deref()).await?;
        if let Some(reason) = &stores.index_trouble {
            report.violations.push(index_unreadable(reason));
        }
        let routine = Routine::read(&SidecarArgs::default(), settings)?;
        match known(settings, &routine, &stores.contexts, report.newest_sound).await {
            Ok(warnings) => report
                .violations
                .extend(warnings.into_iter().map(violation)),
            // Another machine than the host audits just as well, but for what lies there.
            Err(failure) => note(
                "note",
                &format!("the backups folder is not looked at: {}", failure.message),
            ),
        }
        report.ok = report.violations.is_empty();
        Ok(report)
    }

    async fn one(
        &self,
        stores: &Stores,
        instance: &Instance,
        signer: Option<&str>,
    ) -> Result<AuditReport, Failure> {
        let unopened: Vec<(String, String)> = stores
            .left_out
            .iter()
            .map(|out| (out.store.to_string(), out.reason.clone()))
            .collect();
        let request = AuditRequest {
            instance,
            policy: &self.policy,
            zone: &self.zone,
            now: SystemClock.now(),
            unopened: &unopened,
            signer,
        };
        Ok(audit(&stores.contexts, &request).await?)
    }

    /// Every instance that any of the stores has.
    async fn all(
        &self,
        session: &Session,
        settings: &Settings,
    ) -> Result<Vec<AuditReport>, Failure> {
        let stores = session.reading(settings).await?;
        let (mut instances, mut failed) = (BTreeSet::new(), None);
        for context in &stores.contexts {
            match context.store.instances().await {
                Ok(found) => instances.extend(found),
                // Each audit tells of it.
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed.filter(|_| instances.is_empty()) {
            return Err(error.into());
        }
        // The host that pushes misses its own, and a bucket without any is not to look like health.
        if instances.is_empty() || settings.signing_key().is_ok() {
            instances.insert(settings.instance.clone());
        }
        let audits = stream::iter(instances).map(|instance| async move {
            if instance == settings.instance {
                return self.own(session, settings).await;
            }
            let mut settings = settings.clone();
            settings.instance = instance;
            let stores = session.reading(&settings).await?;
            self.one(&stores, &settings.instance, None).await
        });
        audits.buffered(AT_ONCE).try_collect().await
    }
}

/// What only the index knows is not known: the highest head that was seen, and the journal.
fn index_unreadable(reason: &str) -> AuditViolation {
    AuditViolation {
        code: "index-unreadable".to_owned(),
        archive: None,
        store: None,
        message: format!("{reason}; whether archives have vanished unseen is not known without it"),
        remedy: "sealift index rebuild".to_owned(),
    }
}

/// What is about to be lost on this host.
fn violation(warning: Warning) -> AuditViolation {
    let remedy = match warning.code {
        "half-waits" => "if its partner will never come: sealift push --allow-half",
        _ => "look for what kept it from running, and make up for it: sealift push",
    };
    AuditViolation {
        code: warning.code.to_owned(),
        archive: None,
        store: None,
        message: warning.message,
        remedy: remedy.to_owned(),
    }
}

async fn journal(session: &Session, settings: &Settings) -> Result<Exit, Failure> {
    let stores = session.reading(settings).await?;
    let Some(context) = stores.contexts.first() else {
        return Err(Failure::failed("there is no store"));
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match export_journal(context, &mut out) {
        Ok(_) => Ok(Exit::Done),
        Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Exit::Done)
        }
        Err(error) => Err(Failure::failed(with_cause(&error))),
    }
}

fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    write(&mut bytes).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(bytes)
}

/// Writes the page beside its name first: whoever looks at it never sees half of one.
fn write_page(path: &Path, report: &AuditReport, zone: &TimeZone) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = Path::new(&name);
    let write = || {
        let mut file = BufWriter::new(File::create(partial)?);
        audit_html(report, zone, &mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(partial, path)
    };
    write().inspect_err(|_| {
        // There is nothing more to do about what cannot be removed either.
        let _ = fs::remove_file(partial);
    })
}
