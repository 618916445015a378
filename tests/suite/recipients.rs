//! Recipients of every kind: what is sealed to them is opened by their identities, and by age itself.

use crate::support::{Host, NIGHTS, Outcome, fixtures};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Pushes to one recipient, fetches with one identity, and looks at what came back.
fn round_trip(host: &Host, recipient: &str, identity: &str, path: &str) -> Outcome {
    let dump = host.add_night(NIGHTS[0])?;
    let run = |args: &[&str]| -> Outcome {
        let output = host.command(args).env("PATH", path).output()?;
        crate::support::Run::of(&output).expect_code(0)?;
        Ok(())
    };
    run(&["push", "--recipients", recipient, &dump])?;
    run(&["fetch", "--latest", "--identity", identity, "--out", "out"])?;
    let name = format!("app-{}.dump", NIGHTS[0]);
    assert!(
        fs::read(host.path("out").join(&name))? == fs::read(fixtures().join("nights").join(name))?
    );
    Ok(())
}

fn machine_path() -> Result<String, std::env::VarError> {
    std::env::var("PATH")
}

#[test]
fn ssh_keys_of_both_kinds_open_what_was_sealed_to_them() -> Outcome {
    for kind in ["ed25519", "rsa"] {
        let host = Host::new()?;
        let mut keygen = Command::new("ssh-keygen");
        keygen
            .args(["-q", "-t", kind, "-N", "", "-C", "operator", "-f"])
            .arg(host.path("key"));
        assert!(keygen.status()?.success());
        let public = fs::read_to_string(host.path("key.pub"))?;
        round_trip(&host, public.trim(), "key", &machine_path()?)?;
        // The blobs are age files like any other.
        let (blob, _) = host
            .snapshot("store/lazyit/blobs")?
            .into_iter()
            .next()
            .ok_or("no blob")?;
        let mut age = Command::new("age");
        age.arg("-d").arg("-i").arg(host.path("key")).arg(&blob);
        assert!(
            age.output()?.status.success(),
            "age cannot open a blob sealed to {kind}"
        );
    }
    Ok(())
}

#[test]
fn a_plugin_is_asked_for_every_blob() -> Outcome {
    let host = Host::new()?;
    let plugins = host.path("plugins");
    fs::create_dir(&plugins)?;
    let plugin = plugins.join("age-plugin-locker");
    fs::write(&plugin, include_bytes!("plugin.py"))?;
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755))?;
    fs::write(host.path("locker.txt"), format!("{LOCKER_IDENTITY}\n"))?;
    let path = format!("{}:{}", plugins.display(), machine_path()?);
    round_trip(&host, LOCKER_RECIPIENT, "locker.txt", &path)
}

/// The bytes `sealift test locker` in Bech32, under the names of the plugin.
const LOCKER_RECIPIENT: &str = "age1locker1wdjkzmrfve6zqar9wd6zqmr0vd4k2uslxpk9r";
const LOCKER_IDENTITY: &str = "AGE-PLUGIN-LOCKER-1WDJKZMRFVE6ZQAR9WD6ZQMR0VD4K2US2W4E0U";
