//! The sidecar against real servers: the application's database on `PostgreSQL` 18, the identity
//! provider's on 16.

use crate::support::listener::Listener;
use crate::support::postgres::{Server, programs};
use crate::support::{Host, NIGHTS, Outcome, Run, fixtures};
use serde_json::Value;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A host with both servers, filled with a night of the fixtures.
struct Instance {
    host: Host,
    app: Server,
    zitadel: Server,
}

impl Instance {
    fn new() -> Result<Self> {
        let start = |half: &str, name: &str, major| -> Result<Server> {
            let server = Server::start(major, name)?;
            server.psql("postgres", &format!("CREATE DATABASE {name}"))?;
            let night = fixtures().join(format!("nights/{half}-{}.dump", NIGHTS[0]));
            // Its code is no matter here: the older server does not know one parameter.
            server.restore(18, &night, name, &[])?;
            Ok(server)
        };
        let instance = Self {
            app: start("app", "lazyit", 18)?,
            zitadel: start("zitadel", "zitadel", 16)?,
            host: Host::new()?,
        };
        instance.say_where(&instance.host)?;
        Ok(instance)
    }

    /// Writes into the settings file where the databases are; the env file has the rest.
    fn say_where(&self, host: &Host) -> Outcome {
        let (app, zitadel) = (self.app.socket().display(), self.zitadel.socket().display());
        let folders = [programs(16)?, programs(18)?];
        let settings = fs::read_to_string(host.path("sealift.toml"))?;
        let sidecar = format!(
            "\n[sidecar]\nschedule = \"* * * * *\"\npostgres_programs = {folders:?}\n\
             app = {{ host = \"{app}\", user = \"lazyit\", database = \"lazyit\" }}\n\
             zitadel = {{ host = \"{zitadel}\", user = \"zitadel\", database = \"zitadel\" }}\n"
        );
        Ok(fs::write(host.path("sealift.toml"), settings + &sidecar)?)
    }

    fn dump(&self, args: &[&str]) -> Result<Run> {
        self.host.run(&[&["dump"][..], args].concat())
    }

    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.host.path("backups"))? {
            names.push(entry?.file_name().display().to_string());
        }
        names.sort();
        Ok(names)
    }

    fn archives(&self) -> Result<Vec<Value>> {
        let listed = self.host.run(&["list", "--json"])?.expect_code(0)?.json()?;
        Ok(listed["archives"].as_array().ok_or("no list")?.clone())
    }

    /// A command that notes what it is told in a file of the host.
    fn alarm(&self) -> String {
        let file = self.host.path("told").display().to_string();
        format!("tell() {{ echo \"$1\" >> {file}; }}; tell")
    }

    fn told(&self) -> String {
        fs::read_to_string(self.host.path("told")).unwrap_or_default()
    }
}

/// Makes a dump look some days old.
fn make_old(host: &Host, name: &str, days: u64) -> Outcome {
    let old = SystemTime::now() - Duration::from_hours(24 * days + 1);
    let file = File::options()
        .write(true)
        .open(host.path("backups").join(name))?;
    Ok(file.set_modified(old)?)
}

#[test]
fn a_night_dumps_archives_tidies_up_and_tells() -> Outcome {
    let instance = Instance::new()?;
    let host = &instance.host;
    let listener = Listener::start(&[200])?;
    // One night is archived and old, one is old and was never archived.
    host.push_night(NIGHTS[0])?;
    host.add_night(NIGHTS[1])?;
    let bad = format!("app-{}.dump", NIGHTS[1]);
    fs::write(host.path("backups").join(&bad), b"no dump at all")?;
    for night in [NIGHTS[0], NIGHTS[1]] {
        for half in ["app", "zitadel"] {
            make_old(host, &format!("{half}-{night}.dump"), 20)?;
        }
    }
    let url = listener.url("/ping/1234-secret");
    let alarm = instance.alarm();
    let args = [
        "--retention-days",
        "14",
        "--ping-url",
        &url,
        "--on-failure",
        &alarm,
    ];
    let run = instance.dump(&args)?.expect_code(1)?;
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines[0].starts_with("dumped app: ") && lines[0].contains("PostgreSQL 18 by pg_dump 18")
    );
    assert!(
        lines[1].starts_with("dumped zitadel: ")
            && lines[1].contains("PostgreSQL 16 by pg_dump 16")
    );
    // What cannot be archived is the night's failure, but the new pair is archived, and sound.
    let archive = &instance.archives()?[0];
    assert_eq!(
        (&archive["verdict"], &archive["sequence"]),
        (&"sound".into(), &2.into()),
        "{run:?}"
    );
    let names = instance.names()?;
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&bad) && names.contains(&format!("zitadel-{}.dump", NIGHTS[1])));
    assert!(
        run.stderr.contains("[lazyit-backup] FAILED run "),
        "{run:?}"
    );
    assert!(
        run.stderr
            .contains(&format!("{bad} is 20 days old and in no sound archive"))
    );
    let told = instance.told();
    assert!(
        told.starts_with("FAILED run ") && told.contains(&bad) && told.lines().count() == 1,
        "{told}"
    );
    let pings = listener.requests();
    assert!(pings.iter().all(|ping| ping.method == "POST"), "{pings:?}");
    let paths: Vec<&str> = pings.iter().map(|ping| ping.path.as_str()).collect();
    assert_eq!(paths, ["/ping/1234-secret/start", "/ping/1234-secret/fail"]);
    assert!(pings[1].body.contains("dumped app: ") && pings[1].body.contains("FAILED run "));
    assert!(!format!("{run:?}").contains("1234-secret"));
    // Once it is out of the way, the next night is a good one.
    fs::remove_file(host.path("backups").join(&bad))?;
    fs::remove_file(
        host.path("backups")
            .join(format!("zitadel-{}.dump", NIGHTS[1])),
    )?;
    let run = instance
        .dump(&[&args[..], &["--json"]].concat())?
        .expect_code(0)?;
    let document = run.json()?;
    assert_eq!(document["dumps"][1]["pg_dump_major"], 16);
    assert_eq!(document["archives"][0]["sequence"], 3);
    assert_eq!(document["failures"], serde_json::json!([]));
    assert_eq!(document["warnings"], serde_json::json!([]));
    assert_eq!(listener.requests()[3].path, "/ping/1234-secret");
    assert_eq!(instance.told().lines().count(), 1);
    Ok(())
}

#[test]
fn a_database_that_is_down_is_named_and_older_pairs_leave_the_host_all_the_same() -> Outcome {
    let instance = Instance::new()?;
    instance.host.add_night(NIGHTS[0])?;
    let run = instance.dump(&["--zitadel-db-host", "/nowhere", "--on-failure", "exit 3;"])?;
    let run = run.expect_code(1)?;
    assert!(
        run.stderr
            .contains("cannot dump the zitadel database (zitadel at /nowhere:5432)"),
        "{run:?}"
    );
    // The command's own failure is told, and hides nothing.
    assert!(
        run.stderr
            .contains("the command that is called on a failure failed itself"),
        "{run:?}"
    );
    assert_eq!(run.stderr.matches("error: ").count(), 1);
    assert_eq!(instance.names()?.len(), 2, "no half of the night stays");
    assert_eq!(instance.archives()?.len(), 1);
    Ok(())
}

#[test]
fn where_sign_in_is_local_there_is_one_database() -> Outcome {
    let instance = Instance::new()?;
    let run = instance.dump(&["--auth-mode", "local", "--zitadel-db-host", "/nowhere"])?;
    assert_eq!(run.expect_code(0)?.stdout.matches("dumped ").count(), 1);
    let archive = &instance.archives()?[0];
    let names = archive["components"].as_array().ok_or("no components")?;
    let names: Vec<&str> = names.iter().filter_map(|it| it["name"].as_str()).collect();
    assert!(
        names.contains(&"app") && !names.contains(&"zitadel"),
        "{archive}"
    );
    Ok(())
}

/// `sealift dump` on a disk with room for what is expected but for some KiB; what is there afterwards.
fn dump_with_little_room(instance: &Instance, before: &str, slack: i64) -> Result<(Run, String)> {
    let host = &instance.host;
    let script = format!(
        "set -e\nused=$(du -sk backups | cut -f1)\nmkdir disk\n\
        mount -t tmpfs -o size=$((65536 + used + {slack}))k none disk\ncp -a backups/. disk\n\
        mount --bind disk backups\n{before}\nset +e\n\"$@\"\ncode=$?\nls backups > left\nexit $code"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]);
    command.args([env!("CARGO_BIN_EXE_sealift"), "dump"]);
    command.current_dir(host.path("")).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let run = Run::of(&command.output()?);
    Ok((run, fs::read_to_string(host.path("left"))?))
}

#[test]
fn where_there_is_no_room_dumps_that_are_off_site_go_first() -> Outcome {
    let instance = Instance::new()?;
    for night in [NIGHTS[0], NIGHTS[1]] {
        instance.host.push_night(night)?;
    }
    instance.host.add_night(NIGHTS[2])?;
    let (run, left) = dump_with_little_room(&instance, "", 24)?;
    let run = run.expect_code(0)?;
    assert!(
        run.stdout
            .contains("its room is needed, and it is off-site"),
        "{run:?}"
    );
    assert!(!run.stderr.contains("not known to be off-site"), "{run:?}");
    for half in ["app", "zitadel"] {
        let name = format!("{half}-{}.dump", NIGHTS[2]);
        assert!(left.contains(&name), "{name} was in no archive: {left}");
    }
    assert_eq!(instance.archives()?.len(), 4);
    Ok(())
}

#[test]
fn what_never_left_is_archived_before_it_goes_for_its_room() -> Outcome {
    let instance = Instance::new()?;
    for night in NIGHTS {
        instance.host.add_night(night)?;
    }
    let (run, _) = dump_with_little_room(&instance, "", 24)?;
    let run = run.expect_code(0)?;
    assert!(!run.stderr.contains("not known to be off-site"), "{run:?}");
    assert_eq!(instance.archives()?.len(), 4, "{run:?}");
    Ok(())
}

#[test]
fn what_never_left_goes_for_its_room_only_if_that_helps_and_the_run_has_failed() -> Outcome {
    let instance = Instance::new()?;
    for night in NIGHTS {
        instance.host.add_night(night)?;
    }
    fs::rename(instance.host.path("store"), instance.host.path("away"))?;
    let before: Vec<String> = instance.names()?;
    let (run, left) = dump_with_little_room(&instance, "", -1000)?;
    let run = run.expect_code(1)?;
    assert!(run.stderr.contains("error: the dumps may take "), "{run:?}");
    assert_eq!(left.lines().collect::<Vec<_>>(), before);
    fs::remove_dir(instance.host.path("disk"))?;
    let (run, left) = dump_with_little_room(&instance, "", 24)?;
    let run = run.expect_code(1)?;
    assert!(
        run.stderr
            .contains("not known to be off-site: there was no room"),
        "{run:?}"
    );
    assert_eq!(run.stdout.matches("dumped ").count(), 2, "{run:?}");
    // The oldest pair went as a whole, and the new one is there.
    assert!(
        !left.contains(NIGHTS[0]) && left.contains(NIGHTS[2]),
        "{left}"
    );
    Ok(())
}

#[test]
fn what_a_killed_run_left_goes_before_any_dump_does() -> Outcome {
    let instance = Instance::new()?;
    for night in NIGHTS {
        instance.host.add_night(night)?;
    }
    let left = "head -c 34M /dev/zero > backups/app-20260104-030000.dump.sealift.partial";
    let (run, left) = dump_with_little_room(&instance, left, 32_000)?;
    let run = run.expect_code(0)?;
    assert!(left.contains(&format!("app-{}.dump", NIGHTS[0])), "{run:?}");
    Ok(())
}

/// The sidecar, running.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(host: &Host, args: &[&str]) -> Result<Self> {
        let mut command = host.command(&[&["run"][..], args].concat());
        let log = File::create(host.path("log"))?;
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout),
        })
    }

    /// Reads until a line that contains this.
    fn until(&mut self, text: &str) -> Result<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line)? == 0 {
                return Err(format!("it ended before {text:?}").into());
            }
            if line.contains(text) {
                return Ok(line);
            }
        }
    }

    fn end(mut self, signal: &str) -> Result<Option<i32>> {
        let id = self.child.id().to_string();
        Command::new("kill").args([signal, &id]).status()?;
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sets the host's memory of the last run back by some hours, as if it had slept for as long.
fn sleep_for(host: &Host, hours: u32) -> Outcome {
    let index = host
        .path("sealift-state/index.sqlite")
        .display()
        .to_string();
    let script = "import sqlite3, sys\nindex = sqlite3.connect(sys.argv[1])\n\
        index.execute('UPDATE runs SET tick = tick - 3600 * ?', sys.argv[2:])\nindex.commit()";
    let mut python = Command::new("python3");
    python.args(["-c", script, &index, &hours.to_string()]);
    Run::of(&python.output()?).expect_code(0)?;
    Ok(())
}

#[test]
fn it_runs_at_each_tick_survives_what_fails_and_makes_up_for_what_it_missed() -> Outcome {
    let instance = Instance::new()?;
    let host = &instance.host;
    let alarm = instance.alarm();
    let mut sidecar = Running::start(host, &["--on-failure", &alarm])?;
    sidecar.until("waiting for the next run")?;
    sidecar.until("archived nightly")?;
    assert_eq!(sidecar.end("-TERM")?, Some(0));
    // A store that is gone fails the run, and not the sidecar.
    sleep_for(host, 3)?;
    let hourly = ["--schedule", "0 * * * *", "--on-failure", &alarm];
    fs::rename(host.path("store"), host.path("away"))?;
    let mut sidecar = Running::start(host, &hourly)?;
    sidecar.until("dumped zitadel")?;
    let since = Instant::now();
    while !instance.told().contains("FAILED run ") {
        assert!(since.elapsed() < Duration::from_mins(5), "nobody was told");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(sidecar.end("-KILL")?, None);
    fs::rename(host.path("away"), host.path("store"))?;
    let before = instance.archives()?.len();
    sleep_for(host, 5)?;
    let mut sidecar = Running::start(host, &hourly)?;
    // What did not leave then leaves now, besides the new pair.
    sidecar.until("archived nightly")?;
    sidecar.until("archived nightly")?;
    let log = fs::read_to_string(host.path("log"))?;
    assert!(log.contains(" missed; this one makes up for it"), "{log}");
    assert_eq!(sidecar.end("-TERM")?, Some(0));
    assert_eq!(instance.archives()?.len(), before + 2);
    Ok(())
}

#[test]
fn settings_that_make_no_sense_end_it_at_once() -> Outcome {
    let host = Host::new()?;
    let full = ["--postgres-user", "a", "--postgres-db", "a"];
    let full = [
        &full[..],
        &["--zitadel-db-user", "a", "--zitadel-db-name", "a"],
    ]
    .concat();
    for (args, message) in [
        (
            &["--schedule", "0 3 * *"][..],
            "the setting schedule: \"0 3 * *\" is not a schedule",
        ),
        (
            &["--schedule", "0 0 31 2 *"],
            "the setting schedule: \"0 0 31 2 *\" never comes",
        ),
        (&["--retention-days", "1.5"], "the setting retention_days: "),
        (
            &["--ping-url", "hc-ping.example/secret"],
            "the setting ping_url: it is no http://",
        ),
        (&["--postgres-port", "70000"], "the setting postgres_port: "),
        (
            &["--postgres-password-file", "none"],
            "cannot read the password file none",
        ),
        (&["--lock-wait", "x"], "the setting lock_wait: "),
    ] {
        let args = [&["run"][..], &full, args].concat();
        let run = host.run(&args)?.expect_code(2)?;
        assert!(run.stderr.contains(message), "{args:?}: {run:?}");
        assert!(!run.stderr.contains("secret"), "{run:?}");
    }
    fs::write(host.path("other.env"), "AUTH_MODE=oidc\n")?;
    let run = host
        .run(&["run", "--env-file", "other.env"])?
        .expect_code(2)?;
    assert!(
        run.stderr
            .contains("the user of the app database is not set"),
        "{run:?}"
    );
    Ok(())
}
