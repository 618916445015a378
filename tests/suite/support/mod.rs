//! One test environment: a host with its own folder, set up as an operator would, and the program
//! as it was built.
//!
//! Promise: nothing of the machine's environment reaches the program but `PATH`, and nothing is
//! written outside the host's folder.

pub mod link;
pub mod listener;
pub mod postgres;
pub mod proxy;
pub mod servers;

use serde_json::Value;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// What every test returns: an error fails it.
pub type Outcome = Result<(), Box<dyn Error>>;

/// The three nights of the fixtures.
pub const NIGHTS: [&str; 3] = ["20260101-030000", "20260102-030000", "20260103-030000"];

/// The arguments that fetch with the recovery kit.
pub const KIT: [&str; 4] = [
    "--config",
    "recovery-kit/sealift.toml",
    "--identity",
    "recovery-kit/identity.txt",
];

/// The folder of the fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The run, if it ended with this code.
    pub fn expect_code(self, code: i32) -> Result<Self, Box<dyn Error>> {
        if self.code == Some(code) {
            Ok(self)
        } else {
            Err(format!("not {code}: {self:#?}").into())
        }
    }

    /// The one JSON document on stdout.
    pub fn json(&self) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&self.stdout)?)
    }
}

/// Files and their bytes.
pub type Snapshot = Vec<(PathBuf, Vec<u8>)>;

/// A host of lazyit in a temporary folder.
pub struct Host {
    pub folder: TempDir,
}

impl Host {
    /// An empty host: no settings, no dumps.
    pub fn bare() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            folder: tempfile::tempdir()?,
        })
    }

    /// A host with env file, volumes and an empty backups folder, after `sealift init`.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        Self::with_store("store")
    }

    /// Such a host whose store is somewhere else.
    pub fn with_store(store: &str) -> Result<Self, Box<dyn Error>> {
        Self::with_settings(store, &[])
    }

    /// Such a host whose `init` is told more.
    pub fn with_settings(store: &str, settings: &[&str]) -> Result<Self, Box<dyn Error>> {
        let host = Self::bare()?;
        fs::create_dir(host.path("backups"))?;
        fs::copy(fixtures().join("nights/.env.prod"), host.path(".env.prod"))?;
        copy_tree(
            &fixtures().join("nights/zitadel-secrets"),
            &host.path("zitadel-secrets"),
        )?;
        copy_tree(
            &fixtures().join("nights/attachments"),
            &host.path("attachments"),
        )?;
        let init = [
            "init",
            "--store",
            store,
            "--env-file",
            ".env.prod",
            "--include",
            "zitadel-secrets=zitadel-secrets",
            "--include",
            "attachments=attachments",
        ];
        host.run(&[&init[..], settings].concat())?.expect_code(0)?;
        Ok(host)
    }

    /// A path on the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The instance's folder in the store.
    pub fn store(&self, name: &str) -> PathBuf {
        self.path("store/lazyit").join(name)
    }

    /// The program, about to run on the host.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs the program on the host.
    pub fn run(&self, args: &[&str]) -> Result<Run, Box<dyn Error>> {
        Ok(Run::of(&self.command(args).output()?))
    }

    /// Puts a night's pair into the backups folder, long settled, and returns the app dump's path.
    pub fn add_night(&self, stamp: &str) -> Result<String, Box<dyn Error>> {
        for half in ["app", "zitadel"] {
            let name = format!("{half}-{stamp}.dump");
            self.add_dump(&name, &fs::read(fixtures().join("nights").join(&name))?)?;
        }
        Ok(format!("backups/app-{stamp}.dump"))
    }

    /// Puts a dump into the backups folder that nobody has written to for an hour.
    pub fn add_dump(&self, name: &str, bytes: &[u8]) -> Outcome {
        let path = self.path("backups").join(name);
        fs::write(&path, bytes)?;
        settle(&path)
    }

    /// Puts a night's pair into the backups folder whose app dump is whole, and large enough for a
    /// push to be hit at any moment: so many MiB, which depend on the seed.
    pub fn add_large_night(
        &self,
        stamp: &str,
        mib: usize,
        seed: u64,
    ) -> Result<String, Box<dyn Error>> {
        let dump = self.add_night(stamp)?;
        fs::write(self.path(&dump), large_dump(mib, seed)?)?;
        settle(&self.path(&dump))?;
        Ok(dump)
    }

    /// Archives a night and returns what push says of it.
    pub fn push_night(&self, stamp: &str) -> Result<Value, Box<dyn Error>> {
        let dump = self.add_night(stamp)?;
        let pushed = self.run(&["push", "--json", &dump])?.expect_code(0)?;
        Ok(pushed.json()?["archives"][0].clone())
    }

    /// Fetches with the recovery kit.
    pub fn fetch_latest(&self, out: &str) -> Result<Run, Box<dyn Error>> {
        self.run(&[&["fetch", "--latest", "--out", out][..], &KIT].concat())
    }

    /// Every file below a folder of the host, with its bytes, in one order.
    pub fn snapshot(&self, folder: &str) -> Result<Snapshot, Box<dyn Error>> {
        let mut files = Vec::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.clone(), fs::read(&path)?));
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

/// What a script of the tests says of what it has installed: a name and a path a line. It installs,
/// below the target folder, unless it has done so before.
pub fn installed(what: &str) -> Result<String, Box<dyn Error>> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = target.parent().ok_or("no target folder")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{what}.sh"));
    let output = Command::new(&script).arg(target.join(what)).output()?;
    let run = Run::of(&output).expect_code(0);
    Ok(run
        .map_err(|error| format!("{}: {error}", script.display()))?
        .stdout)
}

/// The digest of some bytes, as the tools print it.
pub fn sha256(bytes: &[u8]) -> String {
    sealift::Digest::of(bytes).to_string()
}

/// Makes a file look as if nobody had written to it for an hour.
pub fn settle(path: &Path) -> Outcome {
    let old = SystemTime::now() - Duration::from_hours(1);
    Ok(File::options().write(true).open(path)?.set_modified(old)?)
}

/// Copies a folder; its files are private, as git does not keep it.
pub fn copy_tree(from: &Path, to: &Path) -> Outcome {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

/// A whole, uncompressed dump with noise among the rows of its first table.
///
/// The noise is an xorshift of the seed, since what can be compressed or found twice is too fast.
fn large_dump(mib: usize, seed: u64) -> Result<Vec<u8>, Box<dyn Error>> {
    let small = fs::read(fixtures().join("majors/pg18-none-pipe.dump"))?;
    // Under another name one of its tables is of lazyit's, as far as names go.
    let small = renamed(&small, "child", "workflow_secrets");
    // The first cut at which the table of contents is whole, and only the data is not there.
    let is_toc = |cut: &usize| match sealift::inspect_dump(&small[..*cut], &mut ()) {
        Err(found) => found.to_string().contains("there is no data of"),
        Ok(_) => false,
    };
    let toc = (11..small.len())
        .find(is_toc)
        .ok_or("no table of contents")?;
    let (head, rest) = small.split_at(toc + 6); // the type of the block, and the id of its entry
    let mut dump = head.to_vec();
    let mut state = seed;
    for _ in 0..mib {
        dump.push(0);
        dump.extend_from_slice(&(1_u32 << 20).to_le_bytes());
        for _ in 0..(1 << 20) / 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            dump.extend_from_slice(&state.to_le_bytes());
        }
    }
    dump.extend_from_slice(rest);
    Ok(dump)
}

/// A piped dump in whose table of contents each of these names is another: lengths come before names.
pub fn renamed(dump: &[u8], from: &str, to: &str) -> Vec<u8> {
    let field = |name: &str| {
        let length = u32::try_from(name.len()).unwrap_or_default().to_le_bytes();
        [&[0][..], &length, name.as_bytes()].concat()
    };
    let (from, to) = (field(from), field(to));
    let mut out = Vec::new();
    let mut rest = dump;
    while let Some(place) = rest.windows(from.len()).position(|bytes| bytes == from) {
        out.extend_from_slice(&rest[..place]);
        out.extend_from_slice(&to);
        rest = &rest[place + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
