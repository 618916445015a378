//! The house rules of docs/ARCHITECTURE.md, held against every file of the tree.
//!
//! Promise: each rule below can fail. Beside every rule stands a test that feeds it a snippet which
//! breaks it, and an exception that nobody needs any more is itself reported. A rule names every
//! place that breaks it at once, as `path:line: what is wrong`.

mod files;
mod floors;
mod paths;
mod shape;
mod source;
mod walls;

use source::{Source, Violation};
use std::error::Error;
use std::fs;
use std::path::Path;

type Outcome = Result<(), Box<dyn Error>>;

/// Fails with one line for each violation.
fn hold(mut violations: Vec<Violation>) {
    violations.sort();
    violations.dedup();
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "house rules:\n{}", lines.join("\n"));
}

/// The lines that a rule reports about one snippet, without the path in front.
fn reported(
    path: &str,
    text: &str,
    rule: impl Fn(&Source) -> Vec<Violation>,
) -> Result<Vec<String>, Box<dyn Error>> {
    let violations = rule(&Source::parse(path, text)?);
    Ok(violations
        .iter()
        .map(|found| found.to_string().replacen(&format!("{path}:"), "", 1))
        .collect())
}

/// Holds one rule against each file under `src/`.
fn hold_everywhere(rule: impl Fn(&Source) -> Vec<Violation>) -> Outcome {
    let sources = files::read_sources("src")?;
    assert!(!sources.is_empty(), "there is no file under src/");
    hold(sources.iter().flat_map(rule).collect());
    Ok(())
}

#[test]
fn imports_point_strictly_down_and_siblings_do_not_know_each_other() -> Outcome {
    let sources = files::read_sources("src")?;
    hold(floors::check(&sources, floors::EXCEPTIONS));
    Ok(())
}

#[test]
fn each_wrapped_crate_appears_under_its_own_directory_only() -> Outcome {
    hold_everywhere(walls::wrapped_crates)
}

#[test]
fn words_and_formats_are_pure_and_synchronous() -> Outcome {
    hold_everywhere(walls::purity)
}

#[test]
fn the_library_never_prints_exits_or_reads_the_environment() -> Outcome {
    hold_everywhere(walls::silence)
}

#[test]
fn nothing_outside_tests_panics_on_purpose() -> Outcome {
    hold_everywhere(walls::no_panics)
}

#[test]
fn each_file_says_what_it_is_and_each_floor_what_it_promises() -> Outcome {
    hold_everywhere(shape::documented)
}

#[test]
fn files_and_functions_are_short() -> Outcome {
    hold_everywhere(shape::short)
}

#[test]
fn error_types_have_few_variants() -> Outcome {
    hold_everywhere(shape::small_errors)
}

#[test]
fn no_file_is_forgotten_and_none_is_empty() -> Outcome {
    let mut sources = files::read_sources("src")?;
    sources.extend(files::read_sources("tests/suite")?);
    hold(files::forgotten(&sources));
    hold(files::empty(&sources));
    Ok(())
}

#[test]
fn no_file_names_a_path_of_the_build_machine() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut violations = Vec::new();
    for path in files::project_files(root)? {
        if let Ok(text) = String::from_utf8(fs::read(root.join(&path))?) {
            violations.extend(files::machine_paths(&path, &text));
        }
    }
    hold(violations);
    Ok(())
}
