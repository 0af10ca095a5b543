//! Housekeeping: checkpoints when they are due, and records that leave the cluster.
//!
//! Enters: what is known, what the sinks have, the names of records in the cluster.
//! Leaves: signed checkpoints; a bounded number of records.
//! Never: the newest record of a chain deleted; one that a sink lacks.

use std::{collections::BTreeMap, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Error, KeySource, keeping::Inner};
use crate::{
    api::RecordHead,
    cluster::{Keeper, KeptCheckpoints, RecordName},
    history::{ChainId, Checkpoint, Line, Signed, SigningKey, read_line, read_record},
    model::{Now, text},
};

/// How often records in the cluster are counted.
const TIDY: Duration = Duration::from_secs(600);
/// When they are counted first. By then each Application has told of its own chain: what nobody told of is asked for one
/// by one, and at a start that would be all of them, while everybody waits to be taken up.
const FIRST: Duration = Duration::from_secs(15);
/// How often it is looked whether a checkpoint is due.
const LOOK: Duration = Duration::from_secs(1);
/// Records deleted at most in one go: a burst of deletes costs others their turn.
const DELETES: usize = 1000;
/// Checkpoints that stay in the cluster, and bytes of them: a ConfigMap takes 1 MiB.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 512 << 10;
/// Every so many checkpoints one names all heads.
const ALL: u64 = 32;

/// Keeps house until told to stop.
pub(super) async fn run(inner: &Inner, keeper: &Keeper, cluster: &str, stop: CancellationToken) {
    let mut signer: Option<Signer> = None;
    let mut due = (inner.clock)().monotonic + FIRST;
    loop {
        let now = (inner.clock)();
        if now.monotonic >= due {
            due = now.monotonic + TIDY;
            if let Err(error) = tidy(inner, keeper, now).await {
                tracing::warn!(error = %text::chain(&error), "could not tidy the records");
            }
        }
        if inner.settings.key.is_some()
            && let Err(error) = sign(inner, keeper, cluster, &mut signer, now).await
        {
            tracing::warn!(error = %text::chain(&error), "could not sign a checkpoint");
            signer = None;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// What is known of the checkpoints so far.
struct Signer {
    key: SigningKey,
    kept: KeptCheckpoints,
    newest: Option<(u64, Signed)>,
    /// Heads that a checkpoint names already.
    told: BTreeMap<ChainId, RecordHead>,
    /// When the last one was signed, or looked for.
    at: Duration,
}

async fn sign(
    inner: &Inner,
    keeper: &Keeper,
    cluster: &str,
    signer: &mut Option<Signer>,
    now: Now,
) -> Result<(), Error> {
    if signer.is_none() {
        *signer = Some(load(inner, keeper, now).await?);
    }
    let Some(signer) = signer else { return Ok(()) };
    let known = inner.known();
    let new: u64 = known
        .iter()
        .map(|(chain, head)| {
            let told = signer.told.get(chain).map_or(0, |told| told.sequence);
            head.sequence.saturating_sub(told)
        })
        .sum();
    let due = new >= inner.settings.checkpoint_every
        || (new > 0 && now.since(signer.at) >= inner.settings.checkpoint_interval);
    if !due {
        return Ok(());
    }
    let number = signer.newest.as_ref().map_or(1, |(number, _)| number + 1);
    let all = number % ALL == 1;
    let checkpoint = Checkpoint {
        number,
        previous: signer.newest.as_ref().map(|(_, signed)| signed.hash()),
        cluster: cluster.to_owned(),
        at: now.wall,
        heads: known
            .iter()
            .filter(|(chain, head)| all || signer.told.get(*chain) != Some(*head))
            .map(|(chain, head)| (chain.clone(), head.clone()))
            .collect(),
        all,
        controller: inner.settings.identity.clone(),
    };
    let signed = checkpoint.sign(&signer.key);
    let mut kept = signer.kept.clone();
    kept.public_key = signer.key.public().to_pem();
    kept.lines.push_str(&signed.to_line());
    kept.lines.push('\n');
    kept.lines = newest_lines(&kept.lines);
    if !keeper.put_checkpoints(&kept).await? {
        // Another controller signed one meanwhile: ours is none, and theirs is read.
        *signer = load(inner, keeper, now).await?;
        return Ok(());
    }
    signer.kept = keeper.checkpoints().await?;
    signer.newest = Some((number, signed.clone()));
    signer.told = known;
    signer.at = now.monotonic;
    inner.add_checkpoint(number, signed);
    Ok(())
}

fn newest_lines(lines: &str) -> String {
    let all: Vec<&str> = lines.lines().collect();
    let mut bytes = 0;
    let fitting = all
        .iter()
        .rev()
        .take(KEPT)
        .take_while(|line| {
            bytes += line.len() + 1;
            bytes <= KEPT_BYTES
        })
        .count();
    all.iter()
        .skip(all.len() - fitting)
        .fold(String::new(), |out, line| out + line + "\n")
}

async fn load(inner: &Inner, keeper: &Keeper, now: Now) -> Result<Signer, Error> {
    let key = key(inner, keeper).await?;
    let kept = keeper.checkpoints().await?;
    let public = key.public();
    let mut newest: Option<(u64, Signed)> = None;
    let mut told = BTreeMap::new();
    for line in kept.lines.lines() {
        let Ok(Line::Checkpoint(signed)) = read_line(line) else {
            continue;
        };
        // One that another key signed counts for the numbering only.
        let Ok(checkpoint) = signed.open(None) else {
            continue;
        };
        if signed.open(Some(&public)).is_ok() {
            told.extend(checkpoint.heads);
        }
        if newest
            .as_ref()
            .is_none_or(|(number, _)| *number < checkpoint.number)
        {
            newest = Some((checkpoint.number, signed));
        }
    }
    if let Some(signed) = inner.newest_checkpoint()
        && let Ok(checkpoint) = signed.open(None)
    {
        match &newest {
            Some((number, known)) if *number == checkpoint.number && *known != signed => {
                inner.count_verification_failure();
                tracing::error!(
                    number,
                    "a sink holds another checkpoint of this number than the cluster"
                );
            }
            Some((number, _)) if *number >= checkpoint.number => {}
            Some(_) | None => newest = Some((checkpoint.number, signed)),
        }
    }
    Ok(Signer {
        key,
        kept,
        newest,
        told,
        at: now.monotonic,
    })
}

async fn key(inner: &Inner, keeper: &Keeper) -> Result<SigningKey, Error> {
    let pem = match &inner.settings.key {
        Some(KeySource::File(path)) => {
            let path = path.clone();
            let read = tokio::fs::read_to_string(&path).await;
            read.map_err(|source| Error::Disk {
                act: "read",
                path,
                source,
            })?
        }
        Some(KeySource::Secret(name)) => {
            let found = keeper.own_secret(name, "key.pem").await?;
            let found = found.ok_or_else(|| Error::NoKey {
                place: format!("Secret {name}, key key.pem"),
            })?;
            found.expose().clone()
        }
        None => {
            return Err(Error::NoKey {
                place: "the settings".to_owned(),
            });
        }
    };
    SigningKey::from_pem(&pem).map_err(Error::Key)
}

/// Learns of chains that nobody told us of, and deletes records that may go.
async fn tidy(inner: &Inner, keeper: &Keeper, now: Now) -> Result<(), Error> {
    let mut chains: BTreeMap<(String, String, String), Vec<RecordName>> = BTreeMap::new();
    for name in keeper.record_names(None).await? {
        chains
            .entry((
                name.namespace.clone(),
                name.application.clone(),
                name.uid.clone(),
            ))
            .or_default()
            .push(name);
    }
    let known: BTreeMap<(String, String, String), (ChainId, u64)> = inner
        .known()
        .into_iter()
        .map(|(chain, head)| {
            let uid: String = chain.uid.chars().take(8).collect();
            let key = (chain.namespace.clone(), chain.name.clone(), uid);
            (key, (chain, head.sequence))
        })
        .collect();
    let mut left = DELETES;
    for (key, mut names) in chains {
        names.sort_by_key(|name| std::cmp::Reverse(name.sequence));
        // Of a chain that another replica wrote to, or whose Application is gone, the newest may not be known.
        let newest = names.first().map_or(0, |name| name.sequence);
        let chain = match known.get(&key) {
            Some((chain, sequence)) if newest <= *sequence => chain.clone(),
            Some(_) | None => match adopt(inner, keeper, &names).await? {
                Some(chain) => chain,
                None => continue,
            },
        };
        for name in leaving(inner, &chain, &names, now) {
            if left == 0 {
                return Ok(());
            }
            left -= 1;
            keeper.delete_record(name).await?;
        }
    }
    Ok(())
}

/// A chain of an Application that was gone before this process looked at it.
async fn adopt(
    inner: &Inner,
    keeper: &Keeper,
    names: &[RecordName],
) -> Result<Option<ChainId>, Error> {
    let Some(newest) = names.first() else {
        return Ok(None);
    };
    let found = keeper.get_record(&newest.namespace, &newest.name()).await?;
    let told = found.and_then(|found| read_record(&found.spec.record).ok());
    Ok(told.map(|told| {
        let head = RecordHead {
            sequence: told.sequence,
            hash: told.hash,
        };
        inner.know(told.chain.clone(), head);
        told.chain
    }))
}

/// Returns the records of one chain, newest first, that may leave the cluster.
fn leaving<'a>(
    inner: &Inner,
    chain: &ChainId,
    names: &'a [RecordName],
    now: Now,
) -> Vec<&'a RecordName> {
    let settings = &inner.settings;
    let kept = (!inner.places.is_empty()).then(|| inner.everywhere(chain).unwrap_or(0));
    let is_old = |name: &RecordName| {
        name.created
            .parse::<jiff::Timestamp>()
            .is_ok_and(|created| {
                let age = now.wall.as_second().saturating_sub(created.as_second());
                u64::try_from(age).is_ok_and(|age| age > settings.keep_age.as_secs())
            })
    };
    names
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(index, name)| match kept {
            Some(kept) => name.sequence <= kept && (*index as u64 >= settings.keep || is_old(name)),
            None => is_old(name),
        })
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
#[path = "housekeeping_tests.rs"]
mod tests;
