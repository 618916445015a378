//! A thousand things happen to files, in an order that a seed decides, while watches are killed and
//! the hook is called: each complete pair is archived exactly once, and nothing else is.

use super::{PATIENCE, Watch, archives, count};
use crate::support::{Host, NIGHTS, Outcome, fixtures, sha256};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

const OPERATIONS: usize = 1000;
const SLOTS: usize = 40;

/// What is there of a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    None,
    /// Under a name that is not final.
    Partial,
    /// Half of it, under its final name.
    Cut,
    Whole,
}

/// Whether something is there under the final name.
fn is_final(half: Half) -> bool {
    matches!(half, Half::Cut | Half::Whole)
}

/// A pair that comes and goes. Its bytes are those of one night whenever it is there.
struct Slot {
    stamp: String,
    night: &'static str,
    halves: [Half; 2],
}

/// What was done to the files of a host.
struct Storm {
    host: Host,
    random: fastrand::Rng,
    slots: Vec<Slot>,
    days: u32,
    /// The pairs that were whole at some time; an archive of another is one too many.
    were_whole: BTreeMap<String, &'static str>,
    operations: BTreeMap<&'static str, usize>,
}

impl Storm {
    fn new(seed: u64) -> Result<Self, Box<dyn Error>> {
        let mut storm = Self {
            host: Host::new()?,
            random: fastrand::Rng::with_seed(seed),
            slots: Vec::new(),
            days: 0,
            were_whole: BTreeMap::new(),
            operations: BTreeMap::new(),
        };
        for _ in 0..SLOTS {
            let slot = storm.fresh();
            storm.slots.push(slot);
        }
        Ok(storm)
    }

    /// A pair with a stamp that no other ever had, a day apart from the next.
    fn fresh(&mut self) -> Slot {
        self.days += 1;
        let (month, day) = (1 + self.days / 28, 1 + self.days % 28);
        Slot {
            stamp: format!("2020{month:02}{day:02}-030000"),
            night: NIGHTS[self.random.usize(0..3)],
            halves: [Half::None; 2],
        }
    }

    fn path(&self, slot: usize, half: usize) -> PathBuf {
        let name = ["app", "zitadel"][half];
        let stamp = &self.slots[slot].stamp;
        self.host.path(&format!("backups/{name}-{stamp}.dump"))
    }

    fn bytes(&self, slot: usize, half: usize) -> std::io::Result<Vec<u8>> {
        let (name, night) = (["app", "zitadel"][half], self.slots[slot].night);
        fs::read(fixtures().join(format!("nights/{name}-{night}.dump")))
    }

    fn is_whole(&self, slot: usize) -> bool {
        self.slots[slot].halves == [Half::Whole; 2]
    }

    /// One thing that happens.
    fn operation(&mut self) -> Outcome {
        let slot = self.random.usize(0..SLOTS);
        let half = self.random.usize(0..2);
        let name = match self.random.u8(0..20) {
            0 | 1 => self.remove(slot, half)?,
            2 if self.is_whole(slot) => self.restamp(slot)?,
            3..=5 => self.touch(slot, half)?,
            6 => {
                fs::write(self.host.path("backups/notes.txt"), "as it was")?;
                "foreign"
            }
            _ => self.grow(slot, half)?,
        };
        *self.operations.entry(name).or_default() += 1;
        if self.is_whole(slot) {
            let Slot { stamp, night, .. } = &self.slots[slot];
            self.were_whole.insert(stamp.clone(), night);
        }
        Ok(())
    }

    /// A half gets a step further. While one half is cut short under its final name the other is never
    /// there: what such a pair comes to would be a matter of time.
    fn grow(&mut self, slot: usize, half: usize) -> Result<&'static str, Box<dyn Error>> {
        let (path, bytes) = (self.path(slot, half), self.bytes(slot, half)?);
        let partial = path.with_extension("dump.partial");
        let [this, other] = [half, 1 - half].map(|half| self.slots[slot].halves[half]);
        let (next, name) = match this {
            Half::None if !is_final(other) && self.random.bool() => {
                fs::write(&path, &bytes[..bytes.len() / 2])?;
                (Half::Cut, "half-written")
            }
            Half::None => {
                fs::write(&partial, &bytes[..bytes.len() / 3])?;
                (Half::Partial, "created")
            }
            Half::Partial if other != Half::Cut => {
                fs::write(&partial, &bytes)?;
                fs::rename(&partial, &path)?;
                (Half::Whole, "renamed")
            }
            Half::Cut => {
                fs::write(&path, &bytes)?;
                (Half::Whole, "written to its end")
            }
            Half::Partial | Half::Whole => return self.touch(slot, half),
        };
        self.slots[slot].halves[half] = next;
        Ok(name)
    }

    fn touch(&mut self, slot: usize, half: usize) -> Result<&'static str, Box<dyn Error>> {
        if is_final(self.slots[slot].halves[half]) {
            let file = File::options().write(true).open(self.path(slot, half))?;
            file.set_modified(SystemTime::now())?;
        }
        Ok("touched")
    }

    fn remove(&mut self, slot: usize, half: usize) -> Result<&'static str, Box<dyn Error>> {
        let path = self.path(slot, half);
        match self.slots[slot].halves[half] {
            Half::None => return Ok("not there"),
            Half::Partial => fs::remove_file(path.with_extension("dump.partial"))?,
            Half::Cut | Half::Whole => fs::remove_file(path)?,
        }
        self.slots[slot].halves[half] = Half::None;
        Ok("deleted")
    }

    /// The same dumps under another stamp are another pair.
    fn restamp(&mut self, slot: usize) -> Result<&'static str, Box<dyn Error>> {
        let from = [0, 1].map(|half| self.path(slot, half));
        let fresh = self.fresh();
        self.slots[slot].stamp = fresh.stamp;
        for (half, from) in from.iter().enumerate() {
            fs::rename(from, self.path(slot, half))?;
        }
        Ok("given another stamp")
    }

    /// The hook, for a pair that is whole.
    fn hook(&mut self) -> Outcome {
        let whole: Vec<usize> = (0..SLOTS).filter(|slot| self.is_whole(*slot)).collect();
        if let Some(slot) = self.random.choice(whole) {
            let half = self.random.usize(0..2);
            let dump = self.path(slot, half);
            let dump = dump.display().to_string();
            self.host.run(&["push", &dump])?.expect_code(0)?;
        }
        Ok(())
    }
}

/// The stamp of an archive's pair.
fn stamp_of(archive: &Value) -> Result<String, Box<dyn Error>> {
    let captured = archive["captured_at"].as_str().ok_or("no time")?;
    let digits = |text: &str| text.replace(['-', ':'], "");
    let (date, time) = captured.split_once('T').ok_or("no time")?;
    Ok(format!(
        "{}-{}",
        digits(date),
        digits(time.trim_end_matches('Z'))
    ))
}

#[test]
fn of_a_thousand_things_that_happen_to_files_each_complete_pair_comes_to_one_archive() -> Outcome {
    let seed = 1;
    let mut storm = Storm::new(seed)?;
    let mut watch = Watch::start(&storm.host, "first", &[])?;
    let second = Watch::start(&storm.host, "second", &["--json"])?;
    let mut kills = 0;
    for operation in 1..=OPERATIONS {
        storm.operation()?;
        match storm.random.u8(0..100) {
            0..=1 => {
                watch.kill()?;
                kills += 1;
                watch = Watch::start(&storm.host, "first", &[])?;
            }
            2..=3 => storm.hook()?,
            4..=6 => sleep(Duration::from_millis(storm.random.u64(500..2000))),
            // Longer than a pair takes to settle: now and then all that is whole is archived.
            7 if operation > OPERATIONS / 4 => sleep(Duration::from_secs(7)),
            _ => sleep(Duration::from_millis(storm.random.u64(0..20))),
        }
    }
    let done = &storm.operations;
    for kind in [
        "created",
        "renamed",
        "touched",
        "deleted",
        "half-written",
        "given another stamp",
    ] {
        assert!(
            done.contains_key(kind),
            "seed {seed}: never {kind}: {done:?}"
        );
    }
    assert!(kills > 5, "only {kills} kills");
    let whole: Vec<usize> = (0..SLOTS).filter(|slot| storm.is_whole(*slot)).collect();
    let must: BTreeSet<String> = whole
        .iter()
        .map(|slot| storm.slots[*slot].stamp.clone())
        .collect();
    assert!(must.len() > 10, "only {} pairs at the end", must.len());
    let started = Instant::now();
    loop {
        let stamps: Result<BTreeSet<String>, _> =
            archives(&storm.host)?.iter().map(stamp_of).collect();
        let missing: Vec<String> = must.difference(&stamps?).cloned().collect();
        if missing.is_empty() {
            break;
        }
        if started.elapsed() > PATIENCE * 2 {
            let err = watch.err()?;
            return Err(format!("seed {seed}: {missing:?} are not archived: {err}").into());
        }
        sleep(Duration::from_millis(500));
    }
    let err = [watch.err()?, second.err()?].concat();
    assert_eq!(count(&err, "error:"), 0, "{err}");
    assert_eq!(watch.stop()?.code(), Some(0));
    assert_eq!(second.stop()?.code(), Some(0));
    let mut seen = BTreeSet::new();
    for archive in archives(&storm.host)? {
        let stamp = stamp_of(&archive)?;
        assert!(seen.insert(stamp.clone()), "{stamp} was archived twice");
        let night = storm.were_whole.get(&stamp);
        let night = night.ok_or(format!("{stamp} never was a pair: {archive}"))?;
        assert_eq!(archive["verdict"], "sound", "{archive}");
        let id = archive["id"].as_str().ok_or("no id")?;
        let shown = storm.host.run(&["show", id])?.expect_code(0)?.stdout;
        for half in ["app", "zitadel"] {
            let bytes = fs::read(fixtures().join(format!("nights/{half}-{night}.dump")))?;
            assert!(
                shown.contains(&sha256(&bytes)),
                "{half} of {stamp}: {shown}"
            );
        }
    }
    let push = storm.host.run(&["push"])?.expect_code(0)?.stdout;
    assert_eq!(
        push,
        "nothing to archive: every complete pair is archived already\n"
    );
    storm.host.run(&["verify"])?.expect_code(0)?;
    Ok(())
}
