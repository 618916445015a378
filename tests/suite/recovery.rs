//! Recovery without sealift: the kit's script and the standard tools, on a copy of the store.
//!
//! Needs age, zstd, jq and ssh-keygen on the machine; a test that cannot find them fails.

use crate::support::{Host, NIGHTS, Outcome, Run, fixtures};
use std::fs;
use std::process::Command;

fn recover(host: &Host, out: &str) -> Result<Run, Box<dyn std::error::Error>> {
    let mut script = Command::new("sh");
    script
        .arg("recovery-kit/recover.sh")
        .args(["store", "recovery-kit/identity.txt", out]);
    Ok(Run::of(&script.current_dir(host.folder.path()).output()?))
}

#[test]
fn the_script_rebuilds_what_fetch_does() -> Outcome {
    let host = Host::new()?;
    for night in NIGHTS {
        host.push_night(night)?;
    }
    recover(&host, "by-hand")?.expect_code(0)?;
    host.fetch_latest("fetched")?.expect_code(0)?;
    fs::remove_file(host.path("fetched/RESTORE.md"))?;
    let relative = |folder: &str| -> Result<Vec<_>, Box<dyn std::error::Error>> {
        let root = host.path(folder);
        let files = host.snapshot(folder)?.into_iter();
        Ok(files
            .map(|(path, bytes)| (path.strip_prefix(&root).map(ToOwned::to_owned), bytes))
            .collect())
    };
    let (by_hand, fetched) = (relative("by-hand")?, relative("fetched")?);
    assert_eq!(by_hand.len(), 11);
    assert!(by_hand == fetched, "the script and fetch disagree");
    let dump = "app-20260103-030000.dump";
    assert!(
        fs::read(host.path("by-hand").join(dump))?
            == fs::read(fixtures().join("nights").join(dump))?
    );
    Ok(())
}

#[test]
fn the_script_passes_over_what_is_not_signed() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    host.push_night(NIGHTS[1])?;
    let head = host.store("archives/00000002.json");
    let text = fs::read_to_string(&head)?;
    fs::write(&head, text.replace("nightly", "nightlY"))?;
    let recovered = recover(&host, "out")?.expect_code(0)?;
    assert!(
        recovered.stderr.contains("00000002.json has no signature"),
        "{}",
        recovered.stderr
    );
    assert!(host.path("out/app-20260101-030000.dump").is_file());
    Ok(())
}

#[test]
fn the_script_leaves_nothing_after_a_failure() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let blobs = host.snapshot("store/lazyit/blobs")?;
    let (path, mut bytes) = blobs
        .into_iter()
        .max_by_key(|blob| blob.1.len())
        .ok_or("no blob")?;
    bytes[1000] ^= 1;
    fs::write(&path, bytes)?;
    let refused = recover(&host, "out")?.expect_code(1)?;
    assert!(refused.stderr.contains("is damaged"), "{}", refused.stderr);
    assert!(!host.path("out").exists() && !host.path("out.partial").exists());
    Ok(())
}

#[test]
fn a_signature_is_one_that_ssh_keygen_accepts() -> Outcome {
    let host = Host::new()?;
    let pushed = host.push_night(NIGHTS[0])?;
    let id = pushed["id"].as_str().ok_or("no id")?;
    let verify = |manifest: &[u8]| -> Result<bool, Box<dyn std::error::Error>> {
        let file = host.path("manifest");
        fs::write(&file, manifest)?;
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-Y", "verify", "-I", "sealift", "-n", "sealift", "-f"]);
        keygen
            .arg(host.path("recovery-kit/allowed_signers"))
            .arg("-s");
        keygen.arg(host.store(&format!("signatures/{id}.sig")));
        Ok(keygen
            .stdin(fs::File::open(&file)?)
            .output()?
            .status
            .success())
    };
    let mut manifest = fs::read(host.store("archives/00000001.json"))?;
    assert!(verify(&manifest)?);
    manifest[10] ^= 1;
    assert!(!verify(&manifest)?);
    Ok(())
}
