//! A year of a sidecar, simulated: the clock, the host's sleep, its restarts, the store's outages, the
//! disk. The schedule, the step, the driver, the night and the plan of what expires are the real ones.

use super::{Came, DueRun, Night, NightReport, Sidecar, night, serve};
use crate::formats::schedule::Schedule;
use crate::operations::expire::{Expiry, LocalDump, Reason, plan};
use crate::ports::backups::DumpName;
use crate::ports::index::Run;
use crate::ports::store::Ping;
use crate::words::clock::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ToSpan};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RETENTION_DAYS: u32 = 14;
/// The disk holds about forty nights.
const DISK: u64 = 40 * 2 * 110;

struct World {
    now: Timestamp,
    end: Timestamp,
    chance: fastrand::Rng,
    zone: TimeZone,
    runs: BTreeMap<Timestamp, Run>,
    dumps: Vec<LocalDump>,
    store_is_down_until: Timestamp,
    process_ends: bool,
    begun: u32,
    forced: u32,
    wrong: Vec<String>,
}

impl World {
    fn new(seed: u64, start: Timestamp, end: Timestamp, zone: TimeZone) -> Self {
        Self {
            now: start,
            end,
            chance: fastrand::Rng::with_seed(seed),
            zone,
            runs: BTreeMap::new(),
            dumps: Vec::new(),
            store_is_down_until: start,
            process_ends: false,
            begun: 0,
            forced: 0,
            wrong: Vec::new(),
        }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.chance.u32(0..chances) == 0
    }

    fn bytes(&self) -> u64 {
        self.dumps.iter().map(|dump| dump.bytes).sum()
    }

    /// Removes what the real plan says, and looks over its shoulder.
    fn remove(&mut self, to_free: u64) {
        let expiry = Expiry {
            retention_days: Some(RETENTION_DAYS),
            now: self.now,
            to_free,
            forced: true,
        };
        for removal in plan(&self.dumps, &expiry).removals {
            let Some(place) = self.dumps.iter().position(|dump| dump.path == removal.path) else {
                self.wrong.push(format!("removed twice: {removal:?}"));
                continue;
            };
            let dump = self.dumps.remove(place);
            let is_forced = removal.reason == Reason::RoomThoughNotOffSite;
            if !dump.off_site && (!is_forced || to_free == 0) {
                self.wrong.push(format!("lost: {dump:?} for {removal:?}"));
            }
            self.forced += u32::from(is_forced);
        }
    }
}

impl Night for World {
    type Failure = String;

    async fn dump(&mut self) -> std::result::Result<(), String> {
        let minutes = if self.one_in(40) {
            1800
        } else {
            self.chance.i64(1..90)
        };
        let stamp = self.now.to_zoned(self.zone.clone()).datetime();
        self.pass(minutes * 60);
        if self.one_in(12) {
            return Err("the database is down".into());
        }
        let free = DISK.saturating_sub(self.bytes());
        self.remove(220_u64.saturating_sub(free));
        for half in ["app", "zitadel"] {
            let file = format!("{half}-{}.dump", stamp.strftime("%Y%m%d-%H%M%S"));
            let name = DumpName::parse(&file).ok_or("no name")?;
            if self
                .dumps
                .iter()
                .any(|dump| dump.path.as_os_str() == file.as_str())
            {
                continue; // the hour that a day has twice
            }
            self.dumps.push(LocalDump {
                path: file.into(),
                name,
                bytes: self.chance.u64(90..110),
                modified_at: self.now,
                off_site: false,
            });
        }
        Ok(())
    }

    async fn push(&mut self) -> std::result::Result<(), String> {
        if self.one_in(60) {
            let days = self.chance.i64(1..60);
            self.store_is_down_until = self.now + SignedDuration::from_hours(24 * days);
        }
        if self.now < self.store_is_down_until {
            return Err("the store is down".into());
        }
        // A suspect one stays where it is.
        for pair in self.dumps.chunks_mut(2) {
            let is_suspect = self.chance.u32(0..30) == 0;
            for dump in pair {
                dump.off_site |= !is_suspect;
            }
        }
        Ok(())
    }

    async fn expire(&mut self) -> std::result::Result<(), String> {
        self.remove(0);
        Ok(())
    }

    async fn ping(&mut self, _ping: Ping, _word: &str) {}
    async fn call_for_help(&mut self, _line: &str) {}

    fn is_stopped(&self) -> bool {
        self.process_ends
    }
}

impl Sidecar for World {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn last_run(&mut self) -> Option<Run> {
        self.runs.values().next_back().cloned()
    }

    async fn remember(&mut self, run: &Run) {
        self.begun += u32::from(run.ended_at.is_none() && run.attempts == 1);
        self.runs.insert(run.tick, run.clone());
    }

    fn clock_was_set_back(&mut self) {
        self.wrong.push("the clock was not set back".into());
    }

    async fn gave_up(&mut self, _run: &Run) {}

    async fn run(&mut self, due: &DueRun) -> Came {
        let name = due.tick.to_string();
        self.process_ends = self.one_in(25);
        match night(self, &name).await {
            NightReport::Ended(failures) => {
                failures.first().cloned().map_or(Came::Well, Came::Failed)
            }
            NightReport::CutShort => Came::CutShort,
        }
    }

    async fn wait(&mut self, time: Duration, next: Timestamp) -> bool {
        let left = self.now.duration_until(next).as_secs();
        let seconds = i64::try_from(time.as_secs()).unwrap_or(1).max(1);
        // Not every glance of a year has to be taken one by one.
        let seconds = if left > 900 { seconds * 30 } else { seconds };
        self.pass(seconds);
        if self.one_in(4000) {
            let hours = self.chance.i64(1..200);
            self.pass(hours * 3600);
        }
        self.process_ends = self.one_in(2000);
        self.now < self.end && !self.process_ends
    }
}

/// A sidecar from the start to the end, started again whenever its process ends.
async fn a_year(pattern: &str, seed: u64) -> Result<World> {
    let zone = TimeZone::get("Europe/Vienna")?;
    let schedule = Schedule::parse(pattern, zone.clone())?;
    let start: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let end = start
        .to_zoned(zone.clone())
        .saturating_add(1.year())
        .timestamp();
    let mut world = World::new(seed, start, end, zone);
    while world.now < world.end {
        serve(&schedule, &mut world).await;
        let down = if world.one_in(5) {
            world.chance.i64(0..400_000)
        } else {
            5
        };
        // Before its first run a sidecar knows of no tick that it could have missed.
        world.pass(if world.runs.is_empty() { 1 } else { down });
    }
    Ok(world)
}

/// Half past two of every day, worked out another way.
fn nights(zone: &TimeZone) -> Result<Vec<Timestamp>> {
    let mut day: Date = "2026-01-01".parse()?;
    let mut ticks = Vec::new();
    for _ in 0..430 {
        let half_past_two = day.at(2, 30, 0, 0);
        ticks.push(match zone.to_ambiguous_timestamp(half_past_two).offset() {
            AmbiguousOffset::Gap { before, .. } => before.to_timestamp(day.at(2, 0, 0, 0))?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(half_past_two)?,
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(half_past_two)?,
        });
        day = day.tomorrow()?;
    }
    Ok(ticks)
}

#[tokio::test]
async fn a_year_of_nights_is_accounted_for_and_loses_no_dump() -> Result<()> {
    let zone = TimeZone::get("Europe/Vienna")?;
    let ticks = nights(&zone)?;
    let (mut missed, mut forced, mut cut_off) = (0, 0, 0);
    for seed in 0..8 {
        let world = a_year("30 2 * * *", seed).await?;
        assert_eq!(world.wrong, Vec::<String>::new(), "seed {seed}");
        let last = world.runs.keys().next_back().ok_or("no run")?;
        let expected = ticks.iter().filter(|tick| *tick <= last).count();
        let accounted: u32 = world.runs.values().map(|run| run.missed).sum::<u32>()
            + u32::try_from(world.runs.len())?;
        // One that was cut off, and that a later run stands for, is counted with both.
        let given_up = world.runs.values().filter(|run| run.ended_at.is_none());
        let given_up = u32::try_from(given_up.filter(|run| run.tick < *last).count())?;
        assert_eq!(
            accounted - given_up,
            u32::try_from(expected)?,
            "seed {seed}"
        );
        for tick in world.runs.keys() {
            assert!(ticks.contains(tick), "seed {seed}: {tick} is no tick");
        }
        missed += accounted - u32::try_from(world.runs.len())?;
        forced += world.forced;
        cut_off += given_up;
    }
    // The year had all that it is to be tested with.
    assert!(
        missed > 50 && forced > 0 && cut_off > 0,
        "{missed} {forced} {cut_off}"
    );
    Ok(())
}

#[tokio::test]
async fn every_hour_of_a_year_is_accounted_for() -> Result<()> {
    let world = a_year("0 * * * *", 7).await?;
    assert_eq!(world.wrong, Vec::<String>::new());
    let (Some((first, one)), Some((last, _))) =
        (world.runs.first_key_value(), world.runs.last_key_value())
    else {
        return Err("no runs".into());
    };
    let expected = first.duration_until(*last).as_hours() + 1;
    let accounted: i64 = world
        .runs
        .values()
        .map(|run| 1 + i64::from(run.missed))
        .sum();
    let given_up = world.runs.values().filter(|run| run.ended_at.is_none());
    let given_up = i64::try_from(given_up.filter(|run| run.tick < *last).count())?;
    assert_eq!(accounted - i64::from(one.missed) - given_up, expected);
    Ok(())
}
