//! Includes: files and folders that no dump holds.

use crate::support::{Host, NIGHTS, Outcome};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Ten thousand small files in folders of a hundred, no two alike.
fn many_files(host: &Host) -> Outcome {
    for folder in 0..100 {
        let path = host.path(&format!("attachments/{folder:02}"));
        fs::create_dir_all(&path)?;
        for file in 0..100 {
            let digest = sealift::Digest::of(format!("{folder}/{file}").as_bytes()).to_string();
            fs::write(path.join(&digest), digest.repeat(1 + file % 30))?;
        }
    }
    Ok(())
}

#[test]
fn ten_thousand_small_files_come_back_and_one_more_costs_little() -> Outcome {
    let host = Host::new()?;
    many_files(&host)?;
    let first = host.push_night(NIGHTS[0])?;
    assert!(first["plain_bytes"].as_u64() > Some(10_000_000), "{first}");
    fs::write(host.path("attachments/42/one-more"), b"a new attachment")?;
    let second = host.push_night(NIGHTS[1])?;
    let new = second["new_bytes"].as_u64().ok_or("no new_bytes")?;
    let plain = second["plain_bytes"].as_u64().ok_or("no plain_bytes")?;
    // The dumps of the second night bring about 270,000 bytes; one file, a few chunks of 256 KiB.
    assert!(new * 8 < plain, "{new} of {plain} bytes are new");
    let blobs = host.snapshot("store/lazyit/blobs")?.len();
    assert!(blobs <= 12, "{blobs} objects for two archives");
    host.fetch_latest("out")?.expect_code(0)?;
    let bytes = |folder| -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error>> {
        Ok(host
            .snapshot(folder)?
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect())
    };
    assert!(
        bytes("attachments")? == bytes("out/attachments")?,
        "a file differs"
    );
    Ok(())
}

#[test]
fn names_and_modes_come_back() -> Outcome {
    let host = Host::new()?;
    let odd = host.path("attachments").join("ümläut und leer \n zeichen");
    fs::create_dir(&odd)?;
    let long = odd.join("n".repeat(200));
    fs::write(&long, b"long")?;
    fs::set_permissions(&long, fs::Permissions::from_mode(0o444))?;
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o711))?;
    fs::create_dir(host.path("attachments/tmp"))?;
    fs::write(host.path("attachments/tmp/upload"), b"half an upload")?;
    host.push_night(NIGHTS[0])?;
    host.fetch_latest("out")?.expect_code(0)?;
    let back = host
        .path("out/attachments")
        .join("ümläut und leer \n zeichen");
    assert_eq!(fs::read(back.join("n".repeat(200)))?, b"long");
    let mode = |path: &std::path::Path| fs::metadata(path).map(|m| m.permissions().mode() & 0o777);
    assert_eq!(
        (mode(&back)?, mode(&back.join("n".repeat(200)))?),
        (0o711, 0o444)
    );
    assert!(
        !host.path("out/attachments/tmp").exists(),
        "uploads in progress are no attachments"
    );
    Ok(())
}

#[test]
fn a_single_file_can_be_included_as_a_secret() -> Outcome {
    let host = Host::new()?;
    fs::write(host.path("tls.key"), b"a private key")?;
    let dump = host.add_night(NIGHTS[0])?;
    let includes = [
        "--include",
        "zitadel-secrets=zitadel-secrets",
        "--include",
        "tls:secrets=tls.key",
    ];
    host.run(&[&["push", &dump][..], &includes].concat())?
        .expect_code(0)?;
    host.fetch_latest("out")?.expect_code(0)?;
    assert_eq!(fs::read(host.path("out/tls/tls.key"))?, b"a private key");
    let manifest = fs::read_to_string(host.store("archives/00000001.json"))?;
    assert!(!manifest.contains(&sealift::Digest::of(b"a private key").to_string()));
    Ok(())
}
