//! Hold and release, as an operator runs them.

use crate::support::link::add_small_night;
use crate::support::{Host, NIGHTS, Outcome, Run};
use std::error::Error;
use std::fs;
use std::process::Command;

fn host() -> Result<Host, Box<dyn Error>> {
    let host = Host::new()?;
    for night in NIGHTS {
        let dump = add_small_night(&host, night)?;
        host.run(&["push", &dump])?.expect_code(0)?;
    }
    Ok(host)
}

#[test]
fn what_is_held_stays_until_it_is_released() -> Outcome {
    let host = host()?;
    let held = host.run(&["hold", "1", "--reason", "for the auditors", "--json"])?;
    let held = held.expect_code(0)?.json()?;
    assert_eq!(
        (&held["held"], &held["was_so"]),
        (&true.into(), &false.into())
    );
    let list = host.run(&["list", "--json"])?.expect_code(0)?.json()?;
    assert_eq!(list["archives"][2]["held"], true);
    assert_eq!(list["archives"][0]["held"], false);
    let again = host.run(&["hold", "1", "--json"])?.expect_code(0)?.json()?;
    assert_eq!(again["was_so"], true);
    let prune = ["prune", "--keep-last", "1", "--execute"];
    host.run(&prune)?.expect_code(0)?;
    let manifests =
        || -> Result<usize, Box<dyn Error>> { Ok(fs::read_dir(host.store("archives"))?.count()) };
    assert_eq!(manifests()?, 2);
    let released = host
        .run(&["release", "1", "--json"])?
        .expect_code(0)?
        .json()?;
    assert_eq!(
        (&released["held"], &released["was_so"]),
        (&false.into(), &false.into())
    );
    host.run(&["release", "1"])?.expect_code(0)?;
    host.run(&prune)?.expect_code(0)?;
    assert_eq!(manifests()?, 1);
    let names = fs::read_dir(host.store("holds"))?.count();
    assert_eq!(names, 2, "each word is written once");
    // What is gone can be held no more.
    host.run(&["hold", "1"])?.expect_code(6)?;
    Ok(())
}

#[test]
fn a_hold_is_verified_with_the_tools_of_openssh() -> Outcome {
    let host = host()?;
    host.run(&["hold", "2", "--reason", "for the auditors"])?
        .expect_code(0)?;
    let record = fs::read(host.store("holds/00000002-0001.json"))?;
    let signature = host.store(&format!(
        "signatures/{}.sig",
        crate::support::sha256(&record)
    ));
    let mut verify = Command::new("ssh-keygen");
    verify.args(["-Y", "verify", "-I", "sealift", "-n", "sealift", "-f"]);
    verify
        .arg(host.path("recovery-kit/allowed_signers"))
        .arg("-s")
        .arg(signature);
    let verify = verify.stdin(fs::File::open(host.store("holds/00000002-0001.json"))?);
    Run::of(&verify.output()?).expect_code(0)?;
    let text: serde_json::Value = serde_json::from_slice(&record)?;
    assert_eq!(text["reason"], "for the auditors");
    Ok(())
}

#[test]
fn what_cannot_be_held_is_refused() -> Outcome {
    let host = host()?;
    host.run(&["hold", "9"])?.expect_code(6)?;
    let long = "x".repeat(501);
    for reason in [&long, "two\nlines", "\u{1b}[2J"] {
        host.run(&["hold", "1", "--reason", reason])?
            .expect_code(2)?;
    }
    assert!(!host.store("holds").exists());
    fs::remove_file(host.path("sealift-signing-key")).or_else(|_| {
        let found = host
            .snapshot(".")
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let is_key = |bytes: &[u8]| bytes.starts_with(b"-----BEGIN OPENSSH PRIVATE KEY");
        found
            .iter()
            .filter(|(_, bytes)| is_key(bytes))
            .try_for_each(|(path, _)| fs::remove_file(path))
    })?;
    host.run(&["hold", "1"])?.expect_code(2)?;
    assert!(!host.store("holds").exists());
    Ok(())
}
