//! Housekeeping, tried: what leaves the cluster, and when.
//!
//! Enters: records of known age, sinks that have them or not.
//! Leaves: the records that may go.
//! Never: an API server: what is decided here is pure.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    archive::{Archive, Settings},
    model::Digest,
};

fn at(days: i64) -> Now {
    Now {
        wall: Timestamp::UNIX_EPOCH
            .checked_add(SignedDuration::from_hours(days * 24))
            .unwrap(),
        monotonic: Duration::ZERO,
    }
}

fn chain() -> ChainId {
    ChainId {
        namespace: "shop".into(),
        name: "prod".into(),
        uid: "12345678-a".into(),
    }
}

/// Records 10 to 1, newest first, one a day.
fn names() -> Vec<RecordName> {
    (1..=10)
        .rev()
        .map(|sequence| RecordName {
            namespace: "shop".into(),
            application: "prod".into(),
            uid: "12345678".into(),
            sequence,
            created: at(i64::try_from(sequence).unwrap()).wall.to_string(),
            record_uid: format!("r{sequence}"),
        })
        .collect()
}

fn leave(settings: Settings, days: i64) -> Vec<u64> {
    let archive = Archive::new(settings, None, || at(0));
    leaving(archive.inner(), &chain(), &names(), at(days))
        .iter()
        .map(|name| name.sequence)
        .collect()
}

#[test]
fn without_a_sink_age_decides_and_the_newest_stays() {
    let settings = || Settings {
        keep: 2,
        keep_age: Duration::from_secs(5 * 24 * 3600),
        ..Settings::default()
    };
    assert_eq!(leave(settings(), 10), [4, 3, 2, 1]);
    assert_eq!(leave(settings(), 1000), (1..10).rev().collect::<Vec<u64>>());
}

#[test]
fn nothing_leaves_that_a_sink_does_not_have() {
    let settings = Settings {
        keep: 2,
        directory: Some("/nowhere".into()),
        keep_age: Duration::from_secs(1),
        ..Settings::default()
    };
    assert_eq!(leave(settings, 1000), [0; 0]);
}

#[test]
fn the_newest_checkpoints_stay_within_their_limits() {
    let lines: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let kept = newest_lines(&lines.join("\n"));
    assert_eq!(kept.lines().count(), KEPT);
    assert_eq!(kept.lines().last(), Some("99"));
    let large = "x".repeat(KEPT_BYTES / 2);
    assert_eq!(
        newest_lines(&format!("{large}\n{large}\n1\n"))
            .lines()
            .count(),
        2
    );
}

#[test]
fn a_sink_that_fails_or_is_late_stops_changes_only_where_that_is_chosen() {
    let archive = |fail_closed| {
        Archive::new(
            Settings {
                fail_closed,
                directory: Some("/nowhere".into()),
                ..Settings::default()
            },
            None,
            || Now {
                wall: Timestamp::UNIX_EPOCH,
                monotonic: Duration::from_secs(100),
            },
        )
    };
    let head = RecordHead {
        sequence: 3,
        hash: Digest::of(b"3"),
    };
    let closed = archive(true);
    assert_eq!(closed.forbids_changes(), None);
    closed.know(chain(), head.clone());
    assert_eq!(closed.standing().waiting(), 3);
    assert_eq!(closed.forbids_changes(), None, "it has just begun to wait");
    let standing = closed.standing();
    assert!(
        standing
            .stopped(Duration::from_secs(131), Duration::from_secs(30))
            .unwrap()
            .contains("records waiting: 3")
    );
    closed.inner().fail_for_test("the disk is full");
    assert!(
        closed
            .forbids_changes()
            .unwrap()
            .contains("the disk is full")
    );
    let open = archive(false);
    open.know(chain(), head);
    open.inner().fail_for_test("the disk is full");
    assert_eq!(open.forbids_changes(), None);
}
