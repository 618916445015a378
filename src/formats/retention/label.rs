//! Which labels a rule is about: a text in which `*` stands for anything.

use std::fmt;
use std::str::FromStr;

/// No label matches it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pattern of labels is empty")]
pub struct BadLabelPattern;

/// A pattern of labels, as `pre-update-*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPattern(String);

impl LabelPattern {
    /// Whether a label is such a one.
    #[must_use]
    pub fn matches(&self, label: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = label.strip_prefix(first) else {
            return false;
        };
        let mut parts: Vec<&str> = parts.collect();
        // Without a star the first part is the whole pattern.
        let Some(last) = parts.pop() else {
            return rest.is_empty();
        };
        for part in parts {
            let Some(place) = rest.find(part) else {
                return false;
            };
            rest = &rest[place + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl FromStr for LabelPattern {
    type Err = BadLabelPattern;

    fn from_str(text: &str) -> Result<Self, BadLabelPattern> {
        if text.is_empty() {
            return Err(BadLabelPattern);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LabelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_all_else_for_itself() -> Result<(), BadLabelPattern> {
        for (pattern, label, expected) in [
            ("pre-update-*", "pre-update-1.2.3", true),
            ("pre-update-*", "pre-update-", true),
            ("pre-update-*", "nightly", false),
            ("pre-update-*", "a-pre-update-1", false),
            ("nightly", "nightly", true),
            ("nightly", "nightly2", false),
            ("*", "", true),
            ("*-1.*.0", "pre-update-1.2.0", true),
            ("*-1.*.0", "pre-update-1.0", false),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
            ("a?", "ab", false),
        ] {
            let found = pattern.parse::<LabelPattern>()?.matches(label);
            assert_eq!(found, expected, "{pattern} and {label}");
        }
        assert!("".parse::<LabelPattern>().is_err());
        Ok(())
    }
}
