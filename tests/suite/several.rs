//! Several stores: each gets the same archives, and one that fails does not stop the others.

use crate::support::proxy::{Fault, Proxy, Request};
use crate::support::servers::{Protocol, shared};
use crate::support::{Host, NIGHTS, Outcome, Run, Snapshot, copy_tree};
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The settings of two stores, the host's own first.
const BOTH: [&str; 2] = ["--store", "store,second"];

fn with_both(args: &[&'static str]) -> Vec<&'static str> {
    [args, &BOTH[..]].concat()
}

/// A host with a second, empty store beside its own.
fn host() -> Result<Host, Box<dyn Error>> {
    let host = Host::new()?;
    fs::create_dir(host.path("second"))?;
    Ok(host)
}

/// The objects of a store by their names in it.
fn objects(host: &Host, store: &str) -> Result<Snapshot, Box<dyn Error>> {
    let root = host.path(store);
    let files = host.snapshot(store)?.into_iter();
    let names = files.map(|(path, bytes)| Ok((path.strip_prefix(&root)?.to_owned(), bytes)));
    names.collect()
}

fn state<'a>(pushed: &'a Value, name: &str) -> Result<&'a Value, Box<dyn Error>> {
    let states = pushed["stores"].as_array().ok_or("no stores")?;
    let is_it = |state: &&Value| {
        state["store"]
            .as_str()
            .is_some_and(|url| url.ends_with(name))
    };
    Ok(states
        .iter()
        .find(is_it)
        .ok_or(format!("no state of {name}"))?)
}

#[test]
fn every_store_gets_the_same_objects() -> Outcome {
    let host = host()?;
    for night in NIGHTS {
        host.add_night(night)?;
    }
    let pushed = host
        .run(&with_both(&["push", "--json"]))?
        .expect_code(0)?
        .json()?;
    assert_eq!(state(&pushed, "second")?["lacks"], 0);
    assert_eq!(objects(&host, "store")?, objects(&host, "second")?);
    let listed = host
        .run(&with_both(&["list", "--json"]))?
        .expect_code(0)?
        .json()?;
    assert_eq!(
        listed["archives"][0]["stores"].as_array().map(Vec::len),
        Some(2)
    );
    host.run(&with_both(&["verify"]))?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_store_that_is_down_is_named_and_caught_up_by_the_next_push() -> Outcome {
    let host = host()?;
    host.add_night(NIGHTS[0])?;
    host.run(&with_both(&["push"]))?.expect_code(0)?;
    for (down, night) in [("second", NIGHTS[1]), ("store", NIGHTS[2])] {
        fs::rename(host.path(down), host.path("away"))?;
        host.add_night(night)?;
        let run = host.run(&with_both(&["push", "--json"]))?.expect_code(4)?;
        let pushed = run.json()?;
        assert_eq!(pushed["archives"].as_array().map(Vec::len), Some(1));
        let failure = state(&pushed, down)?["failure"]
            .as_str()
            .ok_or("no failure")?;
        assert!(failure.contains("there is no store"), "{failure}");
        assert!(
            run.stderr.contains("\nhint: ") || run.stderr.starts_with("hint: "),
            "{run:?}"
        );
        let verified = host
            .run(&with_both(&["verify", "--json"]))?
            .expect_code(5)?
            .json()?;
        assert_eq!(verified["violations"][0]["code"], "store-unreachable");
        fs::rename(host.path("away"), host.path(down))?;
        let verified = host
            .run(&with_both(&["verify", "--json"]))?
            .expect_code(5)?
            .json()?;
        assert_eq!(verified["violations"][0]["code"], "store-behind");
        let caught_up = host
            .run(&with_both(&["push", "--json"]))?
            .expect_code(0)?
            .json()?;
        assert_eq!(state(&caught_up, down)?["copied"], 1);
        assert_eq!(objects(&host, "store")?, objects(&host, "second")?);
        host.run(&with_both(&["verify"]))?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn stores_that_each_lack_something_are_filled_from_each_other() -> Outcome {
    let host = host()?;
    let away = |store: &str, dump: &str| -> Outcome {
        fs::rename(host.path(store), host.path("away"))?;
        host.run(&["push", dump, BOTH[0], BOTH[1]])?
            .expect_code(4)?;
        Ok(fs::rename(host.path("away"), host.path(store))?)
    };
    host.push_night(NIGHTS[0])?;
    // The second store has nothing yet, and now the first is away.
    away("store", &host.add_night(NIGHTS[1])?)?;
    let dump = host.add_night(NIGHTS[2])?;
    let pushed = host.run(&["push", "--json", &dump, BOTH[0], BOTH[1]])?;
    let pushed = pushed.expect_code(0)?.json()?;
    assert_eq!(pushed["archives"][0]["sequence"], 3);
    assert_eq!(objects(&host, "store")?, objects(&host, "second")?);
    host.run(&with_both(&["verify"]))?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_store_that_is_added_gets_the_whole_history() -> Outcome {
    let host = host()?;
    for night in NIGHTS {
        host.push_night(night)?;
    }
    let pushed = host
        .run(&with_both(&["push", "--json"]))?
        .expect_code(0)?
        .json()?;
    assert_eq!(state(&pushed, "second")?["copied"], 3);
    assert_eq!(objects(&host, "store")?, objects(&host, "second")?);
    Ok(())
}

#[test]
fn without_any_store_nothing_is_archived() -> Outcome {
    let host = host()?;
    fs::remove_dir_all(host.path("store"))?;
    fs::remove_dir_all(host.path("second"))?;
    let dump = host.add_night(NIGHTS[0])?;
    let run = host
        .run(&["push", &dump, BOTH[0], BOTH[1]])?
        .expect_code(1)?;
    assert!(run.stderr.contains("there is no store at"), "{run:?}");
    Ok(())
}

#[test]
fn an_emptied_store_is_not_filled_as_if_it_were_new() -> Outcome {
    let host = host()?;
    host.add_night(NIGHTS[0])?;
    host.run(&with_both(&["push"]))?.expect_code(0)?;
    // As the mount point of a disk that is not mounted.
    fs::remove_dir_all(host.path("second"))?;
    fs::create_dir(host.path("second"))?;
    host.add_night(NIGHTS[1])?;
    let run = host.run(&with_both(&["push"]))?.expect_code(4)?;
    assert!(run.stderr.contains("is it mounted?"), "{run:?}");
    let run = host.run(&with_both(&["push"]))?.expect_code(4)?;
    assert!(run.stderr.contains("is it mounted?"), "{run:?}");
    assert!(objects(&host, "second")?.is_empty());
    let run = host.run(&["replicate", "--to", "second"])?.expect_code(1)?;
    assert!(run.stderr.contains("is it mounted?"), "{run:?}");
    host.run(&["replicate", "--to", "second", "--refill"])?
        .expect_code(0)?;
    host.run(&with_both(&["verify"]))?.expect_code(0)?;
    Ok(())
}

#[test]
fn what_one_store_cannot_give_is_fetched_from_the_next() -> Outcome {
    let host = host()?;
    host.add_night(NIGHTS[0])?;
    host.run(&with_both(&["push"]))?.expect_code(0)?;
    let fetch = |out: &'static str| {
        let kit = [
            "--config",
            "recovery-kit/sealift.toml",
            "--identity",
            "recovery-kit/identity.txt",
        ];
        host.run(&[&["fetch", "--latest", "--out", out][..], &kit, &BOTH].concat())
    };
    fetch("whole")?.expect_code(0)?;
    let blobs = host.snapshot("store/lazyit/blobs")?;
    for (number, (path, bytes)) in blobs.iter().enumerate() {
        let mut bytes = bytes.clone();
        bytes[0] ^= 1;
        match number % 3 {
            0 => fs::write(path, bytes)?,
            1 => fs::write(path, &bytes[1..])?,
            _ => fs::remove_file(path)?,
        }
    }
    let run = fetch("patched")?.expect_code(0)?;
    assert!(run.stderr.contains("warning: "), "{run:?}");
    fs::remove_dir_all(host.path("store"))?;
    fetch("from-second")?.expect_code(0)?;
    for file in [
        ".env.prod",
        "app-20260101-030000.dump",
        "zitadel-20260101-030000.dump",
    ] {
        let whole = fs::read(host.path("whole").join(file))?;
        assert!(
            whole == fs::read(host.path("patched").join(file))?,
            "{file}"
        );
        assert!(
            whole == fs::read(host.path("from-second").join(file))?,
            "{file}"
        );
    }
    Ok(())
}

#[test]
fn stores_that_went_different_ways_are_told_apart() -> Outcome {
    let host = host()?;
    host.push_night(NIGHTS[0])?;
    host.run(&["replicate", "--to", "second"])?.expect_code(0)?;
    host.push_night(NIGHTS[1])?;
    // The second store gets another archive at the same place, from a state that knows no better.
    host.add_night(NIGHTS[2])?;
    let elsewhere = [
        "push",
        "backups/app-20260103-030000.dump",
        "--store",
        "second",
        "--state",
        "other",
    ];
    host.run(&elsewhere)?.expect_code(0)?;
    let before = objects(&host, "second")?;
    let run = host.run(&with_both(&["push"]))?.expect_code(4)?;
    assert!(
        run.stderr
            .contains("another archive 2 than the store that was named first"),
        "{run:?}"
    );
    assert_eq!(objects(&host, "second")?, before);
    let verified = host
        .run(&with_both(&["verify", "--json"]))?
        .expect_code(5)?
        .json()?;
    let codes: Vec<&str> = verified["violations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|violation| violation["code"].as_str())
        .collect();
    assert!(codes.contains(&"store-at-odds"), "{codes:?}");
    let run = host
        .run(&["replicate", "--to", "second", "--json"])?
        .expect_code(5)?;
    assert_eq!(run.json()?["refused"][0]["archive"], 2);
    Ok(())
}

#[test]
fn a_copy_is_made_once_and_only_of_what_is_whole() -> Outcome {
    let host = host()?;
    for night in NIGHTS {
        host.push_night(night)?;
    }
    let copied = host
        .run(&["replicate", "--to", "second", "--json"])?
        .expect_code(0)?
        .json()?;
    assert_eq!(copied["copied"], serde_json::json!([1, 2, 3]));
    assert_eq!(objects(&host, "store")?, objects(&host, "second")?);
    let again = host
        .run(&["replicate", "--to", "second", "--json"])?
        .expect_code(0)?
        .json()?;
    assert_eq!((&again["blobs"], &again["present"]), (&0.into(), &3.into()));
    // A blob that is lost in the copy is put back; one that is damaged in the original is not copied.
    let blobs = host.snapshot("second/lazyit/blobs")?;
    fs::remove_file(&blobs[0].0)?;
    let healed = host
        .run(&["replicate", "--to", "second", "--json"])?
        .expect_code(0)?
        .json()?;
    assert_eq!(healed["blobs"], 1);
    fs::create_dir(host.path("third"))?;
    let original = host.snapshot("store/lazyit/blobs")?;
    for (path, bytes) in &original {
        let mut bytes = bytes.clone();
        bytes[7] ^= 1;
        fs::write(path, bytes)?;
    }
    let run = host
        .run(&["replicate", "--to", "third", "--json"])?
        .expect_code(5)?;
    assert_eq!(run.json()?["refused"].as_array().map(Vec::len), Some(3));
    assert!(run.stderr.contains("was not copied"), "{run:?}");
    assert!(objects(&host, "third")?.is_empty());
    Ok(())
}

#[test]
fn a_copy_of_nothing_or_onto_itself_is_refused() -> Outcome {
    let host = host()?;
    host.run(&["replicate", "--to", "second"])?.expect_code(6)?;
    host.run(&["replicate", "--to", "./store"])?
        .expect_code(2)?;
    host.run(&["replicate", "--to", "absent"])?.expect_code(1)?;
    // With a second store, that is what is copied.
    let both = ["replicate", "--to", "store", BOTH[0], BOTH[1]];
    host.run(&both)?.expect_code(6)?;
    host.run(&["list", "--store", "store,./store"])?
        .expect_code(2)?;
    std::os::unix::fs::symlink(host.path("store"), host.path("link"))?;
    host.run(&["list", "--store", "store,link"])?
        .expect_code(2)?;
    Ok(())
}

#[test]
fn a_host_is_set_up_for_several_stores() -> Outcome {
    let host = Host::bare()?;
    fs::create_dir(host.path("backups"))?;
    copy_tree(
        &crate::support::fixtures().join("nights/zitadel-secrets"),
        &host.path("zitadel-secrets"),
    )?;
    fs::copy(
        crate::support::fixtures().join("nights/.env.prod"),
        host.path(".env.prod"),
    )?;
    let init = [
        "init",
        "--store",
        "one,s3://bucket/lazyit?region=eu-1",
        "--env-file",
        ".env.prod",
        "--include",
        "zitadel-secrets=zitadel-secrets",
    ];
    host.run(&init)?.expect_code(0)?;
    assert!(host.path("one").is_dir());
    let page = fs::read_to_string(host.path("recovery-kit/RECOVERY.md"))?;
    let copy = "aws s3 sync s3://bucket/lazyit STORE_DIR --region eu-1\nsh recover.sh STORE_DIR";
    assert!(page.contains(copy), "{page}");
    for file in ["sealift.toml", "recovery-kit/sealift.toml"] {
        let text = fs::read_to_string(host.path(file))?;
        assert!(
            text.contains("\"s3://bucket/lazyit?region=eu-1\",\n]"),
            "{file}: {text}"
        );
    }
    Ok(())
}

#[test]
fn the_limit_on_what_is_sent_holds_for_all_stores_together() -> Outcome {
    let host = host()?;
    host.add_night(NIGHTS[0])?;
    let start = Instant::now();
    let limited = ["push", "--json", "--limit-upload", "400k"];
    let pushed = host.run(&with_both(&limited))?.expect_code(0)?.json()?;
    let sent = pushed["archives"][0]["stored_bytes"]
        .as_f64()
        .ok_or("no bytes")?
        * 2.0;
    // The blob that is sent last need not be waited for.
    let least = Duration::from_secs_f64(sent / 400_000.0 / 2.0);
    assert!(
        start.elapsed() > least,
        "{sent} bytes in {:?}",
        start.elapsed()
    );
    Ok(())
}

#[test]
fn a_signature_that_is_lost_in_one_store_is_put_back_from_another() -> Outcome {
    let host = host()?;
    host.add_night(NIGHTS[0])?;
    host.run(&with_both(&["push"]))?.expect_code(0)?;
    for (path, _) in host.snapshot("second/lazyit/signatures")? {
        fs::remove_file(path)?;
    }
    let verified = host.run(&with_both(&["verify", "--json"]))?;
    let codes = verified.expect_code(5)?.json()?["violations"].to_string();
    assert!(codes.contains("signature-missing"), "{codes}");
    host.run(&["replicate", "--to", "second"])?.expect_code(0)?;
    host.run(&with_both(&["verify"]))?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_bad_dump_does_not_keep_a_store_from_being_filled() -> Outcome {
    let host = host()?;
    host.push_night(NIGHTS[0])?;
    // The first night's dump is another than was archived.
    host.add_dump("app-20260101-030000.dump", b"PGDMP")?;
    let pushed = host.run(&with_both(&["push", "--json"]))?.expect_code(1)?;
    assert_eq!(state(&pushed.json()?, "second")?["copied"], 1);
    assert_eq!(objects(&host, "store")?, objects(&host, "second")?);
    Ok(())
}

#[test]
fn a_store_that_fails_half_way_does_not_stop_the_others() -> Outcome {
    // A listing of blobs, the question for the lock, a blob, a signature, a manifest.
    for (method, part) in [
        ("GET", "blobs"),
        ("HEAD", "/archives/"),
        ("PUT", "/blobs/"),
        ("PUT", "/signatures/"),
        ("PUT", "/archives/"),
    ] {
        let host = Host::new()?;
        let bucket = shared(Protocol::Moto)?.bucket()?;
        let is_sick = Arc::new(AtomicBool::new(false));
        let sick = Arc::clone(&is_sick);
        let plan = move |request: &Request| {
            let is_hit = request.method == method && request.path.contains(part);
            if is_hit && sick.load(Ordering::Relaxed) {
                Fault::ResetBefore
            } else {
                Fault::Pass
            }
        };
        let server = shared(Protocol::Moto)?.address();
        let proxy = Proxy::start(&server, plan)?;
        let stores = format!("store,{}", bucket.url.replace(&server, &proxy.url()));
        let push = |dump: &str| -> Result<Run, Box<dyn Error>> {
            let args = [
                "push",
                dump,
                "--json",
                "--store",
                &stores,
                "--deadline",
                "1s",
            ];
            let mut command = host.command(&args);
            command.envs(bucket.env.iter().cloned());
            Ok(Run::of(&command.output()?))
        };
        push(&host.add_night(NIGHTS[0])?)?.expect_code(0)?;
        is_sick.store(true, Ordering::Relaxed);
        let dump = host.add_night(NIGHTS[1])?;
        let pushed = push(&dump)?.expect_code(4);
        let pushed = pushed.map_err(|error| format!("{method} {part}: {error}"))?;
        assert_eq!(pushed.json()?["archives"][0]["sequence"], 2);
        host.run(&["verify"])?.expect_code(0)?;
        is_sick.store(false, Ordering::Relaxed);
        push(&dump)?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn nothing_goes_over_the_network_in_the_clear_unasked() -> Outcome {
    let host = host()?;
    host.add_night(NIGHTS[0])?;
    for (store, variables) in [
        (
            "s3://b/p",
            [
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
                ("AWS_ACCESS_KEY_ID", "x"),
            ],
        ),
        (
            "az://c/p?account=me",
            [
                ("AZURE_ENDPOINT", "http://127.0.0.1:9"),
                ("AZURE_STORAGE_ACCOUNT_KEY", "eA=="),
            ],
        ),
    ] {
        let mut command = host.command(&["push", "--store", store, "--deadline", "1s"]);
        command.envs(variables);
        let run = Run::of(&command.output()?);
        assert!(run.code == Some(1) || run.code == Some(2), "{run:?}");
        let is_said = run.stderr.contains("plain HTTP") && run.stderr.contains("allow_http=true");
        assert!(is_said, "{store}: {run:?}");
    }
    Ok(())
}
