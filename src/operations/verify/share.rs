//! Shares: which blobs are read this time.
//!
//! Promise: runs that read a share each read every blob before they read one again, as long as the
//! index remembers; and without it the runs of successive days do, since each begins where that of the
//! day before ended. A run reads its share at least, and at most one blob more.

use crate::words::clock::Timestamp;
use crate::words::ids::BlobId;

/// How much of the stored bytes is read in one run, in percent: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u8);

impl Share {
    /// Everything.
    pub const WHOLE: Self = Self(100);

    /// So many percent; `None` unless they are 1 to 100.
    #[must_use]
    pub fn percent(percent: u8) -> Option<Self> {
        matches!(percent, 1..=100).then_some(Self(percent))
    }

    /// So much of a number of bytes, rounded up.
    fn of(self, bytes: u64) -> u64 {
        let part = (u128::from(bytes) * u128::from(self.0)).div_ceil(100);
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}

/// A blob that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: BlobId,
    /// Its size as stored.
    pub(super) bytes: u64,
    /// The last run that read it, if that is known.
    pub(super) read_in: Option<u64>,
}

const DAY: i64 = 24 * 60 * 60;

/// Puts blobs into the order in which they are read, and leaves those of this run: of those that were
/// read least recently, those first whose turn it is today.
pub(super) fn choose(blobs: &mut Vec<Candidate>, share: Share, now: Timestamp) {
    blobs.sort_unstable_by_key(|blob| blob.id);
    let all = blobs.iter().map(|blob| blob.bytes).sum();
    let start = start_of_day(blobs, share, all, now);
    blobs.rotate_left(start);
    blobs.sort_by_key(|blob| blob.read_in);
    let (due, mut before) = (share.of(all), 0_u64);
    blobs.retain(|blob| {
        // One without bytes takes nothing from the share.
        let is_due = share == Share::WHOLE || before < due || blob.bytes == 0;
        before = before.saturating_add(blob.bytes);
        is_due
    });
}

/// The place among the sorted blobs where the run of this day begins.
fn start_of_day(blobs: &[Candidate], share: Share, all: u64, now: Timestamp) -> usize {
    let day = now.as_second().div_euclid(DAY).unsigned_abs();
    let percent = u128::from(day) * u128::from(share.0) % 100;
    let start = u128::from(all) * percent / 100;
    let mut before = 0_u128;
    let is_before = |blob: &Candidate| {
        let is_before = before < start;
        before += u128::from(blob.bytes);
        is_before
    };
    let place = blobs.iter().map(is_before).position(|is_before| !is_before);
    place.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn store(count: u64) -> Vec<Candidate> {
        let blob = |number: u64| Candidate {
            id: BlobId::of(&number.to_be_bytes()),
            bytes: 1 + number * 7919 % 1000,
            read_in: None,
        };
        (0..count).map(blob).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    /// How often each blob is read in some runs, of which each remembers those before it, or not.
    fn counts(percent: u8, runs: i64, remembers: bool, step: i64) -> BTreeMap<BlobId, u32> {
        let mut blobs = store(237);
        let mut counts: BTreeMap<BlobId, u32> = blobs.iter().map(|blob| (blob.id, 0)).collect();
        for run in 0..runs {
            let now = at(1_790_000_000 + run * step);
            let mut chosen = blobs.clone();
            choose(&mut chosen, Share(percent), now);
            for one in chosen {
                *counts.entry(one.id).or_default() += 1;
                for blob in blobs
                    .iter_mut()
                    .filter(|blob| remembers && blob.id == one.id)
                {
                    blob.read_in = Some(run.unsigned_abs());
                }
            }
        }
        counts
    }

    #[test]
    fn ten_runs_of_a_tenth_read_everything_however_close_they_are() {
        for step in [0, 1, DAY] {
            let counts = counts(10, 10, true, step);
            assert!(
                counts.values().all(|&count| count >= 1),
                "{step}: {counts:?}"
            );
            // A run overshoots by less than a blob, so the tenth may begin anew with a few.
            let again = counts.values().filter(|&&count| count > 1).count();
            assert!(again <= 10, "{step}: {again}");
        }
    }

    #[test]
    fn without_an_index_successive_days_read_everything() {
        for (percent, days) in [(10, 10), (30, 4), (7, 15), (1, 100), (100, 1)] {
            let counts = counts(percent, days, false, DAY);
            assert!(counts.values().all(|&count| count >= 1), "{percent}");
        }
    }

    #[test]
    fn what_was_read_least_recently_comes_first() {
        let mut blobs = store(3);
        blobs[0].read_in = Some(2);
        blobs[1].read_in = Some(1);
        let expected = [blobs[2].id, blobs[1].id, blobs[0].id];
        choose(&mut blobs, Share::WHOLE, at(100));
        let order: Vec<BlobId> = blobs.iter().map(|blob| blob.id).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn a_share_is_one_to_a_hundred_percent() {
        assert_eq!(Share::percent(0), None);
        assert_eq!(Share::percent(101), None);
        assert_eq!(Share::percent(100), Some(Share::WHOLE));
        assert_eq!(Share(10).of(11), 2);
        assert_eq!(Share::WHOLE.of(u64::MAX), u64::MAX);
    }
}
