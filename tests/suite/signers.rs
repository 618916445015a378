//! Signers with periods: the answer is that of the real ssh-keygen, and an archive that was signed
//! outside of its key's period is none.

use crate::support::{Host, NIGHTS, Outcome, Run, fixtures};
use sealift::{SigningKey, Timestamp, TrustedSigners};
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Whether ssh-keygen believes the signature in a folder at a time.
fn keygen_believes(folder: &Path, at: &str, zone: &str) -> Result<bool, Box<dyn Error>> {
    let time = format!("-Overify-time={at}");
    let verify = [
        "-Y", "verify", "-f", "list", "-I", "sealift", "-n", "sealift",
    ];
    let status = Command::new("ssh-keygen")
        .args(verify)
        .args(["-s", "signature", &time])
        .current_dir(folder)
        .env("TZ", zone)
        .stdin(File::open(folder.join("manifest"))?)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()?;
    Ok(status.success())
}

/// A time as ssh-keygen writes it, as the library reads it.
fn timestamp(text: &str) -> Result<Timestamp, Box<dyn Error>> {
    Ok(Timestamp::strptime(
        "%Y%m%d%H%M%SZ%z",
        format!("{text}+0000"),
    )?)
}

#[test]
fn every_period_means_what_it_means_to_ssh_keygen() -> Outcome {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    let key = SigningKey::generate("host")?;
    let line = key.allowed_signers_line()?;
    let signature = key.sign(b"manifest")?;
    write("manifest", "manifest")?;
    write("signature", &signature)?;
    let times = [
        "20251231235959Z",
        "20260101000000Z",
        "20260115110000Z",
        "20260115115959Z",
        "20260115120000Z",
        "20260115120001Z",
        "20260701095959Z",
        "20260701100000Z",
        "20260701105959Z",
        "20260701110000Z",
        "20261231000000Z",
    ];
    for options in [
        "valid-after=\"20260115120000Z\"",
        "valid-before=\"20260115120000Z\"",
        "VALID-AFTER=\"20260101Z\",valid-before=\"202601151200UTC\"",
        "valid-after=\"20260115120000\"",
        "valid-after=\"20260701120000\"",
        "valid-before=\"202607011200\",valid-after=\"20260101\"",
    ] {
        let list = line.replace("namespaces", &format!("{options},namespaces"));
        write("list", &list)?;
        for zone in ["UTC", "Europe/Vienna", "America/New_York"] {
            let own = jiff::tz::TimeZone::get(zone)?;
            let trusted = TrustedSigners::parse(&list, Some(&own))?;
            for at in times {
                let signed = trusted.verify(b"manifest", signature.as_bytes())?;
                let believed = signed.at(timestamp(at)?).is_ok();
                let keygen = keygen_believes(folder.path(), at, zone)?;
                assert_eq!(believed, keygen, "{options} at {at} in {zone}");
            }
        }
    }
    Ok(())
}

/// Gives the host's key a period.
fn restrict(host: &Host, period: &str) -> Outcome {
    for list in ["sealift-allowed-signers", "recovery-kit/allowed_signers"] {
        let path = host.path(list);
        let text = fs::read_to_string(&path)?;
        fs::write(
            path,
            text.replace("namespaces=", &format!("{period},namespaces=")),
        )?;
    }
    Ok(())
}

#[test]
fn an_archive_signed_outside_of_the_period_is_a_violation_and_one_inside_is_recovered() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let lists = ["sealift-allowed-signers", "recovery-kit/allowed_signers"];
    let before = fs::read_to_string(host.path(lists[0]))?;
    restrict(&host, "valid-before=\"20200101Z\"")?;
    let verified = host.run(&["verify", "--json"])?.expect_code(5)?.json()?;
    let violation = &verified["violations"][0];
    assert_eq!(violation["code"], "signature-outside-period", "{verified}");
    assert_eq!(violation["archive"], 1);
    let message = violation["message"].as_str().ok_or("no message")?;
    assert!(message.contains("valid-before"), "{message}");
    // Nor is it fetched, nor would one that is pushed now be believed.
    assert_eq!(host.fetch_latest("out")?.code, Some(6));
    let dump = host.add_night(NIGHTS[1])?;
    let pushed = host.run(&["push", &dump])?.expect_code(2)?;
    assert!(pushed.stderr.contains("not valid now"), "{pushed:#?}");
    let recover = |out: &str| -> Result<Run, Box<dyn Error>> {
        let output = Command::new("sh")
            .args([
                "recovery-kit/recover.sh",
                "store",
                "recovery-kit/identity.txt",
                out,
            ])
            .current_dir(host.folder.path())
            .output()?;
        Ok(Run::of(&output))
    };
    assert_eq!(recover("by-hand")?.code, Some(1));

    // Signed in its period, it is good for ever, also when that is over.
    let manifest = fs::read_to_string(host.store("archives/00000001.json"))?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest)?;
    let at: String = manifest["created_at"].as_str().ok_or("no time")?.into();
    let at = at.replace(['-', ':', 'T'], "");
    for list in lists {
        fs::write(host.path(list), &before)?;
    }
    restrict(
        &host,
        &format!("valid-after=\"20260101Z\",valid-before=\"{at}\""),
    )?;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    host.run(&["verify"])?.expect_code(0)?;
    host.fetch_latest("out")?.expect_code(0)?;
    recover("by-hand")?.expect_code(0)?;
    let name = "app-20260101-030000.dump";
    let dump = fs::read(fixtures().join("nights").join(name))?;
    assert!(fs::read(host.path("by-hand").join(name))? == dump);
    Ok(())
}
