//! Needs: which archive needs which blobs.
//!
//! Memory: about 84 bytes for each blob, and 4 for each time that an archive names one.

use crate::formats::manifest::{BlobEntry, Verified};
use crate::words::ids::{BlobId, Sequence};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The blobs of some archives.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    numbers: HashMap<BlobId, u32>,
    blobs: Vec<BlobEntry>,
    archives: BTreeMap<Sequence, Box<[u32]>>,
}

impl Needs {
    /// Takes in the blobs of an archive.
    pub fn add(&mut self, archive: &Verified) {
        let needed = archive.blobs().into_iter().map(|blob| {
            let next = u32::try_from(self.blobs.len()).unwrap_or(u32::MAX);
            *self.numbers.entry(blob.id).or_insert_with(|| {
                self.blobs.push(blob);
                next
            })
        });
        let needed = needed.collect();
        self.archives.insert(archive.sequence, needed);
    }

    /// The blobs that an archive needs; none of one that was not taken in.
    pub fn of(&self, sequence: Sequence) -> impl Iterator<Item = &BlobEntry> {
        let needed = self.archives.get(&sequence).into_iter().flatten();
        needed.filter_map(|number| self.blobs.get(*number as usize))
    }

    /// Every blob that one of these archives needs.
    pub fn of_all<'a>(
        &'a self,
        sequences: impl Iterator<Item = Sequence> + 'a,
    ) -> impl Iterator<Item = &'a BlobEntry> {
        let mut is_new = vec![true; self.blobs.len()];
        let needed = sequences.filter_map(|sequence| self.archives.get(&sequence));
        needed.flatten().filter_map(move |number| {
            let is_new = is_new.get_mut(*number as usize)?;
            std::mem::take(is_new).then_some(&self.blobs[*number as usize])
        })
    }

    /// The names of every blob that one of these archives needs.
    #[must_use]
    pub fn names_of(&self, sequences: impl Iterator<Item = Sequence>) -> HashSet<BlobId> {
        self.of_all(sequences).map(|blob| blob.id).collect()
    }
}

/// How many objects, and how large they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// Their size as stored, in bytes.
    pub bytes: u64,
}

impl Amount {
    /// One more of this size.
    pub fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}
