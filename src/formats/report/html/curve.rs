//! The storage curve: what was stored by when, drawn, and the same numbers as a table.
//!
//! Promise: each point of the drawing is a row of the table. Days become weeks, and weeks months, when there
//! are many of them, so neither grows with the number of archives for long.

use super::{section, wide};
use crate::formats::report::plain::{grouped, size};
use crate::formats::report::{ArchiveReport, AuditReport};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// The drawing's own units; the page stretches it to its width.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 240.0;

/// What the archives of a day, a week or a month came to.
struct Point {
    /// Its first day.
    day: Date,
    archives: u64,
    /// The blobs that no earlier archive needs.
    new_bytes: u64,
    /// The blobs that were needed by then.
    total: u64,
    /// The blobs that its last archive needs.
    one: u64,
}

pub(super) fn write(report: &AuditReport, zone: &TimeZone, out: &mut dyn Write) -> io::Result<()> {
    section("storage", out)?;
    let (period, points) = points(&report.archives, zone);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return writeln!(out, "<p>Nothing is stored.</p>\n</section>");
    };
    writeln!(
        out,
        "<p>What today's archives need, by the time they were captured. An archive adds only what no earlier one has; \
         what removed archives alone needed is not counted.</p>\n<figure>\n<div class=\"plot\">"
    )?;
    let top = ceiling(points.iter().map(|point| point.total.max(point.one)).max());
    writeln!(
        out,
        "<ol class=\"scale\" aria-hidden=\"true\"><li>{}</li><li>{}</li><li>0</li></ol>",
        size(top),
        size(top / 2)
    )?;
    draw(&points, top, out)?;
    writeln!(
        out,
        "<ol class=\"days\" aria-hidden=\"true\"><li>{}</li><li>{}</li></ol>\n</div>",
        first.day, last.day
    )?;
    writeln!(
        out,
        "<figcaption><span><svg viewBox=\"0 0 30 8\" aria-hidden=\"true\"><path class=\"total\" d=\"M0 4H30\"/></svg> \
         all archives so far: {}</span> <span><svg viewBox=\"0 0 30 8\" aria-hidden=\"true\"><path class=\"one\" d=\"M0 4H30\"/></svg> \
         one archive alone: {}</span></figcaption>\n</figure>",
        size(last.total),
        size(last.one)
    )?;
    table(period, &points, out)?;
    writeln!(out, "</section>")
}

/// The archives by day, week or month, and which of these it is.
fn points(archives: &[ArchiveReport], zone: &TimeZone) -> (&'static str, Vec<Point>) {
    let mut days: Vec<(Date, u32)> = Vec::with_capacity(archives.len());
    for (place, archive) in (0..).zip(archives) {
        days.push((archive.captured_at.to_zoned(zone.clone()).date(), place));
    }
    days.sort_unstable();
    let (period, start): (&str, fn(Date) -> Date) = match (days.first(), days.last()) {
        (Some((first, _)), Some((last, _))) => match first.duration_until(*last).as_hours() / 24 {
            ..62 => ("Day", |day| day),
            62..732 => ("Week from", |day| {
                let after_monday = i64::from(day.weekday().to_monday_zero_offset());
                day.saturating_sub(jiff::Span::new().days(after_monday))
            }),
            _ => ("Month from", Date::first_of_month),
        },
        _ => return ("Day", Vec::new()),
    };
    let mut points: Vec<Point> = Vec::new();
    for (day, place) in days {
        let Some(archive) = archives.get(place as usize) else {
            continue;
        };
        let day = start(day);
        let total = points.last().map_or(0, |point| point.total);
        if points.last().is_none_or(|point| point.day != day) {
            points.push(Point {
                day,
                archives: 0,
                new_bytes: 0,
                total,
                one: 0,
            });
        }
        if let Some(point) = points.last_mut() {
            point.archives += 1;
            point.new_bytes = point.new_bytes.saturating_add(archive.new_bytes);
            point.total = point.total.saturating_add(archive.new_bytes);
            point.one = archive.stored_bytes;
        }
    }
    (period, points)
}

/// A round size that nothing is above.
fn ceiling(most: Option<u64>) -> u64 {
    let most = most.unwrap_or(0);
    let mut unit: u64 = 1;
    while most / unit >= 1024 && unit < 1 << 50 {
        unit *= 1024;
    }
    let steps = [1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400, 600, 800];
    let round = steps.into_iter().map(|step| step * unit);
    round
        .filter(|step| *step >= most)
        .min()
        .unwrap_or(unit.saturating_mul(1024).max(most))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a drawing is not exact to the byte"
)]
fn draw(points: &[Point], top: u64, out: &mut dyn Write) -> io::Result<()> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(());
    };
    let days = |to: Date| first.day.duration_until(to).as_hours() as f64;
    let whole = days(last.day).max(1.0);
    let x = |point: &Point| days(point.day) / whole * WIDTH;
    let y = |bytes: u64| HEIGHT - bytes as f64 / top as f64 * HEIGHT;
    write!(
        out,
        "<svg class=\"curve\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-labelledby=\"curve-title curve-text\">\n<title id=\"curve-title\">Storage over time</title>\n\
         <desc id=\"curve-text\">From {} to {}: from {} to {} for all archives; the last one alone needs {}. \
         The table below has each point.</desc>\n<path class=\"grid\" d=\"M0 0H{WIDTH}M0 {}H{WIDTH}M0 {HEIGHT}H{WIDTH}\"/>\n\
         <path class=\"area\" d=\"M0 {HEIGHT}",
        first.day,
        last.day,
        size(first.total),
        size(last.total),
        size(last.one),
        HEIGHT / 2.0
    )?;
    // A step: what an archive adds is there from its day on.
    let steps = |out: &mut dyn Write| -> io::Result<()> {
        for point in points {
            write!(out, "H{:.1}V{:.1}", x(point), y(point.total))?;
        }
        write!(out, "H{WIDTH}")
    };
    steps(out)?;
    write!(
        out,
        "V{HEIGHT}Z\"/>\n<path class=\"total\" d=\"M{:.1} {HEIGHT}",
        x(first)
    )?;
    steps(out)?;
    write!(
        out,
        "\"/>\n<path class=\"one\" d=\"M{:.1} {:.1}",
        x(first),
        y(first.one)
    )?;
    for point in &points[1..] {
        write!(out, "L{:.1} {:.1}", x(point), y(point.one))?;
    }
    writeln!(out, "H{WIDTH}\"/>\n</svg>")
}

fn table(period: &str, points: &[Point], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<details><summary>The same as a table</summary>")?;
    wide("Storage over time", out)?;
    writeln!(
        out,
        "<table>\n<caption class=\"v\">Storage over time</caption>\n<thead><tr><th scope=\"col\">{period}</th>\
         <th scope=\"col\" class=\"n\">Archives</th><th scope=\"col\" class=\"n\">New</th>\
         <th scope=\"col\" class=\"n\">All so far</th><th scope=\"col\" class=\"n\">One alone</th></tr></thead>\n<tbody>"
    )?;
    for point in points.iter().rev() {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td></tr>",
            point.day,
            grouped(point.archives),
            size(point.new_bytes),
            size(point.total),
            size(point.one)
        )?;
    }
    writeln!(out, "</tbody>\n</table>\n</div>\n</details>")
}
