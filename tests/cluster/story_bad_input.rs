//! Repositories and callers that ask for too much: a limit holds, the message names it, and the neighbours go on.
//!
//! Enters: a cluster and a controller of its own, with a small limit for repositories; one Application that is well.
//! Leaves: after each bad input a commit of that Application that became good meanwhile, in one attempt.
//! Never: a time asserted: what counts is what became good before the bad input ended.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::StreamExt as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    story_support::{Controller, Place, Repository, SOON, Stage, config},
    support::{devcluster_of_its_own, eventually},
};

/// Largest repository, MiB: more than the largest file that may be read.
const REPOSITORY: usize = 40;
/// Files of the monorepo.
const FILES: usize = 100_000;
/// Webhook calls with bad signatures, and how many at once: as many as are read at once.
const CALLS: usize = 10_000;
const AT_ONCE: usize = 128;

/// Commits by `git fast-import`: blobs by path, on top of nothing.
fn import(repository: &Repository, branch: &str, files: impl Iterator<Item = (String, Vec<u8>)>) {
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet", "--force"])
        .current_dir(repository.path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = std::io::BufWriter::new(child.stdin.take().unwrap());
    write!(
        input,
        "commit refs/heads/{branch}\ncommitter Ann Author <ann@example.com> 1760000000 +0000\ndata 6\nchange\ndeleteall\n"
    )
    .unwrap();
    for (path, bytes) in files {
        write!(input, "M 100644 inline {path}\ndata {}\n", bytes.len()).unwrap();
        input.write_all(&bytes).unwrap();
        input.write_all(b"\n").unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).collect()
}

/// The Application that is well, and how often it was pushed to.
struct Neighbour<'a> {
    place: &'a Place,
    pushes: AtomicUsize,
}

impl Neighbour<'_> {
    /// Pushes to it and waits until that is good: in one attempt, whatever happens beside it.
    async fn goes_on(&self) {
        let number = self.pushes.fetch_add(1, Ordering::Relaxed) + 1;
        let changes = config("settings", &number.to_string());
        let commit = self
            .place
            .push("well", &[("deploy/settings.yaml", Some(&changes))])
            .await;
        let seen = self.place.until_good("well", &commit).await;
        assert_eq!(seen.attempt(), number as u64, "{:#}", seen.0["status"]);
        assert!(seen.is("Fetched", "True") && !seen.has("Stalled"));
    }
}

/// Creates an Application of this repository.
async fn application(place: &Place, name: &str, repository: &Repository, path: &str) {
    let source = json!({"source": {"repo": repository.url(), "path": path, "ref": "main"}});
    place.application(name, source).await;
}

/// Waits until the Application says why nothing comes of it; the words name the limit. Nothing was written for it.
async fn refused(place: &Place, name: &str, reason: &str, words: &[&str]) {
    let seen = place
        .until(name, &format!("it says {reason}"), |seen| {
            seen.reason("Stalled") == reason || seen.reason("Fetched") == reason
        })
        .await;
    let said = format!("{} {}", seen.message("Ready"), seen.message("Fetched"));
    for word in words {
        assert!(
            said.contains(word),
            "{reason}: {word:?} is missing in: {said}"
        );
    }
    assert!(seen.0["status"]["applied"].is_null());
}

async fn a_repository_above_its_limit(place: &Place, neighbour: &Neighbour<'_>) {
    let repository = Repository::new();
    let bytes = noise((REPOSITORY + 1) << 20);
    let files = bytes.chunks(1 << 20).enumerate();
    import(
        &repository,
        "main",
        files.map(|(number, part)| (format!("deploy/{number}"), part.to_vec())),
    );
    application(place, "large-repository", &repository, "deploy").await;
    neighbour.goes_on().await;
    let limit = (REPOSITORY << 20).to_string();
    let words = [
        "the repository is larger than",
        &limit,
        "--max-repository-size",
    ];
    refused(place, "large-repository", "SourceTooLarge", &words).await;
}

async fn a_file_above_its_limit(place: &Place, neighbour: &Neighbour<'_>) {
    let repository = Repository::new();
    // It takes little room in the repository, and more than may be read once it is unpacked.
    let large = ("deploy/large.yaml".to_owned(), vec![b'#'; 33 << 20]);
    import(&repository, "main", std::iter::once(large));
    application(place, "large-file", &repository, "deploy").await;
    neighbour.goes_on().await;
    let limit = (32 << 20).to_string();
    let words = ["deploy/large.yaml", "the limit is", &limit];
    refused(place, "large-file", "RenderFailed", &words).await;
}

async fn a_monorepo_of_very_many_files(place: &Place, neighbour: &Neighbour<'_>) {
    let repository = Repository::new();
    let many = (0..FILES).map(|number| (format!("many/{number:06}.yaml"), b"a: b\n".to_vec()));
    let deploy = (
        "deploy/settings.yaml".to_owned(),
        config("one-of-many", "one").into_bytes(),
    );
    import(&repository, "main", many.chain([deploy]));
    // What stands beside its path does not concern an Application; what stands in it does.
    application(place, "many-beside", &repository, "deploy").await;
    application(place, "many-inside", &repository, "many").await;
    neighbour.goes_on().await;
    let words = ["many", "more than 50000 names"];
    refused(place, "many-inside", "RenderFailed", &words).await;
    place
        .until("many-beside", "it is Ready", |seen| {
            seen.is("Ready", "True")
        })
        .await;
}

async fn a_render_that_explodes(place: &Place, neighbour: &Neighbour<'_>) {
    let repository = Repository::new();
    // Each line stands for ten of the line before.
    let mut bomb =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na0: &a0 [x]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let file = ("deploy/bomb.yaml".to_owned(), bomb.into_bytes());
    import(&repository, "main", std::iter::once(file));
    application(place, "bomb", &repository, "deploy").await;
    neighbour.goes_on().await;
    refused(
        place,
        "bomb",
        "RenderFailed",
        &["deploy/bomb.yaml", "aliases stand for", "at most"],
    )
    .await;
}

/// Somebody rewrites a branch again and again: what runs is held, and git is asked no more often than anybody's.
async fn a_branch_that_is_rewritten_all_the_time(place: &Place, neighbour: &Neighbour<'_>) {
    let repository = Repository::new();
    let version = |number: usize| {
        let text = config("rewritten", &number.to_string());
        std::iter::once(("deploy/settings.yaml".to_owned(), text.into_bytes()))
    };
    import(&repository, "main", version(0));
    application(place, "rewritten", &repository, "deploy").await;
    let first = place
        .until("rewritten", "it is good", |seen| {
            seen.phase() == "Idle" && !seen.text("/status/lastKnownGood/revision").is_empty()
        })
        .await;
    let (stop, rewrites) = (CancellationToken::new(), AtomicUsize::new(0));
    let rewrite = || {
        while !stop.is_cancelled() {
            let number = rewrites.fetch_add(1, Ordering::Relaxed) + 1;
            import(&repository, "main", version(number));
        }
    };
    let asking = async {
        while !stop.is_cancelled() {
            place.ask("rewritten").await;
        }
    };
    let meanwhile = async {
        // A deadline that passes panics here, and the thread would go on for ever.
        let _stops = stop.clone().drop_guard();
        for _ in 0..3 {
            neighbour.goes_on().await;
        }
        place
            .until("rewritten", "it is held", |seen| {
                seen.reason("Stalled") == "RevisionWentBack"
            })
            .await
    };
    let seen = std::thread::scope(|scope| {
        let thread = scope.spawn(rewrite);
        let seen = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async { tokio::join!(meanwhile, asking).0 })
        });
        thread.join().unwrap();
        seen
    });
    assert!(rewrites.load(Ordering::Relaxed) > 3);
    assert_eq!(seen.applied(), first.applied());
    assert!(seen.message("Ready").contains("does not descend from"));
    assert!(seen.is("Healthy", "True"));
}

/// Calls with bad signatures: each is refused, and what is signed well is heard among them.
async fn a_flood_of_bad_webhooks(controller: &Controller, neighbour: &Neighbour<'_>) {
    let refused = AtomicUsize::new(0);
    let flood = async {
        let calls = futures::stream::iter(0..CALLS).map(|_| async {
            let bad = format!("sha256={}", "ab".repeat(32));
            let headers = [("x-plimsoll-signature", bad.as_str())];
            let body = json!({"repository": neighbour.place.repository.url()}).to_string();
            let (code, _) = controller.post("/webhook/generic", &headers, &body).await;
            // Above what is read at once the sender is told to come again.
            assert!(code == 401 || code == 503, "{code}");
            refused.fetch_add(1, Ordering::Relaxed);
        });
        calls.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    };
    let meanwhile = async {
        eventually(SOON, "the flood is there", || async {
            (refused.load(Ordering::Relaxed) > AT_ONCE).then_some(())
        })
        .await;
        neighbour.goes_on().await;
        refused.load(Ordering::Relaxed)
    };
    let ((), during) = tokio::join!(flood, meanwhile);
    assert_eq!(refused.load(Ordering::Relaxed), CALLS);
    assert!(
        during < CALLS,
        "the neighbour waited for the end of the flood"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_too_much_meets_its_limit_and_the_neighbours_go_on() {
    let own = devcluster_of_its_own("bad-input");
    let stage = Stage::set(own.cluster()).await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "correct horse").unwrap();
    let size = REPOSITORY.to_string();
    let flags = [
        "--max-repository-size",
        &size,
        "--webhook-secret-file",
        secret.path().to_str().unwrap(),
    ];
    let controller = Controller::start(&stage.kubeconfig, &flags);
    controller.until_leading().await;
    let place = Place::on(&stage, "bad-input").await;
    place
        .repository
        .commit(&[("deploy/settings.yaml", Some(&config("settings", "0")))]);
    place.application("well", json!({})).await;
    let neighbour = Neighbour {
        place: &place,
        pushes: AtomicUsize::new(1),
    };
    place
        .until("well", "it is good", |seen| {
            !seen.text("/status/lastKnownGood/revision").is_empty()
        })
        .await;
    a_repository_above_its_limit(&place, &neighbour).await;
    a_file_above_its_limit(&place, &neighbour).await;
    a_monorepo_of_very_many_files(&place, &neighbour).await;
    a_render_that_explodes(&place, &neighbour).await;
    a_branch_that_is_rewritten_all_the_time(&place, &neighbour).await;
    a_flood_of_bad_webhooks(&controller, &neighbour).await;
}
