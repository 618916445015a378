//! The page as a whole: its structure, its calendar, and that it is the same each time.

use super::*;
use crate::formats::report::samples::{self, Outcome};
use crate::words::verdict::Verdict;
use std::error::Error;

fn page(report: &AuditReport) -> Result<String, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let zone = TimeZone::get(&report.time_zone)?;
    html(report, &zone, &mut bytes)?;
    Ok(String::from_utf8(bytes)?)
}

/// The names of tags in their order, without attributes and texts.
fn tags(page: &str) -> Vec<&str> {
    let tags = page.split('<').skip(2);
    tags.filter_map(|tag| tag.split(['>', ' ', '\n']).next())
        .collect()
}

#[test]
fn every_element_that_is_opened_is_closed() -> Outcome {
    let mut report = samples::small()?;
    report.archives[0].goes = Some("no rule keeps it".into());
    report.notes = report.violations.clone();
    let page = page(&report)?;
    let mut open = Vec::new();
    for tag in tags(&page) {
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed)),
            None if tag == "meta" || tag == "path" => {}
            None => open.push(tag),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    Ok(())
}

#[test]
fn the_structure_is_the_one_that_readers_know() -> Outcome {
    let page = page(&samples::small()?)?;
    let headings: Vec<&str> = tags(&page)
        .into_iter()
        .filter(|tag| {
            matches!(
                *tag,
                "h1" | "h2" | "h3" | "main" | "nav" | "header" | "footer"
            )
        })
        .collect();
    assert_eq!(
        headings.join(" "),
        "header h1 main nav h2 h3 h2 h3 h2 h2 h3 h3 h3 h2 h3 h2 h2 h2 footer"
    );
    let tables = page.matches("<table").count();
    assert_eq!(page.matches("<caption").count(), tables);
    for (id, title) in CONTENTS {
        assert!(page.contains(&format!("<h2 id=\"{id}-title\">{title}</h2>")));
        assert!(page.contains(&format!("href=\"#{id}\"")));
    }
    Ok(())
}

#[test]
fn the_same_report_is_the_same_page() -> Outcome {
    let report = samples::small()?;
    assert_eq!(page(&report)?, page(&report.clone())?);
    Ok(())
}

#[test]
fn each_day_is_told_by_a_mark_and_in_words() -> Outcome {
    let mut report = samples::small()?;
    report.archives = vec![
        samples::archive(2, 8),
        samples::archive(3, 6),
        samples::archive(4, 6),
        samples::archive(5, 4),
    ];
    report.archives[1].verdict = Verdict::Suspect;
    report.archives[2].held = true;
    report.archives[3].verdict = Verdict::Suspect;
    report.retirements[0].captured_at = samples::days_ago(1);
    let page = page(&report)?;
    for cell in [
        "<td class=\"out\">24</td>",
        "<td class=\"sound\">25<b aria-hidden=\"true\">●</b><span class=\"v\"> sound</span></td>",
        "<td class=\"none\">26<b aria-hidden=\"true\">–</b><span class=\"v\"> nothing</span></td>",
        "<td class=\"sound\">27<b aria-hidden=\"true\">●<i class=\"held\">H</i><i>!</i></b>\
         <span class=\"v\"> sound suspect held named by a violation</span></td>",
        "<td class=\"suspect\">1<b aria-hidden=\"true\">▲</b><span class=\"v\"> suspect</span></td>",
        "<td class=\"retired\">4<b aria-hidden=\"true\">×</b><span class=\"v\"> retired</span></td>",
        "<td class=\"none\">5<b aria-hidden=\"true\">–</b>",
        "<td class=\"out\">6</td>",
    ] {
        assert!(page.contains(cell), "{cell}\n{page}");
    }
    let year = "2 days with a sound archive, 1 with suspect ones only, 1 retired, 5 with nothing";
    assert!(page.contains(year), "{page}");
    Ok(())
}

#[test]
fn a_day_is_one_of_the_policys_time_zone() -> Outcome {
    let mut report = samples::small()?;
    report.archives.truncate(1);
    report.retirements.clear();
    report.violations.clear();
    report.archives[0].captured_at = "2026-02-28T23:30:00Z".parse()?;
    assert!(page(&report)?.contains("<td class=\"sound\">1<b"));
    report.time_zone = "America/New_York".into();
    assert!(page(&report)?.contains("<td class=\"sound\">28<b"));
    Ok(())
}

#[test]
fn dates_from_nowhere_do_not_make_the_page_longer() -> Outcome {
    let mut report = samples::small()?;
    let usual = page(&report)?.len();
    report.archives[0].captured_at = Timestamp::MIN;
    report.archives[1].captured_at = Timestamp::MAX;
    let page = page(&report)?;
    assert!(page.len() < usual + 10_000, "{} and {usual}", page.len());
    assert!(page.contains("<h3>9999</h3>"));
    assert!(page.contains("2027 to 9998: nothing captured."), "{page}");
    Ok(())
}

#[test]
fn the_curve_and_its_table_have_the_same_points() -> Outcome {
    let mut report = samples::small()?;
    report.archives = (0..400_u16)
        .map(|number| samples::archive(number.into(), 400 - i64::from(number)))
        .collect();
    let page = page(&report)?;
    let (_, curve) = page
        .split_once("<path class=\"total\" d=\"M0")
        .ok_or("not there")?;
    let points = curve.split_once('Z').map_or(curve, |(path, _)| path);
    let points = points
        .split_once('"')
        .ok_or("not there")?
        .0
        .matches('V')
        .count();
    let (_, table) = page
        .split_once("<th scope=\"col\">Week from</th>")
        .ok_or("not there")?;
    let rows = table
        .split_once("</table>")
        .ok_or("not there")?
        .0
        .matches("<tr>")
        .count();
    assert_eq!(points, rows);
    assert!((57..=59).contains(&rows), "{rows}");
    assert!(
        table.contains("<td class=\"n\">400.0 MiB</td>"),
        "{table:.900}"
    );
    Ok(())
}

#[test]
fn a_list_that_is_too_long_says_where_the_rest_is() -> Outcome {
    let mut report = samples::small()?;
    report.archives = (1..=3_000_u16)
        .map(|number| samples::archive(number.into(), 3_000 - i64::from(number)))
        .collect();
    report.violations = vec![report.violations[0].clone(); 3_000];
    let page = page(&report)?;
    assert!(page.contains("2,900 others are not on this page"));
    let rows = page.matches("<small><bdi>nightly</bdi>").count();
    assert!((970..=1_000).contains(&rows), "{rows}");
    assert!(page.len() < 1_500_000, "{}", page.len());
    Ok(())
}

#[test]
fn a_single_archive_is_a_level_line() -> Outcome {
    let mut report = samples::small()?;
    report.archives.truncate(1);
    let page = page(&report)?;
    // 1 MiB is new, and 20 MiB are needed, which is the top.
    assert!(
        page.contains("<path class=\"total\" d=\"M0.0 240H0.0V228.0H1000\"/>"),
        "{page}"
    );
    assert!(
        page.contains("<path class=\"one\" d=\"M0.0 0.0H1000\"/>"),
        "{page}"
    );
    Ok(())
}
