//! Retention: which archives stay, by which rule, and which go.
//!
//! Promise: a plan is a function of its arguments, and never removes the newest sound archive, a held one,
//! or the newest that was drilled. For, whatever the rules say, those are kept before rules are asked. A
//! *place* is what a rule has a number of. Only sound archives whose time is in order take places that
//! sound archives want; every other one is judged as if it alone were among those, and takes none. So no
//! suspect archive, none from the future and none that is out of order is ever the reason why another goes.
//! And since taking an archive away from those with places never costs another its own, a plan that has
//! been carried out comes out empty when it is made again.

mod label;
mod periods;
mod plan;
mod pool;
mod within;

pub use label::{BadLabelPattern, LabelPattern};
pub use periods::Period;
pub use plan::{Decision, Kept, Point, plan};
pub use within::{BadWithin, Within};

use std::fmt;

/// What is to be kept. One without any rule keeps everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The rules for archives whose label has none of its own.
    pub rules: Rules,
    /// Rules for labels: the first pattern that matches counts, and the archives of its group are judged
    /// among themselves.
    pub labels: Vec<(LabelPattern, Rules)>,
    /// So many of the newest sound archives stay, whatever the rules say and whatever their labels are.
    pub keep_sound: Option<u32>,
}

/// The rules for a group of archives. Each keeps what it keeps; what none keeps goes. A rule of 0 is
/// none, and a group without any rule is kept whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The newest so many.
    pub last: Option<u32>,
    /// All that are not further back from the newest.
    pub within: Option<Within>,
    /// The newest of each of so many hours in which there is one.
    pub hourly: Option<u32>,
    /// The newest of each of so many days.
    pub daily: Option<u32>,
    /// The newest of each of so many weeks, from Monday to Sunday.
    pub weekly: Option<u32>,
    /// The newest of each of so many months.
    pub monthly: Option<u32>,
    /// The newest of each of so many years.
    pub yearly: Option<u32>,
}

impl Policy {
    /// Whether there is no rule at all, so that everything is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.labels.iter().all(|(_, rules)| rules.is_empty())
    }

    /// The policy in lines for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        if self.is_empty() {
            return vec!["no rules: everything is kept".into()];
        }
        let mut lines = vec![format!("archives: {}", self.rules)];
        if !self.labels.is_empty() {
            lines[0] = format!("archives of any other label: {}", self.rules);
            let of_label = |(label, rules): &(LabelPattern, Rules)| format!("{label}: {rules}");
            lines.splice(0..0, self.labels.iter().map(of_label));
        }
        let minimum = self.keep_sound.filter(|count| *count > 0);
        lines.extend(minimum.map(|count| format!("the newest {count} sound archives in any case")));
        lines
    }

    /// The group of a label: 0 for those without rules of their own.
    fn group(&self, label: &str) -> usize {
        let own = |(pattern, _): &(LabelPattern, Rules)| pattern.matches(label);
        self.labels
            .iter()
            .position(own)
            .map_or(0, |place| place + 1)
    }

    /// The rules of every group, by its number.
    fn groups(&self) -> impl Iterator<Item = &Rules> {
        std::iter::once(&self.rules).chain(self.labels.iter().map(|(_, rules)| rules))
    }
}

impl Rules {
    /// Whether there is none, so that the whole group is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let counts = Period::ALL.map(|period| self.count(period));
        self.within.is_none() && self.last() == 0 && counts == [0; Period::ALL.len()]
    }

    fn last(&self) -> u32 {
        self.last.unwrap_or(0)
    }

    /// How many of a period are kept.
    fn count(&self, period: Period) -> u32 {
        let count = match period {
            Period::Hour => self.hourly,
            Period::Day => self.daily,
            Period::Week => self.weekly,
            Period::Month => self.monthly,
            Period::Year => self.yearly,
        };
        count.unwrap_or(0)
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = Vec::new();
        rules.extend((self.last() > 0).then(|| format!("last {}", self.last())));
        rules.extend(self.within.map(|span| format!("within {span}")));
        for period in Period::ALL {
            let count = self.count(period);
            rules.extend((count > 0).then(|| format!("{period} {count}")));
        }
        if rules.is_empty() {
            return f.write_str("all");
        }
        f.write_str(&rules.join(", "))
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
