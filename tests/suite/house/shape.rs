//! What a file looks like: its doc, its length, the size of its errors.
//!
//! Promise: lines are counted as code only, so a comment never costs anything.

use super::floors::FLOORS;
use super::source::{Source, Violation};

const FILE_MAX: usize = 400;
const FUNCTION_MAX: usize = 60;
const VARIANTS_MAX: usize = 12;

/// Each file starts with a doc of at least one line, that of a floor with its promise.
pub(super) fn documented(source: &Source) -> Vec<Violation> {
    let doc: Vec<&str> = source
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .collect();
    let mut violations = Vec::new();
    if doc.first().is_none_or(|line| line.trim().is_empty()) {
        let what = "the file does not start with a `//!` that says what it is";
        violations.push(Violation::new(&source.path, 1, what));
    }
    let is_floor = |floor: &&str| source.path == format!("src/{floor}/mod.rs");
    if FLOORS.iter().any(is_floor) && !doc.iter().any(|line| line.contains("Promise")) {
        let what = "the doc of a floor does not contain the word Promise";
        violations.push(Violation::new(&source.path, 1, what));
    }
    violations
}

/// Files and functions are short, tests aside.
pub(super) fn short(source: &Source) -> Vec<Violation> {
    let lines: Vec<usize> = source.code_lines().collect();
    let mut violations = Vec::new();
    if let Some(line) = lines.get(FILE_MAX) {
        let what = format!("{} lines of code, {FILE_MAX} are enough", lines.len());
        violations.push(Violation::new(&source.path, *line, what));
    }
    for function in source.functions.iter().filter(|function| !function.test) {
        let body = function.first_line..=function.last_line;
        let length = lines.iter().filter(|line| body.contains(line)).count();
        if length > FUNCTION_MAX {
            let name = &function.name;
            let what = format!("fn {name} has {length} lines of code, {FUNCTION_MAX} are enough");
            violations.push(Violation::new(&source.path, function.first_line, what));
        }
    }
    violations
}

/// An error says one of a few things.
pub(super) fn small_errors(source: &Source) -> Vec<Violation> {
    let errors = source
        .enums
        .iter()
        .filter(|found| found.name.ends_with("Error"));
    let large = errors.filter(|error| error.variants > VARIANTS_MAX);
    large
        .map(|error| {
            let (name, count) = (&error.name, error.variants);
            let what = format!("{name} has {count} variants, {VARIANTS_MAX} are enough");
            Violation::new(&source.path, error.line, what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, reported};
    use super::*;

    #[test]
    fn a_file_without_a_doc_is_reported() -> Outcome {
        for text in ["fn f() {}\n", "//!\n", "\n//! Late.\n", "// No doc.\n"] {
            let found = reported("src/words/a.rs", text, documented)?;
            assert_eq!(found.len(), 1, "{text:?}");
        }
        assert!(reported("src/words/a.rs", "//! Words.\n", documented)?.is_empty());
        Ok(())
    }

    #[test]
    fn a_floor_without_a_promise_is_reported() -> Outcome {
        let text = "//! Floor 2.\n";
        let found = reported("src/ports/mod.rs", text, documented)?;
        assert_eq!(
            found,
            ["1: the doc of a floor does not contain the word Promise"]
        );
        assert!(reported("src/ports/store/mod.rs", text, documented)?.is_empty());
        let kept = "//! Floor 2.\n//!\n//! Promise: none.\n";
        assert!(reported("src/ports/mod.rs", kept, documented)?.is_empty());
        Ok(())
    }

    #[test]
    fn a_long_file_is_reported_and_comments_and_tests_do_not_count() -> Outcome {
        let code = "const A: u8 = 0;\n\n/// Doc.\n// Comment.\n".repeat(FILE_MAX);
        let code = format!("{code}#[cfg(test)]\nmod tests {{\n    fn f() {{}}\n}}\n");
        assert!(reported("src/words/a.rs", &code, short)?.is_empty());
        let longer = format!("const B: u8 = 0;\n{code}");
        let found = reported("src/words/a.rs", &longer, short)?;
        assert_eq!(found, ["1598: 401 lines of code, 400 are enough"]);
        Ok(())
    }

    #[test]
    fn a_long_function_is_reported_wherever_it_stands() -> Outcome {
        let function = |lines| format!("fn f() {{\n{}}}", "    g();\n".repeat(lines));
        let long = function(FUNCTION_MAX - 1);
        let fits = function(FUNCTION_MAX - 2);
        for (before, after) in [("", ""), ("impl A { ", " }"), ("trait A { ", " }")] {
            let around = |function| format!("{before}{function}{after}");
            let found = reported("src/words/a.rs", &around(&long), short)?;
            assert_eq!(found, ["1: fn f has 61 lines of code, 60 are enough"]);
            assert!(reported("src/words/a.rs", &around(&fits), short)?.is_empty());
        }
        let tested = format!("#[test]\n{long}");
        assert!(reported("src/words/a.rs", &tested, short)?.is_empty());
        Ok(())
    }

    #[test]
    fn an_error_of_many_variants_is_reported() -> Outcome {
        let text = |name, count| format!("pub enum {name} {{ {} }}", "V,".repeat(count));
        let found = reported("src/words/a.rs", &text("AnError", 13), small_errors)?;
        assert_eq!(found, ["1: AnError has 13 variants, 12 are enough"]);
        for fine in [text("AnError", 12), text("Other", 13)] {
            assert!(reported("src/words/a.rs", &fine, small_errors)?.is_empty());
        }
        Ok(())
    }
}
