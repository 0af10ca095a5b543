//! Rules of an Application, and what every object has to pass first.
//!
//! Enters: health specs, views.
//! Leaves: errors that name the expression; health by expression.
//! Never: Ready for what was not seen.

use serde_json::json;

use super::*;
use crate::api::HealthExpression;

fn expression(current: &str, failed: Option<&str>, in_progress: Option<&str>) -> HealthSpec {
    HealthSpec {
        exprs: vec![HealthExpression {
            api_version: "example.org/v1".to_owned(),
            kind: "Thing".to_owned(),
            current: current.to_owned(),
            failed: failed.map(str::to_owned),
            in_progress: in_progress.map(str::to_owned),
        }],
        ..HealthSpec::default()
    }
}

fn thing(status: &Value) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a", "generation": 2}, "status": status})
}

#[test]
fn a_rule_of_the_application_judges() {
    let spec = expression(
        "status.phase == 'Running'",
        Some("status.phase == 'Broken' || has(status.failure)"),
        Some("status.phase == 'Pending'"),
    );
    let check = |expected: &str, second: u64, status: &Value| {
        let mut bench = Bench::new(thing(status));
        bench.rules = Rules::new(&spec).unwrap();
        bench.health(0);
        let health = bench.health(second);
        assert_eq!(short(&health), expected, "{health:?}");
    };
    check("Ready", 0, &json!({"phase": "Running"}));
    check("Progressing", 0, &json!({"phase": "Pending"}));
    check("Progressing", 0, &json!({"phase": "Other"}));
    check("Progressing", 0, &json!({}));
    check("Progressing", 0, &Value::Null);
    check("ObjectFailed Change?", 9, &json!({"phase": "Broken"}));
    check(
        "Failed ObjectFailed Change",
        10,
        &json!({"phase": "Broken"}),
    );
    check(
        "Failed ObjectFailed Change",
        10,
        &json!({"phase": "Running", "failure": "x"}),
    );
    check(
        "Progressing",
        0,
        &json!({"phase": "Running", "observedGeneration": 1}),
    );
}

#[test]
fn an_expression_that_cannot_be_evaluated_says_so() {
    let mut bench = Bench::new(thing(&json!({"phase": "Running"})));
    bench.rules = Rules::new(&expression("status.phase", None, None)).unwrap();
    let health = bench.health(0);
    assert_eq!(short(&health), "Progressing Change?");
    assert!(
        words(&health).starts_with("Thing/a: spec.health.exprs: current cannot be evaluated: "),
        "{health:?}"
    );
}

#[test]
fn in_progress_comes_before_failed_and_failed_before_current() {
    let mut bench = Bench::new(thing(&json!({"a": true})));
    bench.rules = Rules::new(&expression("status.a", Some("status.a"), Some("status.a"))).unwrap();
    assert_eq!(short(&bench.health(0)), "Progressing");
    bench.rules = Rules::new(&expression("status.a", Some("status.a"), None)).unwrap();
    assert_eq!(short(&bench.health(1)), "ObjectFailed Change?");
    // What only a failure writes may be missing.
    bench.rules = Rules::new(&expression("status.a", Some("status.failure == 'x'"), None)).unwrap();
    assert_eq!(short(&bench.health(2)), "Ready");
}

#[test]
fn another_version_of_the_kind_is_judged_by_the_same_rule() {
    let mut object = thing(&json!({"a": true}));
    object["apiVersion"] = json!("example.org/v1beta1");
    let mut bench = Bench::new(object);
    bench.rules = Rules::new(&expression("status.a", None, None)).unwrap();
    assert_eq!(short(&bench.health(0)), "Ready");
}

#[test]
fn a_bad_expression_is_named() {
    let error = Rules::new(&expression("status.a", Some("status.b =="), None)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "compile spec.health.exprs[0].failed of Thing (example.org/v1)"
    );
    assert!(std::error::Error::source(&error).is_some());
    assert!(Rules::new(&expression("", None, None)).is_err());
    assert!(Rules::new(&expression("true", Some(""), None)).is_ok());
}

#[test]
fn what_was_not_seen_is_not_ready() {
    let mut bench = Bench::new(deployment());
    bench.absent = true;
    let health = bench.health(0);
    assert_eq!(short(&health), "Progressing");
    assert_eq!(words(&health), "Deployment/shop/web: not seen yet");
    bench.absent = false;
    bench.applied_generation = Some(3);
    assert_eq!(short(&bench.health(1)), "Progressing");
    bench.applied_generation = Some(2);
    assert_eq!(short(&bench.health(2)), "Ready");
    bench.absent = true;
    assert_eq!(
        words(&bench.health(3)),
        "Deployment/shop/web: it was there and is gone"
    );
}

#[test]
fn what_is_not_read_is_not_ready() {
    let object = deployment();
    let id = Object::new(object.clone(), None).unwrap().id().clone();
    let members = [Member {
        id: &id,
        live: &Seen::Unknown,
        applied_generation: None,
        wanted: &object,
    }];
    let view = View {
        members: &members,
        ..View::default()
    };
    let rules = Rules::new(&HealthSpec::default()).unwrap();
    let (assessment, _) = assess(&view, &rules, Sightings::default(), at(0));
    assert_eq!(short(&assessment.objects[&id]), "Progressing Environment?");
    assert_eq!(assessment.counts().progressing, 1);
}
