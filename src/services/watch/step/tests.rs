//! Tests of the step: folders that change, and what follows from a look at them.
#![allow(
    clippy::unchecked_time_subtraction,
    reason = "times that are out of order end a test, as they should"
)]

use super::*;
use crate::ports::backups::DumpName;

type Tested = Result<(), Box<dyn std::error::Error>>;

const ZERO: Duration = Duration::ZERO;

/// A folder: for each name a size, the second of its last write, and whether that was long ago.
#[derive(Clone, Default)]
struct Folder {
    files: BTreeMap<String, (u64, i64, bool)>,
    mode: AuthMode,
}

impl Folder {
    fn put(&mut self, name: &str, second: i64) -> &mut Self {
        self.files.insert(name.into(), (100, second, false));
        self
    }

    /// Both halves of a day.
    fn put_pair(&mut self, day: u32, second: i64) -> &mut Self {
        for name in names(day) {
            self.put(&name, second);
        }
        self
    }

    /// A pair that was there long before anybody looked.
    fn put_old(&mut self, day: u32) -> &mut Self {
        for name in names(day) {
            self.files.insert(name, (100, -3600, true));
        }
        self
    }

    fn remove_pair(&mut self, day: u32) {
        for name in names(day) {
            self.files.remove(&name);
        }
    }

    fn sight(&self) -> Sight {
        let files = self.files.iter();
        let files = files.filter_map(|(name, (bytes, second, is_old))| {
            Some(Seen {
                half: Half {
                    name: DumpName::parse(name)?,
                    path: name.into(),
                },
                state: FileState::sample(*bytes, *second),
                is_old: *is_old,
            })
        });
        Sight {
            files: files.collect(),
            mode: self.mode,
        }
    }
}

fn names(day: u32) -> [String; 2] {
    ["app", "zitadel"].map(|half| format!("{half}-202601{day:02}-030000.dump"))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn complaint(message: &str) -> Complaint {
    Complaint {
        message: message.into(),
        hint: None,
    }
}

/// A push in which the same becomes of every pair.
fn all(due: &Due, outcome: &Outcome) -> Round {
    let pairs = due.pairs.iter().chain(&due.anew);
    Round {
        pairs: pairs.map(|pair| (pair.clone(), outcome.clone())).collect(),
        end: End::Done,
    }
}

fn failed(message: &str) -> Round {
    Round {
        pairs: Vec::new(),
        end: End::Failed(complaint(message)),
    }
}

/// The days of the pairs that are due, and of those that are due anew.
fn days(due: &Due) -> (Vec<i8>, Vec<i8>) {
    let days = |pairs: &[Pair]| {
        let mut days: Vec<i8> = pairs.iter().map(|pair| pair.stamp().day()).collect();
        days.sort_unstable();
        days
    };
    (days(&due.pairs), days(&due.anew))
}

/// A state that has made its first push, of an empty folder.
fn begun() -> Result<State, &'static str> {
    let mut state = State::default();
    let due = state.step(ZERO, Ok(Folder::default().sight())).due;
    let due = due.ok_or("the first push is not due")?;
    assert_eq!(days(&due), (vec![], vec![]));
    let news = state.pushed(ZERO, due, all(&Due::default(), &Outcome::Sound));
    assert_eq!(news, []);
    Ok(state)
}

#[test]
fn a_pair_is_due_once_both_halves_have_settled_and_not_before() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    let [app, zitadel] = names(1);
    folder.put(&app, 10);
    let step = state.step(secs(10), Ok(folder.sight()));
    assert!(step.due.is_none() && step.again.is_none());
    assert_eq!((step.pairs, step.pending, step.waiting.len()), (0, 0, 1));
    assert_eq!(step.waiting[0].since, secs(10));
    folder.put(&zitadel, 14);
    let step = state.step(secs(14), Ok(folder.sight()));
    assert!(step.due.is_none() && step.waiting.is_empty());
    assert_eq!((step.again, step.pending), (Some(secs(19)), 1));
    // The second half grows.
    folder.put(&zitadel, 18);
    let step = state.step(secs(18), Ok(folder.sight()));
    assert_eq!(step.again, Some(secs(23)));
    assert!(state.step(secs(22), Ok(folder.sight())).due.is_none());
    let due = state
        .step(secs(23), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    assert_eq!(days(&due), (vec![1], vec![]));
    Ok(())
}

#[test]
fn what_was_there_for_long_is_due_at_once_unless_it_is_seen_to_change() -> Tested {
    let mut state = State::default();
    let mut folder = Folder::default();
    folder.put_old(1);
    let due = state.step(ZERO, Ok(folder.sight())).due.ok_or("not due")?;
    assert_eq!(days(&due), (vec![1], vec![]));
    // A clock that differs makes a file that is being written look old.
    let mut state = begun()?;
    folder.files.insert(names(1)[0].clone(), (50, -3600, true));
    folder.files.remove(&names(1)[1]);
    state.step(secs(1), Ok(folder.sight()));
    folder.put_old(1);
    let step = state.step(secs(2), Ok(folder.sight()));
    assert!(step.due.is_none());
    assert_eq!(step.again, Some(secs(7)));
    Ok(())
}

#[test]
fn what_is_archived_is_done_until_it_changes_and_forgotten_when_it_is_gone() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    folder.put_old(1).put_old(2);
    let due = state
        .step(secs(1), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    assert_eq!(days(&due), (vec![1, 2], vec![]));
    let round = all(&due, &Outcome::Sound);
    assert_eq!(state.pushed(secs(2), due, round), []);
    let step = state.step(secs(3), Ok(folder.sight()));
    assert!(step.due.is_none() && step.again.is_none());
    assert_eq!((step.pairs, step.pending), (2, 0));
    // One half of the first is written anew: its archive is compared with it byte by byte.
    folder.put(&names(1)[0], 10);
    let again = state.step(secs(10), Ok(folder.sight())).again;
    assert_eq!(again, Some(secs(15)));
    let due = state
        .step(secs(15), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    assert_eq!(days(&due), (vec![], vec![1]));
    let round = all(&due, &Outcome::Sound);
    state.pushed(secs(16), due, round);
    assert!(state.step(secs(17), Ok(folder.sight())).due.is_none());
    folder.remove_pair(1);
    folder.remove_pair(2);
    assert!(state.step(secs(20), Ok(folder.sight())).due.is_none());
    assert!(state.files.is_empty() && state.pairs.is_empty());
    Ok(())
}

#[test]
fn a_bad_pair_is_told_of_once_and_tried_again_ever_more_rarely() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    folder.put_old(1);
    let bad = Outcome::Bad(complaint("no dump"));
    let (mut now, mut pauses, mut told) = (secs(1), Vec::new(), 0);
    for _ in 0..9 {
        let due = state.step(now, Ok(folder.sight())).due.ok_or("not due")?;
        let round = all(&due, &bad);
        told += state.pushed(now, due, round).len();
        let step = state.step(now, Ok(folder.sight()));
        assert!(step.due.is_none() && step.pending == 1);
        let again = step.again.ok_or("never again")?;
        assert!(
            state
                .step(again - secs(1), Ok(folder.sight()))
                .due
                .is_none()
        );
        pauses.push((again - now).as_secs() / 60);
        now = again;
    }
    assert_eq!((pauses, told), (vec![1, 2, 4, 8, 16, 32, 60, 60, 60], 1));
    // Its files change: that is another matter, told of again if it is bad again.
    folder.put_pair(1, 5);
    now += secs(1);
    assert!(state.step(now, Ok(folder.sight())).due.is_none());
    now += SETTLE;
    let due = state.step(now, Ok(folder.sight())).due.ok_or("not due")?;
    let round = all(&due, &bad);
    assert_eq!(state.pushed(now, due, round).len(), 1);
    let again = state.step(now, Ok(folder.sight())).again;
    assert_eq!(again, Some(now + secs(60)));
    Ok(())
}

#[test]
fn a_pair_that_changed_since_it_was_archived_stays_due_by_its_path() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    folder.put_old(1);
    let due = state
        .step(secs(1), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    let round = all(&due, &Outcome::Sound);
    state.pushed(secs(1), due, round);
    folder.put_pair(1, 5);
    state.step(secs(5), Ok(folder.sight()));
    for now in [secs(10), secs(70)] {
        let due = state.step(now, Ok(folder.sight())).due.ok_or("not due")?;
        assert_eq!(days(&due), (vec![], vec![1]), "{now:?}");
        let round = all(&due, &Outcome::Bad(complaint("changed since")));
        let news = state.pushed(now, due, round);
        assert_eq!(news.len(), usize::from(now == secs(10)));
    }
    Ok(())
}

#[test]
fn while_pushes_fail_every_pair_is_kept_and_attempts_become_rarer() -> Tested {
    let mut state = State::default();
    let mut folder = Folder::default();
    folder.put_old(1);
    let (mut now, mut pauses, mut told) = (secs(9), Vec::new(), Vec::new());
    for round in 0..9 {
        let due = state.step(now, Ok(folder.sight())).due.ok_or("not due")?;
        told.extend(state.pushed(now, due, failed("no store")));
        folder.put_old(2 + round);
        let step = state.step(now, Ok(folder.sight()));
        assert!(step.due.is_none());
        assert_eq!(step.failing_since, Some(secs(9)));
        let again = step.again.ok_or("never again")?;
        assert!(
            state
                .step(again - secs(1), Ok(folder.sight()))
                .due
                .is_none()
        );
        pauses.push((again - now).as_secs());
        now = again;
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900, 900, 900]);
    // Told at once, and again after an hour, since it had not changed.
    let first = News::Failed(complaint("no store"), secs(30));
    assert_eq!(
        told,
        [first, News::Failed(complaint("no store"), secs(900))]
    );
    let due = state.step(now, Ok(folder.sight())).due.ok_or("not due")?;
    assert_eq!(days(&due).0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let round = all(&due, &Outcome::Sound);
    assert_eq!(state.pushed(now, due, round), [News::Works]);
    let step = state.step(now, Ok(folder.sight()));
    assert!(step.due.is_none() && step.failing_since.is_none());
    Ok(())
}

#[test]
fn another_failure_is_told_at_once() -> Tested {
    let mut state = State::default();
    let due = state.step(ZERO, Ok(Folder::default().sight())).due;
    let told = state.pushed(ZERO, due.ok_or("not due")?, failed("one"));
    assert_eq!(told.len(), 1);
    let due = state.step(secs(30), Ok(Folder::default().sight())).due;
    let told = state.pushed(secs(30), due.ok_or("not due")?, failed("other"));
    assert_eq!(told, [News::Failed(complaint("other"), secs(60))]);
    Ok(())
}

#[test]
fn a_push_that_fails_half_way_keeps_what_was_archived_until_then() -> Tested {
    let mut state = State::default();
    let mut folder = Folder::default();
    folder.put_old(1).put_old(2);
    let due = state.step(ZERO, Ok(folder.sight())).due.ok_or("not due")?;
    let mut round = all(&due, &Outcome::Sound);
    round.pairs.truncate(1);
    round.end = End::Failed(complaint("no store"));
    state.pushed(ZERO, due, round);
    let due = state
        .step(secs(30), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    assert_eq!(days(&due), (vec![2], vec![]));
    Ok(())
}

#[test]
fn a_store_that_is_behind_is_caught_up_without_a_new_pair() -> Tested {
    let mut state = State::default();
    let (mut now, mut pauses) = (ZERO, Vec::new());
    for _ in 0..8 {
        let step = state.step(now, Ok(Folder::default().sight()));
        let due = step.due.ok_or("not due")?;
        assert_eq!(days(&due), (vec![], vec![]));
        let round = Round {
            pairs: Vec::new(),
            end: End::Behind,
        };
        state.pushed(now, due, round);
        let step = state.step(now, Ok(Folder::default().sight()));
        let again = step.again.ok_or("never again")?;
        pauses.push((again - now).as_secs() / 60);
        now = again;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    let due = state.step(now, Ok(Folder::default().sight())).due;
    let round = all(&Due::default(), &Outcome::Sound);
    state.pushed(now, due.ok_or("not due")?, round);
    let step = state.step(now, Ok(Folder::default().sight()));
    assert!(step.due.is_none() && step.again.is_none());
    Ok(())
}

#[test]
fn a_suspect_pair_is_looked_at_again_with_the_next_push_and_makes_none_itself() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    folder.put_old(1);
    let due = state
        .step(secs(1), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    let round = all(&due, &Outcome::Suspect);
    state.pushed(secs(1), due, round);
    let step = state.step(secs(1), Ok(folder.sight()));
    assert!(step.due.is_none() && step.again.is_none() && step.pending == 0);
    folder.put_old(2);
    let due = state
        .step(secs(2), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    assert_eq!(days(&due), (vec![1, 2], vec![]));
    let round = all(&due, &Outcome::Sound);
    state.pushed(secs(2), due, round);
    folder.put_old(3);
    let due = state
        .step(secs(3), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    assert_eq!(days(&due), (vec![3], vec![]));
    Ok(())
}

#[test]
fn many_pairs_are_pushed_in_batches_the_oldest_first_and_the_suspect_last() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    folder.put_old(1);
    let due = state.step(secs(1), Ok(folder.sight())).due;
    let due = due.ok_or("not due")?;
    let round = all(&due, &Outcome::Suspect);
    state.pushed(secs(1), due, round);
    for number in 0..120 {
        for half in ["app", "zitadel"] {
            let name = format!(
                "{half}-2025{:02}{:02}-030000.dump",
                1 + number / 28,
                1 + number % 28
            );
            folder.files.insert(name, (100, -3600, true));
        }
    }
    let (mut sizes, mut stamps) = (Vec::new(), Vec::new());
    while let Some(due) = state.step(secs(2), Ok(folder.sight())).due {
        sizes.push(due.pairs.len());
        stamps.extend(due.pairs.iter().map(Pair::stamp));
        let round = all(&due, &Outcome::Sound);
        state.pushed(secs(2), due, round);
    }
    assert_eq!(sizes, [50, 50, 21]);
    assert!(stamps.is_sorted());
    assert_eq!(state.step(secs(2), Ok(folder.sight())).pending, 0);
    Ok(())
}

#[test]
fn what_is_not_said_of_a_pair_leads_to_no_haste() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    folder.put_old(1).put_old(2);
    let due = state
        .step(secs(1), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    let mut round = all(&due, &Outcome::Unsettled);
    round.pairs.truncate(1);
    state.pushed(secs(1), due, round);
    let step = state.step(secs(1), Ok(folder.sight()));
    assert!(step.due.is_none());
    assert_eq!((step.again, step.pending), (Some(secs(1) + SETTLE), 2));
    let due = state
        .step(secs(6), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    assert_eq!(days(&due), (vec![1, 2], vec![]));
    Ok(())
}

#[test]
fn a_folder_that_is_gone_is_told_of_once_and_nothing_is_forgotten() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    folder.put_old(1);
    let due = state
        .step(secs(1), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    let round = all(&due, &Outcome::Sound);
    state.pushed(secs(1), due, round);
    let gone = || Err(complaint("gone"));
    assert_eq!(
        state.step(secs(2), gone()).news,
        [News::Blind(complaint("gone"))]
    );
    let step = state.step(secs(3), gone());
    assert!(step.news.is_empty() && step.due.is_none() && step.again.is_none());
    let step = state.step(secs(4), Ok(folder.sight()));
    assert_eq!(step.news, [News::Sees]);
    assert!(step.due.is_none());
    // One that is not there from the start: the first push waits for it.
    let mut state = State::default();
    assert!(state.step(ZERO, gone()).due.is_none());
    assert!(state.step(secs(1), Ok(folder.sight())).due.is_some());
    Ok(())
}

#[test]
fn what_could_belong_to_two_is_told_of_once_when_it_has_settled() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder::default();
    for name in [
        "app-20260101-030000.dump",
        "app-20260101-030001.dump",
        "zitadel-20260101-030002.dump",
    ] {
        folder.put(name, 1);
    }
    assert_eq!(state.step(secs(1), Ok(folder.sight())).news, []);
    let step = state.step(secs(6), Ok(folder.sight()));
    assert!(
        matches!(&step.news[..], [News::Unclear(_)]),
        "{:?}",
        step.news
    );
    assert!(step.due.is_none());
    assert_eq!(state.step(secs(7), Ok(folder.sight())).news, []);
    folder.files.remove("app-20260101-030001.dump");
    let due = state
        .step(secs(8), Ok(folder.sight()))
        .due
        .ok_or("not due")?;
    assert_eq!(due.pairs.len(), 1);
    Ok(())
}

#[test]
fn where_sign_in_is_local_the_app_dump_is_a_pair_and_nothing_waits() -> Tested {
    let mut state = begun()?;
    let mut folder = Folder {
        mode: AuthMode::Local,
        ..Folder::default()
    };
    folder.put_old(1).put(&names(2)[1], 0);
    let step = state.step(secs(1), Ok(folder.sight()));
    assert!(step.waiting.is_empty());
    let due = step.due.ok_or("not due")?;
    assert_eq!(days(&due), (vec![1], vec![]));
    Ok(())
}

/// Whatever happens to the files and whatever pushes come to: nothing is due that has not settled; the
/// same thing is not due twice without a pause; there is always a time to look again while something
/// is pending; and nothing is remembered of files that are gone.
#[test]
fn no_history_leads_to_haste_or_to_a_pair_that_is_forgotten() -> Tested {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut state, mut folder) = (State::default(), Folder::default());
        let mut archived: BTreeMap<i8, (i64, i64)> = BTreeMap::new();
        let mut written: BTreeMap<String, i64> = BTreeMap::new();
        let mut now = 0_i64;
        for _ in 0..300 {
            now += random.i64(0..8);
            let name = names(random.u32(1..6))[random.usize(0..2)].clone();
            if random.u8(0..4) == 0 {
                folder.files.remove(&name);
                written.remove(&name);
            } else if random.u8(0..3) > 0 {
                folder.put(&name, now);
                written.insert(name, now);
            }
            let time = secs(u64::try_from(now)?);
            let step = state.step(time, Ok(folder.sight()));
            assert!(state.files.len() == folder.files.len() && state.pairs.len() <= 5);
            let Some(due) = step.due else {
                assert!(step.again.is_none_or(|again| again > time), "{seed}");
                assert!(step.pending == 0 || step.again.is_some(), "{seed}");
                continue;
            };
            let mut round = all(&due, &Outcome::Sound);
            for (pair, outcome) in &mut round.pairs {
                let day = pair.stamp().day();
                let [app, zitadel] = names(u32::from(day.unsigned_abs()));
                let at = (written[&app], written[&zitadel]);
                assert!(at.0.max(at.1) + 5 <= now, "{seed}: {day} has not settled");
                *outcome = match random.u8(0..4) {
                    0 => Outcome::Bad(complaint("bad")),
                    1 => Outcome::Unsettled,
                    _ => {
                        let before = archived.insert(day, at);
                        assert_ne!(before, Some(at), "{seed}: {day} was archived twice");
                        Outcome::Sound
                    }
                };
            }
            if random.u8(0..5) == 0 {
                round.pairs.clear();
                round.end = End::Failed(complaint("no store"));
                archived.clear();
            }
            state.pushed(time, due, round);
            let step = state.step(time, Ok(folder.sight()));
            assert!(step.due.is_none(), "{seed}: due again at once");
        }
        // Left alone, everything is archived in the end.
        for _ in 0..10 {
            let time = secs(u64::try_from(now)?);
            let step = state.step(time, Ok(folder.sight()));
            if let Some(due) = step.due {
                let round = all(&due, &Outcome::Sound);
                state.pushed(time, due, round);
            }
            now += 60 * 60;
        }
        let step = state.step(secs(u64::try_from(now)?), Ok(folder.sight()));
        assert_eq!((step.pending, step.again), (0, None), "{seed}");
    }
    Ok(())
}
