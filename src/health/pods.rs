//! The failure table: what the pods of the new revision say.
//!
//! Enters: pods of one revision, what was sighted of them, windows.
//! Leaves: the `Finding` that a person should see first, decided or not.
//! Never: a pod of an older revision, a container's log or termination message, a guess at the change's fault.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    api::{Class, Reason},
    model::Now,
};

use super::{
    aggregate::Health,
    case::Case,
    classify::{self, Cause, Pull},
    ending, fields,
    index::event_text,
    rules::Windows,
    sightings::{ContainerMemory, PodMemory, Row},
};

/// What the pods of a revision say, put into one sentence.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    row: Row,
    reason: Reason,
    class: Class,
    words: String,
    pod: Option<String>,
    container: Option<String>,
    decided: bool,
}

/// Whether containers of these pods may exit and be started again as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restarts {
    /// A restart is a crash.
    Count,
    /// The owner counts them itself (a Job's back-off limit).
    OwnersMatter,
}

/// How many pods serve, and how many a rolling update keeps serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    /// Pods of any revision that are available.
    pub(super) available: i64,
    /// The least that the strategy allows.
    pub(super) least: i64,
}

#[derive(Clone, Debug)]
struct Symptom {
    row: Row,
    reason: Reason,
    class: Class,
    words: String,
    pod: String,
    container: Option<String>,
}

impl Finding {
    /// Returns a finding that was not told by a pod.
    pub(super) fn of_owner(
        case: &mut Case<'_>,
        row: Row,
        window: Option<Duration>,
        reason: Reason,
        class: Class,
        words: &str,
    ) -> Self {
        let decided = match window {
            Some(window) => case.has_held(row, window),
            None => false,
        };
        Self {
            row,
            reason,
            class,
            words: fields::quote(words),
            pod: None,
            container: None,
            decided,
        }
    }

    /// Says whether this one is to be told rather than `other`.
    fn outweighs(&self, other: &Self) -> bool {
        let key = |finding: &Self| (!finding.decided, finding.class, finding.row);
        key(self) < key(other)
    }

    /// Returns the more important of two.
    pub(super) fn worse(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if other.outweighs(&one) { other } else { one }),
            (one, other) => one.or(other),
        }
    }

    /// Says whether its window has closed.
    pub(super) fn is_decided(&self) -> bool {
        self.decided
    }

    /// Returns the class of the cause.
    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// Returns the health of the owner: failed where the finding decides, else a wait that names the cause.
    pub(super) fn health(self, case: &Case<'_>) -> Health {
        let place = match (&self.pod, &self.container) {
            (Some(pod), Some(container)) => format!("pod {pod}, container {container}: "),
            (Some(pod), None) => format!("pod {pod}: "),
            (None, _) => String::new(),
        };
        let message = case.say(&format!("{place}{}", self.words));
        if self.decided {
            Health::Failed {
                reason: self.reason,
                class: self.class,
                message,
                pod: self.pod,
                container: self.container,
            }
        } else {
            Health::Progressing {
                reason: self.reason,
                class: Some(self.class),
                message,
            }
        }
    }
}

/// Looks at the pods of a revision. `revision` names it: windows do not outlive it.
pub(super) fn examine(
    case: &mut Case<'_>,
    revision: &str,
    pods: &[&Value],
    restarts: Restarts,
    floor: Option<Floor>,
) -> Option<Finding> {
    case.memory.begin(revision);
    let windows = case.windows();
    // Below its floor a workload serves less than its rollout may take away: no time to see whether it is one node's
    // trouble. A floor that was not reached since the revision came (a first install, scaling up) cannot be broken.
    let broken = floor.filter(|floor| {
        case.memory.kept_floor |= floor.available >= floor.least;
        case.memory.kept_floor && floor.available < floor.least
    });
    let mut ready = 0_usize;
    let mut symptoms: BTreeMap<Row, Symptom> = BTreeMap::new();
    for pod in pods.iter().copied().filter(|pod| !is_displaced(pod)) {
        if is_ready(pod) {
            ready += 1;
        }
        for symptom in symptoms_of(case, pod, restarts) {
            symptoms.entry(symptom.row).or_insert(symptom);
        }
    }
    let mut worst: Option<Finding> = None;
    for (row, symptom) in symptoms {
        let waits = ready > 0 && broken.is_none();
        let decided = case.has_held(row, window(windows, &symptom, waits));
        if row == Row::Crash {
            // It is over when nothing restarted for a while, and then no event says so.
            case.look.again_in(windows.crash_loop);
        }
        let finding = Finding {
            row,
            reason: symptom.reason,
            class: symptom.class,
            words: match broken {
                Some(floor) => format!(
                    "{}; {} of at least {} pods available",
                    symptom.words, floor.available, floor.least
                ),
                None => symptom.words,
            },
            pod: Some(symptom.pod),
            container: symptom.container,
            decided,
        };
        worst = Finding::worse(worst, Some(finding));
    }
    worst
}

/// Returns how long a row must hold. With some new pods Ready, what fails may be one node's trouble: `patient`.
fn window(windows: &Windows, symptom: &Symptom, patient: bool) -> Duration {
    let own = match symptom.row {
        Row::ImageName | Row::ImageMissing | Row::ImageDenied => windows.image,
        Row::Config => windows.config,
        Row::Denied => windows.denied,
        Row::Memory | Row::Flapping => return Duration::ZERO,
        Row::Crash => windows.crash_loop,
        Row::Object => windows.object,
        Row::Registry => windows.registry,
        Row::Quota => windows.quota,
        Row::Api => windows.api,
        Row::Mount | Row::MountConfig => windows.mount,
        Row::Unschedulable | Row::Node => windows.unschedulable,
        Row::ScaleUp => windows.scale_up,
        Row::Silent => windows.silent,
    };
    if patient && symptom.class == Class::Change {
        own.max(windows.some_ready)
    } else {
        own
    }
}

/// Says whether the pod is Ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    fields::condition(pod, "Ready").is_some_and(|condition| condition.is_true())
}

/// Says whether the pod goes for reasons that are not its own: it is being deleted, or its node let it go.
pub(super) fn is_displaced(pod: &Value) -> bool {
    let reason = fields::text_at(pod, &["status", "reason"]).unwrap_or_default();
    fields::is_deleting(pod)
        || fields::text_at(pod, &["status", "phase"]) == Some("Unknown")
        || fields::condition(pod, "DisruptionTarget").is_some_and(|condition| condition.is_true())
        || matches!(
            reason,
            "Evicted"
                | "Preempting"
                | "Preempted"
                | "NodeLost"
                | "NodeShutdown"
                | "NodeAffinity"
                | "Terminated"
                | "Shutdown"
                | "UnexpectedAdmissionError"
        )
        || reason.starts_with("OutOf")
}

/// Says whether a container of the pod waits for what does not come by itself, or crashes.
pub(super) fn is_broken(pod: &Value) -> bool {
    containers(pod).any(|status| {
        matches!(
            fields::text_at(status, &["state", "waiting", "reason"]),
            Some(
                "CrashLoopBackOff"
                    | "ErrImagePull"
                    | "ImagePullBackOff"
                    | "ErrImageNeverPull"
                    | "InvalidImageName"
                    | "CreateContainerConfigError"
                    | "CreateContainerError"
                    | "RunContainerError"
            )
        ) || fields::integer(status, &["state", "terminated", "exitCode"])
            .is_some_and(|code| code != 0)
    })
}

fn symptoms_of(case: &mut Case<'_>, pod: &Value, restarts: Restarts) -> Vec<Symptom> {
    let name = fields::name(pod);
    let mut found = Vec::new();
    let symptom = |row, reason, class, words: String, container: Option<&str>| Symptom {
        row,
        reason,
        class,
        words,
        pod: fields::quote(name),
        container: container.map(fields::quote),
    };
    found.extend(
        placement(case, pod).map(|(row, words)| {
            symptom(row, Reason::Unschedulable, Class::Environment, words, None)
        }),
    );
    found.extend(
        deserted(pod)
            .map(|words| symptom(Row::Node, Reason::NodeLost, Class::Environment, words, None)),
    );
    found.extend(
        mounting(case, pod)
            .map(|(row, class, words)| symptom(row, Reason::MountFailed, class, words, None)),
    );
    let now = case.now;
    let windows = case.windows();
    let mut spare = PodMemory::default();
    // Where there is no room to remember a pod, it is judged by what it says now.
    let (memory, first) = fields::uid(pod)
        .and_then(|uid| case.memory.pod(uid))
        .unwrap_or((&mut spare, true));
    if restarts == Restarts::Count
        && let Some(words) = flapping(memory, first, pod, windows, now)
    {
        found.push(symptom(
            Row::Flapping,
            Reason::Flapping,
            Class::Change,
            words,
            None,
        ));
    }
    let ready = is_ready(pod);
    for status in containers(pod) {
        let container = fields::name_of(status);
        let mut spare = ContainerMemory::default();
        let (memory, first) = memory.container(container).unwrap_or((&mut spare, true));
        if let Some((row, reason, class, words)) = image(memory, status) {
            found.push(symptom(row, reason, class, words, Some(container)));
        }
        if let Some((class, words)) = configuration(status) {
            found.push(symptom(
                if class == Class::Change {
                    Row::Config
                } else {
                    Row::Api
                },
                Reason::ConfigError,
                class,
                words,
                Some(container),
            ));
        }
        if restarts == Restarts::OwnersMatter {
            continue;
        }
        if let Some(words) = ending::killed(memory, first && ready, pod, status, windows, now) {
            found.push(symptom(
                Row::Memory,
                Reason::OutOfMemory,
                Class::Change,
                words,
                Some(container),
            ));
        }
        if let Some(words) = ending::crashing(memory, first, status, windows, now) {
            found.push(symptom(
                Row::Crash,
                Reason::CrashLoop,
                Class::Change,
                words,
                Some(container),
            ));
        }
    }
    found
}

/// Returns the statuses of all containers, init containers first: what starts first fails first.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    fields::items(pod, &["status", "initContainerStatuses"])
        .iter()
        .chain(fields::items(pod, &["status", "containerStatuses"]))
}

fn placement(case: &Case<'_>, pod: &Value) -> Option<(Row, String)> {
    let condition = fields::condition(pod, "PodScheduled")?;
    // A pod that is gated waits by somebody's will.
    if !condition.is_false() || condition.reason != "Unschedulable" {
        return None;
    }
    let grows = fields::text_at(pod, &["status", "nominatedNodeName"])
        .is_some_and(|node| !node.is_empty())
        || fields::uid(pod).is_some_and(|uid| case.index.event(uid, "TriggeredScaleUp").is_some());
    let row = if grows {
        Row::ScaleUp
    } else {
        Row::Unschedulable
    };
    Some((
        row,
        format!("no node takes it: {}", fields::quote(condition.message)),
    ))
}

/// Says that the control plane calls a pod unready whose kubelet called it ready last: the node is lost.
fn deserted(pod: &Value) -> Option<String> {
    let ready = fields::condition(pod, "Ready")?;
    let containers = fields::condition(pod, "ContainersReady")?;
    let gated = !fields::items(pod, &["spec", "readinessGates"]).is_empty();
    (ready.is_false() && containers.is_true() && !gated).then(|| {
        let node = fields::text_at(pod, &["spec", "nodeName"]).unwrap_or_default();
        format!("its node {} does not answer", fields::quote(node))
    })
}

fn mounting(case: &Case<'_>, pod: &Value) -> Option<(Row, Class, String)> {
    let scheduled =
        fields::condition(pod, "PodScheduled").is_some_and(|condition| condition.is_true());
    let waits = fields::text_at(pod, &["status", "phase"]) == Some("Pending")
        && containers(pod).all(|status| {
            matches!(
                fields::text_at(status, &["state", "waiting", "reason"]),
                Some("ContainerCreating" | "PodInitializing")
            )
        });
    if !scheduled || !waits {
        return None;
    }
    let event = fields::uid(pod).and_then(|uid| {
        ["FailedMount", "FailedAttachVolume"]
            .into_iter()
            .find_map(|reason| case.index.event(uid, reason))
    });
    if let Some(event) = event {
        let words = event_text(event);
        return Some(match classify::mount(words) {
            Cause::Missing => (Row::MountConfig, Class::Change, fields::quote(words)),
            Cause::Denied | Cause::Quota | Cause::Wrong | Cause::Environment | Cause::Unknown => {
                (Row::Mount, Class::Environment, fields::quote(words))
            }
        });
    }
    // Without events nothing says which volume it is; only that the kubelet has not come past volumes and network.
    fields::condition(pod, "PodReadyToStartContainers")
        .is_some_and(|condition| condition.is_false())
        .then(|| {
            (
                Row::Mount,
                Class::Environment,
                "its volumes or its network are not there yet".to_owned(),
            )
        })
}

/// Counts drops from ready to not ready. `ContainersReady` is the kubelet's word; `Ready` falls with a lost node too.
fn flapping(
    memory: &mut PodMemory,
    first: bool,
    pod: &Value,
    windows: &Windows,
    now: Now,
) -> Option<String> {
    let condition =
        fields::condition(pod, "ContainersReady").or_else(|| fields::condition(pod, "Ready"))?;
    let ready = condition.is_true();
    let moved = memory.transition != condition.transition;
    let runs = containers(pod).all(|status| {
        fields::at(status, &["state", "running"]).is_some()
            || fields::integer(status, &["state", "terminated", "exitCode"]) == Some(0)
    });
    let restarts = containers(pod)
        .map(|status| fields::count(status, &["restartCount"]))
        .fold(0, i64::saturating_add);
    // The same answer with another time flipped twice between two looks.
    let dropped = !first && (memory.ready && !ready || moved && memory.ready == ready);
    // A container that ended is a crash, which has a row of its own.
    if dropped && runs && restarts == memory.restarts {
        memory.drops = memory.drops.saturating_add(1);
        memory.dropped = Some(now.monotonic);
    }
    memory.ready = ready;
    memory.restarts = restarts;
    if moved {
        memory.transition = fields::quote(condition.transition);
    }
    let recent = memory
        .dropped
        .is_some_and(|dropped| now.since(dropped) < windows.forget);
    (memory.drops >= windows.drops && recent).then(|| {
        format!(
            "it was ready and not ready in turns, {} times",
            memory.drops
        )
    })
}

fn image(memory: &mut ContainerMemory, status: &Value) -> Option<(Row, Reason, Class, String)> {
    let Some(reason) = fields::text_at(status, &["state", "waiting", "reason"]) else {
        // It has its image: what was said of pulling is past.
        if status.get("state").is_some_and(|state| {
            state.get("running").is_some() || state.get("terminated").is_some()
        }) {
            memory.pull = None;
        }
        return None;
    };
    let image = fields::text_at(status, &["image"]).unwrap_or_default();
    let words = fields::text_at(status, &["state", "waiting", "message"]).unwrap_or_default();
    let heard = match reason {
        "InvalidImageName" => Pull::Invalid,
        "ErrImageNeverPull" => Pull::Missing,
        "SignatureValidationFailed" => Pull::Denied,
        "ImageInspectError" | "RegistryUnavailable" => Pull::Registry,
        "ErrImagePull" | "ImagePullBackOff" => classify::pull(image, words),
        _ => return None,
    };
    // The first of the most telling words stays: a back-off that follows says nothing any more.
    if memory
        .pull
        .as_ref()
        .is_none_or(|(told, text)| heard > *told || text.is_empty())
    {
        memory.pull = Some((heard, fields::quote(words)));
    }
    let (told, text) = memory.pull.clone()?;
    let text = if text.is_empty() {
        reason.to_owned()
    } else {
        text
    };
    let words = format!("image {}: {text}", fields::quote(image));
    Some(match told {
        Pull::Invalid => (
            Row::ImageName,
            Reason::InvalidImageName,
            Class::Change,
            words,
        ),
        Pull::Missing => (
            Row::ImageMissing,
            Reason::ImageNotFound,
            Class::Change,
            words,
        ),
        Pull::Denied => (
            Row::ImageDenied,
            Reason::ImagePullFailed,
            Class::Change,
            words,
        ),
        Pull::Registry | Pull::Unknown => (
            Row::Registry,
            Reason::ImagePullFailed,
            Class::Environment,
            words,
        ),
    })
}

fn configuration(status: &Value) -> Option<(Class, String)> {
    let reason = fields::text_at(status, &["state", "waiting", "reason"])?;
    let words = fields::text_at(status, &["state", "waiting", "message"]).unwrap_or_default();
    let cause = match (reason, classify::start(words)) {
        // Kubelet's own check of what the container names: unless its cache is late, the spec is wrong.
        ("CreateContainerConfigError", Cause::Unknown) => Cause::Missing,
        (
            "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "PostStartHookError"
            | "StartError"
            | "ContainerCannotRun",
            cause,
        ) => cause,
        _ => return None,
    };
    let words = if words.is_empty() { reason } else { words };
    match cause {
        Cause::Missing | Cause::Wrong => Some((Class::Change, fields::quote(words))),
        Cause::Environment => Some((Class::Environment, fields::quote(words))),
        // What cannot be told is not held against the change; the deadline decides.
        Cause::Denied | Cause::Quota | Cause::Unknown => None,
    }
}

/// Returns what an event of `FailedCreate` or a condition of a controller says of pods that cannot be created.
pub(super) fn refused(
    case: &mut Case<'_>,
    words: &str,
    frees_quota: bool,
    some_ready: bool,
) -> Finding {
    let windows = case.windows();
    let patient = |own: Duration| {
        Some(if some_ready {
            own.max(windows.some_ready)
        } else {
            own
        })
    };
    let (row, window, reason, class) = match classify::create(words) {
        Cause::Denied | Cause::Wrong => (
            Row::Denied,
            patient(windows.denied),
            Reason::PodDenied,
            Class::Change,
        ),
        Cause::Missing => (
            Row::Config,
            patient(windows.config),
            Reason::PodDenied,
            Class::Change,
        ),
        // Old pods that the rollout takes away give their quota back.
        Cause::Quota if frees_quota => {
            (Row::Quota, None, Reason::QuotaExceeded, Class::Environment)
        }
        Cause::Quota => (
            Row::Quota,
            Some(windows.quota),
            Reason::QuotaExceeded,
            Class::Environment,
        ),
        Cause::Environment | Cause::Unknown => (
            Row::Api,
            Some(windows.api),
            Reason::PodDenied,
            Class::Environment,
        ),
    };
    let words = format!("its pods cannot be created: {words}");
    Finding::of_owner(case, row, window, reason, class, &words)
}
