//! What a store says that does not let us in, or is not there.

use super::place::{Kind, Place, WRONG_KEY, WRONG_SECRET, blob, entry};
use crate::support::Outcome;
use sealift::{Exclusivity, Refusal, Sequence, Store, StoreError, StoreUrl};

/// What a store answers to each thing that can be asked of it.
async fn all_answers(store: &Store) -> Vec<(&'static str, Option<StoreError>)> {
    let blob = blob(1, 10);
    let bytes = b"manifest".to_vec();
    let create = store.create_manifest(Sequence(1), bytes, Exclusivity::ByStore);
    vec![
        ("read", store.blob(&entry(&blob)).await.err()),
        ("look", store.blob_size(blob.id).await.err()),
        ("list", store.manifests().await.err()),
        ("list all", store.blob_sizes().await.err()),
        ("write", store.put_blob(&blob).await.err()),
        ("create", create.await.err()),
        ("probe", store.probe().await.err()),
    ]
}

fn all_are(answers: &[(&'static str, Option<StoreError>)], refusal: Refusal) {
    for (action, answer) in answers {
        let found = answer.as_ref().and_then(StoreError::refusal);
        assert_eq!(found, Some(refusal), "{action}: {answer:?}");
    }
}

pub(super) async fn wrong_credentials_are_said_to_be_wrong(place: &Place) -> Outcome {
    let (wrong, refusal) = match place.kind {
        // Moto asks nobody who he is.
        kind if kind.is_moto() || !kind.is_bucket() => return Ok(()),
        Kind::Gcs => (
            vec![place.with("GOOGLE_BEARER_TOKEN", "not-the-token")],
            Refusal::WrongCredentials,
        ),
        // Azurite's word for it is that of Azure for a host that the account does not let in.
        Kind::Azure => (
            vec![place.with("AZURE_STORAGE_ACCOUNT_KEY", "bm90IHRoZSBrZXk=")],
            Refusal::Denied,
        ),
        _ => (
            vec![
                place.with_profile(WRONG_KEY),
                place.with_profile(WRONG_SECRET),
            ],
            Refusal::WrongCredentials,
        ),
    };
    for wrong in wrong {
        let mut answers = all_answers(&wrong.open().await?).await;
        if place.kind == Kind::S3sFs {
            // What only asks for the head of an object is refused without a word why.
            answers.retain(|(action, _)| *action != "look");
        }
        all_are(&answers, refusal);
    }
    Ok(())
}

pub(super) async fn missing_credentials_are_said_to_be_missing(place: &Place) -> Outcome {
    let without = match place.kind {
        kind if !kind.is_bucket() => return Ok(()),
        Kind::Gcs => place.with("GOOGLE_APPLICATION_CREDENTIALS", ""),
        Kind::Azure => place.with("AZURE_STORAGE_ACCOUNT_KEY", ""),
        _ => place.with_profile("nobody"),
    };
    all_are(
        &all_answers(&without.open().await?).await,
        Refusal::NoCredentials,
    );
    Ok(())
}

pub(super) async fn a_missing_bucket_is_not_a_missing_object(place: &Place) -> Outcome {
    let mut url = place.url.clone();
    match &mut url {
        StoreUrl::Memory => return Ok(()),
        StoreUrl::Directory(folder) => folder.set_file_name("not-mounted"),
        // A name of its own: s3s-fs makes what is written to, and others look for what is not there.
        StoreUrl::Bucket(bucket) => bucket.bucket.insert_str(0, "no-"),
    }
    let opened = place.open_at(&url, "lazyit").await;
    if !place.kind.is_bucket() {
        let error = opened.err().and_then(|error| error.downcast().ok());
        assert!(matches!(error.as_deref(), Some(StoreError::Absent(_))));
        return Ok(());
    }
    let mut answers = all_answers(&opened?).await;
    match place.kind {
        // It says of an object only that it is not there, and makes the bucket when it is written to.
        Kind::S3sFs => answers.retain(|(action, _)| action.starts_with("list")),
        // What only asks for the head of an object is answered without a word.
        Kind::Azure => {}
        _ => answers.retain(|(action, _)| *action != "look"),
    }
    all_are(&answers, Refusal::NoBucket);
    Ok(())
}
