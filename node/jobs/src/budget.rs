//! One number of bytes that all large buffers of a job come from. It counts; it never allocates.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::cancel::{Cancel, Cancelled};

/// How often a waiting thread looks whether its job was cancelled.
pub(crate) const CANCEL_POLL: Duration = Duration::from_millis(50);

/// A bounded number of bytes, taken before a buffer is filled and given back when its holder drops.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    total: u64,
    free: Mutex<u64>,
    given_back: Condvar,
}

/// Bytes taken from a budget.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    budget: &'a ByteBudget,
    len: u64,
}

impl ByteBudget {
    /// A budget of so many bytes, at least one.
    pub(crate) fn new(total: u64) -> Self {
        let total = total.max(1);
        Self {
            total,
            free: Mutex::new(total),
            given_back: Condvar::new(),
        }
    }

    /// Takes bytes, waiting until they are free. More than the whole budget counts as the whole budget, so that it is never waited for
    /// in vain.
    pub(crate) fn take(&self, len: u64, cancel: &Cancel) -> Result<Held<'_>, Cancelled> {
        let len = len.min(self.total);
        let mut free = self.free.lock();
        while *free < len {
            cancel.check()?;
            self.given_back.wait_for(&mut free, CANCEL_POLL);
        }
        *free -= len;
        Ok(Held { budget: self, len })
    }

    fn give_back(&self, len: u64) {
        *self.free.lock() += len;
        self.given_back.notify_all();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = ByteBudget::new(100);
        let cancel = Cancel::new();
        let first = budget.take(40, &cancel).unwrap();
        let second = budget.take(60, &cancel).unwrap();
        drop((first, second));
        drop(budget.take(1000, &cancel).unwrap());
        assert_eq!(*budget.free.lock(), 100);
    }

    #[test]
    fn waiting_ends_when_the_job_is_cancelled() {
        let budget = ByteBudget::new(10);
        let cancel = Cancel::new();
        let held = budget.take(10, &cancel).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(1, &cancel).map(drop));
            cancel.cancel();
            assert_eq!(waiting.join().unwrap(), Err(Cancelled));
        });
        drop(held);
    }

    #[test]
    fn a_waiting_thread_wakes_when_bytes_come_back() {
        let budget = ByteBudget::new(10);
        let cancel = Cancel::new();
        let held = budget.take(10, &cancel).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(4, &cancel).map(drop));
            drop(held);
            assert_eq!(waiting.join().unwrap(), Ok(()));
        });
    }
}
