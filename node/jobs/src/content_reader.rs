//! Reads a content list, however long, as a stream of chunk ids. Asks for list chunks one at a time and believes no length.

use nuthatch_format::ChunkId;
use nuthatch_format::content::{CONTENT_DEPTH_MAX, Content, IdReader};

/// Where chunks of lists and trees come from.
pub(crate) trait ChunkReader {
    /// Why a chunk could not be had.
    type Error;

    /// The plaintext of a chunk, checked against its id.
    fn chunk(&mut self, id: &ChunkId) -> Result<Vec<u8>, Self::Error>;
}

/// Why a content list could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError<E> {
    /// A chunk of the list could not be had.
    #[error(transparent)]
    Chunk(E),
    /// The list is not a whole number of ids, or has too many levels.
    #[error("a content list is malformed")]
    Malformed,
}

/// A stream of the ids that a content list names, in order. Holds one chunk a level.
#[derive(Debug)]
pub(crate) struct ContentReader {
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    ids: std::vec::IntoIter<ChunkId>,
    reader: IdReader,
}

impl ContentReader {
    /// The stream of this list's ids.
    pub(crate) fn new<E>(content: &Content) -> Result<Self, ContentError<E>> {
        if content.depth > CONTENT_DEPTH_MAX {
            return Err(ContentError::Malformed);
        }
        let mut levels: Vec<Level> = (0..=content.depth).map(|_| Level::default()).collect();
        if let Some(top) = levels.last_mut() {
            top.ids = content.chunks.clone().into_iter();
        }
        Ok(Self { levels })
    }

    /// The next id of the data, or `None` at the end.
    pub(crate) fn next<R: ChunkReader>(
        &mut self,
        reader: &mut R,
    ) -> Result<Option<ChunkId>, ContentError<R::Error>> {
        self.next_at(0, reader)
    }

    fn next_at<R: ChunkReader>(
        &mut self,
        depth: usize,
        reader: &mut R,
    ) -> Result<Option<ChunkId>, ContentError<R::Error>> {
        loop {
            let Some(level) = self.levels.get_mut(depth) else {
                return Ok(None);
            };
            if let Some(id) = level.ids.next() {
                return Ok(Some(id));
            }
            let above = self.next_at(depth + 1, reader)?;
            let Some(level) = self.levels.get_mut(depth) else {
                return Ok(None);
            };
            let Some(above) = above else {
                let list = std::mem::take(&mut level.reader);
                return list.finish().map(|()| None).map_err(|_| ContentError::Malformed);
            };
            let bytes = reader.chunk(&above).map_err(ContentError::Chunk)?;
            level.ids = level.reader.push(&bytes).into_iter();
        }
    }
}

#[cfg(test)]
mod tests;
