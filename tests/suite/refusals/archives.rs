//! Refusals of fetch and show: no such archive, no identity that opens it, no place to put it.

use super::{Case, KIT, hold_all};
use crate::support::{Host, NIGHTS, Outcome};
use std::error::Error;
use std::fs;

fn fetch(more: &[&str]) -> Vec<String> {
    let args = [&["fetch", "--out", "out"], more, &KIT].concat();
    args.into_iter().map(str::to_owned).collect()
}

fn case(what: &str, more: &[&str], code: i32, says: &[&str]) -> Case {
    let args = fetch(more);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Case::new(what, &args, code, says)
}

#[test]
fn an_empty_store_has_no_archive() -> Outcome {
    let host = Host::new()?;
    let at = ["--at", "2026-02-01T00:00:00Z"];
    hold_all(
        &host,
        &[
            case("latest", &["--latest"], 6, &["no archive of lazyit"]).hint("--instance"),
            case("at", &at, 6, &["no archive of lazyit"]).hint("--store"),
            case("id", &["--id", "0123"], 6, &["\"0123\""]).hint("sealift list"),
            Case::new("show", &["show", "0123"], 6, &["\"0123\""]).hint("sealift list"),
        ],
    )?;
    host.run(&["verify"])?.expect_code(6)?;
    assert!(
        host.run(&["list"])?
            .expect_code(0)?
            .stdout
            .contains("no archives yet")
    );
    Ok(())
}

#[test]
fn an_archive_that_is_not_there_is_named() -> Outcome {
    let host = Host::new()?;
    let first = host.push_night(NIGHTS[0])?;
    let id = first["id"].as_str().ok_or("no id")?;
    let unknown = "0".repeat(64);
    let quoted = |text: &str| format!("{text:?}");
    let early = ["--at", "2026-01-01T02:59:59Z"];
    let mut cases = vec![
        case("too early", &early, 6, &["2026-01-01T02:59:59Z"]).hint("sealift list"),
        case(
            "no time",
            &["--at", "yesterday"],
            2,
            &["--at", "\"yesterday\"", "2026-"],
        ),
        case(
            "no zone",
            &["--at", "2026-01-01T03:00:00"],
            2,
            &["--at", "2026-01-01T03:00:00"],
        ),
        case(
            "a date",
            &["--at", "2026-01-01"],
            2,
            &["--at", "2026-01-01"],
        ),
        case(
            "other instance",
            &["--latest", "--instance", "other"],
            6,
            &["of other"],
        )
        .hint("--instance"),
        case(
            "no component",
            &["--latest", "--component", "nope"],
            2,
            &["component nope"],
        )
        .hint("sealift list"),
        case(
            "bad component",
            &["--latest", "--component", "A B"],
            2,
            &["--component", "\"A B\""],
        ),
    ];
    let short = case("short", &["--id", &id[..3]], 6, &["too short", "4 digits"]);
    cases.push(short.hint("sealift list"));
    for prefix in [&id[..3], "", "zzzz", &unknown, &format!("{id}0")] {
        cases.push(case(prefix, &["--id", prefix], 6, &[&quoted(prefix)]).hint("sealift list"));
        let show = Case::new(prefix, &["show", prefix], 6, &[&quoted(prefix)]);
        cases.push(show.hint("sealift list"));
    }
    hold_all(&host, &cases)?;
    let found = fetch(&["--id", &id[..4]]);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    host.run(&found)?.expect_code(0)?;
    Ok(())
}

#[test]
fn an_identity_that_cannot_be_used_is_refused() -> Outcome {
    let host = Host::new()?;
    let pushed = host.push_night(NIGHTS[0])?;
    let id = pushed["id"].as_str().ok_or("no id")?;
    tool_keys(&host)?;
    let identity = |what, file: &str, says: &[&str]| {
        let args = ["fetch", "--latest", "--out", "out", "--identity", file];
        Case::new(what, &args, 2, says)
    };
    let blobs = host.snapshot("store/lazyit/blobs")?;
    hold_all(
        &host,
        &[
            Case::new(
                "none",
                &["fetch", "--latest", "--out", "out"],
                2,
                &["no identity is set"],
            )
            .hint("--identity"),
            identity("not there", "nope", &["the identity nope"]).hint("ls -l nope"),
            identity("a folder", "backups", &["the identity backups"]).hint("ls -l backups"),
            identity("no identity", ".env.prod", &[".env.prod", "no identity"]),
            identity("cut short", "short", &["short", "no identity"]),
            identity("empty", "empty", &["empty"]),
            identity("public", "public", &["public", "no identity"]),
            identity("locked", "locked", &["locked", "passphrase"]),
            identity("locked, binary", "binary", &["binary", "passphrase"]),
            identity("locked SSH key", "ssh", &["ssh", "passphrase"]),
            identity(
                "post-quantum",
                "quantum",
                &["quantum", "post-quantum identity"],
            ),
            identity(
                "plugin",
                "plugin",
                &["age plugin no-such", "not in the PATH"],
            )
            .hint("command -v age-plugin-no-such"),
        ],
    )?;
    // Somebody else's opens nothing, and the first blob that it did not open is named.
    let other = Host::new()?;
    let wrong = other
        .path("recovery-kit/identity.txt")
        .display()
        .to_string();
    let wrong = ["fetch", "--latest", "--out", "out", "--identity", &wrong];
    let run = host.run(&wrong)?;
    let named = |path: &std::path::PathBuf| {
        path.file_name()
            .is_some_and(|name| run.stderr.contains(&*name.to_string_lossy()))
    };
    assert!(blobs.iter().any(|(path, _)| named(path)), "{run:#?}");
    let says = ["component app", "no identity given opens blob "];
    Case::new("wrong", &wrong, 1, &says)
        .hint(&format!("sealift show {} | grep ^recipient", &id[..12]))
        .hold(&host)
}

/// Identity files of every wrong kind.
fn tool_keys(host: &Host) -> Outcome {
    let armor = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3Jn\n";
    for (name, text) in [
        ("short", "AGE-SECRET-KEY-1QQQQ\n"),
        ("empty", "# nothing but a comment\n"),
        (
            "public",
            "age1s3l8pje5y86qmxm0mp2z9et5f0e5ur3rdk2vkxkfmz62yemc0vvqpclf2a\n",
        ),
        ("locked", armor),
        ("quantum", "AGE-SECRET-KEY-PQ-1QQQQ\n"),
        ("plugin", "AGE-PLUGIN-NO-SUCH-1CDSXTU\n"),
        ("binary", "age-encryption.org/v1\n-> scrypt AAAA 18\n"),
    ] {
        fs::write(host.path(name), text)?;
    }
    let keygen = [
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "some words",
        "-f",
        "ssh",
    ];
    super::tool(host, &keygen).map(drop)
}

#[test]
fn a_folder_with_something_in_it_is_not_fetched_into() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    fs::create_dir(host.path("out"))?;
    fs::write(host.path("out/mine"), "mine")?;
    case("not empty", &["--latest"], 1, &["out is not empty"])
        .hint("--out DIR")
        .hold(&host)?;
    assert_eq!(fs::read_to_string(host.path("out/mine"))?, "mine");
    fs::remove_dir_all(host.path("out"))?;
    fs::write(host.path("out"), "mine")?;
    case("a file", &["--latest"], 1, &["folder out", "is a file"])
        .hint("ls -l out")
        .hold(&host)?;
    assert_eq!(fs::read_to_string(host.path("out"))?, "mine");
    Ok(())
}

#[test]
fn suspect_archives_alone_are_no_latest_unless_allowed() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let missing = ["push", "--json", &dump, "--env-file", "not-there"];
    let pushed = host.run(&missing)?.expect_code(3)?.json()?;
    let suspect = |what, which: &[&str]| -> Outcome {
        case(what, which, 6, &["no sound archive", "suspect"])
            .hint("--allow-suspect")
            .hold(&host)
    };
    suspect("latest", &["--latest"])?;
    suspect("at", &["--at", "2026-02-01T00:00:00Z"])?;
    let id = pushed["archives"][0]["id"].as_str().ok_or("no id")?;
    for which in [&["--latest", "--allow-suspect"][..], &["--id", id]] {
        let args = fetch(which);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        fetched(&host, &args)?;
    }
    Ok(())
}

fn fetched(host: &Host, args: &[&str]) -> Result<(), Box<dyn Error>> {
    host.run(args)?.expect_code(0)?;
    assert!(host.path("out/RESTORE.md").is_file());
    Ok(fs::remove_dir_all(host.path("out"))?)
}
