//! Turns a stream of bytes into content-defined chunks. Holds one buffer of bounded size; reads from whatever it is given.

use nuthatch_format::chunker::Chunker;

/// Bytes asked for in one read.
const READ_LEN: usize = 1024 * 1024;

/// Cuts what it is fed. The buffer never holds more than one maximum chunk and one read.
pub(crate) struct Cutter<'a> {
    chunker: &'a Chunker,
    buffer: Vec<u8>,
    start: usize,
    at_end: bool,
}

impl<'a> Cutter<'a> {
    /// An empty cutter.
    pub(crate) fn new(chunker: &'a Chunker) -> Self {
        Self {
            chunker,
            buffer: Vec::new(),
            start: 0,
            at_end: false,
        }
    }

    /// Makes it ready for the next stream, keeping its buffer.
    pub(crate) fn reset(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.at_end = false;
    }

    /// Takes more bytes of the stream. The caller cuts with [`Self::next`] between pushes, so that little is held.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.compact();
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that the stream is complete: what is held is the rest.
    pub(crate) fn end(&mut self) {
        self.at_end = true;
    }

    /// Reads once, up to [`READ_LEN`] bytes; when nothing more comes, the stream is complete.
    pub(crate) fn fill<E>(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        self.compact();
        let held = self.buffer.len();
        self.buffer.resize(held + READ_LEN, 0);
        let result = read(self.buffer.get_mut(held..).unwrap_or_default());
        let count = *result.as_ref().unwrap_or(&0);
        self.buffer.truncate(held + count);
        if result? == 0 {
            self.at_end = true;
        }
        Ok(count)
    }

    /// The next whole chunk; `None` when more of the stream is needed, or when it is done.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        let held = self.buffer.get(self.start..)?;
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
        self.at_end && self.start >= self.buffer.len()
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }
}
