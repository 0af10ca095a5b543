//! Tests of the metrics.
//!
//! Enters: counts of two Applications.
//! Leaves: what a scrape would read.
//! Never: a listener.

use prometheus_client::{encoding::text::encode, registry::Registry};

use super::{Metrics, PerApplication};
use crate::model::ApplicationKey;

/// Returns the lines about Applications after two of them returned once each, and one was Ready and is gone.
fn lines(per_application: PerApplication) -> Vec<String> {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry, per_application);
    let key = |name: &str| ApplicationKey {
        namespace: "team".to_owned(),
        name: name.to_owned(),
    };
    for name in ["shop", "shop-db", "gone"] {
        metrics.set_ready(&key(name), Some(true));
    }
    for name in ["shop", "shop-db"] {
        metrics.count_return(&key(name), "CrashLoop");
    }
    metrics.count_drift(&key("shop"));
    metrics.count_drift(&key("gone"));
    metrics.forget(&key("gone"));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let about = |line: &&str| line.contains("application=");
    text.lines().filter(about).map(str::to_owned).collect()
}

#[test]
fn each_application_has_series_that_go_with_it() {
    let mut found = lines(PerApplication::Each);
    found.sort();
    assert_eq!(
        found,
        [
            r#"plimsoll_application_ready{application="shop",namespace="team"} 1"#,
            r#"plimsoll_application_ready{application="shop-db",namespace="team"} 1"#,
            r#"plimsoll_drift_corrected_total{application="shop",namespace="team"} 1"#,
            r#"plimsoll_rollback_total{application="shop",namespace="team",cause="CrashLoop"} 1"#,
            r#"plimsoll_rollback_total{application="shop-db",namespace="team",cause="CrashLoop"} 1"#,
        ]
    );
}

#[test]
fn where_they_are_counted_together_no_series_names_one() {
    assert_eq!(
        lines(PerApplication::Together),
        [
            r#"plimsoll_rollback_total{application="",namespace="",cause="CrashLoop"} 2"#,
            r#"plimsoll_drift_corrected_total{application="",namespace=""} 2"#,
        ]
    );
}
