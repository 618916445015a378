//! What may be mentioned where: wrapped crates, the world outside, the terminal, panics.
//!
//! Promise: a name counts whether it is imported, written out, renamed, or inside a macro.

use super::paths::Kind;
use super::source::{Mention, Source, Violation};

/// Crates, and the places that they are kept to.
const WRAPPED: &[(&[&str], &[&str])] = &[
    (&["object_store"], &["src/ports/store/"]),
    (&["rusqlite"], &["src/ports/index/"]),
    (&["notify"], &["src/ports/backups/"]),
    (
        &["clap", "clap_complete", "clap_mangen", "indicatif"],
        &["src/cli/", "src/main.rs"],
    ),
    (
        &["tokio"],
        &[
            "src/ports/store/",
            "src/operations/",
            "src/services/",
            "src/cli/",
            "src/main.rs",
        ],
    ),
];

/// What floors 0 and 1 do without.
const IMPURE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "env"],
    &["std", "net"],
    &["std", "process"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["std", "thread"],
    &["tokio"],
    &["object_store"],
    &["rusqlite"],
    &["walkdir"],
];

/// The types whose `now` is a clock.
const CLOCKS: &[&str] = &["Timestamp", "Zoned"];

/// What the library leaves to the binary.
const OUTSIDE: &[&[&str]] = &[
    &["std", "env"],
    &["std", "process", "exit"],
    &["std", "process", "abort"],
    &["std", "io", "stdout"],
    &["std", "io", "stderr"],
];
const PRINTING: &[&str] = &["println", "eprintln", "print", "eprint", "dbg"];

/// Where the binary reads the environment.
const READS_ENVIRONMENT: &[&str] = &["src/cli/settings.rs", "src/cli/settings/"];
/// What main may ask for all the same.
const ARGUMENTS: &[&[&str]] = &[&["std", "env", "args_os"], &["std", "env", "args"]];

const PANICKING_MACROS: &[&str] = &["panic", "todo", "unimplemented", "unreachable"];
const PANICKING_METHODS: &[&str] = &["unwrap", "expect", "unwrap_err", "expect_err"];

/// `object_store`, `rusqlite`, clap and the terminal, and tokio each have their own place.
pub(super) fn wrapped_crates(source: &Source) -> Vec<Violation> {
    source.judge(|mention| {
        let (_, places) = WRAPPED
            .iter()
            .find(|(crates, _)| crates.contains(&mention.segments[0].as_str()))?;
        let at_home = is_under(source, places);
        (!at_home && is_path(mention) && !is_test(source, mention)).then(|| {
            let places = places.join(", ");
            format!("{} outside {places}", mention.name())
        })
    })
}

/// Floors 0 and 1: no file system, environment, clock, network, process or thread.
pub(super) fn purity(source: &Source) -> Vec<Violation> {
    if !is_under(source, &["src/words/", "src/formats/"]) {
        return Vec::new();
    }
    source.judge(|mention| {
        let clock = mention.segments.windows(2).any(|pair| {
            let [kind, call] = pair else { return false };
            call == "now" && CLOCKS.contains(&kind.as_str())
        });
        let impure = clock || is_path(mention) && is_any_of(mention, IMPURE);
        (impure && !is_test(source, mention))
            .then(|| format!("{} on a floor that is pure", mention.name()))
    })
}

/// The library never prints, exits or reads the environment; the binary reads it in one place.
pub(super) fn silence(source: &Source) -> Vec<Violation> {
    source.judge(|mention| {
        let name = mention.name();
        if source.is_binary() {
            let reads = is_path(mention) && is_any_of(mention, &[&["std", "env"]]);
            let may = is_under(source, READS_ENVIRONMENT)
                || source.path == "src/main.rs" && is_any_of(mention, ARGUMENTS);
            return (reads && !may).then(|| format!("{name} outside the settings"));
        }
        let prints = is_macro(mention, PRINTING);
        let leaves = is_path(mention) && is_any_of(mention, OUTSIDE);
        (prints || leaves).then(|| format!("{name} in the library"))
    })
}

/// Outside tests nothing is unwrapped, expected, or left to do.
pub(super) fn no_panics(source: &Source) -> Vec<Violation> {
    source.judge(|mention| {
        let last = mention.segments.last()?.as_str();
        let panics = match mention.kind {
            Kind::Macro => PANICKING_MACROS.contains(&last),
            Kind::Method | Kind::Path => PANICKING_METHODS.contains(&last),
            Kind::Import(_) => false,
        };
        (panics && !is_test(source, mention)).then(|| format!("{last} outside tests"))
    })
}

fn is_test(source: &Source, mention: &Mention) -> bool {
    source.test || mention.test
}

fn is_under(source: &Source, places: &[&str]) -> bool {
    places.iter().any(|place| {
        source.path == *place || place.ends_with('/') && source.path.starts_with(place)
    })
}

fn is_path(mention: &Mention) -> bool {
    mention.kind != Kind::Method
}

fn is_macro(mention: &Mention, names: &[&str]) -> bool {
    let last = mention.segments.last();
    mention.kind == Kind::Macro && last.is_some_and(|last| names.contains(&last.as_str()))
}

/// Whether it is one of these or something in it, or a glob that takes one of them in.
fn is_any_of(mention: &Mention, forbidden: &[&[&str]]) -> bool {
    forbidden.iter().any(|path| {
        let glob = mention.segments.last().is_some_and(|last| last == "*");
        let same = mention.segments.iter().zip(path.iter());
        let mut same = same.take_while(|(found, _)| *found != "*");
        (glob || mention.segments.len() >= path.len()) && same.all(|(found, name)| found == name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, reported};
    use super::*;

    #[test]
    fn a_wrapped_crate_elsewhere_is_reported() -> Outcome {
        let text = "use rusqlite::params;\nfn f() { let x = params![]; }\n#[tokio::main]\nfn g(x: clap::Parser) { h!(object_store::path()); }";
        let found = reported("src/ports/files.rs", text, wrapped_crates)?;
        let expected = [
            "1: rusqlite::params outside src/ports/index/",
            "3: tokio::main outside src/ports/store/, src/operations/, src/services/, src/cli/, src/main.rs",
            "4: clap::Parser outside src/cli/, src/main.rs",
            "4: object_store::path outside src/ports/store/",
        ];
        assert_eq!(found, expected);
        let at_home = reported("src/ports/index/a.rs", "use rusqlite as r;", wrapped_crates)?;
        let renamed = reported("src/cli/push.rs", "use rusqlite as r;", wrapped_crates)?;
        assert_eq!((at_home.len(), renamed.len()), (0, 1));
        Ok(())
    }

    #[test]
    fn the_world_on_a_pure_floor_is_reported() -> Outcome {
        for impure in IMPURE {
            let path = impure.join("::");
            for text in [
                format!("use {path};"),
                format!("fn f() {{ m!({path}::x()) }}"),
            ] {
                let found = reported("src/formats/a.rs", &text, purity)?;
                assert_eq!(found.len(), 1, "{text}: {found:?}");
            }
        }
        for clock in [
            "use a::Timestamp;\nfn f() { Timestamp::now() }",
            "use a::Zoned as Z;\nfn f() { Z::now() }",
            "use std::time::{self, Duration};\nfn f() { time::SystemTime::now() }",
        ] {
            let found = reported("src/words/a.rs", clock, purity)?;
            assert_eq!(found.len(), 1, "{clock}: {found:?}");
            assert!(found[0].starts_with("2: "), "{found:?}");
        }
        let glob = reported("src/words/a.rs", "use std::*;\nuse std::io::*;", purity)?;
        assert_eq!(glob, ["1: std::* on a floor that is pure"]);
        Ok(())
    }

    #[test]
    fn a_test_and_a_port_may_touch_the_world() -> Outcome {
        let tested = "#[cfg(test)]\nmod tests { use std::fs; use rusqlite::params; }";
        for rule in [purity, wrapped_crates] {
            assert!(reported("src/formats/a.rs", tested, rule)?.is_empty());
        }
        assert!(reported("src/ports/a.rs", "use std::fs;", purity)?.is_empty());
        Ok(())
    }

    #[test]
    fn printing_leaving_and_reading_the_environment_are_reported() -> Outcome {
        for print in PRINTING {
            let text = format!("fn f() {{ {print}!(\"\") }}");
            let found = reported("src/ports/a.rs", &text, silence)?;
            assert_eq!(found, [format!("1: {print} in the library")]);
            assert!(reported("src/cli/a.rs", &text, silence)?.is_empty());
        }
        for outside in OUTSIDE {
            let text = format!("fn f() {{ {}() }}", outside.join("::"));
            let found = reported("src/services/a.rs", &text, silence)?;
            assert_eq!(found.len(), 1, "{text}");
        }
        Ok(())
    }

    #[test]
    fn the_environment_is_for_the_settings_and_the_arguments_for_main() -> Outcome {
        let text = "fn f() { std::env::var() }";
        for path in ["src/cli/output.rs", "src/main.rs"] {
            let found = reported(path, text, silence)?;
            assert_eq!(found, ["1: std::env::var outside the settings"]);
        }
        for path in ["src/cli/settings.rs", "src/cli/settings/file.rs"] {
            assert!(reported(path, text, silence)?.is_empty());
        }
        let arguments = "fn main() { std::env::args_os(); }";
        assert!(reported("src/main.rs", arguments, silence)?.is_empty());
        Ok(())
    }

    #[test]
    fn panics_are_reported_outside_tests_only() -> Outcome {
        for panic in ["panic!()", "todo!()", "unimplemented!()", "unreachable!()"]
            .into_iter()
            .chain([
                "x.unwrap()",
                "x.expect(\"y\")",
                "format!(\"{}\", x.unwrap())",
            ])
            .chain(["x.map(Option::unwrap)", "core::panic!()"])
        {
            let text = format!("fn f() {{ {panic}; }}");
            assert_eq!(reported("src/cli/a.rs", &text, no_panics)?.len(), 1);
            let tested = format!("#[cfg(test)] {text}");
            assert!(reported("src/cli/a.rs", &tested, no_panics)?.is_empty());
        }
        Ok(())
    }
}
