//! The history at the size that an auditor meets: made, verified, filtered, exported, reported.
//!
//! Enters: 10,000 records of one Application, and 100 of each of 500.
//! Leaves: times and peak memory, printed; goals are in docs/history.md, and nothing is asserted here but correctness.
//! Never: a figure of a part that was skipped: each verdict is looked at.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;

use jiff::Timestamp;
use plimsoll::{
    api::RecordHead,
    history::{
        Compliance, Dora, Entry, Expectations, Filter, ObjectChange, SourceEntry, Times, Trigger,
        Verifier, What, csv_line, read_record, record,
    },
    model::{ApplicationKey, CommitInfo, Digest, ObjectId, Revision},
    rollout::{Action, Ending},
};

fn entry(name: &str, number: u64) -> Entry {
    let at = Timestamp::from_second(1_760_000_000 + i64::try_from(number).unwrap_or(0) * 600)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    Entry {
        cluster: "c1c1c1c1-0000-4000-8000-000000000000".into(),
        application: ApplicationKey {
            namespace: "shop".into(),
            name: name.into(),
        },
        application_uid: format!("{name}-0000-4000-8000-00000000000a"),
        what: What::Attempt {
            attempt: number,
            action: Action::Sync,
            ending: Ending::Ready,
            trigger: Trigger::Commit,
        },
        source: Some(SourceEntry {
            repository: "https://git.example.org/shop-deploy".into(),
            path: "overlays/prod".into(),
            revision: Revision {
                reference: "main".into(),
                commit: format!("{number:040x}"),
            },
            commit: Some(CommitInfo {
                author: "Ann Author <ann@example.org>".into(),
                committer: "Ben Committer <ben@example.org>".into(),
                authored: at,
                committed: at,
                subject: format!("web {number}: a subject of usual length"),
                signed: true,
            }),
            remotes: Vec::new(),
        }),
        digest: Some(Digest::of(&number.to_be_bytes())),
        images: vec![format!("registry.example.org/shop/web:{number}")],
        changes: (0..4)
            .map(|index| ObjectChange {
                id: ObjectId::new("apps", "Deployment", "shop", &format!("web-{index}")),
                action: "update".into(),
                fields: vec![
                    ".spec.template.spec.containers[name=web].image".into(),
                    ".metadata.labels.version".into(),
                ],
            })
            .collect(),
        unchanged: 12,
        gates: Vec::new(),
        times: Times::at(at),
        resumed: false,
        details: String::new(),
        controller: "plimsoll-0".into(),
    }
}

fn chain(name: &str, records: u64) -> Vec<String> {
    let mut head: Option<RecordHead> = None;
    (1..=records)
        .map(|number| {
            let made = record(&entry(name, number), head.as_ref(), None);
            head = Some(made.head().clone());
            made.spec().record.clone()
        })
        .collect()
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    println!("{what}: {:.0?}", start.elapsed());
    done
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or("VmHWM unknown")
        .to_owned()
}

fn look(what: &str, lines: &[String]) {
    let bytes: usize = lines.iter().map(String::len).sum();
    println!("{what}: {} records, {} KiB", lines.len(), bytes >> 10);
    let verdict = timed("  verify", || {
        let mut verifier = Verifier::new(Expectations::default());
        for line in lines {
            verifier.line(line);
        }
        verifier.finish()
    });
    assert!(verdict.is_whole() && verdict.records == lines.len());
    let filter = Filter {
        actor: Some("Ann".into()),
        // Every chain has a hundredth record.
        revision: Some("64".into()),
        ..Filter::default()
    };
    let meant = timed("  filter and export to CSV", || {
        lines
            .iter()
            .filter_map(|line| read_record(line).ok())
            .filter(|told| filter.matches(&told.value))
            .map(|told| csv_line(&told.value).len())
            .sum::<usize>()
    });
    assert!(meant > 0);
    timed("  report and figures", || {
        let (mut report, mut dora) = (Compliance::default(), Dora::new(None));
        for line in lines {
            if let Ok(told) = read_record(line) {
                report.record(&told.value);
                dora.record(&told.value);
            }
        }
        assert_eq!(dora.finish().1.0.deployments, lines.len() as u64);
    });
}

fn main() {
    let one = timed("make 10,000 records", || chain("prod", 10_000));
    look("one Application", &one);
    drop(one);
    let many: Vec<String> = (0..500)
        .flat_map(|index| chain(&format!("a{index:07}"), 100))
        .collect();
    look("500 Applications", &many);
    println!(
        "{}, of which the lines themselves are in memory here",
        peak()
    );
}
