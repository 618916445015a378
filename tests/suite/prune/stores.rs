//! Several stores: one that was out of reach catches up, and nothing comes back.

use super::{AT_ONCE, ONE, Result, age, wait};
use crate::support::link::add_small_night;
use crate::support::{Host, NIGHTS, Outcome, Run};
use serde_json::json;
use std::fs;

const BOTH: [&str; 2] = ["--store", "store,second"];

fn host() -> Result<Host> {
    let host = Host::new()?;
    fs::create_dir(host.path("second"))?;
    for night in NIGHTS {
        let dump = add_small_night(&host, night)?;
        host.run(&["push", &dump, BOTH[0], BOTH[1]])?
            .expect_code(0)?;
    }
    Ok(host)
}

fn run(host: &Host, args: &[&str]) -> Result<Run> {
    host.run(&[args, &BOTH].concat())
}

fn manifests(host: &Host, store: &str) -> Result<Vec<String>> {
    let files = host.snapshot(&format!("{store}/lazyit/archives"))?;
    let name = |(path, _): (std::path::PathBuf, _)| {
        path.file_name().map(|it| it.to_string_lossy().into_owned())
    };
    Ok(files.into_iter().filter_map(name).collect())
}

#[test]
fn a_store_that_was_down_is_pruned_later_and_brings_nothing_back() -> Outcome {
    let host = host()?;
    fs::rename(host.path("second"), host.path("away"))?;
    let prune = [&ONE[..], &["--execute", "--json"]].concat();
    let document = run(&host, &prune)?.expect_code(4)?.json()?;
    assert_eq!(document["stores"].as_array().map(Vec::len), Some(1));
    assert_eq!(manifests(&host, "store")?, ["00000003.json"]);
    fs::rename(host.path("away"), host.path("second"))?;
    // A push brings the stores up to date.
    let dump = add_small_night(&host, "20260104-030000")?;
    run(&host, &["push", &dump])?.expect_code(0)?;
    let both = ["00000003.json", "00000004.json"];
    assert_eq!(manifests(&host, "store")?, both);
    host.run(&["replicate", "--store", "second", "--to", "store"])?
        .expect_code(0)?;
    assert_eq!(manifests(&host, "store")?, both);
    let list = run(&host, &["list", "--json"])?.expect_code(0)?.json()?;
    assert_eq!(list["archives"].as_array().map(Vec::len), Some(2));
    // The next prune finishes there.
    let keep_two = ["prune", "--keep-last", "2", "--execute", "--json"];
    let document = run(&host, &keep_two)?.expect_code(0)?.json()?;
    assert_eq!(document["stores"][1]["finished"], json!([1, 2]));
    assert_eq!(manifests(&host, "second")?, both);
    wait();
    for store in ["store", "second"] {
        age(&host, store)?;
    }
    run(&host, &[&keep_two[..], &AT_ONCE].concat())?.expect_code(0)?;
    let below = |store: &str| -> Result<Vec<String>> {
        let root = host.path(store);
        let files = host.snapshot(store)?.into_iter();
        let names = files.map(|(path, _)| Ok(path.strip_prefix(&root)?.display().to_string()));
        names.collect()
    };
    assert_eq!(below("store")?, below("second")?);
    Ok(())
}

#[test]
fn a_new_store_gets_the_records_too() -> Outcome {
    let host = host()?;
    run(&host, &["hold", "2"])?.expect_code(0)?;
    run(&host, &[&ONE[..], &["--execute"]].concat())?.expect_code(0)?;
    fs::create_dir(host.path("third"))?;
    host.run(&["replicate", "--to", "third"])?.expect_code(0)?;
    assert_eq!(
        manifests(&host, "third")?,
        ["00000002.json", "00000003.json"]
    );
    // Alone it has no gap, and what is held in it is held.
    let alone = ["--store", "third", "--state", "other"];
    let prune = [&ONE[..], &["--execute", "--json"], &alone].concat();
    let document = host.run(&prune)?.expect_code(0)?.json()?;
    assert_eq!(super::kept(&document, true), [2, 3]);
    Ok(())
}

#[test]
fn a_hold_in_one_store_alone_counts_in_all() -> Outcome {
    let host = host()?;
    host.run(&["hold", "1", "--store", "second"])?
        .expect_code(0)?;
    let plan = run(&host, &[&ONE[..], &["--json"]].concat())?
        .expect_code(0)?
        .json()?;
    assert_eq!(super::kept(&plan, true), [1, 3]);
    assert_eq!(plan["archives"][0]["why"][0], "held");
    // Said again, the other store is told, too.
    run(&host, &["hold", "1"])?.expect_code(0)?;
    let plan = host
        .run(&[&ONE[..], &["--json"]].concat())?
        .expect_code(0)?
        .json()?;
    assert_eq!(super::kept(&plan, true), [1, 3]);
    Ok(())
}
