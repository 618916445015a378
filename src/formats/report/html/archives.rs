//! Archives: each with its verdict and why it is kept or goes, by month, the newest first.

use super::escape::Text;
use super::{section, wide};
use crate::formats::report::plain::{count, minute, size};
use crate::formats::report::{ArchiveReport, AuditReport};
use crate::words::verdict::Verdict;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// So many archives are listed one by one; older months are numbers only.
const MOST: usize = 1_000;

/// The columns of a list, each with its class.
const COLUMNS: [(&str, &str); 6] = [
    ("id", "Archive"),
    ("at", "Captured (UTC)"),
    ("is", "Verdict"),
    ("why", "Kept, or goes"),
    ("n", "New"),
    ("n", "Gives back"),
];

/// A month, and its archives, the newest first.
struct Month<'a> {
    first_day: Date,
    archives: Vec<&'a ArchiveReport>,
}

pub(super) fn write(report: &AuditReport, zone: &TimeZone, out: &mut dyn Write) -> io::Result<()> {
    section("archives", out)?;
    if report.archives.is_empty() {
        return writeln!(out, "<p>There is none.</p>\n</section>");
    }
    let months = months(&report.archives, zone);
    let mut room = MOST;
    let mut older = months.len();
    for (place, month) in months.iter().enumerate() {
        if month.archives.len() > room {
            older = place;
            break;
        }
        room -= month.archives.len();
        month_list(month, place == 0, report.stores.len(), out)?;
    }
    older_months(&months[older..], out)?;
    writeln!(out, "</section>")
}

fn months<'a>(archives: &'a [ArchiveReport], zone: &TimeZone) -> Vec<Month<'a>> {
    let mut sorted: Vec<&ArchiveReport> = archives.iter().collect();
    sorted.sort_by_key(|archive| (archive.captured_at, archive.sequence));
    let mut months: Vec<Month<'a>> = Vec::new();
    for archive in sorted.into_iter().rev() {
        let day = archive.captured_at.to_zoned(zone.clone()).date();
        let first_day = day.first_of_month();
        match months.last_mut() {
            Some(month) if month.first_day == first_day => month.archives.push(archive),
            _ => months.push(Month {
                first_day,
                archives: vec![archive],
            }),
        }
    }
    months
}

impl Month<'_> {
    fn name(&self) -> String {
        self.first_day.strftime("%Y-%m").to_string()
    }

    fn number(&self, is: impl Fn(&ArchiveReport) -> bool) -> usize {
        self.archives.iter().filter(|archive| is(archive)).count()
    }

    fn new_bytes(&self) -> u64 {
        let bytes = self.archives.iter().map(|archive| archive.new_bytes);
        bytes.fold(0, u64::saturating_add)
    }

    /// What is to be seen without looking at each.
    fn summary(&self) -> String {
        let mut text = count(self.archives.len() as u64, "archive");
        let parts = [
            (
                self.number(|one| one.verdict == Verdict::Suspect),
                "suspect",
            ),
            (self.number(|one| one.held), "held"),
            (self.number(|one| one.goes.is_some()), "to go"),
        ];
        for (number, what) in parts {
            if number > 0 {
                text.push_str(&format!(", {number} {what}"));
            }
        }
        text
    }
}

fn month_list(month: &Month<'_>, open: bool, stores: usize, out: &mut dyn Write) -> io::Result<()> {
    let name = month.name();
    let open = if open { " open" } else { "" };
    writeln!(
        out,
        "<details class=\"list\"{open}><summary><h3>{name}</h3> {}</summary>",
        month.summary()
    )?;
    wide(&format!("Archives of {name}"), out)?;
    // On a phone each row becomes a block of lines; the roles keep it a table for those who listen.
    writeln!(
        out,
        "<table role=\"table\">\n<caption class=\"v\">Archives of {name}</caption>\n<thead role=\"rowgroup\"><tr role=\"row\">"
    )?;
    for (class, column) in COLUMNS {
        writeln!(
            out,
            "<th scope=\"col\" role=\"columnheader\" class=\"{class}\">{column}</th>"
        )?;
    }
    writeln!(out, "</tr></thead>\n<tbody role=\"rowgroup\">")?;
    for archive in &month.archives {
        row(archive, stores, out)?;
    }
    writeln!(out, "</tbody>\n</table>\n</div>\n</details>")
}

fn row(archive: &ArchiveReport, stores: usize, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" class=\"id\">{} <small><bdi>{}</bdi></small> <small><code>{}</code></small></th><td role=\"cell\" class=\"at\">{}</td><td role=\"cell\" class=\"is\">",
        archive.sequence,
        Text(&archive.label),
        archive.id.short(),
        minute(archive.captured_at)
    )?;
    match archive.verdict {
        Verdict::Sound => write!(out, "<span class=\"sound\">● sound</span>")?,
        Verdict::Suspect => write!(out, "<span class=\"suspect\">▲ suspect</span>")?,
    }
    if archive.held {
        write!(out, ", <b>H</b> held")?;
    }
    let keys = keys(archive);
    if !keys.is_empty() {
        write!(out, " <small>{keys}</small>")?;
    }
    if archive.stores.len() < stores {
        write!(
            out,
            " <small class=\"suspect\">in {} of {} stores</small>",
            archive.stores.len(),
            stores
        )?;
    }
    write!(out, "</td><td role=\"cell\" class=\"why\">")?;
    for (place, why) in archive.kept_by.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        write!(out, "{comma}<bdi>{}</bdi>", Text(why))?;
    }
    if let Some(why) = &archive.goes {
        write!(out, "<b>goes:</b> <bdi>{}</bdi>", Text(why))?;
    }
    writeln!(
        out,
        "</td><td role=\"cell\" class=\"n new\">{}</td><td role=\"cell\" class=\"n whole\">{}</td></tr>",
        size(archive.new_bytes),
        size(archive.plain_bytes)
    )
}

/// What is known of the keys: what is proven goes without saying if nothing else is to be said.
fn keys(archive: &ArchiveReport) -> String {
    let parts = [
        (archive.refuted, "refuted"),
        (archive.unproven, "unproven"),
        (archive.proven, "proven"),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let texts: Vec<String> = parts
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    match texts.as_slice() {
        [] => String::new(),
        texts => format!("keys: {}", texts.join(", ")),
    }
}

/// The months for which there is no room, in numbers.
fn older_months(months: &[Month<'_>], out: &mut dyn Write) -> io::Result<()> {
    let left: usize = months.iter().map(|month| month.archives.len()).sum();
    if left == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "<details class=\"list\"><summary><h3>Older</h3> {}, by month</summary>\n<p>They are not listed here one by \
         one; <code>sealift audit --json</code> has them all.</p>",
        count(left as u64, "archive")
    )?;
    wide("Older archives by month", out)?;
    writeln!(
        out,
        "<table>\n<caption class=\"v\">Older archives by month</caption>\n<thead><tr><th scope=\"col\">Month</th>\
         <th scope=\"col\">Archives</th><th scope=\"col\" class=\"n\">New</th></tr></thead>\n<tbody>"
    )?;
    for month in months {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td></tr>",
            month.name(),
            month.summary(),
            size(month.new_bytes())
        )?;
    }
    writeln!(out, "</tbody>\n</table>\n</div>\n</details>")
}
