//! Ownership of objects that other tools applied before us.
//!
//! Enters: the live object with its managed fields.
//! Leaves: the managed fields as they are when ours; what was theirs alone goes with the next apply that lacks it.
//! Never: a field of a controller or a person: only tools that bring whole manifests hand over.

use serde_json::{Map, Value, json};

use crate::{api::FIELD_MANAGER, model::Takeover};

/// Managers that applied whole manifests: kubectl, Helm, Argo CD and Flux, client-side or server-side.
/// What they wrote came from a manifest, as ours does; a hand that edits one field is called otherwise.
const MANIFEST_TOOLS: [&str; 8] = [
    "kubectl-client-side-apply",
    "kubectl-create",
    "before-first-apply",
    "kubectl",
    "helm",
    "argocd-controller",
    "argocd-application-controller",
    "kustomize-controller",
];

/// Says whether a manager brings whole manifests and hands its objects over.
pub fn is_manifest_tool(manager: &str) -> bool {
    MANIFEST_TOOLS.contains(&manager)
}

/// Returns how an object that other tools applied becomes ours; None where none of them owns a field.
///
/// Entries of subresources stay: `status` is nobody's manifest.
pub fn takeover(live: &Value) -> Option<Takeover> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let resource_version = live.pointer("/metadata/resourceVersion")?.as_str()?;
    let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let is_tool = |entry: &&Value| {
        text(entry, "manager").is_some_and(|manager| is_manifest_tool(&manager))
            && text(entry, "subresource").is_none_or(|name| name.is_empty())
    };
    let is_ours = |entry: &&Value| {
        text(entry, "manager").as_deref() == Some(FIELD_MANAGER)
            && text(entry, "operation").as_deref() == Some("Apply")
            && text(entry, "subresource").is_none_or(|name| name.is_empty())
    };
    let tools: Vec<&Value> = entries.iter().filter(is_tool).collect();
    let newest = tools.last()?;
    let mut from: Vec<String> = tools
        .iter()
        .filter_map(|entry| text(entry, "manager"))
        .collect();
    from.sort_unstable();
    from.dedup();
    let own = entries.iter().find(is_ours);
    let mut fields = Map::new();
    for entry in own.into_iter().chain(tools.iter().copied()) {
        if let Some(Value::Object(more)) = entry.get("fieldsV1") {
            unite(&mut fields, more);
        }
    }
    let base = own.unwrap_or(newest);
    let mut list: Vec<Value> = entries
        .iter()
        .filter(|entry| !is_tool(entry) && !is_ours(entry))
        .cloned()
        .collect();
    list.push(json!({
        "manager": FIELD_MANAGER,
        "operation": "Apply",
        "apiVersion": base.get("apiVersion"),
        "time": base.get("time"),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }));
    Some(Takeover {
        managed_fields: Value::Array(list),
        resource_version: resource_version.to_owned(),
        from,
    })
}

/// Unites two sets of fields.
fn unite(into: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (key, value) in more {
        match (into.get_mut(key), value) {
            (Some(Value::Object(known)), Value::Object(value)) => unite(known, value),
            (Some(_), _) => {}
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_applied_becomes_ours_and_what_hands_wrote_does_not() {
        let live = json!({"metadata": {"resourceVersion": "7", "managedFields": [
            {"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}}},
            {"manager": "helm", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:b": {}, "f:c": {}}}},
            {"manager": "helm", "operation": "Update", "apiVersion": "v1", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:hand": {}}}},
        ]}});
        let takeover = takeover(&live).unwrap();
        assert_eq!(takeover.from, ["helm", "kubectl-client-side-apply"]);
        assert_eq!(takeover.resource_version, "7");
        let list = takeover.managed_fields.as_array().unwrap();
        let names: Vec<&str> = list
            .iter()
            .map(|entry| entry["manager"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["helm", "kubectl-edit", "plimsoll"]);
        assert_eq!(
            list[2]["fieldsV1"],
            json!({"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}})
        );
        assert_eq!(list[2]["operation"], "Apply");
    }

    #[test]
    fn an_object_that_only_controllers_and_we_wrote_stays() {
        let live = json!({"metadata": {"resourceVersion": "7", "managedFields": [
            {"manager": "plimsoll", "operation": "Apply", "fieldsV1": {"f:data": {}}},
            {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:status": {}}},
        ]}});
        assert_eq!(takeover(&live), None);
    }
}
