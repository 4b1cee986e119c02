//! Buffers that were read into and are not needed any more, for the next reading: a fresh one has to be cleared page by page.

use parking_lot::Mutex;

/// Buffers that are kept (count): a job reads so many packs at a time.
const KEPT_MAX: usize = 3;

/// Shortest that is kept, in bytes; the allocator itself keeps shorter ones ready.
const KEPT_LEN_MIN: usize = 2 << 20;

/// Buffers of one job.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A buffer of this length, with any bytes of this job in it.
    pub(super) fn take(&self, len: usize) -> Vec<u8> {
        let mut kept = self.0.lock();
        let fitting = kept.iter().position(|buffer| buffer.len() >= len);
        let found = fitting
            .filter(|_| len >= KEPT_LEN_MIN)
            .map(|at| kept.swap_remove(at));
        drop(kept);
        match found {
            Some(mut buffer) => {
                buffer.truncate(len);
                buffer
            }
            None => vec![0; len],
        }
    }

    /// Keeps buffers as far as there is room for them.
    pub(super) fn give_back(&self, buffers: impl IntoIterator<Item = Vec<u8>>) {
        let mut kept = self.0.lock();
        for buffer in buffers {
            if kept.len() < KEPT_MAX && buffer.len() >= KEPT_LEN_MIN {
                kept.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_long_buffers_are_kept_and_each_is_as_long_as_it_was_asked_for() {
        let buffers = Buffers::default();
        buffers.give_back([vec![1; 10], vec![2; KEPT_LEN_MIN + 5]]);
        assert_eq!(buffers.take(10), [0; 10], "a short one is a new one");
        assert_eq!(buffers.take(KEPT_LEN_MIN + 6).len(), KEPT_LEN_MIN + 6);
        assert_eq!(buffers.take(KEPT_LEN_MIN), vec![2; KEPT_LEN_MIN]);
        assert_eq!(buffers.take(KEPT_LEN_MIN), vec![0; KEPT_LEN_MIN]);
        buffers.give_back((0..9).map(|_| vec![3; KEPT_LEN_MIN]));
        assert_eq!(buffers.0.lock().len(), KEPT_MAX);
    }
}
