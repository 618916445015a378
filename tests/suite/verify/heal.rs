//! Heal: good copies take the place of what is missing or damaged, each is told, and nothing else is
//! touched.

use super::{blobs, flip, manifest_id, needed_by, three_nights, verify, violations};
use crate::support::servers::{Bucket, Protocol, shared};
use crate::support::{Host, NIGHTS, Outcome, Run, copy_tree};
use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What was healed: the object, and what was wrong with it.
fn healed(document: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = document["healed"].as_array().into_iter().flatten();
    all.map(|one| (text(&one["object"]), text(&one["was"])))
        .collect()
}

/// What is done to one object.
type Damage = fn(&std::path::Path) -> Outcome;

const HEAL: [&str; 3] = ["--read-data", "--heal-from", "copy"];

#[test]
fn every_damaged_object_is_replaced_by_the_good_copy_and_told() -> Outcome {
    let host = three_nights()?;
    copy_tree(&host.path("store"), &host.path("copy"))?;
    let good = host.snapshot("store")?;
    let mut objects = Vec::new();
    for (path, bytes) in &good {
        let object = path.strip_prefix(host.path("store"))?.display().to_string();
        objects.push((object, path, bytes));
    }
    let damages: [(&str, Damage); 3] = [
        ("flipped", flip),
        ("cut", |path| {
            let bytes = fs::read(path)?;
            Ok(fs::write(path, &bytes[..bytes.len() / 2])?)
        }),
        ("removed", |path| Ok(fs::remove_file(path)?)),
    ];
    for (what, damage) in damages {
        for (object, path, _) in &objects {
            damage(path)?;
            // Without the flag nothing is repaired.
            verify(&host, &["--read-data"], 5)?;
            let found =
                verify(&host, &HEAL, 0).map_err(|error| format!("{what} {object}: {error}"))?;
            let told = healed(&found);
            assert!(
                told.iter().any(|(healed, _)| healed == object),
                "{what} {object}: {found:#}"
            );
            assert_eq!(told.len(), 1, "{what} {object}: {found:#}");
            let was = if what == "removed" {
                "missing"
            } else {
                "damaged"
            };
            assert_eq!(
                told.first().map(|one| one.1.as_str()),
                Some(was),
                "{object}"
            );
            assert!(host.snapshot("store")? == good, "{what} {object}");
        }
    }
    // All at once.
    for (number, (_, path, _)) in objects.iter().enumerate() {
        damages[number % 3].1(path)?;
    }
    let found = verify(&host, &HEAL, 0)?;
    assert_eq!(healed(&found).len(), objects.len(), "{found:#}");
    assert!(host.snapshot("store")? == good);
    let run = host
        .run(&["verify", "--heal-from", "copy"])?
        .expect_code(0)?;
    assert!(!run.stdout.contains("healed"), "{run:#?}");
    Ok(())
}

#[test]
fn what_cannot_be_healed_stays_a_violation_and_is_told() -> Outcome {
    let host = three_nights()?;
    copy_tree(&host.path("store"), &host.path("copy"))?;
    let all = blobs(&host)?;
    let (one, two) = (&all[0], &all[1]);
    let copy = |name: &str| host.path("copy/lazyit/blobs").join(&name[..2]).join(name);
    // The copy is damaged as well: of one, in its bytes; and of another, it has the bytes of a third.
    for (name, path) in [one, two] {
        fs::remove_file(path)?;
        flip(&copy(name))?;
    }
    fs::copy(&all[2].1, copy(&two.0))?;
    let run = host
        .run(&[&["verify", "--json"][..], &HEAL].concat())?
        .expect_code(5)?;
    let found = run.json()?;
    assert_eq!(healed(&found).len(), 0, "{found:#}");
    for (name, path) in [one, two] {
        assert!(!path.exists(), "an unverified copy was put in place");
        assert!(
            run.stderr
                .contains(&format!("{name} cannot be healed from")),
            "{run:#?}"
        );
        let needed: BTreeSet<u64> = needed_by(&host, name)?
            .into_iter()
            .map(|one| one.0)
            .collect();
        let named = violations(&found)
            .into_iter()
            .filter(|one| one.2.contains(name));
        assert_eq!(named.map(|one| one.1).collect::<BTreeSet<_>>(), needed);
    }
    // The very store is no help.
    let run = host
        .run(&["verify", "--heal-from", "store"])?
        .expect_code(2)?;
    assert!(run.stderr.contains("nothing to heal"), "{run:#?}");
    Ok(())
}

#[test]
fn another_archive_does_not_take_a_place_that_is_not_its_own() -> Outcome {
    let host = three_nights()?;
    // A store of the same signer, whose second archive is another one.
    fs::create_dir(host.path("copy"))?;
    let replicate = ["replicate", "--to", "copy"];
    host.run(&replicate)?.expect_code(0)?;
    for sequence in [2, 3] {
        fs::remove_file(host.path(&format!("copy/lazyit/archives/{sequence:08}.json")))?;
    }
    let dump = host.add_night(NIGHTS[1])?;
    let state = ["--state", "other-state", "--store", "copy"];
    host.run(&[&["push", &dump][..], &state].concat())?
        .expect_code(0)?;
    let other = fs::read(host.path("copy/lazyit/archives/00000002.json"))?;
    assert!(crate::support::sha256(&other) != manifest_id(&host, 2)?);
    let second = host.store("archives/00000002.json");
    fs::remove_file(&second)?;
    let args = ["verify", "--json", "--heal-from", "copy"];
    let run = host.run(&args)?.expect_code(5)?;
    assert!(
        run.stderr.contains("another archive than belongs there"),
        "{run:#?}"
    );
    assert!(!second.exists());
    assert_eq!(violations(&run.json()?)[0].0, "archive-removed");
    Ok(())
}

#[test]
fn a_manifest_of_somebody_who_is_not_trusted_is_left_alone() -> Outcome {
    let host = three_nights()?;
    copy_tree(&host.path("store"), &host.path("copy"))?;
    let path = host.store("archives/00000003.json");
    let text = fs::read_to_string(&path)?.replace("\"nightly\"", "\"nightly2\"");
    let stranger = sealift::SigningKey::generate("stranger")?;
    let id = crate::support::sha256(text.as_bytes());
    let signature = stranger.sign(text.as_bytes())?;
    fs::write(host.store(&format!("signatures/{id}.sig")), signature)?;
    fs::write(&path, &text)?;
    let found = verify(&host, &HEAL, 5)?;
    assert_eq!(violations(&found)[0].0, "signature-invalid", "{found:#}");
    assert!(fs::read_to_string(&path)? == text);
    Ok(())
}

#[test]
fn a_store_that_shows_nothing_any_more_is_not_filled() -> Outcome {
    let host = three_nights()?;
    fs::rename(host.path("store"), host.path("copy"))?;
    fs::create_dir(host.path("store"))?;
    let run = host
        .run(&[&["verify"][..], &HEAL].concat())?
        .expect_code(1)?;
    assert!(run.stderr.contains("is it mounted?"), "{run:#?}");
    assert!(run.stderr.contains("hint: "), "{run:#?}");
    assert_eq!(fs::read_dir(host.path("store"))?.count(), 0);
    Ok(())
}

#[test]
fn a_signature_that_is_far_too_long_is_replaced() -> Outcome {
    let host = three_nights()?;
    copy_tree(&host.path("store"), &host.path("copy"))?;
    let good = host.snapshot("store")?;
    let id = manifest_id(&host, 2)?;
    fs::write(
        host.store(&format!("signatures/{id}.sig")),
        vec![b'x'; 40_000],
    )?;
    verify(&host, &[], 5)?;
    let found = verify(&host, &HEAL, 0)?;
    let signature = (format!("lazyit/signatures/{id}.sig"), "damaged".to_owned());
    assert!(healed(&found).contains(&signature), "{found:#}");
    assert!(host.snapshot("store")? == good);
    Ok(())
}

/// Runs the program with the environment of a bucket.
fn run(host: &Host, bucket: &Bucket, args: &[&str]) -> Result<Run> {
    let output = host.command(args).envs(bucket.env.clone()).output()?;
    Ok(Run::of(&output))
}

/// What a test does to an object behind the program's back: removes it, or puts so many other bytes in
/// its place.
type Tamper<'a> = &'a dyn Fn(&str, Option<usize>) -> Outcome;

/// A bucket whose blobs are damaged is healed from a folder, and a folder from the bucket.
fn heals_both_ways(bucket: &Bucket, tamper: Tamper) -> Outcome {
    let host = three_nights()?;
    let url = bucket.url.as_str();
    run(&host, bucket, &["replicate", "--to", url])?.expect_code(0)?;
    let all = blobs(&host)?;
    let good = host.snapshot("store")?;
    let read = |store: &str, code: i32| {
        let args = ["verify", "--json", "--read-data", "--store", store];
        run(&host, bucket, &args)?.expect_code(code)?.json()
    };
    let heal = |store: &str, from: &str| {
        let args = [
            "verify",
            "--json",
            "--read-data",
            "--store",
            store,
            "--heal-from",
            from,
        ];
        run(&host, bucket, &args)?.expect_code(0)?.json()
    };
    for (_, path) in all.iter().step_by(2) {
        fs::remove_file(path)?;
    }
    for (_, path) in all.iter().skip(1).step_by(4) {
        flip(path)?;
    }
    fs::remove_file(host.store("archives/00000003.json"))?;
    let found = heal("store", url)?;
    let expected = all.iter().step_by(2).count() + all.iter().skip(1).step_by(4).count() + 1;
    assert_eq!(healed(&found).len(), expected, "{found:#}");
    assert!(host.snapshot("store")? == good);

    let object = |name: &str| format!("lazyit/blobs/{}/{name}", &name[..2]);
    let (missing, damaged) = (&all[0].0, &all[1].0);
    tamper(&object(missing), None)?;
    let bytes = fs::metadata(&all[1].1)?.len();
    tamper(&object(damaged), Some(usize::try_from(bytes)?))?;
    read(url, 5)?;
    let found = heal(url, "store")?;
    let told: BTreeSet<String> = healed(&found).into_iter().map(|one| one.0).collect();
    let expected = [object(missing), object(damaged)];
    assert_eq!(told, BTreeSet::from(expected), "{found:#}");
    read(url, 0)?;
    Ok(())
}

#[test]
fn a_bucket_and_a_folder_heal_each_other() -> Outcome {
    let service = shared(Protocol::S3sFs)?;
    let bucket = service.bucket()?;
    let root = service
        .folder()
        .join("data")
        .join(&bucket.name)
        .join("prefix");
    heals_both_ways(&bucket, &|object, bytes| {
        match bytes {
            None => fs::remove_file(root.join(object))?,
            Some(bytes) => fs::write(root.join(object), vec![b'x'; bytes])?,
        }
        Ok(())
    })
}

#[test]
fn in_a_locked_bucket_the_new_version_counts() -> Outcome {
    let service = shared(Protocol::Moto)?;
    let bucket = service.bucket_locked(30)?;
    heals_both_ways(&bucket, &|object, bytes| {
        let path = format!("/{}/prefix/{object}", bucket.name);
        // Somebody must have signed it, and nobody looks.
        let signed = "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/\
                      aws4_request, SignedHeaders=host, Signature=b";
        let headers = ["x-amz-sdk-checksum-algorithm: SHA256", signed];
        // Nothing can be removed there, but a newer version without a byte is no better.
        let body = "x".repeat(bytes.unwrap_or(0));
        let (status, answer) = service.request("PUT", &path, &headers, &body)?;
        assert!(status == 200, "{answer}");
        Ok(())
    })
}
