//! Any bytes at all, read as a dump.
//!
//! What is taken for whole must not be taken for whole when its last byte is missing or when
//! something follows it, what is found must not depend on how the bytes arrive, and no more rows are
//! shown than are counted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealift::{DumpError, DumpReport, Row, RowVisitor, Table, Unreadable, Wanted, inspect_dump};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};

fuzz_target!(|data: &[u8]| {
    let (found, seen) = read(data);
    let (trickled, seen_again) = read(Trickle(data));
    match (&found, &trickled) {
        (Ok(found), Ok(trickled)) => {
            assert_eq!(found, trickled);
            assert_eq!(seen.tables, seen_again.tables);
        }
        (Err(found), Err(trickled)) => {
            assert_eq!(found.facts, trickled.facts);
            check_error(&found.error, data.len());
            check_error(&trickled.error, data.len());
        }
        _ => panic!("at once: {found:?}\nbit by bit: {trickled:?}"),
    }
    if let Ok(report) = found {
        check_report(&report, data.len());
        seen.check(&report);
        check_ends(data);
    }
});

fn read(input: impl Read) -> (Result<DumpReport, Box<Unreadable>>, Seen) {
    let mut seen = Seen::default();
    let found = inspect_dump(input, &mut seen);
    (found, seen)
}

fn check_error(error: &DumpError, length: usize) {
    match error {
        DumpError::Empty => assert_eq!(length, 0),
        DumpError::Damaged { offset, .. } => assert!(*offset <= length as u64, "{error}"),
        DumpError::NotADump | DumpError::Version(_) => {}
        DumpError::Io(_) => panic!("no reader here fails: {error:?}"),
    }
}

fn check_report(report: &DumpReport, length: usize) {
    let facts = &report.facts;
    assert!(report.rows.len() as u64 <= facts.tables, "{report:?}");
    for shown in [
        &facts.database,
        &facts.server_version,
        &facts.pg_dump_version,
    ] {
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
    if facts.compression == "none" {
        // Each row has a byte at least: the end of its line.
        let rows: u64 = report.rows.values().sum();
        assert!(rows <= length as u64, "{report:?}");
    }
}

/// A cut is found, and so is what follows the end.
fn check_ends(data: &[u8]) {
    let (cut, _) = read(&data[..data.len() - 1]);
    assert!(cut.is_err(), "one byte short: {cut:?}");
    // What a block or a second table of contents may start with, and what nothing starts with.
    for more in [0, 1, 3, 0xff] {
        let (longer, _) = read(data.chain(&[more][..]));
        assert!(longer.is_err(), "and a byte {more}: {longer:?}");
    }
}

/// A reader that hands out a few bytes at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = 1 + self.0.len() % 13;
        let most = most.min(buffer.len());
        self.0.read(&mut buffer[..most])
    }
}

/// What is shown of a dump: of every other table all rows, of the rest those with a text in them.
#[derive(Default)]
struct Seen {
    tables: Vec<SeenTable>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct SeenTable {
    name: String,
    columns: usize,
    /// Those that were too long to be shown among them.
    rows: u64,
    digest: u64,
}

impl RowVisitor for Seen {
    fn wants(&mut self, table: &Table<'_>) -> Option<Wanted> {
        assert!(self.tables.iter().all(|seen| seen.rows == 0), "late");
        for (place, column) in table.columns.iter().enumerate().take(99) {
            assert!(table.column(column).is_some_and(|found| found <= place));
        }
        let number = self.tables.len();
        let name = match table.schema {
            "" => table.name.to_owned(),
            schema => format!("{schema}.{}", table.name),
        };
        self.tables.push(SeenTable {
            name,
            columns: table.columns.len(),
            ..SeenTable::default()
        });
        Some(Wanted {
            table: number,
            containing: if number.is_multiple_of(2) { b"" } else { b"1" },
        })
    }

    fn row(&mut self, table: usize, row: Row<'_>) {
        let seen = &mut self.tables[table];
        let fields: Vec<_> = (0..=seen.columns.min(9))
            .map(|place| row.field(place))
            .collect();
        seen.add(fields);
    }

    fn too_long(&mut self, table: usize) {
        self.tables[table].add("too long");
    }
}

impl SeenTable {
    fn add(&mut self, what: impl Hash) {
        let mut hasher = DefaultHasher::new();
        (self.digest, what).hash(&mut hasher);
        self.digest = hasher.finish();
        self.rows += 1;
    }
}

impl Seen {
    fn check(&self, report: &DumpReport) {
        let mut shown = BTreeMap::new();
        for table in &self.tables {
            // Two may have the same name; one of them is reported.
            let least = shown.entry(&table.name).or_insert(table.rows);
            *least = table.rows.min(*least);
        }
        for (name, counted) in &report.rows {
            // Fewer where the text was not in all rows, or where an end of the rows stood among them.
            let shown = shown.get(name).copied().unwrap_or_default();
            assert!(shown <= *counted, "{shown} rows of {name}: {report:?}");
        }
    }
}
