//! The recovery kit: a page for a drawer, for somebody who has never heard of this program. Holds no secret.

use nuthatch_daemon::api::KitAnswer;

use super::words;
use crate::terminal::escaped;

/// The page.
pub(crate) fn kit_text(kit: &KitAnswer) -> String {
    let mut lines = vec![
        "NUTHATCH RECOVERY KIT".to_owned(),
        "=====================".to_owned(),
        String::new(),
        format!("Archive   {}", kit.archive_id),
        format!("Written   {} UTC", words::moment(&kit.created)),
        String::new(),
        "This page and the 24 words bring back every file of this archive, on any computer.".to_owned(),
        "The words are not on this page. Without them nobody can read the backup, not even its owner.".to_owned(),
        "With them anybody can: keep them apart from this page, and secret.".to_owned(),
        String::new(),
        "The backup is kept by these machines, encrypted. One of them that is switched on is enough to begin;".to_owned(),
        "it knows the others.".to_owned(),
        String::new(),
    ];
    if kit.hosts.is_empty() {
        lines.push("  (none yet: invite a friend, then print this page again)".to_owned());
    }
    for (index, host) in kit.hosts.iter().enumerate() {
        lines.push(format!("  {}. {}", index + 1, escaped(&host.name)));
        lines.extend(
            host.addresses
                .iter()
                .map(|address| format!("       {}", escaped(address))),
        );
        if host.addresses.is_empty() {
            lines.push(format!("       {} (address not known)", escaped(&host.peer_id)));
        }
    }
    let address = kit
        .hosts
        .iter()
        .find_map(|host| host.addresses.first())
        .map_or("ADDRESS", String::as_str);
    lines.extend([
        String::new(),
        "What to do".to_owned(),
        "  1. Install nuthatch on a computer with enough room.".to_owned(),
        "  2. Run this and type the 24 words when asked:".to_owned(),
        format!("       nuthatch recover --peer {}", escaped(address)),
        "     If an address has changed, ask its owner, or try the next. At home, leave --peer out."
            .to_owned(),
        "  3. See what there is, and get it back:".to_owned(),
        "       nuthatch snapshots".to_owned(),
        "       nuthatch restore latest --target restored".to_owned(),
        String::new(),
        "Print a new page when the machines change: nuthatch kit".to_owned(),
    ]);
    lines.join("\n")
}
