//! Pairing: which app dump and which zitadel dump were taken together.
//!
//! Promise: no half is ever paired by a guess. Equal stamps (or the same pre-update name) pair;
//! otherwise an app dump pairs with the zitadel dump that follows it within [`PAIR_WINDOW`], if neither
//! could belong to another; where it could, both candidates are named.

use super::name::Half;
use crate::words::ids::ComponentName;
use jiff::civil::DateTime;
use std::path::{Path, PathBuf};

/// How people sign in to the instance, and so what a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AuthMode {
    /// Through Zitadel: a pair is two dumps.
    #[default]
    Oidc,
    /// In the application: a pair is the app dump alone.
    Local,
}

/// An app dump and, unless the mode is local, the zitadel dump taken with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The app dump; absent only where a lone half was allowed.
    pub app: Option<Half>,
    /// The zitadel dump; absent in local mode, or where a lone half was allowed.
    pub zitadel: Option<Half>,
}

/// A half that could belong to more than one other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} could belong to {} and to {}", disputed.display(), candidates[0].display(), candidates[1].display())]
pub struct Ambiguity {
    /// The half that has no certain partner.
    pub half: PathBuf,
    /// The half that could belong to two: that one, or the one it has a rival for.
    pub disputed: PathBuf,
    /// The two that it could belong to.
    pub candidates: [PathBuf; 2],
}

/// What a folder's halves come to.
#[derive(Clone, Debug, Default)]
pub struct Pairing {
    /// The certain pairs, oldest first.
    pub pairs: Vec<Pair>,
    /// Halves whose partner is not there.
    pub lone: Vec<Half>,
    /// Halves with more than one possible partner.
    pub ambiguous: Vec<Ambiguity>,
}

/// The longest time between the stamps of two halves: the app dump is made in between.
pub const PAIR_WINDOW: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

impl Pair {
    /// The halves that are there, app first.
    pub fn halves(&self) -> impl Iterator<Item = &Half> {
        self.app.iter().chain(&self.zitadel)
    }

    /// A pair of one.
    #[must_use]
    pub fn lone(half: Half) -> Self {
        if half.name.component == ComponentName::app() {
            Self {
                app: Some(half),
                zitadel: None,
            }
        } else {
            Self {
                app: None,
                zitadel: Some(half),
            }
        }
    }

    /// The older of its stamps.
    #[must_use]
    pub fn stamp(&self) -> DateTime {
        self.halves()
            .map(|half| half.name.stamp)
            .min()
            .unwrap_or_default()
    }

    /// What kind of dump it is.
    #[must_use]
    pub fn label(&self) -> &str {
        self.halves().next().map_or("", |half| &half.name.label)
    }

    /// Whether a path leads to one of its halves.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        self.halves().any(|half| half.path == path)
    }
}

/// Pairs the halves of one folder. If exactly one unpaired app dump and one unpaired zitadel dump
/// were given by the operator, they are a pair.
#[must_use]
pub fn pair_up(mut halves: Vec<Half>, mode: AuthMode, given: &[PathBuf]) -> Pairing {
    halves.sort_by(|a, b| (a.name.stamp, &a.path).cmp(&(b.name.stamp, &b.path)));
    let (apps, zitadels): (Vec<_>, Vec<_>) = halves
        .into_iter()
        .partition(|half| half.name.component == ComponentName::app());
    if mode == AuthMode::Local {
        let pairs = apps.into_iter().map(Pair::lone).collect();
        return Pairing {
            pairs,
            lone: zitadels,
            ambiguous: Vec::new(),
        };
    }
    let mut unpaired = Unpaired { apps, zitadels };
    let mut pairing = Pairing::default();
    pairing.pairs.extend(unpaired.take_exact());
    pairing.pairs.extend(unpaired.take_given(given));
    unpaired.take_neighbours(&mut pairing);
    pairing.pairs.sort_by_key(Pair::stamp);
    pairing
}

/// Halves without a partner yet, each list by stamp.
struct Unpaired {
    apps: Vec<Half>,
    zitadels: Vec<Half>,
}

impl Unpaired {
    /// Same pre-update name, or same stamp.
    fn take_exact(&mut self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        self.apps.retain(|app| {
            let key = |half: &Half| (half.name.prefix.clone(), half.name.stamp);
            let found = self
                .zitadels
                .iter()
                .position(|zitadel| key(zitadel) == key(app));
            if let Some(found) = found {
                let zitadel = self.zitadels.remove(found);
                pairs.push(Pair {
                    app: Some(app.clone()),
                    zitadel: Some(zitadel),
                });
            }
            found.is_none()
        });
        pairs
    }

    /// The one app dump and the one zitadel dump that the operator named.
    fn take_given(&mut self, given: &[PathBuf]) -> Option<Pair> {
        let only = |halves: &[Half]| {
            let named = |half: &Half| {
                given
                    .iter()
                    .any(|path| path.file_name() == half.path.file_name())
            };
            let mut places = (0..halves.len()).filter(|&place| named(&halves[place]));
            places.next().filter(|_| places.next().is_none())
        };
        let (app, zitadel) = (only(&self.apps)?, only(&self.zitadels)?);
        Some(Pair {
            app: Some(self.apps.remove(app)),
            zitadel: Some(self.zitadels.remove(zitadel)),
        })
    }

    /// An app dump and the zitadel dump that follows it, if neither could belong to another.
    fn take_neighbours(self, pairing: &mut Pairing) {
        let follows = |app: &Half, zitadel: &Half| {
            let gap = zitadel.name.stamp.duration_since(app.name.stamp);
            let plain = app.name.prefix.is_none() && zitadel.name.prefix.is_none();
            plain && !gap.is_negative() && gap <= PAIR_WINDOW
        };
        let apps_of = |zitadel| -> Vec<_> {
            self.apps
                .iter()
                .filter(|app| follows(app, zitadel))
                .collect()
        };
        let zitadels_of = |app| -> Vec<_> {
            self.zitadels
                .iter()
                .filter(|half| follows(app, half))
                .collect()
        };
        let mut paired = Vec::new();
        for app in &self.apps {
            match zitadels_of(app)[..] {
                [] => pairing.lone.push(app.clone()),
                [zitadel] if apps_of(zitadel).len() == 1 => {
                    paired.push(zitadel);
                    pairing.pairs.push(Pair {
                        app: Some(app.clone()),
                        zitadel: Some(zitadel.clone()),
                    });
                }
                [zitadel] => {
                    pairing
                        .ambiguous
                        .extend(ambiguity(app, &apps_of(zitadel), Some(zitadel)))
                }
                [..] => pairing
                    .ambiguous
                    .extend(ambiguity(app, &zitadels_of(app), None)),
            }
        }
        for zitadel in self.zitadels.iter().filter(|half| !paired.contains(half)) {
            match apps_of(zitadel)[..] {
                [] => pairing.lone.push(zitadel.clone()),
                [app] => pairing
                    .ambiguous
                    .extend(ambiguity(zitadel, &zitadels_of(app), Some(app))),
                [..] => pairing
                    .ambiguous
                    .extend(ambiguity(zitadel, &apps_of(zitadel), None)),
            }
        }
    }
}

/// A half with two candidates; or, if it is one of two rivals for `wanted`, that one's ambiguity.
fn ambiguity(half: &Half, rivals: &[&Half], wanted: Option<&Half>) -> Option<Ambiguity> {
    let [first, second, ..] = rivals else {
        return None;
    };
    let (disputed, candidates) = match wanted {
        None => (half, [first.path.clone(), second.path.clone()]),
        Some(wanted) => {
            let other = rivals.iter().find(|rival| **rival != half)?;
            (wanted, [half.path.clone(), other.path.clone()])
        }
    };
    Some(Ambiguity {
        half: half.path.clone(),
        disputed: disputed.path.clone(),
        candidates,
    })
}

#[cfg(test)]
mod tests {
    use super::super::name::DumpName;
    use super::*;

    fn pairing(
        names: &[&str],
        mode: AuthMode,
        given: &[&str],
    ) -> (Vec<String>, usize, Vec<String>) {
        let half = |name: &&str| {
            Some(Half {
                name: DumpName::parse(name)?,
                path: PathBuf::from(name),
            })
        };
        let halves = names.iter().filter_map(half).collect();
        let given: Vec<_> = given.iter().map(PathBuf::from).collect();
        let pairing = pair_up(halves, mode, &given);
        let show = |pair: &Pair| -> String {
            pair.halves()
                .map(|half| half.path.display().to_string())
                .collect::<Vec<_>>()
                .join("+")
        };
        let ambiguous = pairing.ambiguous.iter().map(ToString::to_string).collect();
        (
            pairing.pairs.iter().map(show).collect(),
            pairing.lone.len(),
            ambiguous,
        )
    }

    #[test]
    fn equal_stamps_pair_whatever_lies_between() {
        let names = [
            "zitadel-20260101-030000.dump",
            "app-20260101-030000.dump",
            "app-20260101-030001.dump",
            "zitadel-20260101-030001.dump",
        ];
        let (pairs, lone, ambiguous) = pairing(&names, AuthMode::Oidc, &[]);
        assert_eq!(
            pairs[0],
            "app-20260101-030000.dump+zitadel-20260101-030000.dump"
        );
        assert_eq!((pairs.len(), lone, ambiguous.len()), (2, 0, 0));
    }

    #[test]
    fn manual_stamps_minutes_apart_pair() {
        let names = [
            "app-20260101-100000.dump",
            "zitadel-20260101-100217.dump",
            "app-20260101-120000.dump",
            "zitadel-20260101-120210.dump",
        ];
        let (pairs, lone, ambiguous) = pairing(&names, AuthMode::Oidc, &[]);
        assert_eq!((pairs.len(), lone, ambiguous.len()), (2, 0, 0));
    }

    #[test]
    fn pre_update_halves_pair_with_each_other_only() {
        let update = "pre-update-1.4.0-0123456789ab-20260101-030000";
        let names = [
            format!("{update}-app.dump"),
            "zitadel-20260101-030000.dump".into(),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(pairing(&names, AuthMode::Oidc, &[]).1, 2);
        let names = [
            format!("{update}-app.dump"),
            format!("{update}-zitadel.dump"),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(pairing(&names, AuthMode::Oidc, &[]).0.len(), 1);
    }

    #[test]
    fn two_candidates_are_both_named() {
        let names = [
            "app-20260101-100000.dump",
            "zitadel-20260101-100217.dump",
            "zitadel-20260101-100300.dump",
        ];
        let (pairs, _, ambiguous) = pairing(&names, AuthMode::Oidc, &[]);
        assert!(pairs.is_empty());
        assert_eq!(ambiguous.len(), 3);
        assert!(
            ambiguous[0].contains(names[1]) && ambiguous[0].contains(names[2]),
            "{}",
            ambiguous[0]
        );
        let (pairs, ..) = pairing(&names, AuthMode::Oidc, &names[..2]);
        assert_eq!(
            pairs,
            ["app-20260101-100000.dump+zitadel-20260101-100217.dump"]
        );
    }

    #[test]
    fn two_apps_for_one_zitadel_are_ambiguous_too() {
        let names = [
            "app-20260101-100000.dump",
            "app-20260101-100100.dump",
            "zitadel-20260101-100217.dump",
        ];
        let (pairs, lone, ambiguous) = pairing(&names, AuthMode::Oidc, &[]);
        assert_eq!((pairs.len(), lone, ambiguous.len()), (0, 0, 3));
    }

    #[test]
    fn a_zitadel_dump_hours_later_is_no_partner() {
        let names = ["app-20260101-100000.dump", "zitadel-20260101-110001.dump"];
        let (pairs, lone, ambiguous) = pairing(&names, AuthMode::Oidc, &[]);
        assert_eq!((pairs.len(), lone, ambiguous.len()), (0, 2, 0));
    }

    #[test]
    fn in_local_mode_every_app_dump_is_a_pair() {
        let names = ["app-20260101-100000.dump", "zitadel-20260101-100000.dump"];
        let (pairs, lone, _) = pairing(&names, AuthMode::Local, &[]);
        assert_eq!(
            (pairs, lone),
            (vec!["app-20260101-100000.dump".to_owned()], 1)
        );
    }
}
