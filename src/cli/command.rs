//! Verbs that ask the controller for something: they write a command into the Application.
//!
//! Enters: who is asked of by kubeconfig; hashes or their beginnings.
//! Leaves: a command with who, when and why; the controller decides what becomes of it.
//! Never: a change of anything but `spec.commands`.

use super::{
    Exit, Failure,
    args::{CommandArgs, PauseArgs, SubjectArgs},
    input::{self, Connected},
    output,
    rollback::is_pinned,
};
use crate::{
    api::{Application, Approve, Cancel, Commands, Ended, Pause, Phase, Release, SyncCommand},
    clock,
};

/// Commands of one list that are kept.
const KEPT: usize = 20;

/// Writes a command as the person; `change` sees the commands as they stand, perhaps more than once.
pub(super) async fn write(
    connected: &Connected,
    name: &str,
    change: impl Fn(&mut Commands, &str),
) -> Result<(), Failure> {
    let who = connected.cluster.who_am_i().await?;
    connected
        .cluster
        .commander()
        .command(&connected.key(name), |_, commands| change(commands, &who))
        .await?;
    Ok(())
}

fn keep_last<T>(list: &mut Vec<T>) {
    let excess = list.len().saturating_sub(KEPT);
    list.drain(..excess);
}

pub(super) async fn sync(args: &CommandArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let now = clock::now();
    let id = format!("{:x}", now.wall.as_microsecond());
    write(&connected, &args.application, |commands, who| {
        commands.sync.push(SyncCommand {
            by: who.to_owned(),
            at: now.wall,
            reason: args.reason.clone(),
            id: id.clone(),
        });
        keep_last(&mut commands.sync);
    })
    .await?;
    output::message(&format!(
        "asked {} to look at git now",
        connected.key(&args.application)
    ));
    Ok(Exit::Ok)
}

pub(super) async fn release(args: &SubjectArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let application = connected.application(&args.application).await?;
    let quarantined: Vec<String> = application
        .status
        .iter()
        .flat_map(|status| &status.quarantine)
        .map(|entry| entry.digest.to_string())
        .collect();
    let digest = resolve(&args.hash, &quarantined, "quarantined set")?;
    let now = clock::now();
    write(&connected, &args.application, |commands, who| {
        commands.release.push(Release {
            by: who.to_owned(),
            at: now.wall,
            reason: args.reason.clone(),
            digest: digest.clone(),
        });
        keep_last(&mut commands.release);
    })
    .await?;
    output::message(&format!("released {digest}; it is tried again"));
    Ok(Exit::Ok)
}

pub(super) async fn approve(args: &SubjectArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let application = connected.application(&args.application).await?;
    let waiting: Vec<String> = application
        .status
        .iter()
        .filter_map(|status| status.prune.as_ref())
        .map(|prune| prune.plan.clone())
        .collect();
    let plan = resolve(&args.hash, &waiting, "plan that waits for approval")?;
    let now = clock::now();
    write(&connected, &args.application, |commands, who| {
        commands.approve.push(Approve {
            by: who.to_owned(),
            at: now.wall,
            reason: args.reason.clone(),
            plan: plan.clone(),
        });
        keep_last(&mut commands.approve);
    })
    .await?;
    output::message(&format!("approved {plan}"));
    Ok(Exit::Ok)
}

/// Returns the one hash that begins so.
fn resolve(prefix: &str, known: &[String], what: &str) -> Result<String, Failure> {
    let wanted = prefix.trim_start_matches("sha256:");
    let found: Vec<&String> = known
        .iter()
        .filter(|hash| !wanted.is_empty() && hash.trim_start_matches("sha256:").starts_with(wanted))
        .collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::new(
            Exit::NotFound,
            format!("no {what} begins with {prefix:?}"),
        )),
        _ => Err(Failure::new(
            Exit::Usage,
            format!("more than one {what} begins with {prefix:?}"),
        )),
    }
}

fn attempt(application: &Application) -> u64 {
    application
        .status
        .as_ref()
        .map_or(0, |status| status.under_way)
}

pub(super) async fn cancel(args: &CommandArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let found = connected.application(&args.application).await?;
    let number = attempt(&found);
    let phase = found.status.map(|status| status.phase).unwrap_or_default();
    let now = clock::now();
    write(&connected, &args.application, |commands, who| {
        commands.cancel.push(Cancel {
            by: who.to_owned(),
            at: now.wall,
            reason: args.reason.clone(),
            attempt: number,
        });
        keep_last(&mut commands.cancel);
    })
    .await?;
    let what = match phase {
        Phase::Applying | Phase::Watching | Phase::Pruning | Phase::Returning => {
            format!("attempt {number}")
        }
        // What is planned now has no number yet.
        Phase::Idle | Phase::Soaking | Phase::Failed => "what is being planned".to_owned(),
    };
    output::message(&format!("asked to end {what}"));
    Ok(Exit::Ok)
}

pub(super) async fn pause(args: &PauseArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let now = clock::now();
    let until = match args.duration {
        None => None,
        Some(duration) => Some(now.wall.checked_add(duration).map_err(|error| {
            Failure::new(Exit::Usage, format!("add {duration:?} to now: {error}"))
        })?),
    };
    write(&connected, &args.application, |commands, who| {
        commands.pause = Some(Pause {
            by: who.to_owned(),
            at: now.wall,
            reason: args.reason.clone(),
            until,
            ended: None,
        });
    })
    .await?;
    output::message(&format!("paused {}", connected.key(&args.application)));
    Ok(Exit::Ok)
}

/// Ends what is in force: a pause, else a rollback.
pub(super) async fn resume(args: &CommandArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let application = connected.application(&args.application).await?;
    let name = &args.application;
    let in_force = application
        .spec
        .commands
        .pause
        .as_ref()
        .is_some_and(|pause| pause.ended.is_none());
    let pinned = is_pinned(&application);
    if !in_force && pinned {
        return unpin(&connected, name, &args.reason).await;
    }
    if !in_force {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} is not paused or pinned", connected.key(name)),
        ));
    }
    let now = clock::now();
    write(&connected, name, |commands, who| {
        if let Some(pause) = commands
            .pause
            .as_mut()
            .filter(|pause| pause.ended.is_none())
        {
            pause.ended = Some(Ended {
                by: who.to_owned(),
                at: now.wall,
                reason: args.reason.clone(),
            });
        }
    })
    .await?;
    let still = if pinned {
        format!("; it is still pinned, end that with: plimsoll rollback {name} --end")
    } else {
        String::new()
    };
    output::message(&format!("resumed {}{still}", connected.key(name)));
    Ok(Exit::Ok)
}

/// Ends a rollback.
pub(super) async fn unpin(
    connected: &Connected,
    name: &str,
    reason: &str,
) -> Result<Exit, Failure> {
    let now = clock::now();
    write(connected, name, |commands, who| {
        if let Some(pin) = commands.pin.as_mut().filter(|pin| pin.ended.is_none()) {
            pin.ended = Some(Ended {
                by: who.to_owned(),
                at: now.wall,
                reason: reason.to_owned(),
            });
        }
    })
    .await?;
    output::message(&format!(
        "ended the rollback of {}; git's newest revision is taken up",
        connected.key(name)
    ));
    Ok(Exit::Ok)
}
