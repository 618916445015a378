//! The README's commands, run as they are written.

use crate::support::{Host, NIGHTS, Outcome, Run, copy_tree, fixtures};
use std::fs;
use std::path::Path;
use std::process::Command;

fn readme() -> Result<String, std::io::Error> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
}

/// What stands between two fences, for shells.
fn shell_blocks(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1);
    blocks
        .filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()))
        .collect()
}

#[test]
fn every_block_of_commands_runs_in_order() -> Outcome {
    let host = Host::bare()?;
    fs::create_dir(host.path("backups"))?;
    fs::copy(fixtures().join("nights/.env.prod"), host.path(".env.prod"))?;
    let volume = |name: &str| host.path(&format!("volumes/lazyit-prod_{name}/_data"));
    fs::create_dir_all(host.path("volumes/lazyit-prod_zitadel_secrets"))?;
    fs::create_dir_all(host.path("volumes/lazyit-prod_attachments_data"))?;
    copy_tree(
        &fixtures().join("nights/zitadel-secrets"),
        &volume("zitadel_secrets"),
    )?;
    copy_tree(
        &fixtures().join("nights/attachments"),
        &volume("attachments_data"),
    )?;
    for night in NIGHTS {
        host.add_night(night)?;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_sealift"));
    let path = std::env::var("PATH")?;
    let folder = program.parent().ok_or("no folder")?.display();
    let blocks = shell_blocks(&readme()?);
    assert_eq!(
        blocks.len(),
        5,
        "a block came or went: does the README still tell the whole way?"
    );
    for block in blocks {
        // What a test cannot have is the operator's disk, and Docker's volumes.
        let script = block.replace("/mnt/offsite", &host.path("offsite").display().to_string());
        let volumes = host.path("volumes").display().to_string();
        let script = script.replace("/var/lib/docker/volumes", &volumes);
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", &script])
            .current_dir(host.folder.path())
            .env_clear();
        shell.env("PATH", format!("{folder}:{path}"));
        Run::of(&shell.output()?)
            .expect_code(0)
            .map_err(|error| format!("{script}\n{error}"))?;
    }
    for out in ["recovered", "recovered-by-hand"] {
        let name = "app-20260103-030000.dump";
        assert!(
            fs::read(host.path(out).join(name))? == fs::read(fixtures().join("nights").join(name))?
        );
    }
    Ok(())
}

#[test]
fn the_two_commands_to_try_are_those_of_the_gate() -> Outcome {
    let gate = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run"))?;
    let readme = readme()?;
    for command in ["cargo run --release -- demo", "cargo test --release"] {
        assert!(
            readme.contains(&format!("\n    {command}\n")),
            "the README lacks {command}"
        );
        assert!(
            gate.lines().any(|line| line == command),
            ".ci/run lacks {command}"
        );
    }
    Ok(())
}

#[test]
fn the_settings_table_lists_every_flag_and_variable() -> Outcome {
    let host = Host::bare()?;
    let readme = readme()?;
    let mut settings = String::new();
    for (args, heading) in [
        (&["--help"][..], "\nSettings:"),
        (&["run", "--help"], "\nSettings of the sidecar:"),
    ] {
        let help = host.run(args)?.expect_code(0)?.stdout;
        settings += help
            .split(heading)
            .nth(1)
            .ok_or("no settings in the help")?;
    }
    let words = settings.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    let is_variable = |word: &str| {
        let prefixes = ["SEALIFT_", "BACKUP_", "POSTGRES_", "ZITADEL_DB_"];
        prefixes.iter().any(|prefix| word.starts_with(prefix))
    };
    let mut found = 0;
    for word in words.filter(|word| word.starts_with("--") || is_variable(word)) {
        // Help and aliases are no settings of their own.
        if !["--recipient", "--secret-recipient", "--help", "--version"].contains(&word) {
            assert!(
                readme.contains(&format!("`{word}`")),
                "the README lacks {word}"
            );
            found += 1;
        }
    }
    assert!(found > 60, "only {found} words were found");
    Ok(())
}

#[test]
fn exit_codes_are_the_same_in_readme_and_help() -> Outcome {
    let host = Host::bare()?;
    let help = host.run(&["--help"])?.expect_code(0)?.stdout;
    let codes = help
        .split("Exit codes:\n")
        .nth(1)
        .ok_or("no exit codes in the help")?;
    let readme = readme()?.replace('`', "");
    for line in codes.lines().take_while(|line| !line.trim().is_empty()) {
        let (code, meaning) = line
            .trim()
            .split_once("  ")
            .ok_or("a line without a meaning")?;
        let row = format!("| {code} | {meaning} |");
        assert!(readme.contains(&row), "the README lacks {row}");
    }
    Ok(())
}
