//! What a probe of a store means, and what to do about it.

use crate::cli::commands::doctor::{Checks, is_about_credentials};
use crate::cli::failure::Failure;
use jiff::{SignedDuration, Unit};
use sealift::{
    Checksums, Context, Deletion, Exclusivity, Lock, Probe, Service, Standing, StoreError,
    StoreUrl, count,
};

/// A clock that is off by more than this is worth a line.
const DRIFT: SignedDuration = SignedDuration::from_secs(30);
/// Servers refuse requests whose date is farther from theirs than this.
const SKEW: SignedDuration = SignedDuration::from_mins(15);

/// Probes a store, judges what it did, and lets the index know.
pub async fn check_store(context: &Context, checks: &mut Checks) {
    let store = &context.store;
    let standing = Standing::read(std::slice::from_ref(context)).await;
    if let Err(error) = standing.and_then(Standing::without_emptied) {
        return failed(context, error, checks).await;
    }
    let probe = match store.probe().await {
        Ok(probe) => probe,
        Err(error) => return failed(context, error, checks).await,
    };
    checks.ok("access", "objects can be written, and read again");
    judge_clock(probe.clock_ahead, checks);
    judge_checksums(&probe, store.url(), checks);
    judge_exclusivity(&probe, checks);
    if probe.lists {
        checks.ok("list", "a listing shows what was just written");
    } else {
        checks.fault(
            "list",
            "a listing does not show what was just written, so no push can be confirmed",
            "use another store",
        );
    }
    if probe.ranges {
        checks.ok("ranges", "a part of an object can be read");
    } else {
        checks.note(
            "ranges",
            "a part of an object cannot be read",
            "a download that breaks off starts anew; use another store if that matters",
        );
    }
    if store.url().folder().is_some() {
        checks.note(
            "protection",
            "a folder protects nothing: whoever takes this host can delete every archive in it",
            "add a bucket that this host cannot delete from: docs/STORES.md",
        );
    } else {
        judge_lock(&probe, checks);
        judge_deletion(&probe, checks);
    }
    judge_state(context, &probe, checks);
}

/// How the last push left it; and the index remembers what was found.
fn judge_state(context: &Context, probe: &Probe, checks: &mut Checks) {
    let key = context.store_key();
    let exclusive = probe.exclusivity == Exclusivity::ByStore;
    context
        .index
        .ask(|index| index.remember_exclusive(&key, exclusive));
    let Some(state) = context.index.ask(|index| index.store_state(&key)) else {
        return checks.ok("state", "no push has looked at it yet");
    };
    let at = state.checked_at;
    match state.failure {
        None if state.lacks == 0 => checks.ok("state", format!("it had every archive at {at}")),
        failure => {
            let lacked = match state.lacks {
                0 => "it could not be brought up to date".into(),
                lacks => format!("it lacked {}", count(lacks, "archive")),
            };
            let why = failure.map(|failure| format!(": {failure}"));
            let message = format!("{lacked} at {at}{}", why.unwrap_or_default());
            checks.fault("state", message, "sealift push");
        }
    }
}

async fn failed(context: &Context, error: StoreError, checks: &mut Checks) {
    let code = if is_about_credentials(&error) {
        "credentials"
    } else {
        "access"
    };
    // A clock that is wrong shows as all sorts of refusals.
    if let Ok(ahead) = context.store.clock_ahead().await {
        judge_clock(ahead, checks);
    }
    checks.failure(code, Failure::from(error));
}

fn judge_clock(ahead: Option<SignedDuration>, checks: &mut Checks) {
    let Some(ahead) = ahead else { return };
    let round = |time: SignedDuration| time.abs().round(Unit::Second).unwrap_or(time.abs());
    let apart = format!(
        "this host's clock is {:#} {} that of the store",
        round(ahead),
        if ahead.is_negative() {
            "ahead of"
        } else {
            "behind"
        }
    );
    if ahead.abs() > SKEW {
        checks.fault("clock", apart, "set the clock: timedatectl status");
    } else if ahead.abs() > DRIFT {
        checks.note("clock", apart, "set the clock: timedatectl status");
    } else {
        checks.ok("clock", "this host's clock agrees with that of the store");
    }
}

fn judge_checksums(probe: &Probe, url: &StoreUrl, checks: &mut Checks) {
    let bucket = match url {
        StoreUrl::Bucket(bucket) if bucket.service == Service::S3 => bucket,
        _ => return,
    };
    if probe.checksums == Checksums::Refused {
        let mut without = bucket.clone();
        without.options.without_checksums = true;
        checks.fault(
            "checksums",
            "it refuses uploads with a SHA-256 of their own",
            format!("turn them off: --store '{without}'"),
        );
    } else if bucket.options.without_checksums {
        checks.note(
            "checksums",
            "uploads go without a SHA-256 of their own, as the address says",
            "take checksums=false out of the address, and look again: sealift doctor",
        );
    } else {
        checks.ok("checksums", "uploads are taken with their checksums");
    }
}

fn judge_exclusivity(probe: &Probe, checks: &mut Checks) {
    match probe.exclusivity {
        Exclusivity::ByStore => checks.ok(
            "conditional-create",
            "of several that create one object at once, one succeeds",
        ),
        Exclusivity::ByCheck => checks.note(
            "conditional-create",
            "it does not refuse to overwrite: two hosts that push at the same moment could lose an archive",
            "let one host only push to it, or give each host an instance of its own: --instance NAME",
        ),
    }
}

fn judge_lock(probe: &Probe, checks: &mut Checks) {
    match &probe.lock {
        Some(Lock { mode, lasts }) => {
            let (whole, half) = (days(*lasts), days(*lasts / 2));
            checks.ok(
                "object-lock",
                format!(
                    "objects are locked for {whole} ({mode}); data is used again for {half}, so every \
                     archive is locked as a whole for {half} at least"
                ),
            );
        }
        None => checks.note(
            "object-lock",
            "no lock shows on new objects: whoever has the right to delete can delete archives",
            "give the bucket a default retention, if the service has object lock",
        ),
    }
    if probe.versions {
        checks.ok(
            "versioning",
            "what is overwritten or deleted stays as an older version",
        );
    } else {
        checks.note(
            "versioning",
            "no older versions are kept: what is overwritten or deleted is gone",
            "turn versioning on for the bucket, if the service has it",
        );
    }
}

fn judge_deletion(probe: &Probe, checks: &mut Checks) {
    match probe.deletion {
        Deletion::Kept => checks.ok("delete", "this host cannot delete objects"),
        Deletion::Gone if probe.lock.is_some() => checks.ok(
            "delete",
            "this host can hide objects behind a marker, but the lock keeps them",
        ),
        Deletion::Gone => checks.note(
            "delete",
            "this host can delete objects: whoever takes it can delete every archive",
            "give it credentials that can write and read, but not delete",
        ),
    }
}

fn days(time: SignedDuration) -> String {
    let hours = time.as_hours();
    if hours >= 48 {
        format!("{} days", hours / 24)
    } else {
        format!("{hours} hours")
    }
}
