//! Manifests: each place in the chain is taken once, and the listing tells all.

use super::place::{INSTANCE, Place};
use crate::support::Outcome;
use futures_util::future::join_all;
use sealift::{Creation, Exclusivity, Sequence};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) async fn a_manifest_takes_a_free_place_only(place: &Place) -> Outcome {
    let store = place.open().await?;
    // Whatever a store can do, it can be looked at first.
    for (exclusivity, at) in [
        (Exclusivity::ByStore, Sequence(1)),
        (Exclusivity::ByCheck, Sequence(2)),
    ] {
        for (bytes, expected) in [
            ("one", Creation::Created),
            ("another", Creation::Taken),
            ("one", Creation::Created),
            ("on", Creation::Taken),
        ] {
            let created = store.create_manifest(at, bytes.into(), exclusivity).await?;
            assert_eq!(created, expected, "{bytes:?} {exclusivity:?}");
            assert_eq!(store.manifest(at).await?.bytes(), b"one");
        }
    }
    Ok(())
}

pub(super) async fn of_several_at_once_one_gets_the_place(place: &Place) -> Outcome {
    let store = &place.open().await?;
    let exclusivity = store.exclusivity().await?;
    assert_eq!(exclusivity, place.kind.exclusivity());
    if exclusivity == Exclusivity::ByCheck {
        // Such a store is one that two hosts must not push to at once, which is all it can promise.
        return Ok(());
    }
    for round in 1..=5 {
        let at = Sequence(round);
        let create = |rival: u8| async move {
            let bytes = vec![rival; 1000];
            let created = store.create_manifest(at, bytes, exclusivity).await;
            created.map(|created| (rival, created))
        };
        let mut winners = Vec::new();
        for outcome in join_all((1..=8).map(create)).await {
            if let (rival, Creation::Created) = outcome? {
                winners.push(rival);
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(store.manifest(at).await?.bytes(), vec![winners[0]; 1000]);
    }
    Ok(())
}

pub(super) async fn a_listing_shows_the_chain_in_order_and_what_does_not_belong(
    place: &Place,
) -> Outcome {
    let store = place.open().await?;
    let mut expected = Vec::new();
    for number in [3, 20, 1, 99_999_999, 10] {
        let bytes = vec![b'x'; usize::try_from(number % 7 + 1)?];
        expected.push((Sequence(number), bytes.len() as u64));
        expected.sort();
        let exclusivity = place.kind.exclusivity();
        let created = store
            .create_manifest(Sequence(number), bytes, exclusivity)
            .await?;
        assert_eq!(created, Creation::Created);
        let listing = store.manifests().await?;
        let found = listing.manifests.iter();
        let found: Vec<_> = found.map(|entry| (entry.sequence, entry.bytes)).collect();
        assert_eq!(found, expected);
        assert!(listing.foreign.is_empty(), "{:?}", listing.foreign);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    for entry in store.manifests().await?.manifests {
        let age = i128::try_from(now)? - i128::from(entry.modified);
        assert!((-5_000..60_000).contains(&age), "{age} ms old");
    }
    if place.kind.is_lasting() {
        // What another program would put there: here, a store one folder further down.
        let prefix = format!("prefix/{INSTANCE}");
        let below = place.open_below(&prefix, "archives").await?;
        let bytes = b"no manifest of this chain".to_vec();
        let created = below
            .create_manifest(Sequence(5), bytes, place.kind.exclusivity())
            .await?;
        assert_eq!(created, Creation::Created);
        let listing = store.manifests().await?;
        assert_eq!(listing.manifests.len(), expected.len());
        let name = format!("{INSTANCE}/archives/archives/00000005.json");
        assert_eq!(listing.foreign, [name]);
    }
    Ok(())
}
