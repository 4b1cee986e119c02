//! How a job is told to stop. Set once, from any thread; read at every step that can wait. Never undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that ends a job. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    parent: Option<Arc<AtomicBool>>,
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
        Self {
            own: Arc::default(),
            parent: Some(Arc::clone(&self.own)),
        }
    }

    /// Tells the job to stop at its next step.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::Release);
    }

    /// Whether the job was told to stop.
    pub fn is_cancelled(&self) -> bool {
        self.own.load(Ordering::Acquire)
            || self
                .parent
                .as_ref()
                .is_some_and(|parent| parent.load(Ordering::Acquire))
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
        let part = job.for_parts();
        job.cancel();
        assert!(part.is_cancelled());
    }
}
