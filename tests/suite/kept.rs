//! Archives of every version of the format are kept for ever, and must keep opening.

use crate::support::{Host, Outcome, fixtures};
use std::fs;

#[test]
fn an_archive_of_every_format_opens() -> Outcome {
    let mut formats = 0;
    for entry in fs::read_dir(fixtures().join("archives"))? {
        let kept = entry?.path();
        let place = |name: &str| kept.join(name).display().to_string();
        let (store, signers, identity) = (
            place("store"),
            place("allowed_signers"),
            place("identity.txt"),
        );
        let host = Host::bare()?;
        let settings = [
            "--instance",
            "kept",
            "--store",
            &store,
            "--trusted-signers",
            &signers,
        ];
        host.run(&[&["verify"], &settings[..]].concat())?
            .expect_code(0)?;
        let fetch = ["fetch", "--latest", "--identity", &identity, "--out", "out"];
        host.run(&[&fetch, &settings[..]].concat())?
            .expect_code(0)?;
        for (name, original) in [
            ("app-20260101-030000.dump", "majors/pg18-zstd-pipe.dump"),
            (".env.prod", "nights/.env.prod"),
        ] {
            let there = fs::read(host.path("out").join(name))?;
            assert!(
                there == fs::read(fixtures().join(original))?,
                "{name} of {}",
                kept.display()
            );
        }
        formats += 1;
    }
    assert_eq!(
        formats, 1,
        "one kept archive for each version of the format"
    );
    Ok(())
}
