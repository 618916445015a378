//! What is wrong with archives: with the newest, with all of them, with their keys; and what the policy
//! says of those that are there and of those that are gone.

use super::{Result, add_night_as, audit, found, host_with, hours_ago, is};
use crate::support::{Host, NIGHTS, Outcome};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sealift::{
    AuditReport, AuditRequest, Cancel, Clock, Context, Index, Instance, Network, NetworkSettings,
    Opened, Policy, Repair, Rules, SharedIndex, SigningKey, Store, StoreUrl, TrustedSigners,
    Unwatched,
};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// A pair whose app dump is cut off.
fn push_suspect(host: &Host, hours: i64) -> Outcome {
    let dump = add_night_as(host, NIGHTS[1], &hours_ago(hours))?;
    let mut bytes = fs::read(host.path(&dump))?;
    bytes.truncate(bytes.len() / 2);
    let name = dump.strip_prefix("backups/").ok_or("no name")?;
    host.add_dump(name, &bytes)?;
    host.run(&["push", &dump])?.expect_code(3)?;
    Ok(())
}

#[test]
fn a_suspect_archive_is_a_violation_while_it_is_the_newest() -> Outcome {
    let host = Host::new()?;
    push_suspect(&host, 4)?;
    let report = audit(&host, &[], 5)?;
    let all = found(&report, "violations");
    for expected in [("no-sound-archive", 0), ("newest-suspect", 1)] {
        let is_it = |(code, archive, _): &&super::Found| (code.as_str(), *archive) == expected;
        assert_eq!(all.iter().filter(is_it).count(), 1, "{report:#}");
    }
    let dump = add_night_as(&host, NIGHTS[0], &hours_ago(3))?;
    host.run(&["push", &dump])?.expect_code(0)?;
    is(&audit(&host, &[], 0)?, &[], &[("archive-suspect", 1, "")])?;
    push_suspect(&host, 2)?;
    let report = audit(&host, &[], 5)?;
    let newest = ("newest-suspect", 3, "");
    is(&report, &[newest], &[("archive-suspect", 1, "")])
}

#[test]
fn a_key_that_is_another_than_before_is_noted() -> Outcome {
    let host = host_with(1)?;
    let env = fs::read_to_string(host.path(".env.prod"))?;
    let key = env
        .lines()
        .find_map(|line| line.strip_prefix("ZITADEL_MASTERKEY="))
        .ok_or("no key")?;
    let other = format!("{}x", &key[..key.len() - 1]);
    fs::write(host.path(".env.prod"), env.replace(key, &other))?;
    let dump = add_night_as(&host, NIGHTS[1], &hours_ago(1))?;
    host.run(&["push", &dump])?.expect_code(3)?;
    let report = audit(&host, &[], 5)?;
    let (violation, note) = (("newest-suspect", 2, ""), ("key-changed", 2, ""));
    is(&report, &[violation], &[note])?;
    let note = &report["notes"][0]["message"];
    let names = |note: &str| note.contains("ZITADEL_MASTERKEY") && note.contains("archive 1");
    assert!(note.as_str().is_some_and(names), "{note}");
    assert!(!report.to_string().contains(&other) && !report.to_string().contains(key));
    Ok(())
}

#[test]
fn a_key_that_nothing_proves_is_noted() -> Outcome {
    let host = host_with(1)?;
    // Signed anew, as of a database in which nothing is encrypted yet.
    let path = host.store("archives/00000001.json");
    let text = fs::read_to_string(&path)?.replacen("\"proven\"", "\"unproven\"", 1);
    let signature = signing_key(&host)?.sign(text.as_bytes())?;
    let id = sealift::Digest::of(text.as_bytes());
    fs::write(host.store(&format!("signatures/{id}.sig")), signature)?;
    fs::write(path, text)?;
    fs::remove_dir_all(host.path("sealift-state"))?;
    let notes = [("key-unproven", 1, ""), ("journal-begun-anew", 1, "")];
    let report = audit(&host, &[], 0)?;
    is(&report, &[], &notes)?;
    assert_eq!(report["archives"][0]["unproven"], 1);
    Ok(())
}

/// A clock that stands still.
struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// An audit in so many days, by this policy, with what the host remembers.
fn audit_in(host: &Host, days: i64, policy: &Policy) -> Result<AuditReport> {
    let now = Timestamp::now() + SignedDuration::from_hours(days * 24);
    let monitor: Arc<Unwatched> = Arc::new(Unwatched);
    let cancel = Cancel::default();
    let network = Network::new(NetworkSettings::default(), monitor.clone(), cancel.clone())?;
    let instance: Instance = "lazyit".parse()?;
    let url: StoreUrl = host.path("store").display().to_string().parse()?;
    let index = host.path("sealift-state/index.sqlite");
    let Opened::Whole(index) = Index::open(&index, Repair::Leave)? else {
        return Err("no index".into());
    };
    let signers = fs::read_to_string(host.path("recovery-kit/allowed_signers"))?;
    let signer = signing_key(host)?.fingerprint();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let context = Context {
            store: Store::open(&url.resolve(Path::new("/")), &instance, &network).await?,
            index: SharedIndex::new(index, monitor.clone()),
            signers: TrustedSigners::parse(&signers, None)?,
            clock: Arc::new(At(now)),
            monitor: monitor.clone(),
            cancel,
        };
        let request = AuditRequest {
            instance: &instance,
            policy,
            zone: &TimeZone::UTC,
            now,
            unopened: &[],
            signer: Some(&signer),
        };
        Ok(sealift::audit(&[context], &request).await?)
    })
}

fn signing_key(host: &Host) -> Result<SigningKey> {
    Ok(SigningKey::parse(&fs::read(
        host.path("sealift-signing-key"),
    )?)?)
}

fn said(report: &AuditReport) -> Vec<(&str, Option<u64>)> {
    let said = report.violations.iter();
    said.map(|it| (it.code.as_str(), it.archive.map(|archive| archive.0)))
        .collect()
}

#[test]
fn what_should_have_gone_is_forgotten_after_two_days_and_not_before() -> Outcome {
    let host = host_with(3)?;
    let policy = Policy {
        rules: Rules {
            last: Some(1),
            ..Rules::default()
        },
        ..Policy::default()
    };
    assert_eq!(said(&audit_in(&host, 1, &policy)?), []);
    let forgotten = [
        ("archive-forgotten", Some(1)),
        ("archive-forgotten", Some(2)),
    ];
    assert_eq!(said(&audit_in(&host, 3, &policy)?), forgotten);
    assert_eq!(said(&audit_in(&host, 3, &Policy::default())?), []);
    // A hold is a reason to stay.
    host.run(&["hold", "1", "--reason", "a lawyer asked"])?
        .expect_code(0)?;
    assert_eq!(said(&audit_in(&host, 3, &policy)?), forgotten[1..]);
    Ok(())
}

#[test]
fn that_nobody_has_verified_for_five_weeks_is_a_violation() -> Outcome {
    let host = host_with(1)?;
    let policy = Policy::default();
    assert_eq!(said(&audit_in(&host, 34, &policy)?), []);
    assert_eq!(
        said(&audit_in(&host, 36, &policy)?),
        [("verify-overdue", None)]
    );
    host.run(&["verify"])?.expect_code(0)?;
    let report = audit_in(&host, 34, &policy)?;
    assert!(report.last_verify.is_some() && report.last_read.is_none());
    host.run(&["verify", "--read-data"])?.expect_code(0)?;
    let report = audit_in(&host, 34, &policy)?;
    assert!(report.last_read.is_some());
    assert_eq!(report.stores[0].read_share, Some(1.0));
    Ok(())
}

/// Retires an archive by hand, as somebody would who has the signing key.
fn retire(host: &Host, sequence: u64, policy: &[&str]) -> Outcome {
    let path = host.store(&format!("archives/{sequence:08}.json"));
    let bytes = fs::read(&path)?;
    let manifest: Value = serde_json::from_slice(&bytes)?;
    let record = serde_json::to_vec_pretty(&json!({
        "format": 1,
        "kind": "retirement",
        "instance": "lazyit",
        "sequence": sequence,
        "archive": sealift::Digest::of(&bytes),
        "captured_at": manifest["captured_at"],
        "label": manifest["label"],
        "verdict": manifest["verdict"],
        "at": Timestamp::from_second(Timestamp::now().as_second())?,
        "reason": "no rule keeps it",
        "policy": policy,
        "tool": "sealift 0.1.0",
    }))?;
    let id = sealift::Digest::of(&record);
    let signature = signing_key(host)?.sign(&record)?;
    fs::write(host.store(&format!("signatures/{id}.sig")), signature)?;
    fs::create_dir_all(host.store("retirements"))?;
    fs::write(
        host.store(&format!("retirements/{sequence:08}.json")),
        record,
    )?;
    Ok(fs::remove_file(path)?)
}

#[test]
fn a_retirement_that_the_policy_did_not_call_for_is_named() -> Outcome {
    let policy = ["archives: last 2", "time zone: UTC"];
    let host = host_with(3)?;
    let args = ["--keep-last", "2"];
    // This one it did call for.
    retire(&host, 1, &policy)?;
    let report = audit(&host, &args, 0)?;
    is(&report, &[], &[("blobs-unneeded", 0, "store")])?;
    assert_eq!(report["retirements"][0]["sequence"], 1);
    retire(&host, 2, &policy)?;
    let report = audit(&host, &args, 5)?;
    let notes = [("blobs-unneeded", 0, "store")];
    is(&report, &[("retirement-uncalled", 2, "")], &notes)?;
    // Under another policy nothing can be said of either.
    let report = audit(&host, &["--keep-last", "1"], 0)?;
    let unjudged = ("retirement-unjudged", 0, "");
    is(&report, &[], &[notes[0], unjudged])
}

#[test]
fn what_prune_retires_is_called_for() -> Outcome {
    let host = host_with(3)?;
    let args = ["--keep-last", "1"];
    let prune = [&["prune", "--execute"][..], &args].concat();
    host.run(&prune)?.expect_code(0)?;
    let report = audit(&host, &args, 0)?;
    is(&report, &[], &[("blobs-unneeded", 0, "store")])?;
    assert_eq!(report["checked"]["retired"], 2);
    host.run(&["verify", "--read-data"])?.expect_code(0)?;
    Ok(())
}
