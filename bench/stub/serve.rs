//! The API over what is stored.
//!
//! Enters: HTTP requests on loopback.
//! Leaves: answers; a line of audit for each that is not the benchmark's own.
//! Never: a wait.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::objects::{Store, is_selected};
use crate::audit::BENCH;

/// Group, version, plural, kind, and whether it lives in a namespace.
const KINDS: [(&str, &str, &str, &str, bool); 15] = [
    ("", "v1", "namespaces", "Namespace", false),
    ("", "v1", "nodes", "Node", false),
    ("", "v1", "pods", "Pod", true),
    ("", "v1", "services", "Service", true),
    ("", "v1", "serviceaccounts", "ServiceAccount", true),
    ("", "v1", "configmaps", "ConfigMap", true),
    ("", "v1", "secrets", "Secret", true),
    ("", "v1", "resourcequotas", "ResourceQuota", true),
    ("apps", "v1", "deployments", "Deployment", true),
    ("apps", "v1", "replicasets", "ReplicaSet", true),
    ("coordination.k8s.io", "v1", "leases", "Lease", true),
    ("events.k8s.io", "v1", "events", "Event", true),
    ("networking.k8s.io", "v1", "ingresses", "Ingress", true),
    (
        "plimsoll.dev",
        "v1alpha1",
        "applications",
        "Application",
        true,
    ),
    (
        "plimsoll.dev",
        "v1alpha1",
        "syncrecords",
        "SyncRecord",
        true,
    ),
];

struct Server {
    store: Mutex<Store>,
    audit: Mutex<BufWriter<File>>,
}

/// Starts it below `directory` and returns what the devcluster says when it is ready.
pub(crate) async fn start(directory: &Path) -> Result<Value> {
    std::fs::create_dir_all(directory)?;
    let audit = directory.join("audit.log");
    let server = Arc::new(Server {
        store: Mutex::default(),
        audit: Mutex::new(BufWriter::new(File::create(&audit)?)),
    });
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}});
    let place = (String::new(), "kube-system".to_owned());
    server.store().put("/namespaces", place, namespace, None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().fallback(answer).with_state(server);
    #[expect(
        clippy::disallowed_methods,
        reason = "it serves until the benchmark ends"
    )]
    let _serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let kubeconfig = directory.join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "stub",
        "clusters": [{"name": "stub", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "stub", "user": {"token": "stub"}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}],
    });
    std::fs::write(&kubeconfig, text.to_string())?;
    Ok(json!({"kubeconfig": kubeconfig, "auditLog": audit, "processes": {}}))
}

impl Server {
    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request as the API server's audit log does, as far as the benchmark reads it.
    fn note(&self, request: &Request<Body>, asked: &Asked, verb: &str) {
        let who = request.headers().get("impersonate-user");
        if who.is_some_and(|who| who == BENCH) {
            return;
        }
        let now = plimsoll::clock::now().wall.to_string();
        let resource = asked.kind.rsplit('/').next();
        let line = json!({
            "user": {"username": "devcluster-admin"}, "verb": verb, "stage": "ResponseComplete",
            "requestURI": request.uri().to_string(),
            "objectRef": {"resource": resource, "subresource": asked.sub},
            "requestReceivedTimestamp": now, "stageTimestamp": now,
        });
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        let _full = writeln!(audit, "{line}").and_then(|()| audit.flush());
    }
}

/// What a path names.
#[derive(Default)]
struct Asked {
    /// Group and plural.
    kind: String,
    plural: String,
    group: String,
    namespace: String,
    name: String,
    sub: Option<String>,
    query: BTreeMap<String, String>,
}

impl Asked {
    fn of(uri: &http::Uri) -> Option<Self> {
        let mut parts = uri.path().trim_matches('/').split('/');
        let group = match parts.next()? {
            "api" => String::new(),
            "apis" => parts.next()?.to_owned(),
            _ => return None,
        };
        let _version = parts.next()?;
        let mut rest: Vec<&str> = parts.collect();
        let mut namespace = String::new();
        if let ["namespaces", within, _, ..] = rest.as_slice() {
            (*within).clone_into(&mut namespace);
            rest.drain(..2);
        }
        let mut rest = rest.into_iter().map(str::to_owned);
        let plural = rest.next()?;
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Some(Self {
            kind: format!("{group}/{plural}"),
            plural,
            group,
            namespace,
            name: rest.next().unwrap_or_default(),
            sub: rest.next(),
            query: query.into_owned().collect(),
        })
    }

    fn is(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

fn reply(code: StatusCode, value: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (code, json, value.to_string()).into_response()
}

fn status(asked: &Asked, code: StatusCode, reason: &str) -> Response {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": format!("{} \"{}\" {reason}", asked.plural, asked.name),
        "details": {"name": asked.name, "group": asked.group, "kind": asked.plural},
    });
    reply(code, &status)
}

async fn answer(State(server): State<Arc<Server>>, request: Request<Body>) -> Response {
    match request.uri().path() {
        "/readyz" => return "ok".into_response(),
        "/version" => return reply(StatusCode::OK, &json!({"gitVersion": "v1.36.3"})),
        "/api" => return reply(StatusCode::OK, &discovery(true)),
        "/apis" => return reply(StatusCode::OK, &discovery(false)),
        _ => {}
    }
    let Some(mut asked) = Asked::of(request.uri()) else {
        return status(&Asked::default(), StatusCode::NOT_FOUND, "NotFound");
    };
    let method = request.method().clone();
    let is_watch = asked.is("watch") == "true" || asked.is("watch") == "1";
    let verb = match (&method, asked.name.is_empty()) {
        (&Method::GET, true) if is_watch => "watch",
        (&Method::GET, true) => "list",
        (&Method::GET, false) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::DELETE, _) => "delete",
        (_, _) => "patch",
    };
    server.note(&request, &asked, verb);
    if verb == "watch" {
        return watch(&server, &asked);
    }
    if method == Method::GET {
        return read(&server, &asked);
    }
    let Ok(body) = request.into_body().collect().await else {
        return status(&asked, StatusCode::BAD_REQUEST, "BadRequest");
    };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    if verb == "create" {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        name.clone_into(&mut asked.name);
    }
    write(&server, &asked, verb, body)
}

fn discovery(core: bool) -> Value {
    let groups: std::collections::BTreeSet<(&str, &str)> = KINDS
        .iter()
        .filter(|(group, ..)| group.is_empty() == core)
        .map(|(group, version, ..)| (*group, *version))
        .collect();
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, version)| {
            let resources: Vec<Value> = KINDS
                .iter()
                .filter(|(of, ..)| *of == group)
                .map(|(_, _, plural, kind, namespaced)| {
                    json!({
                        "resource": plural, "responseKind": {"group": group, "version": version, "kind": kind},
                        "scope": if *namespaced { "Namespaced" } else { "Cluster" },
                        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
                    })
                })
                .collect();
            json!({"metadata": {"name": group}, "versions": [{"version": version, "freshness": "Current", "resources": resources}]})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn watch(server: &Server, asked: &Asked) -> Response {
    let version = asked.is("resourceVersion").parse().unwrap_or_default();
    let selector = asked.is("labelSelector");
    let Some(lines) = server.store().follow(&asked.kind, selector, version) else {
        return status(asked, StatusCode::GONE, "Expired");
    };
    let lines = futures::stream::unfold(lines, |mut lines| async {
        let line = lines.recv().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(line), lines))
    });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, Body::from_stream(lines)).into_response()
}

fn read(server: &Server, asked: &Asked) -> Response {
    let mut store = server.store();
    if !asked.name.is_empty() {
        let place = (asked.namespace.clone(), asked.name.clone());
        return match store.get(&asked.kind, &place) {
            Some(object) => reply(StatusCode::OK, &object),
            None => status(asked, StatusCode::NOT_FOUND, "NotFound"),
        };
    }
    // A page goes on after the last name of the one before; all say the version of the first.
    let now = store.version.to_string();
    let limit: usize = asked.is("limit").parse().unwrap_or(usize::MAX);
    let mut next = asked.is("continue").split('|').map(str::to_owned);
    let version = next.next().filter(|version| !version.is_empty());
    let version = version.unwrap_or(now);
    let after = (
        next.next().unwrap_or_default(),
        next.next().unwrap_or_default(),
    );
    let selector = asked.is("labelSelector");
    let collection = store.collection(&asked.kind);
    let mut items = Vec::new();
    let mut next = String::new();
    let field = asked.is("fieldSelector");
    let narrow = if field.is_empty() { selector } else { field };
    for place in collection.candidates(narrow, &after) {
        let Some(bytes) = collection.objects.get(place) else {
            continue;
        };
        let is_within = asked.namespace.is_empty() || place.0 == asked.namespace;
        let is_meant = || {
            serde_json::from_slice(bytes).is_ok_and(|object: Value| is_selected(&object, selector))
        };
        if !is_within || !selector.is_empty() && !is_meant() {
            continue;
        }
        items.push(String::from_utf8_lossy(bytes).into_owned());
        if items.len() >= limit {
            next = format!("{version}|{}|{}", place.0, place.1);
            break;
        }
    }
    let text = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{{\"resourceVersion\":\"{version}\",\"continue\":\"{next}\"}},\"items\":[{}]}}",
        items.join(",")
    );
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn write(server: &Server, asked: &Asked, verb: &str, body: Value) -> Response {
    let mut store = server.store();
    let place = (asked.namespace.clone(), asked.name.clone());
    let before = store.get(&asked.kind, &place);
    let is_dry = asked.is("dryRun") == "All";
    let code = match before {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    match verb {
        "create" if before.is_some() => status(asked, StatusCode::CONFLICT, "AlreadyExists"),
        "update" | "delete" if before.is_none() => status(asked, StatusCode::NOT_FOUND, "NotFound"),
        "delete" => {
            let _gone = store.delete(&asked.kind, &place);
            reply(
                StatusCode::OK,
                &json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}}),
            )
        }
        "update" => {
            let before = before.unwrap_or_default();
            let version = &body["metadata"]["resourceVersion"];
            if version.is_string() && *version != before["metadata"]["resourceVersion"] {
                return status(asked, StatusCode::CONFLICT, "Conflict");
            }
            let object = if asked.sub.as_deref() == Some("status") {
                let mut object = before.clone();
                object["status"] = body["status"].clone();
                object
            } else {
                body
            };
            reply(
                StatusCode::OK,
                &store.put(&asked.kind, place, object, Some(&before)),
            )
        }
        _ if is_dry => {
            let mut object = body;
            let known = before.unwrap_or_default();
            object["metadata"]["uid"] = known["metadata"]["uid"].clone();
            object["metadata"]["generation"] =
                json!(known["metadata"]["generation"].as_i64().unwrap_or_default() + 1);
            reply(code, &object)
        }
        _ => reply(code, &store.put(&asked.kind, place, body, before.as_ref())),
    }
}
