//! Rows as COPY writes them: the column list, the lines, the fields.
//!
//! Source: "Text Format" in the documentation of COPY. A line is a row; a tab ends a field; `\N` alone
//! is NULL; a backslash escapes what would be mistaken for one of these, so no row holds a newline.

use super::toc::printable;
use crate::words::limits::DUMP_ROW_MAX;
use memchr::memmem::Finder;
use std::borrow::Cow;

/// Somebody who is shown rows while a dump is read; `()` wants none.
pub trait RowVisitor {
    /// Whether rows of this table are wanted. Asked once for each, in the order of the table of
    /// contents, before any row is shown.
    fn wants(&mut self, table: &Table<'_>) -> Option<Wanted>;

    /// A row of a table that was wanted.
    fn row(&mut self, table: usize, row: Row<'_>);

    /// A row of a table that was wanted is longer than `DUMP_ROW_MAX`, and not shown.
    fn too_long(&mut self, table: usize);
}

impl RowVisitor for () {
    fn wants(&mut self, _: &Table<'_>) -> Option<Wanted> {
        None
    }

    fn row(&mut self, _: usize, _: Row<'_>) {}

    fn too_long(&mut self, _: usize) {}
}

/// A table of which rows are in the dump.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// The schema.
    pub schema: &'a str,
    /// The name, without the schema.
    pub name: &'a str,
    /// The columns, in the order of a row's fields; none if the rows are statements, of which none is
    /// ever shown.
    pub columns: &'a [String],
}

impl Table<'_> {
    /// Schema and name, as it may stand in a manifest or on a terminal.
    #[must_use]
    pub fn full_name(&self) -> String {
        printable(&format!("{}.{}", self.schema, self.name))
    }

    /// The place of a column among a row's fields.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}

/// Which rows of a table are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// What the visitor calls the table.
    pub table: usize,
    /// Only rows with these bytes somewhere, as they stand in the dump; of an empty text, all rows.
    pub containing: &'static [u8],
}

/// One row, without its newline.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(&'a [u8]);

impl<'a> Row<'a> {
    /// A row of these bytes.
    #[must_use]
    pub fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// The value of a field; `None` is NULL, or a field that the row does not have.
    #[must_use]
    pub fn field(&self, place: usize) -> Option<Cow<'a, [u8]>> {
        let field = self.0.split(|byte| *byte == b'\t').nth(place)?;
        (field != b"\\N").then(|| unescape(field))
    }
}

/// What the escapes of a field stand for.
fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', field).is_none() {
        return Cow::Borrowed(field);
    }
    let mut value = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let Some((&escaped, behind)) = rest.split_first().filter(|_| byte == b'\\') else {
            value.push(byte);
            continue;
        };
        rest = behind;
        match escaped {
            b'b' => value.push(8),
            b'f' => value.push(12),
            b'n' => value.push(b'\n'),
            b'r' => value.push(b'\r'),
            b't' => value.push(b'\t'),
            b'v' => value.push(11),
            b'0'..=b'7' => value.push(number(escaped - b'0', 8, 2, &mut rest)),
            b'x' if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
                value.push(number(0, 16, 2, &mut rest));
            }
            other => value.push(other),
        }
    }
    Cow::Owned(value)
}

/// A byte that starts with `first` and goes on with up to `most` digits.
fn number(first: u8, radix: u32, most: usize, rest: &mut &[u8]) -> u8 {
    let mut value = u32::from(first);
    for _ in 0..most {
        let Some(digit) = rest.first().and_then(|b| char::from(*b).to_digit(radix)) else {
            break;
        };
        value = value * radix + digit;
        *rest = &rest[1..];
    }
    value.to_le_bytes()[0]
}

/// The columns that a COPY statement of `pg_dump` lists: `COPY a.b (c, "d ""e""") FROM stdin;`.
pub(super) fn columns(statement: &str) -> Vec<String> {
    let mut columns = Vec::new();
    let mut rest = statement.strip_prefix("COPY ").unwrap_or_default();
    // The table's own name may hold whatever a quoted name may.
    loop {
        rest = identifier(rest).1;
        match rest.strip_prefix('.') {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    let Some(mut rest) = rest.strip_prefix(" (") else {
        return columns;
    };
    loop {
        let (column, behind) = identifier(rest);
        columns.push(column);
        match behind.strip_prefix(", ") {
            Some(next) => rest = next,
            None => return columns,
        }
    }
}

/// The name at the start of a text, and what follows it.
fn identifier(text: &str) -> (String, &str) {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(['.', ',', ' ', ')', '(']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut name = String::new();
    while let Some((part, behind)) = rest.split_once('"') {
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (name, behind),
        }
    }
    (name, "")
}

/// Puts pieces of a table's bytes together to rows and shows them.
pub(super) struct RowSplitter<'v> {
    wanted: Wanted,
    finder: Finder<'static>,
    visitor: &'v mut dyn RowVisitor,
    /// The start of a row whose end has not come yet.
    partial: Vec<u8>,
    /// The row that began is longer than any that is shown.
    too_long: bool,
    /// The end of the rows was there; the lines behind it are none.
    ended: bool,
}

impl<'v> RowSplitter<'v> {
    pub(super) fn new(wanted: Wanted, visitor: &'v mut dyn RowVisitor) -> Self {
        Self {
            wanted,
            finder: Finder::new(wanted.containing),
            visitor,
            partial: Vec::new(),
            too_long: false,
            ended: false,
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        let Some(first) = memchr::memchr(b'\n', bytes) else {
            return self.keep(bytes);
        };
        self.keep(&bytes[..first]);
        self.finish_partial();
        let rest = &bytes[first + 1..];
        let (whole, begun) = match memchr::memrchr(b'\n', rest) {
            Some(last) => (&rest[..last], &rest[last + 1..]),
            None => (&rest[..0], rest),
        };
        // One search through many rows: of a large table hardly any is wanted.
        if rest.len() > begun.len() && self.finder.find(whole).is_some() {
            whole
                .split(|byte| *byte == b'\n')
                .for_each(|row| self.show(row));
        }
        self.keep(begun);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.partial.len() + bytes.len() > DUMP_ROW_MAX {
            self.too_long = true;
            self.partial.clear();
        } else if !self.too_long {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn finish_partial(&mut self) {
        let row = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.too_long) {
            self.visitor.too_long(self.wanted.table);
        } else {
            self.show(&row);
        }
        self.partial = row;
        self.partial.clear();
    }

    fn show(&mut self, row: &[u8]) {
        self.ended |= row == END;
        if !self.ended && self.finder.find(row).is_some() {
            self.visitor.row(self.wanted.table, Row(row));
        }
    }
}

/// What stands in the line behind the last row.
const END: &[u8] = b"\\.";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen {
        rows: Vec<Vec<u8>>,
        too_long: usize,
    }

    impl RowVisitor for Seen {
        fn wants(&mut self, _: &Table<'_>) -> Option<Wanted> {
            None
        }

        fn row(&mut self, _: usize, row: Row<'_>) {
            self.rows.push(row.0.to_vec());
        }

        fn too_long(&mut self, _: usize) {
            self.too_long += 1;
        }
    }

    fn rows(bytes: &[u8], step: usize, containing: &'static [u8]) -> Seen {
        let mut seen = Seen::default();
        let wanted = Wanted {
            table: 0,
            containing,
        };
        let mut splitter = RowSplitter::new(wanted, &mut seen);
        bytes.chunks(step).for_each(|piece| splitter.add(piece));
        seen
    }

    #[test]
    fn rows_do_not_depend_on_how_their_bytes_come() {
        let text = b"a\t1\n\nb\t\\N\nthe last\n\\.\n\n\n";
        for step in 1..=text.len() {
            let seen = rows(text, step, b"").rows;
            assert_eq!(seen, [&b"a\t1"[..], b"", b"b\t\\N", b"the last"], "{step}");
            assert_eq!(rows(text, step, b"last").rows, [b"the last"], "{step}");
            assert!(rows(text, step, b"none").rows.is_empty(), "{step}");
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_counted_and_takes_no_memory() {
        let mut text = vec![b'x'; DUMP_ROW_MAX + 1];
        text.extend_from_slice(b"\nshort\n");
        let seen = rows(&text, 65_536, b"");
        assert_eq!((seen.too_long, seen.rows), (1, vec![b"short".to_vec()]));
        let all = rows(&text[1..], 65_536, b"");
        assert_eq!((all.too_long, all.rows.len()), (0, 2));
    }

    #[test]
    fn fields_are_what_their_escapes_stand_for() {
        let row = Row::new(br"a\tb\n\\	\N		\101\x4a\x4\8\z\.\0	\");
        assert_eq!(row.field(0).as_deref(), Some(&b"a\tb\n\\"[..]));
        assert_eq!(row.field(1), None);
        assert_eq!(row.field(2).as_deref(), Some(&b""[..]));
        assert_eq!(row.field(3).as_deref(), Some(&b"AJ\x048z.\0"[..]));
        assert_eq!(row.field(4).as_deref(), Some(&b"\\"[..]));
        assert_eq!(row.field(5), None);
    }

    #[test]
    fn columns_are_told_from_any_name_of_a_table() {
        let case = |statement: &str, expected: &[&str]| {
            assert_eq!(columns(statement), expected, "{statement}");
        };
        case("COPY a.b (c, d) FROM stdin;\n", &["c", "d"]);
        case(
            r#"COPY "od d ""n"" (x)"."T.(" (id, "a, ""b""") FROM stdin;"#,
            &["id", "a, \"b\""],
        );
        case("COPY public.none  FROM stdin;\n", &[]);
        case("", &[]);
        case(r#"COPY "never closed"#, &[]);
    }
}
