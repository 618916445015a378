//! Choice: the archive that was asked for, of all that there are.

use crate::operations::catalog::{Catalog, Summary};
use crate::words::clock::Timestamp;
use crate::words::ids::Sequence;
use crate::words::verdict::Verdict;
use std::sync::Arc;

/// Which archive is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The newest.
    Latest,
    /// The newest that was captured at this time or before.
    At(Timestamp),
    /// The one whose id starts with this.
    Id(String),
}

/// Whether an archive that something was found against will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Sound archives only.
    SoundOnly,
    /// The newest, sound or suspect.
    SuspectToo,
}

/// An archive that was chosen, and what was passed over for it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The archive.
    pub archive: Arc<Summary>,
    /// Newer archives that are suspect.
    pub skipped: Vec<Arc<Summary>>,
}

/// No archive is what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchArchive {
    /// There is none at all.
    #[error("there is no archive of {0}")]
    None(String),
    /// Every archive that would do is suspect.
    #[error("there is no sound archive among {0}; all are suspect")]
    AllSuspect(usize),
    /// None was captured by then.
    #[error("there is no archive from {0} or before")]
    NoneBy(Timestamp),
    /// None has such an id.
    #[error("there is no archive whose id starts with {0:?}")]
    NoId(String),
    /// More than one has such an id.
    #[error("more than one archive has an id that starts with {0:?}")]
    Ambiguous(String),
}

impl Catalog {
    /// Chooses an archive. By time, suspect ones are passed over unless asked for; by id, never.
    ///
    /// # Errors
    /// [`NoSuchArchive`].
    pub fn choose(
        &self,
        selector: &Selector,
        trust: Trust,
        instance: &str,
    ) -> Result<Chosen, NoSuchArchive> {
        let by = match selector {
            Selector::Id(prefix) => return self.by_id(prefix),
            Selector::Latest => Timestamp::MAX,
            Selector::At(time) => *time,
        };
        let mut by_time: Vec<&Arc<Summary>> = self
            .archives
            .iter()
            .filter(|archive| archive.captured_at <= by)
            .collect();
        by_time.sort_by_key(|archive| (archive.captured_at, archive.sequence));
        let will_do = |archive: &&Arc<Summary>| {
            trust == Trust::SuspectToo || archive.verdict == Verdict::Sound
        };
        match by_time.iter().rposition(will_do) {
            Some(place) => Ok(Chosen {
                archive: Arc::clone(by_time[place]),
                skipped: by_time[place + 1..]
                    .iter()
                    .map(|&archive| Arc::clone(archive))
                    .collect(),
            }),
            None if !by_time.is_empty() => Err(NoSuchArchive::AllSuspect(by_time.len())),
            None if self.archives.is_empty() => Err(NoSuchArchive::None(instance.to_owned())),
            None => Err(NoSuchArchive::NoneBy(by)),
        }
    }

    /// By the first four digits of an id or more, or by a sequence.
    fn by_id(&self, wanted: &str) -> Result<Chosen, NoSuchArchive> {
        let chosen = |archive: &Arc<Summary>| Chosen {
            archive: Arc::clone(archive),
            skipped: Vec::new(),
        };
        let mut found = self
            .archives
            .iter()
            .filter(|archive| archive.id.to_string().starts_with(wanted));
        match (found.next().filter(|_| wanted.len() >= 4), found.next()) {
            (Some(archive), None) => return Ok(chosen(archive)),
            (Some(_), Some(_)) => return Err(NoSuchArchive::Ambiguous(wanted.to_owned())),
            (None, _) => {}
        }
        let sequence = wanted.parse().map(Sequence).ok();
        let found = self
            .archives
            .iter()
            .find(|archive| Some(archive.sequence) == sequence);
        found
            .map(chosen)
            .ok_or_else(|| NoSuchArchive::NoId(wanted.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::catalog::tests::catalog;
    use crate::words::ids::ArchiveId;

    fn chosen(selector: &Selector, trust: Trust) -> Result<(u64, usize), String> {
        let catalog = catalog().map_err(|error| error.to_string())?;
        let chosen = catalog
            .choose(selector, trust, "lazyit")
            .map_err(|error| error.to_string())?;
        Ok((chosen.archive.sequence.0, chosen.skipped.len()))
    }

    #[test]
    fn the_latest_is_the_newest_sound_capture_whatever_its_place() {
        assert_eq!(chosen(&Selector::Latest, Trust::SoundOnly), Ok((1, 1)));
        assert_eq!(chosen(&Selector::Latest, Trust::SuspectToo), Ok((3, 0)));
    }

    #[test]
    fn a_time_chooses_the_last_before_it() -> Result<(), jiff::Error> {
        let at = |time: &str| time.parse().map(Selector::At);
        assert_eq!(
            chosen(&at("2026-01-02T02:59:59Z")?, Trust::SoundOnly),
            Ok((2, 0))
        );
        assert!(chosen(&at("2025-01-01T00:00:00Z")?, Trust::SoundOnly).is_err());
        Ok(())
    }

    #[test]
    fn an_id_chooses_even_a_suspect_archive_by_four_digits_or_more() {
        let id = ArchiveId::of(&3_u64.to_be_bytes()).to_string();
        assert_eq!(
            chosen(&Selector::Id(id[..8].into()), Trust::SoundOnly),
            Ok((3, 0))
        );
        assert!(chosen(&Selector::Id(id[..3].into()), Trust::SoundOnly).is_err());
        assert!(chosen(&Selector::Id("zzzz".into()), Trust::SoundOnly).is_err());
        assert_eq!(
            chosen(&Selector::Id("2".into()), Trust::SoundOnly),
            Ok((2, 0))
        );
    }
}
