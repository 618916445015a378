//! Proofs and findings on whole pairs: what is right is proven, what is not has exit code 3 and a name.

use crate::support::{Host, KIT, NIGHTS, Outcome, Run, fixtures, settle, sha256};
use serde_json::Value;
use std::fs;

/// A key of the right length that opens nothing.
const FOREIGN: &str = "abcdefghijklmnopqrstuvwxyz012345";

const KEYS: [&str; 4] = [
    "ZITADEL_MASTERKEY",
    "WORKFLOW_SECRET_KEY",
    "SMTP_SECRET_KEY",
    "DIRECTORY_SECRET_KEY",
];

/// Gives a key of the host's env file another value.
fn set_key(host: &Host, name: &str, value: &str) -> Outcome {
    let path = host.path(".env.prod");
    let text = format!("{}\n{name}={value}\n", fs::read_to_string(&path)?);
    Ok(fs::write(path, text)?)
}

fn state(proofs: &Value, key: &str) -> String {
    let proofs = proofs.as_array().into_iter().flatten();
    let states = proofs.filter(|proof| proof["key"] == key);
    states.map(|proof| proof["state"].to_string()).collect()
}

/// The proofs of `inspect`, as a push has them.
fn without_dumps(proofs: &Value) -> Value {
    let mut proofs = proofs.clone();
    for proof in proofs.as_array_mut().into_iter().flatten() {
        proof
            .as_object_mut()
            .and_then(|proof| proof.remove("dumps"));
    }
    proofs
}

/// The codes of all faults.
fn faults(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().into_iter().flatten();
    let faults = findings.filter(|finding| finding["severity"] == "fault");
    faults
        .filter_map(|finding| finding["code"].as_str().map(ToOwned::to_owned))
        .collect()
}

/// Archives the second night, which has something wrong with it, after a sound first one: exit code 3,
/// one fault with this code, and a fetch that passes over it and says so.
fn expect_suspect(
    host: &Host,
    push: &[&str],
    code: &str,
) -> Result<Value, Box<dyn std::error::Error>> {
    let pushed = host.run(push)?.expect_code(3)?.json()?;
    let archive = pushed["archives"][0].clone();
    assert_eq!(faults(&archive), [code], "{archive:#}");
    let listed = host.run(&["list"])?.expect_code(0)?.stdout;
    assert!(listed.contains(&format!("suspect ({code})")), "{listed}");
    let id = archive["id"].as_str().ok_or("no id")?;
    let shown = host.run(&["show", id])?.expect_code(0)?.stdout;
    assert!(shown.contains(&format!("finding     {code} (")), "{shown}");
    let fetched = host.fetch_latest("fetched")?.expect_code(0)?;
    assert!(
        fetched.stderr.contains("skipped the newer archive 2"),
        "{fetched:?}"
    );
    assert!(host.path("fetched/app-20260101-030000.dump").is_file());
    Ok(archive)
}

fn inspect(
    host: &Host,
    folder: &str,
    stamp: &str,
    env: &str,
) -> Result<Run, Box<dyn std::error::Error>> {
    let dump = |half| format!("{}/{half}-{stamp}.dump", fixtures().join(folder).display());
    let (app, zitadel) = (dump("app"), dump("zitadel"));
    host.run(&["inspect", &app, &zitadel, "--env-file", env, "--json"])
}

#[test]
fn the_keys_of_a_working_instance_are_proven_on_every_night() -> Outcome {
    let host = Host::new()?;
    for night in NIGHTS {
        let found = inspect(&host, "nights", night, ".env.prod")?
            .expect_code(0)?
            .json()?;
        assert_eq!(found["verdict"], "sound");
        for key in KEYS {
            assert_eq!(state(&found["proofs"], key), "\"proven\"", "{found:#}");
        }
        let pushed = host.push_night(night)?;
        assert_eq!(pushed["proofs"], without_dumps(&found["proofs"]));
    }
    let again = host.run(&["push", "--json", "backups/app-20260103-030000.dump"])?;
    let again = again.expect_code(0)?.json()?;
    assert_eq!(again["archives"][0]["already_archived"], true);
    assert_eq!(
        state(&again["archives"][0]["proofs"], KEYS[0]),
        "\"proven\""
    );
    Ok(())
}

#[test]
fn a_new_instance_has_nothing_to_prove_and_says_so() -> Outcome {
    let host = Host::new()?;
    let found = inspect(&host, "fresh", NIGHTS[0], ".env.prod")?
        .expect_code(0)?
        .json()?;
    for proof in found["proofs"].as_array().ok_or("no proofs")? {
        assert_eq!(proof["state"], "unproven");
        let evidence = proof["evidence"].as_str().unwrap_or_default();
        assert!(evidence.contains("nothing in the dump yet"), "{evidence}");
    }
    assert_eq!(found["proofs"].as_array().map(Vec::len), Some(4));
    Ok(())
}

#[test]
fn a_foreign_key_of_the_right_length_is_refuted_and_never_the_latest() -> Outcome {
    for key in KEYS {
        let host = Host::new()?;
        host.push_night(NIGHTS[0])?;
        let dump = host.add_night(NIGHTS[1])?;
        set_key(&host, key, FOREIGN)?;
        let env = host.path(".env.prod").display().to_string();
        let found = inspect(&host, "nights", NIGHTS[1], &env)?
            .expect_code(3)?
            .json()?;
        assert_eq!(faults(&found), ["key-refuted"], "{key}");
        for other in KEYS {
            let expected = if other == key {
                "\"refuted\""
            } else {
                "\"proven\""
            };
            assert_eq!(state(&found["proofs"], other), expected, "{key}: {other}");
        }
        let pushed = host
            .run(&["push", "--json", &dump])?
            .expect_code(3)?
            .json()?;
        let archive = &pushed["archives"][0];
        assert_eq!(archive["proofs"], without_dumps(&found["proofs"]));
        assert!(faults(archive).contains(&"key-refuted".to_owned()));
        // Those that can never be made again are known by their fingerprints, too.
        let is_vital = key == KEYS[0] || key == KEYS[1];
        assert_eq!(
            faults(archive).contains(&"key-changed".to_owned()),
            is_vital
        );
        let fetched = host.fetch_latest("out")?.expect_code(0)?;
        assert!(
            fetched.stderr.contains("skipped the newer archive 2"),
            "{fetched:?}"
        );
        // The same again is archived already; with the right key it is archived anew.
        let again = host.run(&["push", "--json", &dump])?.expect_code(3)?;
        assert_eq!(again.json()?["archives"][0]["already_archived"], true);
        fs::copy(fixtures().join("nights/.env.prod"), host.path(".env.prod"))?;
        let mended = host
            .run(&["push", "--json", &dump])?
            .expect_code(0)?
            .json()?;
        let mended = &mended["archives"][0];
        assert_eq!(
            (&mended["verdict"], &mended["sequence"]),
            (&"sound".into(), &3.into())
        );
    }
    Ok(())
}

#[test]
fn a_push_of_everything_archives_anew_what_was_mended_and_only_that() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    set_key(&host, KEYS[0], FOREIGN)?;
    for night in &NIGHTS[1..] {
        let dump = host.add_night(night)?;
        host.run(&["push", &dump])?.expect_code(3)?;
    }
    // Nothing has changed: the newest pair is still suspect, and that is said every time.
    let again = host.run(&["push"])?.expect_code(3)?;
    let (older, newest) = again.stdout.split_once('\n').ok_or("one line")?;
    assert_eq!(older, "archive 2 of an older pair is still suspect");
    assert_eq!(newest.lines().count(), 1, "{again:?}");
    assert!(
        newest.starts_with("already archived: nightly of 2026-01-03"),
        "{again:?}"
    );
    assert!(
        again
            .stderr
            .contains("finding: key-refuted (env): ZITADEL_MASTERKEY"),
        "{again:?}"
    );
    fs::copy(fixtures().join("nights/.env.prod"), host.path(".env.prod"))?;
    let mended = host.run(&["push"])?.expect_code(0)?;
    assert_eq!(mended.stdout.matches(", sound, ").count(), 2, "{mended:?}");
    let nothing = host.run(&["push"])?.expect_code(0)?.stdout;
    assert_eq!(
        nothing,
        "nothing to archive: every complete pair is archived already\n"
    );
    fs::remove_dir_all(host.path("backups"))?;
    fs::create_dir(host.path("backups"))?;
    let nothing = host.run(&["push"])?.expect_code(0)?.stdout;
    assert!(
        nothing.contains("there is no complete pair in "),
        "{nothing}"
    );
    Ok(())
}

#[test]
fn inspect_goes_pair_by_pair_and_past_what_is_no_dump() -> Outcome {
    let host = Host::new()?;
    for night in &NIGHTS[..2] {
        host.add_night(night)?;
    }
    host.add_dump("app-20260109-030000.dump", b"")?;
    let mut wrong = fs::read(host.path("backups/app-20260102-030000.dump"))?;
    wrong.truncate(100_000);
    fs::write(host.path("backups/app-20260102-030000.dump"), wrong)?;
    let files: Vec<String> = fs::read_dir(host.path("backups"))?
        .map(|entry| Ok(entry?.path().display().to_string()))
        .collect::<Result<_, std::io::Error>>()?;
    let mut args = vec!["inspect", "--json"];
    args.extend(files.iter().map(String::as_str));
    args.push(&files[0]); // twice is once
    let run = host.run(&args)?.expect_code(1)?;
    assert!(
        run.stderr
            .contains("app-20260109-030000.dump is not a dump"),
        "{run:?}"
    );
    let found = run.json()?;
    assert_eq!(found["dumps"].as_array().map(Vec::len), Some(4));
    let proofs = found["proofs"].as_array().ok_or("no proofs")?;
    assert_eq!(proofs.len(), 8, "{found:#}");
    let last = proofs.last().map(|proof| proof["dumps"].to_string());
    let last = last.unwrap_or_default();
    assert!(
        last.contains("app-20260102") && !last.contains("20260101"),
        "{last}"
    );
    assert_eq!(
        (faults(&found), &found["verdict"]),
        (vec!["dump-unreadable".to_owned()], &"suspect".into())
    );
    let cut = found["proofs"].to_string();
    assert!(
        cut.contains("\"as far as the dumps could be read, "),
        "{cut}"
    );
    Ok(())
}

#[test]
fn two_dumps_of_one_database_are_no_pair() -> Outcome {
    let host = Host::bare()?;
    let dump = |night| format!("{}/nights/app-{night}.dump", fixtures().display());
    let (one, other) = (dump(NIGHTS[0]), dump(NIGHTS[1]));
    let env = fixtures().join("nights/.env.prod").display().to_string();
    let args = ["inspect", &one, &other, "--env-file", &env, "--json"];
    let found = host.run(&args)?.expect_code(0)?.json()?;
    let proofs = found["proofs"].as_array().into_iter().flatten();
    let of_workflow = proofs.filter(|proof| proof["key"] == KEYS[1]);
    let of_workflow: Vec<_> = of_workflow.map(|proof| &proof["opened"]).collect();
    assert_eq!(of_workflow, [4, 4], "{found:#}");
    Ok(())
}

#[test]
fn a_suspect_archive_says_so_when_it_is_fetched_and_its_guide_loads_no_damage() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let bytes = fs::read(host.path(&dump))?;
    fs::write(host.path(&dump), &bytes[..bytes.len() / 2])?;
    settle(&host.path(&dump))?;
    set_key(&host, KEYS[0], FOREIGN)?;
    host.run(&["push", &dump])?.expect_code(3)?;
    let fetch = [
        "fetch",
        "--latest",
        "--allow-suspect",
        "--out",
        "out",
        "--json",
    ];
    let fetched = host.run(&[&fetch[..], &KIT].concat())?.expect_code(0)?;
    assert!(
        fetched.stderr.contains("warning: this archive is SUSPECT"),
        "{fetched:?}"
    );
    let document = fetched.json()?;
    assert_eq!(document["verdict"], "suspect");
    assert_eq!(faults(&document), ["dump-unreadable", "key-refuted"]);
    let guide = fs::read_to_string(host.path("out/RESTORE.md"))?;
    assert!(
        guide.contains("**These may not be the keys of this data**"),
        "{guide}"
    );
    assert!(guide.contains("**Do not load this dump**"), "{guide}");
    assert!(!guide.contains("\"$F\"/app-20260101"), "{guide}");
    assert!(guide.contains("\"$F\"/zitadel-20260101"), "{guide}");
    let shown = host.run(&["show", "1"])?.expect_code(0)?.stdout;
    assert!(shown.contains("  restore   do not:"), "{shown}");
    Ok(())
}

#[test]
fn a_volume_without_the_client_secret_is_as_good_as_none() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let dump = host.add_night(NIGHTS[1])?;
    fs::remove_file(host.path("zitadel-secrets/oidc-client.json"))?;
    let archive = expect_suspect(&host, &["push", "--json", &dump], "zitadel-secrets-missing")?;
    let message = archive["findings"][0]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(message.contains("has no oidc-client.json, so"), "{archive}");
    Ok(())
}

#[test]
fn an_app_dump_of_any_other_database_is_no_half() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let app = host.add_night(NIGHTS[1])?;
    fs::copy(
        fixtures().join("majors/pg18-zstd-pipe.dump"),
        host.path(&app),
    )?;
    settle(&host.path(&app))?;
    let archive = expect_suspect(&host, &["push", "--json", &app], "dump-foreign")?;
    let message = archive["findings"][0]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(message.contains("no table workflow_secrets"), "{archive}");
    Ok(())
}

#[test]
fn a_worse_env_file_adds_nothing_to_a_pair_that_is_suspect_already() -> Outcome {
    let host = Host::new()?;
    fs::remove_file(host.path("zitadel-secrets/sa-key.json"))?;
    let dump = host.add_night(NIGHTS[0])?;
    host.run(&["push", &dump])?.expect_code(3)?;
    set_key(&host, KEYS[0], FOREIGN)?;
    for push in [&["push"][..], &["push", &dump]] {
        let worse = host.run(push)?.expect_code(3)?;
        assert!(worse.stdout.contains("archive 1 "), "{worse:?}");
        assert!(worse.stdout.starts_with("already archived"), "{worse:?}");
    }
    // One thing mended and another worse is no gain either; both right is.
    fs::write(host.path("zitadel-secrets/sa-key.json"), "{}")?;
    let other = host.run(&["push", &dump])?.expect_code(3)?;
    assert!(other.stdout.starts_with("already archived"), "{other:?}");
    fs::copy(fixtures().join("nights/.env.prod"), host.path(".env.prod"))?;
    host.run(&["push", &dump])?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_new_key_that_opens_all_there_is_is_a_note() -> Outcome {
    let host = Host::new()?;
    let key = fs::read_to_string(host.path(".env.prod"))?;
    let key = key
        .lines()
        .find_map(|line| line.strip_prefix("WORKFLOW_SECRET_KEY="))
        .ok_or("no key")?;
    // Before anything was encrypted, nobody can tell that this was never the key.
    set_key(&host, "WORKFLOW_SECRET_KEY", FOREIGN)?;
    for half in ["app", "zitadel"] {
        let name = format!("{half}-{}.dump", NIGHTS[0]);
        host.add_dump(&name, &fs::read(fixtures().join("fresh").join(&name))?)?;
    }
    host.run(&["push"])?.expect_code(0)?;
    set_key(&host, "WORKFLOW_SECRET_KEY", key)?;
    let pushed = host.push_night(NIGHTS[1])?;
    let codes: Vec<_> = pushed["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    assert!(
        codes.iter().any(|finding| finding["code"] == "key-changed"),
        "{pushed:#}"
    );
    assert_eq!(
        (&pushed["verdict"], faults(&pushed)),
        (&"sound".into(), Vec::new())
    );
    let later = host.push_night(NIGHTS[2])?.to_string();
    assert!(!later.contains("key-changed"), "{later}");
    Ok(())
}

#[test]
fn a_dump_that_must_not_be_loaded_has_no_command_that_loads_it() -> Outcome {
    let host = Host::new()?;
    let app = host.add_night(NIGHTS[0])?;
    let zitadel = "backups/zitadel-20260101-030000.dump";
    fs::rename(host.path(&app), host.path("swap"))?;
    fs::rename(host.path(zitadel), host.path(&app))?;
    fs::rename(host.path("swap"), host.path(zitadel))?;
    let pushed = host.run(&["push", "--json", &app])?.expect_code(3)?;
    assert_eq!(
        faults(&pushed.json()?["archives"][0]),
        ["dump-foreign", "dump-foreign"]
    );
    assert!(pushed.stderr.contains("hint: make new dumps"), "{pushed:?}");
    let shown = host.run(&["show", "1", "--json"])?.expect_code(0)?.json()?;
    for way_back in shown["restore"].as_array().ok_or("no way back")? {
        assert_eq!(way_back["commands"].as_array().map(Vec::len), Some(0));
    }
    Ok(())
}

#[test]
fn one_character_of_a_key_is_enough_to_refute_it() -> Outcome {
    let host = Host::new()?;
    let text = fs::read_to_string(host.path(".env.prod"))?;
    for key in KEYS {
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .ok_or("no key")?;
        let place = key.len() + 5;
        let other = if line.as_bytes()[place] == b'a' {
            "b"
        } else {
            "a"
        };
        let mut changed = line.to_owned();
        changed.replace_range(place..=place, other);
        fs::write(host.path("changed"), text.replace(line, &changed))?;
        let found = inspect(&host, "nights", NIGHTS[0], "changed")?
            .expect_code(3)?
            .json()?;
        assert_eq!(state(&found["proofs"], key), "\"refuted\"", "{key}");
    }
    Ok(())
}

#[test]
fn a_vital_key_that_changed_is_found_though_nothing_can_be_tried() -> Outcome {
    let host = Host::new()?;
    let push_fresh = |stamp: &str| {
        for half in ["app", "zitadel"] {
            let from = fixtures().join(format!("fresh/{half}-{}.dump", NIGHTS[0]));
            host.add_dump(&format!("{half}-{stamp}.dump"), &fs::read(from)?)?;
        }
        host.run(&["push", "--json", &format!("backups/app-{stamp}.dump")])
    };
    push_fresh(NIGHTS[0])?.expect_code(0)?;
    // The same key in another spelling is the same key.
    let text = fs::read_to_string(host.path(".env.prod"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("WORKFLOW_SECRET_KEY="))
        .ok_or("no key")?;
    set_key(&host, "WORKFLOW_SECRET_KEY", &line.to_uppercase())?;
    push_fresh(NIGHTS[1])?.expect_code(0)?;
    set_key(&host, "WORKFLOW_SECRET_KEY", FOREIGN)?;
    let changed = push_fresh(NIGHTS[2])?.expect_code(3)?.json()?;
    let finding = &changed["archives"][0]["findings"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["code"] == "key-changed").cloned())
        .ok_or("not found")?;
    let message = finding["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("WORKFLOW_SECRET_KEY is not the one in archive 2"),
        "{message}"
    );
    // It is found every night, and the right one put back is not.
    push_fresh("20260104-030000")?.expect_code(3)?;
    set_key(&host, "WORKFLOW_SECRET_KEY", line)?;
    push_fresh("20260105-030000")?.expect_code(0)?;
    // Unless it was meant.
    set_key(&host, "WORKFLOW_SECRET_KEY", FOREIGN)?;
    let found = push_fresh("20260106-030000")?.expect_code(3)?;
    let dump = "backups/app-20260106-030000.dump";
    let hint = format!("sealift push --accept-new-keys {dump}");
    assert!(found.stderr.contains(&hint), "{}", found.stderr);
    host.run(&["push", "--accept-new-keys", dump])?
        .expect_code(0)?;
    push_fresh("20260107-030000")?.expect_code(0)?;
    Ok(())
}

#[test]
fn halves_of_different_days_do_not_belong_together() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    for (half, stamp) in [("app", NIGHTS[1]), ("zitadel", NIGHTS[2])] {
        let name = format!("{half}-{stamp}.dump");
        host.add_dump(&name, &fs::read(fixtures().join("nights").join(&name))?)?;
    }
    let push = [
        "push",
        "--json",
        "backups/app-20260102-030000.dump",
        "backups/zitadel-20260103-030000.dump",
    ];
    let archive = expect_suspect(&host, &push, "halves-apart")?;
    let message = archive["findings"][0]["message"].as_str();
    assert!(
        message.is_some_and(|m| m.contains("1440 minutes")),
        "{archive}"
    );
    Ok(())
}

#[test]
fn a_dump_of_another_database_is_no_half() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let app = host.add_night(NIGHTS[1])?;
    let zitadel = host.path("backups/zitadel-20260102-030000.dump");
    fs::copy(host.path(&app), &zitadel)?;
    settle(&zitadel)?;
    expect_suspect(&host, &["push", "--json", &app], "dump-foreign")?;
    Ok(())
}

#[test]
fn a_key_that_may_be_absent_is_missed_when_there_are_values_under_it() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    set_key(&host, "SMTP_SECRET_KEY", "")?;
    let dump = host.add_night(NIGHTS[1])?;
    let archive = expect_suspect(&host, &["push", "--json", &dump], "key-missing")?;
    assert_eq!(state(&archive["proofs"], "SMTP_SECRET_KEY"), "");
    let message = archive["findings"][0]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(message.contains("public.smtp_settings"), "{archive}");
    set_key(&host, "SMTP_SECRET_KEY", "CHANGE_ME")?;
    let found = inspect(&host, "nights", NIGHTS[1], ".env.prod")?.expect_code(3)?;
    assert_eq!(faults(&found.json()?), ["key-placeholder"]);
    // Without such values it is nobody's business.
    inspect(&host, "fresh", NIGHTS[0], ".env.prod")?.expect_code(0)?;
    Ok(())
}

#[test]
fn an_instance_without_zitadel_has_no_proof_of_its_key() -> Outcome {
    let host = Host::new()?;
    let app = fixtures().join("nights/app-20260101-030000.dump");
    let app = app.display().to_string();
    let args = ["inspect", &app, "--env-file", ".env.prod", "--json"];
    let local = host.run(&[&args[..], &["--auth-mode", "local"]].concat())?;
    let proofs = local.expect_code(0)?.json()?["proofs"].clone();
    assert_eq!(proofs.as_array().map(Vec::len), Some(3), "{proofs:#}");
    let oidc = host.run(&args)?.expect_code(0)?.json()?;
    assert_eq!(state(&oidc["proofs"], KEYS[0]), "\"unproven\"");
    Ok(())
}

#[test]
fn what_an_old_pg_restore_cannot_read_is_said_and_no_fault() -> Outcome {
    let host = Host::new()?;
    let pushed = host.push_night(NIGHTS[0])?;
    assert_eq!(pushed["verdict"], "sound");
    let finding = &pushed["findings"][0];
    assert_eq!(finding["code"], "pg-restore-too-old");
    assert_eq!(
        (&finding["severity"], &finding["component"]),
        (&"note".into(), &"zitadel".into())
    );
    let shown = host.run(&["show", "1", "--json"])?.expect_code(0)?.json()?;
    assert_eq!(shown["restore"][1]["oldest_pg_restore"], 17);
    let commands = shown["restore"][1]["commands"].to_string();
    assert!(commands.contains("transaction_timeout"), "{commands}");
    Ok(())
}

#[test]
fn no_key_and_nothing_that_it_opens_is_in_what_is_public() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let manifest = fs::read_to_string(host.store("archives/00000001.json"))?;
    let env = fs::read_to_string(host.path(".env.prod"))?;
    for key in KEYS {
        let value = env
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .ok_or("no key")?;
        assert!(!manifest.contains(value), "{key}");
        assert!(!manifest.contains(&sha256(value.as_bytes())), "{key}");
    }
    for plain in ["relay-pw-1", "PRIVATE KEY", "kty"] {
        assert!(!manifest.contains(plain), "{plain}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_no_dump_or_not_there_is_one_clear_line() -> Outcome {
    let host = Host::bare()?;
    fs::write(host.path("text"), "SELECT 1;\n")?;
    fs::write(host.path("empty.dump"), "")?;
    for (file, code, says) in [
        ("text", 1, "text is not a dump"),
        ("empty.dump", 1, "the file is empty"),
        ("absent.dump", 1, "there is no dump absent.dump"),
        (".", 1, "is a folder"),
    ] {
        let run = host.run(&["inspect", file])?.expect_code(code)?;
        assert!(run.stderr.contains(says), "{run:?}");
        assert!(
            run.stdout.is_empty() && run.stderr.contains("\nhint: "),
            "{run:?}"
        );
    }
    let app = fixtures().join("nights/app-20260101-030000.dump");
    let app = app.display().to_string();
    let run = host.run(&["inspect", &app, "--env-file", "absent"])?;
    let run = run.expect_code(2)?;
    assert!(
        run.stderr.contains("there is no env file absent"),
        "{run:?}"
    );
    assert_eq!(host.snapshot(".")?.len(), 2, "something was written");
    Ok(())
}

#[test]
fn where_sign_in_is_local_a_zitadel_dump_is_nobodys_half() -> Outcome {
    let host = Host::new()?;
    let app = host.add_night(NIGHTS[0])?;
    let zitadel = format!("backups/zitadel-{}.dump", NIGHTS[0]);
    let push = |dumps: &[&str]| host.run(&[&["push", "--auth-mode", "local"], dumps].concat());
    let both = push(&[&app, &zitadel])?.expect_code(0)?;
    assert_eq!(both.stdout.matches(", sound, ").count(), 1, "{both:?}");
    let alone = push(&[&zitadel])?.expect_code(0)?;
    assert!(alone.stdout.contains("sign-in is local"), "{alone:?}");
    let all = push(&[])?.expect_code(0)?;
    assert!(!all.stderr.contains("half a pair"), "{all:?}");
    Ok(())
}
