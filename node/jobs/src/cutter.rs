//! Turns a stream of bytes into content-defined chunks. Holds one buffer of bounded size; reads from whatever it is given.

use nuthatch_format::chunker::Chunker;

/// Bytes asked for in one read.
const READ_LEN: usize = 1024 * 1024;

/// Cuts what it is fed. It never holds more than one maximum chunk and one read (or push).
pub(crate) struct Cutter<'a> {
    chunker: &'a Chunker,
    /// Bytes held are those from `start` to `end`; what is behind is room for reads.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
}

impl<'a> Cutter<'a> {
    /// An empty cutter.
    pub(crate) fn new(chunker: &'a Chunker) -> Self {
        Self {
            chunker,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            at_end: false,
        }
    }

    /// Makes it ready for the next stream, keeping its buffer.
    pub(crate) fn reset(&mut self) {
        self.start = 0;
        self.end = 0;
        self.at_end = false;
    }

    /// Takes more bytes of the stream. The caller cuts with [`Self::next`] between pushes, so that little is held.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.compact();
        self.buffer.truncate(self.end);
        self.buffer.extend_from_slice(bytes);
        self.end = self.buffer.len();
    }

    /// Says that the stream is complete: what is held is the rest.
    pub(crate) fn end(&mut self) {
        self.at_end = true;
    }

    /// Reads once, up to [`READ_LEN`] bytes; when nothing more comes, the stream is complete.
    pub(crate) fn fill<E>(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        self.compact();
        let room_end = self.end + READ_LEN;
        if self.buffer.len() < room_end {
            // Once for a long stream: room for reads is cleared when it is new and never again.
            self.buffer.resize(room_end.next_multiple_of(2 * READ_LEN), 0);
        }
        let room = self.buffer.get_mut(self.end..room_end).unwrap_or_default();
        let count = read(room)?.min(READ_LEN);
        self.end += count;
        if count == 0 {
            self.at_end = true;
        }
        Ok(count)
    }

    /// The next whole chunk; `None` when more of the stream is needed, or when it is done.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        let held = self.buffer.get(self.start..self.end)?;
        if held.is_empty() {
            return None;
        }
        let len = self.chunker.next_cut(held, self.at_end)?.clamp(1, held.len());
        let begin = self.start;
        self.start += len;
        self.buffer.get(begin..begin + len)
    }

    /// Whether the stream is complete and all of it was cut.
    pub(crate) fn is_done(&self) -> bool {
        self.at_end && self.start >= self.end
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use nuthatch_format::chunker::ChunkerParams;
    use proptest::prelude::*;

    use super::*;

    fn cut(data: &[u8], steps: &[usize], by_reading: bool) -> Vec<Vec<u8>> {
        let chunker = Chunker::new(&[3; 32], ChunkerParams::DEFAULT);
        let mut cutter = Cutter::new(&chunker);
        let (mut rest, mut chunks) = (data, Vec::new());
        for step in steps.iter().cycle() {
            let (own, behind) = rest.split_at((*step).min(rest.len()));
            if by_reading {
                let mut read = 0;
                let count = cutter.fill(|room| {
                    read = own.len().min(room.len());
                    room[..read].copy_from_slice(&own[..read]);
                    Ok::<usize, ()>(read)
                });
                rest = &rest[count.unwrap()..];
            } else {
                cutter.push(own);
                rest = behind;
                if rest.is_empty() {
                    cutter.end();
                }
            }
            while let Some(chunk) = cutter.next() {
                chunks.push(chunk.to_vec());
            }
            if cutter.is_done() {
                return chunks;
            }
        }
        chunks
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn chunks_do_not_depend_on_how_the_bytes_arrive(
            len in 0usize..4_000_000,
            steps in proptest::collection::vec(1usize..3_000_000, 1..5),
        ) {
            let mut data = vec![0; len];
            blake3::Hasher::new().finalize_xof().fill(&mut data);
            let at_once = cut(&data, &[len.max(1)], false);
            prop_assert_eq!(at_once.concat(), data.clone());
            prop_assert_eq!(&cut(&data, &steps, false), &at_once);
            prop_assert_eq!(&cut(&data, &steps, true), &at_once);
        }
    }
}
