//! Reasons: how many archives each rule of the policy keeps, and how many it alone keeps.

use super::ArchiveReport;
use std::collections::HashMap;

/// No more rules than this are told apart; what a policy has is far less.
const MOST: usize = 60;

/// One rule, and what it keeps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reason<'a> {
    /// The rule without what makes it this archive's: `daily` of `daily 2026-01-04`.
    pub rule: &'a str,
    /// Archives that it keeps.
    pub keeps: u64,
    /// Archives that nothing else keeps.
    pub alone: u64,
}

/// The rules that keep something, that which keeps most first.
pub(super) fn reasons(archives: &[ArchiveReport]) -> Vec<Reason<'_>> {
    let mut found: Vec<Reason<'_>> = Vec::new();
    let mut places = HashMap::new();
    for archive in archives {
        let mut rules: Vec<&str> = archive.kept_by.iter().map(|why| rule_of(why)).collect();
        rules.sort_unstable();
        rules.dedup();
        let alone = u64::from(rules.len() == 1);
        for mut rule in rules {
            if !places.contains_key(rule) && places.len() >= MOST {
                rule = "other";
            }
            let place = *places.entry(rule).or_insert_with(|| {
                found.push(Reason {
                    rule,
                    keeps: 0,
                    alone: 0,
                });
                found.len() - 1
            });
            found[place].keeps += 1;
            found[place].alone += alone;
        }
    }
    found.sort_by(|a, b| b.keeps.cmp(&a.keeps).then(a.rule.cmp(b.rule)));
    found
}

/// A reason without its last word, if that is a date or a number.
fn rule_of(why: &str) -> &str {
    match why.rsplit_once(' ') {
        Some((rule, last)) if last.bytes().any(|byte| byte.is_ascii_digit()) => rule,
        _ => why,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, Outcome};
    use super::*;

    #[test]
    fn what_a_rule_alone_keeps_is_counted_apart() -> Outcome {
        let mut report = samples::small()?;
        let kept = [
            &["daily 2026-01-03", "last 3"][..],
            &["daily 2026-01-02"],
            &["daily 2026-01-01", "held", "daily 2026-W01"],
            &["newest sound archive"],
        ];
        let archive = report.archives[0].clone();
        report.archives.clear();
        for why in kept {
            let kept_by = why.iter().map(|&why| why.to_owned()).collect();
            let archive = archive.clone();
            report.archives.push(ArchiveReport { kept_by, ..archive });
        }
        let found: Vec<(&str, u64, u64)> = reasons(&report.archives)
            .iter()
            .map(|reason| (reason.rule, reason.keeps, reason.alone))
            .collect();
        assert_eq!(
            found,
            [
                ("daily", 3, 1),
                ("held", 1, 0),
                ("last", 1, 0),
                ("newest sound archive", 1, 1)
            ]
        );
        Ok(())
    }

    #[test]
    fn rules_without_end_are_not_told_apart() -> Outcome {
        let mut report = samples::small()?;
        let archive = report.archives[0].clone();
        let many = (0..10_000).map(|number| ArchiveReport {
            kept_by: vec![format!("rule{number} x")],
            ..archive.clone()
        });
        report.archives = many.collect();
        let found = reasons(&report.archives);
        assert_eq!(found.len(), MOST + 1);
        assert_eq!(found[0].rule, "other");
        assert_eq!(found[0].keeps, 10_000 - MOST as u64);
        Ok(())
    }
}
