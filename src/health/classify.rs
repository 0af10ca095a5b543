//! The only place that reads meaning out of messages of others, where Kubernetes gives no better cause.
//!
//! Enters: texts of kubelet, container runtime, registry and API server.
//! Leaves: what they are about: the change, the environment, or nothing that can be told.
//! Never: a guess: what no word decides is not the change's fault.

use crate::model::text;

/// Longest text that is searched, in bytes.
const LONGEST: usize = 4096;

/// What a message about an image says. Ordered: the more telling one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pull {
    /// Nothing: a back-off, or words that we do not know.
    Unknown,
    /// The registry or the way to it fails.
    Registry,
    /// The registry does not let us.
    Denied,
    /// The image does not exist.
    Missing,
    /// The name is not one of an image.
    Invalid,
}

/// What a message about creating, starting or mounting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Admission says no.
    Denied,
    /// Something that it names is not there.
    Missing,
    /// A quota is exhausted.
    Quota,
    /// It cannot be done as it is written, for example because the command is not in the image.
    Wrong,
    /// The cluster fails.
    Environment,
    /// It does not say.
    Unknown,
}

/// Words of a network, a node or a server that fails; they decide against the change's guilt.
const FAULTS: &[&str] = &[
    "toomanyrequests",
    "too many requests",
    "internal server error",
    "bad gateway",
    "service unavailable",
    "gateway timeout",
    "gateway time-out",
    "i/o timeout",
    "timeout",
    "timed out",
    "deadline exceeded",
    "connection refused",
    "connection reset",
    "no such host",
    "server misbehaving",
    "temporary failure",
    "network is unreachable",
    "no route to host",
    "broken pipe",
    "unexpected eof",
    ": eof",
    "x509:",
    "tls:",
    "http response to https client",
    "no space left on device",
    "failed to extract layer",
    "snapshotter",
    "request canceled",
    "transport is closing",
    "error reading from server",
    "too many open files",
    "cannot allocate memory",
    "resource temporarily unavailable",
];

/// Returns what a text about pulling `image` says.
///
/// Faults come first: a text that holds both, for example of a mirror that is down and a token that was not given,
/// is not proof that the image is not there.
pub(super) fn pull(image: &str, words: &str) -> Pull {
    let words = without_names(words, image);
    if has(&words, FAULTS) || words.split(' ').any(is_server_error) {
        Pull::Registry
    } else if has(
        &words,
        &[
            "invalid reference format",
            "couldn't parse image",
            "failed to apply default image tag",
        ],
    ) {
        Pull::Invalid
    } else if has(
        &words,
        &[
            "manifest unknown",
            "manifest_unknown",
            "name unknown",
            "name_unknown",
            "not found",
            "code = notfound",
            "does not exist",
            "no such manifest",
            "no match for platform",
            "no matching manifest",
            "not present with pull policy of never",
        ],
    ) {
        Pull::Missing
    } else if has(
        &words,
        &[
            "unauthorized",
            "denied",
            "forbidden",
            "authentication required",
            "authorization failed",
            "insufficient_scope",
            "no basic auth credentials",
            "failed to authorize",
            "signature validation failed",
        ],
    ) {
        Pull::Denied
    } else {
        Pull::Unknown
    }
}

/// Returns why the API server did not take a pod that a controller wanted to create.
pub(super) fn create(words: &str) -> Cause {
    let words = lower(words);
    if has(
        &words,
        &[
            "denied the request",
            "violates podsecurity",
            "must specify",
            "usage per container",
            "usage per pod",
            "denied request",
        ],
    ) {
        Cause::Denied
    } else if words.contains("exceeded quota") {
        Cause::Quota
    } else if has(&words, FAULTS)
        || has(
            &words,
            &[
                "failed calling webhook",
                "failed to call webhook",
                "internal error occurred",
                "etcdserver",
                "is being terminated",
                "currently unable to handle",
                "no endpoints available",
                "object has been modified",
            ],
        )
    {
        Cause::Environment
    } else if words.contains("not found") || words.contains("no priorityclass with name") {
        Cause::Missing
    } else if words.contains("is forbidden") || words.contains("is invalid") {
        Cause::Denied
    } else {
        Cause::Unknown
    }
}

/// Returns why a container could not be configured, created or started.
pub(super) fn start(words: &str) -> Cause {
    let words = lower(words);
    if has(&words, FAULTS)
        || has(
            &words,
            &[
                "failed to sync",
                "failed to reserve",
                "sandbox",
                "device or resource busy",
                "not registered",
            ],
        )
    {
        Cause::Environment
    } else if has(&words, &["couldn't find key", "non-existent"])
        || (words.contains("not found") && has(&words, &["secret", "configmap", "serviceaccount"]))
    {
        Cause::Missing
    } else if has(
        &words,
        &[
            "executable file not found",
            "no such file or directory",
            "permission denied",
            "exec format error",
            "no command specified",
            "not a directory",
            "is a directory",
            "unable to find user",
            "unable to find group",
            "runasnonroot",
            "run as root",
            "non-root",
        ],
    ) {
        Cause::Wrong
    } else {
        Cause::Unknown
    }
}

/// Returns why a volume could not be mounted.
pub(super) fn mount(words: &str) -> Cause {
    let lowered = lower(words);
    let names_configuration = has(
        &lowered,
        &["secret \"", "configmap \"", "persistentvolumeclaim \""],
    ) && lowered.contains("not found");
    if lowered.contains("failed to sync") || lowered.contains("not registered") {
        Cause::Environment
    } else if names_configuration || lowered.contains("references non-existent") {
        Cause::Missing
    } else {
        Cause::Environment
    }
}

fn has(words: &str, needles: &[&str]) -> bool {
    needles.iter().any(|needle| words.contains(needle))
}

fn lower(words: &str) -> String {
    text::cut(words, LONGEST).to_lowercase()
}

/// Says whether a word is an HTTP status of a server that fails.
fn is_server_error(word: &str) -> bool {
    let digits = word.trim_matches(|character: char| !character.is_ascii_digit());
    digits.len() == 3 && digits.starts_with('5') && word.len() <= 5
}

/// Returns the words without what people may name as they like: an image called `access-denied` is no denial.
fn without_names(words: &str, image: &str) -> String {
    let mut words = lower(words);
    let image = lower(image);
    // A reference of one or two letters would take letters out of other words.
    if image.len() > 2 {
        words = words.replace(&image, " ");
    }
    words
        .split('"')
        .enumerate()
        // What stands between quotes is a name or an address.
        .filter(|(place, _)| place % 2 == 0)
        .flat_map(|(_, part)| part.split_whitespace())
        .filter(|word| !word.contains('/') || word.starts_with("i/o"))
        .collect::<Vec<_>>()
        .join(" ")
}
