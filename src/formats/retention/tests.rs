//! Single rules, told as sentences.

use super::*;
use crate::words::clock::Timestamp;
use crate::words::ids::Sequence;
use crate::words::verdict::Verdict;
use jiff::tz::TimeZone;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const NOW: &str = "2026-06-30T12:00:00Z";

/// Sound archives with numbers from 1 on.
fn points<'a>(captured: &[&str]) -> Result<Vec<Point<'a>>, jiff::Error> {
    let point = |(number, captured): (u64, &&str)| {
        Ok(Point {
            sequence: Sequence(number),
            captured_at: captured.parse()?,
            label: "nightly",
            verdict: Verdict::Sound,
            is_held: false,
            is_drilled: false,
        })
    };
    (1..).zip(captured).map(point).collect()
}

fn rules(change: impl FnOnce(&mut Rules)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy.rules);
    policy
}

/// A line for each archive: its number, and why it stays or goes.
fn told(policy: &Policy, points: &[Point<'_>]) -> Result<Vec<String>, jiff::Error> {
    let decided = plan(
        policy,
        &TimeZone::get("Europe/Vienna")?,
        NOW.parse()?,
        points,
    );
    let tell = |(number, decision): (Sequence, Decision)| match decision {
        Decision::Keep(kept) => {
            let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
            format!("{number}: {}", kept.join("; "))
        }
        Decision::Remove(why) => format!("{number} goes: {why}"),
    };
    Ok(decided.into_iter().map(tell).collect())
}

const NIGHTS: [&str; 4] = [
    "2026-06-01T01:00:00Z",
    "2026-06-01T05:00:00Z",
    // Past midnight in Vienna.
    "2026-06-01T22:30:00Z",
    "2026-06-03T01:00:00Z",
];

#[test]
fn days_are_those_of_the_time_zone() -> Outcome {
    let policy = rules(|rules| rules.daily = Some(2));
    let expected = [
        "1 goes: no rule keeps it",
        "2 goes: no rule keeps it",
        "3: daily 2026-06-02",
        "4: newest sound archive; daily 2026-06-03",
    ];
    assert_eq!(told(&policy, &points(&NIGHTS)?)?, expected);
    Ok(())
}

#[test]
fn the_oldest_gets_a_place_that_nobody_else_takes() -> Outcome {
    let policy = rules(|rules| rules.monthly = Some(12));
    let expected = [
        "1: monthly 2026-06, as the oldest",
        "2 goes: no rule keeps it",
        "3 goes: no rule keeps it",
        "4: newest sound archive; monthly 2026-06",
    ];
    assert_eq!(told(&policy, &points(&NIGHTS)?)?, expected);
    Ok(())
}

#[test]
fn a_span_counts_from_the_newest_archive_so_that_an_outage_removes_nothing() -> Outcome {
    let mut policy = Policy::default();
    policy.rules.within = Some("1d4h".parse()?);
    let expected = [
        "1 goes: no rule keeps it",
        // Exactly a span back is out, as with restic.
        "2 goes: no rule keeps it",
        "3: within 1d4h",
        "4: newest sound archive; within 1d4h",
    ];
    let mut points = points(&NIGHTS)?;
    points[1].captured_at = "2026-06-01T21:00:00Z".parse()?;
    assert_eq!(told(&policy, &points)?, expected);
    Ok(())
}

#[test]
fn a_suspect_archive_takes_no_place_and_goes_when_a_sound_one_would() -> Outcome {
    let policy = rules(|rules| rules.last = Some(2));
    let mut points = points(&NIGHTS)?;
    for suspect in [0, 2] {
        points[suspect].verdict = Verdict::Suspect;
    }
    let expected = [
        "1 goes: suspect, and no rule keeps even a sound one of its time",
        "2: last 2 of 2",
        "3: suspect, takes no place of a sound one; last 2 of 2",
        "4: newest sound archive; last 1 of 2",
    ];
    assert_eq!(told(&policy, &points)?, expected);
    Ok(())
}

#[test]
fn suspect_archives_have_as_many_places_as_sound_ones_and_no_more() -> Outcome {
    let policy = rules(|rules| rules.last = Some(2));
    let mut points = points(&NIGHTS)?;
    for suspect in &mut points[1..] {
        suspect.verdict = Verdict::Suspect;
    }
    let expected = [
        "1: newest sound archive; last 1 of 2",
        "2 goes: suspect, and no rule keeps it among the suspect",
        "3: suspect, takes no place of a sound one; last 1 of 2",
        "4: suspect, takes no place of a sound one; last 1 of 2",
    ];
    assert_eq!(told(&policy, &points)?, expected);
    Ok(())
}

#[test]
fn what_is_from_the_future_stays_and_takes_no_place() -> Outcome {
    let policy = rules(|rules| rules.last = Some(1));
    let mut points = points(&NIGHTS)?;
    points[1].captured_at = "2036-01-01T00:00:00Z".parse()?;
    points[2].captured_at = "2026-06-30T12:00:01Z".parse()?;
    let expected = [
        "1 goes: no rule keeps it",
        "2: captured in the future",
        "3: captured in the future",
        "4: newest sound archive; last 1 of 1",
    ];
    assert_eq!(told(&policy, &points)?, expected);
    Ok(())
}

#[test]
fn what_is_out_of_order_takes_no_place_and_its_witness_stays_with_it() -> Outcome {
    let policy = rules(|rules| {
        rules.daily = Some(2);
        rules.last = Some(1);
    });
    // The third was made by a clock that was ten days ahead.
    let points = points(&[
        "2026-06-01T01:00:00Z",
        "2026-06-02T01:00:00Z",
        "2026-06-13T01:00:00Z",
        "2026-06-12T01:00:00Z",
        "2026-06-13T02:00:00Z",
    ])?;
    let expected = [
        "1 goes: no rule keeps it",
        "2: daily 2026-06-02",
        "3: shows that archive 4 is out of order",
        "4: captured before archive 3, takes no place; daily 2026-06-12",
        "5: newest sound archive; last 1 of 1; daily 2026-06-13",
    ];
    assert_eq!(told(&policy, &points)?, expected);
    Ok(())
}

#[test]
fn held_and_drilled_archives_stay_and_take_places_all_the_same() -> Outcome {
    let policy = rules(|rules| rules.last = Some(2));
    let mut points = points(&NIGHTS)?;
    points[0].is_held = true;
    points[1].is_drilled = true;
    let expected = [
        "1: held",
        "2: newest drilled archive",
        "3: last 2 of 2",
        "4: newest sound archive; last 1 of 2",
    ];
    assert_eq!(told(&policy, &points)?, expected);
    Ok(())
}

#[test]
fn a_label_with_rules_of_its_own_is_judged_by_these_alone() -> Outcome {
    let mut policy = rules(|rules| rules.last = Some(1));
    let own = Rules {
        last: Some(2),
        ..Rules::default()
    };
    policy.labels = vec![
        ("pre-update-*".parse()?, own),
        ("manual".parse()?, Rules::default()),
    ];
    policy.keep_sound = Some(2);
    let mut points = points(&[NIGHTS[0]; 6])?;
    for (place, label) in [
        (0, "manual"),
        (1, "pre-update-1"),
        (2, "pre-update-2"),
        (4, "pre-update-3"),
    ] {
        points[place].label = label;
    }
    let expected = [
        "1: no rules",
        "2 goes: no rule of pre-update-* keeps it",
        "3: last 2 of 2",
        "4 goes: no rule keeps it",
        "5: one of the newest 2 sound archives; last 1 of 2",
        "6: newest sound archive; one of the newest 2 sound archives; last 1 of 1",
    ];
    assert_eq!(told(&policy, &points)?, expected);
    let expected = [
        "pre-update-*: last 2",
        "manual: all",
        "archives of any other label: last 1",
        "the newest 2 sound archives in any case",
    ];
    assert_eq!(policy.describe(), expected);
    Ok(())
}

#[test]
fn without_rules_everything_stays() -> Outcome {
    let mut policy = rules(|rules| rules.daily = Some(0));
    policy.keep_sound = Some(1);
    assert!(policy.is_empty());
    assert_eq!(policy.describe(), ["no rules: everything is kept"]);
    let decided = plan(&policy, &TimeZone::UTC, NOW.parse()?, &points(&NIGHTS)?);
    assert!(decided.iter().all(|(_, decision)| !decision.is_removal()));
    assert!(plan(&policy, &TimeZone::UTC, NOW.parse()?, &[]).is_empty());
    Ok(())
}

#[test]
fn a_policy_is_told_in_the_words_of_its_settings() {
    let policy = rules(|rules| {
        *rules = Rules {
            last: Some(3),
            within: Within::days(30),
            hourly: Some(24),
            daily: Some(7),
            weekly: Some(5),
            monthly: Some(12),
            yearly: Some(10),
        };
    });
    let expected =
        "archives: last 3, within 30d, hourly 24, daily 7, weekly 5, monthly 12, yearly 10";
    assert_eq!(policy.describe(), [expected]);
}

#[test]
fn the_last_moment_of_time_is_no_danger() -> Outcome {
    let policy = rules(|rules| {
        rules.within = Within::days(30);
        rules.weekly = Some(2);
    });
    let mut points = points(&NIGHTS)?;
    points[0].captured_at = Timestamp::MIN;
    points[1].captured_at = Timestamp::MAX;
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Niue"] {
        let decided = plan(&policy, &TimeZone::get(zone)?, Timestamp::MAX, &points);
        assert_eq!(decided.len(), points.len());
    }
    Ok(())
}
