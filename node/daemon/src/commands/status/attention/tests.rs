//! Laws of what is brought to a person's attention.

use super::keeping::{AuditTrouble, KeepingFacts};
use super::*;
use crate::api::RepairStanding;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn well() -> Facts {
    Facts {
        now: NOW,
        is_running: true,
        has_archive: true,
        is_circle_member: Some(true),
        other_members: 3,
        hosts: 3,
        backup: Some(BackupFacts {
            at: NOW,
            protection: Protection::Protected,
            survives: 1,
            target: 1,
            waiting_for: Vec::new(),
        }),
        staged: ByteCount::ZERO,
        full: Vec::new(),
        away: Vec::new(),
        faults: Vec::new(),
        waiting: 0,
        kit: Some(KitState::Good),
        disk_free: ByteCount(1 << 40),
        is_vault_there: true,
        keeping: KeepingFacts::default(),
        giving: GivingFacts::default(),
    }
}

fn kinds(facts: &Facts) -> Vec<String> {
    attention(facts).into_iter().map(|item| item.kind).collect()
}

fn with_backup(change: impl FnOnce(&mut BackupFacts)) -> Facts {
    let mut facts = well();
    if let Some(backup) = &mut facts.backup {
        change(backup);
    }
    facts
}

#[test]
fn where_all_is_well_nobody_is_bothered() {
    assert!(kinds(&well()).is_empty());
    let host_only = Facts {
        has_archive: false,
        backup: None,
        kit: None,
        hosts: 0,
        ..well()
    };
    assert!(kinds(&host_only).is_empty());
}

#[test]
fn a_node_that_does_not_run_is_named_where_others_count_on_it() {
    let still = Facts {
        is_running: false,
        ..well()
    };
    assert_eq!(kinds(&still), ["no_node"]);
    let alone = Facts {
        other_members: 0,
        ..still
    };
    assert!(kinds(&alone).is_empty());
}

#[test]
fn a_backup_that_is_on_this_machine_only_asks_for_an_invitation() {
    let alone = Facts {
        hosts: 0,
        other_members: 0,
        kit: Some(KitState::Good),
        is_circle_member: None,
        ..well()
    };
    let list = attention(&alone);
    assert_eq!(
        list.first()
            .map(|item| (item.kind.as_str(), item.command.as_str())),
        Some(("no_hosts", "nuthatch invite"))
    );
    let empty = Facts {
        backup: None,
        ..alone
    };
    assert_eq!(kinds(&empty), ["no_backup", "no_hosts"]);
}

#[test]
fn what_is_less_than_protected_names_who_is_missing() {
    let facts = with_backup(|backup| {
        backup.protection = Protection::Staged;
        backup.waiting_for = vec!["berta".to_owned()];
    });
    let list = attention(&facts);
    assert_eq!(list.len(), 1);
    assert!(
        list.iter()
            .all(|item| item.kind == "not_protected" && item.message.contains("berta"))
    );
}

#[test]
fn when_every_host_is_full_waiting_does_not_help_and_another_host_does() {
    let mut facts = with_backup(|backup| backup.protection = Protection::Recoverable);
    facts.full = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    assert_eq!(kinds(&facts), ["not_protected", "hosts_full"]);
    assert!(
        attention(&facts)
            .first()
            .is_some_and(|item| item.command == "nuthatch invite")
    );
}

#[test]
fn bytes_that_wait_are_named_although_the_backup_is_protected() {
    assert_eq!(
        kinds(&Facts {
            staged: ByteCount(1),
            ..well()
        }),
        ["staged"]
    );
}

#[test]
fn a_host_is_named_when_it_is_away_for_long_and_not_before() {
    let away = |days| Facts {
        away: vec![AwayHost {
            name: "nas".to_owned(),
            since: Timestamp(NOW.0 - Span::from_days(days).0),
        }],
        ..well()
    };
    assert!(kinds(&away(6)).is_empty());
    assert_eq!(kinds(&away(8)), ["host_away"]);
}

#[test]
fn an_old_backup_a_full_disk_and_a_waiting_node_are_named() {
    let old = with_backup(|backup| backup.at = Timestamp(NOW.0 - Span::from_days(8).0));
    assert_eq!(kinds(&old), ["backup_old"]);
    assert_eq!(
        kinds(&Facts {
            disk_free: ByteCount(0),
            ..well()
        }),
        ["disk_full"]
    );
    assert_eq!(kinds(&Facts { waiting: 1, ..well() }), ["invitation_waiting"]);
    assert_eq!(
        kinds(&Facts {
            is_circle_member: Some(false),
            ..well()
        }),
        ["not_a_member"]
    );
    assert_eq!(
        kinds(&Facts {
            giving: GivingFacts {
                over: ByteCount(1),
                ..GivingFacts::default()
            },
            ..well()
        }),
        ["over_quota"]
    );
    assert_eq!(
        kinds(&Facts {
            kit: Some(KitState::Missing),
            ..well()
        }),
        ["kit_missing"]
    );
    assert_eq!(
        kinds(&Facts {
            kit: Some(KitState::Stale),
            ..well()
        }),
        ["kit_stale"]
    );
}

#[test]
fn faults_are_bounded_and_the_newest_are_named() {
    let fault = |number: usize| SeenFault {
        kind: FaultKind::WrongBytes,
        host: Some("carl".to_owned()),
        message: format!("fault {number}"),
    };
    let facts = Facts {
        faults: (0..100).map(fault).collect(),
        ..well()
    };
    let list = attention(&facts);
    assert_eq!(list.len(), FAULTS_NAMED_MAX);
    assert!(list.last().is_some_and(|item| item.message == "carl: fault 99"));
}

#[test]
fn a_node_that_used_a_spent_invitation_is_named_once() {
    let reused = SeenFault {
        kind: FaultKind::InvitationReused,
        host: None,
        message: "a second node".to_owned(),
    };
    let turned_away = Facts {
        faults: vec![reused],
        ..well()
    };
    assert_eq!(kinds(&turned_away), ["invitation_reused"]);
    let kept = Facts {
        waiting: 1,
        ..turned_away
    };
    assert_eq!(kinds(&kept), ["invitation_waiting"]);
}

#[test]
fn whatever_is_brought_up_comes_with_a_command() {
    let kinds = [
        FaultKind::WrongBytes,
        FaultKind::Truncated,
        FaultKind::WrongShard,
        FaultKind::OldJournal,
        FaultKind::Silent,
        FaultKind::TwoLines,
        FaultKind::InvitationReused,
        FaultKind::OwnDisk,
    ];
    for kind in kinds {
        assert!(!command_for(kind).is_empty());
    }
}

#[test]
fn hosts_that_are_gone_or_may_go_and_packs_that_wait_are_named_with_their_commands() {
    let facts = Facts {
        keeping: KeepingFacts {
            gone: vec![("mia".to_owned(), Some(NOW)), ("noa".to_owned(), None)],
            drained: vec!["tom".to_owned()],
            audits: vec![
                ("liz".to_owned(), AuditTrouble::Caught),
                ("ned".to_owned(), AuditTrouble::Detached(NOW)),
                ("sam".to_owned(), AuditTrouble::Overdue),
            ],
            repair: RepairStanding {
                running: 0,
                waiting_for_room: 1,
                waiting_for_hosts: 2,
                unrepairable: 3,
                clumped: 4,
                ..RepairStanding::default()
            },
            is_cut: true,
        },
        ..well()
    };
    let wanted = [
        "link_cut",
        "audit_caught",
        "audit_detached",
        "audit_overdue",
        "unrepairable",
        "repair_waits",
        "repair_waits",
        "clumped",
        "host_gone",
        "host_gone",
        "drained",
    ];
    assert_eq!(kinds(&facts), wanted);
    let commands: Vec<String> = attention(&facts).into_iter().map(|item| item.command).collect();
    assert!(
        commands.contains(&"nuthatch peer lost mia".to_owned()),
        "{commands:?}"
    );
}

#[test]
fn a_disk_that_is_not_connected_is_named_to_its_own_person() {
    let facts = Facts {
        is_vault_there: false,
        ..well()
    };
    assert_eq!(kinds(&facts), ["vault_detached"]);
}
