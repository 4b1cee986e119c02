//! `limit`: how fast bulk may move, for all nodes together. Kept in the settings; holds at once in a node that runs.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::blocking;
use crate::api::{Failure, Limit, LimitAnswer, RateChoice};
use crate::config::Rate;
use crate::node::Node;

/// Sets what is given and tells what holds.
pub(crate) async fn run(node: &Arc<Node>, limit: Limit) -> Result<LimitAnswer, Failure> {
    let node = Arc::clone(node);
    blocking(move || {
        if limit.up.is_some() || limit.down.is_some() {
            node.change_settings(|config| {
                config.limit_up = chosen(limit.up, config.limit_up);
                config.limit_down = chosen(limit.down, config.limit_down);
            })?;
        }
        let config = node.config();
        Ok(LimitAnswer {
            up: config.limit_up.map(NonZeroU64::get),
            down: config.limit_down.map(NonZeroU64::get),
        })
    })
    .await
}

fn chosen(choice: Option<RateChoice>, before: Option<Rate>) -> Option<Rate> {
    match choice {
        None => before,
        Some(RateChoice::Unlimited) => None,
        Some(RateChoice::BytesPerSecond(bytes)) => NonZeroU64::new(bytes),
    }
}
