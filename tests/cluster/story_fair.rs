//! Large Applications leave room for small ones.
//!
//! Enters: two large sets whose writes are slow, as many at once as the controller may have in flight, and a small set.
//! Leaves: the small one good while both large ones are still being written.
//! Never: a time asserted.

use std::{fmt::Write as _, time::Duration};

use http::Method;
use serde_json::json;

use crate::{
    proxy::Fate,
    story_points::Bench,
    story_support::{Place, SOON, config},
    support::eventually,
};

/// Objects of a large set: at half a second each and 32 at once, two of them take about 20 s.
const MANY: usize = 600;

fn large(of: &str) -> String {
    (0..MANY).fold(String::new(), |mut text, at| {
        let object = config(&format!("large-{of}-{at:03}"), "x");
        let _written = write!(text, "---\n{object}");
        text
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn large_sets_under_way_do_not_keep_a_small_one_waiting() {
    let bench = Bench::set("fair").await;
    let place = Place::on(&bench.stage, "fair").await;
    bench.proxy.rule(|asked| {
        if asked.writes && asked.method == Method::PATCH && asked.path.contains("/large-") {
            Fate::Delay(Duration::from_millis(500))
        } else {
            Fate::Pass
        }
    });
    let small: String = (0..4).fold(String::new(), |mut text, at| {
        let _written = write!(text, "---\n{}", config(&format!("small-{at}"), "x"));
        text
    });
    let commit = place.repository.commit(&[
        ("one/set.yaml", Some(&large("one"))),
        ("two/set.yaml", Some(&large("two"))),
        ("small/set.yaml", Some(&small)),
    ]);
    let spec = |path: &str| json!({"source": {"path": path}, "health": {"soak": "300ms"}});
    let mark = place.mark();
    let written = |of: &str| {
        let begins = format!("patch configmaps/large-{of}-");
        let writes = place.written_since(mark);
        let of_it = writes.iter().filter(|write| write.starts_with(&begins));
        of_it.count()
    };
    for name in ["one", "two"] {
        place.application(name, spec(name)).await;
    }
    for name in ["one", "two"] {
        eventually(SOON, &format!("{name} is being written"), || async {
            (written(name) >= 16).then_some(())
        })
        .await;
    }
    place.application("small", spec("small")).await;
    place.until_good("small", &commit).await;
    let meanwhile = (written("one"), written("two"));
    println!("a set of 4 was good when {meanwhile:?} of {MANY} of the large ones were written");
    assert!(meanwhile.0 < MANY && meanwhile.1 < MANY, "{meanwhile:?}");
    bench.proxy.heal();
    for name in ["one", "two"] {
        place.until_good(name, &commit).await;
    }
}
