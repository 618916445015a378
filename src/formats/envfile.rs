//! Env files: what Docker Compose reads in a `.env.prod`, name by name.
//!
//! Promise: a variable has the value that Compose's own reader gives it; what would stop Compose
//! stops here too, and an error tells the line, never the text. It holds because the rules are those
//! of compose-go (`dotenv/parser.go` and `template/template.go` of version 2), taken one by one:
//!
//! - `NAME=value` or `NAME: value`, after an optional `export`, with blanks around each part. A name
//!   has letters, digits, `_`, `.`, `-`, `[` and `]`. The last of several lines with a name counts.
//! - A name alone is taken from the environment, and is absent if it is not set there.
//! - A bare value ends with its line, or before the first ` #`: a space, not a tab. So the value of
//!   `NAME= # x` is `# x`, for the blanks after `=` are gone by then. Backslashes mean nothing.
//! - `'…'` and `"…"` may span lines; `\` escapes their own quote. In `"…"` the escapes are
//!   `\a \b \f \n \r \t \v \\ \$` and `\0ooo`; any other backslash stays. What follows the closing
//!   quote, even in the same line, is the next statement, or a comment.
//! - All but `'…'` is interpolated: `$NAME`, `${NAME}`, each of `-` `+` `?` with or without `:`, and
//!   `$$`. The environment goes before what the file said so far; what is unset is empty. The word
//!   after an operator ends in the same line, and must be right even where it is not needed.
//!
//! It differs in this alone: a name that is empty or has a tab in it is an error, and a name alone
//! that ends the file without a newline is like any other, not the value of the empty name.
//!
//! Promise: hostile bytes can do no more than fail. Each value is wiped when it is dropped, and so is
//! each buffer on the way, for none is ever left behind by growing. All that is written, together,
//! stays within [`ENV_VALUES_MAX`], however values repeat each other, and words nest no deeper than
//! [`ENV_WORDS_MAX`].

use crate::words::limits::ENV_FILE_MAX;
use crate::words::secret::Secret;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// All values of a file together, with what was replaced or not needed, are not longer than this.
pub const ENV_VALUES_MAX: usize = 4 * 1024 * 1024;
/// `${A:-${B:-…}}` nests no deeper than this.
pub const ENV_WORDS_MAX: usize = 16;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the environment says about a name; `&|_| None` if there is none.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<Secret>;

/// What is wrong with an env file, and in which line, from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileError {
    /// It is larger than `ENV_FILE_MAX`.
    #[error("the env file is larger than 1 MiB")]
    Large,
    /// A statement does not start with a name.
    #[error("line {0} of the env file does not start with a valid name")]
    Name(u64),
    /// A quote is opened in this line and never closed.
    #[error("the quote in line {0} of the env file is never closed")]
    Quote(u64),
    /// A `${` is not followed by what can be read.
    #[error("line {0} of the env file has a ${{ that makes no sense")]
    Template(u64),
    /// A variable that `?` asks for is not set.
    #[error("line {0} of the env file asks for a variable that is not set")]
    Required(u64),
    /// `${A:-${B:-…}}` is nested too deeply.
    #[error("line {0} of the env file nests variables deeper than {ENV_WORDS_MAX} levels")]
    Nested(u64),
    /// The values grow beyond `ENV_VALUES_MAX`.
    #[error("with line {0} of the env file the values are longer than 4 MiB")]
    Grown(u64),
}

/// The variables of an env file.
#[derive(Clone)]
pub struct EnvFile {
    values: BTreeMap<String, Secret>,
}

impl EnvFile {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`EnvFileError`] at the first line that Compose would refuse, or at a limit.
    pub fn parse(bytes: &[u8], lookup: Lookup<'_>) -> Result<Self, EnvFileError> {
        if bytes.len() as u64 > ENV_FILE_MAX {
            return Err(EnvFileError::Large);
        }
        let mut reader = Reader {
            rest: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            line: 1,
            scope: Scope {
                values: BTreeMap::new(),
                lookup,
                left: Cell::new(ENV_VALUES_MAX),
            },
        };
        while reader.find_statement() {
            reader.statement()?;
        }
        let values = reader.scope.values;
        Ok(Self { values })
    }

    /// The value of a variable; its bytes are UTF-8 if the file is.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.values.get(name)
    }

    /// The names of all variables, in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

impl fmt::Debug for EnvFile {
    /// Shows no name either: a line of a key that lost its quotes may pass for one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvFile({} variables)", self.values.len())
    }
}

/// Bytes that are written bit by bit and leave no copy when they need more room.
struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    fn push(&mut self, bytes: &[u8]) {
        let due = self.0.len() + bytes.len();
        if due > self.0.capacity() {
            let mut larger = Self::with_capacity(due.max(2 * self.0.capacity()));
            larger.0.extend_from_slice(&self.0);
            // Wipes what was there.
            *self = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    fn into_secret(mut self) -> Secret {
        Secret::new(std::mem::take(&mut *self.0))
    }
}

/// Goes through the text, statement by statement.
struct Reader<'a> {
    rest: &'a [u8],
    line: u64,
    scope: Scope<'a>,
}

impl<'a> Reader<'a> {
    /// Passes over blanks and comments; whether anything follows.
    fn find_statement(&mut self) -> bool {
        while let Some((first, size)) = first_char(self.rest) {
            if first == '#' {
                self.take(line_length(self.rest));
            } else if first.is_whitespace() {
                self.take(size);
            } else {
                return true;
            }
        }
        false
    }

    fn statement(&mut self) -> Result<(), EnvFileError> {
        let line = self.line;
        let (name, has_value) = self.name()?;
        if has_value {
            if name.is_empty() {
                return Err(EnvFileError::Name(line));
            }
            let value = self.value()?;
            self.scope.values.insert(name, value.into_secret());
        } else if let Some(value) = (self.scope.lookup)(&name) {
            self.scope.spend(value.expose().len(), line)?;
            self.scope.values.insert(name, value);
        }
        Ok(())
    }

    /// The name, and whether a value follows.
    fn name(&mut self) -> Result<(String, bool), EnvFileError> {
        let wrong = EnvFileError::Name(self.line);
        if let Some(after) = self.rest.strip_prefix(b"export")
            && matches!(after.first(), Some(b'\t' | b'\n' | b'\x0c' | b'\r' | b' '))
        {
            self.take(b"export".len());
            self.pass_blanks();
        }
        let mut length = 0;
        let end = loop {
            match first_char(&self.rest[length..]) {
                None | Some(('=' | ':' | '\n', _)) => break self.rest.get(length),
                Some((letter, size)) if may_be_in_name(letter) || is_blank(letter) => {
                    length += size;
                }
                Some(_) => return Err(wrong),
            }
        };
        let has_value = matches!(end, Some(b'=' | b':'));
        let text = std::str::from_utf8(self.take(length)).map_err(|_| wrong.clone())?;
        let name = text.trim_end();
        if !name.chars().all(may_be_in_name) {
            return Err(wrong);
        }
        if has_value {
            self.take(1);
        }
        Ok((name.to_owned(), has_value))
    }

    fn value(&mut self) -> Result<Buffer, EnvFileError> {
        self.pass_blanks();
        let line = self.line;
        if let Some(&quote @ (b'"' | b'\'')) = self.rest.first() {
            let length = quoted_length(self.rest, quote).ok_or(EnvFileError::Quote(line))?;
            let body = &self.take(length)[1..length - 1];
            if quote == b'"' {
                let text = unescape(body);
                return self.scope.expand(&text.0, line, 0);
            }
            let text = unquote(body);
            self.scope.spend(text.0.len(), line)?;
            return Ok(text);
        }
        let text = self.take(line_length(self.rest));
        let comment = text.windows(2).position(|pair| pair == b" #");
        let text = trim_end(&text[..comment.unwrap_or(text.len())]);
        self.scope.expand(text, line, 0)
    }

    fn pass_blanks(&mut self) {
        while let Some((_, size)) = first_char(self.rest).filter(|found| is_blank(found.0)) {
            self.take(size);
        }
    }

    /// The next bytes, which are passed over.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.split(|&byte| byte == b'\n').count() as u64 - 1;
        self.rest = rest;
        taken
    }
}

/// What a name stands for, and how much may still be written.
struct Scope<'a> {
    values: BTreeMap<String, Secret>,
    lookup: Lookup<'a>,
    left: Cell<usize>,
}

impl Scope<'_> {
    fn spend(&self, length: usize, line: u64) -> Result<(), EnvFileError> {
        let left = self.left.get().checked_sub(length);
        self.left.set(left.ok_or(EnvFileError::Grown(line))?);
        Ok(())
    }

    fn put(&self, out: &mut Buffer, bytes: &[u8], line: u64) -> Result<(), EnvFileError> {
        self.spend(bytes.len(), line)?;
        out.push(bytes);
        Ok(())
    }

    /// The value of a variable at this place of the file.
    fn find(&self, name: &[u8]) -> Option<Cow<'_, Secret>> {
        let name = std::str::from_utf8(name).ok()?;
        let outside = (self.lookup)(name).map(Cow::Owned);
        outside.or_else(|| self.values.get(name).map(Cow::Borrowed))
    }

    /// The text with each variable replaced by its value.
    fn expand(&self, text: &[u8], line: u64, depth: usize) -> Result<Buffer, EnvFileError> {
        if depth > ENV_WORDS_MAX {
            return Err(EnvFileError::Nested(line));
        }
        let mut out = Buffer::with_capacity(text.len());
        let mut rest = text;
        while let Some(place) = rest.iter().position(|&byte| byte == b'$') {
            let (before, after) = (&rest[..place], &rest[place + 1..]);
            self.put(&mut out, before, line)?;
            rest = match after {
                [b'$', rest @ ..] => {
                    self.put(&mut out, b"$", line)?;
                    rest
                }
                [b'{', rest @ ..] => {
                    let length = braced_length(rest).ok_or(EnvFileError::Template(line))?;
                    self.substitute(&rest[..length], &mut out, line, depth)?;
                    &rest[length + 1..]
                }
                _ => {
                    let (name, rest) = after.split_at(name_length(after));
                    if name.is_empty() {
                        self.put(&mut out, b"$", line)?;
                    } else if let Some(value) = self.find(name) {
                        self.put(&mut out, value.expose(), line)?;
                    }
                    rest
                }
            };
        }
        self.put(&mut out, rest, line)?;
        Ok(out)
    }

    /// Writes what the text between `${` and `}` stands for.
    fn substitute(
        &self,
        text: &[u8],
        out: &mut Buffer,
        line: u64,
        depth: usize,
    ) -> Result<(), EnvFileError> {
        let (name, rest) = text.split_at(name_length(text));
        let (colon, operator, word) = match rest {
            _ if name.is_empty() => return Err(EnvFileError::Template(line)),
            [] => (false, b'-', rest),
            [b':', operator @ (b'-' | b'+' | b'?'), word @ ..] => (true, *operator, word),
            [operator @ (b'-' | b'+' | b'?'), word @ ..] => (false, *operator, word),
            _ => return Err(EnvFileError::Template(line)),
        };
        let word = self.expand(word, line, depth + 1)?;
        let value = self.find(name);
        let value = value.filter(|value| !colon || !value.expose().is_empty());
        match (operator, value) {
            (b'+', None) => Ok(()),
            (b'?', None) => Err(EnvFileError::Required(line)),
            (b'+', Some(_)) | (_, None) => self.put(out, &word.0, line),
            (_, Some(value)) => self.put(out, value.expose(), line),
        }
    }
}

/// The first character and its length; a byte that is not UTF-8 counts as U+FFFD.
fn first_char(bytes: &[u8]) -> Option<(char, usize)> {
    let chunk = bytes[..bytes.len().min(4)].utf8_chunks().next()?;
    let found = chunk.valid().chars().next();
    Some(found.map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8())))
}

/// Space within a line, as Compose has it.
fn is_blank(letter: char) -> bool {
    matches!(
        letter,
        '\t' | '\x0b' | '\x0c' | '\r' | ' ' | '\u{85}' | '\u{a0}'
    )
}

fn may_be_in_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-' | '[' | ']')
}

/// Without the white space at the end, none of which has more than three bytes.
fn trim_end(mut text: &[u8]) -> &[u8] {
    let blank = |tail: &[u8]| std::str::from_utf8(tail).is_ok_and(|tail| tail.trim().is_empty());
    while let Some(size) = (1..=text.len().min(3)).find(|&size| blank(&text[text.len() - size..])) {
        text = &text[..text.len() - size];
    }
    text
}

/// Up to the end of the line.
fn line_length(text: &[u8]) -> usize {
    let end = text.iter().position(|&byte| byte == b'\n');
    end.unwrap_or(text.len())
}

/// With both quotes; nothing if the second is missing.
fn quoted_length(text: &[u8], quote: u8) -> Option<usize> {
    let mut place = 1;
    loop {
        match *text.get(place)? {
            b'\\' => place += 2,
            byte if byte == quote => return Some(place + 1),
            _ => place += 1,
        }
    }
}

/// The length of a name that may follow a `$`.
fn name_length(text: &[u8]) -> usize {
    if text.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    let end = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_';
    text.iter().position(end).unwrap_or(text.len())
}

/// Up to the brace that closes the one before the text, or if they do not match, to the last one.
///
/// Compose overlooks what follows an opening brace: `{}` counts as `{`.
fn braced_length(text: &[u8]) -> Option<usize> {
    let mut open = 1_usize;
    let mut overlooked = false;
    let mut last = None;
    let in_line = text.iter().take_while(|&&byte| byte != b'\n');
    for (place, &byte) in in_line.enumerate() {
        if byte == b'}' {
            last = Some(place);
        }
        match byte {
            _ if overlooked => overlooked = false,
            b'{' => {
                open += 1;
                overlooked = true;
            }
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    last
}

/// The text between single quotes.
fn unquote(body: &[u8]) -> Buffer {
    let mut out = Buffer::with_capacity(body.len());
    let mut rest = body;
    while let [first, after @ ..] = rest {
        rest = match rest {
            [b'\\', b'\'', after @ ..] => {
                out.push(b"'");
                after
            }
            // The second of a pair cannot escape what follows.
            [b'\\', second, after @ ..] => {
                out.push(&[b'\\', *second]);
                after
            }
            _ => {
                out.push(&[*first]);
                after
            }
        };
    }
    out
}

/// The text between double quotes, ready for its variables to be replaced.
fn unescape(body: &[u8]) -> Buffer {
    let mut out = Buffer::with_capacity(body.len());
    let mut rest = body;
    while let [first, after @ ..] = rest {
        rest = after;
        let escape = after.first().filter(|_| *first == b'\\');
        let plain: &[u8] = match escape {
            Some(b'a') => b"\x07",
            Some(b'b') => b"\x08",
            Some(b'f') => b"\x0c",
            Some(b'n') => b"\n",
            Some(b'r') => b"\r",
            Some(b't') => b"\t",
            Some(b'v') => b"\x0b",
            Some(b'\\') => b"\\",
            Some(b'"') => b"\"",
            Some(b'$') => b"$$",
            Some(b'0') => {
                if let Some(letter) = octal(&after[1..]) {
                    out.push(letter.encode_utf8(&mut [0; 2]).as_bytes());
                    rest = &after[4..];
                } else {
                    out.push(b"\\");
                }
                continue;
            }
            _ => {
                out.push(&[*first]);
                continue;
            }
        };
        out.push(plain);
        rest = &after[1..];
    }
    out
}

/// The character with the number that the first three digits are.
fn octal(text: &[u8]) -> Option<char> {
    let digits = std::str::from_utf8(text.get(..3)?).ok()?;
    let digits = Some(digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    u8::from_str_radix(digits?, 8).ok().map(char::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use EnvFileError::{Grown, Large, Name, Nested, Quote, Required, Template};

    type Outcome = Result<(), EnvFileError>;

    fn read(text: &str) -> Result<EnvFile, EnvFileError> {
        EnvFile::parse(text.as_bytes(), &|_| None)
    }

    fn value(file: &EnvFile, name: &str) -> Option<String> {
        let bytes = file.get(name)?.expose();
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// The text must give these variables and no others.
    #[track_caller]
    fn gives(text: &str, expected: &[(&str, &str)]) -> Outcome {
        let file = read(text)?;
        let found: Vec<(&str, String)> = file
            .names()
            .map(|name| (name, value(&file, name).unwrap_or_default()))
            .collect();
        let expected: Vec<(&str, String)> = expected
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        assert_eq!(found, expected, "{text:?}");
        Ok(())
    }

    #[track_caller]
    fn fails(text: &str, expected: &EnvFileError) {
        let start: String = text.chars().take(80).collect();
        assert_eq!(read(text).err().as_ref(), Some(expected), "{start:?}");
    }

    #[test]
    fn the_file_of_the_fixture_is_read() -> Outcome {
        let bytes = include_bytes!("../../fixtures/nights/.env.prod");
        let file = EnvFile::parse(bytes, &|_| None)?;
        let expected = [
            ("PUBLIC_URL", "https://lazyit.example.test"),
            ("POSTGRES_PASSWORD", "gNgcoN8ahFDcx25IjrSkfjHs"),
            (
                "DATABASE_URL",
                "postgresql://lazyit:gNgcoN8ahFDcx25IjrSkfjHs@db:5432/lazyit?schema=public",
            ),
            ("ZITADEL_MASTERKEY", "fZYM7nfkJ8rKNFwG31rx8KYWlMmWgCx8"),
            ("OIDC_SCOPES", "openid profile email"),
            (
                "SMTP_SECRET_KEY",
                "yAMwTfNhcMLM+pxLFOeq1oYYsutcV+YflxDsJeshBco=",
            ),
            ("BACKUP_CRON", "0 3 * * *"),
            ("BACKUP_OFFSITE_CMD", "sealift push"),
            ("BACKUP_ON_FAILURE_CMD", ""),
        ];
        for (name, expected) in expected {
            assert_eq!(value(&file, name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(file.names().count(), 27);
        assert!(file.get("COMMENT").is_none());
        Ok(())
    }

    #[test]
    fn names_and_values_may_have_blanks_around_them() -> Outcome {
        gives("A=1", &[("A", "1")])?;
        gives("A = 1 \n\tB=\t2\t\n", &[("A", "1"), ("B", "2")])?;
        gives(
            "A: 1\nB:x=y\nC=1:2",
            &[("A", "1"), ("B", "x=y"), ("C", "1:2")],
        )?;
        gives(
            "A=\nB= \nC=''\nD=\"\"",
            &[("A", ""), ("B", ""), ("C", ""), ("D", "")],
        )?;
        gives("A=a b  c", &[("A", "a b  c")])?;
        gives(
            "A.b-c[0]=1\nñ=2\n1=3",
            &[("1", "3"), ("A.b-c[0]", "1"), ("ñ", "2")],
        )?;
        gives("", &[])?;
        gives(" \n\r\n\t", &[])
    }

    #[test]
    fn export_may_come_first() -> Outcome {
        gives("export A=1\n \texport\tB = 2", &[("A", "1"), ("B", "2")])?;
        gives("exportA=1\nexport=2", &[("export", "2"), ("exportA", "1")])?;
        gives("export\nA=1", &[("A", "1")])
    }

    #[test]
    fn the_last_of_several_lines_counts() -> Outcome {
        gives(
            "A=1\nB=$A\nA=2\nC=$A",
            &[("A", "2"), ("B", "1"), ("C", "2")],
        )
    }

    #[test]
    fn comments_need_a_line_or_a_space() -> Outcome {
        gives("# A=1\n \t# B=2\nC=3", &[("C", "3")])?;
        gives(
            "A=1 # x\nB=1 #x\nC=1#x",
            &[("A", "1"), ("B", "1"), ("C", "1#x")],
        )?;
        gives(
            "A='1 # x' # y\nB=\"1 # x\"#y",
            &[("A", "1 # x"), ("B", "1 # x")],
        )?;
        gives("# x's \"y", &[])
    }

    #[test]
    fn a_comment_after_nothing_or_a_tab_is_a_value_as_in_compose() -> Outcome {
        gives("A= # x", &[("A", "# x")])?;
        gives("A=#x", &[("A", "#x")])?;
        gives("A=1\t# x", &[("A", "1\t# x")])
    }

    #[test]
    fn the_ends_of_lines_and_of_the_file_do_not_matter() -> Outcome {
        let expected = [("A", "1"), ("B", "2"), ("C", "3")];
        for text in ["A=1\nB=\"2\"\nC='3'", "A=1\r\nB=\"2\"\r\nC='3'\r\n"] {
            gives(text, &expected)?;
            gives(&format!("\u{feff}{text}"), &expected)?;
        }
        fails("A=1\n\u{feff}B=2", &Name(2));
        Ok(())
    }

    #[test]
    fn single_quotes_keep_what_is_in_them() -> Outcome {
        gives(
            r"A='$B ${B:?} \n \\ # $$'",
            &[("A", r"$B ${B:?} \n \\ # $$")],
        )?;
        gives(r"A='Let\'s go'", &[("A", "Let's go")])?;
        gives(r"A='\\'", &[("A", r"\\")])?;
        gives("A='x\n y\r\n'\nB=1", &[("A", "x\n y\r\n"), ("B", "1")])
    }

    #[test]
    fn double_quotes_know_escapes() -> Outcome {
        gives(
            r#"A="\a\b\f\n\r\t\v\\\"\0123\0377""#,
            &[("A", "\x07\x08\x0c\n\r\t\x0b\\\"S\u{ff}")],
        )?;
        let kept = r"\x07 \u12e4 \c \' \ \012 \0400 \0189 \0";
        gives(&format!("A=\"{kept}\""), &[("A", kept)])?;
        gives("A=\"x\ny # z\n\"\nB=1", &[("A", "x\ny # z\n"), ("B", "1")])?;
        gives(r"A=some\tvalue\\", &[("A", r"some\tvalue\\")])?;
        gives(r#"A={"b":"c"}"#, &[("A", r#"{"b":"c"}"#)])
    }

    #[test]
    fn dollars_can_be_kept() -> Outcome {
        gives(r#"A="\$B \${B} $$B $${B}""#, &[("A", "$B ${B} $B ${B}")])?;
        gives(
            "A=$$B$\nC=^x$ $1 $} $",
            &[("A", "$B$"), ("C", "^x$ $1 $} $")],
        )?;
        gives("B=1\nA=$$$B", &[("A", "$1"), ("B", "1")])?;
        gives("B=1\nA=\\$B", &[("A", "\\1"), ("B", "1")])
    }

    #[test]
    fn variables_of_earlier_lines_are_put_in() -> Outcome {
        let case = |template: &str, expected: &str| {
            for (before, after) in [("", ""), ("\"", "\"")] {
                let text = format!("A=first\nE=\nX={before}{template}{after}\nZ=late");
                let file = read(&text)?;
                assert_eq!(value(&file, "X").as_deref(), Some(expected), "{template}");
            }
            Ok(())
        };
        case("<$A-b> ${A}b $Ab $Z ${Z}", "<first-b> firstb   ")?;
        case("${A:-x} ${E:-x} ${U:-x}", "first x x")?;
        case("${A-x}|${E-x}|${U-x}", "first||x")?;
        case("${A:+x}|${E:+x}|${U:+x}", "x||")?;
        case("${A+x}|${E+x}|${U+x}", "x|x|")?;
        case("${A:?x}|${A?x}|${E?x}|", "first|first||")?;
        case("${U:-/a:-b?c+d}", "/a:-b?c+d")?;
        case("${U:-$A}${U-${E:-${A} $A}}-", "firstfirst first-")?;
        case("${U:-a$$b $ c}", "a$b $ c")
    }

    #[test]
    fn braces_in_a_word_are_counted_as_in_compose() -> Outcome {
        gives("A=${U:-{x}}}", &[("A", "{x}}")])?;
        gives("A=${U:-{} {x", &[("A", "{ {x")])?;
        gives("A=${U:-{}}", &[("A", "{}")])?;
        gives("A=${U:-{}}|}", &[("A", "{}}|")])
    }

    #[test]
    fn what_is_put_in_is_not_read_again() -> Outcome {
        gives(
            "A='$B ${C'\nB=1\nD=$A # x",
            &[("A", "$B ${C"), ("B", "1"), ("D", "$B ${C")],
        )?;
        gives("A='x # y'\nB=$A", &[("A", "x # y"), ("B", "x # y")])
    }

    #[test]
    fn the_environment_goes_first_where_variables_are_put_in() -> Outcome {
        let outside = |name: &str| (name == "A").then(|| Secret::new(b"outside".to_vec()));
        let text = b"A=inside\nB=$A ${A:-x} $C\nC";
        let file = EnvFile::parse(text, &outside)?;
        assert_eq!(value(&file, "A").as_deref(), Some("inside"));
        assert_eq!(value(&file, "B").as_deref(), Some("outside outside "));
        assert_eq!(value(&file, "C"), None);
        Ok(())
    }

    #[test]
    fn a_name_alone_is_taken_from_the_environment() -> Outcome {
        let outside = |name: &str| (name == "A").then(|| Secret::new(b"outside".to_vec()));
        for text in [
            "A\nB\n",
            "B\nA",
            "export A \r\nB",
            "A=1\nA",
            "B='x'A\nB=\nB",
        ] {
            let file = EnvFile::parse(text.as_bytes(), &outside)?;
            assert_eq!(value(&file, "A").as_deref(), Some("outside"), "{text:?}");
        }
        gives("A\nB\nC=1\nD", &[("C", "1")])?;
        gives("A=1\nA", &[("A", "1")])
    }

    #[test]
    fn a_closing_quote_ends_the_statement_as_in_compose() -> Outcome {
        gives(
            "A='1'B=2\nC=\"3\" D=4",
            &[("A", "1"), ("B", "2"), ("C", "3"), ("D", "4")],
        )?;
        gives("A=\"1\"x\nB=1", &[("A", "1"), ("B", "1")])?;
        fails("A=\"1\"x\"\nB=1", &Name(1));
        Ok(())
    }

    #[test]
    fn every_fault_is_named_with_its_line() {
        for text in [
            "a b=1",
            "=1",
            "export =1",
            "A#=1",
            "A\tB=1",
            "$A",
            "A # x",
            "\"A\"=1",
        ] {
            fails(&format!("\n# x\n{text}\nB=1"), &Name(3));
        }
        for text in [
            "\"", "'", "\"x", "'x\\'", "\"x\\\"", "\"x'", "'x\"\ny", "\"\\",
        ] {
            fails(&format!("B='\n'\nA={text}"), &Quote(3));
        }
        for text in [
            "${", "${}", "${ }", "${ B}", "${B }", "${B!}", "${B/x/y}", "${1}", "${B:x}",
        ] {
            fails(&format!("B=1\r\nA=x{text}"), &Template(2));
        }
        fails("A=\"x\n${B:-\n}\"", &Template(1));
        for text in ["${B:?x}", "${B?}", "${E:?}", "${E-${B:?}}", "${B:?${E}}"] {
            fails(&format!("E=\n\nA={text}"), &Required(3));
        }
    }

    #[test]
    fn words_nest_to_their_limit() -> Outcome {
        let nested = |depth| format!("A={}x{}", "${U:-".repeat(depth), "}".repeat(depth));
        gives(&nested(ENV_WORDS_MAX), &[("A", "x")])?;
        fails(&nested(ENV_WORDS_MAX + 1), &Nested(1));
        fails(&nested(100_000), &Nested(1));
        let open = "${U:-{".repeat(100_000);
        fails(&format!("A={open}{}", "}".repeat(20)), &Nested(1));
        fails(&format!("A={open}}}"), &Template(1));
        fails(&format!("A={}", "${U:-".repeat(100_000)), &Template(1));
        Ok(())
    }

    #[test]
    fn values_that_repeat_each_other_end_at_the_limit() -> Outcome {
        let mut text = String::from("A0=0123456789\n");
        for level in 1..100 {
            let before = level - 1;
            text += &format!("A{level}=$A{before}${{A{before}}}\n");
        }
        // 10 · (2¹⁹ − 1) bytes are the first sum above 4 MiB.
        fails(&text, &Grown(19));
        let long = "x".repeat(1 << 19);
        fails(&format!("A={long}\nB={}", "${A}".repeat(1000)), &Grown(2));
        let kept = read(&format!("A={long}\nB={}", "${A:+}".repeat(80_000)))?;
        assert_eq!(value(&kept, "B").as_deref(), Some(""));
        let outside = |_: &str| Some(Secret::new(vec![b'x'; 1 << 20]));
        let found = EnvFile::parse(b"A\nB\nC\nD\nE", &outside);
        assert_eq!(found.err(), Some(Grown(5)));
        Ok(())
    }

    #[test]
    fn a_large_file_is_refused() -> Outcome {
        let fits = "#".repeat(1 << 20);
        gives(&fits, &[])?;
        fails(&format!("{fits}#"), &Large);
        Ok(())
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_in_values_and_comments_only() -> Outcome {
        let file = EnvFile::parse(b"# \xf1\nA=\xf1\xff \nB='\xe2\x80'", &|_| None)?;
        assert_eq!(file.get("A").map(Secret::expose), Some(&b"\xf1\xff"[..]));
        assert_eq!(file.get("B").map(Secret::expose), Some(&b"\xe2\x80"[..]));
        let found = EnvFile::parse(b"A=1\n\xf1=2", &|_| None);
        assert_eq!(found.err(), Some(Name(2)));
        Ok(())
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_text() -> Outcome {
        let file = read("NAME=hunter2\nhunter2=")?;
        assert_eq!(format!("{file:?}"), "EnvFile(2 variables)");
        let texts = [
            "hunter2 x=1",
            "A='hunter2",
            "A=${hunter2",
            "A=${hunter2?hunter2}",
        ];
        for text in texts {
            let error = read(text).err();
            let shown = error.map(|error| format!("{error} {error:?}"));
            assert!(
                shown.is_some_and(|shown| !shown.contains("hunter2")),
                "{text}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_buffer_that_grows_keeps_what_it_has() {
        let mut buffer = Buffer::with_capacity(1);
        for _ in 0..1000 {
            buffer.push(b"abc");
        }
        assert_eq!(buffer.into_secret().expose(), "abc".repeat(1000).as_bytes());
    }

    /// Marsaglia's xorshift, so that the cases are the same each time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap_or(0) % limit
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_stay_within_the_limit() {
        #[rustfmt::skip]
        const TOKENS: &[&[u8]] = &[
            b"A", b"B", b"C", b"1", b"_", b"=", b"=", b"=", b":", b"\n", b"\n", b"\r\n", b" ", b"\t",
            b"#", b" #", b"'", b"'", b"\"", b"\"", b"\\", b"\\\\", b"\\n", b"\\0", b"\\0123", b"\\$",
            b"$", b"$A", b"${", b"${A", b"${B:-", b"${C-", b"${A:?", b"${B?", b"${A:+", b"${C+", b"}",
            b"}", b"{", b"$$", b"export ", b"export", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\xb1",
            b"\xc2\xa0", b"\xe2\x80\xa8", b"\x00", b"A=x\n", b"B=$A$A\n", b"C='y'", b"[", b".", b"-",
        ];
        let outside = |name: &str| (name == "C").then(|| Secret::new(b"outside".to_vec()));
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..random.below(40) {
                if random.below(50) == 0 {
                    bytes.push(u8::try_from(random.below(256)).unwrap_or(0));
                } else {
                    bytes.extend_from_slice(TOKENS[random.below(TOKENS.len())]);
                }
            }
            let found = EnvFile::parse(&bytes, &outside);
            let again = EnvFile::parse(&bytes, &outside);
            assert_eq!(found.as_ref().err(), again.as_ref().err());
            let lines = bytes.split(|&byte| byte == b'\n').count() as u64;
            match found {
                Ok(file) => {
                    good += 1;
                    let sizes = file.names().filter_map(|name| file.get(name));
                    let total: usize = sizes.map(|value| value.expose().len()).sum();
                    assert!(total <= ENV_VALUES_MAX);
                    assert!(file.names().all(|name| name.chars().all(may_be_in_name)));
                }
                Err(Name(line) | Quote(line) | Template(line) | Required(line)) => {
                    bad += 1;
                    assert!((1..=lines).contains(&line), "{bytes:?}");
                }
                Err(Large | Nested(_) | Grown(_)) => bad += 1,
            }
        }
        assert!(good > 1000 && bad > 1000, "{good} {bad}");
    }
}
