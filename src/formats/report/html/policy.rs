//! Policy: what it says, what each rule keeps, what goes, and what went.

use super::escape::Text;
use super::{section, wide};
use crate::formats::report::AuditReport;
use crate::formats::report::plain::{count, grouped, minute, size};
use crate::formats::report::reasons::reasons;
use std::io::{self, Write};

/// So many archives that go, and so many that went, are on the page.
const MOST: usize = 200;

pub(super) fn write(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    section("policy", out)?;
    if report.policy.is_empty() {
        writeln!(out, "<p>No policy: every archive is kept for ever.</p>")?;
    } else {
        writeln!(out, "<ul class=\"rules\">")?;
        for rule in &report.policy {
            writeln!(out, "<li><bdi>{}</bdi></li>", Text(rule))?;
        }
        writeln!(out, "</ul>")?;
    }
    kept(report, out)?;
    goes(report, out)?;
    retired(report, out)?;
    writeln!(out, "</section>")
}

fn kept(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let reasons = reasons(&report.archives);
    if reasons.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h3>What is kept, and why</h3>\n<p>Several rules may keep the same archive: what a rule keeps alone \
         would go without it.</p>\n<table>\n<caption class=\"v\">What each rule keeps</caption>\n<thead><tr><th scope=\"col\">Rule</th>\
         <th scope=\"col\" class=\"n\">Keeps</th><th scope=\"col\" class=\"n\">Alone</th></tr></thead>\n<tbody>"
    )?;
    for reason in reasons {
        writeln!(
            out,
            "<tr><th scope=\"row\"><bdi>{}</bdi></th><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Text(reason.rule),
            grouped(reason.keeps),
            grouped(reason.alone)
        )?;
    }
    writeln!(out, "</tbody>\n</table>")
}

fn goes(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let going = || {
        let archives = report.archives.iter();
        archives.filter_map(|archive| Some((archive, archive.goes.as_ref()?)))
    };
    let number = going().count();
    writeln!(out, "<h3>What goes, and why</h3>")?;
    if number == 0 {
        return writeln!(out, "<p>The next prune removes no archive.</p>");
    }
    let open = if number <= 12 { " open" } else { "" };
    writeln!(
        out,
        "<details{open}><summary>The next prune removes {}</summary>",
        count(number as u64, "archive")
    )?;
    wide("Archives that go", out)?;
    writeln!(
        out,
        "<table>\n<caption class=\"v\">Archives that the next prune removes</caption>\n<thead><tr>\
         <th scope=\"col\">Archive</th><th scope=\"col\">Captured (UTC)</th><th scope=\"col\">Why</th>\
         <th scope=\"col\" class=\"n\">Size</th></tr></thead>\n<tbody>"
    )?;
    for (archive, why) in going().take(MOST) {
        writeln!(
            out,
            "<tr><th scope=\"row\">{} <small><bdi>{}</bdi></small></th><td>{}</td><td><bdi>{}</bdi></td>\
             <td class=\"n\">{}</td></tr>",
            archive.sequence,
            Text(&archive.label),
            minute(archive.captured_at),
            Text(why),
            size(archive.plain_bytes)
        )?;
    }
    writeln!(out, "</tbody>\n</table>\n</div>")?;
    left_out(number, out)?;
    writeln!(out, "</details>")
}

fn retired(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let number = report.retirements.len();
    writeln!(out, "<h3>What was removed on purpose</h3>")?;
    if number == 0 {
        return writeln!(out, "<p>No archive was ever removed on purpose.</p>");
    }
    writeln!(
        out,
        "<details><summary>{}, each with its signed record; the newest first</summary>",
        count(number as u64, "archive")
    )?;
    wide("Archives that were removed", out)?;
    writeln!(
        out,
        "<table>\n<caption class=\"v\">Archives that were removed on purpose</caption>\n<thead><tr>\
         <th scope=\"col\">Archive</th><th scope=\"col\">Captured (UTC)</th><th scope=\"col\">Removed (UTC)</th>\
         <th scope=\"col\">Why</th></tr></thead>\n<tbody>"
    )?;
    for retirement in report.retirements.iter().rev().take(MOST) {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td><bdi>{}</bdi></td></tr>",
            retirement.sequence,
            minute(retirement.captured_at),
            minute(retirement.retired_at),
            Text(&retirement.reason)
        )?;
    }
    writeln!(out, "</tbody>\n</table>\n</div>")?;
    left_out(number, out)?;
    writeln!(out, "</details>")
}

/// Says how many of a list are not on the page, and where they are.
fn left_out(number: usize, out: &mut dyn Write) -> io::Result<()> {
    if number <= MOST {
        return Ok(());
    }
    let left = grouped((number - MOST) as u64);
    writeln!(
        out,
        "<p>{left} others are not on this page; <code>sealift audit --json</code> has them all.</p>"
    )
}
