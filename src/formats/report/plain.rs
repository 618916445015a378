//! Plain text for people: hostile text made harmless, counts, ages and times.
//!
//! Promise: what [`Plain`] shows has no character that a terminal or a browser acts upon instead of
//! drawing it: no control character, no line break, nothing that turns the direction of writing, nothing
//! invisible. So a label can neither move the cursor nor hide a part of itself.

use crate::words::clock::Timestamp;
pub(super) use crate::words::quantity::human as size;
use jiff::SignedDuration;
use std::fmt::{self, Write as _};

/// So many characters of one text are shown: a message is a sentence, not a page.
const LONGEST: usize = 600;

/// A text from elsewhere, in one line, each character that acts rather than shows by its number.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, character) in self.0.chars().enumerate() {
            if number == LONGEST {
                return f.write_str("[…]");
            }
            match character {
                '\n' | '\r' | '\t' => f.write_char(' ')?,
                hidden if acts(hidden) => write!(f, "[U+{:04X}]", u32::from(hidden))?,
                shown => f.write_char(shown)?,
            }
        }
        Ok(())
    }
}

/// A number of things: `1 archive`, `2 archives`, `10,000 archives`.
pub(super) fn count(number: u64, thing: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {thing}{end}", grouped(number))
}

/// A number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of 0 to 1 in whole percent, rounded down: only the whole is 100 %.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", (share.clamp(0.0, 1.0) * 100.0).floor())
}

/// A moment in UTC, to the minute: `2026-01-04 03:00`.
pub(super) fn minute(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A moment in UTC as ISO 8601 has it, to the second.
pub(super) fn iso(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago a moment is: `5 minutes ago`, `in 3 days`.
pub(super) fn age(moment: Timestamp, now: Timestamp) -> String {
    let span = now.duration_since(moment);
    let seconds = span.abs().as_secs().unsigned_abs();
    let text = match seconds {
        0..60 => return "just now".into(),
        60..5_400 => count(seconds / 60, "minute"),
        5_400..172_800 => count((seconds + 1_800) / 3_600, "hour"),
        _ => count(seconds / 86_400, "day"),
    };
    if span < SignedDuration::ZERO {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

/// Whether a character does something instead of being drawn.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_a_terminal_or_turns_the_writing() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\nd\u{200b}e\u{2028}f\u{9b}g\u{e0041}";
        let shown = Plain(hostile).to_string();
        assert_eq!(
            shown,
            "a[U+001B][2Jb[U+202E]c d[U+200B]e[U+2028]f[U+009B]g[U+E0041]"
        );
        assert_eq!(Plain("Müller & Söhne ✓").to_string(), "Müller & Söhne ✓");
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let shown = Plain(&"ä".repeat(10_000)).to_string();
        assert_eq!(shown.chars().count(), LONGEST + 3);
        assert!(shown.ends_with("[…]"));
        assert_eq!(Plain(&"ä".repeat(LONGEST)).to_string(), "ä".repeat(LONGEST));
    }

    #[test]
    fn numbers_and_sizes_read_well() {
        let shown = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(1, "archive"), "1 archive");
        assert_eq!(count(10_000, "archive"), "10,000 archives");
        let shown = [0, 1023, 1536, 1024 * 1024 - 1, u64::MAX].map(size);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.5 KiB", "1023.9 KiB", "16383.9 PiB"]
        );
    }

    #[test]
    fn only_the_whole_is_a_hundred_percent() {
        let shown = [0.0, 0.07, 0.999_9, 1.0, 7.0, -1.0].map(percent);
        assert_eq!(shown, ["0 %", "7 %", "99 %", "100 %", "100 %", "0 %"]);
    }

    #[test]
    fn an_age_is_told_in_the_unit_that_people_would_use() {
        let now = Timestamp::UNIX_EPOCH;
        let before = |seconds| age(now - SignedDuration::from_secs(seconds), now);
        assert_eq!(before(0), "just now");
        assert_eq!(before(59), "just now");
        assert_eq!(before(60), "1 minute ago");
        assert_eq!(before(5_399), "89 minutes ago");
        assert_eq!(before(5_400), "2 hours ago");
        assert_eq!(before(172_799), "48 hours ago");
        assert_eq!(before(172_800), "2 days ago");
        assert_eq!(before(-86_400), "in 24 hours");
        assert_eq!(age(Timestamp::MIN, Timestamp::MAX), "7,304,481 days ago");
    }
}
