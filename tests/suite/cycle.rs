//! The main path: init, push, list, show, verify, fetch, as an operator runs them.

use crate::support::{Host, KIT, NIGHTS, Outcome, fixtures, sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn what_was_pushed_comes_back_byte_for_byte_with_the_kit_alone() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    // Only the store and the kit survive.
    let elsewhere = Host::bare()?;
    for name in ["store", "recovery-kit"] {
        fs::rename(host.path(name), elsewhere.path(name))?;
    }
    let toml = elsewhere.path("recovery-kit/sealift.toml");
    let moved = elsewhere.path("store").display().to_string();
    let text =
        fs::read_to_string(&toml)?.replace(&host.path("store").display().to_string(), &moved);
    fs::write(&toml, text)?;
    elsewhere.fetch_latest("out")?.expect_code(0)?;
    for name in [
        "app-20260101-030000.dump",
        "zitadel-20260101-030000.dump",
        ".env.prod",
        "zitadel-secrets/bootstrap-key.json",
        "zitadel-secrets/oidc-client.json",
        "zitadel-secrets/sa-key.json",
    ] {
        let there = fs::read(elsewhere.path("out").join(name))?;
        assert!(
            there == fs::read(fixtures().join("nights").join(name))?,
            "{name} differs"
        );
    }
    let mode =
        |name: &str| fs::metadata(elsewhere.path(name)).map(|m| m.permissions().mode() & 0o777);
    assert_eq!(mode("out/.env.prod")?, 0o600);
    assert_eq!(mode("out/zitadel-secrets/sa-key.json")?, 0o600);
    let attachments =
        |host: &Host, folder: &str| -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error>> {
            Ok(host
                .snapshot(folder)?
                .into_iter()
                .map(|(_, bytes)| bytes)
                .collect())
        };
    assert_eq!(
        attachments(&host, "attachments")?,
        attachments(&elsewhere, "out/attachments")?
    );
    let guide = fs::read_to_string(elsewhere.path("out/RESTORE.md"))?;
    for command in [
        "\"$F\"/.env.prod .env.prod",
        "\"$F\"/app-20260101-030000.dump",
        "\"$F\"/zitadel-20260101-030000.dump",
        "zitadel_secrets",
    ] {
        assert!(
            guide.contains(command),
            "RESTORE.md lacks {command}:\n{guide}"
        );
    }
    Ok(())
}

#[test]
fn later_nights_store_what_changed() -> Outcome {
    let host = Host::new()?;
    let first = host.push_night(NIGHTS[0])?;
    let number =
        |pushed: &serde_json::Value, field: &str| pushed[field].as_u64().unwrap_or(u64::MAX);
    assert_eq!(number(&first, "new_bytes"), number(&first, "plain_bytes"));
    for night in &NIGHTS[1..] {
        let later = host.push_night(night)?;
        let (new, plain) = (number(&later, "new_bytes"), number(&later, "plain_bytes"));
        // The fixtures share 69 % (app) and 52 to 60 % (zitadel) in whole chunks.
        assert!(new * 2 < plain, "{new} of {plain} bytes are new");
        assert!(number(&later, "stored_bytes") < new, "{later}");
    }
    host.run(&["verify"])?.expect_code(0)?;
    host.fetch_latest("out")?.expect_code(0)?;
    let name = "app-20260103-030000.dump";
    assert!(
        fs::read(host.path("out").join(name))? == fs::read(fixtures().join("nights").join(name))?
    );
    Ok(())
}

#[test]
fn a_second_push_stores_nothing_and_says_so() -> Outcome {
    let host = Host::new()?;
    let first = host.push_night(NIGHTS[0])?;
    let before = host.snapshot("store")?;
    let dump = format!("backups/zitadel-{}.dump", NIGHTS[0]);
    let again = host
        .run(&["push", "--json", &dump, &dump])?
        .expect_code(0)?
        .json()?;
    assert_eq!(again["archives"].as_array().map(Vec::len), Some(1));
    assert_eq!(again["archives"][0]["already_archived"], true);
    assert_eq!(again["archives"][0]["stored_bytes"], 0);
    assert_eq!(again["archives"][0]["id"], first["id"]);
    assert!(host.snapshot("store")? == before, "the store changed");
    let text = host.run(&["push", &dump])?.expect_code(0)?.stdout;
    assert!(
        text.contains("already archived")
            && text
                .trim_end()
                .ends_with(first["id"].as_str().unwrap_or("?")),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_changed_dump_under_the_same_name_names_both_digests() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let before = host.snapshot("store")?;
    let old = fs::read(fixtures().join("nights/app-20260101-030000.dump"))?;
    let new = fs::read(fixtures().join("nights/app-20260102-030000.dump"))?;
    host.add_dump("app-20260101-030000.dump", &new)?;
    let refused = host
        .run(&["push", "backups/app-20260101-030000.dump"])?
        .expect_code(1)?;
    for bytes in [&old, &new] {
        let digest = sha256(bytes);
        assert!(
            refused.stderr.contains(&digest),
            "{} lacks {digest}",
            refused.stderr
        );
    }
    assert!(host.snapshot("store")? == before, "the store changed");
    // Without a path it must not be passed over as archived, either.
    host.run(&["push"])?.expect_code(1)?;
    Ok(())
}

#[test]
fn without_a_dump_every_pair_is_pushed_once() -> Outcome {
    let host = Host::new()?;
    for night in NIGHTS {
        host.add_night(night)?;
    }
    host.add_dump("app-20260104-030000.dump.partial", b"half written")?;
    host.add_dump("notes.dump", b"not one of ours")?;
    let pushed = host.run(&["push", "--json"])?.expect_code(0)?.json()?;
    assert_eq!(pushed["archives"].as_array().map(Vec::len), Some(3));
    let again = host.run(&["push"])?.expect_code(0)?;
    assert!(
        again.stdout.contains("nothing to archive"),
        "{}",
        again.stdout
    );
    let list = host.run(&["list", "--json"])?.expect_code(0)?.json()?;
    let captured: Vec<_> = list["archives"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|a| a["captured_at"].clone())
        .collect();
    assert_eq!(
        captured,
        [
            "2026-01-03T03:00:00Z",
            "2026-01-02T03:00:00Z",
            "2026-01-01T03:00:00Z"
        ]
    );
    Ok(())
}

#[test]
fn show_and_list_tell_the_same_of_an_archive() -> Outcome {
    let host = Host::new()?;
    let pushed = host.push_night(NIGHTS[0])?;
    let id = pushed["id"].as_str().unwrap_or("?");
    let list = host.run(&["list", "--json"])?.expect_code(0)?.json()?;
    let listed = &list["archives"][0];
    let shown = host
        .run(&["show", &id[..8], "--json"])?
        .expect_code(0)?
        .json()?;
    assert_eq!(shown["id"], listed["id"]);
    for field in ["captured_at", "created_at", "label", "verdict", "sequence"] {
        assert_eq!(shown["manifest"][field], listed[field], "{field}");
    }
    assert_eq!(
        shown["manifest"]["components"][0]["dump"]["archive_version"],
        "1.16"
    );
    assert_eq!(listed["components"].as_array().map(Vec::len), Some(5));
    assert_eq!(listed["held"], false);
    let text = host.run(&["show", id])?.expect_code(0)?.stdout;
    assert!(text.contains("pg_restore 17 or newer"), "{text}");
    Ok(())
}

#[test]
fn the_env_file_and_other_secrets_leave_no_public_digest() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let manifest = fs::read_to_string(host.store("archives/00000001.json"))?;
    let env = fs::read(host.path(".env.prod"))?;
    assert!(!manifest.contains(&sha256(&env)));
    let text = String::from_utf8(env)?;
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("ZITADEL_MASTERKEY="))
        .ok_or("no key")?;
    for (path, bytes) in host
        .snapshot("store")?
        .into_iter()
        .chain(host.snapshot("sealift-state")?)
    {
        let found = bytes
            .windows(key.len())
            .any(|window| window == key.as_bytes());
        assert!(!found, "the master key is in {}", path.display());
    }
    Ok(())
}

#[test]
fn secrets_with_recipients_of_their_own_stay_closed_to_the_data_identity() -> Outcome {
    let host = Host::new()?;
    let other = Host::new()?;
    let public = fs::read_to_string(other.path("recovery-kit/identity.txt"))?;
    let public = public
        .lines()
        .find_map(|l| l.strip_prefix("# public key: "))
        .ok_or("no key")?
        .to_owned();
    let dump = host.add_night(NIGHTS[0])?;
    host.run(&["push", &dump, "--secret-recipients", &public])?
        .expect_code(0)?;
    let refused = host.fetch_latest("out")?.expect_code(1)?;
    assert!(
        refused.stderr.contains("no identity given opens"),
        "{}",
        refused.stderr
    );
    assert!(!host.path("out").exists());
    let dumps = [
        "fetch",
        "--latest",
        "--out",
        "out",
        "--component",
        "app",
        "--component",
        "zitadel",
    ];
    host.run(&[&dumps[..], &KIT].concat())?.expect_code(0)?;
    assert_eq!(fs::read_dir(host.path("out"))?.count(), 3);
    let secrets = other
        .path("recovery-kit/identity.txt")
        .display()
        .to_string();
    let env = [
        "fetch",
        "--latest",
        "--out",
        "env",
        "--component",
        "env",
        "--identity",
        &secrets,
    ];
    host.run(&env)?.expect_code(0)?;
    assert!(host.path("env/.env.prod").is_file());
    Ok(())
}

#[test]
fn in_local_mode_the_app_dump_is_a_pair() -> Outcome {
    let host = Host::new()?;
    host.add_night(NIGHTS[0])?;
    fs::remove_file(host.path("backups/zitadel-20260101-030000.dump"))?;
    let args = [
        "push",
        "--auth-mode",
        "local",
        "backups/app-20260101-030000.dump",
    ];
    host.run(&args)?.expect_code(0)?;
    Ok(())
}

#[test]
fn the_env_file_says_how_people_sign_in() -> Outcome {
    let host = Host::new()?;
    host.add_night(NIGHTS[0])?;
    fs::remove_file(host.path("backups/zitadel-20260101-030000.dump"))?;
    let env = fs::read_to_string(host.path(".env.prod"))?;
    fs::write(
        host.path(".env.prod"),
        env.replace("AUTH_MODE=oidc", "AUTH_MODE='local' # no Zitadel"),
    )?;
    let dump = "backups/app-20260101-030000.dump";
    host.run(&["push", dump, "--auth-mode", "oidc"])?
        .expect_code(1)?;
    host.run(&["push", dump])?.expect_code(0)?;
    Ok(())
}

#[test]
fn what_is_missing_makes_an_archive_suspect_and_never_the_latest() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    host.add_night(NIGHTS[1])?;
    fs::remove_file(host.path("backups/zitadel-20260102-030000.dump"))?;
    fs::rename(host.path(".env.prod"), host.path("elsewhere"))?;
    let args = [
        "push",
        "--json",
        "--allow-half",
        "backups/app-20260102-030000.dump",
    ];
    let pushed = host.run(&args)?.expect_code(3)?.json()?;
    let codes: Vec<_> = pushed["archives"][0]["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|f| f["code"].clone())
        .collect();
    assert_eq!(codes, ["zitadel-missing", "env-missing"]);
    let fetched = host.fetch_latest("out")?.expect_code(0)?;
    assert!(
        fetched.stderr.contains("skipped the newer archive 2"),
        "{}",
        fetched.stderr
    );
    assert!(host.path("out/app-20260101-030000.dump").is_file());
    // Once everything is there, the pair is archived anew.
    fs::rename(host.path("elsewhere"), host.path(".env.prod"))?;
    assert_eq!(host.push_night(NIGHTS[1])?["verdict"], "sound");
    Ok(())
}
