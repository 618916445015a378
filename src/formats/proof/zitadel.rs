//! Zitadel's encrypted values, and the master key behind them.
//!
//! The master key opens the keys in `system.encryption_keys`, and these open values elsewhere: both
//! are AES-256-CFB-128 behind a 16-byte IV (NIST SP 800-38A), without any authentication. Any key
//! "opens" anything, so what comes out is looked at: a PEM block or a JSON Web Key cannot come out by
//! chance, a short text can, and that is counted apart. The tables have numbers that Zitadel raises
//! with its releases, so they are found by what their names start with, and by their columns.
//!
//! The keys come last in a dump, so values wait for them, as ciphertext and within [`VALUES_MAX`].

use super::tally::Tally;
use crate::formats::envkeys::{MasterKey, decode_base64};
use crate::formats::pgdump::{Row, Table};
use aes::Aes256;
use cfb_mode::Decryptor;
use cfb_mode::cipher::{AsyncStreamCipher, KeyIvInit};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{HashMap, HashSet, VecDeque};
use zeroize::Zeroizing;

/// Where encrypted values lie.
struct Place {
    schema: &'static str,
    prefix: &'static str,
    suffix: &'static str,
    column: &'static str,
    holds: Holds,
    shape: Shape,
}

/// How a value lies in its column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// The column is the value.
    Value,
    /// The value is the private key of an event that says a pair of keys was added.
    KeyPairEvent,
}

/// What a value is when it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A key in PEM (RFC 7468).
    Pem,
    /// A JSON Web Key (RFC 7517).
    Jwk,
    /// A text, of any length.
    Text,
}

const PLACES: [Place; 5] = [
    Place {
        schema: "projections",
        prefix: "keys",
        suffix: "_private",
        column: "key",
        holds: Holds::Value,
        shape: Shape::Pem,
    },
    Place {
        schema: "projections",
        prefix: "web_keys",
        suffix: "",
        column: "private_key",
        holds: Holds::Value,
        shape: Shape::Jwk,
    },
    Place {
        schema: "eventstore",
        prefix: "events",
        suffix: "",
        column: "payload",
        holds: Holds::KeyPairEvent,
        shape: Shape::Pem,
    },
    Place {
        schema: "projections",
        prefix: "smtp_configs",
        suffix: "",
        column: "password",
        holds: Holds::Value,
        shape: Shape::Text,
    },
    Place {
        schema: "projections",
        prefix: "targets",
        suffix: "",
        column: "signing_key",
        holds: Holds::Value,
        shape: Shape::Text,
    },
];

const KEY_PAIR_ADDED: &[u8] = b"key_pair.added";

/// So many bytes of values wait for their keys; beyond, the oldest are not tried.
const VALUES_MAX: usize = 4 * 1024 * 1024;
/// No value is larger than this: a private key has 2 to 4 KiB.
const VALUE_MAX: usize = 64 * 1024;
/// Zitadel has eleven system keys.
const SYSTEM_KEYS_MAX: usize = 256;
/// A release leaves one table of a kind behind, or two.
const TABLES_MAX: usize = 32;
/// Their names are words.
const SYSTEM_KEY_ID_MAX: usize = 200;

/// A table with system keys or values, and in which fields they are.
#[derive(Clone, Copy)]
pub(super) enum Target {
    SystemKeys {
        id: usize,
        key: usize,
    },
    Values {
        table: usize,
        place: usize,
        value: usize,
        event: Option<usize>,
    },
}

impl Target {
    /// What the rows that matter have in them: an event store has millions of others.
    pub(super) fn containing(self) -> &'static [u8] {
        match self {
            Self::Values { event: Some(_), .. } => KEY_PAIR_ADDED,
            Self::SystemKeys { .. } | Self::Values { .. } => b"",
        }
    }
}

/// An encrypted value, as Zitadel writes it into a JSON column.
#[derive(Deserialize)]
struct CryptoValue {
    #[serde(rename = "KeyID")]
    key_id: String,
    #[serde(rename = "Crypted")]
    crypted: String,
    #[serde(rename = "Algorithm")]
    algorithm: String,
    #[serde(rename = "CryptoType")]
    crypto_type: i64,
}

/// A value that waits for its key.
struct Sealed {
    table: usize,
    shape: Shape,
    key_id: String,
    /// IV and ciphertext.
    bytes: Vec<u8>,
}

/// Tries the master key.
pub(super) struct Zitadel<'k> {
    master: Option<&'k MasterKey>,
    /// The names of the tables with values, and the place of each.
    tables: Vec<String>,
    places: Vec<usize>,
    has_system_keys: bool,
    system_keys: HashMap<String, MasterKey>,
    waiting: VecDeque<Sealed>,
    waiting_bytes: usize,
    tally: Tally,
}

impl<'k> Zitadel<'k> {
    pub(super) fn new(master: Option<&'k MasterKey>) -> Self {
        Self {
            master,
            tables: Vec::new(),
            places: Vec::new(),
            has_system_keys: false,
            system_keys: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            tally: Tally::default(),
        }
    }

    pub(super) fn wants(&mut self, table: &Table<'_>) -> Option<Target> {
        let name = table.full_name();
        if is_system_keys(table) {
            self.has_system_keys = true;
            let columns = table.column("id").zip(table.column("key"));
            if columns.is_none() {
                self.tally.strange(&name);
            }
            return columns.map(|(id, key)| Target::SystemKeys { id, key });
        }
        let is_named = |place: &&Place| {
            table.schema == place.schema
                && table.name.starts_with(place.prefix)
                && table.name.ends_with(place.suffix)
        };
        let has_column = |place: &Place| table.column(place.column).is_some();
        let place = PLACES
            .iter()
            .position(|place| is_named(&place) && has_column(place));
        let place = place.filter(|place| self.has_room(*place));
        let Some(place) = place else {
            // Of some, not every table has the column.
            let must_have = |place: &Place| {
                matches!(place.shape, Shape::Pem | Shape::Jwk) && place.holds == Holds::Value
            };
            if let Some(place) = PLACES.iter().find(is_named)
                && (must_have(place) || has_column(place))
            {
                self.tally.strange(&name);
            }
            return None;
        };
        let event = match PLACES[place].holds {
            Holds::Value => None,
            Holds::KeyPairEvent => Some(table.column("event_type")?),
        };
        let value = table.column(PLACES[place].column)?;
        self.tables.push(name);
        self.places.push(place);
        Some(Target::Values {
            table: self.tables.len() - 1,
            place,
            value,
            event,
        })
    }

    pub(super) fn row(&mut self, target: Target, row: Row<'_>) {
        match target {
            Target::SystemKeys { id, key } => self.system_key(row, id, key),
            Target::Values {
                table,
                place,
                value,
                event,
            } => {
                let is_other = |place| row.field(place).as_deref() != Some(KEY_PAIR_ADDED);
                if event.is_some_and(is_other) {
                    return;
                }
                if let Some(value) = row.field(value) {
                    self.value(table, &PLACES[place], &value);
                }
            }
        }
    }

    pub(super) fn too_long(&mut self, target: Target) {
        if let Target::Values { table, .. } = target {
            self.untried(table);
        }
    }

    fn untried(&mut self, table: usize) {
        self.tally.table(&self.tables[table]).untried += 1;
    }

    fn system_key(&mut self, row: Row<'_>, id: usize, key: usize) {
        let (Some(id), Some(key)) = (row.field(id), row.field(key)) else {
            return;
        };
        let (Some(master), Some(sealed)) = (self.master, decode_base64(&key)) else {
            return;
        };
        let opened = open(master.expose(), &sealed);
        let opened = opened.and_then(|key| MasterKey::copy_of(&key));
        if let Some(opened) = opened
            && id.len() <= SYSTEM_KEY_ID_MAX
            && self.system_keys.len() < SYSTEM_KEYS_MAX
        {
            let id = String::from_utf8_lossy(&id).into_owned();
            self.system_keys.insert(id, opened);
        }
    }

    fn value(&mut self, table: usize, place: &Place, json: &[u8]) {
        let value = match place.holds {
            Holds::Value => serde_json::from_slice(json).ok(),
            Holds::KeyPairEvent => private_key(json),
        };
        let is_encrypted = |value: &CryptoValue| value.algorithm == "aes" && value.crypto_type == 0;
        let sealed = value.filter(is_encrypted).and_then(|value| {
            let bytes = decode_base64(value.crypted.as_bytes())?.to_vec();
            (bytes.len() <= VALUE_MAX).then_some(Sealed {
                table,
                shape: place.shape,
                key_id: value.key_id,
                bytes,
            })
        });
        let Some(sealed) = sealed else {
            return self.untried(table);
        };
        self.waiting_bytes += sealed.size();
        self.waiting.push_back(sealed);
        while self.waiting_bytes > VALUES_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.waiting_bytes -= oldest.size();
            self.untried(oldest.table);
        }
    }

    /// What came of it; `None` if the dump is none of Zitadel's.
    pub(super) fn finish(mut self) -> Option<Tally> {
        let waiting = std::mem::take(&mut self.waiting);
        let looks: Vec<_> = waiting.iter().map(|sealed| self.look(sealed)).collect();
        // A system key that opened one key pair is the right one, whatever it leaves closed.
        let certain = waiting.iter().zip(&looks);
        let certain = certain.filter(|(_, look)| **look == Some(Look::Certain));
        let right: HashSet<&str> = certain.map(|(sealed, _)| &*sealed.key_id).collect();
        let is_right = !right.is_empty() || are_a_proof(&waiting, &looks);
        for (sealed, look) in waiting.iter().zip(&looks) {
            let table = &self.tables[sealed.table];
            let counts = self.tally.table(table);
            match look {
                _ if self.master.is_none() => counts.untried += 1,
                None => counts.orphaned += 1,
                Some(Look::Certain) => counts.opened += 1,
                Some(Look::Text(printable)) => {
                    self.tally.text(table, sealed.identity(), *printable);
                }
                Some(Look::Wrong) if right.contains(&*sealed.key_id) => counts.closed += 1,
                // Where the master key is known to be right, it is the text that is odd, or the
                // system key that is not the one.
                Some(Look::Wrong) if is_right && sealed.shape == Shape::Text => counts.untried += 1,
                Some(Look::Wrong) if is_right => counts.orphaned += 1,
                Some(Look::Wrong) => counts.failed += 1,
                Some(Look::Empty) => counts.untried += 1,
            }
        }
        self.has_system_keys.then_some(self.tally)
    }

    /// The place of a table's values, unless too many tables have such.
    fn has_room(&self, place: usize) -> bool {
        self.places.iter().filter(|known| **known == place).count() < TABLES_MAX
    }

    /// What the value's own key makes of it; `None` if that key is not there.
    fn look(&self, sealed: &Sealed) -> Option<Look> {
        let key = self.system_keys.get(&sealed.key_id)?;
        let plain = open(key.expose(), &sealed.bytes);
        Some(plain.map_or(Look::Empty, |plain| look(&plain, sealed.shape)))
    }
}

impl Sealed {
    /// The same value in two places is the same.
    fn identity(&self) -> [u8; 16] {
        let mut identity = [0; 16];
        identity.copy_from_slice(&blake3::hash(&self.bytes).as_bytes()[..16]);
        identity
    }

    /// What it takes while it waits.
    fn size(&self) -> usize {
        size_of::<Self>() + self.key_id.len() + self.bytes.len()
    }
}

/// Whether the different texts among these are a proof without anything else.
fn are_a_proof(waiting: &VecDeque<Sealed>, looks: &[Option<Look>]) -> bool {
    let mut tally = Tally::default();
    for (sealed, look) in waiting.iter().zip(looks) {
        if let Some(Look::Text(printable)) = look {
            tally.text("", sealed.identity(), *printable);
        }
    }
    tally.texts_are_a_proof()
}

/// Whether a table is the one with the keys that the master key opens.
fn is_system_keys(table: &Table<'_>) -> bool {
    (table.schema, table.name) == ("system", "encryption_keys")
}

/// The private key in the payload of an event.
fn private_key(payload: &[u8]) -> Option<CryptoValue> {
    #[derive(Deserialize)]
    struct Payload {
        #[serde(rename = "privateKey")]
        private_key: PrivateKey,
    }
    #[derive(Deserialize)]
    struct PrivateKey {
        key: CryptoValue,
    }
    let payload: Payload = serde_json::from_slice(payload).ok()?;
    Some(payload.private_key.key)
}

/// What a key makes of an IV and the ciphertext behind it; no key fails.
fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (iv, ciphertext) = sealed.split_first_chunk::<16>()?;
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    Decryptor::<Aes256>::new(key.into(), iv.into()).decrypt(&mut plain);
    Some(plain)
}

/// What opened bytes look like.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Like what only the right key can make.
    Certain,
    /// Like a text with so many printable bytes.
    Text(u64),
    /// Not as they should.
    Wrong,
    /// There are none.
    Empty,
}

fn look(plain: &[u8], shape: Shape) -> Look {
    if plain.is_empty() {
        return Look::Empty;
    }
    let text = std::str::from_utf8(plain).ok();
    let is_right = match shape {
        Shape::Pem => text.is_some_and(is_pem),
        Shape::Jwk => is_jwk(plain),
        Shape::Text => {
            // A password that came out of a file may end in a newline.
            let is_odd = |letter: char| letter.is_control() && !letter.is_ascii_whitespace();
            let text = text.filter(|text| !text.contains(is_odd));
            return text.map_or(Look::Wrong, |text| {
                Look::Text(text.bytes().filter(|b| (b' '..=b'~').contains(b)).count() as u64)
            });
        }
    };
    if is_right { Look::Certain } else { Look::Wrong }
}

/// Whether a text is one PEM block: the label of its END is that of its BEGIN, with base64 between.
fn is_pem(text: &str) -> bool {
    let inner = || {
        let (label, rest) = text
            .trim()
            .strip_prefix("-----BEGIN ")?
            .split_once("-----\n")?;
        let body = rest.strip_suffix(&format!("-----END {label}-----"))?;
        Some(body)
    };
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=\n\r".contains(&b);
    inner().is_some_and(|body| !body.is_empty() && body.bytes().all(is_base64))
}

/// Whether bytes are a JSON object with a type of key.
fn is_jwk(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Jwk {
        #[serde(rename = "kty")]
        _kty: IgnoredAny,
    }
    // A derived struct would take an array, too.
    bytes.starts_with(b"{") && serde_json::from_slice::<Jwk>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIB+/==\n-----END RSA PRIVATE KEY-----\n";

    #[test]
    fn only_a_whole_block_is_pem() {
        assert_eq!(look(PEM.as_bytes(), Shape::Pem), Look::Certain);
        for broken in [
            &PEM[1..],
            &PEM[..PEM.len() - 2],
            &PEM.replace("END RSA", "END DSA"),
            &PEM.replace('+', "!"),
            "-----BEGIN X-----\n-----END X-----",
        ] {
            assert_eq!(look(broken.as_bytes(), Shape::Pem), Look::Wrong, "{broken}");
        }
    }

    #[test]
    fn only_an_object_with_a_type_is_a_web_key() {
        let case = |text: &str, expected| assert_eq!(look(text.as_bytes(), Shape::Jwk), expected);
        case(r#"{"use":"sig","kty":"RSA","d":"x"}"#, Look::Certain);
        case(r#"{"use":"sig"}"#, Look::Wrong);
        case(r#"{"kty":"RSA""#, Look::Wrong);
        case(r#"["kty"]"#, Look::Wrong);
    }

    #[test]
    fn a_text_is_counted_by_what_is_printable_in_it() {
        let case = |bytes: &[u8], expected| assert_eq!(look(bytes, Shape::Text), expected);
        case(b"relay-pw-1", Look::Text(10));
        case("pässwort".as_bytes(), Look::Text(7));
        case(b"\xff\xfe", Look::Wrong);
        case(b"from a file\n", Look::Text(11));
        case(b"bell\x07", Look::Wrong);
        case(b"", Look::Empty);
    }

    /// A key pair's private half as it lies in an event, sealed with `key`.
    fn event(key: &[u8; 32], plain: &str) -> Vec<u8> {
        use base64::Engine as _;
        let iv = [7; 16];
        let mut bytes = plain.as_bytes().to_vec();
        cfb_mode::Encryptor::<Aes256>::new(key.into(), &iv.into()).encrypt(&mut bytes);
        let crypted = base64::engine::general_purpose::STANDARD.encode([&iv[..], &bytes].concat());
        format!(
            r#"key_pair.added	{{"privateKey": {{"key": {{"KeyID": "oidcKey", "Crypted": "{crypted}", "Algorithm": "aes", "CryptoType": 0}}}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn more_values_than_can_wait_are_counted_and_take_no_memory() -> Result<(), &'static str> {
        let master = MasterKey::copy_of(&[1; 32]).ok_or("no key")?;
        let mut zitadel = Zitadel::new(Some(&master));
        let columns = ["event_type".to_owned(), "payload".to_owned()];
        let table = Table {
            schema: "eventstore",
            name: "events2",
            columns: &columns,
        };
        let target = zitadel.wants(&table).ok_or("not wanted")?;
        let large = PEM.replace("MIIB", &"A".repeat(40_000));
        let row = event(&[2; 32], &large);
        for _ in 0..150 {
            zitadel.row(target, Row::new(&row));
        }
        assert!(zitadel.waiting_bytes <= VALUES_MAX);
        let key = MasterKey::copy_of(&[2; 32]).ok_or("no key")?;
        zitadel.system_keys.insert("oidcKey".into(), key);
        zitadel.has_system_keys = true;
        let tally = zitadel.finish().ok_or("no tally")?;
        let counts = tally.proof(crate::formats::envkeys::KeyName::Zitadel);
        assert!(counts.opened > 90 && counts.failed == 0, "{counts:?}");
        assert_eq!(tally.values(), 150);
        Ok(())
    }
}
