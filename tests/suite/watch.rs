//! `sealift watch` as it runs for months: files that come and go, kills, stops, stores that are away.

mod storm;

use crate::support::{Host, NIGHTS, Outcome, fixtures};
use serde_json::Value;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// Longer than anything takes that is waited for here, on any machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// A watch that runs; it is killed when it is not needed any more.
struct Watch {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Watch {
    /// Starts a watch, which looks every second.
    fn start(host: &Host, name: &str, args: &[&str]) -> Result<Self, Box<dyn Error>> {
        Self::start_with(host, name, &[&["--poll", "1s"][..], args].concat(), &[])
    }

    fn start_with(
        host: &Host,
        name: &str,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, Box<dyn Error>> {
        let mut command = host.command(&[&["watch"][..], args].concat());
        command.envs(environment.iter().copied());
        Self::spawn(host, name, command)
    }

    /// A watch to which the kernel says nothing: a limit of its own namespace keeps it from asking.
    fn start_without_events(host: &Host, name: &str) -> Result<Self, Box<dyn Error>> {
        let limit = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", limit, "sh"]);
        let program = host.command(&["watch", "--poll", "1s"]);
        command.arg(program.get_program()).args(program.get_args());
        command.current_dir(host.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Self::spawn(host, name, command)
    }

    fn spawn(host: &Host, name: &str, mut command: Command) -> Result<Self, Box<dyn Error>> {
        let (out, err) = (
            host.path(&format!("{name}.out")),
            host.path(&format!("{name}.err")),
        );
        let append = |path: &Path| File::options().create(true).append(true).open(path);
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&out)?)
            .stderr(append(&err)?)
            .spawn()?;
        Ok(Self { child, out, err })
    }

    fn out(&self) -> Result<String, std::io::Error> {
        fs::read_to_string(&self.out)
    }

    /// What it complained of, but for the age of the fixtures: they are always overdue.
    fn err(&self) -> Result<String, std::io::Error> {
        let err = fs::read_to_string(&self.err)?;
        let lines = err.split_inclusive('\n');
        Ok(lines.filter(|line| !line.starts_with(OVERDUE)).collect())
    }

    /// Waits until something is so.
    fn until(
        &mut self,
        what: &str,
        is_so: impl Fn(&Self) -> Result<bool, Box<dyn Error>>,
    ) -> Outcome {
        let started = Instant::now();
        while !is_so(self)? {
            let told = format!("{:?} {:?}", self.out(), self.err());
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended with {status}, before {what}: {told}").into());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("never {what}: {told}").into());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn until_out(&mut self, text: &str) -> Outcome {
        self.until(text, |watch| Ok(watch.out()?.contains(text)))
    }

    fn until_err(&mut self, text: &str) -> Outcome {
        self.until(text, |watch| Ok(watch.err()?.contains(text)))
    }

    /// Has it stop, and waits until it has.
    fn stop(mut self) -> Result<ExitStatus, Box<dyn Error>> {
        self.signal("-TERM")?;
        Ok(self.child.wait()?)
    }

    fn signal(&self, signal: &str) -> Outcome {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status()?;
        assert!(sent.success());
        Ok(())
    }

    fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every archive that the store has.
fn archives(host: &Host) -> Result<Vec<Value>, Box<dyn Error>> {
    let list = host.run(&["list", "--json"])?;
    // There is none at all yet.
    if list.code == Some(6) {
        return Ok(Vec::new());
    }
    let list = list.expect_code(0)?.json()?;
    Ok(list["archives"]
        .as_array()
        .cloned()
        .ok_or("no archives in the list")?)
}

/// Copies a half of a night under another stamp, as a dump that was written just now.
fn put(host: &Host, half: &str, night: &str, stamp: &str) -> Outcome {
    let from = fixtures().join(format!("nights/{half}-{night}.dump"));
    let path = host.path(&format!("backups/{half}-{stamp}.dump"));
    let partial = path.with_extension("dump.partial");
    fs::write(&partial, fs::read(from)?)?;
    Ok(fs::rename(partial, path)?)
}

fn put_pair(host: &Host, night: &str, stamp: &str) -> Outcome {
    put(host, "app", night, stamp)?;
    put(host, "zitadel", night, stamp)
}

/// How a line begins that says that an archive is overdue.
const OVERDUE: &str = "[lazyit-backup] WARNING: the newest sound archive is of ";

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn what_is_about_to_be_lost_is_said_and_somebody_is_called() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let told = host.path("told").display().to_string();
    let alarm = format!("tell() {{ echo \"$1\" >> {told}; }}; tell");
    let environment = [
        ("BACKUP_ON_FAILURE_CMD", alarm.as_str()),
        ("BACKUP_RETENTION_DAYS", "5"),
    ];
    put(&host, "app", NIGHTS[1], NIGHTS[1])?;
    let old = SystemTime::now() - Duration::from_hours(24 * 4 + 2);
    let half = host.path("backups").join(format!("app-{}.dump", NIGHTS[1]));
    File::options().write(true).open(half)?.set_modified(old)?;
    let mut watch = Watch::start_with(&host, "watch", &[], &environment)?;
    let file = told.clone();
    watch.until("three calls", |_| {
        let told = fs::read_to_string(&file).unwrap_or_default();
        Ok(count(&told, "\n") >= 3)
    })?;
    assert_eq!(watch.stop()?.code(), Some(0));
    let told = fs::read_to_string(&told)?;
    for part in [
        "WARNING: the newest sound archive is of 2026-01-01T03:00:00Z",
        "is 4 days old and in no sound archive; sealift keeps it, and lazyit's own sidecar removes dumps after 5 days",
        "has waited 97 hours for the zitadel dump taken with it",
    ] {
        assert_eq!(count(&told, part), 1, "{part}: {told}");
    }
    Ok(())
}

#[test]
fn what_is_there_and_what_comes_is_archived_and_a_stop_is_no_failure() -> Outcome {
    let host = Host::new()?;
    host.add_night(NIGHTS[0])?;
    host.run(&["push"])?.expect_code(0)?;
    host.add_night(NIGHTS[1])?;
    let mut watch = Watch::start(&host, "watch", &[])?;
    watch.until_out("archive 2 ")?;
    put_pair(&host, NIGHTS[2], NIGHTS[2])?;
    watch.until_out("archive 3 ")?;
    let out = watch.out()?;
    assert!(
        out.starts_with("watching backups, where 2 pairs can be seen\n"),
        "{out}"
    );
    assert_eq!(count(&out, "archived nightly of"), 2, "{out}");
    // A pair that straddles a restart.
    put(&host, "app", NIGHTS[0], "20260104-030000")?;
    let stopped = Instant::now();
    watch.signal("-TERM")?;
    assert_eq!(watch.child.wait()?.code(), Some(0));
    assert!(stopped.elapsed() < Duration::from_secs(30));
    assert!(
        watch
            .out()?
            .ends_with("stopped watching, after 2 archives\n")
    );
    assert_eq!(watch.err()?, "");
    put(&host, "zitadel", NIGHTS[0], "20260104-030000")?;
    let mut watch = Watch::start(&host, "again", &[])?;
    watch.until_out("archive 4 ")?;
    watch.signal("-INT")?;
    assert_eq!(watch.child.wait()?.code(), Some(0));
    assert_eq!(archives(&host)?.len(), 4);
    Ok(())
}

#[test]
fn json_is_one_document_a_line_for_each_push() -> Outcome {
    let host = Host::new()?;
    host.add_night(NIGHTS[0])?;
    let mut watch = Watch::start(&host, "watch", &["--json"])?;
    watch.until("one line", |watch| Ok(watch.out()?.ends_with('\n')))?;
    put_pair(&host, NIGHTS[1], NIGHTS[1])?;
    watch.until("two lines", |watch| Ok(count(&watch.out()?, "\n") == 2))?;
    let out = watch.out()?;
    assert_eq!(watch.stop()?.code(), Some(0));
    for (sequence, line) in (1..).zip(out.lines()) {
        let document: Value = serde_json::from_str(line)?;
        let archives = document["archives"].as_array().ok_or("no archives")?;
        assert_eq!(archives.len(), 1, "{document}");
        assert_eq!(archives[0]["sequence"], sequence, "{document}");
        assert_eq!(document["stores"][0]["lacks"], 0, "{document}");
    }
    Ok(())
}

#[test]
fn what_is_bad_or_suspect_is_told_of_once_and_stops_nothing() -> Outcome {
    let host = Host::new()?;
    host.add_night(NIGHTS[0])?;
    host.add_dump("app-20260105-030000.dump", b"no dump at all")?;
    host.add_dump("zitadel-20260105-030000.dump", b"nor this")?;
    // Cut short: an archive is made of it, but it is suspect.
    let whole = fs::read(fixtures().join("nights/app-20260102-030000.dump"))?;
    host.add_dump("app-20260102-030000.dump", &whole[..whole.len() / 2])?;
    let zitadel = fs::read(fixtures().join("nights/zitadel-20260102-030000.dump"))?;
    host.add_dump("zitadel-20260102-030000.dump", &zitadel)?;
    let mut watch = Watch::start(&host, "watch", &[])?;
    watch.until_err("is not a dump")?;
    watch.until_out("suspect (dump-unreadable)")?;
    put_pair(&host, NIGHTS[2], NIGHTS[2])?;
    watch.until_out("archive 3 ")?;
    // A dump that is in an archive is written anew, under the same name and with the same size.
    let path = host.path("backups/app-20260103-030000.dump");
    let mut bytes = fs::read(&path)?;
    let last = bytes.last_mut().ok_or("an empty dump")?;
    *last ^= 1;
    let written = path.with_extension("dump.partial");
    fs::write(&written, &bytes)?;
    fs::rename(&written, &path)?;
    watch.until_err("was archived with other bytes")?;
    put_pair(&host, NIGHTS[0], "20260106-030000")?;
    watch.until_out("archive 4 ")?;
    let (out, err) = (watch.out()?, watch.err()?);
    assert_eq!(watch.stop()?.code(), Some(0));
    for once in [
        "is not a dump",
        "was archived with other bytes",
        "dump-unreadable (app)",
    ] {
        // Besides the line that whoever looks for trouble finds.
        let lines = err
            .lines()
            .filter(|line| !line.starts_with("[lazyit-backup]"));
        let found = lines.filter(|line| line.contains(once));
        assert_eq!(found.count(), 1, "{once}: {err}");
    }
    assert_eq!(count(&err, "archive 2 is suspect"), 1, "{err}");
    assert_eq!(count(&out, "suspect"), 1, "{out}");
    let archives = archives(&host)?;
    let sound = archives
        .iter()
        .filter(|archive| archive["verdict"] == "sound");
    assert_eq!((archives.len(), sound.count()), (4, 3));
    Ok(())
}

#[test]
fn a_store_that_was_away_gets_the_pairs_of_that_time() -> Outcome {
    let host = Host::new()?;
    host.add_night(NIGHTS[0])?;
    let mut watch = Watch::start(&host, "watch", &[])?;
    watch.until_out("archive 1 ")?;
    fs::rename(host.path("store"), host.path("away"))?;
    put_pair(&host, NIGHTS[1], NIGHTS[1])?;
    watch.until_err("error: there is no store at ")?;
    put_pair(&host, NIGHTS[2], NIGHTS[2])?;
    watch.until("failing", |_| {
        let health = host.run(&["health"])?.expect_code(0)?.stdout;
        Ok(health.contains("2 of them not archived; nothing could be stored since"))
    })?;
    fs::rename(host.path("away"), host.path("store"))?;
    watch.until_out("archive 3 ")?;
    watch.until_err("note: pushes work again")?;
    assert_eq!(count(&watch.err()?, "error:"), 1, "{}", watch.err()?);
    assert_eq!(watch.stop()?.code(), Some(0));
    Ok(())
}

#[test]
fn a_folder_that_goes_and_comes_back_is_watched_again() -> Outcome {
    let host = Host::new()?;
    let mut watch = Watch::start(&host, "watch", &[])?;
    watch.until_out("where 0 pairs can be seen")?;
    for (time, night) in (1..).zip(&NIGHTS[1..]) {
        fs::remove_dir_all(host.path("backups"))?;
        let gone = "error: cannot read the folder backups";
        watch.until("gone", |watch| Ok(count(&watch.err()?, gone) == time))?;
        fs::create_dir(host.path("backups"))?;
        put_pair(&host, night, night)?;
        watch.until_out(&format!("archive {time} "))?;
        let back = count(&watch.err()?, "note: backups can be read again");
        assert_eq!(back, time);
    }
    assert_eq!(watch.stop()?.code(), Some(0));
    Ok(())
}

#[test]
fn without_events_looking_now_and_then_is_enough() -> Outcome {
    let host = Host::new()?;
    let mut watch = Watch::start_without_events(&host, "watch")?;
    watch.until_err("warning: the kernel does not say when backups changes")?;
    for (number, night) in (1..).zip(NIGHTS) {
        put_pair(&host, night, night)?;
        watch.until_out(&format!("archive {number} "))?;
    }
    assert_eq!(count(&watch.err()?, "\n"), 1, "{}", watch.err()?);
    assert_eq!(watch.stop()?.code(), Some(0));
    Ok(())
}

#[test]
fn settings_that_are_wrong_from_the_start_end_it() -> Outcome {
    let host = Host::new()?;
    for (args, said) in [
        (&["--poll", "0"][..], "the setting poll"),
        (&["--signing-key", "nowhere"], "signing key nowhere"),
        (&["--time-zone", "Mars/Olympus"], "time_zone"),
        (&["--auth-mode", "both"], "auth_mode"),
    ] {
        let run = host.run(&[&["watch"][..], args].concat())?.expect_code(2)?;
        assert!(run.stderr.contains(said), "{run:?}");
        assert_eq!(run.stdout, "");
    }
    Ok(())
}

#[test]
fn health_says_whether_somebody_watches() -> Outcome {
    let host = Host::new()?;
    let none = host.run(&["health"])?.expect_code(1)?;
    assert!(
        none.stderr.contains("hint: start one: sealift watch"),
        "{none:?}"
    );
    let mut watch = Watch::start(&host, "watch", &[])?;
    watch.until_out("watching")?;
    watch.until("alive", |_| Ok(host.run(&["health"])?.code == Some(0)))?;
    let document = host.run(&["health", "--json"])?.expect_code(0)?.json()?;
    assert_eq!(document["services"][0]["service"], "watch");
    // Killed, it leaves its last heartbeat, which counts for a while and no longer.
    watch.kill()?;
    let path = host.path("sealift-state/heartbeat-watch.json");
    let mut heartbeat: Value = serde_json::from_slice(&fs::read(&path)?)?;
    for (at, said) in [
        ("2020-01-01T00:00:00Z", "watch is not heard of since 2020"),
        ("2200-01-01T00:00:00Z", "the clock was set back"),
    ] {
        heartbeat["at"] = at.into();
        fs::write(&path, heartbeat.to_string())?;
        let dead = host.run(&["health"])?.expect_code(1)?;
        assert!(dead.stderr.contains(said), "{dead:?}");
    }
    fs::write(&path, "{")?;
    host.run(&["health"])?.expect_code(1)?;
    // The next one is alive again, and one that ends as it should is not missed.
    let mut watch = Watch::start(&host, "again", &[])?;
    watch.until("alive", |_| Ok(host.run(&["health"])?.code == Some(0)))?;
    assert_eq!(watch.stop()?.code(), Some(0));
    assert!(!path.exists());
    Ok(())
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_stopping() -> Outcome {
    let host = Host::new()?;
    let socket = host.path("notify");
    let listener = UnixDatagram::bind(&socket)?;
    listener.set_read_timeout(Some(PATIENCE))?;
    let socket = socket.display().to_string();
    let environment = [("NOTIFY_SOCKET", &*socket), ("WATCHDOG_USEC", "200000")];
    let mut watch = Watch::start_with(&host, "watch", &["--poll", "1h"], &environment)?;
    let mut heard = Vec::new();
    let hear = |heard: &mut Vec<String>| -> Outcome {
        let mut bytes = [0; 200];
        let length = listener.recv(&mut bytes)?;
        heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        Ok(())
    };
    // Nothing happens for an hour, and still there is a sign of life many times a second.
    while count(&heard.join("\n"), "WATCHDOG=1") < 20 {
        hear(&mut heard)?;
    }
    assert_eq!(heard[0], "READY=1");
    assert!(
        heard.contains(&"STATUS=0 pairs, 0 of them not archived".into()),
        "{heard:?}"
    );
    watch.signal("-TERM")?;
    while heard.last().is_none_or(|last| last != "STOPPING=1") {
        hear(&mut heard)?;
    }
    assert_eq!(count(&heard.join("\n"), "READY=1"), 1);
    // No second signal, for that would end it at once.
    assert_eq!(watch.child.wait()?.code(), Some(0));
    Ok(())
}
