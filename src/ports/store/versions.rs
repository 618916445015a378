//! Versions: what a bucket of S3 keeps of objects that were deleted.
//!
//! Promise: nothing that can be read is ever touched. An object is shown here only if a delete marker is
//! the newest of its versions, and its versions are named one by one when they are deleted, so that one
//! which is written meanwhile stays. The marker goes last, and only if nothing is left under it: an
//! object that was deleted never comes back. A listing is held in memory two pages at a time, and the next
//! page is there before anything of the last one goes, since a server may go on from a version
//! only if that is there.

use super::error::StoreError;
use super::refusal::{Answer, Refusal};
use super::s3::{S3, generic};
use super::{Deletion, Store};
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, BlobId, Sequence};
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, Limited};
use object_store::client::HttpResponse;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A page shows a thousand versions, each of which takes a kilobyte or two at most.
const PAGE_BYTES: usize = 8 << 20;
/// So many versions of one object are dealt with at once; of the others those that follow.
const VERSIONS_MAX: usize = 2000;
/// So many objects are deleted at a time.
const DELETES_IN_FLIGHT: usize = 8;

/// Where to look for what is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneFrom {
    /// Manifests.
    Archives,
    /// Signatures of archives and records.
    Signatures,
    /// Blobs.
    Blobs,
    /// Scratch objects, with which it was found out what the store does.
    Probes,
}

/// What an object was that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// A manifest, at its place in the chain.
    Manifest(Sequence),
    /// The signature of an archive or of a record.
    Signature(ArchiveId),
    /// A blob.
    Blob(BlobId),
    /// A scratch object.
    Scratch,
}

/// An object that was deleted, and what is kept of it.
#[derive(Clone, Debug)]
pub struct GoneObject {
    /// What it was.
    pub was: Gone,
    /// When the newest of its versions or of its delete markers was written, by the store's clock.
    pub touched_at: Timestamp,
    /// How many versions and delete markers there are.
    pub versions: u64,
    /// The size of the versions.
    pub bytes: u64,
    /// The whole name in the bucket.
    key: String,
    /// All but the newest delete marker.
    below: Vec<Version>,
    /// The newest delete marker.
    marker: String,
    /// There is more of it than is here.
    is_cut: bool,
}

/// What became of the versions of an object.
#[derive(Debug, Default)]
pub struct VersionsDeleted {
    /// How many are gone.
    pub gone: u64,
    /// The size of those.
    pub gone_bytes: u64,
    /// How many are locked, or not this host's to delete, with the marker above them.
    pub kept: u64,
    /// What failed.
    pub error: Option<StoreError>,
}

/// The objects that are gone from a folder of the store, page by page.
pub struct GoneListing<'a> {
    store: &'a Store,
    from: GoneFrom,
    ahead: Ahead,
    /// The last object of the page before, which this one may go on with.
    carried: Option<(String, Versions)>,
}

/// What is known of the listing beyond the page that was given out last.
enum Ahead {
    Unknown,
    Page(Page),
    End,
}

/// The versions of one object, as far as they were seen.
#[derive(Default)]
struct Versions {
    seen: Vec<Version>,
    is_cut: bool,
}

#[derive(Clone, Debug)]
struct Version {
    id: String,
    is_latest: bool,
    is_marker: bool,
    bytes: u64,
    written_at: Timestamp,
}

/// A page of versions, in the words of S3.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default, rename = "Version")]
    versions: Vec<Shown>,
    #[serde(default, rename = "DeleteMarker")]
    markers: Vec<Shown>,
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    key: String,
    version_id: String,
    is_latest: bool,
    last_modified: Timestamp,
    #[serde(default)]
    size: u64,
}

/// What a bucket does with what is overwritten or deleted, in the words of S3.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioning {
    status: Option<String>,
}

impl Store {
    /// Whether the store keeps versions that this program can list: a bucket of S3 that has them, or had
    /// them once. Where this host may not ask, it is `true`, and the listing shows.
    ///
    /// # Errors
    /// [`StoreError`]; that the server knows no versions is none.
    pub async fn has_versions(&self) -> Result<bool, StoreError> {
        let Some((s3, _)) = self.s3() else {
            return Ok(false);
        };
        let place = self.instance().to_string();
        let ask = || async {
            let asked = s3.ask(Method::GET, None, &[("versioning", "")]).await;
            let found: Result<Versioning, _> = read(asked).await;
            found.map_err(|error| self.failed("ask for versions of", &place, error))
        };
        match self.keep_trying(ask).await {
            Ok(versioning) => Ok(versioning.status.is_some()),
            Err(error) => match error.refusal() {
                Some(Refusal::Denied) => Ok(true),
                Some(Refusal::Unsupported | Refusal::Other) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// What is gone from a folder, page by page.
    #[must_use]
    pub fn gone(&self, from: GoneFrom) -> GoneListing<'_> {
        GoneListing {
            store: self,
            from,
            ahead: Ahead::Unknown,
            carried: None,
        }
    }

    /// Deletes what is kept of objects that are gone; the outcomes are in no order.
    pub async fn delete_versions(&self, objects: Vec<GoneObject>) -> Vec<VersionsDeleted> {
        let deleted = objects
            .into_iter()
            .map(|object| async move { self.delete_versions_of(&object).await });
        let deleted = stream::iter(deleted).buffer_unordered(DELETES_IN_FLIGHT);
        deleted.collect().await
    }

    async fn delete_versions_of(&self, object: &GoneObject) -> VersionsDeleted {
        let mut done = VersionsDeleted::default();
        for version in &object.below {
            match self.delete_version(&object.key, &version.id).await {
                Ok(Deletion::Gone) => {
                    done.gone += 1;
                    done.gone_bytes += version.bytes;
                }
                Ok(Deletion::Kept) => done.kept += 1,
                Err(error) => {
                    done.error = Some(error);
                    return done;
                }
            }
        }
        // Without its marker, the newest version that is left could be read again.
        if done.kept > 0 || object.is_cut {
            done.kept += u64::from(done.kept > 0);
            return done;
        }
        match self.delete_version(&object.key, &object.marker).await {
            Ok(Deletion::Gone) => done.gone += 1,
            Ok(Deletion::Kept) => done.kept += 1,
            Err(error) => done.error = Some(error),
        }
        done
    }

    /// Deletes one version of an object.
    async fn delete_version(&self, key: &str, version: &str) -> Result<Deletion, StoreError> {
        let Some((s3, _)) = self.s3() else {
            return Ok(Deletion::Kept);
        };
        let delete = || async {
            let query = [("versionId", version)];
            let asked = s3.ask(Method::DELETE, Some(key), &query).await;
            let answer = asked.and_then(|answer| match answer.status() {
                // It was gone already: a reply may have been lost.
                StatusCode::NOT_FOUND => Ok(()),
                _ => is_done(&answer),
            });
            answer.map_err(|error| self.failed("delete an older version of", key, error))
        };
        match self.keep_trying(delete).await {
            Ok(()) => Ok(Deletion::Gone),
            Err(error) => match error.refusal() {
                Some(Refusal::Denied | Refusal::Locked) => Ok(Deletion::Kept),
                _ => Err(error),
            },
        }
    }

    /// The bucket of S3 and where the instance is in it, if that is where the store is.
    fn s3(&self) -> Option<(&S3, String)> {
        let remote = self.remote.as_ref()?;
        let s3 = remote.s3.as_ref()?;
        Some((s3, remote.whole_name(self.instance().as_str()).to_string()))
    }

    /// What lies at a whole name, if it is where its name says.
    fn named(&self, from: GoneFrom, key: &str) -> Option<Gone> {
        let name = key.rsplit('/').next()?;
        let (was, object) = match from {
            GoneFrom::Archives => {
                let sequence = Sequence(name.strip_suffix(".json")?.parse().ok()?);
                (Gone::Manifest(sequence), self.manifest_object(sequence))
            }
            GoneFrom::Signatures => {
                let id = name.strip_suffix(".sig")?.parse().ok()?;
                (Gone::Signature(id), self.signature_object(id))
            }
            GoneFrom::Blobs => {
                let id = name.parse().ok()?;
                (Gone::Blob(id), self.blob_object(id))
            }
            GoneFrom::Probes => {
                let number = u64::from_str_radix(name, 16).ok()?;
                (Gone::Scratch, self.scratch_object(number))
            }
        };
        let whole = self.remote.as_ref()?.whole_name(&object);
        (whole.as_ref() == key).then_some(was)
    }
}

impl GoneListing<'_> {
    /// The objects of the next page that are gone; `None` after the last page. Those that were given out
    /// before may be deleted in between.
    ///
    /// # Errors
    /// [`StoreError`], `Refused` if this host may not list versions.
    pub async fn next(&mut self) -> Result<Option<Vec<GoneObject>>, StoreError> {
        let page = match std::mem::replace(&mut self.ahead, Ahead::End) {
            Ahead::Unknown => self.page(None).await?,
            Ahead::Page(page) => page,
            Ahead::End => return Ok(None),
        };
        let goes_on_with = page.next_key_marker.clone().filter(|_| page.is_truncated);
        if let Some(key) = &goes_on_with {
            let version = page.next_version_id_marker.as_deref();
            self.ahead = Ahead::Page(self.page(Some((key, version))).await?);
        }
        Ok(Some(self.sort(page, goes_on_with)))
    }

    /// A page after a version, or the first one.
    async fn page(&self, after: Option<(&str, Option<&str>)>) -> Result<Page, StoreError> {
        let folder = match self.from {
            GoneFrom::Archives => "archives",
            GoneFrom::Signatures => "signatures",
            GoneFrom::Blobs => "blobs",
            GoneFrom::Probes => "probe",
        };
        let Some((s3, instance)) = self.store.s3() else {
            return Ok(Page::default());
        };
        let prefix = format!("{instance}/{folder}/");
        let mut query = vec![("versions", ""), ("prefix", prefix.as_str())];
        if let Some((key, version)) = after {
            query.push(("key-marker", key));
            query.extend(version.map(|version| ("version-id-marker", version)));
        }
        let fail = |error| self.store.failed("list the versions in", &prefix, error);
        let ask = || async {
            let page: Page = read(s3.ask(Method::GET, None, &query).await)
                .await
                .map_err(fail)?;
            let next = page.next_key_marker.as_deref();
            let version = page.next_version_id_marker.as_deref();
            // Else it would never end.
            let goes_on = match (next, after) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(next), Some(after)) => (next, version) != after && next >= after.0,
            };
            if page.is_truncated && !goes_on {
                return Err(fail(generic("it ends, and does not say where")));
            }
            Ok(page)
        };
        self.store.keep_trying(ask).await
    }

    /// The objects of a page that are gone, but for the one that the next page may go on with.
    fn sort(&mut self, page: Page, goes_on_with: Option<String>) -> Vec<GoneObject> {
        let mut objects: BTreeMap<String, Versions> = self.carried.take().into_iter().collect();
        let versions = page.versions.into_iter().map(|shown| (false, shown));
        let markers = page.markers.into_iter().map(|shown| (true, shown));
        for (is_marker, shown) in versions.chain(markers) {
            let object = objects.entry(shown.key).or_default();
            object.is_cut |= object.seen.len() >= VERSIONS_MAX && !shown.is_latest;
            if !object.is_cut {
                object.seen.push(Version {
                    id: shown.version_id,
                    is_latest: shown.is_latest,
                    is_marker,
                    bytes: shown.size,
                    written_at: shown.last_modified,
                });
            }
        }
        if let Some(key) = goes_on_with {
            self.carried = objects.remove_entry(&key);
        }
        let gone = objects.into_iter().filter_map(|(key, versions)| {
            let was = self.store.named(self.from, &key)?;
            versions.gone(was, key)
        });
        gone.collect()
    }
}

impl Versions {
    /// The object, if a delete marker is the newest of its versions.
    fn gone(self, was: Gone, key: String) -> Option<GoneObject> {
        let touched_at = self.seen.iter().map(|version| version.written_at).max()?;
        let (mut latest, below): (Vec<_>, Vec<_>) =
            self.seen.into_iter().partition(|version| version.is_latest);
        let marker = latest.pop().filter(|marker| marker.is_marker)?;
        latest.is_empty().then(|| GoneObject {
            was,
            touched_at,
            versions: below.len() as u64 + 1,
            bytes: below.iter().map(|version| version.bytes).sum(),
            key,
            below,
            marker: marker.id,
            is_cut: self.is_cut,
        })
    }
}

/// Reads an answer that has to be of a kind.
async fn read<T: DeserializeOwned>(
    answer: object_store::Result<HttpResponse>,
) -> object_store::Result<T> {
    let answer = answer?;
    is_done(&answer)?;
    let body = Limited::new(answer.into_body(), PAGE_BYTES);
    let bytes = body.collect().await.map_err(generic)?.to_bytes();
    quick_xml::de::from_reader(&*bytes).map_err(|error| generic(Box::new(error) as Box<_>))
}

/// An answer that is no success, and says nothing of why.
fn is_done(answer: &HttpResponse) -> object_store::Result<()> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let (refusal, said) = (Refusal::Other, status.to_string());
    Err(generic(Answer { refusal, said }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page as S3 writes it: versions and delete markers take turns.
    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>bucket</Name><Prefix>lazyit/blobs/</Prefix><KeyMarker/><VersionIdMarker/><MaxKeys>1000</MaxKeys>
  <IsTruncated>true</IsTruncated>
  <NextKeyMarker>lazyit/blobs/b</NextKeyMarker><NextVersionIdMarker>4</NextVersionIdMarker>
  <DeleteMarker><Key>lazyit/blobs/a</Key><VersionId>3</VersionId><IsLatest>true</IsLatest>
    <LastModified>2026-01-03T00:00:00.000Z</LastModified><Owner><ID>1</ID></Owner></DeleteMarker>
  <Version><Key>lazyit/blobs/a</Key><VersionId>2</VersionId><IsLatest>false</IsLatest>
    <LastModified>2026-01-02T00:00:00.000Z</LastModified><ETag>"x"</ETag><Size>20</Size>
    <StorageClass>STANDARD</StorageClass></Version>
  <DeleteMarker><Key>lazyit/blobs/a</Key><VersionId>1</VersionId><IsLatest>false</IsLatest>
    <LastModified>2026-01-01T00:00:00.000Z</LastModified></DeleteMarker>
  <Version><Key>lazyit/blobs/b</Key><VersionId>4</VersionId><IsLatest>true</IsLatest>
    <LastModified>2026-01-02T00:00:00.000Z</LastModified><ETag>"x"</ETag><Size>5</Size></Version>
</ListVersionsResult>"#;

    fn version(id: &str, is_latest: bool, is_marker: bool) -> Version {
        Version {
            id: id.to_owned(),
            is_latest,
            is_marker,
            bytes: 7,
            written_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn gone(seen: Vec<Version>) -> Option<GoneObject> {
        let versions = Versions {
            seen,
            is_cut: false,
        };
        versions.gone(Gone::Manifest(Sequence(1)), "key".into())
    }

    #[test]
    fn a_page_in_which_versions_and_markers_take_turns_is_read() -> Result<(), quick_xml::DeError> {
        let page: Page = quick_xml::de::from_str(PAGE)?;
        let ids = |shown: &[Shown]| -> Vec<String> {
            shown.iter().map(|one| one.version_id.clone()).collect()
        };
        assert_eq!(ids(&page.versions), ["2", "4"]);
        assert_eq!(ids(&page.markers), ["3", "1"]);
        assert!(page.is_truncated && page.markers[0].is_latest && !page.markers[1].is_latest);
        assert_eq!(page.versions[0].size, 20);
        assert_eq!(page.next_version_id_marker.as_deref(), Some("4"));
        Ok(())
    }

    #[test]
    fn what_can_be_read_or_whose_newest_version_is_unknown_is_not_gone() {
        assert!(gone(vec![version("1", true, false)]).is_none());
        assert!(gone(vec![version("1", false, true), version("2", true, false)]).is_none());
        assert!(gone(vec![version("1", false, true), version("2", false, false)]).is_none());
        // A server that contradicts itself is not believed.
        assert!(gone(vec![version("1", true, true), version("2", true, false)]).is_none());
        assert!(gone(vec![version("2", true, false), version("1", true, true)]).is_none());
        assert!(gone(Vec::new()).is_none());
    }

    #[test]
    fn the_newest_marker_is_kept_apart_from_what_is_under_it() {
        let object = gone(vec![
            version("2", false, false),
            version("3", true, true),
            version("1", false, true),
        ]);
        let object = object.map(|object| (object.marker, object.below.len(), object.bytes));
        assert_eq!(object, Some(("3".to_owned(), 2, 14)));
    }
}
