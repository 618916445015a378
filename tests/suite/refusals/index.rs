//! The index is a cache: whatever becomes of it, push and fetch go on.

use super::no_secret;
use crate::support::{Host, NIGHTS, Outcome};
use std::fs;
use std::path::Path;

/// A way to ruin the file of an index.
type Ruin = fn(&Path) -> std::io::Result<()>;

const RUINS: [(&str, Ruin); 4] = [
    ("garbage", |path| fs::write(path, "garbage ".repeat(1000))),
    ("garbage behind the head", |path| {
        let mut bytes = fs::read(path)?;
        bytes[100..].fill(0x5a);
        fs::write(path, bytes)
    }),
    ("cut in half", |path| {
        let bytes = fs::read(path)?;
        fs::write(path, &bytes[..bytes.len() / 2])
    }),
    ("a folder", |path| {
        fs::remove_file(path)?;
        fs::create_dir(path)
    }),
];

#[test]
fn a_ruined_index_is_a_warning_and_archives_nothing_twice() -> Outcome {
    for (what, ruin) in RUINS {
        let host = Host::new()?;
        host.push_night(NIGHTS[0])?;
        let before = host.snapshot("store")?;
        let index = host.path("sealift-state/index.sqlite");
        let dump = host.add_night(NIGHTS[0])?;
        let fetch = [
            "fetch",
            "--latest",
            "--identity",
            "recovery-kit/identity.txt",
            "--out",
        ];
        for (round, args) in [
            vec!["push", dump.as_str()],
            [&fetch[..], &["out"]].concat(),
            vec!["verify"],
            vec!["list"],
        ]
        .into_iter()
        .enumerate()
        {
            if index.is_file() {
                ruin(&index)?;
            }
            let run = host
                .run(&args)?
                .expect_code(0)
                .map_err(|e| format!("{what}: {e}"))?;
            assert!(
                run.stderr.contains("warning: the index"),
                "{what} {round}: {run:#?}"
            );
            assert_eq!(run.stderr.lines().count(), 1, "{what} {round}: {run:#?}");
            no_secret(&host, &run.stderr)?;
        }
        assert!(
            host.snapshot("store")? == before,
            "{what}: the store changed"
        );
        let again = host.push_night(NIGHTS[0])?;
        assert_eq!(again["already_archived"], true, "{what}: {again}");
        assert!(
            host.snapshot("store")? == before,
            "{what}: the store changed"
        );
        host.push_night(NIGHTS[1])?;
        host.run(&["verify"])?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn a_missing_index_archives_nothing_twice_either() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let before = host.snapshot("store")?;
    for name in ["sealift-state/index.sqlite", "sealift-state"] {
        let path = host.path(name);
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
        let again = host.push_night(NIGHTS[0])?;
        assert_eq!(again["already_archived"], true, "{name}: {again}");
        assert!(
            host.snapshot("store")? == before,
            "{name}: the store changed"
        );
    }
    Ok(())
}
