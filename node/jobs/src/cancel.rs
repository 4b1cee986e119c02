//! How a job is told to stop. Set once, from any thread; read at every step that can wait. Never undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that ends a job. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    /// Of the job that this is a part of, and of what that is a part of.
    above: Vec<Arc<AtomicBool>>,
}

/// The job was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag for the parts of one job: set with this one, or alone when one part fails and the others have to end.
    pub(crate) fn for_parts(&self) -> Self {
        let mut above = self.above.clone();
        above.push(Arc::clone(&self.own));
        Self {
            own: Arc::default(),
            above,
        }
    }

    /// Tells the job to stop at its next step.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::Release);
    }

    /// Whether the job was told to stop.
    pub fn is_cancelled(&self) -> bool {
        let is_set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Acquire);
        is_set(&self.own) || self.above.iter().any(is_set)
    }

    /// An error once the job was told to stop, for use with `?`.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stops_with_its_job_but_not_the_job_with_a_part() {
        let job = Cancel::new();
        let part = job.for_parts();
        part.cancel();
        assert_eq!((part.check(), job.check()), (Err(Cancelled), Ok(())));
        let part_of_part = job.for_parts().for_parts();
        job.cancel();
        assert!(part_of_part.is_cancelled());
    }
}
