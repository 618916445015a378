//! What is in deploy/, before those who will read it: Compose, systemd, and the program itself.
//!
//! Promise: Docker's own Compose has parsed, checked and merged each file as it will on a host, with
//! a stand-in for lazyit's files. No container is started: that takes an engine.

use crate::support::{Host, Outcome, Run, fixtures, installed};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The overlays of lazyit's own compose files.
const OVERLAYS: [&str; 2] = ["compose.hook.yaml", "compose.run.yaml"];

/// The one that is a project of its own.
const WATCH: &str = "compose.watch.yaml";

/// The pages that tell how to use what is in deploy/.
const PAGES: [&str; 5] = [
    "docs/DEPLOY.md",
    "docs/DEPLOY_HOOK.md",
    "docs/DEPLOY_WATCH.md",
    "docs/DEPLOY_SIDECAR.md",
    "docs/DEPLOY_SYSTEMD.md",
];

/// Variables that are not the program's: the hook is lazyit's.
const LAZYITS: [&str; 1] = ["BACKUP_OFFSITE_CMD"];

/// The commands that deploy/ and its pages are about.
const COMMANDS: [&str; 9] = [
    "init", "push", "watch", "run", "dump", "health", "doctor", "list", "show",
];

/// What may follow the name of a service or a project, and is no command of the program.
const DOCKERS: [&str; 7] = ["sealift", "exec", "up", "down", "ps", "logs", "restart"];

/// lazyit's folder, with a stand-in for its compose files.
struct Lazyit {
    folder: TempDir,
    compose: String,
}

impl Lazyit {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::copy(
            file("tests/lazyit.compose.yaml"),
            folder.path().join("compose.yaml"),
        )?;
        fs::create_dir_all(folder.path().join("infra/env"))?;
        fs::copy(
            fixtures().join("nights/.env.prod"),
            folder.path().join("infra/env/.env.prod"),
        )?;
        let said = installed("compose")?;
        let compose = said.trim().strip_prefix("compose ").ok_or("no compose")?;
        Ok(Self {
            folder,
            compose: compose.to_owned(),
        })
    }

    /// What Compose says of these files, merged.
    fn config(&self, options: &[&str], files: &[&Path]) -> Result<Run> {
        let mut command = Command::new(&self.compose);
        command.current_dir(self.folder.path()).env_clear();
        for file in files {
            command.arg("-f").arg(file);
        }
        command.args(options).args(["config", "--format", "json"]);
        Ok(Run::of(&command.output()?))
    }

    /// What it says of lazyit's own files, merged with an overlay, or alone.
    fn with(&self, overlay: Option<&Path>) -> Result<Run> {
        let mut files = vec![Path::new("compose.yaml")];
        files.extend(overlay);
        let options = ["--profile", "prod", "--env-file", "infra/env/.env.prod"];
        self.config(&options, &files)
    }

    fn merged(&self, overlay: Option<&str>) -> Result<Value> {
        let overlay = overlay.map(deploy);
        self.with(overlay.as_deref())?.expect_code(0)?.json()
    }

    /// The project that stands alone.
    fn watch(&self) -> Result<Value> {
        self.config(&[], &[&deploy(WATCH)])?.expect_code(0)?.json()
    }

    /// Each service that the program runs in, with the name of its file.
    fn services(&self) -> Result<Vec<(&'static str, Value)>> {
        let mut services = vec![(WATCH, self.watch()?["services"]["sealift"].take())];
        for overlay in OVERLAYS {
            let backup = self.merged(Some(overlay))?["services"]["backup"].take();
            services.push((overlay, backup));
        }
        Ok(services)
    }
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn deploy(name: &str) -> PathBuf {
    file("deploy").join(name)
}

fn read(path: &Path) -> Result<String> {
    Ok(fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?)
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>> {
    Ok(value[name]
        .as_object()
        .ok_or_else(|| format!("no {name} in {value:#}"))?)
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    Ok(value[name]
        .as_array()
        .ok_or_else(|| format!("no {name} in {value:#}"))?)
}

/// Where in the container each mount is, and whether it is read only.
fn mounts(service: &Value) -> Result<Vec<(String, bool)>> {
    let target = |mount: &Value| -> Result<(String, bool)> {
        let target = mount["target"].as_str().ok_or("a mount without target")?;
        Ok((target.to_owned(), mount["read_only"] == true))
    };
    list(service, "volumes")?.iter().map(target).collect()
}

/// The values of the env file that nobody may see.
fn secrets() -> Result<Vec<String>> {
    let text = read(&fixtures().join("nights/.env.prod"))?;
    let secret = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let words = ["KEY", "SECRET", "PASSWORD"];
        let value = value.trim_matches(['"', '\'']);
        let is_secret = words.iter().any(|word| key.contains(word)) && value.len() >= 16;
        (is_secret && !line.starts_with('#')).then(|| value.to_owned())
    };
    let found: Vec<String> = text.lines().filter_map(secret).collect();
    assert!(found.len() >= 6, "{found:?}");
    Ok(found)
}

#[test]
fn an_overlay_changes_nothing_but_the_backup_service() -> Outcome {
    let lazyit = Lazyit::new()?;
    let alone = lazyit.merged(None)?;
    for overlay in OVERLAYS {
        let mut merged = lazyit.merged(Some(overlay))?;
        let backup = merged["services"]["backup"].take();
        let mut before = alone.clone();
        let old = before["services"]["backup"].take();
        assert!(merged["services"] == before["services"], "{overlay}");
        assert!(merged["networks"] == before["networks"], "{overlay}");
        for kept in [
            "depends_on",
            "networks",
            "restart",
            "mem_limit",
            "cpus",
            "profiles",
        ] {
            assert!(backup[kept] == old[kept], "{overlay}: {kept}");
        }
        let known = object(&before, "volumes")?;
        let mut new = object(&merged, "volumes")?.clone();
        new.retain(|name, _| !known.contains_key(name));
        // Those that only the overlay uses were not among the ones that the stack needs.
        let own: Vec<&String> = new.keys().collect();
        assert_eq!(own, ["sealift_state"], "{overlay}");
        // What the process is told besides: places, and no secret.
        let was = object(&old, "environment")?;
        let mut told = object(&backup, "environment")?.clone();
        assert!(was.keys().all(|name| told.contains_key(name)), "{overlay}");
        told.retain(|name, value| was.get(name) != Some(value));
        assert!(
            told.keys()
                .all(|name| name.starts_with("SEALIFT_") || LAZYITS.contains(&name.as_str())),
            "{overlay}: {told:?}"
        );
        assert!(told.len() >= 5, "{overlay}: {told:?}");
    }
    let hook = lazyit.merged(Some("compose.hook.yaml"))?;
    let environment = &hook["services"]["backup"]["environment"];
    assert_eq!(environment["BACKUP_OFFSITE_CMD"], "sealift push");
    assert_eq!(hook["services"]["backup"]["command"][0], "sh");
    let run = lazyit.merged(Some("compose.run.yaml"))?;
    assert_eq!(run["services"]["backup"]["entrypoint"][0], "sealift");
    assert_eq!(
        run["services"]["backup"]["command"],
        serde_json::json!(["run"])
    );
    Ok(())
}

#[test]
fn every_mount_is_read_only_but_dumps_and_state_and_none_is_made_by_the_way() -> Outcome {
    let lazyit = Lazyit::new()?;
    for (file, service) in lazyit.services()? {
        let mounts = mounts(&service)?;
        for (target, read_only) in &mounts {
            // In lazyit's own service the folder of dumps is lazyit's mount.
            let written = target == "/var/lib/sealift" || (target == "/backups" && file != WATCH);
            assert!(*read_only != written, "{file}: {target}");
        }
        for target in [
            "/etc/sealift/sealift.toml",
            "/etc/sealift/sealift-signing-key",
            "/etc/sealift/sealift-allowed-signers",
            "/backups",
            "/lazyit/env",
            "/lazyit/zitadel-secrets",
            "/lazyit/attachments",
            "/var/lib/sealift",
        ] {
            let there = mounts.iter().filter(|(found, _)| found == target).count();
            assert_eq!(there, 1, "{file}: {target}");
        }
        for mount in list(&service, "volumes")? {
            let is_ours = mount["target"] != "/backups" || file == WATCH;
            if mount["type"] == "bind" && is_ours {
                assert!(mount["bind"].is_object(), "{file}: {mount}");
                assert_ne!(mount["bind"]["create_host_path"], true, "{file}: {mount}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_place_that_the_program_is_told_is_mounted() -> Outcome {
    let lazyit = Lazyit::new()?;
    for (file, service) in lazyit.services()? {
        let mounts = mounts(&service)?;
        let mut places = 0;
        for (name, value) in object(&service, "environment")? {
            let value = value.as_str().unwrap_or_default();
            for item in value.split(',').filter(|_| name.starts_with("SEALIFT_")) {
                let place = Path::new(item.split_once('=').map_or(item, |(_, path)| path));
                let there = mounts.iter().any(|(target, _)| place.starts_with(target));
                assert!(there, "{file}: {name} names {}", place.display());
                places += 1;
            }
        }
        assert_eq!(places, 6, "{file}");
    }
    Ok(())
}

#[test]
fn no_secret_is_where_everybody_can_see_it() -> Outcome {
    let lazyit = Lazyit::new()?;
    for (file, mut service) in lazyit.services()? {
        // That the backup service has the env file for its environment is lazyit's own way.
        if file != WATCH {
            service["environment"].take();
        }
        let text = service.to_string();
        for secret in secrets()? {
            assert!(!text.contains(&secret), "{file}: {secret}");
        }
        let written = read(&deploy(file))?;
        let words = ["PASSWORD", "AWS_", "AZURE_", "GOOGLE_", "AGE-SECRET"];
        assert!(!words.iter().any(|word| written.contains(word)), "{file}");
    }
    Ok(())
}

#[test]
fn what_runs_all_the_time_may_do_little_and_can_be_asked_whether_it_lives() -> Outcome {
    let lazyit = Lazyit::new()?;
    for (file, service) in lazyit.services()? {
        assert!(service["ports"].is_null(), "{file}");
        assert!(service["privileged"].is_null(), "{file}");
        if file == "compose.hook.yaml" {
            continue;
        }
        let may = if file == WATCH {
            "DAC_READ_SEARCH"
        } else {
            "DAC_OVERRIDE"
        };
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{file}");
        assert_eq!(service["cap_add"], serde_json::json!([may]), "{file}");
        assert_eq!(service["read_only"], true, "{file}");
        assert_eq!(service["security_opt"][0], "no-new-privileges:true");
        assert_eq!(service["restart"], "unless-stopped", "{file}");
        assert_eq!(service["mem_limit"], "268435456", "{file}");
        // The image was built on the host; nobody else's of that name is to be fetched.
        assert_eq!(service["pull_policy"], "never", "{file}");
        let test = serde_json::json!(["CMD", "sealift", "health"]);
        assert_eq!(service["healthcheck"]["test"], test, "{file}");
        assert!(service["stop_grace_period"].is_string(), "{file}");
    }
    Ok(())
}

#[test]
fn the_project_of_its_own_finds_lazyits_volumes_and_makes_none_of_them() -> Outcome {
    let lazyit = Lazyit::new()?;
    let overlay = lazyit.merged(Some("compose.hook.yaml"))?;
    let watch = lazyit.watch()?;
    assert_eq!(watch["name"], "sealift");
    for volume in ["zitadel_secrets", "attachments_data"] {
        let own = &watch["volumes"][volume];
        assert_eq!(own["external"], true, "{volume}");
        assert_eq!(own["name"], overlay["volumes"][volume]["name"], "{volume}");
    }
    Ok(())
}

#[test]
fn compose_refuses_what_is_wrong() -> Outcome {
    let lazyit = Lazyit::new()?;
    let good = read(&deploy("compose.hook.yaml"))?;
    let wrong = lazyit.folder.path().join("wrong.yaml");
    for (from, to, says) in [
        (
            "read_only: true",
            "readonly: true",
            "'readonly' not allowed",
        ),
        ("environment:", "enviroment:", "'enviroment' not allowed"),
        ("required: false", "required: perhaps", "invalid boolean"),
        (
            "source: zitadel_secrets",
            "source: zitadel_secret",
            "undefined volume zitadel_secret",
        ),
        (
            "create_host_path: false",
            "create_host_path: [no]",
            "create_host_path must be",
        ),
        ("      SEALIFT_STATE", "     SEALIFT_STATE", "yaml: line"),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(&wrong, good.replace(from, to))?;
        let run = lazyit.with(Some(&wrong))?;
        let run = run
            .expect_code(1)
            .map_err(|error| format!("{to}: {error}"))?;
        assert!(run.stderr.contains(says), "{to}: {run:#?}");
    }
    Ok(())
}

#[test]
fn the_sidecars_image_has_a_pg_dump_of_every_servers_major() -> Outcome {
    let lazyit = Lazyit::new()?.merged(None)?;
    let dockerfile = read(&deploy("Dockerfile"))?;
    for server in ["db", "zitadel_db"] {
        let image = lazyit["services"][server]["image"].as_str();
        let tag = image.and_then(|image| image.strip_prefix("postgres:"));
        let major = tag
            .and_then(|tag| tag.split('-').next())
            .ok_or("no major")?;
        assert!(
            dockerfile.contains(&format!("postgresql-client-{major}")),
            "{server}"
        );
    }
    Ok(())
}

#[test]
fn what_the_images_are_built_from_is_let_through_to_the_builder() -> Outcome {
    let ignore = read(&deploy("Dockerfile.dockerignore"))?;
    assert!(ignore.lines().any(|line| line == "*"));
    let mut through = BTreeSet::new();
    for path in ignore.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(file(path).exists(), "{path} is not there");
        through.insert(path);
    }
    // What Cargo reads, what the program takes in, and the script that the builder runs.
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "src",
        "benches",
        "fixtures/nights",
        "deploy/static.sh",
    ] {
        assert!(through.contains(needed), "{needed} is kept back");
    }
    let known = ["AS build", "AS program", "AS watch", "AS sidecar"];
    let dockerfile = read(&deploy("Dockerfile"))?;
    assert!(known.iter().all(|stage| dockerfile.contains(stage)));
    Ok(())
}

/// The units, with the program as it was built for the tests, in a folder of their own.
fn units() -> Result<(TempDir, Vec<PathBuf>)> {
    let folder = tempfile::tempdir()?;
    let mut units = Vec::new();
    for name in ["sealift.service", "sealift.timer", "sealift-watch.service"] {
        let text = read(&deploy(name))?;
        let path = folder.path().join(name);
        fs::write(
            &path,
            text.replace("/usr/local/bin/sealift", env!("CARGO_BIN_EXE_sealift")),
        )?;
        units.push(path);
    }
    Ok((folder, units))
}

/// What systemd says of a unit, as far as it is about the unit.
fn verify(units: &[PathBuf]) -> Result<Run> {
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).args(units);
    let mut run = Run::of(&command.output()?);
    let about_it = |line: &&str| line.contains("sealift");
    run.stderr = run.stderr.lines().filter(about_it).collect();
    Ok(run)
}

#[test]
fn systemd_understands_every_line_of_the_units() -> Outcome {
    let (_folder, units) = units()?;
    let run = verify(&units)?.expect_code(0)?;
    assert!(run.stderr.is_empty(), "{run:#?}");
    // It would say so if it did not.
    let good = read(&units[0])?;
    for (from, to) in [
        ("ProtectSystem=", "ProtectSytem="),
        ("Nice=10", "Nice=very"),
        ("MemoryMax=256M", "MemoryMax=lots"),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(&units[0], good.replace(from, to))?;
        let run = verify(&units[..1])?;
        assert!(!run.stderr.is_empty(), "{to}: {run:#?}");
    }
    Ok(())
}

#[test]
fn systemd_finds_little_that_the_services_could_do_besides() -> Outcome {
    let (_folder, units) = units()?;
    for unit in units.iter().filter(|unit| !unit.ends_with("sealift.timer")) {
        let mut command = Command::new("systemd-analyze");
        // In tenths: of 10, an unconfined service has 9.6. Other versions count a little otherwise.
        command.args(["security", "--offline=true", "--threshold=25"]);
        let run = Run::of(&command.arg(unit).output()?);
        run.expect_code(0)
            .map_err(|error| format!("{}: {error}", unit.display()))?;
    }
    Ok(())
}

/// Every file of deploy/ and every page about it.
fn texts() -> Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(file("deploy"))? {
        let path = entry?.path();
        texts.push((path.display().to_string(), read(&path)?));
    }
    for page in PAGES {
        texts.push((page.to_owned(), read(&file(page))?));
    }
    assert!(texts.len() >= 12, "{}", texts.len());
    Ok(texts)
}

fn is_in_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_".contains(letter)
}

/// The help of the program, and of each command that is told of.
fn help() -> Result<String> {
    let host = Host::bare()?;
    let mut text = host.run(&["--help"])?.expect_code(0)?.stdout;
    for command in COMMANDS {
        text += &host.run(&[command, "--help"])?.expect_code(0)?.stdout;
    }
    Ok(text)
}

#[test]
fn every_variable_that_is_named_is_one_that_the_program_knows() -> Outcome {
    let help = help()?;
    let known: BTreeSet<&str> = help.split(|letter| !is_in_a_name(letter)).collect();
    let prefixes = ["SEALIFT_", "BACKUP_", "POSTGRES_", "ZITADEL_DB_"];
    let mut found = BTreeSet::new();
    for (place, text) in texts()? {
        for word in text.split(|letter| !is_in_a_name(letter)) {
            let is_variable = prefixes.iter().any(|prefix| word.starts_with(prefix));
            if is_variable && !LAZYITS.contains(&word) {
                assert!(known.contains(word), "{place}: the help lacks {word}");
                found.insert(word.to_owned());
            }
        }
    }
    assert!(found.len() >= 8, "{found:?}");
    Ok(())
}

/// What stands between backquotes, and in blocks of commands.
fn code(text: &str) -> Vec<String> {
    let mut spans = Vec::new();
    for (place, part) in text.split("```").enumerate() {
        if place % 2 == 1 {
            spans.extend(part.lines().map(ToOwned::to_owned));
        } else {
            spans.extend(part.split('`').skip(1).step_by(2).map(ToOwned::to_owned));
        }
    }
    spans
}

#[test]
fn every_command_and_flag_of_the_pages_exists() -> Outcome {
    let host = Host::bare()?;
    let mut found = BTreeSet::new();
    for page in PAGES {
        for span in code(&read(&file(page))?) {
            let words: Vec<&str> = span.split_whitespace().collect();
            for (place, pair) in words.windows(2).enumerate() {
                let [program, command] = pair else { continue };
                // As the name of a project or a service it is followed by what Docker is to do.
                let is_program = *program == "sealift" || program.ends_with("/bin/sealift");
                let is_command = command.chars().all(|letter| letter.is_ascii_lowercase());
                if !is_program || !is_command || DOCKERS.contains(command) {
                    continue;
                }
                let help = host.run(&[command, "--help"])?.expect_code(0);
                let help = help.map_err(|error| format!("{page}: {span}: {error}"))?;
                for flag in words[place..].iter().filter(|word| word.starts_with("--")) {
                    assert!(help.stdout.contains(flag), "{page}: {span}: {flag}");
                }
                found.insert((*command).to_owned());
            }
        }
    }
    for command in ["init", "push", "watch", "run", "doctor", "list"] {
        assert!(found.contains(command), "no page tells of {command}");
    }
    Ok(())
}
