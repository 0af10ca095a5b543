//! Sinks on a real disk and in a real repository.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Error, file::FileSink, git::GitSink};
use crate::{
    history::{ChainId, Expectations, Verifier},
    model::{Digest, Now, canonical_json},
};

const CLUSTER: &str = "c1";

fn now() -> Now {
    Now {
        wall: Timestamp::UNIX_EPOCH,
        monotonic: Duration::ZERO,
    }
}

/// Returns the lines of a chain.
fn chain(name: &str, records: u64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for sequence in 1..=records {
        let mut record = json!({
            "format": 1, "sequence": sequence, "action": "Sync", "result": "Ready",
            "application": {"namespace": "shop", "name": name, "uid": format!("{name}-uid")}
        });
        if let Some(last) = lines.last() {
            record["previous"] = json!(Digest::of(last.as_bytes()).as_str());
        }
        lines.push(canonical_json(&record));
    }
    lines
}

fn id(name: &str) -> ChainId {
    ChainId {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("{name}-uid"),
    }
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn verify(text: &str) -> usize {
    let mut verifier = Verifier::new(Expectations::default());
    for line in text.lines() {
        verifier.line(line);
    }
    let verdict = verifier.finish();
    assert_eq!(verdict.faults, []);
    verdict.records
}

fn append(sink: &mut FileSink, lines: &[String]) {
    sink.append(lines).unwrap();
    for line in lines {
        sink.heads.read(line).unwrap();
    }
}

#[test]
fn lines_stay_and_the_heads_are_known_after_a_restart() {
    let root = TempDir::new().unwrap();
    let lines = chain("prod", 5);
    let mut sink = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap();
    append(&mut sink, &lines[..3]);
    drop(sink);
    let mut sink = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap();
    assert_eq!(sink.heads.chains[&id("prod")].sequence, 3);
    append(&mut sink, &lines[3..]);
    let text = fs::read_to_string(root.path().join("history-000001.jsonl")).unwrap();
    assert_eq!(verify(&text), 5);
}

#[test]
fn files_follow_each_other_by_size_and_the_newest_tells_all_heads() {
    let root = TempDir::new().unwrap();
    let (prod, data) = (chain("prod", 6), chain("database", 1));
    let mut sink = FileSink::open(root.path(), CLUSTER, 300).unwrap();
    append(&mut sink, &data);
    for line in &prod {
        append(&mut sink, std::slice::from_ref(line));
    }
    let names = files(root.path());
    assert!(names.len() > 2, "{names:?}");
    let text: String = names
        .iter()
        .map(|name| fs::read_to_string(root.path().join(name)).unwrap())
        .collect();
    assert_eq!(verify(&text), 7);
    // The chain that stands in the first file only is known from the header of the last.
    let sink = FileSink::open(root.path(), CLUSTER, 300).unwrap();
    assert_eq!(sink.heads.chains[&id("database")].sequence, 1);
    assert_eq!(sink.heads.chains[&id("prod")].sequence, 6);
    let newest = fs::read_to_string(root.path().join(names.last().unwrap())).unwrap();
    let header: Value = serde_json::from_str(newest.lines().next().unwrap()).unwrap();
    assert!(
        header["sink"]["before"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
}

#[test]
fn what_a_crash_left_of_a_line_is_cut_off() {
    let root = TempDir::new().unwrap();
    let lines = chain("prod", 3);
    let mut sink = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap();
    append(&mut sink, &lines[..2]);
    drop(sink);
    let path = root.path().join("history-000001.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    for cut in [1, 40, lines[2].len()] {
        fs::write(&path, format!("{whole}{}", &lines[2][..cut])).unwrap();
        let mut sink = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        append(&mut sink, &lines[2..]);
        drop(sink);
        assert_eq!(verify(&fs::read_to_string(&path).unwrap()), 3);
        fs::write(&path, &whole).unwrap();
    }
    // A crash while the first line of a new file was written.
    fs::write(root.path().join("history-000002.jsonl"), "{\"sink\":").unwrap();
    let sink = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap();
    assert_eq!(sink.heads.chains.len(), 1, "of the file before");
}

#[test]
fn the_history_of_another_cluster_is_refused() {
    let root = TempDir::new().unwrap();
    drop(FileSink::open(root.path(), "another", 1 << 20).unwrap());
    let error = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap_err();
    assert!(matches!(error, Error::OtherCluster { .. }), "{error}");
    assert!(error.to_string().contains("another"));
}

#[test]
fn a_damaged_file_is_said_by_line_and_not_written_to() {
    let root = TempDir::new().unwrap();
    let mut sink = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap();
    append(&mut sink, &chain("prod", 2));
    drop(sink);
    let path = root.path().join("history-000001.jsonl");
    let damaged = fs::read_to_string(&path)
        .unwrap()
        .replace("Ready", "Ready ,");
    fs::write(&path, damaged.replace(" ,\"", "\" ")).unwrap();
    let before = fs::read(&path).unwrap();
    let error = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_another_wrote_to_or_that_was_exchanged_is_noticed() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("history-000001.jsonl");
    let lines = chain("prod", 3);
    let moved = |change: &dyn Fn()| {
        let mut sink = FileSink::open(root.path(), CLUSTER, 1 << 20).unwrap();
        change();
        let error = sink.append(&lines[..1]).unwrap_err();
        assert!(
            matches!(error, Error::Moved { .. } | Error::Disk { .. }),
            "{error}"
        );
    };
    moved(&|| {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{}\n", lines[0])).unwrap();
    });
    moved(&|| {
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, text).unwrap();
    });
    moved(&|| {
        let _bytes = fs::copy(&path, root.path().join("history-000002.jsonl")).unwrap();
    });
    moved(&|| fs::remove_file(root.path().join("history-000002.jsonl")).unwrap());
}

#[test]
fn a_place_that_is_no_directory_is_an_error_that_names_it() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let error = FileSink::open(&file, CLUSTER, 1 << 20).unwrap_err();
    assert!(
        error.to_string().contains("file") && error.needs_opening(),
        "{error}"
    );
}

fn put(sink: &mut GitSink, lines: &[String]) -> Result<(), Error> {
    sink.append(lines, now())?;
    for line in lines {
        sink.heads.read(line).unwrap();
    }
    Ok(())
}

#[test]
fn a_branch_keeps_every_record_in_files_of_a_hundred() {
    let root = TempDir::new().unwrap();
    let url = format!("file://{}", root.path().join("audit.git").display());
    let lines = chain("prod", 230);
    let mut sink = GitSink::open(&url, CLUSTER).unwrap();
    put(&mut sink, &lines[..150]).unwrap();
    put(&mut sink, &lines[150..]).unwrap();
    let sink = GitSink::open(&url, CLUSTER).unwrap();
    assert_eq!(sink.heads.chains[&id("prod")].sequence, 230);
    let repository = git2::Repository::open_bare(root.path().join("audit.git")).unwrap();
    let tip = repository
        .find_reference("refs/heads/audit/c1")
        .unwrap()
        .peel_to_commit()
        .unwrap();
    assert_eq!(tip.parent_count(), 1);
    let tree = tip.tree().unwrap();
    let mut text = String::new();
    for file in 0..3 {
        let path = format!("records/shop/prod-prod-uid/{file:08}.jsonl");
        let entry = tree.get_path(Path::new(&path)).unwrap();
        text.push_str(
            std::str::from_utf8(repository.find_blob(entry.id()).unwrap().content()).unwrap(),
        );
    }
    assert_eq!(verify(&text), 230);
}

#[test]
fn a_branch_that_somebody_moved_is_not_written_to() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("audit.git");
    let url = path.display().to_string();
    let lines = chain("prod", 3);
    let mut one = GitSink::open(&url, CLUSTER).unwrap();
    let mut other = GitSink::open(&url, CLUSTER).unwrap();
    put(&mut one, &lines[..1]).unwrap();
    assert!(matches!(
        put(&mut other, &lines[..1]),
        Err(Error::Moved { .. })
    ));
    let repository = git2::Repository::open_bare(&path).unwrap();
    repository
        .find_reference("refs/heads/audit/c1")
        .unwrap()
        .delete()
        .unwrap();
    assert!(matches!(
        put(&mut one, &lines[1..2]),
        Err(Error::Moved { .. })
    ));
}

#[test]
fn a_sink_on_this_machine_is_an_absolute_path() {
    for url in [
        "https://user:token@git.example.org/audit",
        "ssh://git@host/audit",
        "git@host:audit",
        "relative/path",
    ] {
        let error = GitSink::open(url, CLUSTER).unwrap_err();
        assert!(matches!(error, Error::Scheme { .. }), "{error}");
        assert!(!error.to_string().contains("token"), "{error}");
    }
}
