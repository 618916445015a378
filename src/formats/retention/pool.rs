//! Archives that have places, and what the rules say of one among them.
//!
//! Promise: what is asked about need not be in the pool, and asking changes nothing. The answer depends on
//! the newer ones alone, except for the oldest of all: to take any away never turns a yes into a no.

use super::plan::Kept;
use super::{Period, Rules};
use crate::words::clock::Timestamp;
use crate::words::ids::Sequence;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// When an archive was captured, and where that is in the calendar.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// Of two that were captured at the same time the later in the chain is the newer.
    pub(super) at: (Timestamp, Sequence),
    civil: DateTime,
    numbers: [i64; Period::ALL.len()],
}

impl Moment {
    pub(super) fn new(at: (Timestamp, Sequence), zone: &TimeZone) -> Self {
        let civil = zone.to_datetime(at.0);
        let numbers = Period::ALL.map(|period| period.number(civil));
        Self { at, civil, numbers }
    }
}

/// Archives that take places, newest first.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    members: Vec<Member<'a>>,
    /// What is newer than this is within the span, if there is one.
    since: Option<Timestamp>,
}

#[derive(Debug)]
struct Member<'a> {
    moment: &'a Moment,
    /// How many periods of each kind there are from the newest archive to this one.
    periods: [u32; Period::ALL.len()],
}

impl<'a> Pool<'a> {
    pub(super) fn new(rules: &Rules, zone: &TimeZone, mut moments: Vec<&'a Moment>) -> Self {
        moments.sort_unstable_by_key(|moment| std::cmp::Reverse(moment.at));
        let newest = moments.first().map(|moment| moment.at.0);
        let mut members: Vec<Member<'a>> = Vec::with_capacity(moments.len());
        for moment in moments {
            let newer = members.last();
            let counted = |place: usize| {
                let begins = newer.is_none_or(|newer| newer.begins(moment, place));
                newer.map_or(0, |newer| newer.periods[place]) + u32::from(begins)
            };
            let periods = std::array::from_fn(counted);
            members.push(Member { moment, periods });
        }
        let since = newest.and_then(|newest| Some(rules.within?.before(newest, zone)));
        Self { members, since }
    }

    /// The reasons for which the rules keep an archive in this pool, or one that joined it alone; none
    /// if they do not.
    pub(super) fn keeps(&self, rules: &Rules, moment: &Moment) -> Vec<Kept> {
        let newer = self
            .members
            .partition_point(|member| member.moment.at > moment.at);
        let next = newer
            .checked_sub(1)
            .and_then(|place| self.members.get(place));
        let is_oldest = self
            .members
            .last()
            .is_none_or(|oldest| moment.at <= oldest.moment.at);
        let mut kept = Vec::new();
        let place = u32::try_from(newer).unwrap_or(u32::MAX);
        if place < rules.last() {
            let of = rules.last();
            kept.push(Kept::Last {
                place: place + 1,
                of,
            });
        }
        let is_within = next.is_none() || self.since.is_none_or(|since| moment.at.0 > since);
        kept.extend(rules.within.filter(|_| is_within).map(Kept::Within));
        for (place, period) in Period::ALL.into_iter().enumerate() {
            let used = next.map_or(0, |next| next.periods[place]);
            let begins = next.is_none_or(|next| next.begins(moment, place));
            // While a rule has places left, the oldest archive gets one: history reaches as far back
            // as it can.
            if used < rules.count(period) && (begins || is_oldest) {
                kept.push(Kept::Period {
                    period,
                    name: period.name(moment.civil),
                    is_oldest: !begins,
                });
            }
        }
        kept
    }

    /// How many are newer.
    pub(super) fn newer(&self, moment: &Moment) -> usize {
        self.members
            .partition_point(|member| member.moment.at > moment.at)
    }
}

impl Member<'_> {
    /// Whether another period begins with the archive after this one.
    fn begins(&self, older: &Moment, place: usize) -> bool {
        self.moment.numbers[place] != older.numbers[place]
    }
}
