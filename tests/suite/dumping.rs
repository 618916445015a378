//! Dumps of real servers: the application's database on `PostgreSQL` 18, the identity provider's on 16.
//!
//! Promise: a run that fails, for whatever reason, leaves the folder as it was, and its error names the
//! database. What is waited for here is an event, never a time.

use crate::support::postgres::{Server, programs};
use crate::support::{Host, NIGHTS, Outcome, Run, fixtures};
use sealift::{
    Cancel, ComponentName, Connection, DumpLimits, DumpRequest, DumpRunError, Dumped,
    PostgresError, Programs, Secret, Unwatched, dump, inspect_dump,
};
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long something may take to happen: a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// The time of the dumps, three in the morning in Vienna.
const NOW: &str = "2026-01-05T02:00:00Z";
const APP: &str = "app-20260105-030000.dump";
const ZITADEL: &str = "zitadel-20260105-030000.dump";

/// A server with a database of its name, and in it what a dump of the fixtures holds.
fn server(major: u32, name: &str, half: Option<&str>) -> Result<Server> {
    let server = Server::start(major, name)?;
    server.psql("postgres", &format!("CREATE DATABASE {name}"))?;
    if let Some(half) = half {
        let night = fixtures().join(format!("nights/{half}-{}.dump", NIGHTS[0]));
        // Its code is no matter here: the older server does not know one parameter.
        server.restore(18, &night, name, &[])?;
    }
    Ok(server)
}

fn connection(socket: &Path, name: &str) -> Connection {
    Connection {
        host: socket.display().to_string(),
        port: 5432,
        user: name.into(),
        database: name.into(),
        password: Secret::new(Vec::new()),
        variables: Vec::new(),
    }
}

fn installed(majors: &[u32]) -> Result<Programs> {
    let folders: Result<Vec<PathBuf>> = majors.iter().map(|major| programs(*major)).collect();
    Ok(Programs::find(&folders?))
}

/// What is asked for by an operator with a database `lazyit`.
fn request(backups: &Path, app: &Path) -> Result<DumpRequest> {
    Ok(DumpRequest {
        backups: backups.to_owned(),
        app: connection(app, "lazyit"),
        zitadel: None,
        programs: installed(&[16, 18])?,
        time_zone: jiff::tz::TimeZone::get("Europe/Vienna")?,
        now: NOW.parse()?,
        limits: DumpLimits::default(),
    })
}

fn run(request: &DumpRequest) -> std::result::Result<Dumped, DumpRunError> {
    dump(request, &Unwatched, &Cancel::default())
}

/// An error as it is told, with all of its causes.
fn line(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", line(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

/// The error of a run that left the folder empty.
fn failure(request: &DumpRequest) -> Result<DumpRunError> {
    let Err(error) = run(request) else {
        return Err("there is a pair".into());
    };
    assert_eq!(names(&request.backups)?, [""; 0], "{}", line(&error));
    Ok(error)
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().display().to_string());
    }
    names.sort();
    Ok(names)
}

/// Waits for something to happen.
fn until<T>(what: &str, mut happens: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if let Some(found) = happens()? {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(format!("{what}: it did not happen").into())
}

/// A table whose dump takes long enough to be hit half-way.
fn add_noise(server: &Server) -> Outcome {
    let noise = "CREATE TABLE noise AS SELECT i,
        (SELECT string_agg(md5(i::text || j::text), '') FROM generate_series(1, 32) j) AS text
        FROM generate_series(1, 32 * 1024) i;";
    server.psql("lazyit", noise)?;
    Ok(())
}

/// The one `pg_dump` that writes into a folder.
fn writer(folder: &Path) -> Result<Option<u32>> {
    let folder = folder.display().to_string();
    for process in fs::read_dir("/proc")? {
        let Ok(id) = process?.file_name().display().to_string().parse() else {
            continue;
        };
        let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).contains(&folder) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The `pg_dump` that has written something into a folder, stopped.
fn stopped_half_way(folder: &Path) -> Result<u32> {
    let id = until("a dump that grows", || {
        let Some(id) = writer(folder)? else {
            return Ok(None);
        };
        let partial = folder.join(format!("{APP}.sealift.partial"));
        let bytes = fs::metadata(partial).map_or(0, |found| found.len());
        Ok((bytes > 0).then_some(id))
    })?;
    signal(id, "STOP")?;
    Ok(id)
}

fn signal(id: u32, name: &str) -> Outcome {
    let kill = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .output()?;
    Run::of(&kill).expect_code(0)?;
    Ok(())
}

/// A table that somebody has locked, for as long as the value lasts.
struct Locked<'a> {
    server: &'a Server,
    session: Child,
}

impl<'a> Locked<'a> {
    fn new(server: &'a Server) -> Result<Self> {
        server.psql("lazyit", "CREATE TABLE IF NOT EXISTS held ()")?;
        let script = "BEGIN; LOCK TABLE held; SELECT pg_sleep(100000)";
        let mut session = server.command("psql", &["-Xq", "-d", "lazyit", "-c", script])?;
        let session = session.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let locked = Self { server, session };
        let is_held = "SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = relation
            WHERE relname = 'held' AND mode = 'AccessExclusiveLock' AND granted";
        until("a lock", || {
            let held = server.psql("lazyit", is_held)?;
            Ok((held == "1\n").then_some(()))
        })?;
        Ok(locked)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE query LIKE '%LOCK TABLE held%' AND pid <> pg_backend_pid()";
        let _ = self.server.psql("postgres", end);
        let _ = self.session.kill();
        let _ = self.session.wait();
    }
}

/// Runs a dump, and meanwhile something else.
fn meanwhile<T>(
    request: &DumpRequest,
    cancel: &Cancel,
    other: impl FnOnce() -> Result<T>,
) -> Result<(std::result::Result<Dumped, DumpRunError>, T)> {
    thread::scope(|scope| {
        let run = scope.spawn(|| dump(request, &Unwatched, cancel));
        let other = other();
        if other.is_err() {
            cancel.cancel();
        }
        let run = run.join().map_err(|_| "the dump has panicked")?;
        Ok((run, other?))
    })
}

#[test]
fn each_server_is_dumped_by_its_own_program_and_the_pair_comes_back_byte_for_byte() -> Outcome {
    let app = server(18, "lazyit", Some("app"))?;
    let zitadel = server(16, "zitadel", Some("zitadel"))?;
    let host = Host::new()?;
    let request = DumpRequest {
        zitadel: Some(connection(zitadel.socket(), "zitadel")),
        ..request(&host.path("backups"), app.socket())?
    };
    let dumped = run(&request)?;
    assert_eq!(dumped.stamp.to_string(), "2026-01-05T03:00:00");
    assert!(dumped.findings.is_empty(), "{:?}", dumped.findings);
    assert_eq!(names(&request.backups)?, [APP, ZITADEL]);
    for (half, name, major, archive) in [
        (&dumped.halves[0], "app", 18, "1.16"),
        (&dumped.halves[1], "zitadel", 16, "1.15"),
    ] {
        assert_eq!(half.component.as_str(), name);
        assert_eq!((half.server_major, half.pg_dump_major), (major, major));
        assert_eq!(half.facts.archive_version, archive);
        assert_eq!(half.facts.server_major(), Some(major));
        assert_eq!(half.facts.compression, "gzip");
        let found = fs::metadata(&half.path)?;
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(found.len(), half.bytes);
        let night = fixtures().join(format!("nights/{name}-{}.dump", NIGHTS[0]));
        let rows = inspect_dump(File::open(night)?, &mut ())?.rows;
        assert!(rows.values().sum::<u64>() > 0);
        assert_eq!(half.rows, rows, "{name}");
    }
    let pushed = host.run(&["push", "--json"])?.expect_code(0)?.json()?;
    let archive = &pushed["archives"][0];
    assert_eq!(archive["verdict"], "sound", "{archive}");
    assert_eq!(archive["findings"], serde_json::json!([]), "{archive}");
    let is_proven = |proof: &serde_json::Value| proof["state"] == "proven";
    let proofs = archive["proofs"].as_array().ok_or("no proofs")?;
    assert!(
        proofs.len() > 1 && proofs.iter().all(is_proven),
        "{archive}"
    );
    host.fetch_latest("recovered")?.expect_code(0)?;
    for name in [APP, ZITADEL] {
        let original = fs::read(request.backups.join(name))?;
        assert!(
            fs::read(host.path("recovered").join(name))? == original,
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn where_sign_in_is_local_there_is_the_app_dump_alone_and_a_second_run_has_its_own_name() -> Outcome
{
    let app = server(18, "lazyit", None)?;
    let folder = tempfile::tempdir()?;
    let request = request(folder.path(), app.socket())?;
    let dumped = run(&request)?;
    assert_eq!(dumped.halves.len(), 1);
    // The database is not lazyit's yet, which is no reason not to have its dump.
    assert_eq!(dumped.findings[0].code, "dump-foreign");
    let first = fs::read(folder.path().join(APP))?;
    assert_eq!(run(&request)?.stamp.to_string(), "2026-01-05T03:00:01");
    assert_eq!(names(folder.path())?, [APP, "app-20260105-030001.dump"]);
    assert!(fs::read(folder.path().join(APP))? == first);
    Ok(())
}

#[test]
fn the_newest_program_dumps_an_older_server_with_a_note_and_none_a_newer_one() -> Outcome {
    let zitadel = server(16, "lazyit", None)?;
    let folder = tempfile::tempdir()?;
    let newer = DumpRequest {
        programs: installed(&[18])?,
        ..request(folder.path(), zitadel.socket())?
    };
    let dumped = run(&newer)?;
    let half = &dumped.halves[0];
    assert_eq!((half.server_major, half.pg_dump_major), (16, 18));
    assert_eq!(half.facts.archive_version, "1.16");
    for code in ["pg-dump-newer", "pg-restore-too-old"] {
        let found = dumped.findings.iter().find(|finding| finding.code == code);
        let found = found.ok_or(code)?;
        assert!(
            !found.is_fault() && found.message.contains("16"),
            "{found:?}"
        );
    }
    let app = server(18, "lazyit", None)?;
    let folder = tempfile::tempdir()?;
    let older = DumpRequest {
        programs: installed(&[16])?,
        ..request(folder.path(), app.socket())?
    };
    let says = line(&failure(&older)?);
    assert!(
        says.contains("app database") && says.contains("PostgreSQL 18"),
        "{says}"
    );
    assert!(says.contains("pg_dump here, 16,"), "{says}");
    let none = DumpRequest {
        programs: Programs::find(&[folder.path().to_owned()]),
        ..older
    };
    let says = line(&failure(&none)?);
    assert!(says.ends_with("no pg_dump is installed"), "{says}");
    Ok(())
}

#[test]
fn without_psql_a_server_tells_its_version_all_the_same() -> Outcome {
    let cancel = Cancel::default();
    let servers = [server(16, "lazyit", None)?, server(18, "lazyit", None)?];
    for (installed, known) in [(16, [Some(16), Some(18)]), (18, [Some(16), Some(18)])] {
        let folder = tempfile::tempdir()?;
        symlink(
            programs(installed)?.join("pg_dump"),
            folder.path().join("pg_dump"),
        )?;
        let alone = Programs::find(&[folder.path().to_owned()]);
        assert_eq!(alone.majors(), [installed]);
        for (server, major) in servers.iter().zip(known) {
            let found = alone
                .server_major(&connection(server.socket(), "lazyit"), &cancel)
                .ok();
            assert_eq!(found, major, "by {installed}");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_reached_is_named_and_leaves_nothing() -> Outcome {
    let app = server(18, "lazyit", None)?;
    let folder = tempfile::tempdir()?;
    let good = request(folder.path(), app.socket())?;
    let no_database = Connection {
        database: "laziyt".into(),
        ..good.app.clone()
    };
    let nobody = Connection {
        user: "somebody".into(),
        ..good.app.clone()
    };
    let elsewhere = Connection {
        port: 5433,
        ..good.app.clone()
    };
    for (connection, says) in [
        (no_database, "database \"laziyt\" does not exist"),
        (nobody, "role \"somebody\" does not exist"),
        (elsewhere, ".s.PGSQL.5433"),
    ] {
        let as_app = DumpRequest {
            app: connection.clone(),
            ..good.clone()
        };
        let as_zitadel = DumpRequest {
            zitadel: Some(connection),
            ..good.clone()
        };
        for (request, component) in [(as_app, "app"), (as_zitadel, "zitadel")] {
            let told = line(&failure(&request)?);
            let start = format!("cannot dump the {component} database (");
            assert!(told.starts_with(&start) && told.contains(says), "{told}");
            assert!(!told.contains('\n') && !told.contains("error:"), "{told}");
        }
    }
    Ok(())
}

#[test]
fn a_password_of_any_characters_works_and_is_in_no_argument() -> Outcome {
    const PASSWORD: &str = "pä ss'w\\ord\" $(id) `id` = %s; #";
    let app = server(18, "lazyit", None)?;
    let quoted = PASSWORD.replace('\'', "''");
    let role = format!("CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{quoted}'");
    app.psql("postgres", &role)?;
    let rules = "local all keeper scram-sha-256\nlocal all all trust\n";
    fs::write(app.socket().join("data/pg_hba.conf"), rules)?;
    app.psql("postgres", "SELECT pg_reload_conf()")?;
    let folder = tempfile::tempdir()?;
    let good = request(folder.path(), app.socket())?;
    let keeper = |password: &str| DumpRequest {
        app: Connection {
            user: "keeper".into(),
            password: Secret::new(password.into()),
            ..good.app.clone()
        },
        ..good.clone()
    };
    let cancel = Cancel::default();
    let none = keeper("");
    until("a server that asks for passwords", || {
        let asked = none.programs.server_major(&none.app, &cancel);
        Ok(asked.is_err().then_some(()))
    })?;
    let says = line(&failure(&none)?);
    assert!(
        says.contains("app database") && says.contains("no password supplied"),
        "{says}"
    );
    let says = line(&failure(&keeper("wr0ng-w0rd"))?);
    assert!(
        says.contains("password authentication failed for user \"keeper\""),
        "{says}"
    );
    assert!(!says.contains("wr0ng-w0rd"), "{says}");

    let lock = Locked::new(&app)?;
    let request = keeper(PASSWORD);
    let (dumped, seen) = meanwhile(&request, &cancel, move || {
        let id = until("a pg_dump", || writer(folder.path()))?;
        let read = |name: &str| fs::read(format!("/proc/{id}/{name}"));
        let seen = (read("cmdline")?, read("environ")?);
        drop(lock);
        Ok((seen, folder))
    })?;
    dumped?;
    let ((arguments, environment), folder) = seen;
    let holds = |bytes: &[u8], text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(holds(&arguments, "keeper") && !holds(&arguments, PASSWORD));
    assert!(!holds(&arguments, "ss'w") && !holds(&arguments, "$(id)"));
    assert!(holds(&environment, &format!("PGPASSWORD={PASSWORD}\0")));
    assert!(!holds(&environment, "HOME=") && !holds(&environment, "CARGO"));
    assert_eq!(names(folder.path())?, [APP]);
    Ok(())
}

#[test]
fn a_server_that_dies_half_way_is_told_and_leaves_nothing() -> Outcome {
    let app = server(18, "lazyit", None)?;
    add_noise(&app)?;
    let folder = tempfile::tempdir()?;
    let request = request(folder.path(), app.socket())?;
    let status = app.socket().join("data/postmaster.pid");
    let (dumped, ()) = meanwhile(&request, &Cancel::default(), || {
        let id = stopped_half_way(folder.path())?;
        let postmaster = fs::read_to_string(&status)?;
        let postmaster = postmaster.lines().next().ok_or("no id")?.parse()?;
        signal(postmaster, "QUIT")?;
        until("the server's end", || Ok((!status.exists()).then_some(())))?;
        signal(id, "CONT")
    })?;
    let says = line(&dumped.err().ok_or("there is a dump of a dead server")?);
    assert!(
        says.starts_with("cannot dump the app database (lazyit at "),
        "{says}"
    );
    assert!(
        says.contains("pg_dump 18: ") && says.contains("noise"),
        "{says}"
    );
    assert!(
        !says.contains('\n') && !says.contains("COPY public"),
        "{says}"
    );
    assert_eq!(names(folder.path())?, [""; 0]);
    Ok(())
}

#[test]
fn a_stop_half_way_ends_the_program_and_leaves_nothing() -> Outcome {
    let app = server(18, "lazyit", None)?;
    add_noise(&app)?;
    let folder = tempfile::tempdir()?;
    let request = request(folder.path(), app.socket())?;
    let cancel = Cancel::default();
    let (dumped, id) = meanwhile(&request, &cancel, || {
        let id = stopped_half_way(folder.path())?;
        cancel.cancel();
        Ok(id)
    })?;
    assert!(
        matches!(dumped, Err(DumpRunError::Cancelled(_))),
        "{dumped:?}"
    );
    assert!(!Path::new(&format!("/proc/{id}")).exists());
    assert_eq!(names(folder.path())?, [""; 0]);
    Ok(())
}

/// Set where this program has started itself as a run that is going to be killed: the folder, and the
/// server's socket.
const RUN: [&str; 2] = ["SEALIFT_TEST_BACKUPS", "SEALIFT_TEST_SOCKET"];

#[test]
fn what_a_killed_run_leaves_is_removed_once_nobody_writes_to_it() -> Outcome {
    let name = "dumping::what_a_killed_run_leaves_is_removed_once_nobody_writes_to_it";
    if let [Some(backups), Some(socket)] = RUN.map(std::env::var_os) {
        let request = request(Path::new(&backups), Path::new(&socket))?;
        run(&request)?;
        return Ok(());
    }
    let app = server(18, "lazyit", None)?;
    let lock = Locked::new(&app)?;
    let folder = tempfile::tempdir()?;
    let mut killed = Command::new(std::env::current_exe()?)
        .args(["--exact", name])
        .env(RUN[0], folder.path())
        .env(RUN[1], app.socket())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    until("a pg_dump", || writer(folder.path()))?;
    killed.kill()?;
    killed.wait()?;
    // The program goes on without it. The next run leaves its file alone, and has another name.
    let left = format!("{APP}.sealift.partial");
    let mut request = request(folder.path(), app.socket())?;
    request.limits.lock_wait = Duration::from_secs(1);
    assert!(run(&request).is_err());
    assert_eq!(names(folder.path())?, [left.as_str()]);
    drop(lock);
    until("the end of the program", || {
        Ok(writer(folder.path())?.is_none().then_some(()))
    })?;
    assert_eq!(names(folder.path())?, [left.as_str()]);
    run(&request)?;
    assert_eq!(names(folder.path())?, [APP]);
    Ok(())
}

#[test]
fn a_table_that_stays_locked_and_a_program_that_stays_silent_hold_up_nothing_for_ever() -> Outcome {
    let app = server(18, "lazyit", None)?;
    let _lock = Locked::new(&app)?;
    let folder = tempfile::tempdir()?;
    let mut request = request(folder.path(), app.socket())?;
    request.limits.lock_wait = Duration::from_secs(1);
    let error = failure(&request)?;
    let says = line(&error);
    let is_locked = |error: DumpRunError| {
        matches!(
            error,
            DumpRunError::Database {
                source: PostgresError::Locked(_),
                ..
            }
        )
    };
    assert!(
        says.ends_with("a table was locked by somebody else for more than 1 s"),
        "{says}"
    );
    assert!(is_locked(error));
    request.limits = DumpLimits {
        silence: Duration::from_secs(1),
        ..DumpLimits::default()
    };
    let says = line(&failure(&request)?);
    assert!(says.contains("app database"), "{says}");
    assert!(
        says.ends_with("pg_dump 18 made no progress for 1 s"),
        "{says}"
    );
    Ok(())
}

#[test]
fn when_one_of_two_fails_neither_is_there() -> Outcome {
    let app = server(18, "lazyit", None)?;
    let zitadel = server(16, "lazyit", None)?;
    let _lock = Locked::new(&zitadel)?;
    let folder = tempfile::tempdir()?;
    let mut request = DumpRequest {
        zitadel: Some(connection(zitadel.socket(), "lazyit")),
        ..request(folder.path(), app.socket())?
    };
    request.limits.lock_wait = Duration::from_secs(1);
    let says = line(&failure(&request)?);
    assert!(
        says.starts_with("cannot dump the zitadel database"),
        "{says}"
    );
    Ok(())
}

/// A small disk that is gone with the value, and how this process sees it.
struct Disk {
    holder: Child,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn of(mib: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let script = "mount -t tmpfs -o size=$2m none \"$1\" && echo mounted && exec sleep 100000";
        let mut holder = Command::new("unshare");
        holder.arg("--mount");
        if Run::of(&Command::new("id").arg("-u").output()?)
            .stdout
            .trim()
            != "0"
        {
            holder.arg("--map-root-user");
        }
        holder.args(["sh", "-c", script, "sh"]).arg(folder.path());
        let mut holder = holder
            .arg(mib.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        let output = holder.stdout.take().ok_or("no output")?;
        BufReader::new(output).read_line(&mut said)?;
        let path = format!("/proc/{}/root{}", holder.id(), folder.path().display());
        let disk = Self {
            holder,
            path: path.into(),
            _folder: folder,
        };
        assert_eq!(said, "mounted\n");
        Ok(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_disk_that_fills_up_half_way_is_told_and_only_what_was_there_is_left() -> Outcome {
    let app = server(18, "lazyit", Some("app"))?;
    let disk = Disk::of(80)?;
    let request = request(&disk.path, app.socket())?;
    let lock = Locked::new(&app)?;
    let (dumped, ()) = meanwhile(&request, &Cancel::default(), || {
        until("a pg_dump", || writer(&disk.path))?;
        let mut filler = File::create(disk.path.join("filler"))?;
        while filler.write_all(&[0; 4096]).is_ok() {}
        drop(lock);
        Ok(())
    })?;
    let says = line(&dumped.err().ok_or("there is a dump on a full disk")?);
    assert!(says.starts_with("cannot dump the app database"), "{says}");
    assert!(says.contains("No space left on device"), "{says}");
    assert_eq!(names(&disk.path)?, ["filler"]);
    Ok(())
}

#[test]
fn a_disk_that_is_known_to_be_too_small_is_not_written_to() -> Outcome {
    let app = server(18, "lazyit", None)?;
    let disk = Disk::of(16)?;
    let request = request(&disk.path, app.socket())?;
    let error = failure(&request)?;
    let says = line(&error);
    assert!(
        says.contains("64 MiB") && says.contains("16 MiB free"),
        "{says}"
    );
    let is_told = matches!(error, DumpRunError::NoSpace { needed, free, .. } if free < needed);
    assert!(is_told);
    assert_eq!(
        sealift::space_needed(&disk.path, &[ComponentName::app()])?,
        64 << 20
    );
    Ok(())
}
