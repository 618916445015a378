//! The laws of retention, over histories made by chance; a failure names its seed.

use super::*;
use crate::words::clock::Timestamp;
use crate::words::ids::Sequence;
use crate::words::verdict::Verdict;
use fastrand::Rng;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan};
use std::collections::BTreeSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SEEDS: u64 = 1_500;
const LABELS: [&str; 4] = ["nightly", "pre-update-1.2", "pre-update-1.3", "manual"];
const ZONES: [&str; 5] = [
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
];

/// One history, a policy, and the time at which they meet.
struct Case {
    seed: u64,
    random: Rng,
    zone: TimeZone,
    now: Timestamp,
    policy: Policy,
    points: Vec<Point<'static>>,
}

impl Case {
    fn new(seed: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let mut random = Rng::with_seed(seed);
        let now: Timestamp = "2026-11-01T06:30:00Z".parse()?;
        let zone = TimeZone::get(ZONES[random.usize(..ZONES.len())])?;
        let count = random.u64(0..40);
        let mut case = Self {
            seed,
            zone,
            now,
            policy: policy(&mut random),
            points: Vec::new(),
            random,
        };
        // Dense ones and sparse ones, most of them in the past.
        let step = [1, 6, 24, 24 * 9][case.random.usize(..4)];
        let mut at = now - SignedDuration::from_hours(step * i64::try_from(count)?);
        for number in 1..=count {
            at += SignedDuration::from_mins(case.random.i64(0..step * 120));
            let mut point = case.point(Sequence(number * 2), at);
            if case.random.u8(..8) == 0 {
                let astray = case.random.i64(-20 * step..20 * step);
                point.captured_at += SignedDuration::from_hours(astray);
            }
            case.points.push(point);
        }
        case.random.shuffle(&mut case.points);
        Ok(case)
    }

    fn point(&mut self, sequence: Sequence, captured_at: Timestamp) -> Point<'static> {
        let is_sound = self.random.u8(..5) > 0;
        Point {
            sequence,
            captured_at,
            label: LABELS[self.random.usize(..LABELS.len())],
            verdict: if is_sound {
                Verdict::Sound
            } else {
                Verdict::Suspect
            },
            is_held: self.random.u8(..20) == 0,
            is_drilled: self.random.u8(..20) == 0,
        }
    }

    /// What goes.
    fn removed(&self, policy: &Policy, points: &[Point<'_>]) -> BTreeSet<Sequence> {
        let decided = plan(policy, &self.zone, self.now, points);
        let removed = decided.iter().filter(|(_, decision)| decision.is_removal());
        removed.map(|(number, _)| *number).collect()
    }

    fn gone(&self) -> BTreeSet<Sequence> {
        self.removed(&self.policy, &self.points)
    }

    /// The sound ones that are not from the future, newest first.
    fn sound(&self) -> Vec<(Timestamp, Sequence)> {
        let sound = self
            .points
            .iter()
            .filter(|point| point.verdict == Verdict::Sound);
        let sound = sound.map(|point| (point.captured_at, point.sequence));
        let mut sound: Vec<_> = sound.filter(|(at, _)| *at <= self.now).collect();
        sound.sort_unstable();
        sound.reverse();
        sound
    }
}

fn rules(random: &mut Rng) -> Rules {
    let mut count = |most: u32| (random.u8(..3) == 0).then(|| random.u32(0..most));
    Rules {
        last: count(6),
        hourly: count(30),
        daily: count(9),
        weekly: count(6),
        monthly: count(6),
        yearly: count(3),
        within: count(40).and_then(Within::days),
    }
}

fn policy(random: &mut Rng) -> Policy {
    let patterns = ["pre-update-*", "manual", "*"].map(str::parse);
    let mut labels = Vec::new();
    for pattern in patterns.into_iter().flatten() {
        if random.u8(..3) == 0 {
            labels.push((pattern, rules(random)));
        }
    }
    Policy {
        rules: rules(random),
        labels,
        keep_sound: (random.u8(..3) == 0).then(|| random.u32(..8)),
    }
}

/// The same rules or wider ones; a group that is kept whole cannot be wider.
fn wider(rules: &Rules, random: &mut Rng) -> Rules {
    if rules.is_empty() {
        return rules.clone();
    }
    let mut more = |count: Option<u32>| match random.u32(..3) {
        0 => count,
        by => Some(count.unwrap_or(0) + by * by),
    };
    Rules {
        last: more(rules.last),
        hourly: more(rules.hourly),
        daily: more(rules.daily),
        weekly: more(rules.weekly),
        monthly: more(rules.monthly),
        yearly: more(rules.yearly),
        within: more(rules.within.map(|within| u32::from(within.in_days()))).and_then(Within::days),
    }
}

/// Runs a law over every seed, and says how often it had something to judge: a law that never removes
/// anything has not been tried.
fn law(mut holds: impl FnMut(&mut Case, &BTreeSet<Sequence>) -> bool) -> Outcome {
    let mut tried = 0;
    for seed in 0..SEEDS {
        let mut case = Case::new(seed)?;
        let gone = case.gone();
        tried += usize::from(!gone.is_empty());
        assert!(holds(&mut case, &gone), "seed {seed}: {:#?}", case.policy);
    }
    assert!(tried > 500, "only {tried} histories lost anything");
    Ok(())
}

#[test]
fn the_order_of_the_archives_does_not_matter() -> Outcome {
    law(|case, _| {
        let decided = |case: &Case| {
            let mut decided = plan(&case.policy, &case.zone, case.now, &case.points);
            decided.sort_by_key(|(number, _)| *number);
            decided
        };
        let before = decided(case);
        case.random.shuffle(&mut case.points);
        decided(case) == before
    })
}

#[test]
fn a_wider_policy_never_removes_more() -> Outcome {
    law(|case, gone| {
        let random = &mut case.random;
        let labels = case.policy.labels.iter();
        let wider = Policy {
            rules: wider(&case.policy.rules, random),
            labels: labels
                .map(|(label, rules)| (label.clone(), wider(rules, random)))
                .collect(),
            keep_sound: case.policy.keep_sound.map(|count| count + random.u32(..3)),
        };
        case.removed(&wider, &case.points).is_subset(gone)
    })
}

#[test]
fn pruning_twice_is_pruning_once() -> Outcome {
    law(|case, gone| {
        case.points.retain(|point| !gone.contains(&point.sequence));
        case.gone().is_empty()
    })
}

#[test]
fn pruning_in_two_goes_is_pruning_once() -> Outcome {
    // A prune that was cut short has removed some of what goes, and the next one removes the rest, or less.
    law(|case, gone| {
        let random = &mut case.random;
        case.points
            .retain(|point| !gone.contains(&point.sequence) || random.bool());
        case.gone().is_subset(gone)
    })
}

#[test]
fn a_suspect_archive_changes_nothing_for_sound_ones() -> Outcome {
    law(|case, gone| {
        let sound: Vec<Point<'_>> = case
            .points
            .iter()
            .filter(|point| point.verdict == Verdict::Sound)
            .cloned()
            .collect();
        let alone = case.removed(&case.policy, &sound);
        sound
            .iter()
            .all(|point| alone.contains(&point.sequence) == gone.contains(&point.sequence))
    })
}

#[test]
fn an_archive_from_the_future_or_out_of_order_is_no_reason_for_another_to_go() -> Outcome {
    law(|case, gone| {
        let newest = case.sound().first().copied();
        let last = Sequence(1_000);
        let hours = case.random.i64(1..2_000);
        let ahead = case.now + SignedDuration::from_hours(hours);
        let odd = Sequence(case.random.u64(1..40) * 2 - 1);
        let mut future = case.point(odd, ahead);
        future.verdict = Verdict::Sound;
        let mut strays = vec![future];
        if let Some((newest, _)) = newest {
            let mut late = case.point(last, newest - SignedDuration::from_hours(hours));
            late.verdict = Verdict::Sound;
            strays.push(late);
        }
        strays.into_iter().all(|stray| {
            let number = stray.sequence;
            let mut points = case.points.clone();
            points.push(stray);
            let mut now_gone = case.removed(&case.policy, &points);
            now_gone.remove(&number);
            now_gone.is_subset(gone)
        })
    })
}

#[test]
fn what_must_stay_stays() -> Outcome {
    law(|case, gone| {
        let sound = case.sound();
        let minimum = usize::try_from(case.policy.keep_sound.unwrap_or(0))
            .unwrap_or(0)
            .max(1);
        let left = sound
            .iter()
            .filter(|(_, number)| !gone.contains(number))
            .count();
        let newest_stays = sound
            .first()
            .is_none_or(|(_, number)| !gone.contains(number));
        let rest_stays = case.points.iter().all(|point| {
            let must = point.is_held || point.is_drilled || point.captured_at > case.now;
            !(must && gone.contains(&point.sequence))
        });
        newest_stays && rest_stays && left >= minimum.min(sound.len())
    })
}

#[test]
fn whatever_a_rule_says_nothing_goes_without_one() -> Outcome {
    for seed in 0..SEEDS {
        let mut case = Case::new(seed)?;
        case.policy = Policy {
            keep_sound: case.policy.keep_sound,
            ..Policy::default()
        };
        assert!(case.gone().is_empty(), "seed {}", case.seed);
    }
    Ok(())
}

#[test]
fn nothing_astray_is_kept_for_ever() -> Outcome {
    // Whatever has happened: after enough sound nights of each label what is left is what rules that
    // look back a fortnight keep of them.
    let rules = Rules {
        last: Some(5),
        daily: Some(14),
        weekly: Some(2),
        ..Rules::default()
    };
    for seed in 0..SEEDS / 5 {
        let mut case = Case::new(seed)?;
        for point in &mut case.points {
            (point.is_held, point.is_drilled) = (false, false);
        }
        case.policy = Policy {
            rules: rules.clone(),
            labels: Vec::new(),
            keep_sound: Some(3),
        };
        let newest = case.points.iter().map(|point| point.captured_at).max();
        let mut at = newest.unwrap_or(case.now).max(case.now);
        for night in 0..40 {
            at += 24.hours();
            let mut point = case.point(Sequence(2_000 + night), at);
            point.verdict = Verdict::Sound;
            (point.is_held, point.is_drilled) = (false, false);
            case.points.push(point);
        }
        case.now = at;
        let gone = case.gone();
        let left = |point: &&Point<'_>| !gone.contains(&point.sequence);
        let left: Vec<u64> = case
            .points
            .iter()
            .filter(left)
            .map(|point| point.sequence.0)
            .collect();
        assert!(
            left.iter().all(|number| *number >= 2_000),
            "seed {seed}: {left:?}"
        );
        assert!((14..=15).contains(&left.len()), "seed {seed}: {left:?}");
    }
    Ok(())
}
