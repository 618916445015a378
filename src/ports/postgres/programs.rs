//! Programs: which majors of `pg_dump` are installed, and which of them dumps a server.
//!
//! Promise: the same folders give the same programs. A program is known by what it says of itself, not by
//! its place, and one that several paths lead to is known once.

use super::PostgresError;
use super::child::Running;
use super::write::PgDump;
use crate::words::cancel::Cancel;
use crate::words::cause::with_cause;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where distributions and images have the programs: the folder, how the names of those in it start, and
/// where the programs are in these.
const USUAL: [(&str, &str, &str); 5] = [
    ("usr/lib/postgresql", "", "bin"),
    ("usr/libexec/postgresql", "", "."),
    ("usr/libexec", "postgresql", "."),
    ("usr", "pgsql-", "bin"),
    ("usr/local", "pgsql", "bin"),
];

/// So long a program may take to say its version.
const VERSION_TIME: Duration = Duration::from_mins(1);

/// The programs that are installed, oldest first, one of each major.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    installed: Vec<PgDump>,
    unusable: Vec<Unusable>,
}

/// A `pg_dump` that is there, and does not run.
#[derive(Clone, Debug)]
pub struct Unusable {
    path: PathBuf,
    why: String,
}

impl Programs {
    /// The programs in some folders; of two of the same major that in the former counts.
    #[must_use]
    pub fn find(folders: &[PathBuf]) -> Self {
        let mut found = Self::default();
        let mut seen = Vec::new();
        // Debian's wrapper runs one of several by rules of its own, so it is asked last.
        let paths = folders.iter().map(|folder| folder.join("pg_dump"));
        let (scripts, binaries) = paths
            .filter(|path| path.is_file())
            .partition::<Vec<_>, _>(|path| is_script(path));
        for path in binaries.into_iter().chain(scripts) {
            let Ok(real) = fs::canonicalize(&path) else {
                continue;
            };
            if seen.contains(&real) {
                continue;
            }
            seen.push(real);
            match major_of(&path) {
                Err(error) => found.unusable.push(Unusable {
                    why: with_cause(&error),
                    path,
                }),
                Ok(major) if found.installed.iter().any(|known| known.major == major) => {}
                Ok(major) => found.installed.push(PgDump::new(major, path)),
            }
        }
        found.installed.sort_by_key(|program| program.major);
        found
    }

    /// The folders in which the programs usually are, in one order; those of PATH come before them.
    #[must_use]
    pub fn usual_folders() -> Vec<PathBuf> {
        usual_below(Path::new("/"))
    }

    /// The majors that are installed, oldest first.
    #[must_use]
    pub fn majors(&self) -> Vec<u32> {
        self.installed.iter().map(|program| program.major).collect()
    }

    /// The programs that are there, and do not run.
    #[must_use]
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// The `pg_dump` for a server of this major: its own, or else the newest.
    ///
    /// # Errors
    /// [`PostgresError::NotInstalled`], or [`PostgresError::TooOld`], for no program dumps a newer server.
    pub fn for_server(&self, major: u32) -> Result<&PgDump, PostgresError> {
        let own = self.installed.iter().find(|program| program.major == major);
        let newest = self.newest()?;
        match own.or(Some(newest).filter(|newest| newest.major > major)) {
            Some(program) => Ok(program),
            None => Err(PostgresError::TooOld {
                server: major,
                newest: newest.major,
            }),
        }
    }

    pub(super) fn newest(&self) -> Result<&PgDump, PostgresError> {
        let newest = self.installed.last();
        newest.ok_or_else(|| PostgresError::NotInstalled(self.unusable.clone()))
    }

    /// The newest `psql` beside a `pg_dump`.
    pub(super) fn psql(&self) -> Option<PathBuf> {
        let beside = |program: &PgDump| program.path.with_file_name("psql");
        let mut beside = self.installed.iter().rev().map(beside);
        beside.find(|path| path.is_file())
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not run: {}", self.path.display(), self.why)
    }
}

fn usual_below(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.join("usr/local/bin"), root.join("usr/bin")];
    for (parent, start, end) in USUAL {
        let entries = fs::read_dir(root.join(parent)).into_iter().flatten();
        let mut versions: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
            .map(|entry| entry.path().join(end))
            .filter(|folder| folder.is_dir())
            .collect();
        versions.sort();
        folders.extend(versions);
    }
    folders
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"#!"
}

fn major_of(path: &Path) -> Result<u32, PostgresError> {
    let mut command = Command::new(path);
    command
        .arg("--version")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // Nobody waits for this for long, so it cannot be interrupted.
    let running = Running::start("pg_dump", &mut command)?;
    let ended = running
        .wait_for(VERSION_TIME, &Cancel::default())?
        .well("pg_dump")?;
    let printed = String::from_utf8_lossy(&ended.printed);
    parse_version(&printed).ok_or_else(|| PostgresError::Failed {
        program: "pg_dump".into(),
        says: format!("its version is {:?}", printed.trim()),
    })
}

/// The major in `pg_dump (PostgreSQL) 16.14 (Debian 16.14-1)`.
fn parse_version(text: &str) -> Option<u32> {
    let version = text.strip_prefix("pg_dump (PostgreSQL) ")?;
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// A folder with a program that says this of its version.
    fn install(root: &Path, folder: &str, version: &str) -> std::io::Result<PathBuf> {
        let folder = root.join(folder);
        fs::create_dir(&folder)?;
        let program = folder.join("pg_dump");
        fs::write(&program, format!("#!/bin/sh\necho \"{version}\"\n"))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    }

    #[test]
    fn one_of_each_major_is_known_and_the_rest_is_named() -> Outcome {
        let root = tempfile::tempdir()?;
        let mut folders = Vec::new();
        for (folder, version) in [
            ("b", "pg_dump (PostgreSQL) 18.4"),
            ("a", "pg_dump (PostgreSQL) 16.14 (Debian 16.14-1.pgdg12+1)"),
            ("again", "pg_dump (PostgreSQL) 18.1"),
            ("foreign", "no"),
            ("beta", "pg_dump (PostgreSQL) 19beta1"),
        ] {
            folders.push(install(root.path(), folder, version)?);
        }
        symlink(root.path().join("a"), root.path().join("link"))?;
        folders.push(root.path().join("link"));
        folders.push(root.path().join("missing"));
        let programs = Programs::find(&folders);
        assert_eq!(programs.majors(), [16, 18, 19]);
        assert_eq!(programs.for_server(18)?.path, folders[0].join("pg_dump"));
        let unusable: Vec<_> = programs
            .unusable()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(unusable.len(), 1);
        assert!(
            unusable[0].contains("foreign/pg_dump does not run"),
            "{unusable:?}"
        );
        Ok(())
    }

    #[test]
    fn the_usual_folders_of_distributions_and_images_are_known() -> Outcome {
        let root = tempfile::tempdir()?;
        for folder in [
            "usr/local/bin",
            "usr/bin",
            "usr/lib/postgresql/16/bin",
            "usr/lib/postgresql/18/bin",
            "usr/libexec/postgresql17",
            "usr/pgsql-15/bin",
            "usr/share/other/bin",
        ] {
            fs::create_dir_all(root.path().join(folder))?;
        }
        let found = usual_below(root.path());
        let show = |path: &PathBuf| Some(path.strip_prefix(root.path()).ok()?.to_owned());
        let found: Vec<_> = found.iter().filter_map(show).collect();
        let expected = [
            "usr/local/bin",
            "usr/bin",
            "usr/lib/postgresql/16/bin",
            "usr/lib/postgresql/18/bin",
            "usr/libexec/postgresql17",
            "usr/pgsql-15/bin",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        Ok(())
    }

    #[test]
    fn the_own_major_is_chosen_or_else_the_newest() -> Outcome {
        let of = |majors: &[u32]| Programs {
            installed: majors
                .iter()
                .map(|major| PgDump::new(*major, "x".into()))
                .collect(),
            unusable: Vec::new(),
        };
        for (majors, server, chosen) in [
            (&[16, 17, 18][..], 16, 16),
            (&[16, 17, 18], 18, 18),
            (&[17, 18], 16, 18),
            (&[15, 18], 16, 18),
        ] {
            assert_eq!(of(majors).for_server(server)?.major, chosen);
        }
        let old = of(&[15, 16]);
        let too_old = old.for_server(18);
        assert!(matches!(
            too_old,
            Err(PostgresError::TooOld {
                server: 18,
                newest: 16
            })
        ));
        assert!(matches!(
            of(&[]).for_server(18),
            Err(PostgresError::NotInstalled(_))
        ));
        Ok(())
    }
}
