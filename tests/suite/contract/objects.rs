//! Blobs and signatures: written, read, listed, deleted.

use super::place::{Place, blob, entry};
use crate::support::Outcome;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealift::{ArchiveId, BlobId, Deletion, Sequence, Store, StoreError};
use std::collections::HashMap;

/// A store that shows these blobs, and no others.
async fn shows(store: &Store, blobs: &[BlobId]) -> Outcome {
    let mut found: Vec<BlobId> = store.blob_sizes().await?.into_keys().collect();
    let mut expected = blobs.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    Ok(())
}

pub(super) async fn what_is_written_is_read_back_byte_for_byte(place: &Place) -> Outcome {
    let store = place.open().await?;
    for (seed, bytes) in [(1, 1), (2, 100_000), (3, 20 << 20)] {
        let blob = blob(seed, bytes);
        store.put_blob(&blob).await?;
        let read = store.blob(&entry(&blob)).await?.check(blob.id)?;
        assert!(read.bytes() == blob.bytes, "{bytes} bytes differ");
        assert_eq!(store.blob_size(blob.id).await?, Some(bytes as u64));
    }
    let id = ArchiveId::of(b"a manifest");
    store.put_signature(id, "a signature\n".into()).await?;
    let read = store.signature(id).await?;
    assert_eq!(read.as_deref(), Some(&b"a signature\n"[..]));
    Ok(())
}

pub(super) async fn writing_twice_is_writing_once(place: &Place) -> Outcome {
    let (store, blob) = (place.open().await?, blob(1, 1000));
    for _ in 0..2 {
        store.put_blob(&blob).await?;
        let read = store.blob(&entry(&blob)).await?.check(blob.id)?;
        assert!(read.bytes() == blob.bytes);
        shows(&store, &[blob.id]).await?;
    }
    Ok(())
}

pub(super) async fn what_is_missing_is_not_found_and_named(place: &Place) -> Outcome {
    let (store, blob) = (place.open().await?, blob(1, 10));
    // With something beside it, and without.
    for _ in 0..2 {
        let missing = BlobId::of(b"no such blob");
        let mut no_blob = entry(&blob);
        no_blob.id = missing;
        let name = store.blob_object(missing);
        let found = store.blob(&no_blob).await;
        assert!(
            matches!(&found, Err(StoreError::NotFound { object, .. }) if *object == name),
            "{found:?}"
        );
        assert_eq!(store.blob_size(missing).await?, None);
        let found = store.manifest(Sequence(7)).await;
        let name = format!("{}/archives/00000007.json", store.instance());
        assert!(
            matches!(&found, Err(StoreError::NotFound { object, .. }) if *object == name),
            "{found:?}"
        );
        assert_eq!(store.signature(missing).await?, None);
        let listing = store.manifests().await?;
        assert!(listing.manifests.is_empty() && listing.foreign.is_empty());
        store.put_blob(&blob).await?;
    }
    Ok(())
}

pub(super) async fn a_blob_of_another_size_is_refused(place: &Place) -> Outcome {
    let (store, blob) = (place.open().await?, blob(1, 1000));
    store.put_blob(&blob).await?;
    let name = store.blob_object(blob.id);
    for wrong in [0, 999, 1001] {
        let mut entry = entry(&blob);
        entry.sealed_bytes = wrong;
        let found = store.blob(&entry).await;
        assert!(
            matches!(&found, Err(StoreError::WrongSize { object, bytes: 1000, .. }) if *object == name),
            "{found:?}"
        );
    }
    Ok(())
}

pub(super) async fn what_is_deleted_is_gone_and_deleting_it_again_is_no_error(
    place: &Place,
) -> Outcome {
    let (store, deleted, kept) = (place.open().await?, blob(1, 10), blob(2, 10));
    store.put_blob(&deleted).await?;
    store.put_blob(&kept).await?;
    let name = store.blob_object(deleted.id);
    for _ in 0..2 {
        assert_eq!(store.delete_unnamed(&name).await?, Deletion::Gone);
        let found = store.blob(&entry(&deleted)).await;
        assert!(
            matches!(&found, Err(StoreError::NotFound { .. })),
            "{found:?}"
        );
        assert_eq!(store.blob_size(deleted.id).await?, None);
        shows(&store, &[kept.id]).await?;
    }
    let never_there = store.blob_object(BlobId::of(b"never there"));
    assert_eq!(store.delete_unnamed(&never_there).await?, Deletion::Gone);
    store.put_blob(&deleted).await?;
    shows(&store, &[kept.id, deleted.id]).await
}

pub(super) async fn more_blobs_than_fit_a_page_are_all_listed(place: &Place) -> Outcome {
    let store = &place.open().await?;
    let blobs: Vec<_> = (0..place.kind.page())
        .map(|number| blob(number as u64, 8 + number % 50))
        .collect();
    let puts = stream::iter(blobs.iter().map(|blob| store.put_blob(blob)));
    puts.buffer_unordered(16).try_collect::<()>().await?;
    let expected: HashMap<_, _> = blobs
        .iter()
        .map(|blob| (blob.id, blob.bytes.len() as u64))
        .collect();
    assert!(store.blob_sizes().await? == expected);
    let mut seen = 0;
    store.each_blob(|_, _| seen += 1).await?;
    assert_eq!(seen, blobs.len(), "blobs are shown once each");
    Ok(())
}

pub(super) async fn instances_of_one_store_do_not_see_each_other(place: &Place) -> Outcome {
    let (blobs, mut stores) = ([blob(1, 10), blob(2, 10)], Vec::new());
    for (name, blob) in ["lazyit", "lazyit-2"].into_iter().zip(&blobs) {
        let store = place.open_for(name).await?;
        store.put_blob(blob).await?;
        let created = store
            .create_manifest(Sequence(1), name.into(), place.kind.exclusivity())
            .await?;
        assert_eq!(created, sealift::Creation::Created, "{name}");
        stores.push(store);
    }
    for (store, blob) in stores.iter().zip(&blobs) {
        shows(store, &[blob.id]).await?;
        let listing = store.manifests().await?;
        assert!(listing.manifests.len() == 1 && listing.foreign.is_empty());
        let manifest = store.manifest(Sequence(1)).await?;
        assert_eq!(manifest.bytes(), store.instance().to_string().as_bytes());
    }
    Ok(())
}

pub(super) async fn a_prefix_does_not_leak_into_a_longer_one(place: &Place) -> Outcome {
    let prefixes = ["a", "ab", "a/b", ""];
    // A folder has no empty name, and its parent holds whatever is beside it.
    let prefixes = &prefixes[..if place.kind.is_bucket() { 4 } else { 3 }];
    let mut written = Vec::new();
    for (prefix, seed) in prefixes.iter().zip(1..) {
        let (store, blob) = (place.open_below(prefix, "lazyit").await?, blob(seed, 10));
        store.put_blob(&blob).await?;
        written.push((store, blob.id));
    }
    for (store, id) in &written {
        shows(store, &[*id]).await?;
    }
    Ok(())
}
