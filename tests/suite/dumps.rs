//! The dump reader on real dumps: what is whole is read to its last row, what is not is found.

use crate::support::{Host, NIGHTS, Outcome, fixtures, settle};
use sealift::{DumpError, inspect_dump};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

#[test]
fn every_major_compression_and_way_is_read_and_its_rows_are_those_the_server_counted() -> Outcome {
    let counts: Value = serde_json::from_slice(&fs::read(fixtures().join("majors/counts.json"))?)?;
    let counts = counts.as_object().ok_or("no counts")?;
    assert!(counts.len() >= 24, "{} dumps", counts.len());
    for (file, counted) in counts {
        let bytes = fs::read(fixtures().join("majors").join(file))?;
        let report =
            inspect_dump(&bytes[..], &mut ()).map_err(|error| format!("{file}: {error}"))?;
        let tables = counted["tables"].as_object().ok_or("no tables")?;
        let expected: BTreeMap<String, u64> = tables
            .iter()
            .filter_map(|(name, rows)| Some((name.clone(), rows.as_u64()?)))
            .collect();
        assert_eq!(report.rows, expected, "{file}");
        assert!(
            counted["server_version"].as_str() == Some(&report.facts.server_version),
            "{file}"
        );
    }
    Ok(())
}

/// Where a dump was damaged, as the reader says it; none if it was taken for whole.
fn damage(bytes: &[u8]) -> Option<String> {
    match inspect_dump(bytes, &mut ()) {
        Ok(_) => None,
        Err(found) if matches!(found.error, DumpError::Damaged { .. }) => Some(found.to_string()),
        Err(found) => Some(format!("not as damage: {found}")),
    }
}

#[test]
fn what_pg_restore_lists_without_a_word_is_found_and_placed() -> Outcome {
    for name in [
        "nights/app-20260101-030000.dump",
        "nights/zitadel-20260101-030000.dump",
    ] {
        let whole = fs::read(fixtures().join(name))?;
        assert_eq!(damage(&whole), None);
        let half = whole.len() / 2;
        let mut flipped = whole.clone();
        flipped[half] ^= 1;
        let mut zeroed = whole.clone();
        zeroed[half..half + 65_536.min(half)].fill(0);
        let mut longer = whole.clone();
        longer.extend_from_slice(&[7; 1000]);
        for (what, bytes) in [
            ("cut in half", &whole[..half]),
            ("one byte short", &whole[..whole.len() - 1]),
            ("a flipped bit", &flipped),
            ("64 KiB of zeros", &zeroed),
            ("1,000 bytes of garbage behind", &longer),
        ] {
            let found = damage(bytes).ok_or_else(|| format!("{name}, {what}: taken for whole"))?;
            assert!(found.contains("damaged at byte"), "{name}, {what}: {found}");
        }
    }
    Ok(())
}

#[test]
fn a_cut_at_any_place_of_a_small_dump_is_found() -> Outcome {
    for name in [
        "pg15-gzip-pipe",
        "pg17-lz4-pipe",
        "pg18-zstd-pipe",
        "pg16-none-pipe",
    ] {
        let whole = fs::read(fixtures().join(format!("majors/{name}.dump")))?;
        for cut in (11..whole.len()).step_by(7).chain([whole.len() - 1]) {
            assert!(
                damage(&whole[..cut]).is_some(),
                "{name} cut at {cut} of {}",
                whole.len()
            );
        }
    }
    Ok(())
}

#[test]
fn an_lz4_frame_without_its_end_mark_is_found() -> Outcome {
    let whole = fs::read(fixtures().join("majors/pg18-lz4-pipe.dump"))?;
    let frames = places_of(&whole, b"\x04\x22\x4d\x18");
    assert!(frames.len() > 1, "{frames:?}");
    for frame in frames {
        // The head of the frame is a piece of its own; a sign and four bytes are before each piece.
        let size = frame + 8;
        let length = u32::from_le_bytes(whole[size..size + 4].try_into()?);
        let end = size + 4 + usize::try_from(length)?;
        for missing in 1..=4_u32 {
            let mut bytes = whole.clone();
            bytes[size..size + 4].copy_from_slice(&(length - missing).to_le_bytes());
            bytes.drain(end - usize::try_from(missing)?..end);
            let found = damage(&bytes).ok_or_else(|| format!("{frame}: taken for whole"))?;
            assert!(found.contains("incomplete lz4 frame"), "{found}");
        }
    }
    Ok(())
}

#[test]
fn rows_whose_end_is_not_a_line_of_its_own_are_found() -> Outcome {
    let whole = fs::read(fixtures().join("majors/pg18-none-pipe.dump"))?;
    // The end is a piece of its own, with a sign and four bytes before it.
    let ends = places_of(&whole, b"\n\x00\x05\x00\x00\x00\\.\n\n\n");
    assert!(ends.len() > 1, "{ends:?}");
    for end in ends {
        let mut bytes = whole.clone();
        bytes[end] = b'x';
        let found = damage(&bytes).ok_or_else(|| format!("{end}: taken for whole"))?;
        assert!(
            found.contains("its rows do not come to their end"),
            "{found}"
        );
    }
    Ok(())
}

/// Every place of a text.
fn places_of(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    let all = 0..bytes.len();
    all.filter(|&at| bytes[at..].starts_with(text)).collect()
}

#[test]
fn rows_that_end_too_early_are_found() -> Outcome {
    let whole = fs::read(fixtures().join("majors/pg18-none-pipe.dump"))?;
    let row = b"12\tPGDMP\n";
    let place = whole.windows(row.len()).position(|bytes| bytes == row);
    let place = place.ok_or("no such row")?;
    let mut changed = whole.clone();
    changed[place..place + row.len()].copy_from_slice(b"12\tPG\n\\.\n");
    let found = damage(&changed).unwrap_or_default();
    let says = "in the data of public.awkward: its rows come to their end before it";
    assert!(found.contains(says), "{found:?}");
    Ok(())
}

#[test]
fn a_damaged_dump_is_archived_and_never_the_latest() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let dump = host.add_night(NIGHTS[1])?;
    let mut bytes = fs::read(host.path(&dump))?;
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    fs::write(host.path(&dump), bytes)?;
    settle(&host.path(&dump))?;
    let pushed = host
        .run(&["push", "--json", &dump])?
        .expect_code(3)?
        .json()?;
    let finding = &pushed["archives"][0]["findings"][0];
    assert_eq!(
        (&finding["code"], &finding["component"]),
        (&"dump-unreadable".into(), &"app".into())
    );
    assert!(
        finding["message"]
            .as_str()
            .is_some_and(|m| m.contains("in the data of ")),
        "{finding}"
    );
    let fetched = host.fetch_latest("out")?.expect_code(0)?;
    assert!(
        fetched.stderr.contains("skipped the newer archive 2"),
        "{fetched:?}"
    );
    Ok(())
}
