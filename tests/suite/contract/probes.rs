//! What a probe finds out, and that it leaves nothing.

use super::place::{Kind, LOCKED_DAYS, Place, Result, blob, entry};
use crate::support::Outcome;
use crate::support::servers::{AZURE_ACCOUNT, AZURE_KEY};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sealift::{Checksums, Creation, Deletion, Digest, Lock, Sequence, StoreUrl};

/// The lock that new objects of this kind of store have.
fn agrees(lock: Option<&Lock>, kind: Kind) {
    if kind != Kind::MotoLocked {
        assert_eq!(lock, None);
        return;
    }
    let hours = i64::from(LOCKED_DAYS) * 24;
    assert!(
        lock.is_some_and(|lock| lock.mode == "COMPLIANCE"
            && (hours - 1..=hours).contains(&lock.lasts.as_hours())),
        "{lock:?}"
    );
}

pub(super) async fn a_probe_finds_what_the_store_does(place: &Place) -> Outcome {
    let store = place.open().await?;
    for _ in 0..2 {
        let found = store.probe().await?;
        assert_eq!(found.checksums, Checksums::Taken);
        assert_eq!(found.exclusivity, place.kind.exclusivity());
        assert!(found.lists && found.ranges, "{found:?}");
        let keeps = matches!(place.kind, Kind::MotoVersions | Kind::MotoLocked);
        assert_eq!(found.versions, keeps);
        agrees(found.lock.as_ref(), place.kind);
        assert_eq!(found.deletion, Deletion::Gone);
        assert_eq!(found.clock_ahead.is_some(), place.kind.is_bucket());
        let ahead = found.clock_ahead.unwrap_or_default();
        assert!(ahead.abs().as_secs() < 10, "{ahead}");
    }
    if let StoreUrl::Directory(folder) = &place.url {
        let mut left = std::fs::read_dir(folder.join("lazyit/probe"))?;
        assert!(left.next().is_none());
    }
    assert!(store.blob_sizes().await?.is_empty());
    assert!(store.manifests().await?.foreign.is_empty());
    Ok(())
}

pub(super) async fn a_manifest_shows_its_lock(place: &Place) -> Outcome {
    let (store, at) = (place.open().await?, Sequence(1));
    assert_eq!(store.lock_of_manifest(at).await?, None);
    let created = store.create_manifest(at, b"manifest".into(), place.kind.exclusivity());
    assert_eq!(created.await?, Creation::Created);
    agrees(store.lock_of_manifest(at).await?.as_ref(), place.kind);
    Ok(())
}

/// The right to everything in a container of the tests' account but to delete, signed with its key.
fn azure_signature(container: &str) -> Result<String> {
    let (version, end) = ("2021-08-06", "2099-01-01T00:00:00Z");
    let place = format!("/blob/{AZURE_ACCOUNT}/{container}");
    let none = "";
    let fields = ["rcwl", none, end, &place, none, none, none, version, "c"];
    // Seven more that are empty: of a snapshot, of encryption, and of the headers of answers.
    let text = fields.join("\n") + &"\n".repeat(7);
    let signature = BASE64_STANDARD.encode(hmac(&BASE64_STANDARD.decode(AZURE_KEY)?, &text));
    let signature = signature
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let end = end.replace(':', "%3A");
    Ok(format!(
        "sv={version}&sr=c&sp=rcwl&se={end}&sig={signature}"
    ))
}

/// HMAC with SHA-256, for keys of a block at most (RFC 2104).
fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let padded = |pad: u8| -> Vec<u8> {
        let bytes = key.iter().copied().chain(std::iter::repeat(0)).take(64);
        bytes.map(|byte| byte ^ pad).collect()
    };
    let inner = Digest::of(&[&padded(0x36), text.as_bytes()].concat());
    *Digest::of(&[&padded(0x5c)[..], inner.as_bytes()].concat()).as_bytes()
}

pub(super) async fn what_this_host_may_not_delete_is_kept(place: &Place) -> Outcome {
    // No other server here knows of rights.
    let (Kind::Azure, StoreUrl::Bucket(bucket)) = (place.kind, &place.url) else {
        return Ok(());
    };
    let place = place
        .with("AZURE_STORAGE_ACCOUNT_KEY", "")
        .with("AZURE_STORAGE_SAS_KEY", &azure_signature(&bucket.bucket)?);
    let (store, blob) = (place.open().await?, blob(1, 10));
    store.put_blob(&blob).await?;
    let deleted = store.delete_unnamed(&store.blob_object(blob.id)).await?;
    assert_eq!(deleted, Deletion::Kept);
    store.blob(&entry(&blob)).await?.check(blob.id)?;
    assert_eq!(store.probe().await?.deletion, Deletion::Kept);
    Ok(())
}
