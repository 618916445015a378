//! Refusals of push: dumps that are none, and halves that are no certain pair.

use super::{Case, edit, error_and_hint, still_works};
use crate::support::{Host, NIGHTS, Outcome, fixtures};
use std::fs;

const APP: &str = "backups/app-20260109-030000.dump";

/// A change of a dump's bytes.
type Change = fn(&mut Vec<u8>);

#[test]
fn a_file_that_is_no_dump_of_this_format_is_refused_by_its_name() -> Outcome {
    let host = Host::new()?;
    let zitadel = fs::read(fixtures().join("nights/zitadel-20260101-030000.dump"))?;
    host.add_dump("zitadel-20260109-030000.dump", &zitadel)?;
    let cases: [(&str, &str, Change); 5] = [
        ("an empty file", "empty", Vec::clear),
        ("a text", "pg_dump -Fc", |bytes| {
            *bytes = b"hello\n".to_vec()
        }),
        ("plain SQL", "pg_dump -Fc", |bytes| {
            *bytes = b"--\n-- PostgreSQL database dump\n--\n".to_vec();
        }),
        ("a tar dump", "pg_dump -Fc", |bytes| bytes[10] = 3),
        ("a table of contents of a folder", "pg_dump -Fc", |bytes| {
            bytes[10] = 5
        }),
    ];
    for (what, reason, change) in cases {
        let mut bytes = fs::read(fixtures().join("nights/app-20260101-030000.dump"))?;
        change(&mut bytes);
        host.add_dump("app-20260109-030000.dump", &bytes)?;
        for half in [APP, "backups/zitadel-20260109-030000.dump"] {
            Case::new(what, &["push", half], 1, &[APP, "not a dump", reason])
                .hint("head -c 5 backups/app")
                .hold(&host)?;
        }
    }
    fs::remove_file(host.path(APP))?;
    fs::remove_file(host.path("backups/zitadel-20260109-030000.dump"))?;
    still_works(&host, NIGHTS[0])
}

#[test]
fn a_name_that_is_no_dump_or_not_there_is_refused() -> Outcome {
    let host = Host::new()?;
    let good = host.add_night(NIGHTS[0])?;
    host.add_dump("mine.dump", b"x")?;
    host.add_dump("app-20260109-030000.dump.partial", b"x")?;
    fs::create_dir(host.path("backups/app-20260110-030000.dump"))?;
    let foreign = |what, name| {
        Case::new(
            what,
            &["push", name],
            1,
            &[name, "has not the name of a dump"],
        )
        .hint("app-YYYYMMDD-HHMMSS.dump")
    };
    for case in [
        Case::new("not there", &["push", APP], 1, &["no dump", APP]).hint("ls backups"),
        // Whatever else is given: a push of two that cannot do one does none.
        Case::new("one of two", &["push", &good, APP], 1, &["no dump", APP]).hint("ls backups"),
        Case::new(
            "no such folder",
            &["push", "no/app-20260109-030000.dump"],
            1,
            &["no/app-"],
        )
        .hint("ls no"),
        foreign("a foreign name", "backups/mine.dump"),
        foreign("half written", "backups/app-20260109-030000.dump.partial"),
        Case::new(
            "a folder",
            &["push", "backups/app-20260110-030000.dump"],
            1,
            &["app-20260110", "is a folder, not a dump"],
        )
        .hint("ls -ld backups/app-20260110"),
        Case::new(
            "no such option",
            &["push", "--backups", "no"],
            1,
            &["read the folder no"],
        ),
    ] {
        case.hold(&host)?;
    }
    still_works(&host, NIGHTS[0])
}

#[test]
fn half_a_pair_is_refused_and_archived_as_suspect_if_allowed() -> Outcome {
    let host = Host::new()?;
    host.add_night(NIGHTS[0])?;
    let halves = ["app", "zitadel"].map(|half| format!("backups/{half}-{}.dump", NIGHTS[0]));
    for (here, gone, missing) in [(0, 1, "zitadel"), (1, 0, "app")] {
        fs::rename(host.path(&halves[gone]), host.path("aside"))?;
        let says = [halves[here].as_str(), "half a pair", missing];
        Case::new(missing, &["push", &halves[here]], 1, &says)
            .hint("--allow-half")
            .hold(&host)?;
        fs::rename(host.path("aside"), host.path(&halves[gone]))?;
    }
    // Without a path it is no failure: the other half may be on its way.
    fs::rename(host.path(&halves[1]), host.path("aside"))?;
    let waiting = host.run(&["push"])?.expect_code(0)?;
    assert!(waiting.stderr.contains(&halves[0]), "{}", waiting.stderr);
    host.run(&["push", "--allow-half", &halves[0]])?
        .expect_code(3)?;
    Ok(())
}

#[test]
fn an_ambiguous_pair_names_both_candidates_and_both_paths_resolve_it() -> Outcome {
    let host = Host::new()?;
    let night =
        |half: &str| fs::read(fixtures().join(format!("nights/{half}-20260101-030000.dump")));
    let zitadels = ["030100", "030200"].map(|time| format!("zitadel-20260109-{time}.dump"));
    host.add_dump("app-20260109-030000.dump", &night("app")?)?;
    for zitadel in &zitadels {
        host.add_dump(zitadel, &night("zitadel")?)?;
    }
    let [first, second] = &zitadels;
    let says = [APP, first.as_str(), second.as_str()];
    let hint = format!("sealift push {APP} backups/{first}");
    Case::new("one path", &["push", APP], 1, &says)
        .hint(&hint)
        .hold(&host)?;
    let all: Vec<String> = [APP.to_owned()]
        .into_iter()
        .chain(zitadels.iter().map(|name| format!("backups/{name}")))
        .collect();
    let mut args = vec!["push"];
    args.extend(all.iter().map(String::as_str));
    Case::new("all three", &args, 1, &says)
        .hint("sealift push")
        .hold(&host)?;
    let second_says = [APP, second.as_str(), first.as_str()];
    let path = format!("backups/{second}");
    Case::new("a rival", &["push", &path], 1, &second_says)
        .hint(&format!("sealift push {APP} {path}"))
        .hold(&host)?;
    // Without a path, whatever is certain goes first.
    let run = host.run(&["push"])?.expect_code(1)?;
    let (error, hint) = error_and_hint(&run.stderr)?;
    let named = says.iter().filter(|name| error.contains(*name)).count();
    assert!(named >= 2 && hint.is_some(), "{run:#?}");
    let chosen = host
        .run(&["push", "--json", &all[2], APP])?
        .expect_code(0)?
        .json()?;
    let shown = host.run(&[
        "show",
        "--json",
        chosen["archives"][0]["id"].as_str().unwrap_or("?"),
    ])?;
    assert!(
        shown.stdout.contains(second) && !shown.stdout.contains(first),
        "{shown:#?}"
    );
    Ok(())
}

#[test]
fn a_pair_with_one_bad_half_leaves_the_other_nights_archived() -> Outcome {
    let host = Host::new()?;
    for night in NIGHTS {
        host.add_night(night)?;
    }
    let bad = host.path(&format!("backups/zitadel-{}.dump", NIGHTS[1]));
    edit(&bad, Vec::clear)?;
    crate::support::settle(&bad)?;
    let run = host.run(&["push"])?.expect_code(1)?;
    assert!(
        run.stderr
            .contains("zitadel-20260102-030000.dump is not a dump"),
        "{run:#?}"
    );
    let list = host.run(&["list", "--json"])?.json()?;
    let done = list["archives"].as_array().map_or(0, Vec::len);
    assert_eq!(done, 2, "{list}");
    assert_eq!(run.stdout.lines().count(), done, "{run:#?}");
    host.run(&["verify"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_dump_that_changed_is_to_be_renamed_as_what_it_is() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let dump = format!("backups/zitadel-{}.dump", NIGHTS[0]);
    let other = fs::read(fixtures().join("nights/zitadel-20260102-030000.dump"))?;
    host.add_dump("zitadel-20260101-030000.dump", &other)?;
    Case::new(
        "changed",
        &["push", &dump],
        1,
        &["archived with other bytes"],
    )
    .hint("mv zitadel-20260101-030000.dump zitadel-YYYYMMDD-HHMMSS.dump")
    .hold(&host)
}
