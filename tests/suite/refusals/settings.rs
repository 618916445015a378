//! Refusals of every command: settings that are wrong, each by its name.

use super::{Case, hold_all, still_works};
use crate::support::{Host, NIGHTS, Outcome};
use std::fs;

#[test]
fn a_settings_file_that_is_not_understood_is_refused_with_the_line() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let good = fs::read_to_string(host.path("sealift.toml"))?;
    let before = good.lines().count();
    let mut cases = Vec::new();
    for (number, (what, line, says)) in [
        ("unknown", "colour = \"red\"", "colour"),
        ("a typing error", "recipient = []", "recipient"),
        ("wrong type", "identity = 5", "expected path string"),
        (
            "wrong type of list",
            "secret_recipients = 3",
            "expected a sequence",
        ),
        (
            "two values",
            "instance = \"other\"",
            "duplicate key instance",
        ),
        ("no TOML", "time_zone = Europe/Vienna", "line 1"),
        ("not closed", "time_zone = \"UTC", "line 1"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("bad{number}.toml");
        fs::write(host.path(&file), format!("{line}\n{good}"))?;
        for command in [
            &["push", dump.as_str()][..],
            &["list"],
            &["verify"],
            &["show", "0123"],
        ] {
            let args = [command, &["--config", &file]].concat();
            cases.push(Case::new(what, &args, 2, &["line ", &file, says]));
        }
    }
    for (number, (what, lines, says)) in [
        ("no name", "path = \"x\"", "missing field `name`"),
        ("no path", "name = \"x\"", "missing field `path`"),
        ("bad name", "name = \"A B\"\npath = \"x\"", "\"A B\""),
        (
            "bad class",
            "name = \"x\"\npath = \"x\"\nclass = \"public\"",
            "public",
        ),
        (
            "unknown field",
            "name = \"x\"\npath = \"x\"\nmode = \"x\"",
            "mode",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("include{number}.toml");
        fs::write(host.path(&file), format!("{good}\n[[include]]\n{lines}\n"))?;
        let line = format!("line {}", before + 2);
        let args = ["push", &dump, "--config", &file];
        let place = if says.starts_with("missing") {
            line.as_str()
        } else {
            "line "
        };
        cases.push(Case::new(what, &args, 2, &[place, &file, says]));
    }
    for (name, says) in [("env", "env"), ("attachments", "attachments")] {
        let file = format!("taken-{name}.toml");
        let more = format!("{good}\n[[include]]\nname = \"{name}\"\npath = \"x\"\n");
        fs::write(host.path(&file), more)?;
        let args = ["push", &dump, "--config", &file];
        cases.push(Case::new(name, &args, 2, &["include", says, "taken"]));
    }
    fs::write(host.path("binary.toml"), [0xff, 0xfe])?;
    cases.push(
        Case::new(
            "binary",
            &["list", "--config", "binary.toml"],
            2,
            &["binary.toml"],
        )
        .hint("ls -ld binary.toml"),
    );
    cases.push(
        Case::new(
            "not there",
            &["list", "--config", "no.toml"],
            2,
            &["no.toml"],
        )
        .hint("ls -ld no.toml"),
    );
    cases.push(
        Case::new(
            "a folder",
            &["list", "--config", "backups"],
            2,
            &["backups"],
        )
        .hint("ls -ld backups"),
    );
    hold_all(&host, &cases)?;
    still_works(&host, NIGHTS[0])
}

#[test]
fn a_setting_that_makes_no_sense_is_refused_by_its_name() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let mut cases = Vec::new();
    for (flag, value, says) in [
        ("--instance", "A b", "the setting instance: \"A b\""),
        ("--instance", "../x", "the setting instance: \"../x\""),
        ("--instance", "", "the setting instance: \"\""),
        ("--auth-mode", "saml", "the setting auth_mode: \"saml\""),
        ("--auth-mode", "OIDC", "the setting auth_mode: \"OIDC\""),
        (
            "--store",
            "ftp://host/x",
            "the setting store: \"ftp://host/x\"",
        ),
        ("--include", "x", "the setting include: \"x\""),
        ("--include", "x=", "the setting include: \"x=\""),
        ("--include", "X=attachments", "the setting include: \"X\""),
        (
            "--include",
            "x:public=attachments",
            "the setting include: \"x:public",
        ),
        ("--include", "app=attachments", "the name app is taken"),
        (
            "--include",
            "zitadel=attachments",
            "the name zitadel is taken",
        ),
        ("--include", "env=attachments", "the name env is taken"),
    ] {
        let what = format!("{flag} {value}");
        cases.push(Case::new(&what, &["push", &dump, flag, value], 2, &[says]));
    }
    let twice = [
        "push",
        &dump,
        "--include",
        "x=attachments",
        "--include",
        "x=backups",
    ];
    cases.push(Case::new(
        "twice",
        &twice,
        2,
        &["include", "the name x is taken"],
    ));
    let zone = ["push", &dump, "--time-zone", "Mars/Olympus"];
    cases.push(Case::new("a zone", &zone, 2, &["time_zone", "Mars/Olympus"]).hint("zoneinfo"));
    hold_all(&host, &cases)?;
    for (name, value, says) in [
        (
            "AUTH_MODE",
            "nonsense",
            "the setting auth_mode: \"nonsense\"",
        ),
        ("SEALIFT_INSTANCE", "a/b", "the setting instance: \"a/b\""),
        ("SEALIFT_INCLUDES", "x=a,y", "the setting include: \"y\""),
    ] {
        Case::new(name, &[], 2, &[says]).hold_run(&host, || {
            let mut command = host.command(&["push", &dump]);
            Ok(crate::support::Run::of(&command.env(name, value).output()?))
        })?;
    }
    still_works(&host, NIGHTS[0])
}

#[test]
fn a_time_zone_of_no_use_stops_what_needs_it_and_nothing_else() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let run =
        |zone: &str, args: &[&str]| -> Result<crate::support::Run, Box<dyn std::error::Error>> {
            let mut command = host.command(args);
            Ok(crate::support::Run::of(&command.env("TZ", zone).output()?))
        };
    for zone in ["Mars/Olympus", "CET-1CEST", ":/no/such/file"] {
        Case::new(zone, &[], 2, &["TZ", zone])
            .hint("--time-zone")
            .hold_run(&host, || run(zone, &["push", &dump]))?;
        run(zone, &["list"])?.expect_code(0)?;
        run(zone, &["verify"])?.expect_code(6)?;
    }
    let pushed = run("CET-1CEST,M3.5.0,M10.5.0/3", &["push", "--json", &dump])?.expect_code(0)?;
    let captured = &pushed.json()?["archives"][0]["captured_at"];
    assert_eq!(captured, "2026-01-01T02:00:00Z", "{pushed:#?}");
    // What names a time zone on purpose goes before TZ.
    let dump = host.add_night(NIGHTS[1])?;
    let args = ["push", "--json", &dump, "--time-zone", ":Europe/Vienna"];
    let pushed = run("Mars/Olympus", &args)?.expect_code(0)?;
    let captured = &pushed.json()?["archives"][0]["captured_at"];
    assert_eq!(captured, "2026-01-02T02:00:00Z", "{pushed:#?}");
    let fetch = [&["fetch", "--latest", "--out", "out"][..], &super::KIT].concat();
    run(":Mars/Olympus", &fetch)?.expect_code(0)?;
    let dump = host.add_night(NIGHTS[2])?;
    run(":/etc/localtime", &["push", &dump])?.expect_code(0)?;
    Ok(())
}

#[test]
fn arguments_that_make_no_sense_end_with_2_and_change_nothing() -> Outcome {
    let host = Host::new()?;
    host.add_night(NIGHTS[0])?;
    for args in [
        &["fetch", "--out", "out"][..],
        &["fetch", "--latest"],
        &["fetch", "--latest", "--id", "0123", "--out", "out"],
        &[
            "fetch",
            "--latest",
            "--at",
            "2026-01-01T00:00:00Z",
            "--out",
            "out",
        ],
        &["show"],
        &["push", "--no-such-flag"],
        &["no-such-command"],
        &[],
    ] {
        let before = host.snapshot("store")?;
        let run = host.run(args)?.expect_code(2)?;
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run:#?}");
        assert!(!host.path("out").exists(), "{args:?}");
        assert!(host.snapshot("store")? == before, "{args:?}");
    }
    still_works(&host, NIGHTS[0])
}
