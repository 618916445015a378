//! Any bytes at all, read as an env file.
//!
//! Values stay within their limit, an error names a line that is there, and neither a mark at the
//! start nor a line at the end changes anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealift::{ENV_FILE_MAX, EnvFile, EnvFileError, Secret};

/// `ENV_VALUES_MAX` of the reader.
const VALUES_MAX: usize = 4 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

type Found = Result<EnvFile, EnvFileError>;

fuzz_target!(|data: &[u8]| {
    let found = EnvFile::parse(data, &|_| None);
    check(&found, data);
    if is_long(&found) {
        return;
    }
    same(&found, &EnvFile::parse(data, &|_| None));

    if !data.starts_with(BYTE_ORDER_MARK) {
        let marked = [BYTE_ORDER_MARK, data].concat();
        same(&found, &EnvFile::parse(&marked, &|_| None));
    }
    if let Ok(before) = &found {
        check_line_behind(before, data);
    }

    let outside = |name: &str| {
        let known = name.starts_with(['A', 'B']);
        known.then(|| Secret::new(name.repeat(9).into_bytes()))
    };
    check(&EnvFile::parse(data, &outside), data);
});

/// Whether there is so much to write and to wipe that once has to be enough.
fn is_long(found: &Found) -> bool {
    match found {
        Ok(file) => values(file)
            .iter()
            .any(|(_, value)| value.len() > 16 * 1024),
        Err(error) => matches!(error, EnvFileError::Grown(_)),
    }
}

fn check(found: &Found, data: &[u8]) {
    let lines = data.split(|&byte| byte == b'\n').count() as u64;
    match found {
        Ok(file) => {
            let total: usize = values(file).iter().map(|(_, value)| value.len()).sum();
            assert!(total <= VALUES_MAX, "{total} bytes of values");
            for name in file.names() {
                let good = |letter: char| letter.is_alphanumeric() || "_.-[]".contains(letter);
                assert!(name.chars().all(good), "{name:?}");
                assert!(!name.is_empty(), "a name is empty");
            }
        }
        Err(EnvFileError::Large) => assert!(data.len() as u64 > ENV_FILE_MAX),
        Err(
            EnvFileError::Name(line)
            | EnvFileError::Quote(line)
            | EnvFileError::Template(line)
            | EnvFileError::Required(line)
            | EnvFileError::Nested(line)
            | EnvFileError::Grown(line),
        ) => assert!((1..=lines).contains(line), "{found:?} of {lines} lines"),
    }
}

/// A further line adds its variable and leaves the others as they were.
fn check_line_behind(before: &EnvFile, data: &[u8]) {
    let longer = [data, b"\n# \"\nZ.Z='$Z'"].concat();
    let after = match EnvFile::parse(&longer, &|_| None) {
        Ok(after) => after,
        Err(EnvFileError::Large | EnvFileError::Grown(_)) => return,
        Err(error) => panic!("with a line behind: {error}"),
    };
    let mut expected = values(before);
    expected.retain(|(name, _)| *name != "Z.Z");
    let mut left = values(&after);
    left.retain(|(name, _)| *name != "Z.Z");
    assert_eq!(left, expected);
    assert_eq!(after.get("Z.Z").map(Secret::expose), Some(&b"$Z"[..]));
}

fn same(one: &Found, other: &Found) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert_eq!(values(one), values(other)),
        (Err(one), Err(other)) => assert_eq!(one, other),
        _ => panic!("{one:?} and {other:?}"),
    }
}

/// All names, each with the value that it must have.
fn values(file: &EnvFile) -> Vec<(&str, &[u8])> {
    let value = |name| match file.get(name) {
        Some(value) => (name, value.expose()),
        None => panic!("{name:?} has no value"),
    };
    file.names().map(value).collect()
}
