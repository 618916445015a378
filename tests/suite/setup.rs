//! What `init` makes of the settings that it is given, and what the kit says of who opens what.

use crate::support::{Host, KIT, NIGHTS, Outcome, Run, fixtures};
use std::error::Error;
use std::fs;
use std::process::Command;

/// A host before `init`, with a signing key, a list of signers that leaves it out, and an identity.
fn host() -> Result<(Host, String), Box<dyn Error>> {
    let host = Host::bare()?;
    fs::create_dir(host.path("backups"))?;
    fs::copy(fixtures().join("nights/.env.prod"), host.path(".env.prod"))?;
    for key in ["key", "team"] {
        tool(
            &host,
            &format!("ssh-keygen -q -t ed25519 -N '' -C '' -f {key}"),
        )?;
    }
    tool(&host, "echo team $(cat team.pub) > team-signers")?;
    tool(&host, "age-keygen -o own.txt")?;
    let recipient = tool(&host, "age-keygen -y own.txt")?;
    Ok((host, recipient))
}

fn tool(host: &Host, script: &str) -> Result<String, Box<dyn Error>> {
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]).current_dir(host.folder.path());
    let run = Run::of(&shell.output()?).expect_code(0)?;
    Ok(run.stdout.trim().to_owned())
}

fn read(host: &Host, file: &str) -> Result<String, Box<dyn Error>> {
    let path = host.path(file);
    Ok(fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?)
}

const INIT: [&str; 5] = ["init", "--store", "store", "--env-file", ".env.prod"];

#[test]
fn what_init_is_given_is_used_and_referenced() -> Outcome {
    let (host, _) = host()?;
    let given = [
        "--state",
        "my-state",
        "--signing-key",
        "key",
        "--trusted-signers",
        "team-signers",
        "--time-zone",
        "Europe/Vienna",
    ];
    let before = (read(&host, "key")?, read(&host, "team-signers")?);
    let said = host.run(&[&INIT[..], &given].concat())?.expect_code(0)?;
    let settings = read(&host, "sealift.toml")?;
    for line in [
        "state = \"my-state\"",
        "signing_key = \"key\"",
        "trusted_signers = \"team-signers\"",
        "time_zone = \"Europe/Vienna\"",
    ] {
        assert!(settings.lines().any(|found| found == line), "{settings}");
    }
    assert!(before == (read(&host, "key")?, read(&host, "team-signers")?));
    for made in ["sealift-signing-key", "sealift-allowed-signers"] {
        assert!(!host.path(made).exists(), "{made} was made");
    }
    // The kit believes the team and this host, and says so.
    let own = read(&host, "key.pub")?;
    let signers = read(&host, "recovery-kit/allowed_signers")?;
    assert_eq!(signers.lines().count(), 2, "{signers}");
    let page = read(&host, "recovery-kit/RECOVERY.md")?;
    for key in [&own, &read(&host, "team.pub")?] {
        assert!(signers.contains(key.trim()) && page.contains(key.trim()));
    }
    // The list is not init's to change; what is to be added is said, and works.
    let add = said.stdout.lines().find(|line| line.starts_with("printf"));
    tool(&host, add.ok_or("no command")?)?;
    let dump = host.add_night(NIGHTS[0])?;
    host.run(&["push", &dump])?.expect_code(3)?;
    assert!(host.path("my-state").is_dir() && !host.path("sealift-state").exists());
    host.run(&["verify"])?.expect_code(0)?;
    let fetch = ["fetch", "--latest", "--allow-suspect", "--out", "out"];
    host.run(&[&fetch[..], &KIT].concat())?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_settings_file_elsewhere_still_finds_what_was_given() -> Outcome {
    let (host, _) = host()?;
    let given = [
        "--state",
        "my-state",
        "--signing-key",
        "key",
        "--config",
        "etc/sealift.toml",
    ];
    host.run(&[&INIT[..], &given].concat())?.expect_code(0)?;
    let dump = host.add_night(NIGHTS[0])?;
    host.run(&["push", &dump, "--config", "etc/sealift.toml"])?
        .expect_code(3)?;
    assert!(host.path("my-state").is_dir() && host.path("etc/sealift-allowed-signers").is_file());
    Ok(())
}

#[test]
fn init_takes_no_identity_and_no_key_that_cannot_sign() -> Outcome {
    let (host, recipient) = host()?;
    let identity = host
        .run(&[&INIT[..], &["--identity", "own.txt"]].concat())?
        .expect_code(2)?;
    assert!(identity.stderr.contains("init takes no identity"));
    assert!(identity.stderr.contains("age-keygen -y own.txt"));
    let mut command = host.command(&INIT);
    let run = Run::of(&command.env("SEALIFT_IDENTITY", "own.txt").output()?);
    run.expect_code(2)?;
    for flags in [
        ["--signing-key", "nope"],
        ["--signing-key", "own.txt"],
        ["--trusted-signers", "nope"],
        ["--trusted-signers", "own.txt"],
        ["--time-zone", "Mars/Olympus"],
    ] {
        let run = host.run(&[&INIT[..], &flags].concat())?.expect_code(2)?;
        assert!(run.stderr.contains(flags[1]), "{run:#?}");
    }
    for made in ["sealift.toml", "recovery-kit", "store"] {
        assert!(!host.path(made).exists(), "{made} was made");
    }
    host.run(&[&INIT[..], &["--recipients", &recipient]].concat())?
        .expect_code(0)?;
    Ok(())
}

#[test]
fn the_kit_says_who_opens_what() -> Outcome {
    // Of what is given, what the page must say, and whether the kit's identity opens everything.
    for (flags, says, opens) in [
        (&[][..], &["can read everything"][..], Some(true)),
        (
            &["--secret-recipients"],
            &["opens data, not secrets", "zitadel-secrets, includes"],
            Some(false),
        ),
        (&["--recipients"], &["not part of this kit"], None),
    ] {
        let (host, recipient) = host()?;
        let mut args = INIT.to_vec();
        args.extend(flags);
        args.extend(flags.first().map(|_| recipient.as_str()));
        host.run(&args)?.expect_code(0)?;
        let page = read(&host, "recovery-kit/RECOVERY.md")?;
        for text in says {
            assert!(page.contains(text), "{flags:?}: no {text:?} in {page}");
        }
        assert_eq!(page.contains("read everything"), opens == Some(true));
        assert_eq!(page.contains(&recipient), !flags.is_empty(), "{page}");
        let Some(opens) = opens else { continue };
        let dump = host.add_night(NIGHTS[0])?;
        host.run(&["push", &dump])?.expect_code(3)?;
        let fetch = |more: &[&str]| {
            let args = ["fetch", "--latest", "--allow-suspect", "--identity"];
            let kit = ["recovery-kit/identity.txt", "--out"];
            host.run(&[&args[..], &kit, more].concat())
        };
        fetch(&["all"])?.expect_code(i32::from(!opens))?;
        fetch(&["data", "--component", "app", "--component", "zitadel"])?.expect_code(0)?;
        // What the page says is to be done first does what it says.
        tool(&host, "cat own.txt >> recovery-kit/identity.txt")?;
        fetch(&["everything"])?.expect_code(0)?;
    }
    Ok(())
}
