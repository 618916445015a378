//! lazyit's own encrypted values: AES-256-GCM, so a key opens a value or it does not.
//!
//! A 12-byte IV and a 16-byte tag stand beside the ciphertext, all in base64, without associated
//! data (NIST SP 800-38D). That a wrong key opens one has odds of 2^-128.

use super::tally::Tally;
use crate::formats::envkeys::{EnvKeys, KeyName, decode_base64};
use crate::formats::pgdump::{Row, Table};
use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, KeyInit};
use std::collections::BTreeMap;

/// Where values lie that a key encrypts.
struct Place {
    key: KeyName,
    table: &'static str,
    ciphertext: &'static str,
    iv: &'static str,
    tag: &'static str,
    version: &'static str,
    /// If this column has a value, the row is out of use.
    deleted: Option<&'static str>,
}

const PLACES: [Place; 3] = [
    Place {
        key: KeyName::Workflow,
        table: "workflow_secrets",
        ciphertext: "ciphertext",
        iv: "iv",
        tag: "authTag",
        version: "keyVersion",
        deleted: Some("deletedAt"),
    },
    Place {
        key: KeyName::Smtp,
        table: "smtp_settings",
        ciphertext: "passwordCiphertext",
        iv: "passwordIv",
        tag: "passwordAuthTag",
        version: "passwordKeyVersion",
        deleted: None,
    },
    Place {
        key: KeyName::Directory,
        table: "directory_connection",
        ciphertext: "bindPasswordCiphertext",
        iv: "bindPasswordIv",
        tag: "bindPasswordAuthTag",
        version: "bindPasswordKeyVersion",
        deleted: None,
    },
];

/// One of each is expected, in one schema.
const TABLES_MAX: usize = 32;

/// The only version of the keys that there is so far; another one is another key.
const KEY_VERSION: &[u8] = b"1";

/// A table with values, and in which fields they are.
#[derive(Clone, Copy)]
pub(super) struct Target {
    place: usize,
    table: usize,
    ciphertext: usize,
    iv: usize,
    tag: usize,
    version: Option<usize>,
    deleted: Option<usize>,
}

/// Tries the three keys of the application.
pub(super) struct Application<'k> {
    keys: &'k EnvKeys,
    /// The names of the tables, each in whatever schema it is.
    tables: Vec<String>,
    tallies: BTreeMap<KeyName, Tally>,
}

impl<'k> Application<'k> {
    pub(super) fn new(keys: &'k EnvKeys) -> Self {
        Self {
            keys,
            tables: Vec::new(),
            tallies: BTreeMap::new(),
        }
    }

    pub(super) fn wants(&mut self, table: &Table<'_>) -> Option<Target> {
        let number = PLACES.iter().position(|place| table.name == place.table)?;
        let place = &PLACES[number];
        let name = table.full_name();
        let tally = self.tallies.entry(place.key).or_default();
        let columns = [place.ciphertext, place.iv, place.tag].map(|column| table.column(column));
        let [Some(ciphertext), Some(iv), Some(tag)] = columns else {
            tally.strange(&name);
            return None;
        };
        if self.tables.len() == TABLES_MAX {
            tally.strange(&name);
            return None;
        }
        self.tables.push(name);
        Some(Target {
            place: number,
            table: self.tables.len() - 1,
            ciphertext,
            iv,
            tag,
            version: table.column(place.version),
            deleted: place.deleted.and_then(|column| table.column(column)),
        })
    }

    pub(super) fn row(&mut self, target: Target, row: Row<'_>) {
        let key = PLACES[target.place].key;
        let fields = [target.ciphertext, target.iv, target.tag].map(|place| row.field(place));
        if fields.iter().flatten().all(|field| field.is_empty()) {
            return; // there is no password
        }
        let tally = self.tallies.entry(key).or_default();
        let counts = tally.table(&self.tables[target.table]);
        let version = target.version.and_then(|place| row.field(place));
        if version.is_some_and(|version| version != KEY_VERSION) {
            counts.untried += 1;
            return;
        }
        let Some(secret) = self.keys.get(key) else {
            counts.untried += 1;
            return;
        };
        let opened = match &fields {
            [Some(ciphertext), Some(iv), Some(tag)] => opens(secret.expose(), iv, ciphertext, tag),
            _ => None,
        };
        let is_deleted = target
            .deleted
            .is_some_and(|place| row.field(place).is_some());
        match opened {
            Some(()) => counts.opened += 1,
            // An older key may have made it, and nobody needs it any more.
            None if is_deleted => counts.unused += 1,
            None => counts.failed += 1,
        }
    }

    pub(super) fn too_long(&mut self, target: Target) {
        let tally = self.tallies.entry(PLACES[target.place].key).or_default();
        tally.table(&self.tables[target.table]).untried += 1;
    }

    pub(super) fn finish(mut self) -> BTreeMap<KeyName, Tally> {
        self.tallies.values_mut().for_each(Tally::settle);
        self.tallies
    }
}

fn opens(key: &[u8; 32], iv: &[u8], ciphertext: &[u8], tag: &[u8]) -> Option<()> {
    let (iv, tag) = (decode_base64(iv)?, decode_base64(tag)?);
    let mut text = decode_base64(ciphertext)?;
    let nonce: &[u8; 12] = iv.as_slice().try_into().ok()?;
    let tag: &[u8; 16] = tag.as_slice().try_into().ok()?;
    Aes256Gcm::new(key.into())
        .decrypt_in_place_detached(nonce.into(), b"", &mut text, tag.into())
        .ok()
}
