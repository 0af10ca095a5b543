//! Events: why pods cannot be created, mounted or placed, where nothing else says so.
//!
//! Enters: what the last look found on its way; only while a set becomes Ready.
//! Leaves: Kubernetes' events of the few reasons that tell, in memory for the next look.
//! Never: an event read with the controller's own rights; an error: without events the deadline decides.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Context, Memory, Subject};
use crate::{
    api::Reason,
    cluster::{self, ListQuery},
    health::{Assessment, Health},
    model::text,
    rollout::{ReturnStage, State},
};

/// Shortest time between two looks at events: they are listed, and a namespace may have many.
const AGAIN: Duration = Duration::from_secs(4);

/// One kind of event in one namespace.
pub(super) type Wanted = BTreeSet<(String, &'static str)>;

/// Returns which events would tell more of what is on its way.
pub(super) fn wanted(assessment: &Assessment) -> Wanted {
    let mut wanted = Wanted::new();
    for (id, health) in &assessment.objects {
        let Health::Progressing { reason, .. } = health else {
            continue;
        };
        let mut want = |reason| wanted.insert((id.namespace.clone(), reason));
        // These kinds have no condition for pods that cannot be created.
        if id.is("apps", "StatefulSet") || id.is("apps", "DaemonSet") || id.is("batch", "Job") {
            want("FailedCreate");
        }
        if *reason == Reason::MountFailed {
            want("FailedMount");
            want("FailedAttachVolume");
        }
        if *reason == Reason::Unschedulable {
            want("TriggeredScaleUp");
        }
    }
    wanted
}

/// Reads the wanted events as the account, while a set becomes Ready.
pub(super) async fn look(context: &Context, subject: &Subject, memory: &mut Memory) {
    let becomes_ready = matches!(
        memory.rollout.state,
        State::Watching { .. }
            | State::Returning {
                stage: ReturnStage::Watching,
                ..
            }
    );
    if !becomes_ready {
        memory.events.clear();
        return;
    }
    let now = (context.clock)().monotonic;
    let recent = memory
        .events_read
        .is_some_and(|at| now.saturating_sub(at) < AGAIN);
    if recent || memory.events_wanted.is_empty() || memory.events_denied == Some(subject.generation)
    {
        return;
    }
    memory.events_read = Some(now);
    let reader = subject.reader(context);
    let mut found = Vec::new();
    for (namespace, reason) in &memory.events_wanted {
        let query = ListQuery {
            namespace: Some(namespace.clone()),
            fields: format!("reason={reason}"),
            ..ListQuery::default()
        };
        match reader.list("v1", "Event", &query).await {
            Ok(events) => found.extend(events.into_iter().map(Arc::new)),
            Err(cluster::Error::Forbidden { .. }) => {
                memory.events_denied = Some(subject.generation);
                return;
            }
            Err(error) => {
                tracing::debug!(error = %text::chain(&error), "could not read events");
                return;
            }
        }
    }
    memory.events = found;
}
