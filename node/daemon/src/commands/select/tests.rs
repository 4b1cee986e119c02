//! Laws of choosing a snapshot.

use nuthatch_format::{ByteCount, SegmentId};

use super::*;

fn snapshot(id: u8, device: u8, line: u8, sequence: u64, time: u64) -> SnapshotSummary {
    SnapshotSummary {
        id: SnapshotId::from_bytes([id; 32]),
        device: DeviceId::from_bytes([device; 32]),
        line: LineId::from_bytes([line; LineId::LEN]),
        sequence,
        segment: SegmentId::from_bytes([id; 32]),
        time: Timestamp(time),
        tags: Vec::new(),
        bytes: ByteCount(0),
        files: 0,
        group: [0; 32],
        parent: None,
    }
}

fn id(byte: u8) -> SnapshotId {
    SnapshotId::from_bytes([byte; 32])
}

fn device(byte: u8) -> DeviceId {
    DeviceId::from_bytes([byte; 32])
}

#[test]
fn latest_stays_with_this_device_however_new_another_is() {
    let all = [snapshot(1, 1, 1, 0, 10), snapshot(2, 2, 2, 0, 1000)];
    assert_eq!(pick(&all, &device(1), "latest"), Ok(id(1)));
    assert_eq!(pick(&all, &device(2), "latest"), Ok(id(2)));
}

#[test]
fn a_device_without_snapshots_takes_the_only_other_one_and_guesses_between_none() {
    let one = [snapshot(1, 1, 1, 0, 10)];
    assert_eq!(pick(&one, &device(9), "latest"), Ok(id(1)));
    let two = [
        snapshot(1, 1, 1, 0, 10),
        snapshot(2, 2, 2, 0, 20),
        snapshot(3, 2, 2, 1, 30),
    ];
    let newest = vec![(device(1), id(1)), (device(2), id(3))];
    assert_eq!(
        pick(&two, &device(9), "latest"),
        Err(PickError::SeveralDevices { newest })
    );
    assert_eq!(pick(&[], &device(9), "latest"), Err(PickError::None));
}

#[test]
fn the_journal_orders_a_line_even_when_the_clock_went_back() {
    let all = [
        snapshot(1, 1, 1, 0, 5000),
        snapshot(2, 1, 1, 1, 10),
        snapshot(3, 1, 1, 2, 20),
    ];
    assert_eq!(pick(&all, &device(1), "latest"), Ok(id(3)));
    assert_eq!(pick(&all, &device(1), "latest~1"), Ok(id(2)));
    assert_eq!(pick(&all, &device(1), "latest~2"), Ok(id(1)));
    assert_eq!(
        pick(&all, &device(1), "latest~3"),
        Err(PickError::TooFarBack { count: 3 })
    );
    assert_eq!(
        pick(&all, &device(1), "latest~18446744073709551615"),
        Err(PickError::TooFarBack { count: 3 })
    );
}

#[test]
fn a_later_line_of_a_device_is_later_whatever_order_the_catalogue_learned_them_in() {
    let all = [
        snapshot(2, 1, 9, 0, 300),
        snapshot(1, 1, 8, 0, 100),
        snapshot(3, 1, 8, 1, 200),
    ];
    assert_eq!(pick(&all, &device(1), "latest"), Ok(id(2)));
    assert_eq!(pick(&all, &device(1), "latest~1"), Ok(id(3)));
}

#[test]
fn a_beginning_names_a_snapshot_when_it_is_the_only_one() {
    let all = [snapshot(0xab, 1, 1, 0, 1), snapshot(0xac, 2, 2, 0, 1)];
    assert_eq!(pick(&all, &device(1), "ab"), Ok(id(0xab)));
    assert_eq!(pick(&all, &device(1), "ACac"), Ok(id(0xac)));
    assert_eq!(
        pick(&all, &device(1), "a"),
        Err(PickError::Ambiguous {
            candidates: vec![id(0xab), id(0xac)]
        })
    );
    assert_eq!(pick(&all, &device(1), "ff"), Err(PickError::Unknown));
    assert_eq!(pick(&all, &device(1), &id(0xab).to_string()), Ok(id(0xab)));
}

#[test]
fn what_is_no_name_is_told_apart_from_what_is_not_there() {
    let all = [snapshot(1, 1, 1, 0, 1)];
    for text in ["", "latest~", "latest~x", "latest2", "xyz", "latest~-1"] {
        assert_eq!(pick(&all, &device(1), text), Err(PickError::NotAName), "{text}");
    }
}

#[test]
fn every_failure_says_what_to_do() {
    let errors = [
        PickError::NotAName,
        PickError::None,
        PickError::Unknown,
        PickError::TooFarBack { count: 1 },
        PickError::Ambiguous {
            candidates: vec![id(1), id(2)],
        },
        PickError::SeveralDevices {
            newest: vec![(device(1), id(1))],
        },
    ];
    for error in errors {
        assert!(failure("text", &error).hint.is_some());
    }
}
