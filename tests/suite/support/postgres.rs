//! `PostgreSQL` as it is: throw-away servers of the majors that lazyit runs, and their programs.
//!
//! Promise: a [`Server`] listens on a socket in its own temporary folder and nowhere else. It ends,
//! and its folder with it, when the value is dropped, and at the latest with the thread that started
//! it, however that ends. Where the builds cannot be had, a test fails and says why.

use super::{Outcome, Run, installed};
use std::error::Error;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The user `nobody`, since `PostgreSQL` refuses to run as root and wants one that has a name.
const NOBODY: u32 = 65534;

/// How long a server may take to start: a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where `PostgreSQL`'s programs of a major are: 16 or 18.
pub fn programs(major: u32) -> Result<PathBuf> {
    static LINES: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let lines = LINES.get_or_init(|| installed("postgres").map_err(|error| error.to_string()));
    let lines = lines.as_ref().map_err(Clone::clone)?;
    let mut found = lines.lines().filter_map(|line| line.split_once(' '));
    let found = found.find(|(name, _)| *name == major.to_string());
    Ok(found.ok_or(format!("no PostgreSQL {major}"))?.1.into())
}

/// A server that lasts as long as the value, and as the thread that started it.
pub struct Server {
    major: u32,
    superuser: String,
    folder: TempDir,
    /// Those that the server itself runs from.
    programs: PathBuf,
    postmaster: Child,
}

impl Server {
    /// A server of a major, with its one superuser and the database `postgres`.
    pub fn start(major: u32, superuser: &str) -> Result<Self> {
        Self::start_from(&programs(major)?, major, superuser)
    }

    fn start_from(programs: &Path, major: u32, superuser: &str) -> Result<Self> {
        let folder = closed_folder()?;
        chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        let programs = within_reach(programs, folder.path())?;
        let data = folder.path().join("data");
        let mut initdb = as_nobody(&programs.join("initdb"), folder.path());
        initdb
            .args(["-A", "trust", "--locale=C", "--encoding=UTF8", "--no-sync"])
            .args(["-U", superuser, "-D"])
            .arg(&data);
        Run::of(&initdb.output()?).expect_code(0)?;
        let log = File::create(folder.path().join("log"))?;
        let mut postgres = as_nobody(&programs.join("postgres"), folder.path());
        postgres.arg("-D").arg(&data).arg("-k").arg(folder.path());
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "max_connections=20",
            // Some containers have next to nothing in /dev/shm.
            "dynamic_shared_memory_type=mmap",
        ] {
            postgres.args(["-c", setting]);
        }
        let postmaster = postgres
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            major,
            superuser: superuser.to_owned(),
            folder,
            programs,
            postmaster,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Outcome {
        let status = self.folder.path().join("data/postmaster.pid");
        let start = Instant::now();
        // The file's last line, padded, once the server takes connections.
        while !fs::read_to_string(&status).is_ok_and(|text| text.trim_end().ends_with("\nready")) {
            if self.postmaster.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.path().join("log"))?;
                return Err(format!("PostgreSQL {} does not start:\n{log}", self.major).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The folder of the socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// A program of the server's own major, about to speak to it as its superuser.
    pub fn command(&self, program: &str, args: &[&str]) -> Result<Command> {
        self.command_of(self.major, program, args)
    }

    /// A program of this major, about to speak to the server as its superuser.
    pub fn command_of(&self, major: u32, program: &str, args: &[&str]) -> Result<Command> {
        let programs = programs(major)?;
        let mut command = Command::new(programs.join(program));
        let path = format!("{}:/usr/bin:/bin", programs.display());
        command.args(args).env_clear().env("PATH", path);
        command
            .env("PGHOST", self.socket())
            .env("PGUSER", &self.superuser);
        Ok(command)
    }

    /// What `psql` prints of a script, a row a line, its fields parted by `|`.
    pub fn psql(&self, database: &str, script: &str) -> Result<String> {
        let options = ["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database];
        let mut psql = self.command("psql", &options)?;
        // A file, for a pipe could fill up while the answer waits to be read.
        let mut input = tempfile::tempfile()?;
        input.write_all(script.as_bytes())?;
        input.rewind()?;
        Ok(Run::of(&psql.stdin(input).output()?).expect_code(0)?.stdout)
    }

    /// What `pg_restore` of this major comes to, with these options.
    pub fn restore(&self, by: u32, dump: &Path, database: &str, options: &[&str]) -> Result<Run> {
        let mut restore = self.command_of(by, "pg_restore", &["-d", database])?;
        Ok(Run::of(&restore.args(options).arg(dump).output()?))
    }

    /// Dumps a database with `pg_dump` of this major, redirected to a file as the sidecar does it.
    pub fn dump(&self, by: u32, database: &str, options: &[&str], out: &Path) -> Outcome {
        let mut dump = self.command_of(by, "pg_dump", &["-Fc", "-d", database])?;
        let output = dump.args(options).stdout(File::create(out)?).output()?;
        Run::of(&output).expect_code(0)?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let mut stop = as_nobody(&self.programs.join("pg_ctl"), self.folder.path());
        stop.args(["stop", "-s", "-m", "immediate", "-D"]).arg(data);
        if !stop.status().is_ok_and(|status| status.success()) {
            let _ = self.postmaster.kill();
        }
        let _ = self.postmaster.wait();
    }
}

/// A temporary folder for its owner alone: the server trusts whoever reaches its socket.
fn closed_folder() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    Ok(builder
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()?)
}

/// A major's programs where `nobody` can run them: a copy in the server's folder, if the project lies
/// in a folder that is closed to all but root.
fn within_reach(programs: &Path, folder: &Path) -> Result<PathBuf> {
    // By way of a shell, for `setpriv` itself starts a program with the rights that it had before.
    let mut version = as_nobody(Path::new("sh"), folder);
    version.args(["-c", "exec \"$0\" --version"]);
    let version = version.arg(programs.join("postgres")).output()?;
    if version.status.success() {
        return Ok(programs.to_owned());
    }
    let build = programs.parent().ok_or("no build")?;
    let package = build.parent().ok_or("no package")?;
    // The programs look for the libraries beside the package, from where they are themselves.
    let mut libraries = package.as_os_str().to_owned();
    libraries.push(".libs");
    let copied = folder.join("package");
    fs::create_dir(&copied)?;
    for (from, to) in [
        (build, copied.join("build")),
        (libraries.as_ref(), folder.to_owned()),
    ] {
        let mut copy = Command::new("cp");
        Run::of(&copy.arg("-a").args([from, &to]).output()?).expect_code(0)?;
    }
    Ok(copied.join("build/bin"))
}

/// A program about to run as `nobody`, in this folder, and to end with this thread.
fn as_nobody(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
        .args(["--clear-groups", "--pdeathsig=QUIT", "--"])
        .arg(program)
        .current_dir(folder)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC")]);
    command
}

#[test]
fn a_server_runs_where_nobody_reaches_the_build_and_is_gone_afterwards() -> Outcome {
    let closed = closed_folder()?;
    let build = programs(18)?
        .parent()
        .map(Path::to_owned)
        .ok_or("no build")?;
    let package = build.parent().ok_or("no package")?;
    let versions = package.parent().ok_or("no version")?;
    symlink(versions, closed.path().join("link"))?;
    let programs = closed
        .path()
        .join("link")
        .join(build.strip_prefix(versions)?)
        .join("bin");
    let server = Server::start_from(&programs, 18, "somebody")?;
    assert!(server.programs.starts_with(server.socket()));
    assert_eq!(
        server.psql("postgres", "SELECT current_user")?,
        "somebody\n"
    );
    let (folder, id) = (server.socket().to_owned(), server.postmaster.id());
    drop(server);
    assert!(!folder.exists() && !Path::new("/proc").join(id.to_string()).exists());
    Ok(())
}
