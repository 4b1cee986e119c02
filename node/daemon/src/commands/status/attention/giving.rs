//! What needs a person about giving and taking: an account that is not even, holidays, hosts that leave. Pure.

use nuthatch_engine::fairness::{Balance, Stance};
use nuthatch_format::{ByteCount, Timestamp};

use super::item;
use crate::api::{Attention, rfc3339};

/// What the rule looks at.
#[derive(Debug, Clone, Default)]
pub(in crate::commands::status) struct GivingFacts {
    /// What the person here has said about hosting.
    pub(in crate::commands::status) stance: Stance,
    /// How much more is kept here than the quota allows.
    pub(in crate::commands::status) over: ByteCount,
    /// Hosts that find that this node gives them too little.
    pub(in crate::commands::status) warned_by: Vec<WarnedBy>,
    /// Hosts of ours that have said something about hosting, and what.
    pub(in crate::commands::status) stances: Vec<(String, Stance)>,
    /// Members with whom the account does not agree, and by how much.
    pub(in crate::commands::status) disagree: Vec<(String, ByteCount)>,
    /// Members that keep more here than they give, and how they stand.
    pub(in crate::commands::status) owing: Vec<(String, Balance)>,
}

/// A host that finds that this node gives it too little.
#[derive(Debug, Clone)]
pub(in crate::commands::status) struct WarnedBy {
    pub(in crate::commands::status) name: String,
    /// When nothing new is taken; `None`: already now.
    pub(in crate::commands::status) until: Option<Timestamp>,
    /// How much more this node would have to keep for it.
    pub(in crate::commands::status) lacking: ByteCount,
}

/// Adds what needs a person.
pub(super) fn giving(facts: &GivingFacts, list: &mut Vec<Attention>) {
    for warned in &facts.warned_by {
        let lacking = size(warned.lacking);
        let name = &warned.name;
        let message = match warned.until {
            Some(until) => format!(
                "{name} keeps more for this archive than this node keeps for it: keep {lacking} more for it until {}, or it takes \
                 nothing new (what it has stays)",
                rfc3339(until)
            ),
            None => format!(
                "{name} takes nothing new for this archive until this node keeps {lacking} more for it; what it has stays, and is given \
                 back at any time"
            ),
        };
        list.push(item("unbalanced", message, "nuthatch host quota SIZE"));
    }
    for (name, balance) in &facts.owing {
        if *balance == Balance::Releasable {
            let message = format!(
                "{name} has long kept more here than it gives, and was told: if you need the space, you may release it"
            );
            list.push(item("releasable", message, "nuthatch host release NAME"));
        }
    }
    for (name, stance) in &facts.stances {
        match stance {
            Stance::Leaving => {
                let message = format!("{name} is about to leave: what it keeps is copied to others first");
                list.push(item("host_leaving", message, "nuthatch peers"));
            }
            Stance::Paused { until } => {
                let until = until.map_or_else(String::new, |until| format!(" until {}", rfc3339(until)));
                let message = format!(
                    "{name} is on a holiday{until}: it keeps and gives what it has, and takes nothing new"
                );
                list.push(item("host_paused", message, "nuthatch peers"));
            }
            Stance::Open => {}
        }
    }
    for (name, by) in &facts.disagree {
        let message = format!(
            "{name} and this node do not agree on what each keeps for the other, by {}: one of the two has lost something, or says more \
             than it signed",
            size(*by)
        );
        list.push(item("ledger_disagrees", message, "nuthatch verify --quick"));
    }
    own(facts, list);
}

fn own(facts: &GivingFacts, list: &mut Vec<Attention>) {
    match facts.stance {
        Stance::Open => {}
        Stance::Paused { .. } => {
            let message = "this node is on a holiday: it takes nothing new from others";
            list.push(item("paused", message, "nuthatch host resume"));
        }
        Stance::Leaving => {
            let message = "this node is about to leave: look when it may be switched off";
            list.push(item("leaving", message, "nuthatch host leave"));
        }
    }
    if facts.over > ByteCount::ZERO {
        let message = format!(
            "this node keeps {} more for others than its quota allows: it takes nothing new, and deletes nothing by itself",
            size(facts.over)
        );
        list.push(item("over_quota", message, "nuthatch host quota"));
    }
}

fn size(bytes: ByteCount) -> String {
    bytesize::ByteSize(bytes.0).display().si().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(facts: &GivingFacts) -> Vec<(String, String)> {
        let mut list = Vec::new();
        giving(facts, &mut list);
        list.into_iter().map(|item| (item.kind, item.command)).collect()
    }

    #[test]
    fn an_even_account_and_open_hosts_need_nobody() {
        let facts = GivingFacts {
            stances: vec![("attic".to_owned(), Stance::Open)],
            owing: vec![("ben".to_owned(), Balance::Warned { until: Timestamp(1) })],
            ..GivingFacts::default()
        };
        assert!(kinds(&facts).is_empty());
    }

    #[test]
    fn who_is_warned_is_told_how_much_to_give_and_until_when() {
        let warned = WarnedBy {
            name: "ben".to_owned(),
            until: Some(Timestamp(0)),
            lacking: ByteCount(5_000_000_000),
        };
        let stopped = WarnedBy {
            until: None,
            ..warned.clone()
        };
        let facts = GivingFacts {
            warned_by: vec![warned, stopped],
            ..GivingFacts::default()
        };
        let mut list = Vec::new();
        giving(&facts, &mut list);
        assert!(
            list.iter()
                .all(|item| item.kind == "unbalanced" && item.message.contains("5.0 GB"))
        );
        assert!(list[0].message.contains("1970-01-01") && list[1].message.contains("nothing new"));
    }

    #[test]
    fn each_word_about_hosting_has_its_command() {
        let facts = GivingFacts {
            stance: Stance::Leaving,
            over: ByteCount(1),
            stances: vec![
                ("a".to_owned(), Stance::Leaving),
                ("b".to_owned(), Stance::Paused { until: None }),
            ],
            disagree: vec![("c".to_owned(), ByteCount(9))],
            owing: vec![("d".to_owned(), Balance::Releasable)],
            ..GivingFacts::default()
        };
        let kinds: Vec<String> = kinds(&facts).into_iter().map(|pair| pair.0).collect();
        assert_eq!(
            kinds,
            [
                "releasable",
                "host_leaving",
                "host_paused",
                "ledger_disagrees",
                "leaving",
                "over_quota"
            ]
        );
        let paused = GivingFacts {
            stance: Stance::Paused { until: None },
            ..GivingFacts::default()
        };
        assert_eq!(
            super::tests::kinds(&paused),
            [("paused".to_owned(), "nuthatch host resume".to_owned())]
        );
    }
}
