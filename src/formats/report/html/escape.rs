//! Escaping: text from elsewhere, for between tags and within quotes.

use crate::formats::report::plain::Plain;
use std::fmt::{self, Write as _};

/// A text from elsewhere that is text in HTML too: [`Plain`], and no character of it is markup.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", Plain(self.0))
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(place) = rest.find(['&', '<', '>', '"', '\'']) {
            self.0.write_str(&rest[..place])?;
            self.0.write_str(match rest.as_bytes()[place] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[place + 1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_markup() {
        let shown = Text("a<b>&\"c'</script>\u{202e}é").to_string();
        assert_eq!(shown, "a&lt;b&gt;&amp;&quot;c&#39;&lt;/script&gt;[U+202E]é");
    }
}
