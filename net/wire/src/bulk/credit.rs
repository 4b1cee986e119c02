//! How much payload may be on its way: one account for each operation and direction, kept alike by both sides.
//!
//! Payload may be sent while the account is above zero, and takes its whole length from it, so one frame may overdraw it: a window
//! smaller than a frame slows a transfer, but never stops it.

/// Most credit that may be outstanding, in bytes. What a receiver must be ready to hold is this and one frame.
pub const CREDIT_MAX: u64 = 64 * 1024 * 1024;

/// An account of credit in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credit {
    /// Below zero after a frame that was larger than what was left.
    left: i64,
}

/// The other side breaks the rules of credit: the stream is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditError {
    /// Payload came without credit for it.
    #[error("payload came without credit")]
    Overdrawn,
    /// More credit was given than anyone may give.
    #[error("credit above {CREDIT_MAX} bytes")]
    TooMuch,
}

impl Credit {
    /// Adds credit given or received.
    pub fn add(&mut self, bytes: u64) -> Result<(), CreditError> {
        let left = i64::try_from(bytes)
            .ok()
            .and_then(|bytes| self.left.checked_add(bytes));
        match left {
            Some(left) if left <= CREDIT_MAX as i64 => {
                self.left = left;
                Ok(())
            }
            Some(_) | None => Err(CreditError::TooMuch),
        }
    }

    /// Whether payload may be sent now.
    pub const fn is_open(&self) -> bool {
        self.left > 0
    }

    /// Takes the payload of one frame, sent or received.
    pub fn take(&mut self, payload_len: u64) -> Result<(), CreditError> {
        if !self.is_open() {
            return Err(CreditError::Overdrawn);
        }
        let payload_len = i64::try_from(payload_len).map_err(|_| CreditError::Overdrawn)?;
        self.left -= payload_len;
        Ok(())
    }

    /// What is left, in bytes; below zero after a frame that was larger.
    pub const fn left(&self) -> i64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_may_overdraw_and_no_second() {
        let mut credit = Credit::default();
        assert_eq!(credit.take(1), Err(CreditError::Overdrawn));
        credit.add(10).unwrap();
        assert_eq!(credit.take(1000), Ok(()));
        assert_eq!(credit.left(), -990);
        assert_eq!(credit.take(1), Err(CreditError::Overdrawn));
        credit.add(990).unwrap();
        assert!(!credit.is_open());
        credit.add(1).unwrap();
        assert_eq!(credit.take(1), Ok(()));
    }

    #[test]
    fn credit_has_a_ceiling() {
        let mut credit = Credit::default();
        credit.add(CREDIT_MAX).unwrap();
        assert_eq!(credit.add(1), Err(CreditError::TooMuch));
        assert_eq!(credit.add(u64::MAX), Err(CreditError::TooMuch));
        assert_eq!(credit.left(), CREDIT_MAX as i64);
    }
}
