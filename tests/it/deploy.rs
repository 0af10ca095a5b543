//! What is shipped: `deploy/`, the chart and the Dockerfile.
//!
//! Enters: the files of the repository, rendered by our own renderer.
//! Leaves: the object and the promise that it breaks.
//! Never: Helm or an image builder; what only they can tell is not told here.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::tree::{documents, files_below, read, rendered, root, title};

fn deployed(path: &str) -> Vec<Value> {
    rendered(&["deploy", "crds"], path, "default")
        .objects()
        .iter()
        .map(|object| object.value().clone())
        .collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Returns what the cluster-wide rules of these objects must not hold.
fn excess(objects: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for role in of_kind(objects, "ClusterRole") {
        for rule in role["rules"].as_array().into_iter().flatten() {
            let (resources, verbs) = (texts(&rule["resources"]), texts(&rule["verbs"]));
            let groups = texts(&rule["apiGroups"]);
            if resources.contains(&"secrets") || resources.contains(&"*") || groups.contains(&"*") {
                found.push(format!(
                    "{}: reaches Secrets of every namespace",
                    title(role)
                ));
            }
            for verb in ["*", "impersonate", "escalate", "bind"] {
                if verbs.contains(&verb) {
                    found.push(format!("{}: {verb} in every namespace", title(role)));
                }
            }
        }
    }
    found
}

#[test]
fn deploy_holds_the_whole_install() {
    let titles: Vec<String> = deployed("deploy").iter().map(title).collect();
    for wanted in [
        "CustomResourceDefinition /applications.plimsoll.dev",
        "CustomResourceDefinition /syncrecords.plimsoll.dev",
        "Namespace /plimsoll-system",
        "ServiceAccount plimsoll-system/plimsoll",
        "ClusterRole /plimsoll-controller",
        "ClusterRoleBinding /plimsoll-controller",
        "Role plimsoll-system/plimsoll-controller",
        "RoleBinding plimsoll-system/plimsoll-controller",
        "ClusterRole /plimsoll-watch",
        "ClusterRoleBinding /plimsoll-watch",
        "ClusterRole /plimsoll-watch-builtin",
        "ClusterRole /plimsoll-view",
        "ClusterRole /plimsoll-edit",
        "ClusterRole /plimsoll-admin",
        "ValidatingAdmissionPolicy /plimsoll-commands",
        "ValidatingAdmissionPolicyBinding /plimsoll-commands",
        "ValidatingAdmissionPolicy /plimsoll-records",
        "ValidatingAdmissionPolicyBinding /plimsoll-records",
        "ValidatingAdmissionPolicy /plimsoll-status",
        "ValidatingAdmissionPolicyBinding /plimsoll-status",
        "Deployment plimsoll-system/plimsoll",
        "Service plimsoll-system/plimsoll",
        "NetworkPolicy plimsoll-system/plimsoll",
    ] {
        assert!(
            titles.iter().any(|title| title == wanted),
            "deploy/ lacks {wanted}; it holds {titles:#?}"
        );
    }
}

#[test]
fn the_controller_has_no_rights_that_could_be_abused_everywhere() {
    assert_eq!(excess(&deployed("deploy")), Vec::<String>::new());
    let secrets = deployed("deploy");
    let roles = of_kind(&secrets, "Role");
    assert_eq!(roles.len(), 1);
    assert_eq!(roles[0]["metadata"]["namespace"], "plimsoll-system");
}

#[test]
fn excess_rights_are_found() {
    let role = |rule: Value| {
        vec![json!({"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": [rule]})]
    };
    for rule in [
        json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}),
        json!({"apiGroups": [""], "resources": ["*"], "verbs": ["watch"]}),
        json!({"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}),
        json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}),
    ] {
        assert_eq!(excess(&role(rule.clone())).len(), 1, "{rule}");
    }
}

#[test]
fn the_variant_says_that_it_equals_cluster_admin() {
    let objects = deployed("deploy/variants/impersonate-anywhere");
    assert_eq!(excess(&objects).len(), 1);
    for object in &objects {
        assert!(
            title(object).ends_with("equals-cluster-admin"),
            "{}",
            title(object)
        );
    }
    for file in files_below("deploy/variants/impersonate-anywhere") {
        assert!(read(&file).starts_with("# EQUALS CLUSTER-ADMIN"), "{file}");
    }
}

#[test]
fn a_tenant_is_what_the_command_prints() {
    let objects = deployed("deploy/tenant");
    let printed = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["tenant", "tenant"])
        .output()
        .unwrap();
    assert!(
        printed.status.success(),
        "{}",
        String::from_utf8_lossy(&printed.stderr)
    );
    let by_title = |objects: Vec<Value>| -> BTreeMap<String, Value> {
        objects
            .into_iter()
            .map(|object| (title(&object), object))
            .collect()
    };
    let printed = documents(&String::from_utf8(printed.stdout).unwrap());
    assert_eq!(by_title(objects.clone()), by_title(printed));
    for object in &objects {
        assert_eq!(
            object["metadata"]["namespace"],
            "tenant",
            "{}",
            title(object)
        );
        assert!(
            !object["kind"].as_str().unwrap().starts_with("Cluster"),
            "{}",
            title(object)
        );
    }
}

#[test]
fn the_controller_runs_restricted() {
    let objects = deployed("deploy");
    let namespace = &of_kind(&objects, "Namespace")[0]["metadata"]["labels"];
    assert_eq!(
        namespace["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
    let deployments = of_kind(&objects, "Deployment");
    let pod = &deployments[0]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert!(
        pod["securityContext"]["runAsUser"]
            .as_u64()
            .is_some_and(|user| user > 0)
    );
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    for container in containers {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
        assert!(container["resources"]["limits"]["memory"].is_string());
    }
    for volume in pod["volumes"].as_array().unwrap() {
        assert!(volume["emptyDir"]["sizeLimit"].is_string(), "{volume}");
    }
}

/// Fills in a template as Helm would, for the few forms that the chart uses: `{{ .Release.Namespace }}`,
/// `{{ .Values.path }}`, `{{ toJson .Values.path }}` and `{{- range .Values.path }}` over `{{ toJson . }}`.
/// Every other form is refused: the chart must stay within what this test can read.
fn filled(template: &str, values: &Value) -> String {
    let mut out = String::new();
    let mut lines = template.lines();
    while let Some(line) = lines.next() {
        if let Some(list) = line
            .trim()
            .strip_prefix("{{- range ")
            .and_then(|rest| rest.strip_suffix(" }}"))
        {
            let body: Vec<&str> = lines
                .by_ref()
                .take_while(|line| line.trim() != "{{- end }}")
                .collect();
            for item in looked_up(list, values).as_array().unwrap() {
                for line in &body {
                    out.push_str(&line.replace("{{ toJson . }}", &item.to_string()));
                    out.push('\n');
                }
            }
            continue;
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{{ ") {
            let (form, after) = after
                .split_once(" }}")
                .unwrap_or_else(|| panic!("unclosed template: {line}"));
            out.push_str(before);
            match form.strip_prefix("toJson ") {
                Some(path) => out.push_str(&looked_up(path, values).to_string()),
                None => match looked_up(form, values) {
                    Value::String(text) => out.push_str(&text),
                    value => out.push_str(&value.to_string()),
                },
            }
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
    }
    assert!(
        !out.contains("{{"),
        "a form that this test cannot read: {out}"
    );
    out
}

fn looked_up(path: &str, values: &Value) -> Value {
    if path == ".Release.Namespace" {
        return json!("plimsoll-system");
    }
    let pointer = path
        .strip_prefix(".Values")
        .unwrap_or_else(|| panic!("a form that this test cannot read: {path}"))
        .replace('.', "/");
    values
        .pointer(&pointer)
        .unwrap_or_else(|| panic!("values.yaml lacks {path}"))
        .clone()
}

fn values() -> Value {
    let text = read("charts/plimsoll/values.yaml");
    let wrapped: String = text.lines().flat_map(|line| ["  ", line, "\n"]).collect();
    let object =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: values}}\nvalues:\n{wrapped}");
    documents(&object)[0]["values"].clone()
}

fn charted(values: &Value) -> BTreeMap<String, Value> {
    files_below("charts/plimsoll/templates")
        .iter()
        .flat_map(|file| documents(&filled(&read(file), values)))
        .map(|object| (title(&object), object))
        .collect()
}

#[test]
fn the_chart_renders_the_objects_of_deploy() {
    let chart = charted(&values());
    let plain: BTreeMap<String, Value> = deployed("deploy")
        .into_iter()
        .filter(|object| {
            object["kind"] != "Namespace" && object["kind"] != "CustomResourceDefinition"
        })
        .map(|object| (title(&object), object))
        .collect();
    assert_eq!(
        chart.keys().collect::<Vec<_>>(),
        plain.keys().collect::<Vec<_>>()
    );
    for (title, object) in &plain {
        assert_eq!(
            serde_json::to_string_pretty(&chart[title]).unwrap(),
            serde_json::to_string_pretty(object).unwrap(),
            "{title} differs between charts/plimsoll (left) and deploy/ (right)"
        );
    }
}

#[test]
fn values_reach_the_chart() {
    let mut values = values();
    values["replicas"] = json!(2);
    values["image"]["tag"] = json!("9.9.9");
    values["extraArgs"] = json!(["--allow-host", "git.internal"]);
    let volume = json!({"name": "history", "persistentVolumeClaim": {"claimName": "history"}});
    let mount = json!({"name": "history", "mountPath": "/var/lib/plimsoll"});
    values["extraVolumes"] = json!([volume]);
    values["extraVolumeMounts"] = json!([mount]);
    let chart = charted(&values);
    let spec = &chart["Deployment plimsoll-system/plimsoll"]["spec"];
    assert_eq!(spec["replicas"], 2);
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "plimsoll:9.9.9");
    assert!(texts(&container["args"]).ends_with(&["--allow-host", "git.internal"]));
    assert_eq!(spec["template"]["spec"]["volumes"][1], volume);
    assert_eq!(container["volumeMounts"][1], mount);
}

#[test]
fn the_schema_of_the_chart_names_every_value() {
    let schema: Value = serde_json::from_str(&read("charts/plimsoll/values.schema.json")).unwrap();
    for name in values().as_object().unwrap().keys() {
        assert!(
            schema["properties"][name].is_object(),
            "values.schema.json lacks {name}"
        );
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = read("charts/plimsoll/Chart.yaml");
    assert!(
        chart.contains(&format!("\nversion: {version}\n")),
        "Chart.yaml: version"
    );
    assert!(
        chart.contains(&format!("\nappVersion: {version}\n")),
        "Chart.yaml: appVersion"
    );
    assert_eq!(values()["image"]["tag"], version, "values.yaml: image.tag");
    let image = format!("image: plimsoll:{version}\n");
    assert!(
        read("deploy/deployment.yaml").contains(&image),
        "deploy/deployment.yaml: {image}"
    );
}

/// Returns the instructions of a Dockerfile, continued lines joined.
fn instructions(dockerfile: &str) -> Vec<(String, String)> {
    dockerfile
        .replace("\\\n", " ")
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            (name.to_owned(), rest.trim().to_owned())
        })
        .collect()
}

#[test]
fn the_image_is_small_and_runs_as_nobody() {
    let instructions = instructions(&read("Dockerfile"));
    let stages: Vec<usize> = (0..instructions.len())
        .filter(|at| instructions[*at].0 == "FROM")
        .collect();
    assert!(stages.len() >= 2, "the compiler stays out of the image");
    let last = &instructions[*stages.last().unwrap()..];
    assert_eq!(last[0].1, "scratch", "nothing comes along unseen");
    let build = &instructions[..*stages.last().unwrap()];
    assert!(
        build
            .iter()
            .any(|(name, rest)| name == "RUN" && rest.contains("deploy/image/root.sh")),
        "what is measured is what is shipped"
    );
    let one = |name: &str| {
        let all: Vec<&str> = last
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, rest)| rest.as_str())
            .collect();
        assert_eq!(all.len(), 1, "{name}: {all:?}");
        all[0].to_owned()
    };
    let user = one("USER");
    let (uid, gid) = user.split_once(':').unwrap();
    assert!(
        uid.parse::<u32>().unwrap() > 0 && gid.parse::<u32>().unwrap() > 0,
        "USER {user} is numeric and not root"
    );
    assert!(
        one("ENTRYPOINT").starts_with('['),
        "the shell form needs a shell"
    );
    assert!(
        !last.iter().any(|(name, _)| name == "RUN"),
        "an empty image has nothing to run"
    );
    assert!(
        last.iter()
            .filter(|(name, _)| name == "COPY")
            .all(|(_, rest)| rest.starts_with("--from=")),
        "only what was built enters the image"
    );
}

/// Runs the script that lays out the root of the image.
#[cfg(target_os = "linux")]
fn image_root(binary: &str, directory: &Path) -> Output {
    Command::new(root().join("deploy/image/root.sh"))
        .arg(binary)
        .arg(directory)
        .output()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn the_root_of_the_image_holds_what_the_binary_is_linked_with() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("image");
    let binary = env!("CARGO_BIN_EXE_plimsoll");
    let laid_out = image_root(binary, &directory);
    assert!(laid_out.status.success(), "{laid_out:?}");

    let linked = Command::new("ldd").arg(binary).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let libraries: Vec<&str> = linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .collect();
    assert!(libraries.iter().any(|path| path.contains("libc.so")));
    for path in libraries.into_iter().chain([
        "/usr/local/bin/plimsoll",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/passwd",
        "/etc/nsswitch.conf",
    ]) {
        let inside = directory.join(path.trim_start_matches('/'));
        let is_file = std::fs::symlink_metadata(&inside).is_ok_and(|found| found.is_file());
        assert!(is_file, "{path} is in the image, and no link");
    }

    // What lies there already would come along.
    assert!(!image_root(binary, &directory).status.success());
    let no_file = scratch.path().to_str().unwrap();
    let refused = image_root(no_file, &scratch.path().join("third"));
    assert!(!refused.status.success());
    let nothing = image_root("/nonexistent", &scratch.path().join("other"));
    assert!(!nothing.status.success());
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_linked_with_nothing_has_nothing_beside_it_in_the_image() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("image");
    // As of a static program, ldd says of a text that it is no dynamic executable.
    let program = scratch.path().join("program");
    std::fs::write(&program, "#!/bin/true\n").unwrap();
    let laid_out = image_root(program.to_str().unwrap(), &directory);
    assert!(laid_out.status.success(), "{laid_out:?}");
    assert!(directory.join("usr/local/bin/plimsoll").is_file());
    assert!(
        directory
            .join("etc/ssl/certs/ca-certificates.crt")
            .is_file()
    );
    for libraries in ["lib", "lib64", "usr/lib"] {
        assert!(!directory.join(libraries).exists(), "{libraries}");
    }
}
