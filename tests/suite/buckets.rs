//! The program on the stores of every service, as an operator runs it.

use crate::support::servers::{Bucket, Protocol, shared};
use crate::support::{Host, KIT, NIGHTS, Outcome, Run, Snapshot, fixtures};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PROTOCOLS: [Protocol; 4] = [
    Protocol::Moto,
    Protocol::S3sFs,
    Protocol::Gcs,
    Protocol::Azure,
];

/// What the program says, with the environment of these buckets; two S3 servers have the same.
fn run(host: &Host, buckets: &[Bucket], args: &[&str]) -> Result<Run> {
    let environment = buckets.iter().flat_map(|bucket| bucket.env.clone());
    Ok(Run::of(&host.command(args).envs(environment).output()?))
}

fn json(host: &Host, buckets: &[Bucket], args: &[&str]) -> Result<Value> {
    let args = [args, &["--json"]].concat();
    run(host, buckets, &args)?.expect_code(0)?.json()
}

/// What was fetched into a folder is the last night, byte for byte.
fn is_last_night(host: &Host, folder: &str) -> Outcome {
    for half in ["app", "zitadel"] {
        let name = format!("{half}-{}.dump", NIGHTS[2]);
        let fetched = fs::read(host.path(folder).join(&name))?;
        assert!(
            fetched == fs::read(fixtures().join("nights").join(&name))?,
            "{name} differs"
        );
    }
    Ok(())
}

/// What doctor finds of a bucket, apart from what is as it should be everywhere.
fn doctor(host: &Host, bucket: &[Bucket]) -> Result<BTreeMap<String, String>> {
    // What is not private is a fault, which the fixtures are.
    fs::set_permissions(host.path(".env.prod"), fs::Permissions::from_mode(0o600))?;
    let found = json(host, bucket, &["doctor"])?;
    assert_eq!(found["ok"], true);
    let text = run(host, bucket, &["doctor"])?.expect_code(0)?.stdout;
    let mut states = BTreeMap::new();
    for check in found["checks"].as_array().ok_or("no checks")? {
        let field = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
        let line = format!("{}: {}", field("code"), field("message"));
        assert!(text.contains(&line), "{line}:\n{text}");
        if field("subject") == bucket[0].url {
            states.insert(field("code"), field("state"));
        }
    }
    for fine in ["access", "clock", "list", "ranges", "state"] {
        assert_eq!(
            states.remove(fine).as_deref(),
            Some("ok"),
            "{fine}:\n{text}"
        );
    }
    Ok(states)
}

/// The whole way with a bucket for a store; `notable` is what doctor says of it.
fn whole_way(bucket: Bucket, notable: &[(&str, &str)]) -> Outcome {
    let host = Host::with_store(&bucket.url)?;
    let bucket = [bucket];
    for night in NIGHTS {
        let dump = host.add_night(night)?;
        let pushed = json(&host, &bucket, &["push", &dump])?;
        assert_eq!(pushed["archives"][0]["verdict"], "sound");
    }
    let again = run(&host, &bucket, &["push"])?.expect_code(0)?;
    assert!(again.stdout.contains("nothing to archive"), "{again:?}");
    let list = json(&host, &bucket, &["list"])?;
    let listed = list["archives"].as_array().ok_or("no archives")?;
    let sequences: Vec<_> = listed.iter().map(|one| one["sequence"].clone()).collect();
    assert_eq!(sequences, [3, 2, 1]);
    run(&host, &bucket, &["verify"])?.expect_code(0)?;
    let fetch = [&["fetch", "--latest", "--out", "out"][..], &KIT].concat();
    run(&host, &bucket, &fetch)?.expect_code(0)?;
    is_last_night(&host, "out")?;
    let expected = notable.iter();
    let expected = expected.map(|(code, state)| ((*code).to_owned(), (*state).to_owned()));
    assert_eq!(doctor(&host, &bucket)?, expected.collect());
    Ok(())
}

#[test]
fn the_whole_way_on_moto() -> Outcome {
    let notable = [
        ("checksums", "ok"),
        ("conditional-create", "ok"),
        ("object-lock", "note"),
        ("versioning", "note"),
        ("delete", "note"),
    ];
    whole_way(shared(Protocol::Moto)?.bucket()?, &notable)
}

#[test]
fn the_whole_way_on_moto_with_a_lock() -> Outcome {
    let notable = [
        ("checksums", "ok"),
        ("conditional-create", "ok"),
        ("object-lock", "ok"),
        ("versioning", "ok"),
        ("delete", "ok"),
    ];
    whole_way(shared(Protocol::Moto)?.bucket_locked(30)?, &notable)
}

#[test]
fn the_whole_way_on_s3s_fs() -> Outcome {
    let notable = [
        ("checksums", "ok"),
        ("conditional-create", "note"),
        ("object-lock", "note"),
        ("versioning", "note"),
        ("delete", "note"),
    ];
    whole_way(shared(Protocol::S3sFs)?.bucket()?, &notable)
}

/// Neither takes a SHA-256 beside an upload.
const WITHOUT_CHECKSUMS: [(&str, &str); 4] = [
    ("conditional-create", "ok"),
    ("object-lock", "note"),
    ("versioning", "note"),
    ("delete", "note"),
];

#[test]
fn the_whole_way_on_google_cloud_storage() -> Outcome {
    whole_way(shared(Protocol::Gcs)?.bucket()?, &WITHOUT_CHECKSUMS)
}

#[test]
fn the_whole_way_on_azure() -> Outcome {
    whole_way(shared(Protocol::Azure)?.bucket()?, &WITHOUT_CHECKSUMS)
}

#[test]
fn archives_go_from_service_to_service_and_come_back_as_they_were() -> Outcome {
    let host = Host::new()?;
    for night in NIGHTS {
        host.push_night(night)?;
    }
    let mut buckets = Vec::new();
    for protocol in PROTOCOLS {
        buckets.push(shared(protocol)?.bucket()?);
    }
    fs::create_dir(host.path("back"))?;
    let mut stores = vec![host.path("store").display().to_string()];
    stores.extend(buckets.iter().map(|bucket| bucket.url.clone()));
    stores.push(host.path("back").display().to_string());
    for way in stores.windows(2) {
        let replicate = ["replicate", "--store", &way[0], "--to", &way[1]];
        let copied = json(&host, &buckets, &replicate)?;
        assert_eq!(copied["copied"], json!([1, 2, 3]), "{way:?}");
        let again = json(&host, &buckets, &replicate)?;
        assert_eq!(again["copied"], json!([]), "{way:?}");
        assert_eq!(again["present"], 3, "{way:?}");
        assert_eq!((&again["blobs"], &again["bytes"]), (&json!(0), &json!(0)));
    }
    let below = |name: &str| -> Result<Snapshot> {
        let root = host.path(name);
        let files = host.snapshot(name)?.into_iter();
        let files = files.map(|(path, bytes)| Ok((path.strip_prefix(&root)?.to_owned(), bytes)));
        files.collect()
    };
    assert!(below("store")? == below("back")?, "it is not the same");
    let back = ["fetch", "--latest", "--store", "back", "--out", "out"];
    host.run(&[&back[..], &KIT].concat())?.expect_code(0)?;
    is_last_night(&host, "out")
}

/// What the program says when it is to list a store, with another value of a variable.
fn refused(host: &Host, bucket: &Bucket, name: &str, value: &str) -> Result<Run> {
    let mut command = host.command(&["list", "--store", &bucket.url]);
    command.envs(bucket.env.clone()).envs([
        // Whatever cloud this may run in is out of reach.
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("GCE_METADATA_HOST", "127.0.0.1:1"),
        ("GCE_METADATA_IP", "127.0.0.1:1"),
        ("AZURE_MSI_ENDPOINT", "http://127.0.0.1:1"),
    ]);
    // The home of nobody.
    command.env("HOME", host.folder.path()).env(name, value);
    Ok(Run::of(&command.output()?))
}

#[test]
fn credentials_that_do_not_fit_are_said_with_what_to_do() -> Outcome {
    let host = Host::new()?;
    let s3 = &shared(Protocol::S3sFs)?.bucket()?;
    let gcs = &shared(Protocol::Gcs)?.bucket()?;
    let azure = &shared(Protocol::Azure)?.bucket()?;
    let (wrong, none) = ("the credentials are wrong", "there are no credentials");
    let (key_id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let (file, token) = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BEARER_TOKEN");
    let (account, key) = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY");
    let other_key = "bm90IHRoZSBrZXk=";
    for (bucket, name, value, code, message, hint) in [
        (s3, key_id, "nobody", 1, wrong, "set AWS_ACCESS_KEY_ID"),
        (s3, secret, "wrong", 1, wrong, "set AWS_ACCESS_KEY_ID"),
        (s3, secret, "", 1, none, "set AWS_ACCESS_KEY_ID"),
        (
            gcs,
            token,
            "wrong",
            1,
            wrong,
            "set GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (gcs, file, "", 1, none, "set GOOGLE_APPLICATION_CREDENTIALS"),
        (
            gcs,
            file,
            "no-file",
            2,
            "no-file",
            "set GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            azure,
            key,
            other_key,
            1,
            "AuthorizationFailure",
            "check the key",
        ),
        (
            azure,
            key,
            "!",
            2,
            "Invalid Access Key",
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
        (azure, key, "", 1, none, "set AZURE_STORAGE_ACCOUNT_NAME"),
        (azure, account, "", 2, "Account must be", "?account=NAME"),
    ] {
        let said = refused(&host, bucket, name, value)?.expect_code(code)?;
        let lines: Vec<&str> = said.stderr.lines().collect();
        let [error, remedy] = lines[..] else {
            return Err(format!("{name}={value}: {said:#?}").into());
        };
        assert!(error.contains(message), "{name}={value}: {error}");
        assert!(remedy.contains(hint), "{name}={value}: {remedy}");
    }
    Ok(())
}

#[test]
fn a_bucket_that_is_not_there_is_said_not_to_be() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    for protocol in PROTOCOLS {
        let bucket = [shared(protocol)?.bucket()?];
        let name = &bucket[0].name;
        let url = bucket[0].url.replace(name, &format!("not-{name}"));
        for command in [&["list"][..], &["push", &dump], &["verify"]] {
            let args = [command, &["--store", &url]].concat();
            let said = run(&host, &bucket, &args)?.expect_code(1)?;
            assert!(said.stderr.contains("no such bucket"), "{said:#?}");
        }
        let doctor = run(&host, &bucket, &["doctor", "--store", &url])?.expect_code(1)?;
        assert!(doctor.stdout.contains("no such bucket"), "{doctor:#?}");
    }
    Ok(())
}
