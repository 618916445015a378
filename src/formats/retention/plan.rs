//! The plan: for each archive the reasons why it stays, or the one why it goes.

use super::pool::{Moment, Pool};
use super::{Period, Policy, Rules, Within};
use crate::words::clock::Timestamp;
use crate::words::ids::Sequence;
use crate::words::verdict::Verdict;
use jiff::tz::TimeZone;
use std::fmt;

/// An archive, as far as retention looks at it.
#[derive(Clone, Debug)]
pub struct Point<'a> {
    /// Its place in the chain. No two have the same.
    pub sequence: Sequence,
    /// When its dumps were made.
    pub captured_at: Timestamp,
    /// Its label.
    pub label: &'a str,
    /// Whether it can be trusted to restore.
    pub verdict: Verdict,
    /// Whether somebody holds it.
    pub is_held: bool,
    /// Whether it is the newest that was drilled.
    pub is_drilled: bool,
}

/// Why an archive stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Somebody holds it.
    Held,
    /// It is the newest that was drilled.
    NewestDrilled,
    /// It is the newest sound one: what a fetch of the latest gets.
    NewestSound,
    /// It is among the newest so many sound ones, which stay in any case.
    Minimum(u32),
    /// It was captured after now, by the clock that it was captured by.
    Future,
    /// Its group has no rules.
    NoRules,
    /// It is suspect, and a sound one in its place would be kept for the reasons that follow.
    Suspect,
    /// It was captured before the archive of that number, though it is later in the chain, and is kept
    /// for the reasons that follow.
    OutOfOrder(Sequence),
    /// It is one of the newest.
    Last {
        /// Which one, from 1.
        place: u32,
        /// How many are kept.
        of: u32,
    },
    /// It is not further back from the newest.
    Within(Within),
    /// It is the newest of a period, or the oldest archive of all while the rule has places left.
    Period {
        /// The kind.
        period: Period,
        /// Which one, as people write it.
        name: String,
        /// Whether it is kept only as the oldest.
        is_oldest: bool,
    },
    /// Without it nobody could see that the archive of that number, which stays, is out of order.
    Witness(Sequence),
}

/// What becomes of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays, for at least one reason.
    Keep(Vec<Kept>),
    /// It goes, and why.
    Remove(String),
}

impl Decision {
    /// Whether it goes.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::Remove(_))
    }
}

/// Decides on every archive of one instance, in the order in which they are given, which does not matter
/// otherwise. Days and other periods are those of the time zone.
#[must_use]
pub fn plan(
    policy: &Policy,
    zone: &TimeZone,
    now: Timestamp,
    points: &[Point<'_>],
) -> Vec<(Sequence, Decision)> {
    let places = order(points, now);
    let seen: Vec<Seen<'_>> = points
        .iter()
        .zip(places)
        .map(|(point, order)| Seen {
            point,
            order,
            group: policy.group(point.label),
            moment: Moment::new((point.captured_at, point.sequence), zone),
        })
        .collect();
    let all = Archives::new(policy, zone, &seen);
    let mut kept: Vec<Vec<Kept>> = seen.iter().map(|archive| all.reasons(archive)).collect();
    let mut out_of_order: Vec<(Sequence, usize)> = seen
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| !kept.is_empty())
        .filter_map(|(archive, _)| Some((archive.point.sequence, archive.witness()?)))
        .collect();
    out_of_order.sort_unstable();
    for (archive, witness) in out_of_order {
        // A witness never has one of its own, so this is done after one round.
        if kept[witness].is_empty() {
            kept[witness].push(Kept::Witness(archive));
        }
    }
    let decided = seen.iter().zip(kept).map(|(archive, kept)| {
        let decision = if kept.is_empty() {
            Decision::Remove(all.why_not(archive))
        } else {
            Decision::Keep(kept)
        };
        (archive.point.sequence, decision)
    });
    decided.collect()
}

/// Where the time of an archive stands among those of the archives before it in the chain.
#[derive(Clone, Copy, Debug)]
enum Order {
    Regular,
    /// It was captured before this one, which is earlier in the chain.
    Before(usize),
    Future,
}

/// An archive, and what is known of its time.
struct Seen<'a> {
    point: &'a Point<'a>,
    order: Order,
    group: usize,
    moment: Moment,
}

impl Seen<'_> {
    fn witness(&self) -> Option<usize> {
        match self.order {
            Order::Before(witness) => Some(witness),
            Order::Regular | Order::Future => None,
        }
    }

    fn has_place(&self, verdict: Verdict) -> bool {
        matches!(self.order, Order::Regular) && self.point.verdict == verdict
    }
}

/// How the times of archives stand to each other: sound ones are compared with sound ones, and suspect
/// ones with suspect ones, since a suspect one must not change what becomes of a sound one.
fn order(points: &[Point<'_>], now: Timestamp) -> Vec<Order> {
    let mut chain: Vec<usize> = (0..points.len()).collect();
    chain.sort_unstable_by_key(|place| points[*place].sequence);
    let mut order = vec![Order::Regular; points.len()];
    let (mut sound, mut suspect) = (None, None);
    for place in chain {
        let point = &points[place];
        let newest: &mut Option<usize> = match point.verdict {
            Verdict::Sound => &mut sound,
            Verdict::Suspect => &mut suspect,
        };
        let is_before = |other: &usize| point.captured_at < points[*other].captured_at;
        order[place] = if point.captured_at > now {
            Order::Future
        } else if let Some(other) = newest.filter(is_before) {
            Order::Before(other)
        } else {
            *newest = Some(place);
            Order::Regular
        };
    }
    order
}

/// All archives, by what they are judged among.
struct Archives<'a> {
    groups: Vec<Group<'a>>,
    /// The sound ones of all groups.
    sound: Pool<'a>,
    minimum: u32,
    points: Vec<Sequence>,
}

struct Group<'a> {
    rules: &'a Rules,
    name: Option<String>,
    sound: Pool<'a>,
    suspect: Pool<'a>,
}

impl<'a> Archives<'a> {
    fn new(policy: &'a Policy, zone: &TimeZone, seen: &'a [Seen<'a>]) -> Self {
        let group = |(number, rules): (usize, &'a Rules)| {
            let of = |verdict| {
                let members = seen.iter().filter(|archive| archive.group == number);
                let members = members.filter(|archive| archive.has_place(verdict));
                Pool::new(
                    rules,
                    zone,
                    members.map(|archive| &archive.moment).collect(),
                )
            };
            let label = number
                .checked_sub(1)
                .and_then(|place| policy.labels.get(place));
            Group {
                rules,
                name: label.map(|(pattern, _)| pattern.to_string()),
                sound: of(Verdict::Sound),
                suspect: of(Verdict::Suspect),
            }
        };
        let sound = seen
            .iter()
            .filter(|archive| archive.has_place(Verdict::Sound));
        let sound = sound.map(|archive| &archive.moment).collect();
        Self {
            groups: policy.groups().enumerate().map(group).collect(),
            sound: Pool::new(&Rules::default(), zone, sound),
            minimum: policy.keep_sound.unwrap_or(0),
            points: seen.iter().map(|archive| archive.point.sequence).collect(),
        }
    }

    /// Every reason to keep an archive.
    fn reasons(&self, archive: &Seen<'_>) -> Vec<Kept> {
        let point = archive.point;
        let mut kept = Vec::new();
        kept.extend(point.is_held.then_some(Kept::Held));
        kept.extend(point.is_drilled.then_some(Kept::NewestDrilled));
        if matches!(archive.order, Order::Future) {
            kept.push(Kept::Future);
            return kept;
        }
        if point.verdict == Verdict::Sound {
            let newer = self.sound.newer(&archive.moment);
            kept.extend((newer == 0).then_some(Kept::NewestSound));
            let is_among = u32::try_from(newer).is_ok_and(|newer| newer < self.minimum);
            kept.extend(is_among.then_some(Kept::Minimum(self.minimum)));
        }
        kept.extend(self.by_rules(archive));
        kept
    }

    /// What the rules of its group say.
    fn by_rules(&self, archive: &Seen<'_>) -> Vec<Kept> {
        let Some(group) = self.groups.get(archive.group) else {
            return vec![Kept::NoRules];
        };
        if group.rules.is_empty() {
            return vec![Kept::NoRules];
        }
        let mut reasons = group.sound.keeps(group.rules, &archive.moment);
        if reasons.is_empty() || group.is_crowded_out(archive) {
            return Vec::new();
        }
        if let Some(witness) = archive.witness().and_then(|place| self.points.get(place)) {
            reasons.insert(0, Kept::OutOfOrder(*witness));
        }
        if archive.point.verdict == Verdict::Suspect {
            reasons.insert(0, Kept::Suspect);
        }
        reasons
    }

    /// Why an archive goes that nothing keeps.
    fn why_not(&self, archive: &Seen<'_>) -> String {
        let Some(group) = self.groups.get(archive.group) else {
            return "no rule keeps it".into();
        };
        let rules = match &group.name {
            Some(label) => format!("no rule of {label} keeps"),
            None => "no rule keeps".into(),
        };
        if archive.point.verdict == Verdict::Sound {
            format!("{rules} it")
        } else if group.is_crowded_out(archive) {
            format!("suspect, and {rules} it among the suspect")
        } else {
            format!("suspect, and {rules} even a sound one of its time")
        }
    }
}

impl Group<'_> {
    /// Whether suspect archives have as many places as the rules give them, without this one.
    fn is_crowded_out(&self, archive: &Seen<'_>) -> bool {
        let is_suspect = archive.point.verdict == Verdict::Suspect;
        is_suspect && self.suspect.keeps(self.rules, &archive.moment).is_empty()
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::NewestDrilled => f.write_str("newest drilled archive"),
            Self::NewestSound => f.write_str("newest sound archive"),
            Self::Minimum(count) => write!(f, "one of the newest {count} sound archives"),
            Self::Future => f.write_str("captured in the future"),
            Self::NoRules => f.write_str("no rules"),
            Self::Suspect => f.write_str("suspect, takes no place of a sound one"),
            Self::OutOfOrder(other) => {
                write!(f, "captured before archive {other}, takes no place")
            }
            Self::Last { place, of } => write!(f, "last {place} of {of}"),
            Self::Within(span) => write!(f, "within {span}"),
            Self::Period {
                period,
                name,
                is_oldest,
            } => {
                let oldest = if *is_oldest { ", as the oldest" } else { "" };
                write!(f, "{period} {name}{oldest}")
            }
            Self::Witness(other) => write!(f, "shows that archive {other} is out of order"),
        }
    }
}
