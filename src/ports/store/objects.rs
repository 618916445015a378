//! Objects by name: write, read, list, delete, each as often as it takes.

use super::Store;
use super::error::StoreError;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, ObjectStoreExt, PutMode,
    PutPayload,
};
use std::io::{self, Read};
use tokio::task::spawn_blocking;

/// What size an object may have; checked before a byte of it is read.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Exactly(u64),
    AtMost(u64),
}

impl Store {
    /// Writes an object, whatever was there.
    pub(super) async fn put(&self, object: &str, bytes: Bytes) -> Result<(), StoreError> {
        let write = || self.put_once(object, bytes.clone(), PutMode::Overwrite);
        self.keep_trying(write).await
    }

    /// Writes an object, in one attempt.
    pub(super) async fn put_once(
        &self,
        object: &str,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<(), StoreError> {
        if self.remote.is_none() {
            self.network.pass_up(bytes.len()).await;
        }
        let (path, bytes) = (ObjectPath::from(object), PutPayload::from_bytes(bytes));
        let put = self.objects.put_opts(&path, bytes, mode.into()).await;
        put.map(drop)
            .map_err(|error| self.failed("write", object, error))
    }

    /// Reads an object into a buffer of its own, so that its capacity is ours to choose. A download
    /// that breaks off goes on where it was, if the object is still the same.
    pub(super) async fn get(
        &self,
        object: &str,
        size: Size,
        capacity: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let mut reading = Reading {
            object,
            size,
            buffer: Vec::with_capacity(capacity),
            tag: None,
        };
        let mut attempts = self.network.attempts();
        loop {
            let before = reading.buffer.len();
            match self.read_on(&mut reading).await {
                Ok(()) => return Ok(reading.buffer),
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => {
                    if reading.buffer.len() > before {
                        attempts = self.network.attempts();
                    }
                    if !attempts.another(&error).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Reads from where the buffer ends to the end of the object.
    async fn read_on(&self, reading: &mut Reading<'_>) -> Result<(), StoreError> {
        let object = reading.object;
        let fail = |error| self.failed("read", object, error);
        if reading.tag.is_none() {
            reading.buffer.clear();
        }
        let options = match reading.buffer.len() as u64 {
            0 => GetOptions::default(),
            at => GetOptions {
                range: Some(GetRange::Offset(at)),
                if_match: reading.tag.clone(),
                ..GetOptions::default()
            },
        };
        let found = self
            .objects
            .get_opts(&ObjectPath::from(object), options)
            .await;
        let found = found.map_err(fail)?;
        let bytes = found.meta.size;
        let wrong_size = || StoreError::WrongSize {
            object: object.into(),
            store: self.url.identity(),
            bytes,
        };
        let fits = match reading.size {
            Size::Exactly(expected) => bytes == expected,
            Size::AtMost(limit) => bytes <= limit,
        };
        if !fits {
            return Err(wrong_size());
        }
        reading.tag.clone_from(&found.meta.e_tag);
        self.receive(found, reading).await?;
        if reading.buffer.len() as u64 == bytes {
            Ok(())
        } else {
            Err(wrong_size())
        }
    }

    async fn receive(&self, found: GetResult, reading: &mut Reading<'_>) -> Result<(), StoreError> {
        let (object, bytes) = (reading.object, found.meta.size);
        match found.payload {
            GetResultPayload::File(file, _) => {
                self.network
                    .download
                    .pass(usize::try_from(bytes).unwrap_or(usize::MAX))
                    .await;
                let mut buffer = std::mem::take(&mut reading.buffer);
                let read = move || file.take(bytes).read_to_end(&mut buffer).map(|_| buffer);
                let read = spawn_blocking(read).await.map_err(io::Error::other);
                let read = read.and_then(|read| read);
                reading.buffer =
                    read.map_err(|error| StoreError::from_io("read", object, &self.url, error))?;
            }
            GetResultPayload::Stream(mut stream) => {
                let fail = |error| self.failed("read", object, error);
                while let Some(piece) = stream.try_next().await.map_err(fail)? {
                    // More than was announced is as wrong as less.
                    if (reading.buffer.len() + piece.len()) as u64 > bytes {
                        reading.buffer.clear();
                        break;
                    }
                    reading.buffer.extend_from_slice(&piece);
                }
            }
        }
        Ok(())
    }

    /// What is known of an object without reading it.
    pub(super) async fn head(&self, object: &str) -> Result<ObjectMeta, StoreError> {
        let path = ObjectPath::from(object);
        let ask = || async {
            let found = self.objects.head(&path).await;
            found.map_err(|error| self.failed("look at", object, error))
        };
        self.keep_trying(ask).await
    }

    /// Deletes an object.
    pub(super) async fn delete(&self, object: &str) -> Result<(), StoreError> {
        let path = ObjectPath::from(object);
        let delete = || async {
            let deleted = self.objects.delete(&path).await;
            deleted.map_err(|error| self.failed("delete", object, error))
        };
        self.keep_trying(delete).await
    }

    /// Calls a function for every object below a folder, once each. A listing that breaks off goes
    /// on after the last object it had shown.
    pub(super) async fn list(
        &self,
        folder: &str,
        mut see: impl FnMut(ObjectMeta),
    ) -> Result<(), StoreError> {
        let path = ObjectPath::from(folder);
        let mut last: Option<ObjectPath> = None;
        let mut attempts = self.network.attempts();
        loop {
            let mut listing = match &last {
                None => self.objects.list(Some(&path)),
                Some(last) => self.objects.list_with_offset(Some(&path), last),
            };
            let error = loop {
                match listing.try_next().await {
                    Ok(None) => return Ok(()),
                    Ok(Some(found)) => {
                        if last.as_ref() != Some(&found.location) {
                            attempts = self.network.attempts();
                        }
                        last = Some(found.location.clone());
                        see(found);
                    }
                    Err(error) => break self.failed("list", folder, error),
                }
            };
            drop(listing);
            if !error.is_transient() || !attempts.another(&error).await {
                return Err(error);
            }
        }
    }

    pub(super) fn failed(
        &self,
        action: &'static str,
        object: &str,
        error: object_store::Error,
    ) -> StoreError {
        StoreError::from_object(action, object, &self.url, error)
    }

    /// Tries until it is done, cannot be done, or the deadline has passed.
    pub(super) async fn keep_trying<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempts = self.network.attempts();
        loop {
            match attempt().await {
                Err(error) if error.is_transient() => {
                    if !attempts.another(&error).await {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }
}

/// An object that is being read.
struct Reading<'a> {
    object: &'a str,
    size: Size,
    buffer: Vec<u8>,
    /// What the store calls these very bytes.
    tag: Option<String>,
}
