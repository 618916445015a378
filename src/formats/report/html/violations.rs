//! Violations: each with its remedy, and below them what is worth knowing.

use super::escape::Text;
use super::section;
use crate::formats::report::plain::{count, grouped};
use crate::formats::report::{AuditReport, Group, Violation, by_code};
use std::io::{self, Write};

/// So many of one code are shown at once.
const SHOWN: usize = 8;
/// So many of one code are on the page.
const MOST: usize = 100;

pub(super) fn write(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    section("violations", out)?;
    if report.violations.is_empty() {
        writeln!(
            out,
            "<p>No violations: signatures, chain, stores, policy and journal agree.</p>"
        )?;
    }
    for group in by_code(&report.violations) {
        write_group(&group, "violation", out)?;
    }
    if !report.notes.is_empty() {
        writeln!(
            out,
            "<details class=\"notes\"><summary>{}, none of them a violation</summary>",
            count(report.notes.len() as u64, "note")
        )?;
        for group in by_code(&report.notes) {
            write_group(&group, "violation note", out)?;
        }
        writeln!(out, "</details>")?;
    }
    writeln!(out, "</section>")
}

fn write_group(group: &Group<'_>, class: &str, out: &mut dyn Write) -> io::Result<()> {
    let number = group.members.len();
    writeln!(
        out,
        "<article class=\"{class}\">\n<h3><bdi>{}</bdi>{}</h3>",
        Text(group.code),
        match number {
            1 => String::new(),
            some => format!(" <small>{} times</small>", grouped(some as u64)),
        }
    )?;
    let shown = &group.members[..number.min(MOST)];
    let (first, rest) = shown.split_at(shown.len().min(SHOWN));
    let mut told = None;
    list(first, &mut told, out)?;
    if !rest.is_empty() {
        let more = grouped((number - SHOWN) as u64);
        writeln!(out, "<details><summary>{more} more</summary>")?;
        list(rest, &mut told, out)?;
        if number > MOST {
            let left = grouped((number - MOST) as u64);
            writeln!(
                out,
                "<p>{left} others are not on this page; <code>sealift audit --json</code> has them all.</p>"
            )?;
        }
        writeln!(out, "</details>")?;
    }
    writeln!(out, "</article>")
}

/// Some violations; a remedy that was told for the one before is not told again.
fn list<'a>(
    members: &[&'a Violation],
    told: &mut Option<&'a str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "<ul>")?;
    for one in members {
        write!(out, "<li><p>")?;
        if let Some(archive) = one.archive {
            write!(out, "<b>Archive {archive}:</b> ")?;
        }
        write!(out, "<bdi>{}</bdi>", Text(&one.message))?;
        if let Some(store) = &one.store {
            write!(out, " <small><bdi>{}</bdi></small>", Text(store))?;
        }
        write!(out, "</p>")?;
        if *told != Some(&one.remedy) {
            write!(
                out,
                "<p class=\"remedy\"><b>What to do</b> <bdi>{}</bdi></p>",
                Text(&one.remedy)
            )?;
            *told = Some(&one.remedy);
        }
        writeln!(out, "</li>")?;
    }
    writeln!(out, "</ul>")
}
