//! The page: the whole report as one HTML file, for whoever audits.
//!
//! Promise: it needs nothing but itself: no script runs in it (its own policy forbids any), nothing is fetched,
//! and nothing is told by colour alone. What comes from a manifest is written by [`Text`] only, so it can
//! neither become markup nor turn the writing around. It is written as it goes: besides the report it takes
//! some 40 bytes for each archive. However many archives there are, the rows of its lists are bounded.

mod archives;
mod calendar;
mod curve;
mod escape;
mod policy;
mod stores;
mod violations;

use super::AuditReport;
use super::plain::{age, count, grouped, iso, minute, size};
use crate::words::clock::Timestamp;
use escape::Text;
use jiff::tz::TimeZone;
use std::io::{self, Write};

const STYLE: &str = include_str!("style.css");

/// The parts of the page that its list of contents leads to.
const CONTENTS: [(&str, &str); 8] = [
    ("violations", "Violations"),
    ("calendar", "Restore points"),
    ("storage", "Storage"),
    ("policy", "Policy"),
    ("archives", "Archives"),
    ("stores", "Stores"),
    ("journal", "Journal"),
    ("legend", "How to read this page"),
];

/// Writes the page. `zone` is the one that [`AuditReport::time_zone`] names: the calendar's days are those
/// of this zone, and each other time is in UTC.
///
/// # Errors
/// Those of the writer.
pub fn html(report: &AuditReport, zone: &TimeZone, out: &mut dyn Write) -> io::Result<()> {
    head(report, out)?;
    verdict(report, out)?;
    contents(out)?;
    violations::write(report, out)?;
    calendar::write(report, zone, out)?;
    curve::write(report, zone, out)?;
    policy::write(report, out)?;
    archives::write(report, zone, out)?;
    stores::write(report, out)?;
    journal(report, out)?;
    legend(report, out)?;
    writeln!(
        out,
        "</main>\n<footer><p>Written by sealift {}. <code>sealift audit --json</code> has all of this for programs.</p></footer>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION")
    )
}

fn head(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let instance = &report.instance;
    let verdict = verdict_words(report);
    write!(
        out,
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>{instance}: {verdict} · backup audit {}</title>
<style>
{STYLE}</style>
</head>
<body>
<a class="skip" href="#violations">Skip to the violations</a>
<header>
<h1>Backup audit of {instance}</h1>
<p class="dim">As of <time datetime="{}">{} UTC</time>. Days are those of {}.</p>
</header>
<main>
"##,
        report.at.strftime("%Y-%m-%d"),
        iso(report.at),
        minute(report.at),
        Text(&report.time_zone),
    )
}

fn verdict_words(report: &AuditReport) -> String {
    if report.ok {
        "no violations".into()
    } else {
        count(report.violations.len() as u64, "violation")
    }
}

/// The verdict, and the numbers that it rests on.
fn verdict(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let (class, shape) = if report.ok {
        ("good", "M5 13l5 5 9-11")
    } else {
        ("bad", "M6 6l12 12M18 6L6 18")
    };
    let mut words = verdict_words(report);
    words[..1].make_ascii_uppercase();
    writeln!(
        out,
        r#"<section class="verdict {class}" aria-label="Verdict">
<p class="says"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="{shape}"/></svg> <strong>{words}</strong></p>
<dl class="facts">"#
    )?;
    let checked = &report.checked;
    let at = report.at;
    let mut fact = |name: &str, value: &str, more: &str| {
        writeln!(
            out,
            "<div><dt>{name}</dt><dd>{value} <small>{more}</small></dd></div>"
        )
    };
    moment(&mut fact, "Newest sound", report.newest_sound, at, "none")?;
    let suspect = match checked.suspect {
        0 => "none suspect".to_owned(),
        some => format!("{} suspect", grouped(some)),
    };
    fact("Archives", &grouped(checked.archives), &suspect)?;
    let back = format!("for {} of dumps and files", size(checked.plain_bytes));
    fact("Stored", &size(checked.stored_bytes), &back)?;
    moment(&mut fact, "Last verify", report.last_verify, at, "never")?;
    moment(&mut fact, "Last full read", report.last_read, at, "never")?;
    moment(&mut fact, "Last drill", report.last_drill, at, "never")?;
    writeln!(out, "</dl>\n</section>")
}

/// A fact that is a moment: how long ago, and when.
fn moment(
    fact: &mut dyn FnMut(&str, &str, &str) -> io::Result<()>,
    name: &str,
    moment: Option<Timestamp>,
    at: Timestamp,
    never: &str,
) -> io::Result<()> {
    match moment {
        Some(moment) => fact(name, &age(moment, at), &format!("{} UTC", minute(moment))),
        None => fact(name, never, ""),
    }
}

fn contents(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, r#"<nav aria-label="On this page"><ul>"#)?;
    for (id, title) in CONTENTS {
        writeln!(out, r##"<li><a href="#{id}">{title}</a></li>"##)?;
    }
    writeln!(out, "</ul></nav>")
}

/// Begins one of [`CONTENTS`].
fn section(id: &str, out: &mut dyn Write) -> io::Result<()> {
    let title = CONTENTS.iter().find(|(known, _)| *known == id);
    let title = title.map_or(id, |(_, title)| *title);
    writeln!(
        out,
        r#"<section id="{id}" aria-labelledby="{id}-title">
<h2 id="{id}-title">{title}</h2>"#
    )
}

/// Begins a table that may be wider than a phone: then it scrolls by itself, with keys as well.
fn wide(name: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<div class="wide" role="group" tabindex="0" aria-label="{}">"#,
        Text(name)
    )
}

fn journal(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    section("journal", out)?;
    let journal = &report.journal;
    let entries = if journal.entries == 1 {
        "entry"
    } else {
        "entries"
    };
    write!(
        out,
        "<p>{}; {} {entries}.",
        Text(&journal.state),
        grouped(journal.entries)
    )?;
    match journal.head {
        Some(head) => writeln!(
            out,
            " All of them stand behind one digest, the head:</p>\n<p><code class=\"digest\">{head}</code></p>"
        )?,
        None => writeln!(out, "</p>")?,
    }
    writeln!(
        out,
        "<p class=\"dim\">Each archive carries a signed copy of the head as it was then, so an entry that is \
         changed or removed afterwards shows. <code>sealift audit --journal</code> prints every entry.</p>\n</section>"
    )
}

fn legend(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    section("legend", out)?;
    writeln!(
        out,
        r#"<dl class="terms">
<div><dt>Archive</dt><dd>One restore point: both databases, the keys and the files of one night.</dd></div>
<div><dt>Sound</dt><dd>It was read to its last byte before it was stored, and nothing was found against it.</dd></div>
<div><dt>Suspect</dt><dd>It is stored, but something was found: a restore might fail. It never counts towards what the policy asks for.</dd></div>
<div><dt>Violation</dt><dd>The stores are not as the policy, the signatures or the chain of archives say. Each comes with what to do.</dd></div>
<div><dt>Retired</dt><dd>It was removed on purpose, and a signed record says so. A removal without such a record is a violation.</dd></div>
<div><dt>Held</dt><dd>It is exempt from removal until somebody releases it.</dd></div>
<div><dt>Proven</dt><dd>A key of the env file was seen to open data in the dumps of the same archive.</dd></div>
<div><dt>Chain</dt><dd>Archives are numbered without gaps, and each names the digest of the one before: none can go unseen.</dd></div>
</dl>
<p>Times are UTC; days in the calendar and in the policy are those of {}. Sizes are binary: 1 MiB is 1,048,576 bytes.
Print shows every calendar, and of the lists those that are open.</p>
</section>"#,
        Text(&report.time_zone)
    )
}

#[cfg(test)]
mod tests;
