//! Stores: a table with a column for each store.

use super::escape::Text;
use super::{section, wide};
use crate::formats::report::plain::{age, grouped, minute, percent, size};
use crate::formats::report::{AuditReport, StoreReport};
use crate::words::clock::Timestamp;
use std::io::{self, Write};

/// What is said of a store that was reached.
type Row = (&'static str, fn(&StoreReport, Timestamp) -> String);

const ROWS: [Row; 9] = [
    ("Archives", |store, _| grouped(store.archives)),
    ("Archives it lacks", |store, _| match store.behind {
        0 => "none".into(),
        some => format!("<strong>{}</strong>", grouped(some)),
    }),
    ("Retired", |store, _| grouped(store.retired)),
    ("Stored", |store, _| {
        format!(
            "{} in {} blobs",
            size(store.stored_bytes),
            grouped(store.blobs)
        )
    }),
    ("Needed by no archive", |store, _| {
        match store.unreferenced_blobs {
            0 => "nothing".into(),
            some => format!(
                "{} in {} blobs",
                size(store.unreferenced_bytes),
                grouped(some)
            ),
        }
    }),
    ("Last verify", |store, at| match store.last_verify {
        Some(moment) => format!("{} <small>{} UTC</small>", age(moment, at), minute(moment)),
        None => "<strong>never</strong>".into(),
    }),
    ("Read at least once", |store, _| match store.read_share {
        Some(share) => percent(share),
        None => "nothing yet".into(),
    }),
    ("Creates only what is absent", |store, _| {
        match store.exclusive_create {
            Some(true) => "yes".into(),
            Some(false) => "<strong>no</strong>".into(),
            None => "not tried".into(),
        }
    }),
    ("Objects are locked", |store, _| match &store.lock {
        Some(lock) => format!("<bdi>{}</bdi>", Text(lock)),
        None => "no".into(),
    }),
];

pub(super) fn write(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    section("stores", out)?;
    if report.stores.is_empty() {
        return writeln!(out, "<p>There is none.</p>\n</section>");
    }
    wide("Stores", out)?;
    writeln!(
        out,
        "<table class=\"stores\">\n<caption class=\"v\">What is in each store</caption>\n<thead><tr><td></td>"
    )?;
    for store in &report.stores {
        writeln!(
            out,
            "<th scope=\"col\"><bdi>{}</bdi></th>",
            Text(&store.store)
        )?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    if report.stores.iter().any(|store| store.error.is_some()) {
        write!(out, "<tr><th scope=\"row\">Reached</th>")?;
        for store in &report.stores {
            match &store.error {
                Some(error) => write!(
                    out,
                    "<td><strong>No.</strong> <bdi>{}</bdi></td>",
                    Text(error)
                )?,
                None => write!(out, "<td>yes</td>")?,
            }
        }
        writeln!(out, "</tr>")?;
    }
    for (name, value) in ROWS {
        write!(out, "<tr><th scope=\"row\">{name}</th>")?;
        for store in &report.stores {
            match store.error {
                Some(_) => write!(out, "<td>not known</td>")?,
                None => write!(out, "<td>{}</td>", value(store, report.at))?,
            }
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody>\n</table>\n</div>\n</section>")
}
