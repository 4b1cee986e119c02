//! Waiting for hosts: a command that runs a node for its own length gives its hosts a moment to answer, and no more.
//!
//! When to stop is a rule of its own (`goes_on`), so that it can be tried without hosts; everything else here only looks and sleeps.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::node::Node;

/// How long hosts have to answer before a command goes on without them.
const CONTACT_MAX: Duration = Duration::from_secs(10);

/// With somebody connected, the others have only this long: a dead machine answers no dial, and a QUIC handshake gives up late.
const OTHERS_MAX: Duration = Duration::from_secs(2);

/// With somebody connected, and nobody else for this long, a job may begin that waits by itself for what it lacks: hosts that are
/// there come within a few round trips of each other.
const LULL: Duration = Duration::from_millis(250);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(25);

const _: () = assert!(LULL.as_millis() > LOOK.as_millis() && LULL.as_millis() < OTHERS_MAX.as_millis());
const _: () = assert!(OTHERS_MAX.as_millis() < CONTACT_MAX.as_millis());

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Every member, as far as it answers soon.
    Everybody,
    /// Those who answer at once.
    Quick,
}

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Since the wait began.
    waited: Duration,
    /// Since the last member came, or the wait began.
    lull: Duration,
    /// Members that are connected (count).
    online: usize,
    /// Whether every other member is connected, or was dialled in vain.
    all_answered: bool,
}

/// Waits until every other member is connected, was dialled in vain, or has had its time.
pub(crate) async fn hosts(node: &Arc<Node>) {
    wait(node, Wanted::Everybody).await;
}

/// Waits until those members are connected who answer at once. For a job that waits by itself, pack by pack, as long as too few of
/// those who hold it are connected and others are still being dialled (`source`): where enough hosts answer, a dead one costs nothing.
pub(crate) async fn quick_hosts(node: &Arc<Node>) {
    wait(node, Wanted::Quick).await;
}

async fn wait(node: &Arc<Node>, wanted: Wanted) {
    let started = clock::instant();
    let (mut online, mut changed_at) = (0, started);
    loop {
        let now = clock::instant();
        let online_now = node.pulse.online().len();
        if online_now != online {
            (online, changed_at) = (online_now, now);
        }
        let seen = Seen {
            waited: now.saturating_duration_since(started),
            lull: now.saturating_duration_since(changed_at),
            online,
            all_answered: all_answered(node),
        };
        if !goes_on(wanted, seen) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether to wait longer.
fn goes_on(wanted: Wanted, seen: Seen) -> bool {
    if seen.all_answered || seen.waited >= CONTACT_MAX {
        return false;
    }
    if seen.online == 0 {
        return true;
    }
    match wanted {
        Wanted::Everybody => seen.waited < OTHERS_MAX,
        Wanted::Quick => seen.lull < LULL && seen.waited < OTHERS_MAX,
    }
}

/// Whether every other member is connected, or was dialled in vain.
pub(crate) fn all_answered(node: &Node) -> bool {
    let own = node.identity.node;
    node.circle
        .members()
        .iter()
        .all(|member| *member == own || node.pulse.has_answered(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(waited_ms: u64, lull_ms: u64, online: usize) -> Seen {
        Seen {
            waited: Duration::from_millis(waited_ms),
            lull: Duration::from_millis(lull_ms),
            online,
            all_answered: false,
        }
    }

    #[test]
    fn when_everybody_has_answered_nothing_is_waited_for() {
        for wanted in [Wanted::Everybody, Wanted::Quick] {
            for online in [0, 3] {
                let all = Seen {
                    all_answered: true,
                    ..seen(0, 0, online)
                };
                assert!(!goes_on(wanted, all));
            }
        }
    }

    #[test]
    fn with_nobody_there_a_command_waits_its_whole_time_and_no_longer() {
        for wanted in [Wanted::Everybody, Wanted::Quick] {
            assert!(goes_on(wanted, seen(9_999, 9_999, 0)));
            assert!(!goes_on(wanted, seen(10_000, 10_000, 0)));
        }
    }

    #[test]
    fn a_silent_member_is_waited_for_where_everybody_is_wanted_and_not_where_the_quick_ones_do() {
        assert!(goes_on(Wanted::Everybody, seen(1_999, 1_900, 1)));
        assert!(!goes_on(Wanted::Everybody, seen(2_000, 1_900, 1)));
        assert!(goes_on(Wanted::Quick, seen(100, 100, 1)));
        assert!(goes_on(Wanted::Quick, seen(600, 50, 2)), "one has just come");
        assert!(!goes_on(Wanted::Quick, seen(300, 250, 1)));
        assert!(
            !goes_on(Wanted::Quick, seen(2_000, 10, 9)),
            "however many come and go"
        );
    }
}
