//! Records in the words of others: CDEvents and in-toto statements.
//!
//! Enters: a record and its hash.
//! Leaves: an event or a statement; None where theirs has no word for it.
//! Never: a claim that the record does not make.

use serde_json::{Value, json};

use super::query::word;
use crate::model::Digest;

/// Type of our predicate: no standard one describes a deployment.
pub const PREDICATE: &str = "https://plimsoll.dev/attestation/sync/v1";

/// Returns a record as a CDEvent in a CloudEvents envelope (CDEvents 0.4, structured JSON).
///
/// What became Ready is a service deployed or upgraded; what was returned from is one rolled back.
pub fn cd_event(record: &Value, hash: &Digest) -> Option<Value> {
    let action = word(record, "/action");
    let returned = record.pointer("/ending/returned").is_some();
    let kind = match (action, word(record, "/result")) {
        ("Sync", "Ready") if word(record, "/trigger/cause") == "drift" => return None,
        ("Sync", "Ready") if record.get("sequence").and_then(Value::as_u64) == Some(1) => {
            "deployed"
        }
        ("Sync", "Ready") => "upgraded",
        ("Sync" | "Return", "Failed") if returned => "rolledback",
        ("delete", _) => "removed",
        _ => return None,
    };
    let namespace = word(record, "/application/namespace");
    let name = word(record, "/application/name");
    let source = format!("/plimsoll/{}", word(record, "/cluster"));
    let subject = format!("{namespace}/{name}");
    let id = hash.as_str();
    let time = word(record, "/times/ended");
    let event = format!("dev.cdevents.service.{kind}.0.2.0");
    let mut content = json!({"environment": {"id": namespace}});
    if kind != "removed"
        && let Some(content) = content.as_object_mut()
    {
        let digest = word(record, "/digest").trim_start_matches("sha256:");
        let version = match record.pointer("/ending/returned/digest") {
            Some(digest) => digest
                .as_str()
                .unwrap_or_default()
                .trim_start_matches("sha256:"),
            None => digest,
        };
        content.insert(
            "artifactId".to_owned(),
            format!("pkg:generic/{name}@sha256:{version}").into(),
        );
    }
    Some(json!({
        "specversion": "1.0", "id": id, "source": source, "type": event, "time": time,
        "subject": subject, "datacontenttype": "application/json",
        "data": {
            "context": {"version": "0.4.1", "id": id, "source": source, "type": event, "timestamp": time},
            "subject": {"id": subject, "source": source, "type": "service", "content": content},
            "customData": {"sequence": record.get("sequence"), "revision": record.pointer("/source/revision")},
            "customDataContentType": "application/json"
        }
    }))
}

/// Returns a record as an in-toto statement (v1): its subjects are the rendered set and the images by digest.
/// None where it is about no set.
pub fn statement(record: &Value, hash: &Digest) -> Option<Value> {
    let digest = word(record, "/digest").strip_prefix("sha256:")?;
    let mut subjects = vec![json!({
        "name": format!("{}/{}", word(record, "/application/namespace"), word(record, "/application/name")),
        "digest": {"sha256": digest}
    })];
    let images = record.pointer("/images/list").and_then(Value::as_array);
    for image in images.into_iter().flatten() {
        if let Some(digest) = word(image, "/digest").strip_prefix("sha256:") {
            subjects.push(json!({"name": word(image, "/name"), "digest": {"sha256": digest}}));
        }
    }
    Some(json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": PREDICATE,
        "predicate": {"record": record, "recordHash": hash.as_str()}
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{case, record};

    fn made(number: u64) -> (Value, Digest) {
        let made = record(&case::entry(number), None, None);
        (
            serde_json::from_str(&made.spec().record).unwrap(),
            made.head().hash.clone(),
        )
    }

    #[test]
    fn what_became_ready_was_deployed_and_what_was_returned_from_was_rolled_back() {
        let (mut ready, hash) = made(1);
        assert_eq!(
            cd_event(&ready, &hash).unwrap()["type"],
            "dev.cdevents.service.deployed.0.2.0"
        );
        ready["sequence"] = json!(2);
        let event = cd_event(&ready, &hash).unwrap();
        assert_eq!(event["type"], "dev.cdevents.service.upgraded.0.2.0");
        assert_eq!(
            event["data"]["subject"]["content"]["environment"]["id"],
            "shop"
        );
        let (failed, hash) = made(3);
        assert_eq!(
            cd_event(&failed, &hash).unwrap()["type"],
            "dev.cdevents.service.rolledback.0.2.0"
        );
        ready["action"] = json!("pause");
        assert_eq!(cd_event(&ready, &hash), None);
    }

    #[test]
    fn a_statement_is_about_the_set_and_the_images_by_digest() {
        let mut entry = case::entry(1);
        entry.images = vec!["web@sha256:aa".to_owned(), "web:2".to_owned()];
        let made = record(&entry, None, None);
        let value: Value = serde_json::from_str(&made.spec().record).unwrap();
        let statement = statement(&value, &made.head().hash).unwrap();
        let subjects = statement["subject"].as_array().unwrap();
        assert_eq!(subjects.len(), 2);
        assert_eq!(
            subjects[1],
            json!({"name": "web", "digest": {"sha256": "aa"}})
        );
        assert_eq!(
            statement["predicate"]["recordHash"],
            made.head().hash.as_str()
        );
    }
}
