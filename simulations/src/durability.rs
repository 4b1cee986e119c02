//! Durability: circles of friends over years, by the engine's policies alone. No message, no byte and no engine; what a node would
//! decide is asked of the same functions that it asks.
//!
//! Circles are independent of each other, and each is a function of the seed and its number, so that a hundred thousand peers take no more
//! memory than one circle. What people do is assumed, and stands in [`peers`] with its source or as an assumption.

pub mod circle;
pub mod figures;
pub mod peers;
pub mod plots;
pub mod published;
pub mod report;
