//! Expire: old dumps leave the backups folder.
//!
//! Promise: a dump goes only if it is in a sound archive off this host, or if there is no room for the
//! next one otherwise, which the plan then says of it; the newest dump of each database stays in any
//! case. The plan is pure, so that what it would do can be told, and tested, without doing it; a file
//! that is not as it was when the plan was made is left alone.

use crate::ports::backups::{BackupsError, DumpName, FileState};
use crate::ports::files::{FileError, sync_parent};
use crate::words::clock::Timestamp;
use crate::words::ids::ComponentName;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A dump in the backups folder.
#[derive(Clone, Debug)]
pub struct LocalDump {
    /// Where it is.
    pub path: PathBuf,
    /// What its name says.
    pub name: DumpName,
    /// Its size.
    pub bytes: u64,
    /// When it was last written to.
    pub modified_at: Timestamp,
    /// Whether a sound archive in a store holds these very bytes.
    pub off_site: bool,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// Dumps that are more whole days old than this go; none do if there is no such number.
    pub retention_days: Option<u32>,
    /// What time it is.
    pub now: Timestamp,
    /// So many bytes have to be freed for the next dumps.
    pub to_free: u64,
    /// Whether dumps that are not off-site may go for that, too, if it helps.
    pub forced: bool,
}

/// Why a dump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is old enough, and off-site.
    Old,
    /// It is off-site, and its room is needed.
    Room,
    /// Its room is needed, though **it never left this host**.
    RoomThoughNotOffSite,
}

/// A dump that goes.
#[derive(Clone, Debug)]
pub struct Removal {
    /// Which.
    pub path: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// The time in its name.
    pub stamp: DateTime,
    /// Why.
    pub reason: Reason,
    modified_at: Timestamp,
}

/// What goes, and what stays though it is old.
#[derive(Clone, Debug, Default)]
pub struct ExpiryPlan {
    /// In the order in which they go.
    pub removals: Vec<Removal>,
    /// Old dumps that stay, since they are not off-site.
    pub held_back: Vec<PathBuf>,
}

impl LocalDump {
    /// How old it is, in whole days, as `find -mtime` counts them.
    #[must_use]
    pub fn days(&self, now: Timestamp) -> u32 {
        let age = now.duration_since(self.modified_at);
        u32::try_from(age.max(SignedDuration::ZERO).as_hours() / 24).unwrap_or(u32::MAX)
    }

    /// Whether it goes within a day where dumps go after so many.
    #[must_use]
    pub fn is_about_to_go(&self, now: Timestamp, retention_days: u32) -> bool {
        self.days(now) + 1 >= retention_days.max(1)
    }
}

impl Expiry {
    /// Whether a dump is old enough to go.
    #[must_use]
    pub fn is_old(&self, dump: &LocalDump) -> bool {
        let days = self.retention_days;
        days.is_some_and(|days| dump.days(self.now) > days)
    }
}

/// What is to go.
#[must_use]
pub fn plan(dumps: &[LocalDump], expiry: &Expiry) -> ExpiryPlan {
    let newest = newest(dumps);
    let is_newest = |dump: &LocalDump| newest.get(&dump.name.component) == Some(&dump.name.stamp);
    let is_old = |dump: &LocalDump| expiry.is_old(dump);
    let mut candidates: Vec<&LocalDump> = dumps.iter().filter(|dump| !is_newest(dump)).collect();
    candidates.sort_by_key(|dump| (dump.name.stamp, dump.path.clone()));
    let (off_site, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|d| d.off_site);
    let (old, young): (Vec<_>, Vec<_>) = off_site.into_iter().partition(|d| is_old(d));
    let mut plan = ExpiryPlan::default();
    plan.removals
        .extend(old.into_iter().map(|dump| removal(dump, Reason::Old)));
    plan.make_room(&young, Reason::Room, expiry.to_free);
    let left = expiry.to_free.saturating_sub(plan.freed());
    // What never left does not go for nothing.
    if expiry.forced && left <= others.iter().map(|dump| dump.bytes).sum() {
        plan.make_room(&others, Reason::RoomThoughNotOffSite, expiry.to_free);
    }
    let gone: BTreeSet<&Path> = plan.removals.iter().map(|r| r.path.as_path()).collect();
    let stays = |dump: &&&LocalDump| is_old(dump) && !gone.contains(dump.path.as_path());
    plan.held_back = others
        .iter()
        .filter(stays)
        .map(|d| d.path.clone())
        .collect();
    plan
}

impl ExpiryPlan {
    /// Adds dumps until there is room; of a pair all halves go, or none.
    fn make_room(&mut self, dumps: &[&LocalDump], reason: Reason, to_free: u64) {
        let mut last = None;
        for dump in dumps {
            if self.freed() >= to_free && last != Some(dump.name.stamp) {
                break;
            }
            last = Some(dump.name.stamp);
            self.removals.push(removal(dump, reason));
        }
    }

    fn freed(&self) -> u64 {
        self.removals.iter().map(|removal| removal.bytes).sum()
    }
}

fn removal(dump: &LocalDump, reason: Reason) -> Removal {
    Removal {
        path: dump.path.clone(),
        bytes: dump.bytes,
        stamp: dump.name.stamp,
        reason,
        modified_at: dump.modified_at,
    }
}

/// The newest stamp of each database.
fn newest(dumps: &[LocalDump]) -> BTreeMap<ComponentName, DateTime> {
    let mut newest = BTreeMap::new();
    for dump in dumps {
        let known = newest.entry(dump.name.component.clone());
        let stamp = known.or_insert(dump.name.stamp);
        *stamp = (*stamp).max(dump.name.stamp);
    }
    newest
}

/// Removes a dump that is as it was when the plan was made.
///
/// # Errors
/// [`BackupsError`] if it is not, or if it cannot be removed.
pub fn remove(removal: &Removal) -> Result<(), BackupsError> {
    let state = FileState::of(&removal.path)?;
    if (state.bytes, state.modified_at()) != (removal.bytes, removal.modified_at) {
        return Err(BackupsError::Growing(removal.path.clone()));
    }
    let removed = fs::remove_file(&removal.path).and_then(|()| sync_parent(&removal.path));
    Ok(removed.map_err(FileError::new("remove", &removal.path))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap_or_default()
    }

    /// A pair a night, the newest an hour old; these nights, counted back from it, are off-site.
    fn nights(count: i32, off_site: &[i32]) -> Result<Vec<LocalDump>, Box<dyn std::error::Error>> {
        let mut dumps = Vec::new();
        for night in 0..count {
            let modified_at = now() - SignedDuration::from_hours(1) - DAY * night;
            let stamp = modified_at.strftime("%Y%m%d-%H%M%S").to_string();
            for half in ["app", "zitadel"] {
                let file = format!("{half}-{stamp}.dump");
                dumps.push(LocalDump {
                    name: DumpName::parse(&file).ok_or("no name")?,
                    path: file.into(),
                    bytes: 100,
                    modified_at,
                    off_site: off_site.contains(&night),
                });
            }
        }
        Ok(dumps)
    }

    fn expiry(retention_days: Option<u32>, to_free: u64) -> Expiry {
        Expiry {
            retention_days,
            now: now(),
            to_free,
            forced: true,
        }
    }

    fn reasons(plan: &ExpiryPlan) -> Vec<Reason> {
        plan.removals.iter().map(|removal| removal.reason).collect()
    }

    #[test]
    fn what_is_old_goes_if_it_is_off_site_and_is_held_back_if_not() -> Outcome {
        let dumps = nights(6, &[0, 1, 2, 4])?;
        let plan = plan(&dumps, &expiry(Some(2), 0));
        assert_eq!(reasons(&plan), [Reason::Old; 2]);
        assert!(
            plan.removals
                .iter()
                .all(|r| dumps[8..10].iter().any(|d| d.path == r.path))
        );
        let held: BTreeSet<_> = plan.held_back.iter().collect();
        let expected = [6, 7, 10, 11].map(|place: usize| &dumps[place].path);
        assert_eq!(held, expected.into_iter().collect());
        Ok(())
    }

    #[test]
    fn days_are_those_of_find() -> Outcome {
        // `find -mtime +1` takes what is two days old and more.
        let dumps = nights(4, &[0, 1, 2, 3])?;
        let days: Vec<u32> = dumps
            .iter()
            .step_by(2)
            .map(|dump| dump.days(now()))
            .collect();
        assert_eq!(days, [0, 1, 2, 3]);
        assert_eq!(plan(&dumps, &expiry(Some(1), 0)).removals.len(), 4);
        Ok(())
    }

    #[test]
    fn nothing_is_old_without_a_number_of_days() -> Outcome {
        let dumps = nights(400, &[0, 399])?;
        let plan = plan(&dumps, &expiry(None, 0));
        assert!(plan.removals.is_empty() && plan.held_back.is_empty());
        Ok(())
    }

    #[test]
    fn room_is_made_of_what_is_off_site_first_and_never_of_the_newest() -> Outcome {
        let dumps = nights(4, &[1, 3])?;
        let enough = plan(&dumps, &expiry(Some(30), 350));
        assert_eq!(reasons(&enough), [Reason::Room; 4]);
        let more = plan(&dumps, &expiry(Some(30), 401));
        assert_eq!(more.removals[4].reason, Reason::RoomThoughNotOffSite);
        assert_eq!(more.removals.len(), 6, "a pair goes as a whole");
        let all = plan(&dumps, &expiry(Some(30), 600));
        assert_eq!(all.removals.len(), 6);
        let unforced = Expiry {
            forced: false,
            ..expiry(Some(30), 600)
        };
        assert_eq!(reasons(&plan(&dumps, &unforced)), [Reason::Room; 4]);
        let newest = [&dumps[0].path, &dumps[1].path];
        assert!(
            all.removals
                .iter()
                .all(|removal| !newest.contains(&&removal.path))
        );
        Ok(())
    }

    #[test]
    fn what_never_left_stays_if_there_would_be_no_room_all_the_same() -> Outcome {
        let dumps = nights(4, &[])?;
        assert!(plan(&dumps, &expiry(None, 601)).removals.is_empty());
        assert_eq!(plan(&dumps, &expiry(None, 1)).removals.len(), 2);
        Ok(())
    }

    #[test]
    fn the_newest_stays_however_old_it_is() -> Outcome {
        let mut dumps = nights(1, &[0])?;
        for dump in &mut dumps {
            dump.modified_at = now() - DAY * 500;
        }
        assert!(plan(&dumps, &expiry(Some(1), 1)).removals.is_empty());
        Ok(())
    }

    #[test]
    fn a_dump_that_has_changed_since_is_left_alone() -> Outcome {
        let folder = tempfile::tempdir()?;
        let mut dumps = nights(2, &[0, 1])?;
        for dump in &mut dumps {
            dump.path = folder.path().join(&dump.path);
            fs::write(&dump.path, b"x")?;
            let state = FileState::of(&dump.path)?;
            (dump.bytes, dump.modified_at) = (state.bytes, state.modified_at());
        }
        let plan = plan(&dumps, &expiry(None, 2));
        assert_eq!(plan.removals.len(), 2);
        fs::write(&plan.removals[0].path, b"more")?;
        assert!(matches!(
            remove(&plan.removals[0]),
            Err(BackupsError::Growing(_))
        ));
        remove(&plan.removals[1])?;
        assert!(plan.removals[0].path.exists() && !plan.removals[1].path.exists());
        Ok(())
    }
}
