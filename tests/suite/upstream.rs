//! lazyit's own sidecar with sealift as its off-site command: its one `pg_dump`, that of `PostgreSQL` 18,
//! dumps an application's server of 18 and an identity provider's of 16.
//!
//! Promise: nothing is set by a file. What sealift knows it is told by the sidecar's environment.

use crate::support::postgres::{Server, programs};
use crate::support::{Host, NIGHTS, Outcome, Run, fixtures};
use serde_json::Value;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The major of the sidecar's image.
const SIDECAR: u32 = 18;

/// A host with both servers, filled with a night of the fixtures, and no settings file.
struct Lazyit {
    host: Host,
    app: Server,
    zitadel: Server,
    recipients: String,
}

impl Lazyit {
    fn new() -> Result<Self> {
        let host = Host::new()?;
        let settings = fs::read_to_string(host.path("sealift.toml"))?;
        let mut words = settings.split('"');
        let recipients = words
            .find(|word| word.starts_with("age1"))
            .ok_or("no recipient")?;
        fs::remove_file(host.path("sealift.toml"))?;
        fs::create_dir(host.path("bin"))?;
        symlink(env!("CARGO_BIN_EXE_sealift"), host.path("bin/sealift"))?;
        let start = |half: &str, name: &str, major| -> Result<Server> {
            let server = Server::start(major, name)?;
            server.psql("postgres", &format!("CREATE DATABASE {name}"))?;
            let night = fixtures().join(format!("nights/{half}-{}.dump", NIGHTS[0]));
            // Its code is no matter here: the older server does not know one parameter.
            server.restore(SIDECAR, &night, name, &[])?;
            Ok(server)
        };
        Ok(Self {
            app: start("app", "lazyit", 18)?,
            zitadel: start("zitadel", "zitadel", 16)?,
            recipients: recipients.to_owned(),
            host,
        })
    }

    /// A command with the environment of the sidecar's container, in a folder that has nothing to do
    /// with sealift.
    fn within(&self, program: &Path) -> Result<Command> {
        let path = |name: &str| self.host.path(name).display().to_string();
        let mut command = Command::new(program);
        let bin = programs(SIDECAR)?.display().to_string();
        command.current_dir("/").stdin(Stdio::null()).env_clear();
        command.envs([
            ("PATH", format!("{}:{bin}:/usr/bin:/bin", path("bin"))),
            ("BACKUPS", path("backups")),
            // A rule that needs no files.
            ("TZ", "CET-1CEST,M3.5.0,M10.5.0/3".into()),
            ("POSTGRES_HOST", self.app.socket().display().to_string()),
            ("POSTGRES_USER", "lazyit".into()),
            ("POSTGRES_PASSWORD", "unasked".into()),
            ("POSTGRES_DB", "lazyit".into()),
            (
                "ZITADEL_DB_HOST",
                self.zitadel.socket().display().to_string(),
            ),
            ("ZITADEL_DB_USER", "zitadel".into()),
            ("ZITADEL_DB_PASSWORD", "unasked".into()),
            ("ZITADEL_DB_NAME", "zitadel".into()),
            ("BACKUP_RETENTION_DAYS", "14".into()),
            ("SEALIFT_STORE", path("store")),
            ("SEALIFT_RECIPIENTS", self.recipients.clone()),
            ("SEALIFT_ENV_FILE", path(".env.prod")),
            ("SEALIFT_BACKUPS", path("backups")),
            ("SEALIFT_STATE", path("sealift-state")),
            ("SEALIFT_SIGNING_KEY", path("sealift-signing-key")),
            ("SEALIFT_TRUSTED_SIGNERS", path("sealift-allowed-signers")),
            ("SEALIFT_INSTANCE", "lazyit".into()),
            (
                "SEALIFT_INCLUDES",
                format!(
                    "zitadel-secrets={},attachments={}",
                    path("zitadel-secrets"),
                    path("attachments")
                ),
            ),
        ]);
        Ok(command)
    }

    /// One night of the sidecar.
    fn night(&self, offsite: &str, variables: &[(&str, &str)]) -> Result<Run> {
        // Two nights of the same second would have the same names.
        thread::sleep(Duration::from_secs(1));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lazyit_sidecar.sh");
        let mut sidecar = self.within(&script)?;
        sidecar.env("BACKUP_OFFSITE_CMD", offsite);
        Ok(Run::of(&sidecar.envs(variables.iter().copied()).output()?))
    }

    /// What sealift itself says there.
    fn sealift(&self, args: &[&str]) -> Result<Run> {
        let mut sealift = self.within(&self.host.path("bin/sealift"))?;
        Ok(Run::of(&sealift.args(args).output()?))
    }

    /// The archives, newest first.
    fn archives(&self) -> Result<Vec<Value>> {
        let listed = self.sealift(&["list", "--json"])?.expect_code(0)?.json()?;
        Ok(listed["archives"].as_array().ok_or("no list")?.clone())
    }

    /// The dumps in the folder, in order.
    fn dumps(&self) -> Result<Vec<String>> {
        let files = self.host.snapshot("backups")?;
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        Ok(files.iter().filter_map(|(path, _)| name(path)).collect())
    }

    /// Fetches the latest archive, and compares each dump with the one in the folder.
    fn fetches(&self, dumps: &[String], out: &str) -> Outcome {
        self.host.fetch_latest(out)?.expect_code(0)?;
        for dump in dumps {
            let original = fs::read(self.host.path("backups").join(dump))?;
            let fetched = fs::read(self.host.path(out).join(dump))?;
            assert!(fetched == original, "{dump} is another");
        }
        let env = fs::read(self.host.path(out).join(".env.prod"))?;
        assert!(env == fs::read(self.host.path(".env.prod"))?);
        Ok(())
    }
}

/// The id at the end of a line.
fn id(line: &str) -> &str {
    line.rsplit(' ').next().unwrap_or_default()
}

/// The components of an archive.
fn components(archive: &Value) -> Vec<&str> {
    let components = archive["components"].as_array().into_iter().flatten();
    let mut names: Vec<_> = components.filter_map(|one| one["name"].as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn two_calls_a_night_make_one_archive_however_the_command_is_written() -> Outcome {
    let lazyit = Lazyit::new()?;
    // What retention removes before the hook is called is none of the hook's business.
    lazyit.host.add_night(NIGHTS[1])?;
    let old = SystemTime::now() - Duration::from_hours(24 * 40);
    for half in ["app", "zitadel"] {
        let path = lazyit
            .host
            .path("backups")
            .join(format!("{half}-{}.dump", NIGHTS[1]));
        File::options().write(true).open(path)?.set_modified(old)?;
    }
    let mut known = Vec::new();
    for (night, offsite) in ["sealift push", "sealift push \"$1\""].iter().enumerate() {
        let run = lazyit.night(offsite, &[])?.expect_code(0)?;
        assert!(
            !run.stderr.contains("error") && !run.stderr.contains("warning"),
            "{run:#?}"
        );
        let archives = lazyit.archives()?;
        assert_eq!(archives.len(), night + 1, "{offsite}: {run:#?}");
        let archive = &archives[0];
        assert_eq!(archive["verdict"], "sound", "{archive}");
        assert_eq!(archive["label"], "nightly");
        let parts = ["app", "attachments", "env", "zitadel", "zitadel-secrets"];
        assert_eq!(components(archive), parts);

        let lines: Vec<_> = run.stdout.lines().collect();
        let [first, second] = lines[..] else {
            return Err(format!("not a line a call: {run:#?}").into());
        };
        assert!(first.starts_with("archived nightly of "), "{first}");
        assert!(
            second.starts_with("already archived: nightly of "),
            "{second}"
        );
        for line in lines {
            assert_eq!(id(line), archive["id"], "{line}");
            assert!(line.contains("sound") && line.contains("keys: "), "{line}");
            assert!(
                !line.contains("unproven") && !line.contains("refuted"),
                "{line}"
            );
        }
        // The stamp is of the sidecar's time zone, and means now.
        let captured: sealift::Timestamp =
            archive["captured_at"].as_str().ok_or("no time")?.parse()?;
        let age = captured.duration_until(sealift::Timestamp::try_from(SystemTime::now())?);
        assert!(age.abs().as_mins() < 30, "{archive}");

        let dumps: Vec<_> = lazyit
            .dumps()?
            .into_iter()
            .filter(|dump| !known.contains(dump))
            .collect();
        assert_eq!(dumps.len(), 2, "{dumps:?}");
        lazyit.fetches(&dumps, &format!("recovered-{night}"))?;
        known.extend(dumps);
    }
    lazyit.sealift(&["verify"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn where_sign_in_is_local_the_archive_has_the_app_alone() -> Outcome {
    let lazyit = Lazyit::new()?;
    let run = lazyit
        .night("sealift push", &[("AUTH_MODE", "local")])?
        .expect_code(0)?;
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    let archives = lazyit.archives()?;
    assert_eq!(archives.len(), 1);
    assert_eq!(archives[0]["verdict"], "sound", "{}", archives[0]);
    assert!(!components(&archives[0]).contains(&"zitadel"));
    assert_eq!(id(run.stdout.trim_end()), archives[0]["id"]);
    let dumps = lazyit.dumps()?;
    assert_eq!(dumps.len(), 1);
    lazyit.fetches(&dumps, "recovered")
}

#[test]
fn a_call_that_fails_ends_the_night_and_its_pair_is_archived_afterwards() -> Outcome {
    let lazyit = Lazyit::new()?;
    let log = |name: &str| lazyit.host.path(name).display().to_string();
    let offsite = format!("echo call >> {}; sealift push", log("calls"));
    let failure = format!("echo \"$1\" >> {}", log("failures"));
    let variables = [("BACKUP_ON_FAILURE_CMD", failure.as_str())];
    // A disk that is not mounted.
    fs::rename(lazyit.host.path("store"), lazyit.host.path("away"))?;
    let run = lazyit.night(&offsite, &variables)?.expect_code(1)?;
    assert_eq!(run.stdout, "", "{run:#?}");
    let lines: Vec<_> = run.stderr.lines().collect();
    assert!(
        lines[0].starts_with("error: ") && lines[0].contains("no store"),
        "{run:#?}"
    );
    let last = lines.last().ok_or("nothing said")?;
    assert!(last.starts_with("[lazyit-backup] FAILED run "), "{run:#?}");
    let told = fs::read_to_string(lazyit.host.path("failures"))?;
    assert_eq!(told.lines().count(), 1, "{told}");
    let missed = lazyit.dumps()?;
    assert_eq!(missed.len(), 2, "{missed:?}");

    fs::rename(lazyit.host.path("away"), lazyit.host.path("store"))?;
    let run = lazyit.night(&offsite, &variables)?.expect_code(0)?;
    // Tonight's pair, the one that was missed, and the second call.
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{run:#?}");
    assert!(lines[0].starts_with("archived ") && lines[1].starts_with("archived "));
    assert!(lines[2].starts_with("already archived: "), "{run:#?}");
    // One call of the night that failed, and two of this one.
    assert_eq!(
        fs::read_to_string(lazyit.host.path("calls"))?,
        "call\n".repeat(3)
    );
    let dumps: Vec<_> = lazyit
        .dumps()?
        .into_iter()
        .filter(|dump| !missed.contains(dump))
        .collect();
    assert_eq!(dumps.len(), 2, "{dumps:?}");
    lazyit.fetches(&dumps, "recovered")?;

    let archives = lazyit.archives()?;
    assert_eq!(archives.len(), 2, "{run:#?}");
    assert!(
        archives.iter().all(|archive| archive["verdict"] == "sound"),
        "{archives:?}"
    );
    Ok(())
}
