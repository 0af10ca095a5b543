//! Messages as runtimes, registries and API servers write them.
//!
//! Enters: the shape of real messages, with names of ours.
//! Leaves: what each is about.
//! Never: a message that is only a back-off and yet decides.

use super::super::classify::{Cause, Pull, create, mount, pull, start};

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn messages_about_images() {
    let image = "registry.example.org/shop/web:v2";
    let cases = [
        // containerd
        (
            Pull::Missing,
            "rpc error: code = NotFound desc = failed to pull and unpack image \"registry.example.org/shop/web:v2\": failed to resolve reference \"registry.example.org/shop/web:v2\": registry.example.org/shop/web:v2: not found",
        ),
        (
            Pull::Missing,
            "rpc error: code = Unknown desc = failed to pull and unpack image \"registry.example.org/shop/web:v2\": no match for platform in manifest: not found",
        ),
        (
            Pull::Missing,
            "failed to pull and unpack image: failed to resolve reference: unexpected status from HEAD request to https://registry.example.org/v2/shop/web/manifests/v2: 404 Not Found",
        ),
        (
            Pull::Denied,
            "rpc error: code = Unknown desc = failed to pull and unpack image \"registry.example.org/shop/web:v2\": failed to resolve reference \"registry.example.org/shop/web:v2\": pull access denied, insufficient_scope: authorization failed",
        ),
        (
            Pull::Missing,
            "failed to resolve reference \"docker.io/shop/web:v2\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
        ),
        (
            Pull::Denied,
            "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://registry.example.org/token?scope=x: 403 Forbidden",
        ),
        (
            Pull::Denied,
            "failed to resolve reference: unexpected status from HEAD request to https://registry.example.org/v2/: 401 Unauthorized",
        ),
        (
            Pull::Registry,
            "failed to resolve reference: unexpected status from HEAD request to https://registry.example.org/v2/shop/web/manifests/v2: 503 Service Unavailable",
        ),
        (
            Pull::Registry,
            "failed to resolve reference: unexpected status code 500",
        ),
        (
            Pull::Registry,
            "failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://registry.example.org/token: 502 Bad Gateway",
        ),
        (
            Pull::Registry,
            "failed to do request: Head \"https://registry.example.org/v2/\": dial tcp 10.0.0.9:443: connect: connection refused",
        ),
        (
            Pull::Registry,
            "failed to do request: Head \"https://registry.example.org/v2/\": dial tcp: lookup registry.example.org on 10.96.0.10:53: no such host",
        ),
        (
            Pull::Registry,
            "failed to do request: Head \"https://registry.example.org/v2/\": dial tcp 10.0.0.9:443: i/o timeout",
        ),
        (
            Pull::Registry,
            "failed to do request: Head \"https://registry.example.org/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        (
            Pull::Registry,
            "failed to copy: httpReadSeeker: failed open: unexpected status code https://registry.example.org/v2/blobs: 429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit",
        ),
        (
            Pull::Registry,
            "failed to extract layer sha256:ab: mount callback failed: parent snapshot sha256:cd does not exist: not found",
        ),
        (
            Pull::Registry,
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
        ),
        // docker
        (
            Pull::Missing,
            "Error response from daemon: manifest for registry.example.org/shop/web:v2 not found: manifest unknown: manifest unknown",
        ),
        (
            Pull::Missing,
            "Error response from daemon: pull access denied for shop/web, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
        ),
        (
            Pull::Denied,
            "Error response from daemon: Head \"https://registry.example.org/v2/shop/web/manifests/v2\": unauthorized: authentication required",
        ),
        (
            Pull::Denied,
            "Error response from daemon: Get \"https://registry.example.org/v2/\": no basic auth credentials",
        ),
        (
            Pull::Registry,
            "Error response from daemon: Get \"https://registry.example.org/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        ),
        // CRI-O
        (
            Pull::Missing,
            "reading manifest v2 in registry.example.org/shop/web: manifest unknown",
        ),
        (
            Pull::Denied,
            "Requesting bearer token: invalid status code from registry 403 (Forbidden)",
        ),
        (
            Pull::Registry,
            "pinging container registry registry.example.org: received unexpected HTTP status: 503 Service Unavailable",
        ),
        // kubelet
        (
            Pull::Invalid,
            "Failed to apply default image tag \"Registry/Web:v2\": couldn't parse image name \"Registry/Web:v2\": invalid reference format: repository name must be lowercase",
        ),
        (
            Pull::Missing,
            "Container image \"registry.example.org/shop/web:v2\" is not present with pull policy of Never",
        ),
        (
            Pull::Unknown,
            "Back-off pulling image \"registry.example.org/shop/web:v2\"",
        ),
        (
            Pull::Missing,
            "Back-off pulling image \"registry.example.org/shop/web:v2\": ErrImagePull: rpc error: code = NotFound desc = registry.example.org/shop/web:v2: not found",
        ),
        (Pull::Unknown, ""),
        (Pull::Unknown, "something new"),
    ];
    for (expected, words) in cases {
        assert_eq!(pull(image, words), expected, "{words}");
    }
}

#[test]
fn names_decide_nothing() {
    assert_eq!(
        pull(
            "unauthorized:denied",
            "Back-off pulling image unauthorized:denied"
        ),
        Pull::Unknown
    );
    assert_eq!(
        pull(
            "shop/timeout:503",
            "failed to resolve reference \"docker.io/shop/timeout:503\": docker.io/shop/timeout:503: not found"
        ),
        Pull::Missing
    );
}

#[test]
fn messages_about_creating_pods() {
    let cases = [
        (
            Cause::Quota,
            "pods \"web-1\" is forbidden: exceeded quota: compute, requested: cpu=1, used: cpu=4, limited: cpu=4",
        ),
        (
            Cause::Denied,
            "pods \"web-1\" is forbidden: failed quota: compute: must specify limits.cpu for: app",
        ),
        (
            Cause::Denied,
            "pods \"web-1\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true (pod or container \"app\" must set securityContext.runAsNonRoot=true)",
        ),
        (
            Cause::Denied,
            "admission webhook \"validate.policy.example.org\" denied the request: image timeout must be set",
        ),
        (
            Cause::Denied,
            "pods \"web-1\" is forbidden: [maximum memory usage per Container is 1Gi, but limit is 2Gi]",
        ),
        (
            Cause::Denied,
            "pods \"web-1\" is forbidden: ValidatingAdmissionPolicy 'images' with binding 'images' denied request: failed expression",
        ),
        (
            Cause::Denied,
            "Pod \"web-1\" is invalid: spec.containers[0].name: Required value",
        ),
        (
            Cause::Environment,
            "Internal error occurred: failed calling webhook \"inject.mesh.example.org\": failed to call webhook: Post \"https://mesh.svc:443/inject\": dial tcp 10.0.0.7:443: connect: connection refused",
        ),
        (
            Cause::Environment,
            "pods \"web-1\" is forbidden: unable to create new content in namespace shop because it is being terminated",
        ),
        (Cause::Environment, "etcdserver: request timed out"),
        (
            Cause::Missing,
            "pods \"web-1\" is forbidden: error looking up service account shop/web: serviceaccount \"web\" not found",
        ),
        (
            Cause::Missing,
            "pods \"web-1\" is forbidden: no PriorityClass with name high was found",
        ),
        (Cause::Unknown, "something new"),
    ];
    for (expected, words) in cases {
        assert_eq!(create(words), expected, "{words}");
    }
}

#[test]
fn messages_about_starting_and_mounting() {
    let starts = [
        (Cause::Missing, "secret \"web\" not found"),
        (Cause::Missing, "couldn't find key token in Secret shop/web"),
        (
            Cause::Environment,
            "failed to sync secret cache: timed out waiting for the condition",
        ),
        (
            Cause::Wrong,
            "container has runAsNonRoot and image will run as root (pod: \"web_shop(1)\", container: app)",
        ),
        (
            Cause::Wrong,
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"serve\": executable file not found in $PATH: unknown",
        ),
        (
            Cause::Environment,
            "failed to reserve container name \"app_web_shop_1\": name is reserved for \"ab\"",
        ),
        (Cause::Unknown, "something new"),
    ];
    for (expected, words) in starts {
        assert_eq!(start(words), expected, "{words}");
    }
    let mounts = [
        (
            Cause::Missing,
            "MountVolume.SetUp failed for volume \"config\" : configmap \"web\" not found",
        ),
        (
            Cause::Missing,
            "MountVolume.SetUp failed for volume \"keys\" : references non-existent secret key: tls.key",
        ),
        (
            Cause::Environment,
            "MountVolume.SetUp failed for volume \"config\" : failed to sync configmap cache: timed out waiting for the condition",
        ),
        (
            Cause::Environment,
            "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) web-0",
        ),
        (
            Cause::Environment,
            "MountVolume.SetUp failed for volume \"config\" : object \"shop\"/\"web\" not registered",
        ),
    ];
    for (expected, words) in mounts {
        assert_eq!(mount(words), expected, "{words}");
    }
}
