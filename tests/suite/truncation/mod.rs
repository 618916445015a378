//! What `pg_restore -l` passes and `sealift inspect` finds: real dumps, each damaged in every way in
//! which bytes can be cut off, lost and spoiled.
//!
//! Promise: the real `pg_restore` is asked each time, and `inspect` says where the damage is. Should
//! `pg_restore -l` start to find one of these, a test fails, for then the documents are wrong.

mod layout;

use crate::support::postgres::programs;
use crate::support::{Host, NIGHTS, Outcome, Run, fixtures, settle};
use layout::Layout;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Every compression, old and new majors, with and without a second table of contents. Not those
/// without compression: they carry no checksum at all, so that a few of these cannot be found.
const DUMPS: [&str; 11] = [
    "nights/app-20260101-030000.dump",
    "nights/zitadel-20260101-030000.dump",
    "majors/pg15-gzip-redirect.dump",
    "majors/pg16-gzip-redirect.dump",
    "majors/pg17-gzip-pipe.dump",
    "majors/pg18-gzip-redirect.dump",
    "majors/pg18-gzip-pipe.dump",
    "majors/pg18-lz4-redirect.dump",
    "majors/pg18-lz4-pipe.dump",
    "majors/pg18-zstd-redirect.dump",
    "majors/pg18-zstd-pipe.dump",
];

/// What a dump is spoiled to.
struct Damage {
    what: &'static str,
    bytes: Vec<u8>,
    /// What `inspect` says of it, as far as it is known beforehand.
    says: String,
}

impl Damage {
    fn new(what: &'static str, bytes: Vec<u8>, says: impl Into<String>) -> Self {
        let says = says.into();
        Self { what, bytes, says }
    }

    /// A cut, which is found where the file ends.
    fn cut(what: &'static str, dump: &[u8], at: usize, place: &str) -> Self {
        Self::new(
            what,
            dump[..at].to_vec(),
            format!("damaged at byte {at}, in {place}"),
        )
    }
}

const NO_DATA: &str = "the end: it ends, and there is no data of";
const SECOND_TOC: &str = "the second table of contents";

/// Every damage that a dump can have without a word from `pg_restore -l`.
fn damages(dump: &[u8], layout: &Layout) -> Result<Vec<Damage>> {
    let Layout { toc, end, .. } = *layout;
    let (last, largest) = (layout.last()?, layout.largest_table()?);
    let has_second_toc = end < dump.len();
    let middle = &layout.blocks[layout.blocks.len() / 2];
    let mut found = vec![
        Damage::cut("no data at all", dump, toc, NO_DATA),
        Damage::cut(
            "half the data",
            dump,
            usize::midpoint(toc, end),
            "the data of ",
        ),
        Damage::cut("cut between two blocks", dump, middle.bytes.start, NO_DATA),
    ];
    let mut without_last = dump.to_vec();
    without_last.drain(last.bytes.clone());
    let says = format!("damaged at byte {}, in {NO_DATA}", without_last.len());
    found.push(Damage::new("no last block", without_last, says));

    let place = match last.is_table {
        _ if has_second_toc => SECOND_TOC.to_owned(),
        true => format!("the data of {}", last.name),
        false => "the large objects".to_owned(),
    };
    found.push(Damage::cut("one byte short", dump, dump.len() - 1, &place));
    if has_second_toc {
        let at = usize::midpoint(end, dump.len());
        found.push(Damage::cut(
            "half a second table of contents",
            dump,
            at,
            SECOND_TOC,
        ));
    }

    let in_largest = format!(", in the data of {}", largest.name);
    let at = usize::midpoint(largest.bytes.start, largest.bytes.end);
    if layout.has_checksums {
        let flipped = flip(dump, at);
        let says = format!("{in_largest}: it does not decompress");
        found.push(Damage::new("a flipped bit", flipped, says));
    }
    let mut zeroed = dump.to_vec();
    zeroed[at..end.min(at + 65_536)].fill(0);
    found.push(Damage::new("64 KiB of zeros", zeroed, in_largest));

    let mut longer = dump.to_vec();
    longer.extend_from_slice(&[7; 1000]);
    let place = if has_second_toc {
        SECOND_TOC
    } else {
        "the space between tables"
    };
    let says = format!("damaged at byte {}, in {place}", dump.len() + 1);
    found.push(Damage::new("1,000 bytes behind", longer, says));
    Ok(found)
}

fn flip(dump: &[u8], at: usize) -> Vec<u8> {
    let mut flipped = dump.to_vec();
    flipped[at] ^= 1;
    flipped
}

/// What `pg_restore -l` says, with the newest build there is.
fn list(file: &Path) -> Result<Run> {
    let mut list = Command::new(programs(18)?.join("pg_restore"));
    Ok(Run::of(&list.arg("-l").arg(file).output()?))
}

/// What `sealift inspect` finds unreadable, and that it exits accordingly.
fn inspect(host: &Host, file: &str) -> Result<Option<String>> {
    let run = host.run(&["inspect", "--json", file])?;
    let document = run.json().map_err(|error| format!("{error}: {run:?}"))?;
    let findings = document["findings"].as_array().ok_or("no findings")?;
    let found = findings
        .iter()
        .find(|finding| finding["code"] == "dump-unreadable");
    run.expect_code(if found.is_some() { 3 } else { 0 })?;
    Ok(found.map(|finding| finding["message"].as_str().unwrap_or_default().to_owned()))
}

#[test]
fn what_pg_restore_lists_without_a_word_inspect_finds_and_places() -> Outcome {
    let host = Host::bare()?;
    for name in DUMPS {
        let whole = fs::read(fixtures().join(name))?;
        let file = if name.contains("zitadel") {
            "zitadel.dump"
        } else {
            "app.dump"
        };
        let path = host.path(file);
        fs::write(&path, &whole)?;
        let listed = list(&path)?.expect_code(0)?;
        assert_eq!(inspect(&host, file)?, None, "{name}");
        for Damage { what, bytes, says } in damages(&whole, &Layout::of(&whole)?)? {
            fs::write(&path, bytes)?;
            let still = list(&path)?;
            // Not one entry less, and not one word more.
            assert_eq!(still.code, Some(0), "{name}, {what}: {still:?}");
            assert_eq!(still.stdout, listed.stdout, "{name}, {what}");
            assert_eq!(still.stderr, listed.stderr, "{name}, {what}");
            let found = inspect(&host, file)?.unwrap_or_default();
            assert!(
                found.contains("damaged at byte "),
                "{name}, {what}: {found:?}"
            );
            assert!(
                found.contains(&says),
                "{name}, {what}: not {says:?} but {found:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn each_damage_is_archived_by_its_name_and_passed_over_by_a_fetch() -> Outcome {
    let host = Host::new()?;
    for (night, half) in [(NIGHTS[1], "app"), (NIGHTS[2], "zitadel")] {
        let app = host.add_night(night)?;
        let dump = format!("backups/{half}-{night}.dump");
        let whole = fs::read(host.path(&dump))?;
        for Damage { what, bytes, says } in damages(&whole, &Layout::of(&whole)?)? {
            // Each is a pair of its own, of the same moment, for the names of the others are taken.
            let other = Host::new()?;
            other.push_night(NIGHTS[0])?;
            for file in [&app, &format!("backups/zitadel-{night}.dump")] {
                fs::copy(host.path(file), other.path(file))?;
            }
            fs::write(other.path(&dump), bytes)?;
            settle(&other.path(&app))?;
            settle(&other.path(&format!("backups/zitadel-{night}.dump")))?;
            let pushed = other.run(&["push", "--json", &app])?.expect_code(3)?;
            let pushed = pushed.json()?;
            let finding = &pushed["archives"][0]["findings"][0];
            assert_eq!(finding["code"], "dump-unreadable", "{half}, {what}");
            assert_eq!(finding["component"], half, "{half}, {what}");
            let message = finding["message"].as_str().unwrap_or_default();
            assert!(message.contains(&says), "{half}, {what}: {message}");
            let fetched = other.fetch_latest("out")?.expect_code(0)?;
            let skipped = "skipped the newer archive 2";
            assert!(
                fetched.stderr.contains(skipped),
                "{half}, {what}: {fetched:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_cut_in_the_table_of_contents_is_what_both_find() -> Outcome {
    let host = Host::bare()?;
    for name in DUMPS {
        let whole = fs::read(fixtures().join(name))?;
        let cut = Layout::of(&whole)?.toc - 1;
        fs::write(host.path("app.dump"), &whole[..cut])?;
        assert_ne!(list(&host.path("app.dump"))?.code, Some(0), "{name}");
        let found = inspect(&host, "app.dump")?.unwrap_or_default();
        let says = format!("damaged at byte {cut}, in the table of contents");
        assert!(found.contains(&says), "{name}: {found:?}");
    }
    Ok(())
}

/// The limit of every reader, `pg_restore` included: `pg_dump` asks neither lz4 nor zstd for the
/// checksums that they could have, so that a bit of a value can flip in the rows unseen. Only the
/// digest in the manifest tells, from the push on.
#[test]
fn a_flipped_bit_is_found_if_the_compression_has_a_checksum() -> Outcome {
    let host = Host::bare()?;
    for name in DUMPS.iter().filter(|name| !name.contains("nights")) {
        let whole = fs::read(fixtures().join(name))?;
        let layout = Layout::of(&whole)?;
        let pieces = &layout.largest_table()?.pieces;
        let head = &whole[pieces.first().ok_or("no piece")?.start..];
        let has_checksum = match head {
            [0x28, 0xb5, 0x2f, 0xfd, descriptor, ..] => descriptor & 0x04 != 0,
            [0x04, 0x22, 0x4d, 0x18, flags, ..] => flags & 0x14 != 0,
            _ => true, // zlib has no form without
        };
        assert_eq!(has_checksum, layout.has_checksums, "{name}");
        let mut unseen = 0;
        let piece = pieces.iter().max_by_key(|piece| piece.len());
        let piece = piece.ok_or("no piece")?.clone();
        let every = piece.len().div_ceil(8);
        for at in piece.step_by(every) {
            fs::write(host.path("app.dump"), flip(&whole, at))?;
            unseen += u32::from(inspect(&host, "app.dump")?.is_none());
        }
        assert_eq!(unseen == 0, has_checksum, "{name}: {unseen} unseen");
    }
    Ok(())
}
