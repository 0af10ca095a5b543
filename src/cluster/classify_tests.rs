//! What kube-apiserver 1.36.3 really answered, and what we make of it.

use serde_json::{Value, json};

use super::*;

fn status(value: Value) -> Status {
    serde_json::from_value(value).unwrap()
}

fn check(code: u16, value: Value, expected: &Said, words: &str) {
    let status = status(value);
    let found = said(&status, code, None);
    assert_eq!(&found, expected, "{}", status.message);
    assert_eq!(message(&status, code, false, &found), words);
}

fn causes_of(causes: &Value) -> Value {
    json!({"name": "web", "group": "apps", "kind": "Deployment", "causes": causes})
}

#[test]
fn a_conflict_names_manager_and_path() {
    check(
        409,
        json!({
            "message": "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using apps/v1: .spec.replicas",
            "reason": "Conflict",
            "details": {"causes": [{
                "reason": "FieldManagerConflict",
                "message": "conflict with \"kubectl-edit\" using apps/v1",
                "field": ".spec.replicas",
            }]},
        }),
        &Said::Conflicts(vec![Conflict {
            manager: "kubectl-edit".to_owned(),
            path: ".spec.replicas".to_owned(),
        }]),
        ".spec.replicas: conflict with \"kubectl-edit\" using apps/v1",
    );
}

#[test]
fn a_manager_may_hold_quotes() {
    for (message, expected) in [
        ("conflict with \"a\\\"b\" using v1", "a\"b"),
        (
            "conflict with \"hpa\" with subresource \"scale\" using apps/v1 at 2026-01-01T00:00:00Z",
            "hpa",
        ),
        ("conflict with something else", ""),
    ] {
        let cause = StatusCause {
            reason: "FieldManagerConflict".to_owned(),
            message: message.to_owned(),
            field: ".a".to_owned(),
        };
        assert_eq!(conflict(&cause).manager, expected);
    }
}

#[test]
fn an_immutable_field_is_told_from_a_wrong_one() {
    let immutable = json!({"reason": "FieldValueInvalid", "message": "Invalid value: {\"matchLabels\":{\"app\":\"other\"}}: field is immutable", "field": "spec.selector"});
    let wrong = json!({"reason": "FieldValueInvalid", "message": "Invalid value: -1: must be greater than or equal to 0", "field": "spec.replicas"});
    let not_checked = json!({"reason": "FieldValueInvalid", "message": "Invalid value: null: some validation rules were not checked", "field": "<nil>"});
    for (causes, expected) in [
        (json!([immutable]), RefusalReason::Immutable),
        (json!([immutable, not_checked]), RefusalReason::Immutable),
        (json!([immutable, wrong]), RefusalReason::Invalid),
        (json!([wrong]), RefusalReason::Invalid),
        (json!([]), RefusalReason::Invalid),
        (
            json!([{"reason": "FieldValueForbidden", "message": "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden", "field": "spec"}]),
            RefusalReason::Immutable,
        ),
        (
            json!([{"reason": "FieldValueForbidden", "message": "Forbidden: pod updates may not change fields other than `spec.containers[*].image`", "field": "spec"}]),
            RefusalReason::Immutable,
        ),
        (
            json!([{"reason": "FieldValueInvalid", "message": "Invalid value: {}: cannot change roleRef", "field": "roleRef"}]),
            RefusalReason::Immutable,
        ),
        (
            json!([{"reason": "FieldValueInvalid", "message": "Invalid value: [\"10.96.200.78\"]: may not change once set", "field": "spec.clusterIPs[0]"}]),
            RefusalReason::Immutable,
        ),
        (
            json!([{"reason": "FieldValueTooLong", "message": "Too long: may not be more than 1048576 bytes", "field": "[]"}]),
            RefusalReason::TooLarge,
        ),
    ] {
        let status = status(
            json!({"message": "x is invalid", "reason": "Invalid", "details": causes_of(&causes)}),
        );
        assert_eq!(
            said(&status, 422, None),
            Said::Refused(expected),
            "{status:?}"
        );
    }
}

#[test]
fn refusals_without_a_cause_are_read_from_their_text() {
    for (code, reason, message, expected) in [
        (
            500,
            "",
            "failed to create typed patch object (a/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
            RefusalReason::Invalid,
        ),
        (
            500,
            "InternalError",
            "Internal error occurred: failed calling webhook \"down.x.io\": failed to call webhook: Post \"https://127.0.0.1:1/x?timeout=2s\": dial tcp 127.0.0.1:1: connect: connection refused",
            RefusalReason::WebhookDown,
        ),
        (
            422,
            "Invalid",
            "configmaps \"bad\" is forbidden: ValidatingAdmissionPolicy 'pp' with binding 'pp' denied request: no bad names bad",
            RefusalReason::Denied,
        ),
        (
            400,
            "BadRequest",
            "admission webhook \"a.b.c\" denied the request: no",
            RefusalReason::Denied,
        ),
        (
            403,
            "Forbidden",
            "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": privileged",
            RefusalReason::Denied,
        ),
        (
            403,
            "Forbidden",
            "pods \"p2\" is forbidden: failed quota: q: must specify requests.cpu for: c",
            RefusalReason::Denied,
        ),
        (
            403,
            "Forbidden",
            "configmaps \"c2\" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1",
            RefusalReason::QuotaExceeded,
        ),
        (
            403,
            "Forbidden",
            "configmaps \"c\" is forbidden: User \"system:serviceaccount:a:x\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"a\"",
            RefusalReason::Forbidden,
        ),
        (
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728",
            RefusalReason::TooLarge,
        ),
        (
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
            RefusalReason::Invalid,
        ),
    ] {
        check(
            code,
            json!({"message": message, "reason": reason}),
            &Said::Refused(expected),
            message,
        );
    }
}

#[test]
fn what_is_missing_is_named() {
    let other = |group, kind, name: &str| {
        Said::Missing(MissingObject::Other {
            kind: GroupKind::new(group, kind),
            name: name.to_owned(),
        })
    };
    for (code, value, expected) in [
        (
            404,
            json!({"message": "namespaces \"nope\" not found", "reason": "NotFound", "details": {"name": "nope", "kind": "namespaces"}}),
            Said::Missing(MissingObject::Namespace("nope".to_owned())),
        ),
        (
            404,
            json!({"message": "rolebindings.rbac.authorization.k8s.io \"none\" not found", "reason": "NotFound", "details": {"name": "none", "group": "rbac.authorization.k8s.io", "kind": "rolebindings"}}),
            other("rbac.authorization.k8s.io", "rolebindings", "none"),
        ),
        (
            404,
            json!({"message": "the server could not find the requested resource", "reason": "NotFound", "details": {}}),
            Said::Missing(MissingObject::Kind(GroupKind::new("", ""))),
        ),
        (
            403,
            json!({"message": "pods \"p\" is forbidden: error looking up service account a/none: serviceaccount \"none\" not found", "reason": "Forbidden", "details": {"name": "p", "kind": "pods"}}),
            other("", "ServiceAccount", "none"),
        ),
        (
            403,
            json!({"message": "pods \"p\" is forbidden: no PriorityClass with name none was found", "reason": "Forbidden"}),
            other("scheduling.k8s.io", "PriorityClass", "none"),
        ),
        (
            403,
            json!({"message": "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found", "reason": "Forbidden"}),
            other("node.k8s.io", "RuntimeClass", "none"),
        ),
    ] {
        assert_eq!(said(&status(value), code, None), expected);
    }
}

#[test]
fn only_the_object_itself_is_absent() {
    let secrets = Resource::secrets();
    let own = Some((&secrets, "a"));
    let about = |kind: &str, name: &str| {
        status(
            json!({"message": "x", "reason": "NotFound", "details": {"kind": kind, "name": name}}),
        )
    };
    assert_eq!(said(&about("secrets", "a"), 404, own), Said::Absent);
    assert_ne!(said(&about("secrets", "b"), 404, own), Said::Absent);
    assert_ne!(said(&about("namespaces", "a"), 404, own), Said::Absent);
    // Not an answer of the API server at all, for example a proxy's page.
    assert_ne!(said(&Status::default(), 404, own), Said::Absent);
}

#[test]
fn failures_of_others_are_told_apart() {
    for (code, message, expected) in [
        (401, "Unauthorized", Said::Unauthorized),
        (
            403,
            "configmaps \"im\" is forbidden: User \"system:serviceaccount:a:default\" cannot impersonate-on:serviceaccount:get resource \"configmaps\" in API group \"\" in the namespace \"b\"",
            Said::NotImpersonated,
        ),
        (
            403,
            "serviceaccounts \"x\" is forbidden: User \"y\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"a\"",
            Said::NotImpersonated,
        ),
        (
            410,
            "The provided continue parameter is too old",
            Said::Expired,
        ),
        (
            409,
            "Operation cannot be fulfilled on configmaps \"fin\": the object has been modified",
            Said::Changed,
        ),
        (500, "etcdserver: request timed out", Said::Failed),
        (502, "", Said::Failed),
        (503, "", Said::Failed),
        (
            504,
            "Timeout: request did not complete within requested timeout",
            Said::Failed,
        ),
    ] {
        assert_eq!(
            said(&status(json!({"message": message})), code, None),
            expected,
            "{message}"
        );
    }
    let exists = status(json!({"message": "object is being deleted", "reason": "AlreadyExists"}));
    assert_eq!(said(&exists, 409, None), Said::Exists);
    let terminating = status(
        json!({"message": "x", "reason": "Forbidden", "details": {"causes": [
        {"reason": "NamespaceTerminating", "message": "namespace t is being terminated", "field": "metadata.namespace"}]}}),
    );
    assert_eq!(
        said(&terminating, 403, None),
        Said::Refused(RefusalReason::NamespaceTerminating)
    );
}

#[test]
fn a_message_never_holds_a_value_of_a_secret() {
    for (code, value) in [
        (
            500,
            json!({"message": "failed to create typed patch object (a/s; /v1, Kind=Secret): .data.k: expected string, got &value.valueUnstructured{Value:[]interface {}{\"canary\"}}"}),
        ),
        (
            422,
            json!({"message": "Secret \"s\" is invalid: data[k]: Invalid value: \"canary\"", "reason": "Invalid", "details": {"causes": [{"reason": "FieldValueInvalid", "message": "Invalid value: \"canary\"", "field": "data[k]"}]}}),
        ),
        (
            422,
            json!({"message": "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: canary", "reason": "Invalid", "details": {"causes": [{"message": "denied request: canary"}]}}),
        ),
        (
            403,
            json!({"message": "admission webhook \"a\" denied the request: canary", "reason": "Forbidden"}),
        ),
        (500, json!({"message": "anything canary"})),
        (
            409,
            json!({"message": "x canary", "reason": "Weird", "details": {"causes": [{"reason": "Other", "message": "canary", "field": "a"}]}}),
        ),
    ] {
        let status = status(value);
        let found = said(&status, code, None);
        let words = message(&status, code, true, &found);
        assert!(!words.contains("canary"), "{words}");
    }
    let invalid = status(
        json!({"message": "x", "reason": "Invalid", "details": {"causes": [{"reason": "FieldValueRequired", "message": "Required value", "field": "data[tls.crt]"}]}}),
    );
    assert_eq!(
        message(&invalid, 422, true, &said(&invalid, 422, None)),
        "data[tls.crt]: FieldValueRequired (the API server's words are not shown, for they can hold a value of the Secret)"
    );
}

#[test]
fn a_message_is_bounded_and_on_one_line() {
    let template = format!(
        "Invalid value: {{\"Spec\":\"{}\"}}: field is immutable",
        "x".repeat(5_000)
    );
    let job = status(
        json!({"message": template, "reason": "Invalid", "details": {"causes": [
        {"reason": "FieldValueInvalid", "message": template, "field": "spec.template"}]}}),
    );
    assert_eq!(
        message(&job, 422, false, &Said::Failed),
        "spec.template: field is immutable"
    );
    let pod = status(
        json!({"message": "m", "reason": "Invalid", "details": {"causes": [
        {"reason": "FieldValueForbidden", "message": "Forbidden: may not change\n@@ -1 +1 @@\n- a", "field": "spec"}]}}),
    );
    assert_eq!(
        message(&pod, 422, false, &Said::Failed),
        "spec: Forbidden: may not change"
    );
    let long = status(json!({"message": format!("a\u{1b}[31m\n{}", "é".repeat(5_000))}));
    let words = message(&long, 500, false, &Said::Failed);
    assert!(words.len() <= MESSAGE_BYTES, "{}", words.len());
    assert!(!words.contains(['\n', '\u{1b}']));
}
