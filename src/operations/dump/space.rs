//! Space: how much room the next pair is expected to take.

use super::MIB;
use crate::ports::backups::{BackupsError, FileState, scan};
use crate::words::ids::ComponentName;
use std::path::Path;

/// Room that is wanted however small the dumps are, in bytes.
const RESERVE: u64 = 64 * MIB;

/// The bytes that the next dumps of some components are expected to take: as much as the newest dump of
/// each that is in the folder, a fifth more, and 64 MiB.
///
/// # Errors
/// [`BackupsError`] if the folder cannot be read.
pub fn space_needed(backups: &Path, components: &[ComponentName]) -> Result<u64, BackupsError> {
    let halves = scan(backups)?;
    let mut needed = RESERVE;
    for component in components {
        let of_it = halves
            .iter()
            .filter(|half| half.name.component == *component);
        let newest = of_it.max_by_key(|half| half.name.stamp);
        let bytes = match newest.map(|half| FileState::of(&half.path)) {
            // Somebody may have removed it just now.
            None | Some(Err(BackupsError::Missing(_))) => 0,
            Some(state) => state?.bytes,
        };
        needed = needed.saturating_add(bytes.saturating_add(bytes / 5));
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_newest_of_each_counts() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let both = [ComponentName::app(), ComponentName::zitadel()];
        assert_eq!(space_needed(folder.path(), &both)?, RESERVE);
        for (name, bytes) in [
            ("app-20260101-030000.dump", 10_000),
            ("app-20260102-030000.dump", 1_000),
            (
                "pre-update-1.4.0-0123456789ab-20260103-030000-app.dump",
                2_000,
            ),
            ("zitadel-20260102-030000.dump", 500),
            ("zitadel-20260104-030000.dump.partial", 90_000),
        ] {
            fs::write(folder.path().join(name), vec![0; bytes])?;
        }
        assert_eq!(space_needed(folder.path(), &both)?, RESERVE + 2_400 + 600);
        assert_eq!(space_needed(folder.path(), &both[..1])?, RESERVE + 2_400);
        assert!(space_needed(&folder.path().join("missing"), &both).is_err());
        Ok(())
    }
}
