//! A night on this host: the steps of the sidecar, each with the settings as they are by then.

use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::messenger::Messenger;
use crate::cli::output::Output;
use crate::cli::pushing::{Job, Line, Told, Which, push_pairs};
use crate::cli::recorder::Recorder;
use crate::cli::session::{Session, SystemClock};
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::{Databases, Routine, instance_variables};
use crate::cli::store_states::StoreState;
use crate::cli::telling::{Teller, archive_line, outcome};
use crate::cli::warnings;
use sealift::{
    AuthMode, Cancelled, Clock, Compare, ComponentName, DumpRequest, Dumped, DumpedHalf, Expiry,
    LocalDump, Night, NightReport, Ping, Reason, Removal, Verdict, blocking, count, dump,
    free_space, human, local_dumps, night, plan_expiry, remove_dump, remove_leftovers,
    space_needed, with_cause,
};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What a night did.
#[derive(Debug, Default, Serialize)]
pub struct Document {
    dumps: Vec<DumpLine>,
    archives: Vec<Line>,
    stores: Vec<StoreState>,
    removed: Vec<RemovedLine>,
    warnings: Vec<WarningLine>,
    failures: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DumpLine {
    component: ComponentName,
    path: PathBuf,
    bytes: u64,
    tables: usize,
    rows: u64,
    server_major: u32,
    pg_dump_major: u32,
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct RemovedLine {
    path: PathBuf,
    bytes: u64,
    off_site: bool,
}

#[derive(Debug, Serialize)]
struct WarningLine {
    code: &'static str,
    about: String,
    message: String,
}

/// What a night came to.
pub struct Tonight {
    /// What it did.
    pub document: Document,
    /// Why its steps failed, in the order in which they did.
    pub failures: Vec<Failure>,
    /// Whether it was told to stop before its end.
    pub is_cut_short: bool,
}

/// Does all there is to do in a night; `name` is how it is called if it fails.
pub async fn run_night(
    session: &Session,
    args: &SidecarArgs,
    output: &Output,
    name: &str,
) -> Tonight {
    let recorder = Arc::new(Recorder::new(Arc::clone(&session.monitor)));
    let monitor = Arc::clone(&recorder);
    let mut steps = Steps {
        session: session.with_monitor(monitor),
        args,
        output,
        recorder,
        document: Document::default(),
        lost: 0,
    };
    let report = Box::pin(night(&mut steps, name)).await;
    let mut document = steps.document;
    let (failures, is_cut_short) = match report {
        NightReport::CutShort => (vec![StepFailed(Cancelled.into())], true),
        NightReport::Ended(failures) => (failures, false),
    };
    document.failures = failures.iter().map(ToString::to_string).collect();
    Tonight {
        document,
        failures: failures.into_iter().map(|failed| failed.0).collect(),
        is_cut_short,
    }
}

/// Why a step failed; it reads as its line.
struct StepFailed(Failure);

impl fmt::Display for StepFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl<E: Into<Failure>> From<E> for StepFailed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

struct Steps<'a> {
    session: Session,
    args: &'a SidecarArgs,
    output: &'a Output,
    recorder: Arc<Recorder>,
    document: Document,
    /// So many dumps went though they are not known to be off-site.
    lost: u64,
}

impl Night for Steps<'_> {
    type Failure = StepFailed;

    async fn dump(&mut self) -> Result<(), StepFailed> {
        let settings = self.session.settings()?;
        let env = settings.env()?;
        let auth_mode = settings.auth_mode(env.as_ref())?;
        let (file, base) = &settings.sidecar;
        let variables = instance_variables(env.as_ref());
        let databases = Databases::of(self.args, file, base, variables.as_ref(), auth_mode)?;
        self.make_room(&settings, auth_mode).await?;
        let request = DumpRequest {
            backups: settings.backups.clone(),
            app: databases.app,
            zitadel: databases.zitadel,
            programs: databases.programs,
            time_zone: settings.time_zone()?,
            now: SystemClock.now(),
            limits: databases.limits,
        };
        let monitor = Arc::clone(&self.session.monitor);
        let cancel = self.session.cancel.clone();
        let dumped = blocking(move || dump(&request, &*monitor, &cancel)).await;
        let dumped = dumped.map_err(|error| Failure::failed(error.to_string()))??;
        self.tell_dumped(dumped)
    }

    async fn push(&mut self) -> Result<(), StepFailed> {
        let job = Job {
            which: Which::Pending,
            accept_new_keys: false,
        };
        let settings = self.session.settings()?;
        let mut teller = Teller::new(&self.session, self.output);
        // That there is nothing is news after a push by hand alone.
        let mut tell = |what: Told<'_>| match what {
            Told::Nothing(_) => Ok(()),
            what => teller.tell(what),
        };
        let report = push_pairs(&self.session, settings, job, &mut tell).await?;
        let outcome = outcome(report);
        for line in &outcome.archives {
            self.recorder.keep(&archive_line(line));
        }
        self.document.stores = outcome.stores;
        self.document.archives.extend(outcome.archives);
        match outcome.result? {
            Exit::Suspect => Err(self.suspect().into()),
            Exit::Behind => Err(self.behind().into()),
            _ => Ok(()),
        }
    }

    async fn expire(&mut self) -> Result<(), StepFailed> {
        let settings = self.session.settings()?;
        let routine = Routine::read(self.args, &settings)?;
        let expired = match routine.retention_days {
            Some(_) => self.remove(&settings, &routine, Room::Enough).await,
            None => Ok(()),
        };
        self.warn(&settings, &routine).await;
        expired?;
        if self.lost > 0 {
            let lost = count(self.lost, "dump");
            let what = "not known to be off-site went, for there was no room for new ones";
            return Err(Failure::failed(format!("{lost} {what}")).into());
        }
        Ok(())
    }

    async fn ping(&mut self, ping: Ping, word: &str) {
        let log = self.recorder.text() + word;
        Messenger::new(&self.session, self.args)
            .ping(ping, &log)
            .await;
    }

    async fn call_for_help(&mut self, line: &str) {
        Messenger::new(&self.session, self.args)
            .call_for_help(line)
            .await;
    }

    fn is_stopped(&self) -> bool {
        self.session.cancel.is_cancelled()
    }
}

impl Steps<'_> {
    fn say(&self, line: &str) -> Result<(), Failure> {
        self.recorder.keep(line);
        self.output.line(line)
    }

    fn tell_dumped(&mut self, dumped: Dumped) -> Result<(), StepFailed> {
        for half in dumped.halves {
            let line = DumpLine::from(half);
            let seconds = line.seconds;
            self.say(&format!(
                "dumped {}: {}, {}, {}, PostgreSQL {} by pg_dump {} in {seconds} s, {}",
                line.component,
                human(line.bytes),
                count(line.tables as u64, "table"),
                count(line.rows, "row"),
                line.server_major,
                line.pg_dump_major,
                line.path.display(),
            ))?;
            self.document.dumps.push(line);
        }
        for finding in dumped.findings {
            self.session.monitor.warn(&finding.message);
        }
        Ok(())
    }

    fn suspect(&self) -> Failure {
        let archives = self.document.archives.iter();
        let suspect = archives.filter(|line| line.verdict == Verdict::Suspect);
        let named: Vec<String> = suspect
            .map(|line| {
                let faults = line.findings.iter().filter(|finding| finding.is_fault());
                let codes: Vec<&str> = faults.map(|finding| finding.code.as_str()).collect();
                format!("archive {} is suspect: {}", line.sequence, codes.join(", "))
            })
            .collect();
        Failure::failed(named.join("; "))
            .exit(Exit::Suspect)
            .hint("see what is wrong, and what to do about it: sealift show ID")
    }

    fn behind(&self) -> Failure {
        let stores = self.document.stores.iter();
        let behind = stores.filter(|store| store.is_behind()).count();
        let line = format!("archived, but not in {}", count(behind as u64, "store"));
        Failure::failed(line)
            .exit(Exit::Behind)
            .hint("sealift doctor")
    }

    /// Says what is to be looked at.
    async fn warn(&mut self, settings: &Settings, routine: &Routine) {
        let found = match warnings::current(&self.session, settings, routine).await {
            Ok(found) => found,
            Err(failure) => return self.session.monitor.warn(&failure.message),
        };
        for warning in found {
            self.session.monitor.warn(&warning.message);
            self.document.warnings.push(WarningLine {
                code: warning.code,
                about: warning.about,
                message: warning.message,
            });
        }
    }

    /// Makes room for the next dumps: of what is off-site, then of what a push can bring there, and
    /// only then of what never left.
    async fn make_room(&mut self, settings: &Settings, mode: AuthMode) -> Result<(), StepFailed> {
        remove_leftovers(&settings.backups, &*self.session.monitor)?;
        let routine = Routine::read(self.args, settings)?;
        for may_go in [Room::OffSite, Room::Pushed, Room::Any] {
            if shortage(settings, mode)? == 0 || self.is_stopped() {
                break;
            }
            if may_go == Room::Pushed {
                // It is tried again with the new pair, and told of then.
                let _ = self.push().await;
            }
            // What cannot be removed was told; the dumps say whether there is room all the same.
            let _ = self.remove(settings, &routine, may_go).await;
        }
        Ok(())
    }

    async fn remove(
        &mut self,
        settings: &Settings,
        routine: &Routine,
        room: Room,
    ) -> Result<(), StepFailed> {
        let mode = settings.auth_mode(settings.env()?.as_ref())?;
        let missing = || match room {
            Room::Enough => Ok(0),
            _ => shortage(settings, mode),
        };
        let expiry = Expiry {
            retention_days: routine.retention_days,
            now: SystemClock.now(),
            to_free: missing()?,
            forced: room == Room::Any,
        };
        let dumps = self.look(settings, &expiry).await?;
        let plan = plan_expiry(&dumps, &expiry);
        let (mut failed, mut last) = (None, None);
        for removal in plan.removals {
            // Whoever else writes to this disk may have made room meanwhile.
            let goes_on = last == Some(removal.stamp) || removal.reason == Reason::Old;
            if !goes_on && missing()? == 0 {
                break;
            }
            last = Some(removal.stamp);
            failed = failed.or(self.carry_out(&removal)?);
        }
        failed.map_or(Ok(()), |failure| Err(StepFailed(failure)))
    }

    /// The dumps, and whether they are off-site; while no store can be asked, none is known to be.
    async fn look(
        &self,
        settings: &Settings,
        expiry: &Expiry,
    ) -> Result<Vec<LocalDump>, StepFailed> {
        let folder = &settings.backups;
        let matters = |dump: &LocalDump| expiry.to_free > 0 || expiry.is_old(dump);
        let asked = match self.session.reading(settings).await {
            Ok(stores) => local_dumps(&stores.contexts, folder, Compare::Bytes, matters)
                .await
                .map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        match asked {
            Err(_) if expiry.forced && !self.is_stopped() => {
                Ok(local_dumps(&[], folder, Compare::Bytes, |_| false).await?)
            }
            // There may be another way to make room.
            Err(_) if expiry.to_free > 0 => Ok(Vec::new()),
            asked => Ok(asked?),
        }
    }

    /// Removes a dump; says why it cannot be removed.
    fn carry_out(&mut self, removal: &Removal) -> Result<Option<Failure>, StepFailed> {
        let path = removal.path.display();
        if let Err(error) = remove_dump(removal) {
            self.session
                .monitor
                .warn(&format!("{path} stays: {}", with_cause(&error)));
            return Ok(Some(error.into()));
        }
        let off_site = removal.reason != Reason::RoomThoughNotOffSite;
        let bytes = human(removal.bytes);
        match removal.reason {
            Reason::Old => {
                self.say(&format!("removed {path}, {bytes}: it is old, and off-site"))?
            }
            Reason::Room => self.say(&format!(
                "removed {path}, {bytes}: its room is needed, and it is off-site"
            ))?,
            Reason::RoomThoughNotOffSite => {
                self.lost += 1;
                self.session.monitor.warn(&format!(
                    "removed {path}, {bytes}, which is not known to be off-site: there was no room for new dumps"
                ));
            }
        }
        self.document.removed.push(RemovedLine {
            path: removal.path.clone(),
            bytes: removal.bytes,
            off_site,
        });
        Ok(None)
    }
}

/// What may go for the room of new dumps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Nothing: there is enough.
    Enough,
    /// What is off-site.
    OffSite,
    /// The same, after a push.
    Pushed,
    /// Anything but the newest, if it helps.
    Any,
}

/// How many bytes the next dumps will lack.
fn shortage(settings: &Settings, mode: AuthMode) -> Result<u64, Failure> {
    let mut components = vec![ComponentName::app()];
    if mode == AuthMode::Oidc {
        components.push(ComponentName::zitadel());
    }
    let needed = space_needed(&settings.backups, &components)?;
    Ok(needed.saturating_sub(free_space(&settings.backups)?))
}

impl From<DumpedHalf> for DumpLine {
    fn from(half: DumpedHalf) -> Self {
        Self {
            tables: half.rows.len(),
            rows: half.rows.values().sum(),
            component: half.component,
            path: half.path,
            bytes: half.bytes,
            server_major: half.server_major,
            pg_dump_major: half.pg_dump_major,
            seconds: half.duration.as_secs(),
        }
    }
}
