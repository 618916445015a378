//! The hot paths, each alone, on one core: `cargo bench`.
//!
//! Figures are megabytes (or look-ups) a second, and the ratio to the first line; only ratios of one
//! run mean anything. The data is a real dump of the fixtures, repeated with a counter in between, so
//! that nothing is found twice by compression.

#![allow(clippy::print_stdout, reason = "the table is what it is run for")]

use sealift::{
    BlobWriter, ChunkId, ChunkKey, ChunkPlace, ChunkWriter, Class, Digest, Index, NewBlob,
    Recipients, Timestamp, Unchecked, generate_identity, open_blob, read_identities,
    resolve_recipients,
};
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

/// As much as a blob holds.
const BYTES: usize = 16 * 1024 * 1024;
const ROUNDS: usize = 8;

struct Table {
    first: Option<f64>,
}

impl Table {
    /// Runs a stage and prints how many units a second it does.
    fn measure(
        &mut self,
        name: &str,
        units: f64,
        unit: &str,
        mut stage: impl FnMut() -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        stage()?; // warm caches and pages
        let started = Instant::now();
        for _ in 0..ROUNDS {
            stage()?;
        }
        let rounds = u32::try_from(ROUNDS)?;
        let rate = units * f64::from(rounds) / started.elapsed().as_secs_f64();
        let first = *self.first.get_or_insert(rate);
        println!("| {name} | {rate:.0} {unit} | {:.2} |", rate / first);
        Ok(())
    }
}

fn dump_bytes() -> Vec<u8> {
    let dump = include_bytes!("../fixtures/nights/app-20260101-030000.dump");
    let mut bytes = Vec::with_capacity(BYTES);
    let mut counter = 0_u64;
    while bytes.len() < BYTES {
        let mask = blake3::hash(&counter.to_le_bytes());
        let mask = mask.as_bytes();
        bytes.extend(
            dump.iter()
                .enumerate()
                .map(|(place, byte)| byte ^ mask[place % 32]),
        );
        counter += 1;
    }
    bytes.truncate(BYTES);
    bytes
}

fn recipients(name: &str) -> Result<Recipients, Box<dyn Error>> {
    Ok(resolve_recipients(&[name.to_owned()])?.ok_or("no recipient")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let bytes = dump_bytes();
    let megabytes = 16.777_216;
    let key = ChunkKey::derive(&[7; 32]);
    let (identity, name) = generate_identity();
    let recipients = recipients(&name)?;
    let identities =
        read_identities(age::secrecy::ExposeSecret::expose_secret(&identity).as_bytes())?;
    let mut table = Table { first: None };
    println!("| stage | rate | ratio |\n| --- | --- | --- |");
    table.measure("digest (SHA-256)", megabytes, "MB/s", || {
        black_box(Digest::of(&bytes));
        Ok(())
    })?;
    table.measure("cut (FastCDC)", megabytes, "MB/s", || {
        let mut writer = ChunkWriter::new(|chunk: &[u8]| {
            black_box(chunk);
            Ok(())
        });
        writer.write_all(&bytes)?;
        Ok(writer.finish()?)
    })?;
    table.measure("identify (BLAKE3, keyed)", megabytes, "MB/s", || {
        for chunk in bytes.chunks(64 * 1024) {
            black_box(key.identify(chunk));
        }
        Ok(())
    })?;
    table.measure("seal (zstd, age, SHA-256)", megabytes, "MB/s", || {
        let mut blob = BlobWriter::new(&recipients)?;
        for chunk in bytes.chunks(64 * 1024) {
            blob.append(chunk)?;
        }
        black_box(blob.finish()?);
        Ok(())
    })?;
    let mut blob = BlobWriter::new(&recipients)?;
    blob.append(&bytes)?;
    let sealed = blob.finish()?;
    let mut plain = Vec::new();
    table.measure("open (SHA-256, age, zstd)", megabytes, "MB/s", || {
        let checked = Unchecked::new(sealed.bytes.clone()).check(sealed.id)?;
        Ok(open_blob(
            &checked,
            &identities,
            sealed.plain_bytes,
            &mut plain,
        )?)
    })?;
    index_of_a_million_chunks(&mut table)
}

fn index_of_a_million_chunks(table: &mut Table) -> Result<(), Box<dyn Error>> {
    const CHUNKS: u64 = 1_000_000;
    let id = |number: u64| {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(&number.to_le_bytes()).as_bytes()[..16]);
        ChunkId(id)
    };
    let mut index = Index::in_memory()?;
    let recipients = Digest::of(Class::Data.as_str().as_bytes());
    for blob in 0..CHUNKS / 250 {
        let place = |chunk: u64| ChunkPlace {
            id: id(blob * 250 + chunk),
            offset: 0,
            length: 65_536,
        };
        let chunks: Vec<ChunkPlace> = (0..250).map(place).collect();
        index.record_blob(&NewBlob {
            id: Digest::of(&blob.to_le_bytes()),
            recipients,
            created_at: Timestamp::UNIX_EPOCH,
            sealed_bytes: 1,
            plain_bytes: 1,
            chunks: &chunks,
        })?;
    }
    let ids: Vec<ChunkId> = (0..10_000).map(|n| id(n * 97 % (2 * CHUNKS))).collect();
    table.measure("look up (1,000,000 chunks)", 10.0, "thousand/s", || {
        for id in &ids {
            black_box(index.find_chunk(*id, 65_536, recipients)?);
        }
        Ok(())
    })
}
