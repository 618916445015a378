//! Records in the store: retirements and holds, each an object that is created once.

use super::error::StoreError;
use super::objects::Size;
use super::{Creation, Exclusivity, Store};
use crate::formats::record::{HOLDS_MAX, Hold, Record, Retirement, Unverified};
use crate::words::ids::{Digest, Instance, Sequence};
use crate::words::limits::RECORD_MAX;
use object_store::ObjectMeta;

/// A record as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordEntry<P> {
    /// Where it belongs, from the object's name.
    pub place: P,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub modified: i64,
}

/// Where records of a kind lie.
#[derive(Clone, Debug)]
pub struct RecordListing<P> {
    /// The records, in the order of their places.
    pub records: Vec<RecordEntry<P>>,
    /// Objects whose names are not those of such records.
    pub foreign: Vec<String>,
}

/// A kind of record that has objects.
pub trait Stored: Record {
    /// The folder below that of the instance.
    const FOLDER: &'static str;

    /// The name of its object in that folder.
    fn object(place: Self::Place) -> String;
    /// The place that a name says.
    fn place(name: &str) -> Option<Self::Place>;
}

impl Stored for Retirement {
    const FOLDER: &'static str = "retirements";

    fn object(place: Sequence) -> String {
        format!("{:08}.json", place.0)
    }

    fn place(name: &str) -> Option<Sequence> {
        let sequence = Sequence(name.strip_suffix(".json")?.parse().ok()?);
        sequence.is_legal().then_some(sequence)
    }
}

impl Stored for Hold {
    const FOLDER: &'static str = "holds";

    fn object((sequence, number): (Sequence, u32)) -> String {
        format!("{:08}-{number:04}.json", sequence.0)
    }

    fn place(name: &str) -> Option<(Sequence, u32)> {
        let (sequence, number) = name.strip_suffix(".json")?.split_once('-')?;
        let place = (Sequence(sequence.parse().ok()?), number.parse().ok()?);
        (place.0.is_legal() && (1..=HOLDS_MAX).contains(&place.1)).then_some(place)
    }
}

impl Store {
    /// The name of a record's object, below the store.
    #[must_use]
    pub fn record_object<R: Stored>(&self, place: R::Place) -> String {
        format!("{}/{}/{}", self.instance(), R::FOLDER, R::object(place))
    }

    /// The instances that have something in the store, whichever this is opened for.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    pub async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        let list = || async {
            let listed = self.objects.list_with_delimiter(None).await;
            listed.map_err(|error| self.failed("list", "", error))
        };
        let folders = self.keep_trying(list).await?.common_prefixes;
        let names = folders.iter().filter_map(|folder| folder.filename());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Every record of a kind, in the order of their places, and what else lies there.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    pub async fn records<R: Stored>(&self) -> Result<RecordListing<R::Place>, StoreError>
    where
        R::Place: Ord,
    {
        let folder = format!("{}/{}", self.instance(), R::FOLDER);
        let (mut records, mut foreign) = (Vec::new(), Vec::new());
        let sort = |object: ObjectMeta| {
            let place = object.location.filename().and_then(R::place);
            let is_its_name =
                |place: &R::Place| object.location.as_ref() == self.record_object::<R>(*place);
            match place.filter(is_its_name) {
                Some(place) => records.push(RecordEntry {
                    place,
                    bytes: object.size,
                    modified: object.last_modified.timestamp_millis(),
                }),
                None => foreign.push(object.location.to_string()),
            }
        };
        self.list(&folder, sort).await?;
        records.sort_by_key(|entry| entry.place);
        Ok(RecordListing { records, foreign })
    }

    /// One record.
    ///
    /// # Errors
    /// [`StoreError`]; `NotFound` if it is not there.
    pub async fn record<R: Stored>(&self, place: R::Place) -> Result<Unverified<R>, StoreError> {
        let object = self.record_object::<R>(place);
        let bytes = self.get(&object, Size::AtMost(RECORD_MAX), 0).await?;
        Ok(Unverified::new(bytes))
    }

    /// Writes a record where none is; its signature comes first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_record<R: Stored>(
        &self,
        place: R::Place,
        bytes: Vec<u8>,
        signature: String,
        exclusivity: Exclusivity,
    ) -> Result<Creation, StoreError> {
        self.put_signature(Digest::of(&bytes), signature).await?;
        self.create(&self.record_object::<R>(place), bytes, exclusivity)
            .await
    }
}
