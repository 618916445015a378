//! Look: every half in the folder, with what its file looks like.

use super::{BackupsError, FileState, Half, scan};
use std::path::Path;
use std::time::Duration;

/// A file that was written to longer ago than this is not being written to, unless clocks differ by
/// more.
const OLD: Duration = Duration::from_mins(1);

/// A half, as it looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The half.
    pub half: Half,
    /// What its file looked like.
    pub state: FileState,
    /// Whether the last write was long ago, as far as the clocks agree.
    pub is_old: bool,
}

/// Every half in a folder, in no order; partial and foreign files are passed over, and what is gone by
/// the time it is looked at.
///
/// # Errors
/// [`BackupsError::File`] if the folder cannot be read.
pub fn look(folder: &Path) -> Result<Vec<Seen>, BackupsError> {
    let seen = |half: Half| {
        let state = FileState::of(&half.path).ok()?;
        Some(Seen {
            is_old: state.is_old(OLD),
            half,
            state,
        })
    };
    Ok(scan(folder)?.into_iter().filter_map(seen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::time::SystemTime;

    #[test]
    fn a_look_sees_halves_and_how_old_they_are() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let names = ["app-20260101-030000.dump", "zitadel-20260101-030000.dump"];
        for name in [names[0], names[1], "app-20260102-030000.dump.partial"] {
            fs::write(folder.path().join(name), b"x")?;
        }
        let hour_old = SystemTime::now() - Duration::from_hours(1);
        let app = folder.path().join(names[0]);
        File::options()
            .write(true)
            .open(&app)?
            .set_modified(hour_old)?;
        let mut seen = look(folder.path())?;
        seen.sort_by(|a, b| a.half.path.cmp(&b.half.path));
        let found = seen
            .iter()
            .map(|seen| (seen.half.path.file_name(), seen.is_old));
        let expected = [
            (Some(names[0].as_ref()), true),
            (Some(names[1].as_ref()), false),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(seen[0].state, FileState::of(&app)?);
        assert!(look(&folder.path().join("gone")).is_err());
        Ok(())
    }
}
