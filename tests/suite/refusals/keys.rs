//! Refusals of push: recipients, signing keys and env files that cannot be used.

use super::{Case, hold_all, still_works, tool};
use crate::support::{Host, NIGHTS, Outcome};
use std::error::Error;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

/// Public keys of plugins that nobody has installed: `age1nosuch1…` and `age1pq1…`.
const NO_PLUGIN: &str = "age1nosuch1qqqsyqcyq5rqw6ctsdc";

/// Drops root's right to read what its mode forbids; nothing if the test is not run by root.
pub(super) fn as_anybody(host: &Host) -> Result<Vec<&'static str>, Box<dyn Error>> {
    let dropped = "--bounding-set=-dac_override,-dac_read_search";
    Ok(if tool(host, &["id", "-u"])? == "0" {
        vec!["setpriv", dropped]
    } else {
        vec!["env"]
    })
}

fn keygen(host: &Host, kind: &str, passphrase: &str) -> Result<String, Box<dyn Error>> {
    let file = format!("{kind}{}", passphrase.len());
    let command = [
        "ssh-keygen",
        "-q",
        "-t",
        kind,
        "-N",
        passphrase,
        "-C",
        "",
        "-f",
        &file,
    ];
    tool(host, &command)?;
    Ok(file)
}

#[test]
fn a_recipient_that_cannot_be_sealed_to_is_named_unless_it_is_a_secret() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let ecdsa = keygen(&host, "ecdsa", "")?;
    let ecdsa = fs::read_to_string(host.path(&format!("{ecdsa}.pub")))?;
    let identity = fs::read_to_string(host.path("recovery-kit/identity.txt"))?;
    let secret = identity
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY-"))
        .ok_or("no secret")?;
    let lower = secret.to_lowercase();
    let post_quantum = format!("age1pq1{}", "q".repeat(1900));
    let ssh = fs::read_to_string(host.path("sealift-signing-key"))?;
    let mut cases = Vec::new();
    let keygen_hint = "age-keygen -o identity.txt";
    for (what, recipient, says) in [
        ("garbage", "garbage", "\"garbage\""),
        ("cut short", "ssh-ed25519 AAAAB3Nz", "ssh-ed25519 AAAAB3Nz"),
        ("a typing error", "age1qqqq", "\"age1qqqq\""),
        ("ecdsa", ecdsa.trim(), "ecdsa-sha2-nistp256"),
        (
            "post-quantum",
            &post_quantum,
            "\"age1pq1qqqqqqqqqqqqq\" is a post-quantum recipient",
        ),
        ("a secret key", secret, "a private key"),
        ("a secret key in lower case", &lower, "a private key"),
    ] {
        for setting in ["--recipients", "--secret-recipients"] {
            let args = ["push", &dump, setting, recipient];
            cases.push(Case::new(what, &args, 2, &[says]).hint(keygen_hint));
        }
    }
    let args = ["push", &dump, "--recipients", NO_PLUGIN];
    cases.push(
        Case::new("no plugin", &args, 2, &["nosuch", "not in the PATH"])
            .hint("command -v age-plugin-nosuch"),
    );
    hold_all(&host, &cases)?;
    // A whole key file, as it comes out of a container's secrets.
    for (what, value) in [("an identity file", &identity), ("an SSH key", &ssh)] {
        let case = Case::new(what, &[], 2, &["a private key"]).hint(keygen_hint);
        case.hold_run(&host, || {
            let mut command = host.command(&["push", &dump]);
            command.env("SEALIFT_RECIPIENTS", value);
            Ok(crate::support::Run::of(&command.output()?))
        })?;
    }
    still_works(&host, NIGHTS[0])
}

#[test]
fn without_recipients_nothing_is_sealed() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let settings = fs::read_to_string(host.path("sealift.toml"))?;
    let without: Vec<&str> = settings
        .lines()
        .filter(|line| !line.contains("\"age1"))
        .collect();
    fs::write(host.path("none.toml"), without.join("\n"))?;
    Case::new(
        "none",
        &["push", &dump, "--config", "none.toml"],
        2,
        &["no recipients"],
    )
    .hint("--recipients")
    .hold(&host)
}

#[test]
fn a_signing_key_that_cannot_sign_unattended_is_refused() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let rsa = keygen(&host, "rsa", "")?;
    let ecdsa = keygen(&host, "ecdsa", "")?;
    let locked = keygen(&host, "ed25519", "some words")?;
    fs::write(host.path("empty"), "")?;
    let signing = fs::read_to_string(host.path("sealift-signing-key"))?;
    fs::write(host.path("damaged"), signing.replacen("b3Bl", "b3Bm", 1))?;
    let case = |what, key: &str, says: &[&str], hint| {
        Case::new(what, &["push", &dump, "--signing-key", key], 2, says).hint(hint)
    };
    hold_all(
        &host,
        &[
            case("missing", "nope", &["the signing key nope"], "ls -l nope"),
            case(
                "a folder",
                "backups",
                &["the signing key backups"],
                "ls -l backups",
            ),
            case(
                "rsa",
                &rsa,
                &["ssh-rsa", "ed25519"],
                "ssh-keygen -t ed25519",
            ),
            case(
                "ecdsa",
                &ecdsa,
                &["the signing key", "ed25519"],
                "ssh-keygen -t ed25519",
            ),
            case(
                "locked",
                &locked,
                &["locked with a passphrase"],
                &format!("ssh-keygen -p -N '' -f {locked}"),
            ),
            case(
                "public",
                &format!("{locked}.pub"),
                &["not an OpenSSH private key", "public"],
                &format!("--signing-key {locked}"),
            ),
            case(
                "damaged",
                "damaged",
                &["damaged is damaged"],
                "ssh-keygen -y -f damaged",
            ),
            case(
                "empty",
                "empty",
                &["not an OpenSSH private key"],
                "file empty",
            ),
            case(
                "no key",
                ".env.prod",
                &["not an OpenSSH private key"],
                "file .env.prod",
            ),
        ],
    )?;
    still_works(&host, NIGHTS[0])
}

#[test]
fn an_env_file_that_cannot_be_read_is_refused_rather_than_left_out() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    fs::create_dir(host.path("folder"))?;
    File::create(host.path("large"))?.set_len(1024 * 1024 + 1)?;
    fs::copy(host.path(".env.prod"), host.path("closed"))?;
    fs::set_permissions(host.path("closed"), Permissions::from_mode(0o000))?;
    for (what, file) in [
        ("a folder", "folder"),
        ("too large", "large"),
        ("unreadable", "closed"),
    ] {
        let args = ["push", &dump, "--env-file", file];
        Case::new(what, &args, 2, &["env file", file])
            .hint(&format!("ls -l {file}"))
            .hold_under(&host, &as_anybody(&host)?)?;
    }
    // One byte less is taken; what is in it does not matter here.
    fs::set_permissions(host.path("closed"), Permissions::from_mode(0o600))?;
    File::options()
        .write(true)
        .open(host.path("large"))?
        .set_len(1024 * 1024)?;
    host.run(&["push", &dump, "--env-file", "large"])?
        .expect_code(3)?;
    Ok(())
}

#[test]
fn a_signing_key_that_nobody_trusts_archives_nothing() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let key = keygen(&host, "ed25519", "")?;
    let args = ["push", &dump, "--signing-key", &key];
    let says = [key.as_str(), "sealift-allowed-signers"];
    Case::new("not trusted", &args, 2, &says)
        .hint("ssh-keygen -y")
        .hold(&host)?;
    // With the list that the hint makes, it is.
    let hint = host.run(&args)?.stderr;
    let hint = hint
        .lines()
        .find_map(|line| line.strip_prefix("hint: "))
        .ok_or("no hint")?;
    tool(&host, &["sh", "-c", hint])?;
    host.run(&args)?.expect_code(0)?;
    host.run(&["verify"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_private_key_in_the_place_of_its_path_is_not_repeated() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let identity = fs::read_to_string(host.path("recovery-kit/identity.txt"))?;
    let secret = identity
        .lines()
        .find(|line| line.starts_with("AGE-"))
        .ok_or("no secret")?;
    let signing = fs::read_to_string(host.path("sealift-signing-key"))?;
    let fetch = ["fetch", "--latest", "--out", "out", "--identity", secret];
    let hint = "mode 0600";
    Case::new("a flag", &fetch, 2, &["identity", "private key"])
        .hint(hint)
        .hold(&host)?;
    for (name, value, args) in [
        ("SEALIFT_IDENTITY", identity.as_str(), &fetch[..4]),
        ("SEALIFT_SIGNING_KEY", &signing, &["push", &dump]),
    ] {
        Case::new(name, &[], 2, &["private key"])
            .hint(hint)
            .hold_run(&host, || {
                let mut command = host.command(args);
                Ok(crate::support::Run::of(&command.env(name, value).output()?))
            })?;
    }
    // What cannot be parsed, and what comes back in an error of ours.
    for args in [
        &["push", &dump, "--recipients", signing.as_str()][..],
        &["list", signing.as_str()],
        &["list", &format!("--json={secret}")],
        &["list", "--instance", secret],
        &["fetch", "--out", "out", "--at", secret],
    ] {
        let run = host.run(args)?.expect_code(2)?;
        assert!(run.stderr.contains("private key"), "{args:?}: {run:#?}");
        super::no_secret(&host, &run.stderr).map_err(|error| format!("{args:?}: {error}"))?;
    }
    fs::write(host.path("bad.toml"), format!("recipients = {secret:?}\n"))?;
    let args = ["list", "--config", "bad.toml"];
    Case::new("a file", &args, 2, &["line 1 of bad.toml", "private key"]).hold(&host)
}
