//! Prune on buckets that keep older versions: what was deleted on purpose goes for good, and nothing else.

use crate::support::servers::{Bucket, Protocol, Service, shared};
use crate::support::{Host, KIT, NIGHTS, Outcome, Run};
use serde_json::Value;
use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Moto asks who wants to touch an object, and believes anybody; where there is a lock it wants a checksum.
const SOMEBODY: [&str; 2] = [
    "Authorization: AWS4-HMAC-SHA256 Credential=somebody/20260101/us-east-1/s3/aws4_request",
    "x-amz-sdk-checksum-algorithm: SHA256",
];

/// A grace period of one second is over by then: this host's clock has no fractions of one.
const GRACE_IS_OVER: Duration = Duration::from_millis(2100);

/// A host whose store is a bucket of moto's.
struct Site {
    host: Host,
    server: &'static Service,
    bucket: Bucket,
}

/// A version of an object, as the server lists it.
#[derive(Debug)]
struct Version {
    key: String,
    id: String,
    is_marker: bool,
    is_latest: bool,
}

impl Site {
    fn new(bucket: impl Fn(&Service) -> Result<Bucket>) -> Result<Self> {
        let server = shared(Protocol::Moto)?;
        let bucket = bucket(server)?;
        let host = Host::with_store(&bucket.url)?;
        Ok(Self {
            host,
            server,
            bucket,
        })
    }

    fn run(&self, args: &[&str]) -> Result<Run> {
        let mut command = self.host.command(args);
        Ok(Run::of(&command.envs(self.bucket.env.clone()).output()?))
    }

    fn push_all(&self) -> Outcome {
        for night in NIGHTS {
            let dump = self.host.add_night(night)?;
            // Nothing is used again, so that an archive has blobs that no other needs.
            self.run(&["push", "--reuse-max-age", "1s", &dump])?
                .expect_code(0)?;
            sleep(Duration::from_millis(1100));
        }
        Ok(())
    }

    /// What prune says of the store, after the grace period is over for all that was done before.
    fn prune(&self, more: &[&str]) -> Result<Value> {
        sleep(GRACE_IS_OVER);
        let args = ["prune", "--json", "--grace", "1s", "--keep-last", "1"];
        let run = self.run(&[&args[..], more].concat())?.expect_code(0)?;
        let store = run.json()?["stores"][0].clone();
        assert_eq!(store["keeps_versions"], true, "{run:?}");
        Ok(store)
    }

    /// Everything that the bucket has below a folder of the instance.
    fn versions(&self, folder: &str) -> Result<Vec<Version>> {
        let Bucket { name, .. } = &self.bucket;
        let path = format!("/{name}?versions&prefix=prefix/lazyit/{folder}&max-keys=10000");
        let answer = self.expect("GET", &path, "", 200)?;
        assert!(
            !answer.contains("<IsTruncated>true"),
            "too much for one page"
        );
        let mut found = Vec::new();
        for (tag, is_marker) in [("Version", false), ("DeleteMarker", true)] {
            for part in answer.split(&format!("<{tag}>")).skip(1) {
                let field = |name: &str| -> Result<String> {
                    let (_, rest) = part.split_once(&format!("<{name}>")).ok_or("no field")?;
                    Ok(rest.split_once('<').ok_or("no end")?.0.to_owned())
                };
                found.push(Version {
                    key: field("Key")?,
                    id: field("VersionId")?,
                    is_latest: field("IsLatest")? == "true",
                    is_marker,
                });
            }
        }
        Ok(found)
    }

    /// How many versions and delete markers there are of what is gone.
    fn gone(&self, folder: &str) -> Result<usize> {
        let versions = self.versions(folder)?;
        let is_gone = |key: &str| {
            let mut latest = versions.iter().filter(|version| version.is_latest);
            latest.any(|version| version.key == key && version.is_marker)
        };
        let gone = versions.iter().filter(|version| is_gone(&version.key));
        Ok(gone.count())
    }

    /// Deletes an object as somebody would who may not delete versions.
    fn delete(&self, key: &str) -> Outcome {
        let path = format!("/{}/{key}", self.bucket.name);
        self.expect("DELETE", &path, "", 204).map(drop)
    }

    /// What the server answers, past the program.
    fn expect(&self, method: &str, path: &str, body: &str, status: u16) -> Result<String> {
        let (found, answer) = self.server.request(method, path, &SOMEBODY, body)?;
        assert_eq!(found, status, "{method} {path}: {answer}");
        Ok(answer)
    }
}

/// The keys of the blobs that the manifest of the archive with this number names.
fn needed(site: &Site, number: u32) -> Result<Vec<String>> {
    let name = &site.bucket.name;
    let path = format!("/{name}/prefix/lazyit/archives/{number:08}.json");
    let manifest = site.expect("GET", &path, "", 200)?;
    let blobs = site.versions("blobs/")?.into_iter().map(|blob| blob.key);
    let is_named = |key: &String| {
        let name = key.rsplit('/').next();
        name.is_some_and(|name| manifest.contains(name))
    };
    let keys: Vec<String> = blobs.filter(is_named).collect();
    assert!(!keys.is_empty(), "{manifest}");
    Ok(keys)
}

fn number(store: &Value, field: &str) -> u64 {
    store[field].as_u64().unwrap_or(u64::MAX)
}

#[test]
fn what_was_retired_is_gone_from_the_listing_of_versions_and_the_rest_is_whole() -> Outcome {
    let site = Site::new(Service::bucket_versioned)?;
    site.push_all()?;
    let stays = needed(&site, 3)?;
    // That the store takes a place once was found out with objects that are gone as well.
    let probed = site.gone("probe/")?;
    assert_eq!(probed, site.gone("")?);
    let retired = site.prune(&["--execute"])?;
    assert_eq!(number(&retired, "versions"), probed as u64, "{retired}");
    assert_eq!(retired["retired"].as_array().map(Vec::len), Some(2));
    assert_eq!(site.gone("archives/")?, 4);
    // The blobs go, and leave versions.
    let collected = site.prune(&["--execute"])?;
    assert!(number(&collected, "blobs") > 0, "{collected}");
    assert!(site.gone("blobs/")? >= 2, "{collected}");

    let plan = site.prune(&[])?;
    let left = site.gone("")?;
    assert_eq!(number(&plan, "versions"), left as u64, "{plan}");
    assert!(number(&plan, "version_bytes") > 0, "{plan}");
    let text = site.run(&["prune", "--grace", "1s", "--keep-last", "1"])?;
    let line = format!("{left} older versions of what was deleted before");
    assert!(text.stdout.contains(&line), "{text:?}");
    assert_eq!(site.gone("")?, left, "a plan changes nothing");

    let done = site.prune(&["--execute"])?;
    for field in ["versions", "version_bytes"] {
        assert_eq!(done[field], plan[field], "{done}");
    }
    assert_eq!(number(&done, "kept_versions"), 0);
    assert_eq!(site.gone("")?, 0);
    let archives = site.versions("archives/")?;
    assert_eq!(archives.len(), 1, "{archives:?}");
    let blobs = site.versions("blobs/")?;
    assert!(blobs.iter().all(|blob| stays.contains(&blob.key)));
    assert_eq!(number(&site.prune(&["--execute"])?, "versions"), 0);
    site.run(&["verify", "--read-data"])?.expect_code(0)?;
    let fetch = [&["fetch", "--latest", "--out", "out"][..], &KIT].concat();
    site.run(&fetch)?.expect_code(0)?;
    Ok(())
}

#[test]
fn the_only_copy_of_what_is_needed_stays_whoever_deleted_it() -> Outcome {
    let site = Site::new(Service::bucket_versioned)?;
    site.push_all()?;
    let stays = needed(&site, 3)?;
    for key in &stays {
        site.delete(key)?;
    }
    for _ in 0..3 {
        site.prune(&["--execute"])?;
    }
    let blobs = site.versions("blobs/")?;
    for key in &stays {
        let copies = blobs.iter().filter(|blob| blob.key == *key);
        assert_eq!(copies.filter(|blob| !blob.is_marker).count(), 1, "{key}");
    }
    // Nothing else is left of what was deleted.
    assert!(blobs.iter().all(|blob| stays.contains(&blob.key)));
    // They come back by the markers' going.
    for marker in blobs.iter().filter(|blob| blob.is_marker) {
        let path = format!(
            "/{}/{}?versionId={}",
            site.bucket.name, marker.key, marker.id
        );
        site.expect("DELETE", &path, "", 204)?;
    }
    site.run(&["verify", "--read-data"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn more_versions_than_fit_a_page_all_go() -> Outcome {
    let site = Site::new(Service::bucket_versioned)?;
    let dump = site.host.add_night(NIGHTS[0])?;
    site.run(&["push", &dump])?.expect_code(0)?;
    let before = site.gone("")?;
    // A page ends after the first of three versions.
    for number in 0..400 {
        let key = format!("prefix/lazyit/probe/{number:016x}");
        let path = format!("/{}/{key}", site.bucket.name);
        site.expect("PUT", &path, "scratch", 200)?;
        site.delete(&key)?;
        site.delete(&key)?;
    }
    let left = site.gone("")? as u64;
    assert_eq!(left, before as u64 + 1200);
    assert_eq!(number(&site.prune(&[])?, "versions"), left);
    assert_eq!(number(&site.prune(&["--execute"])?, "versions"), left);
    assert_eq!(site.gone("")?, 0);
    site.run(&["verify", "--read-data"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn versions_of_what_is_there_stay_as_evidence() -> Outcome {
    let site = Site::new(Service::bucket_versioned)?;
    site.push_all()?;
    let manifest = "prefix/lazyit/archives/00000003.json";
    let path = format!("/{}/{manifest}", site.bucket.name);
    let answer = site.expect("GET", &path, "", 200)?;
    let body = answer.split_once("\r\n\r\n").ok_or("no body")?.1;
    for text in ["not a manifest", body] {
        site.expect("PUT", &path, text, 200)?;
    }
    for _ in 0..3 {
        site.prune(&["--execute"])?;
    }
    let versions = site.versions("archives/")?;
    assert_eq!(versions.len(), 3, "{versions:?}");
    Ok(())
}

#[test]
fn nothing_goes_while_a_manifest_is_gone_without_a_record() -> Outcome {
    let site = Site::new(Service::bucket_versioned)?;
    site.push_all()?;
    for _ in 0..2 {
        site.prune(&["--execute"])?;
    }
    let left = site.gone("")?;
    // The newest one, of which a host without its index knows nothing.
    site.delete("prefix/lazyit/archives/00000003.json")?;
    let state = site.host.path("fresh");
    sleep(GRACE_IS_OVER);
    let state = state.display().to_string();
    let args = ["prune", "--execute", "--json", "--grace", "1s", "--state"];
    let run = site.run(&[&args[..], &[&state, "--keep-last", "1"]].concat())?;
    assert!(
        run.stderr
            .contains("archive 3 was deleted without a record"),
        "{run:?}"
    );
    assert!(site.gone("")? >= left, "{run:?}");
    Ok(())
}

#[test]
fn what_is_locked_is_told_and_goes_once_it_is_not() -> Outcome {
    let site = Site::new(|server| server.bucket_locked(1))?;
    site.push_all()?;
    for _ in 0..2 {
        site.prune(&["--execute"])?;
    }
    let left = site.gone("")?;
    let plan = site.prune(&[])?;
    assert_eq!(number(&plan, "versions"), left as u64, "{plan}");
    let locked = site.prune(&["--execute"])?;
    assert_eq!(number(&locked, "versions"), 0, "{locked}");
    assert_eq!(number(&locked, "kept_versions"), left as u64, "{locked}");
    assert_eq!(site.gone("")?, left);
    site.run(&["verify"])?.expect_code(0)?;

    // A day passes.
    let over = "<Retention><Mode>COMPLIANCE</Mode>\
                <RetainUntilDate>2026-01-01T00:00:00Z</RetainUntilDate></Retention>";
    for version in site.versions("")? {
        if !version.is_marker {
            let name = &site.bucket.name;
            let Version { key, id, .. } = version;
            let path = format!("/{name}/{key}?retention&versionId={id}");
            site.expect("PUT", &path, over, 200)?;
        }
    }
    let done = site.prune(&["--execute"])?;
    assert_eq!(number(&done, "versions"), left as u64, "{done}");
    assert_eq!(number(&done, "kept_versions"), 0, "{done}");
    assert_eq!(site.gone("")?, 0);
    site.run(&["verify", "--read-data"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_store_without_versions_has_none_and_nothing_is_said() -> Outcome {
    for protocol in [Protocol::S3sFs, Protocol::Moto, Protocol::Gcs] {
        let bucket = shared(protocol)?.bucket()?;
        let host = Host::with_store(&bucket.url)?;
        let run = |args: &[&str]| -> Result<Run> {
            let mut command = host.command(args);
            Run::of(&command.envs(bucket.env.clone()).output()?).expect_code(0)
        };
        for night in NIGHTS {
            let dump = host.add_night(night)?;
            run(&["push", &dump])?;
        }
        sleep(Duration::from_millis(1100));
        let args = ["prune", "--execute", "--json", "--grace", "1s"];
        let prune = run(&[&args[..], &["--keep-last", "1"]].concat())?;
        let document = prune.json()?;
        let store = &document["stores"][0];
        assert_eq!(store["keeps_versions"], false, "{prune:?}");
        assert_eq!(number(store, "versions"), 0, "{prune:?}");
        assert!(!prune.stderr.contains("version"), "{prune:?}");
    }
    Ok(())
}
