//! The trees that are measured, made by code: the same bytes on every machine.
//! Enters: a size. Leaves: paths and contents. Never: a random number.

use std::fmt::Write as _;

/// Files of a tree by path below its root; the kustomization to build lies in `overlay`.
pub(crate) type Tree = Vec<(String, String)>;

fn file(tree: &mut Tree, path: &str, content: String) {
    tree.push((path.to_owned(), content));
}

/// What most repositories hold: one application, one overlay.
pub(crate) fn small() -> Tree {
    let mut tree = Tree::new();
    file(
        &mut tree,
        "base/kustomization.yaml",
        "resources: [deployment.yaml, service.yaml, hpa.yaml]\n".to_owned(),
    );
    file(&mut tree, "base/deployment.yaml", deployment("web", 0));
    file(&mut tree, "base/service.yaml", service("web"));
    file(
        &mut tree,
        "base/hpa.yaml",
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: web\nspec:\n  scaleTargetRef:\n    apiVersion: apps/v1\n    kind: Deployment\n    name: web\n  minReplicas: 2\n  maxReplicas: 4\n"
            .to_owned(),
    );
    file(
        &mut tree,
        "overlay/kustomization.yaml",
        "namespace: shop\nnamePrefix: prod-\nresources: [../base]\nconfigMapGenerator:\n- name: config-0\n  literals: [LEVEL=info]\nimages:\n- name: registry.example.org/team/app\n  newTag: v2\npatches:\n- patch: |-\n    - op: replace\n      path: /spec/replicas\n      value: 3\n  target: {kind: Deployment}\n"
            .to_owned(),
    );
    tree
}

fn deployment(name: &str, index: usize) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  labels:\n    app.kubernetes.io/name: {name}\nspec:\n  replicas: 2\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: {name}\n  template:\n    metadata:\n      labels:\n        app.kubernetes.io/name: {name}\n    spec:\n      serviceAccountName: account-{index}\n      containers:\n      - name: app\n        image: registry.example.org/team/app:v1.{index}\n        args: [--listen=0.0.0.0:8080, \"--level\", info]\n        ports:\n        - name: http\n          containerPort: 8080\n        envFrom:\n        - configMapRef:\n            name: config-{index}\n        env:\n        - name: TOKEN\n          valueFrom:\n            secretKeyRef:\n              name: token\n              key: token\n        readinessProbe:\n          httpGet: {{path: /readyz, port: http}}\n        resources:\n          requests: {{cpu: 100m, memory: 64Mi}}\n          limits: {{memory: 128Mi}}\n"
    )
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  selector:\n    app.kubernetes.io/name: {name}\n  ports:\n  - name: http\n    port: 80\n    targetPort: http\n"
    )
}

/// As many objects as asked for, in groups of four that refer to each other, under an overlay with prefix, namespace, labels and images.
pub(crate) fn objects(count: usize) -> Tree {
    let mut tree = Tree::new();
    let mut list = "resources:\n".to_owned();
    // Ten groups a file.
    for (number, start) in (0..count / 4).step_by(10).enumerate() {
        let mut text = String::new();
        for index in start..(start + 10).min(count / 4) {
            let name = format!("app-{index}");
            let parts = [
                deployment(&name, index),
                service(&name),
                format!(
                    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: config-{index}\ndata:\n  LEVEL: info\n  NAME: app {index}\n"
                ),
                format!(
                    "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: account-{index}\n"
                ),
            ];
            for part in parts {
                text.push_str("---\n");
                text.push_str(&part);
            }
        }
        file(&mut tree, &format!("base/part-{number}.yaml"), text);
        // Writing to a text cannot fail.
        let _ok = writeln!(list, "- part-{number}.yaml");
    }
    file(&mut tree, "base/kustomization.yaml", list);
    file(
        &mut tree,
        "overlay/kustomization.yaml",
        "namespace: shop\nnamePrefix: prod-\nresources: [../base]\nlabels:\n- pairs: {team: shop, tier: backend}\n  includeSelectors: true\nimages:\n- name: registry.example.org/team/app\n  newName: mirror.example.org/team/app\n  newTag: v2\n"
            .to_owned(),
    );
    tree
}

/// Definitions of custom resources with large schemas, of about so many lines.
pub(crate) fn definitions(lines: usize) -> Tree {
    const LINES_EACH: usize = 12_039;
    let mut tree = Tree::new();
    let mut list = "resources:\n".to_owned();
    for index in 0..lines.div_ceil(LINES_EACH) {
        file(
            &mut tree,
            &format!("base/definition-{index}.yaml"),
            definition(index),
        );
        let _ok = writeln!(list, "- definition-{index}.yaml");
    }
    file(&mut tree, "base/kustomization.yaml", list);
    file(
        &mut tree,
        "overlay/kustomization.yaml",
        "resources: [../base]\ncommonAnnotations: {owner: platform}\nlabels:\n- pairs: {team: platform}\n".to_owned(),
    );
    tree
}

fn definition(index: usize) -> String {
    let mut text = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things{index}.example.org\nspec:\n  group: example.org\n  names:\n    kind: Thing{index}\n    listKind: Thing{index}List\n    plural: things{index}\n    singular: thing{index}\n  scope: Namespaced\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec:\n            type: object\n            properties:\n"
    );
    properties(&mut text, 14, 5, index);
    text
}

fn properties(text: &mut String, indent: usize, depth: usize, seed: usize) {
    let pad = " ".repeat(indent);
    for field in 0..4 {
        let _ok = write!(
            text,
            "{pad}field{depth}{field}:\n{pad}  description: |-\n{pad}    Field {field} of level {depth} says how thing {seed} behaves when it is asked to.\n{pad}    More info: https://example.org/docs/{seed}/{depth}/{field}\n"
        );
        if depth > 0 && field < 3 {
            let _ok = write!(text, "{pad}  type: object\n{pad}  properties:\n");
            properties(text, indent + 4, depth - 1, seed + field);
        } else {
            let _ok = write!(
                text,
                "{pad}  type: string\n{pad}  enum:\n{pad}  - \"on\"\n{pad}  - \"off\"\n{pad}  - default-{field}\n"
            );
        }
    }
}

/// So many overlays on one base of forty objects in ten files.
pub(crate) fn overlays(count: usize) -> Tree {
    let mut tree = Tree::new();
    let mut list = "resources:\n".to_owned();
    for part in 0..10 {
        let objects = (0..2).fold(String::new(), |mut text, index| {
            let name = format!("app-{part}-{index}");
            text.push_str("---\n");
            text.push_str(&deployment(&name, index));
            text.push_str("---\n");
            text.push_str(&service(&name));
            text
        });
        let _ok = writeln!(list, "- part-{part}.yaml");
        file(&mut tree, &format!("base/part-{part}.yaml"), objects);
    }
    file(&mut tree, "base/kustomization.yaml", list);
    for number in 0..count {
        file(
            &mut tree,
            &format!("overlay-{number}/kustomization.yaml"),
            format!(
                "resources: [../base]\nnamespace: team-{number}\nnamePrefix: t{number}-\nimages:\n- name: registry.example.org/team/app\n  newTag: v{number}\nlabels:\n- pairs: {{team: t{number}}}\n"
            ),
        );
    }
    tree
}
