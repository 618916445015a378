//! The files of the project: read, reached by `mod`, and free of the machine they were made on.
//!
//! Promise: a file that no `mod` leads to is found, for the compiler would pass over it in silence.

use super::source::{Source, Violation};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::{fs, io};

/// Where modules begin.
const ROOTS: [&str; 3] = ["src/lib.rs", "src/main.rs", "tests/suite/main.rs"];

/// Folders of the project whose texts are looked at, and single files.
const TEXTS: [&str; 6] = ["src", "tests", "docs", "deploy", "README.md", "Cargo.toml"];

/// Folders at the root of the machine that stand for the place where the project is made.
const MACHINE: [&str; 2] = ["work", "root"];

/// Every Rust file in a folder of the project. What is declared for tests only is known as such.
pub(super) fn read_sources(folder: &str) -> Result<Vec<Source>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for path in list(root, folder)? {
        if is_kind(&path, "rs") {
            let text = fs::read_to_string(root.join(&path))?;
            sources.push(Source::parse(&path, &text)?);
        }
    }
    mark_tests(&mut sources);
    Ok(sources)
}

/// Every file whose text may not name the machine.
pub(super) fn project_files(root: &Path) -> io::Result<Vec<String>> {
    let mut paths = list(root, "fixtures")?;
    paths.retain(|path| is_kind(path, "md"));
    for text in TEXTS {
        paths.extend(list(root, text)?);
    }
    Ok(paths)
}

fn is_kind(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == extension)
}

/// The files in a folder and below, or the file itself, or nothing; in order.
fn list(root: &Path, path: &str) -> io::Result<Vec<String>> {
    let here = root.join(path);
    if here.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut paths = Vec::new();
    if here.is_dir() {
        for entry in fs::read_dir(here)? {
            let name = entry?.file_name();
            paths.extend(list(root, &format!("{path}/{}", name.to_string_lossy()))?);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Every file that no `mod` leads to.
pub(super) fn forgotten(sources: &[Source]) -> Vec<Violation> {
    let children = children(sources);
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = ROOTS.to_vec();
    while let Some(path) = next.pop() {
        if reached.insert(path) {
            next.extend(children.get(path).into_iter().flatten());
        }
    }
    let forgotten = sources
        .iter()
        .filter(|source| !reached.contains(source.path.as_str()));
    forgotten
        .map(|source| Violation::new(&source.path, 1, "no `mod` leads to this file"))
        .collect()
}

/// Every file that has nothing in it, nor in the modules that it declares.
pub(super) fn empty(sources: &[Source]) -> Vec<Violation> {
    let children = children(sources);
    let mut full: BTreeSet<&str> = sources
        .iter()
        .filter(|source| source.has_items)
        .map(|source| source.path.as_str())
        .collect();
    loop {
        let before = full.len();
        for (parent, children) in &children {
            if children.iter().any(|child| full.contains(child)) {
                full.insert(parent);
            }
        }
        if full.len() == before {
            break;
        }
    }
    let empty = sources
        .iter()
        .filter(|source| !full.contains(source.path.as_str()));
    empty
        .map(|source| Violation::new(&source.path, 1, "there is nothing in this module"))
        .collect()
}

/// Every line that names a path of the machine on which the project was made.
pub(super) fn machine_paths(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for folder in MACHINE {
            let name = format!("/{folder}/");
            let mut places = line.match_indices(&name);
            if places.any(|(place, _)| starts_a_path(&line[..place])) {
                let what = format!("{name} is a path of the machine this was made on");
                violations.push(Violation::new(path, number + 1, what));
            }
        }
    }
    violations
}

/// Whether a slash after this text is the root, not a folder of something before it.
fn starts_a_path(before: &str) -> bool {
    let part_of_a_name = |last: char| last.is_alphanumeric() || "_-.~})".contains(last);
    !before.ends_with(part_of_a_name)
}

/// The files that each file declares.
fn children(sources: &[Source]) -> BTreeMap<&str, Vec<&str>> {
    let pairs = sources.iter().map(|source| {
        let declared = source.declarations.iter();
        let found = declared
            .filter_map(|declaration| file_of(sources, source, &declaration_path(declaration)));
        (source.path.as_str(), found.collect())
    });
    pairs.collect()
}

fn declaration_path(declaration: &super::source::Declaration) -> String {
    let mut path = declaration.inside.clone();
    path.push(declaration.name.clone());
    path.join("/")
}

/// The file of the module `name` that `source` declares.
fn file_of<'a>(sources: &'a [Source], source: &Source, name: &str) -> Option<&'a str> {
    let stem = source.path.trim_end_matches(".rs");
    let (folder, last) = stem.rsplit_once('/')?;
    let own_folder = matches!(last, "mod" | "lib" | "main");
    let folder = if own_folder { folder } else { stem };
    let candidates = [
        format!("{folder}/{name}.rs"),
        format!("{folder}/{name}/mod.rs"),
    ];
    let found = sources.iter().find(|one| candidates.contains(&one.path))?;
    Some(&found.path)
}

/// Marks the files that are declared as tests, and all that they declare.
fn mark_tests(sources: &mut [Source]) {
    loop {
        let mut tests = BTreeSet::new();
        for source in &*sources {
            for declaration in &source.declarations {
                if source.test || declaration.test {
                    let name = declaration_path(declaration);
                    tests.extend(file_of(sources, source, &name).map(ToOwned::to_owned));
                }
            }
        }
        let mut changed = false;
        for source in &mut *sources {
            changed |= !source.test && tests.contains(&source.path);
            source.test |= tests.contains(&source.path);
        }
        if !changed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, walls};
    use super::*;

    fn parse(files: &[(&str, &str)]) -> Result<Vec<Source>, Box<dyn Error>> {
        let parse = |(path, text): &(&str, &str)| Source::parse(path, text);
        files.iter().map(parse).collect()
    }

    fn lines(violations: &[Violation]) -> Vec<String> {
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_that_no_mod_leads_to_is_reported() -> Outcome {
        let sources = parse(&[
            ("src/lib.rs", "mod a; mod b; mod c { mod d; }"),
            ("src/a.rs", "mod e;"),
            ("src/a/e.rs", "fn f() {}"),
            ("src/b/mod.rs", "mod g;"),
            ("src/b/g.rs", ""),
            ("src/c/d.rs", ""),
            ("src/b/forgotten.rs", "mod child;"),
            ("src/b/forgotten/child.rs", ""),
            ("tests/suite/main.rs", "mod h;"),
            ("tests/suite/h.rs", ""),
            ("tests/suite/i.rs", ""),
        ])?;
        let expected = [
            "src/b/forgotten.rs:1: no `mod` leads to this file",
            "src/b/forgotten/child.rs:1: no `mod` leads to this file",
            "tests/suite/i.rs:1: no `mod` leads to this file",
        ];
        assert_eq!(lines(&forgotten(&sources)), expected);
        Ok(())
    }

    #[test]
    fn an_empty_module_is_reported() -> Outcome {
        let sources = parse(&[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a/mod.rs", "//! Nothing.\nmod c;"),
            ("src/a/c.rs", "// nothing\n"),
            ("src/b/mod.rs", "mod d;"),
            ("src/b/d.rs", "fn f() {}"),
        ])?;
        let expected = [
            "src/a/mod.rs:1: there is nothing in this module",
            "src/a/c.rs:1: there is nothing in this module",
        ];
        assert_eq!(lines(&empty(&sources)), expected);
        Ok(())
    }

    #[test]
    fn a_file_declared_for_tests_is_test_code() -> Outcome {
        let mut sources = parse(&[
            ("src/lib.rs", "mod a;"),
            ("src/a/mod.rs", "#[cfg(test)] mod tests; mod live;"),
            ("src/a/tests.rs", "mod deep; fn f() { panic!() }"),
            ("src/a/tests/deep.rs", "fn f() { panic!() }"),
            ("src/a/live.rs", "fn f() { panic!() }"),
        ])?;
        mark_tests(&mut sources);
        let found: Vec<Violation> = sources.iter().flat_map(walls::no_panics).collect();
        assert_eq!(lines(&found), ["src/a/live.rs:1: panic outside tests"]);
        Ok(())
    }

    #[test]
    fn a_path_of_the_machine_is_reported_in_any_text() {
        for folder in MACHINE {
            for (before, count) in [
                ("see ", 1),
                ("\"", 1),
                ("file://", 1),
                ("src", 0),
                ("..", 0),
            ] {
                let text = format!("fine\n{before}/{folder}/x\n");
                let found = machine_paths("docs/a.md", &text);
                assert_eq!(found.len(), count, "{text}");
                assert!(
                    lines(&found)
                        .iter()
                        .all(|line| line.starts_with("docs/a.md:2: "))
                );
            }
        }
    }
}
