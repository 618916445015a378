//! Each place in which a key can be tried, alone: made on a real server, dumped by a real `pg_dump`.
//!
//! Promise: a foreign master key is refuted wherever there is anything that it should open, be it one
//! short password; and rows come out of a dump as the server has them.

use crate::support::postgres::Server;
use crate::support::{Host, NIGHTS, Outcome, fixtures};
use sealift::{Row, RowVisitor, Table, Wanted, inspect_dump};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The two databases of a night on one server, to be changed copy by copy.
struct Bench {
    host: Host,
    server: Server,
    copies: u32,
}

impl Bench {
    fn new() -> Result<Self> {
        let server = Server::start(18, "postgres")?;
        for half in ["app", "zitadel"] {
            server.psql("postgres", &format!("CREATE DATABASE {half}"))?;
            let dump = fixtures().join(format!("nights/{half}-{}.dump", NIGHTS[2]));
            let restored = server.restore(18, &dump, half, &["--no-owner"])?;
            assert_eq!(restored.expect_code(0)?.stderr, "");
        }
        let host = Host::bare()?;
        let env = fs::read_to_string(fixtures().join("nights/.env.prod"))?;
        fs::write(host.path("right"), &env)?;
        let foreign = "abcdefghijklmnopqrstuvwxyz012345";
        let keys = [
            "ZITADEL_MASTERKEY",
            "WORKFLOW_SECRET_KEY",
            "SMTP_SECRET_KEY",
            "DIRECTORY_SECRET_KEY",
        ];
        let wrong = keys.map(|key| format!("{key}={foreign}\n")).concat();
        fs::write(host.path("wrong"), env + &wrong)?;
        Ok(Self {
            host,
            server,
            copies: 0,
        })
    }

    /// Dumps a copy of a database after some statements.
    fn dump(&mut self, half: &str, statements: &str) -> Result<String> {
        self.copies += 1;
        let (copy, file) = (format!("copy{}", self.copies), format!("{half}.dump"));
        let create = format!("CREATE DATABASE {copy} TEMPLATE {half}");
        self.server.psql("postgres", &create)?;
        self.server.psql(&copy, statements)?;
        self.server.dump(18, &copy, &[], &self.host.path(&file))?;
        Ok(file)
    }

    /// What `inspect` finds with the right env file or the wrong one.
    fn inspect(&self, dump: &str, env: &str) -> Result<Value> {
        let args = ["inspect", dump, "--env-file", env, "--json"];
        let run = self.host.run(&args)?;
        let found = run.json()?;
        let code = if found["verdict"] == "sound" { 0 } else { 3 };
        run.expect_code(code)?;
        Ok(found)
    }

    /// What becomes of a key.
    fn proof(&self, dump: &str, env: &str, key: &str) -> Result<Value> {
        let found = self.inspect(dump, env)?;
        let mut proofs = found["proofs"].as_array().into_iter().flatten();
        let proof = proofs.find(|proof| proof["key"] == key);
        Ok(proof.ok_or("no proof")?.clone())
    }

    /// The codes of what is found with the right env file.
    fn codes(&self, dump: &str) -> Result<Vec<String>> {
        let found = self.inspect(dump, "right")?;
        let findings = found["findings"].as_array().into_iter().flatten();
        Ok(findings
            .map(|finding| format!("{} {}", finding["severity"], finding["code"]))
            .collect())
    }

    /// The right key opens all values but one, which is a note.
    fn expect_one_closed(&self, dump: &str, key: &str) -> Outcome {
        let proof = self.proof(dump, "right", key)?;
        let found = (&proof["state"], &proof["failed"]);
        assert_eq!(found, (&"proven".into(), &1.into()), "{proof:#}");
        assert_eq!(self.codes(dump)?, ["\"note\" \"value-closed\""]);
        Ok(())
    }

    /// One table alone has something to try a key on.
    fn expect(&self, dump: &str, key: &str, table: &str, right: &str) -> Outcome {
        let proof = self.proof(dump, "right", key)?;
        assert_eq!(proof["state"], right, "{proof:#}");
        let evidence = proof["evidence"].as_str().unwrap_or_default();
        assert!(
            evidence.contains(table) && evidence.matches(" of ").count() == 1,
            "{evidence}"
        );
        let proof = self.proof(dump, "wrong", key)?;
        assert_eq!(proof["state"], "refuted", "{proof:#}");
        assert_eq!(proof["opened"], 0, "{proof:#}");
        Ok(())
    }
}

const NO_KEYS: &str = "TRUNCATE projections.keys4_private;";
const NO_EVENTS: &str = "DELETE FROM eventstore.events2 WHERE event_type = 'key_pair.added';";
const NO_WEB_KEYS: &str = "TRUNCATE projections.web_keys1;";
const NO_MAIL: &str = "TRUNCATE projections.smtp_configs5_smtp;";

#[test]
fn a_foreign_master_key_is_refuted_by_each_place_alone() -> Outcome {
    let mut bench = Bench::new()?;
    let key = "ZITADEL_MASTERKEY";
    let keys = [NO_EVENTS, NO_WEB_KEYS, NO_MAIL].concat();
    let dump = bench.dump("zitadel", &keys)?;
    bench.expect(&dump, key, "projections.keys4_private", "proven")?;
    let renamed = keys + "ALTER TABLE projections.keys4_private RENAME TO keys11_private";
    let dump = bench.dump("zitadel", &renamed)?;
    bench.expect(&dump, key, "projections.keys11_private", "proven")?;
    let dump = bench.dump("zitadel", &[NO_KEYS, NO_WEB_KEYS, NO_MAIL].concat())?;
    bench.expect(&dump, key, "eventstore.events2", "proven")?;
    let dump = bench.dump("zitadel", &[NO_KEYS, NO_EVENTS, NO_MAIL].concat())?;
    bench.expect(&dump, key, "projections.web_keys1", "proven")?;
    // A short password is weak evidence for a key, and strong evidence against one.
    let mail = [NO_KEYS, NO_EVENTS, NO_WEB_KEYS].concat();
    let dump = bench.dump("zitadel", &mail)?;
    let table = "projections.smtp_configs5_smtp";
    let weak = bench.proof(&dump, "right", key)?;
    let evidence = weak["evidence"].as_str().unwrap_or_default();
    assert!(
        evidence.contains("10 bytes in all, which a wrong key makes once in 2^14"),
        "{weak}"
    );
    assert_eq!(weak["state"], "unproven");
    assert_eq!(bench.proof(&dump, "wrong", key)?["state"], "refuted");
    // The same one nine times more is not one byte more.
    let copies = mail.clone()
        + "INSERT INTO projections.smtp_configs5 SELECT id || n, instance_id, creation_date, change_date,
               description, state FROM projections.smtp_configs5, generate_series(1, 9) n;
           INSERT INTO projections.smtp_configs5_smtp SELECT id || n, instance_id, tls, sender_address, host,
               username, password FROM projections.smtp_configs5_smtp, generate_series(1, 9) n;";
    let dump = bench.dump("zitadel", &copies)?;
    assert_eq!(bench.proof(&dump, "right", key)?["state"], "unproven");
    // A long text is a proof.
    let long = "UPDATE projections.smtp_configs5_smtp SET password = (SELECT private_key FROM projections.web_keys1);";
    let long = long.to_owned() + &mail;
    let dump = bench.dump("zitadel", &long)?;
    bench.expect(&dump, key, table, "proven")?;
    let targets = long
        + "CREATE TABLE projections.targets2 AS SELECT id, password AS signing_key
               FROM projections.smtp_configs5_smtp;"
        + NO_MAIL;
    let dump = bench.dump("zitadel", &targets)?;
    bench.expect(&dump, key, "projections.targets2", "proven")?;
    Ok(())
}

#[test]
fn what_was_tampered_with_is_refuted_and_what_is_not_known_is_not_counted() -> Outcome {
    let mut bench = Bench::new()?;
    let key = "ZITADEL_MASTERKEY";
    let flip = |column: &str| {
        format!(
            "overlay({column} placing CASE substr({column}, 40, 1) WHEN 'A' THEN 'B' ELSE 'A' END from 40)"
        )
    };
    let system_key = format!(
        "UPDATE system.encryption_keys SET key = {} WHERE id = 'oidcKey'",
        flip("key")
    );
    let dump = bench.dump("zitadel", &system_key)?;
    let proof = bench.proof(&dump, "right", key)?;
    assert_eq!(
        (&proof["state"], &proof["opened"]),
        (&"refuted".into(), &1.into()),
        "{proof:#}"
    );
    assert_eq!(bench.codes(&dump)?, ["\"fault\" \"key-refuted\""]);
    // One value of many.
    let value = "UPDATE projections.keys4_private SET key = jsonb_set(key, '{Crypted}',
        to_jsonb(replace(encode(sha256('x') || sha256('y'), 'base64'), E'\n', '')))
        WHERE id = (SELECT min(id) FROM projections.keys4_private)";
    let dump = bench.dump("zitadel", value)?;
    bench.expect_one_closed(&dump, key)?;
    // Other algorithms, other shapes.
    let unknown =
        "UPDATE projections.keys4_private SET key = jsonb_set(key, '{Algorithm}', '\"age\"');
        UPDATE projections.web_keys1 SET private_key = '{\"d\": 1}';
        UPDATE eventstore.events2 SET payload = '{}' WHERE event_type = 'key_pair.added';
        TRUNCATE projections.smtp_configs5_smtp";
    let dump = bench.dump("zitadel", unknown)?;
    let proof = bench.proof(&dump, "right", key)?;
    assert_eq!(proof["state"], "unproven", "{proof:#}");
    assert_eq!((&proof["opened"], &proof["failed"]), (&0.into(), &0.into()));
    // System keys that are not there: nobody will ever open what they sealed.
    let other_key = "UPDATE system.encryption_keys SET id = 'other' WHERE id = 'oidcKey';
        UPDATE projections.web_keys1 SET private_key = jsonb_set(private_key, '{KeyID}', '\"other\"');";
    for (statements, state) in [
        ("TRUNCATE system.encryption_keys".to_owned(), "unproven"),
        (
            "UPDATE system.encryption_keys SET key = 'AAAA'".to_owned(),
            "unproven",
        ),
        (
            "DELETE FROM system.encryption_keys WHERE id = 'oidcKey'".to_owned(),
            "unproven",
        ),
        // One that is there opens its values, so the master key is right; one that is not is lost.
        (other_key.to_owned(), "proven"),
        (
            format!(
                "{other_key} INSERT INTO system.encryption_keys SELECT 'oidcKey', key
                    FROM system.encryption_keys WHERE id = 'samlKey'"
            ),
            "proven",
        ),
    ] {
        let dump = bench.dump("zitadel", &statements)?;
        assert_eq!(
            bench.proof(&dump, "right", key)?["state"],
            state,
            "{statements}"
        );
        assert_eq!(bench.codes(&dump)?, ["\"fault\" \"system-key-missing\""]);
    }
    // Columns that are not those that are known.
    let columns = "ALTER TABLE projections.keys4_private RENAME COLUMN key TO sealed;
        ALTER TABLE projections.web_keys1 RENAME COLUMN private_key TO sealed";
    let dump = bench.dump("zitadel", columns)?;
    let proof = bench.proof(&dump, "right", key)?;
    let evidence = proof["evidence"].as_str().unwrap_or_default();
    let expected = "not looked into, for their columns or their number: projections.keys4_private, projections.web_keys1";
    assert!(evidence.ends_with(expected), "{evidence}");
    // More tables than any release leaves behind do not hide the others.
    let many = "DO $$ BEGIN FOR n IN 10..90 LOOP
        EXECUTE format('CREATE TABLE eventstore.events%s (event_type text, payload jsonb)', n);
        EXECUTE format('INSERT INTO eventstore.events%s VALUES (''x'', ''{}'')', n); END LOOP; END $$";
    let dump = bench.dump("zitadel", many)?;
    assert_eq!(bench.proof(&dump, "right", key)?["state"], "proven");
    assert_eq!(bench.proof(&dump, "wrong", key)?["state"], "refuted");
    Ok(())
}

#[test]
fn a_name_with_control_characters_reaches_neither_terminal_nor_manifest() -> Outcome {
    let mut bench = Bench::new()?;
    let evil = "CREATE TABLE projections.\"targets\n\x1b[31mEVIL\" AS
        SELECT id, password AS signing_key FROM projections.smtp_configs5_smtp";
    let dump = bench.dump("zitadel", evil)?;
    let evidence = bench.proof(&dump, "right", "ZITADEL_MASTERKEY")?["evidence"].to_string();
    assert!(
        evidence.contains("projections.targets??[31mEVIL"),
        "{evidence}"
    );
    Ok(())
}

#[test]
fn each_key_of_the_application_is_tried_on_its_own_table_alone() -> Outcome {
    let mut bench = Bench::new()?;
    let places = [
        ("WORKFLOW_SECRET_KEY", "workflow_secrets"),
        ("SMTP_SECRET_KEY", "smtp_settings"),
        ("DIRECTORY_SECRET_KEY", "directory_connection"),
    ];
    for (key, table) in places {
        let others = places.iter().filter(|place| place.1 != table);
        let truncate = others.map(|(_, other)| format!("TRUNCATE {other};"));
        let mut statements: String = truncate.collect();
        // What is deleted and does not open is no fault, and makes the evidence of two parts.
        statements.push_str("DELETE FROM workflow_secrets WHERE \"deletedAt\" IS NOT NULL");
        let dump = bench.dump("app", &statements)?;
        bench.expect(&dump, key, &format!("public.{table}"), "proven")?;
        for (other, _) in places.iter().filter(|place| place.0 != key) {
            assert_eq!(bench.proof(&dump, "wrong", other)?["state"], "unproven");
        }
    }
    let key = places[0].0;
    // Out of use, of another version: neither speaks against the key.
    let statements =
        "UPDATE workflow_secrets SET iv = 'AAAAAAAAAAAAAAAA' WHERE \"deletedAt\" IS NOT NULL;
        UPDATE workflow_secrets SET \"keyVersion\" = 2, \"authTag\" = 'x'
            WHERE id = (SELECT min(id) FROM workflow_secrets WHERE \"deletedAt\" IS NULL)";
    let dump = bench.dump("app", statements)?;
    let proof = bench.proof(&dump, "right", key)?;
    assert_eq!(proof["state"], "proven");
    assert_eq!(
        proof["evidence"],
        "opens 2 of 2 in public.workflow_secrets; no longer in use: 1 in public.workflow_secrets; \
         not understood or not tried: 1 in public.workflow_secrets"
    );
    // In use, it is said.
    let statements = "UPDATE workflow_secrets SET \"authTag\" = ciphertext
        WHERE id = (SELECT min(id) FROM workflow_secrets WHERE \"deletedAt\" IS NULL)";
    let dump = bench.dump("app", statements)?;
    bench.expect_one_closed(&dump, key)?;
    // In another schema it is the same table.
    let statements = "CREATE SCHEMA lazyit; ALTER TABLE workflow_secrets SET SCHEMA lazyit";
    let dump = bench.dump("app", statements)?;
    assert_eq!(bench.proof(&dump, "right", key)?["state"], "proven");
    assert_eq!(bench.proof(&dump, "wrong", key)?["state"], "refuted");
    // An empty text is no password.
    let statements = "UPDATE smtp_settings SET \"passwordCiphertext\" = '', \"passwordIv\" = '', \"passwordAuthTag\" = NULL";
    let dump = bench.dump("app", statements)?;
    assert_eq!(
        bench.proof(&dump, "right", places[1].0)?["state"],
        "unproven"
    );
    Ok(())
}

/// Every row of every table, each value in hex.
#[derive(Default)]
struct AllRows {
    tables: Vec<(String, Vec<String>)>,
    rows: BTreeMap<String, Vec<String>>,
}

impl RowVisitor for AllRows {
    fn wants(&mut self, table: &Table<'_>) -> Option<Wanted> {
        let name = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let columns = table.columns.iter().map(|column| name(column)).collect();
        let table = format!("{}.{}", name(table.schema), name(table.name));
        self.tables.push((table, columns));
        Some(Wanted {
            table: self.tables.len() - 1,
            containing: b"",
        })
    }

    fn row(&mut self, table: usize, row: Row<'_>) {
        let (name, columns) = &self.tables[table];
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = |place| {
            row.field(place)
                .map_or("NULL".to_owned(), |bytes| hex(&bytes))
        };
        let values: Vec<String> = (0..columns.len()).map(value).collect();
        self.rows
            .entry(name.clone())
            .or_default()
            .push(values.join("|"));
    }

    fn too_long(&mut self, _: usize) {}
}

#[test]
fn rows_come_out_of_every_dump_as_the_server_has_them() -> Outcome {
    let server = Server::start(18, "postgres")?;
    let majors = fixtures().join("majors");
    let restored = server.restore(
        18,
        &majors.join("pg18-none-redirect.dump"),
        "postgres",
        &["--no-owner"],
    )?;
    assert_eq!(restored.expect_code(0)?.stderr, "");
    let mut compared = 0;
    for entry in fs::read_dir(&majors)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.extension().is_none_or(|kind| kind != "dump") || name.contains("gzip9") {
            continue;
        }
        let mut all = AllRows::default();
        inspect_dump(File::open(&path)?, &mut all)?;
        // psql prints nothing of a row without columns.
        for (table, columns) in all.tables.iter().filter(|table| !table.1.is_empty()) {
            let value = |column: &String| {
                format!("coalesce(encode(convert_to({column}::text, 'UTF8'), 'hex'), 'NULL')")
            };
            let values: Vec<String> = columns.iter().map(value).collect();
            let printed = server.psql(
                "postgres",
                &format!("SELECT {} FROM {table}", values.join(", ")),
            )?;
            let mut expected: Vec<&str> = printed.lines().collect();
            let mut found: Vec<&str> = all
                .rows
                .get(table)
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{name}: {table}");
            compared += found.len();
        }
    }
    assert!(compared > 2000, "{compared} rows");
    Ok(())
}
