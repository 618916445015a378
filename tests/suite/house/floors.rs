//! The floors: imports point strictly down, and siblings on a floor do not know each other.
//!
//! Promise: the list of exceptions is the whole list. Each one has its reason, and one that the
//! code does not use any more is reported like any other violation.

use super::source::{Mention, Source, Violation};
use std::collections::BTreeSet;
use std::panic::Location;

/// The floors, lowest first.
pub(super) const FLOORS: [&str; 6] = ["words", "formats", "ports", "operations", "services", "cli"];

/// The floor on which siblings may know each other: its types are made of one another.
const WORDS: &str = "words";

/// One module that may know a sibling.
#[derive(Debug)]
pub(super) struct Exception {
    user: &'static str,
    /// The sibling, or for every user `*`.
    used: &'static str,
    reason: &'static str,
    line: u32,
}

/// `user` may know `used`; for `*` everybody on the floor of `used` may.
#[track_caller]
const fn allow(user: &'static str, used: &'static str, reason: &'static str) -> Exception {
    let line = Location::caller().line();
    Exception {
        user,
        used,
        reason,
        line,
    }
}

/// The modules that know a sibling, and why.
#[rustfmt::skip]
pub(super) const EXCEPTIONS: &[Exception] = &[
    allow("formats::envkeys", "formats::chunk", "fingerprints are keyed as the digests of secrets are"),
    allow("formats::envkeys", "formats::envfile", "the keys are in the env file"),
    allow("formats::guide", "formats::manifest", "the guide is the manifest in words"),
    allow("formats::guide", "formats::restore_command", "the guide says how a dump is loaded"),
    allow("formats::manifest", "formats::journal", "a manifest names the journal's head"),
    allow("formats::manifest", "formats::pgdump", "a manifest repeats the facts of its dumps"),
    allow("formats::manifest", "formats::signature", "a manifest is verified by its signature only"),
    allow("formats::proof", "formats::envkeys", "the keys are tried"),
    allow("formats::proof", "formats::pgdump", "on the rows of a dump"),
    allow("formats::restore_command", "formats::pgdump", "the command depends on the dump's facts"),
    allow("formats::seal", "formats::recipients", "a blob is sealed to recipients"),
    allow("formats::signature", "formats::chunk", "the chunk keys come from the signing key"),
    allow("ports::backups", "ports::files", "its errors are those of files"),
    allow("ports::heartbeat", "ports::files", "its errors are those of files"),
    allow("ports::includes", "ports::files", "a tree is read from files"),
    allow("formats::record", "formats::signature", "a record is believed by its signature"),
    allow("ports::index", "ports::store", "the index caches what the store lists"),
    allow("operations::off_site", "operations::expire", "it says what is off-site of what may expire"),
    allow("operations::dump", "operations::inspect", "what was dumped is read before it gets its name"),
    allow("operations::warnings", "operations::expire", "what may expire is what is warned of"),
    allow("operations::push", "operations::inspect", "what is archived is inspected first"),
    allow("operations::verify", "operations::journal", "a hold that this host has written down has to be in the store"),
    allow("operations::verify", "operations::fetch", "a component comes back in one way, to be kept or to be compared"),
    allow("services::rehearsal", "services::catch_up", "what happens to stores is rehearsed"),
    allow("*", "operations::context", "what every operation is given"),
    allow("*", "operations::catalog", "which archives there are"),
    allow("operations::audit", "operations::prune", "what the policy keeps is decided in one place"),
    allow("operations::audit", "operations::verify", "what is wrong with a store is found in one place"),
    allow("operations::audit", "operations::journal", "the journal is held against the archives"),
    allow("operations::rebuild", "operations::choice", "a store without archives is told as elsewhere"),
    allow("*", "operations::records", "what was said of archives since"),
    allow("*", "operations::needs", "which archive needs which blobs"),
    allow("*", "operations::standing", "which store has what"),
    allow("*", "operations::download", "a blob is compared with its name in one place"),
    allow("*", "operations::place", "a place in the chain is taken in one way"),
    allow("*", "operations::pipeline", "the one bridge between sync and async"),
];

/// What a mention of a module of the own crate amounts to.
enum Verdict {
    Fine,
    Wrong(String),
    /// A sibling of the module is named.
    Sibling(String, String),
}

/// Every import that does not point strictly down, and every exception that nobody uses.
pub(super) fn check(sources: &[Source], exceptions: &[Exception]) -> Vec<Violation> {
    let in_folder = |source: &Source| source.module.starts_with(&COMMANDS.map(ToOwned::to_owned));
    let layout = if sources.iter().any(in_folder) {
        Layout::Folder
    } else {
        Layout::Flat
    };
    let mut violations: Vec<Violation> = sources
        .iter()
        .flat_map(|source| {
            source.judge(|mention| match verdict(source, mention, layout) {
                Verdict::Fine => None,
                Verdict::Wrong(what) => Some(what),
                Verdict::Sibling(user, used) => {
                    let excepted = exceptions.iter().any(|one| one.covers(&user, &used));
                    (!excepted).then(|| format!("{user} knows its sibling {used}"))
                }
            })
        })
        .collect();
    let siblings: BTreeSet<(String, String)> = sources
        .iter()
        .flat_map(|source| siblings(source, layout))
        .collect();
    for exception in exceptions {
        let used = siblings
            .iter()
            .any(|(user, used)| exception.covers(user, used));
        if !used || exception.reason.is_empty() {
            let Exception { user, used, .. } = exception;
            let what =
                format!("the exception of {user} for {used} is not needed, or not explained");
            violations.push(Violation::new(file!(), exception.line as usize, what));
        }
    }
    violations
}

impl Exception {
    fn covers(&self, user: &str, used: &str) -> bool {
        self.used == used && (self.user == "*" || self.user == user)
    }
}

/// Every sibling that a file knows.
fn siblings(source: &Source, layout: Layout) -> Vec<(String, String)> {
    let pair = |mention| match verdict(source, mention, layout) {
        Verdict::Sibling(user, used) => Some((user, used)),
        Verdict::Fine | Verdict::Wrong(_) => None,
    };
    source.mentions.iter().filter_map(pair).collect()
}

fn verdict(source: &Source, mention: &Mention, layout: Layout) -> Verdict {
    if source.is_binary() && mention.segments[0] == "sealift" {
        return through_exports(mention);
    }
    let (Some(target), Some(floor)) = (mention.in_crate(), source.module.first()) else {
        return Verdict::Fine;
    };
    let level = |name: &String| FLOORS.iter().position(|floor| floor == name);
    let Some(own) = level(floor) else {
        return Verdict::Wrong(format!("{floor} is no floor"));
    };
    let Some(other) = target.first().and_then(level) else {
        return Verdict::Wrong(format!("{} names no floor", mention.name()));
    };
    if other > own {
        let name = target.join("::");
        return Verdict::Wrong(format!(
            "{name} is above {floor}, imports point strictly down"
        ));
    }
    if other < own || floor == WORDS {
        return Verdict::Fine;
    }
    if source.is_binary() {
        return between_commands(&source.module, &target, layout);
    }
    match (source.module.get(1), target.get(1)) {
        (None, _) => Verdict::Fine,
        (Some(_), None) => Verdict::Wrong(format!("{} names its whole floor", mention.name())),
        (Some(user), Some(used)) if user == used => Verdict::Fine,
        (Some(user), Some(used)) => {
            Verdict::Sibling(format!("{floor}::{user}"), format!("{floor}::{used}"))
        }
    }
}

/// The binary sees of the library what `lib.rs` shows, not its floors.
fn through_exports(mention: &Mention) -> Verdict {
    match mention.segments.get(1) {
        Some(second) if FLOORS.contains(&second.as_str()) => {
            let name = mention.name();
            Verdict::Wrong(format!("{name} goes past the re-exports of the library"))
        }
        _ => Verdict::Fine,
    }
}

/// The folder with one file for each command, if there is one.
const COMMANDS: [&str; 2] = ["cli", "commands"];

/// If there is no such folder: what stands among the commands and is none.
const SHARED: &[&str] = &[
    "args", "exit", "failure", "hints", "output", "progress", "settings",
];

/// Where the commands are.
#[derive(Clone, Copy)]
enum Layout {
    Folder,
    Flat,
}

/// Commands do not know each other.
fn between_commands(user: &[String], used: &[String], layout: Layout) -> Verdict {
    match (command(user, layout), command(used, layout)) {
        (Some(user), Some(used)) if user != used => Verdict::Sibling(user, used),
        _ => Verdict::Fine,
    }
}

/// The command that a module of the binary belongs to.
fn command(module: &[String], layout: Layout) -> Option<String> {
    let name = match (layout, module) {
        (Layout::Folder, [_, folder, name, ..]) if folder == COMMANDS[1] => name,
        (Layout::Flat, [_, name, ..]) if !SHARED.contains(&name.as_str()) => name,
        _ => return None,
    };
    Some(format!("command {name}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, reported};
    use super::*;
    use std::error::Error;
    use std::slice;

    const SOME: &[Exception] = &[
        allow("ports::a", "ports::b", "for the test"),
        allow("*", "operations::context", "for the test"),
    ];

    fn found(path: &str, text: &str) -> Result<Vec<String>, Box<dyn Error>> {
        reported(path, text, |source| check(slice::from_ref(source), &[]))
    }

    #[test]
    fn an_import_that_points_up_is_reported_in_any_form() -> Outcome {
        for text in [
            "use crate::services::watch::Watch;",
            "use crate::{services::{watch}};",
            "use super::super::services::watch;",
            "fn f() -> crate::services::watch::Watch { todo() }",
            "fn f() { g!(crate::services::watch::h()) }",
            "mod inner { use super::super::super::services::watch; }",
            "#[cfg(test)] mod tests { use crate::services::watch; }",
        ] {
            let found = found("src/ports/files.rs", text)?;
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains("is above ports"), "{found:?}");
        }
        Ok(())
    }

    #[test]
    fn an_import_of_a_lower_floor_or_of_the_own_subtree_is_fine() -> Outcome {
        for text in [
            "use crate::words::ids::Digest; use crate::formats::seal;",
            "use crate::ports::store::url; use super::error; use self::url::A;",
            "mod tests { use super::super::url; } pub(in crate::ports) fn f() {}",
        ] {
            assert!(found("src/ports/store/url.rs", text)?.is_empty(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn siblings_and_ways_around_them_are_reported_once() -> Outcome {
        let text = "use crate::ports::b::{C};\nfn f() { C::g(); super::d::h(); }\nuse crate::D;\nuse super::*;\nuse crate::ports;";
        let expected = [
            "1: ports::a knows its sibling ports::b",
            "2: ports::a knows its sibling ports::d",
            "3: crate::D names no floor",
            "4: ports::a knows its sibling ports::*",
            "5: crate::ports names its whole floor",
        ];
        assert_eq!(found("src/ports/a.rs", text)?, expected);
        assert!(found("src/words/a.rs", "use super::b;")?.is_empty());
        Ok(())
    }

    #[test]
    fn an_exception_counts_only_while_it_is_used() -> Outcome {
        let ports = Source::parse("src/ports/a.rs", "use super::b;")?;
        let push = Source::parse("src/operations/push.rs", "use super::context::C;")?;
        assert!(check(&[ports, push], SOME).is_empty());
        let ports = Source::parse("src/ports/c.rs", "use super::b;")?;
        let found = check(&[ports], SOME);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].ends_with("ports::c knows its sibling ports::b"));
        assert!(found[1].contains(&format!("floors.rs:{}: ", SOME[0].line)));
        assert!(found[2].ends_with(
            "the exception of * for operations::context is not needed, or not explained"
        ));
        Ok(())
    }

    #[test]
    fn a_command_that_knows_another_is_reported() -> Outcome {
        let path = "src/cli/commands/push.rs";
        for text in ["use super::fetch::A;", "use crate::cli::commands::fetch;"] {
            let expected = ["1: command push knows its sibling command fetch"];
            assert_eq!(found(path, text)?, expected);
        }
        let shared = "use crate::cli::other; use super::super::args::Args; use sealift::Push;";
        assert!(found(path, shared)?.is_empty());
        let flat = found("src/cli/push.rs", "use super::{output, fetch::A};")?;
        assert_eq!(flat, ["1: command push knows its sibling command fetch"]);
        assert!(found("src/cli/mod.rs", "use crate::cli::fetch::A;")?.is_empty());
        Ok(())
    }

    #[test]
    fn the_binary_that_goes_past_the_exports_is_reported() -> Outcome {
        for path in ["src/main.rs", "src/cli/output.rs"] {
            let found = found(path, "use sealift::{A, ports::store};")?;
            let expected = "1: sealift::ports::store goes past the re-exports of the library";
            assert_eq!(found, [expected]);
        }
        Ok(())
    }
}
