//! Settings of a database, as the programs of `PostgreSQL` are told them by `sealift dump`.
//!
//! Promise: no server is needed. A stand-in for the programs notes its environment, and fails.

use crate::support::{Host, Outcome, Run};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

/// A host with the stand-in for `pg_dump` and `psql`.
fn host() -> Result<Host, Box<dyn std::error::Error>> {
    let host = Host::with_settings("store", &["--auth-mode", "local"])?;
    let noted = host.path("noted");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'pg_dump (PostgreSQL) 18.1'; exit; }}\n\
         cat /proc/$$/environ > '{}'\nexit 1\n",
        noted.display()
    );
    fs::create_dir(host.path("programs"))?;
    for name in ["programs/pg_dump", "programs/psql"] {
        fs::write(host.path(name), &script)?;
        fs::set_permissions(host.path(name), fs::Permissions::from_mode(0o755))?;
    }
    Ok(host)
}

/// The environment that a program has with these flags and these variables, as `NAME=value`.
fn told(
    host: &Host,
    flags: &[&str],
    variables: &[(&str, &OsStr)],
) -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error>> {
    let flags = [&["dump", "--postgres-programs", "programs"][..], flags].concat();
    let mut command = host.command(&flags);
    command.envs(variables.iter().copied());
    Run::of(&command.output()?).expect_code(1)?;
    let noted = fs::read(host.path("noted"))?;
    fs::remove_file(host.path("noted"))?;
    Ok(noted.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
}

#[test]
fn a_password_comes_from_the_flag_then_the_environment_then_the_settings_then_the_env_file()
-> Outcome {
    let host = host()?;
    for name in ["flag", "variable", "settings"] {
        fs::write(host.path(name), format!("of the {name}'s file\n"))?;
    }
    let is_told = |flags: &[&str], variables: &[(&str, &OsStr)], password: &[u8]| -> Outcome {
        let told = told(&host, flags, variables)?;
        let expected = [b"PGPASSWORD=", password].concat();
        assert!(told.contains(&expected), "{flags:?} {variables:?}");
        Ok(())
    };
    let env_file = fs::read_to_string(host.path(".env.prod"))?;
    let of_env_file = env_file
        .lines()
        .find_map(|line| line.strip_prefix("POSTGRES_PASSWORD="));
    is_told(&[], &[], of_env_file.ok_or("no password")?.as_bytes())?;
    let settings = fs::read_to_string(host.path("sealift.toml"))?;
    let more = "\n[sidecar]\napp = { password_file = \"settings\" }\n";
    fs::write(host.path("sealift.toml"), settings + more)?;
    is_told(&[], &[], b"of the settings's file")?;
    let file = ("POSTGRES_PASSWORD_FILE", OsStr::new("variable"));
    is_told(&[], &[file], b"of the variable's file")?;
    // It may be of any bytes.
    let itself = ("POSTGRES_PASSWORD", OsStr::from_bytes(b"it\xff\xfeself"));
    is_told(&[], &[file, itself], b"it\xff\xfeself")?;
    let flag = ["--postgres-password-file", "flag"];
    is_told(&flag, &[file, itself], b"of the flag's file")
}

#[test]
fn variables_say_how_to_connect_and_never_to_where_or_as_whom() -> Outcome {
    let host = host()?;
    let passing = [
        "PGSSLMODE",
        "PGSSLROOTCERT",
        "PGSSLNEGOTIATION",
        "PGREQUIRESSL",
        "PGREQUIREAUTH",
        "PGREQUIREPEER",
        "PGCHANNELBINDING",
        "PGCONNECT_TIMEOUT",
        "PGGSSENCMODE",
        "PGKRBSRVNAME",
    ];
    let staying = [
        "PGHOST",
        "PGHOSTADDR",
        "PGPORT",
        "PGDATABASE",
        "PGUSER",
        "PGPASSFILE",
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGSYSCONFDIR",
        "PGOPTIONS",
        "PGTARGETSESSIONATTRS",
        "PGLOADBALANCEHOSTS",
        "PGCLIENTENCODING",
        "PGDATESTYLE",
        "PGTZ",
        "PGDATA",
    ];
    let names = passing.iter().chain(&staying);
    let variables: Vec<_> = names.map(|name| (*name, OsStr::new("set"))).collect();
    let told = told(&host, &[], &variables)?;
    let is_told = |name: &&str| told.contains(&format!("{name}=set").into_bytes());
    let missing: Vec<_> = passing.iter().filter(|name| !is_told(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let passed: Vec<_> = staying.iter().filter(|name| is_told(name)).collect();
    assert!(passed.is_empty(), "{passed:?}");
    Ok(())
}
