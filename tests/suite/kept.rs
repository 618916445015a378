//! Archives of every version of the format are kept for ever, and must keep opening.

use crate::support::{Host, Outcome, fixtures};
use std::fs;

#[test]
fn an_archive_of_every_format_opens() -> Outcome {
    let (mut formats, mut proofs) = (0, 0);
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
        // The first has its dump from among the fixtures.
        let dumps = kept.join("dumps");
        let mut originals = vec![(".env.prod".into(), fixtures().join("nights/.env.prod"))];
        if dumps.is_dir() {
            for dump in fs::read_dir(dumps)? {
                let dump = dump?;
                originals.push((dump.file_name(), dump.path()));
            }
        } else {
            let dump = fixtures().join("majors/pg18-zstd-pipe.dump");
            originals.push(("app-20260101-030000.dump".into(), dump));
        }
        for (name, original) in originals {
            let there = fs::read(host.path("out").join(name))?;
            assert!(there == fs::read(&original)?, "{}", original.display());
        }
        let shown = host.run(&[&["show", "1", "--json"], &settings[..]].concat())?;
        let manifest = shown.expect_code(0)?.json()?["manifest"].clone();
        assert_eq!(manifest["verdict"], "sound");
        proofs += manifest["proofs"].as_array().map_or(0, Vec::len);
        formats += 1;
    }
    // One without proofs, as the first ones were, and one with a proof of each key.
    assert_eq!((formats, proofs), (2, 4));
    Ok(())
}
