//! RESTORE.md against real servers: the application's database on `PostgreSQL` 18, the identity
//! provider's on 16, each in a container as far as the commands can tell.
//!
//! Promise: every command of the page runs as it is written, in the order in which it is written,
//! and says nothing on stderr; afterwards the servers hold what the dumps hold, table by table.

use crate::support::postgres::{Server, programs};
use crate::support::{Host, NIGHTS, Outcome, Run, fixtures};
use sealift::{DumpReport, inspect_dump};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Rows of each table, by schema and name.
type Rows = BTreeMap<String, u64>;

/// Half of a pair, its service, its database and user, and its server's major.
const HALVES: [(&str, &str, &str, u32); 2] = [
    ("app", "db", "lazyit", 18),
    ("zitadel", "zitadel_db", "zitadel", 16),
];

/// The major whose `pg_dump` the sidecar has.
const SIDECAR: u32 = 18;

/// A host with the two databases of a lazyit that was just installed.
struct Lazyit {
    host: Host,
    servers: [Server; 2],
}

impl Lazyit {
    fn new() -> Result<Self> {
        let host = Host::new()?;
        for folder in ["bin", "lazyit"] {
            fs::create_dir(host.path(folder))?;
        }
        let docker = host.path("bin/docker");
        fs::write(&docker, include_str!("docker.sh"))?;
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755))?;
        let start = |(_, service, name, major): (&str, &str, &str, u32)| -> Result<Server> {
            let server = Server::start(major, name)?;
            server.psql("postgres", &format!("CREATE DATABASE {name}"))?;
            let container = format!(
                "PATH={}:/usr/bin:/bin\nPGHOST={}\nPOSTGRES_USER={name}\nPOSTGRES_DB={name}\n",
                programs(major)?.display(),
                server.socket().display()
            );
            fs::write(host.path(&format!("bin/{service}.env")), container)?;
            Ok(server)
        };
        let servers = [start(HALVES[0])?, start(HALVES[1])?];
        Ok(Self { host, servers })
    }

    /// Archives a night, fetches it into a folder, and runs the page that the fetch wrote.
    fn restore(&self, night: &str, out: &str) -> Outcome {
        self.host.push_night(night)?;
        self.host.fetch_latest(out)?.expect_code(0)?;
        for (number, step) in steps(&self.host.path(out))?.iter().enumerate() {
            let run = self.step(step)?.expect_code(0);
            let run = run.map_err(|error| format!("block {number}:\n{step}\n{error}"))?;
            assert_eq!(run.stderr, "", "block {number}:\n{step}");
        }
        Ok(())
    }

    /// Runs commands in the folder of lazyit's compose file.
    fn step(&self, script: &str) -> Result<Run> {
        let bin = self.host.path("bin").display().to_string();
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", script])
            .current_dir(self.host.path("lazyit"))
            .env_clear()
            .env("PATH", format!("{bin}:/usr/bin:/bin"))
            .stdin(Stdio::null());
        Ok(Run::of(&shell.output()?))
    }

    /// Fails unless the servers hold what the dumps of a night hold, and one can dump them again.
    fn holds(&self, night: &str) -> Outcome {
        for ((half, _, name, major), server) in HALVES.iter().zip(&self.servers) {
            let original = dump_of(half, night);
            let expected = report(&original)?.rows;
            assert!(expected.values().any(|rows| *rows > 0), "{half} is empty");
            assert_eq!(rows(server, name)?, expected, "{half}");
            let again = self.host.path(&format!("{half}-again.dump"));
            server.dump(SIDECAR, name, &[], &again)?;
            let report = report(&again)?;
            assert_eq!(report.rows, expected, "{half}");
            let prefix = format!("{major}.");
            assert!(report.facts.server_version.starts_with(&prefix), "{half}");
            assert_eq!(contents(&again)?, contents(&original)?, "{half}");
        }
        Ok(())
    }
}

fn dump_of(half: &str, night: &str) -> PathBuf {
    fixtures().join(format!("nights/{half}-{night}.dump"))
}

/// What the dump itself says.
fn report(dump: &Path) -> Result<DumpReport> {
    Ok(inspect_dump(File::open(dump)?, &mut ())?)
}

/// The commands of the page in a folder, a block each, after its first: the two variables.
fn steps(folder: &Path) -> Result<Vec<String>> {
    let page = fs::read_to_string(folder.join("RESTORE.md"))?;
    let blocks = page.split("```sh\n").skip(1);
    let mut blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0));
    let variables = blocks.next().ok_or("no block at all")?;
    let steps: Vec<_> = blocks.map(|block| format!("{variables}{block}")).collect();
    assert!(steps.len() > 9, "only {steps:#?}");
    Ok(steps)
}

/// The rows of every table of a database, as its server counts them.
fn rows(server: &Server, database: &str) -> Result<Rows> {
    let counts = "SELECT format('SELECT %L, count(*) FROM %I.%I',
            nspname || '.' || relname, nspname, relname)
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') \\gexec\n";
    let counted = server.psql(database, counts)?;
    let row = |line: &str| {
        let (table, rows) = line.rsplit_once('|').ok_or("no count")?;
        Ok((table.to_owned(), rows.parse()?))
    };
    counted.lines().map(row).collect()
}

/// What a dump lists, but for its numbers: tables, indexes, constraints, sequences, large objects.
fn contents(dump: &Path) -> Result<Vec<String>> {
    let list = list(SIDECAR, dump)?.expect_code(0)?.stdout;
    let entries = list.lines().filter(|line| !line.starts_with(';'));
    // The number of the entry, the catalog's, and the object's own.
    let entries = entries.filter_map(|line| line.splitn(4, ' ').nth(3));
    let mut entries: Vec<_> = entries.map(ToOwned::to_owned).collect();
    entries.sort();
    Ok(entries)
}

fn list(by: u32, dump: &Path) -> Result<Run> {
    let mut list = Command::new(programs(by)?.join("pg_restore"));
    Ok(Run::of(&list.arg("-l").arg(dump).output()?))
}

#[test]
fn the_guide_fills_empty_databases() -> Outcome {
    let lazyit = Lazyit::new()?;
    lazyit.restore(NIGHTS[0], "recovered")?;
    lazyit.holds(NIGHTS[0])?;
    let keys = fs::read(lazyit.host.path("lazyit/.env.prod"))?;
    assert_eq!(keys, fs::read(fixtures().join("nights/.env.prod"))?);
    // The script on the way from one major to the other is removed: it is all of the data.
    assert!(!lazyit.host.path("recovered/zitadel_db.sql").exists());
    Ok(())
}

#[test]
fn the_guide_replaces_what_an_older_night_left() -> Outcome {
    let lazyit = Lazyit::new()?;
    for ((half, _, name, _), server) in HALVES.iter().zip(&lazyit.servers) {
        // Its code is the trap below; the rows are what counts here.
        server.restore(SIDECAR, &dump_of(half, NIGHTS[0]), name, &[])?;
        let newer = report(&dump_of(half, NIGHTS[2]))?.rows;
        let older = rows(server, name)?;
        assert_eq!(older.len(), newer.len(), "{half}");
        assert_ne!(older, newer, "{half}: the two nights cannot be told apart");
    }
    lazyit.restore(NIGHTS[2], "recovered")?;
    lazyit.holds(NIGHTS[2])
}

#[test]
fn a_database_that_cannot_be_cleaned_stops_the_guide_and_its_way_out_works() -> Outcome {
    let lazyit = Lazyit::new()?;
    lazyit.restore(NIGHTS[0], "recovered")?;
    let steps = steps(&lazyit.host.path("recovered"))?;
    let tables = ["public.users", "eventstore.events2"];
    for (((_, service, name, _), server), table) in HALVES.iter().zip(&lazyit.servers).zip(tables) {
        let step = |mark: String| steps.iter().find(|step| step.contains(&mark)).ok_or(mark);
        let load = step(format!("-T {service} sh -c"))?;
        // What a later version of the application could have added: the dump does not know it.
        server.psql(name, &format!("CREATE VIEW newer AS SELECT * FROM {table}"))?;
        let before = rows(server, name)?;
        let failed = lazyit.step(load)?;
        assert_ne!(failed.code, Some(0), "{failed:?}");
        let says = format!("cannot drop table {table} because other objects depend on it");
        assert!(failed.stderr.contains(&says), "{failed:?}");
        assert_eq!(
            rows(server, name)?,
            before,
            "a load that failed has changed something"
        );

        let way_out = step(format!("volume rm \"$P\"_{service}_data"))?;
        lazyit.step(way_out)?.expect_code(0)?;
        // The stand-in does nothing. The image makes the database of a new volume.
        server.psql("postgres", &format!("DROP DATABASE {name};"))?;
        server.psql("postgres", &format!("CREATE DATABASE {name};"))?;
        let loaded = lazyit.step(load)?.expect_code(0)?;
        assert_eq!(loaded.stderr, "");
    }
    lazyit.holds(NIGHTS[0])
}

#[test]
fn the_way_that_lazyit_documents_ends_in_an_error_for_the_identity_provider() -> Outcome {
    let (_, _, name, major) = HALVES[1];
    let dump = dump_of("zitadel", NIGHTS[0]);
    let refused = list(major, &dump)?.expect_code(1)?;
    let says = "unsupported version (1.16) in file header";
    assert!(refused.stderr.contains(says), "{refused:?}");

    let server = Server::start(major, name)?;
    let create = |database: &str| server.psql("postgres", &format!("CREATE DATABASE {database}"));
    create("old_way")?;
    let refused = server.restore(major, &dump, "old_way", &[])?;
    assert!(refused.stderr.contains(says), "{refused:?}");
    refused.expect_code(1)?;
    assert!(rows(&server, "old_way")?.is_empty());

    let expected = report(&dump)?.rows;
    let parameter = "unrecognized configuration parameter \"transaction_timeout\"";
    for (database, options, loaded) in [
        ("all_the_same", &["--clean", "--if-exists"][..], &expected),
        ("at_once", &["--exit-on-error"], &Rows::new()),
    ] {
        create(database)?;
        let failed = server.restore(SIDECAR, &dump, database, options)?;
        assert!(failed.stderr.contains(parameter), "{failed:?}");
        failed.expect_code(1)?;
        assert_eq!(&rows(&server, database)?, loaded, "{options:?}");
    }
    Ok(())
}
