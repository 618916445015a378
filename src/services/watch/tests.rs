//! Tests of the driver, in a world with a clock of its own: nobody waits here.

use super::*;
use crate::ports::backups::{AuthMode, DumpName, FileState, Half, Pair, Seen};
use std::collections::{BTreeMap, VecDeque};

/// What happens in the folder at some time.
type Happening = Box<dyn Fn(&mut BTreeMap<String, i64>)>;

#[derive(Default)]
struct Simulated {
    now: Duration,
    /// When the stop is asked for.
    end: Duration,
    files: BTreeMap<String, i64>,
    happenings: VecDeque<(Duration, Happening)>,
    /// Whether the kernel says so.
    has_events: bool,
    has_event: bool,
    looks: Vec<Duration>,
    renewals: usize,
    beats: usize,
    /// The end of each push to come; then they are done.
    ends: VecDeque<End>,
    pushes: Vec<(Duration, usize)>,
    archived: Vec<String>,
    told: Vec<News>,
}

impl Simulated {
    fn during(end: Duration) -> Self {
        Self {
            end,
            has_events: true,
            ..Self::default()
        }
    }

    fn happens(&mut self, seconds: u64, happening: impl Fn(&mut BTreeMap<String, i64>) + 'static) {
        let time = Duration::from_secs(seconds);
        self.happenings.push_back((time, Box::new(happening)));
    }

    /// Lets time pass until an event, if those count, or until then.
    fn pass(&mut self, until: Duration, on: WakeOn) {
        loop {
            if on == WakeOn::Events && std::mem::take(&mut self.has_event) {
                return;
            }
            let next = self.happenings.front().map(|(time, _)| *time);
            match next.filter(|time| *time <= until.min(self.end)) {
                None => {
                    self.now = self.now.max(until.min(self.end));
                    return;
                }
                Some(time) => {
                    self.now = self.now.max(time);
                    if let Some((_, happening)) = self.happenings.pop_front() {
                        happening(&mut self.files);
                        self.has_event = self.has_events;
                    }
                }
            }
        }
    }
}

impl World for Simulated {
    fn now(&self) -> Duration {
        self.now
    }

    fn is_stopping(&self) -> bool {
        self.now >= self.end
    }

    fn look(&mut self, renew: bool) -> Result<Sight, Complaint> {
        self.looks.push(self.now);
        self.renewals += usize::from(renew);
        let files = self.files.iter().filter_map(|(name, second)| {
            Some(Seen {
                half: Half {
                    name: DumpName::parse(name)?,
                    path: name.into(),
                },
                state: FileState::sample(1, *second),
                is_old: false,
            })
        });
        Ok(Sight {
            files: files.collect(),
            mode: AuthMode::Oidc,
        })
    }

    fn tell(&mut self, news: News) {
        self.told.push(news);
    }

    fn beat(&mut self, _step: &Step, _next: Duration) {
        self.beats += 1;
    }

    async fn push(&mut self, due: &Due) -> Round {
        self.pushes.push((self.now, due.pairs.len()));
        self.now += Duration::from_secs(1);
        let end = self.ends.pop_front().unwrap_or(End::Done);
        let mut pairs = Vec::new();
        if !matches!(end, End::Failed(_)) {
            pairs.extend(due.pairs.iter().map(|pair| (pair.clone(), Outcome::Sound)));
            self.archived.extend(due.pairs.iter().map(stamp));
        }
        Round { pairs, end }
    }

    async fn wait(&mut self, until: Duration, on: WakeOn) {
        self.pass(until, on);
    }
}

fn stamp(pair: &Pair) -> String {
    pair.stamp().to_string()
}

fn put_pair(files: &mut BTreeMap<String, i64>) {
    for half in ["app", "zitadel"] {
        files.insert(format!("{half}-20260101-030000.dump"), 1);
    }
}

const POLL: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn where_nothing_happens_the_folder_is_looked_at_once_a_poll() {
    let mut world = Simulated::during(DAY);
    watch(&mut world, POLL).await;
    // The first push is made in any case, and followed by a look.
    assert_eq!(world.pushes, [(Duration::ZERO, 0)]);
    assert_eq!(world.looks.len(), 24 * 60 + 1);
    assert_eq!((world.beats, world.renewals), (24 * 60 + 1, 24 * 60));
    assert_eq!(world.told, []);
}

#[tokio::test]
async fn an_event_brings_the_look_forward() {
    let mut world = Simulated::during(DAY);
    world.happens(100, put_pair);
    watch(&mut world, POLL).await;
    assert_eq!(world.pushes[1..], [(Duration::from_secs(105), 1)]);
}

#[tokio::test]
async fn without_events_a_poll_finds_what_happened() {
    let mut world = Simulated::during(DAY);
    world.has_events = false;
    world.happens(100, put_pair);
    watch(&mut world, POLL).await;
    assert_eq!(world.pushes[1..], [(Duration::from_secs(125), 1)]);
    assert_eq!(world.archived.len(), 1);
}

#[tokio::test]
async fn a_storm_of_events_is_looked_at_once_a_second() {
    let mut world = Simulated::during(Duration::from_secs(100));
    for second in 10..70 {
        for change in 0..50 {
            world.happens(second, move |files| {
                put_pair(files);
                let app = files.get_mut("app-20260101-030000.dump");
                if let Some(written) = app {
                    *written = i64::try_from(second).unwrap_or_default() * 100 + change;
                }
            });
        }
    }
    watch(&mut world, POLL).await;
    let (last, late) = (world.looks.len(), Duration::from_secs(69) + SETTLE);
    assert!(last < 80, "{last} looks");
    let pairs = |(time, pairs): &(Duration, usize)| (*pairs > 0).then_some(*time);
    let pushes: Vec<Duration> = world.pushes.iter().filter_map(pairs).collect();
    assert!(
        matches!(pushes[..], [time] if time >= late && time < late + Duration::from_secs(3)),
        "{pushes:?}"
    );
}

#[tokio::test]
async fn a_store_that_is_down_for_hours_is_asked_rarely_and_gets_everything() {
    let mut world = Simulated::during(DAY);
    put_pair(&mut world.files);
    let failed = End::Failed(Complaint {
        message: "no store".into(),
        hint: None,
    });
    world.ends = std::iter::repeat_n(failed, 12).collect();
    world.happens(4000, |files| {
        for half in ["app", "zitadel"] {
            files.insert(format!("{half}-20260102-030000.dump"), 1);
        }
    });
    watch(&mut world, POLL).await;
    assert_eq!(world.pushes.len(), 13);
    assert!(world.looks.len() < 24 * 60 + 100);
    assert_eq!(
        world.archived,
        ["2026-01-01T03:00:00", "2026-01-02T03:00:00"]
    );
    assert_eq!(world.told.last(), Some(&News::Works));
}

#[tokio::test]
async fn a_stop_during_a_push_ends_the_watch_without_a_word() {
    let mut world = Simulated::during(Duration::from_millis(500));
    world.ends.push_back(End::Failed(Complaint {
        message: "interrupted".into(),
        hint: None,
    }));
    watch(&mut world, POLL).await;
    assert_eq!((world.pushes.len(), world.told.len()), (1, 0));
}
