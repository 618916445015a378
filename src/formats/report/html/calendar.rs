//! Calendar: each day on which something was captured, and each day between on which nothing was.
//!
//! Promise: as large as the number of archives, whatever their dates claim: a month without any is one
//! line, and so is a run of years.

use super::section;
use crate::formats::report::AuditReport;
use crate::formats::report::plain::{count, grouped};
use crate::words::clock::Timestamp;
use crate::words::verdict::Verdict;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::HashSet;
use std::io::{self, Write};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What the table of a month begins with.
const WEEK: &str = "<thead><tr><th scope=\"col\" abbr=\"Monday\">Mo</th><th scope=\"col\" abbr=\"Tuesday\">Tu</th>\
    <th scope=\"col\" abbr=\"Wednesday\">We</th><th scope=\"col\" abbr=\"Thursday\">Th</th>\
    <th scope=\"col\" abbr=\"Friday\">Fr</th><th scope=\"col\" abbr=\"Saturday\">Sa</th>\
    <th scope=\"col\" abbr=\"Sunday\">Su</th></tr></thead>";

/// Each mark of a day, its class, and what it means.
const KEY: [(&str, &str, &str); 6] = [
    ("●", "sound", "sound"),
    ("▲", "suspect", "suspect only"),
    ("×", "retired", "retired: removed on purpose"),
    ("–", "none", "nothing captured"),
    ("H", "flag", "held"),
    ("!", "flag", "a violation names it"),
];

/// What was captured on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Day {
    date: Date,
    sound: u32,
    suspect: u32,
    retired: u32,
    held: u32,
    named: u32,
}

/// The days of which the page says something, even if it is that there is nothing.
#[derive(Clone, Copy)]
struct Span {
    first: Date,
    today: Date,
}

pub(super) fn write(report: &AuditReport, zone: &TimeZone, out: &mut dyn Write) -> io::Result<()> {
    section("calendar", out)?;
    let days = days(report, zone);
    let Some(first) = days.first() else {
        return writeln!(out, "<p>There is no restore point.</p>\n</section>");
    };
    let span = Span {
        first: first.date,
        today: report.at.to_zoned(zone.clone()).date(),
    };
    key(out)?;
    let mut years: Vec<&[Day]> = days
        .chunk_by(|a, b| a.date.year() == b.date.year())
        .collect();
    years.reverse();
    let mut later = span.today.year() + 1;
    for (place, year) in years.into_iter().enumerate() {
        let number = year[0].date.year();
        empty_years(number, later, out)?;
        later = number;
        let open = if place == 0 { " open" } else { "" };
        writeln!(
            out,
            "<details class=\"year\"{open}>\n<summary><h3>{number}</h3> {}</summary>\n<div class=\"months\">",
            of_year(year, span)
        )?;
        months(year, span, out)?;
        writeln!(out, "</div>\n</details>")?;
    }
    writeln!(out, "</section>")
}

/// The days on which something was captured, in their order.
fn days(report: &AuditReport, zone: &TimeZone) -> Vec<Day> {
    let date = |moment: Timestamp| moment.to_zoned(zone.clone()).date();
    let named: HashSet<_> = report
        .violations
        .iter()
        .filter_map(|violation| violation.archive)
        .collect();
    let archives = report.archives.iter().map(|archive| Day {
        date: date(archive.captured_at),
        sound: u32::from(archive.verdict == Verdict::Sound),
        suspect: u32::from(archive.verdict == Verdict::Suspect),
        retired: 0,
        held: u32::from(archive.held),
        named: u32::from(named.contains(&archive.sequence)),
    });
    let retirements = report.retirements.iter().map(|retirement| Day {
        date: date(retirement.captured_at),
        retired: 1,
        ..Day::default()
    });
    let mut all: Vec<Day> = archives.chain(retirements).collect();
    all.sort_by_key(|day| day.date);
    all.dedup_by(|later, day| {
        let same = later.date == day.date;
        if same {
            day.sound += later.sound;
            day.suspect += later.suspect;
            day.retired += later.retired;
            day.held += later.held;
            day.named += later.named;
        }
        same
    });
    all
}

fn key(out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "<ul class=\"key\" aria-label=\"Marks in the calendar\">"
    )?;
    for (mark, class, meaning) in KEY {
        write!(out, "<li><b class=\"{class}\">{mark}</b> {meaning}</li>")?;
    }
    writeln!(out, "</ul>")
}

/// Years between two others in which there is nothing at all.
fn empty_years(earlier: i16, later: i16, out: &mut dyn Write) -> io::Result<()> {
    let (from, to) = (earlier.saturating_add(1), later.saturating_sub(1));
    match to.checked_sub(from) {
        Some(0) => writeln!(out, "<p class=\"gap\">{from}: nothing captured.</p>"),
        Some(1..) => writeln!(
            out,
            "<p class=\"gap\">{from} to {to}: nothing captured.</p>"
        ),
        _ => Ok(()),
    }
}

/// A year in numbers of days.
fn of_year(days: &[Day], span: Span) -> String {
    let number = |is: fn(&Day) -> bool| days.iter().filter(|day| is(day)).count() as u64;
    let sound = number(|day| day.sound > 0);
    let suspect = number(|day| day.sound == 0 && day.suspect > 0);
    let retired = number(|day| day.sound == 0 && day.suspect == 0);
    let year = days[0].date.year();
    let (from, to) = (Date::constant(year, 1, 1), Date::constant(year, 12, 31));
    let expected = from.max(span.first).duration_until(to.min(span.today));
    let expected = u64::try_from(expected.as_hours() / 24 + 1).unwrap_or(0);
    let past = days.iter().filter(|day| day.date <= span.today).count() as u64;
    let parts = [
        (sound, "with a sound archive"),
        (suspect, "with suspect ones only"),
        (retired, "retired"),
        (expected.saturating_sub(past), "with nothing"),
    ];
    let mut texts = Vec::new();
    for (number, what) in parts {
        if number > 0 {
            let number = if texts.is_empty() {
                count(number, "day")
            } else {
                grouped(number)
            };
            texts.push(format!("{number} {what}"));
        }
    }
    texts.join(", ")
}

/// The months of a year in which something was captured, or could have been.
fn months(year: &[Day], span: Span, out: &mut dyn Write) -> io::Result<()> {
    let number = year[0].date.year();
    let mut rest = year;
    for month in 1..=12 {
        let (from, to) = month_of(number, month);
        let these = rest.partition_point(|day| day.date <= to);
        let (days, after) = rest.split_at(these);
        rest = after;
        let name = MONTHS[usize::from(month.unsigned_abs()) - 1];
        if !days.is_empty() {
            write!(
                out,
                "<table class=\"month\"><caption>{name}<span class=\"v\"> {number}</span></caption>{WEEK}<tbody>"
            )?;
            month_rows((from, to), days, span, out)?;
            writeln!(out, "</tbody></table>")?;
        } else if to >= span.first && from <= span.today {
            writeln!(
                out,
                "<p class=\"month\"><b>{name}<span class=\"v\"> {number}</span></b> nothing captured</p>"
            )?;
        }
    }
    Ok(())
}

/// The first and the last day of a month.
fn month_of(year: i16, month: i8) -> (Date, Date) {
    let first = Date::constant(year, month, 1);
    (first, first.last_of_month())
}

fn month_rows(
    (from, to): (Date, Date),
    days: &[Day],
    span: Span,
    out: &mut dyn Write,
) -> io::Result<()> {
    let before = from.weekday().to_monday_zero_offset();
    write!(
        out,
        "<tr>{}",
        "<td></td>".repeat(before.unsigned_abs().into())
    )?;
    let mut next = days.iter().peekable();
    for number in 1..=to.day() {
        let date = Date::constant(from.year(), from.month(), number);
        if number > 1 && (before + number - 1) % 7 == 0 {
            write!(out, "</tr><tr>")?;
        }
        match next.next_if(|day| day.date == date) {
            Some(day) => cell(day, out)?,
            None if date >= span.first && date <= span.today => write!(
                out,
                "<td class=\"none\">{number}<b aria-hidden=\"true\">–</b><span class=\"v\"> nothing</span></td>"
            )?,
            None => write!(out, "<td class=\"out\">{number}</td>")?,
        }
    }
    let after = (7 - (before + to.day()) % 7) % 7;
    write!(
        out,
        "{}</tr>",
        "<td></td>".repeat(after.unsigned_abs().into())
    )
}

/// One day, as a mark for the eye and in words.
fn cell(day: &Day, out: &mut dyn Write) -> io::Result<()> {
    let (class, mark) = match (day.sound, day.suspect) {
        (1.., _) => ("sound", "●"),
        (0, 1..) => ("suspect", "▲"),
        (0, 0) => ("retired", "×"),
    };
    write!(
        out,
        "<td class=\"{class}\">{}<b aria-hidden=\"true\">{mark}",
        day.date.day()
    )?;
    if day.held > 0 {
        write!(out, "<i class=\"held\">H</i>")?;
    }
    if day.named > 0 {
        write!(out, "<i>!</i>")?;
    }
    write!(out, "</b><span class=\"v\">")?;
    let parts = [
        (day.sound, "sound"),
        (day.suspect, "suspect"),
        (day.retired, "retired"),
        (day.held, "held"),
        (day.named, "named by a violation"),
    ];
    for (number, what) in parts {
        match number {
            0 => {}
            1 => write!(out, " {what}")?,
            some => write!(out, " {some} {what}")?,
        }
    }
    write!(out, "</span></td>")
}
